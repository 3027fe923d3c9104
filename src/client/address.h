/*
 * Where a daemon is: "unix:/path" or "/path" for this host's, and for gates on others
 *   tls://HOST:PORT[,HOST:PORT]...?ca=FILE&cert=FILE&key=FILE[&name=NAME]
 *   tls://HOST:PORT[,HOST:PORT]...?psk=FILE
 * Values are taken as they stand; "%XX" stands for a byte.
 */
#ifndef CLIENT_ADDRESS_H
#define CLIENT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define ADDRESS_HOSTS_MAX 16

struct address_host {
    char *host, *port;
};

struct address {
    char *text; /* without the options, for people */
    char *path; /* of the Unix socket, or NULL: by TLS */
    struct address_host hosts[ADDRESS_HOSTS_MAX];
    size_t host_count;
    char *ca, *cert, *key; /* files; or else */
    char *psk;             /* the file of this client's own */
    char *name;            /* in the gates' certificates; NULL: the host's own */
};

/* INVALID_ARGUMENT for any other form. To be cleared, also after a failure. */
enum mikeyd_status address_parse(const char *text, struct address *out, struct error *err);
void address_clear(struct address *address);

#endif
