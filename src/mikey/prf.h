/*
 * Inside src/mikey only: the PRF under one key in clear, for several labels: a TGK yields TEK and
 * salt with one key schedule.
 */
#ifndef MIKEY_PRF_H
#define MIKEY_PRF_H

#include "mikey/host_crypto.h"
#include "mikey/psk.h"

/* A TGK of up to 512 bytes; the longest here is a 2048-bit Diffie-Hellman value. */
#define MIKEY_PRF_BLOCKS_MAX 16

struct mikey_prf_key {
    struct host_hmac block[MIKEY_PRF_BLOCKS_MAX];
    size_t count;
};

enum mikeyd_status mikey_prf_open(struct mikey_prf_key *key, enum mikey_prf prf,
                                  const uint8_t *inkey, size_t inkey_len, struct error *err);
/* out is zeroed on failure. */
enum mikeyd_status mikey_prf_run(struct mikey_prf_key *key, const uint8_t *label, size_t label_len,
                                 uint8_t *out, size_t out_len, struct error *err);
void mikey_prf_close(struct mikey_prf_key *key);
#define MIKEY_PRF_CLEANUP __attribute__((cleanup(mikey_prf_close)))

#endif
