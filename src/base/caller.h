/* Who asks: by SO_PEERCRED on a Unix socket, or the subject alternative name that a gate verified. */
#ifndef BASE_CALLER_H
#define BASE_CALLER_H

#include <stdbool.h>
#include <sys/types.h>

struct caller {
    bool has_uid;
    uid_t uid;
    const char *san;   /* or NULL */
    bool by_psk;       /* with san: it is the client's own name, proven by a TLS PSK */
    unsigned tls_bits; /* with san: key bits of the suite by which the answer leaves this host */
};

#endif
