/*
 * A token of its own for a test: SoftHSM or NSS softokn in a fresh directory under /tmp, with a PIN
 * file, and objects made by raw PKCS#11 calls (so that a test can make what the ceremony refuses).
 *
 *     struct token_fixture f;
 *     cr_assert(token_fixture_softhsm(&f, "unit"));
 *     cr_assert(token_fixture_key(&f, &(struct token_fixture_key){.label = "mikeyd/psk/a/1",
 *                                                                  .value = psk, .len = 32}));
 *     struct token_config config = token_fixture_config(&f);
 *     ...
 *     token_fixture_remove(&f);
 *
 * One fixture a process at a time: SoftHSM finds its token by the environment (SOFTHSM2_CONF, which
 * child processes inherit).
 */
#ifndef TESTS_SUPPORT_TOKEN_FIXTURE_H
#define TESTS_SUPPORT_TOKEN_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pkcs11/token.h"

#define TOKEN_FIXTURE_PIN "2468-unit"
#define TOKEN_FIXTURE_SO_PIN "1357-unit-so"

struct token_fixture {
    char dir[64];        /* removed with everything in it */
    char module[128];    /* path of the PKCS#11 module */
    char uri[96];        /* names the token */
    char pin_file[96];   /* mode 0600 */
    char init_args[256]; /* "" for SoftHSM */
    char conf[96];       /* softhsm2.conf; "" for NSS */
};

/* False (with the reason on stderr) when the token cannot be made. */
bool token_fixture_softhsm(struct token_fixture *fixture, const char *label);
bool token_fixture_nss(struct token_fixture *fixture);
void token_fixture_remove(struct token_fixture *fixture);

/* sessions 4, copies auto, timeout 2 s, read-only. Strings point into the fixture. */
struct token_config token_fixture_config(const struct token_fixture *fixture);

/* Departures from what interfaces prescribe for a key object. */
struct token_fixture_key {
    const char *label;
    const uint8_t *value;
    size_t len;
    const uint8_t *id; /* 16 bytes; NULL: random */
    size_t id_len;     /* 0: 16 */
    bool extractable, not_sensitive, not_private, modifiable;
    bool wrap, encrypt;
    bool no_sign, no_derive; /* SIGN and DERIVE are on otherwise, where the kind has them */
    bool session_object;
    const char *end_date; /* "20270601" */
};
/* A secret key object (CKK_GENERIC_SECRET). Works beside an open token of this process. */
bool token_fixture_key(const struct token_fixture *fixture, const struct token_fixture_key *key);
/* Many keys without a login for each. */
struct token_fixture_batch;
struct token_fixture_batch *token_fixture_batch_open(const struct token_fixture *fixture);
bool token_fixture_batch_key(struct token_fixture_batch *batch,
                             const struct token_fixture_key *key);
void token_fixture_batch_close(struct token_fixture_batch *batch);
/* The blocks of a PSK over 32 bytes, as name#1, name#2 ...; one object for a shorter one, padded
 * to 32 bytes with "~BITS" in the label when it is shorter than that. */
bool token_fixture_psk(const struct token_fixture *fixture, const char *name, const uint8_t *psk,
                       size_t len);
/* Destroys all token objects of that label; false when there is none. */
bool token_fixture_destroy(const struct token_fixture *fixture, const char *label);

#endif
