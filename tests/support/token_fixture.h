/*
 * A token of its own for a test: SoftHSM, NSS softokn or opencryptoki in a fresh directory under /tmp, with a PIN
 * file, and objects made by raw PKCS#11 calls (so that a test can make what the ceremony refuses).
 * SoftHSM can be put behind p11-kit, in a process of this or another user.
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
#include <sys/types.h>

#include "pkcs11/token/token.h"

/* Long enough to be searched for in memory. */
#define TOKEN_FIXTURE_PIN "417-unit-PIN-902"
#define TOKEN_FIXTURE_SO_PIN "1357-unit-so"

enum token_fixture_kind {
    TOKEN_FIXTURE_SOFTHSM,      /* signs */
    TOKEN_FIXTURE_NSS,          /* derives: HKDF and the MIKEY PRF in the token */
    TOKEN_FIXTURE_ISOLATED,     /* SoftHSM, to be served by token_fixture_serve() */
    TOKEN_FIXTURE_OPENCRYPTOKI, /* its software token; signs */
};

struct token_fixture {
    enum token_fixture_kind kind;
    char dir[64];        /* removed with everything in it */
    char module[128];    /* path of the token's own PKCS#11 module */
    char uri[96];        /* names the token */
    char pin_file[96];   /* mode 0600 */
    char init_args[256]; /* "" for SoftHSM */
    char conf[96];       /* softhsm2.conf; "" for NSS */
    char pin[24];        /* what stands in the PIN file */
    char writable[96];   /* what the module writes besides `dir`, as YAML list entries; or "" */
    pid_t server;        /* leads the process group of p11-kit; 0: none */
    pid_t slot_daemon;   /* pkcsslotd; 0: none */
    uid_t owner;         /* of the token's files, where they are another user's; 0 otherwise */
};

/* False (with the reason on stderr) when the token cannot be made. */
bool token_fixture_softhsm(struct token_fixture *fixture, const char *label);
bool token_fixture_nss(struct token_fixture *fixture);
/*
 * The software token of opencryptoki, whose files and shared memory have fixed names: from now on
 * this process and its children are in namespaces of their own, with a pkcsslotd of their own that
 * ends with this process. token_fixture_opencryptoki_lacks() says why this cannot be here, or NULL;
 * it enters the namespaces, and is asked first, once a process.
 */
const char *token_fixture_opencryptoki_lacks(void);
bool token_fixture_opencryptoki(struct token_fixture *fixture);
/* Any of them by its kind, SoftHSM with the label "lab". */
bool token_fixture_make(struct token_fixture *fixture, enum token_fixture_kind kind);
/*
 * Puts a SoftHSM token behind `p11-kit server`, write-protected, as that user (only root can; NULL:
 * as this one), and sets P11_KIT_SERVER_ADDRESS. Objects are made beforehand, or by the token's own
 * module and handed over. The server ends with the fixture, or with the process that started it.
 */
bool token_fixture_serve(struct token_fixture *fixture, const char *user_name);
/* Gives files that were made in the token since to the user who serves it. */
bool token_fixture_hand_over(const struct token_fixture *fixture);
/* Ends the server; removes the directory. Nothing to do for a fixture that is all zero. */
void token_fixture_remove(struct token_fixture *fixture);

/* What a user of the token loads: its own module, or p11-kit's client once it is served. */
const char *token_fixture_module(const struct token_fixture *fixture);
/* sessions 4, copies auto, timeout 2 s, read-only, that module. Strings point into the fixture. */
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
    const char *end_date;   /* "20270601" */
    unsigned long key_type; /* 0: CKK_GENERIC_SECRET */
};
/* A secret key object. Works beside an open token of this process. */
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
