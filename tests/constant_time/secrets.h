/*
 * Secrets that valgrind's memcheck follows: it complains of each jump and each address that depends
 * on bytes marked here, in the product's code and in OpenSSL's. One thing may depend on them: the
 * answer of CRYPTO_memcmp(), "equal or not". secrets.c wraps that function, in libcrypto too, and
 * declares its answer known.
 */
#ifndef TESTS_CONSTANT_TIME_SECRETS_H
#define TESTS_CONSTANT_TIME_SECRETS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: not %s\n", __FILE__, __LINE__, #condition);              \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* From here on nothing may depend on these bytes; their values stay. */
void mark_secret(void *data, size_t len);
/* What everybody may see: a message on the wire, the structure of what has been authenticated. */
void mark_public(const void *data, size_t len);

/*
 * How many comparisons of secret bytes there were since the last call. A check is only tested when
 * the secret has reached its comparison: 0 means that the mark was lost on the way.
 */
unsigned take_comparisons(void);

/* The checks, each in a file of its own. They end the process when an answer is wrong. */
void check_tags(void);    /* MAC and V (mikey/key_by_psk.c) */
void check_tickets(void); /* exchange/ticket.c */
void check_proofs(void);  /* keys/prove.c */

#endif
