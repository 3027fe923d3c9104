/*
 * The floor under a key exchange: the token calls that one message costs, made bare on the same
 * module with as many sessions, with nothing of mikeyd around them. What the service reaches of
 * this is its efficiency.
 */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include "base/error.h"
#include "pkcs11/token/token.h"

/* What one message asks of the token. */
struct floor_mix {
    unsigned hmacs;   /* HMACs under the pre-shared key */
    unsigned macs;    /* message MACs, all under one key, which is a session object for that long */
    unsigned derives; /* keys derived in the token by MIKEY's PRF: the MAC's, then the cipher's */
    unsigned hash_bytes; /* 20: SHA-1, 32: SHA-256 */
    bool session_copies; /* keys are session objects, as the daemon's hot copies; else token objects
                          */
};

/*
 * Opens the token of config with the bare module (PIN from its file), takes or makes one key, and
 * runs `count` messages of this mix on config->sessions threads. *per_second: messages a second.
 */
enum mikeyd_status floor_measure(const struct token_config *config, const struct floor_mix *mix,
                                 unsigned count, double *per_second, struct error *err);

/* The module's own time from loading it until every secret key's label and ID have been read. */
enum mikeyd_status floor_read_keys(const struct token_config *config, double *seconds, size_t *keys,
                                   struct error *err);

#endif
