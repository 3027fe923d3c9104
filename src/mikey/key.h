/*
 * What the engine asks of whoever holds a pre-shared key: one call a message, the whole KEMAC at
 * once (RFC 3830 4.2, 6.2), so that message keys are made, used and wiped where the pre-shared key
 * is. The daemon's implementation is a keyholder process behind src/keys; mikey_key_by_psk runs the
 * same calls on a struct mikey_psk in this process: the keyholder's own way, and the unit tests'.
 *
 * Every call is a function of its arguments: the same arguments give the same answer, at any holder
 * of the same key, as often as they are asked. A failed call leaves no result: what it was to fill
 * is wiped.
 */
#ifndef MIKEY_KEY_H
#define MIKEY_KEY_H

#include "mikey/psk.h"

/* Longest run of bytes that one MAC covers, and longest key data of one KEMAC. */
#define MIKEY_COVERED_MAX 16384
#define MIKEY_PLAIN_MAX 2048
#define MIKEY_COVERED_PARTS 4

/* Bytes under one MAC or V, concatenated. Views. */
struct mikey_covered {
    const uint8_t *data[MIKEY_COVERED_PARTS];
    size_t len[MIKEY_COVERED_PARTS];
    size_t parts;
};

/*
 * KEMAC of a message to send. The MAC covers head || encrypted || Mac alg (one byte), where head is
 * everything from the version byte to Encr data len.
 */
struct mikey_key_seal {
    struct mikey_derivation what;
    uint64_t t; /* of the message: enters the IV */
    const uint8_t *head;
    size_t head_len;
    const uint8_t *plain; /* key data in clear, in the secure heap; NULL when plain_len is 0 */
    size_t plain_len;     /* 0: what.encryption is MIKEY_ENCR_NULL, the authentication key is all */
    uint8_t *encrypted;   /* out: plain_len bytes */
    uint8_t *mac;         /* out: 20 or 32 bytes by what.mac */
};

/*
 * KEMAC of a message received: key data only when the MAC is right, else AUTH_FAILED. With `reply`,
 * V of the R_MESSAGE that answers it as well, under the same authentication key. With `purpose`, a
 * key of the pair as tgk() makes it: the whole work of a message is one call.
 */
struct mikey_key_open {
    struct mikey_derivation what;
    uint64_t t;
    const uint8_t *covered; /* from the version byte to Mac alg */
    size_t covered_len;
    size_t encrypted_at, encrypted_len; /* Encr data within covered; len 0: nothing encrypted */
    const uint8_t *mac;                 /* 20 or 32 bytes by what.mac */
    const struct mikey_covered *reply;  /* or NULL */
    enum mikey_tgk_purpose purpose;     /* MIKEY_TGK_NONE, or MIKEY_TGK_DHE */
    uint8_t *plain;                     /* out, secure heap: room for encrypted_len bytes */
    size_t plain_len;                   /* out */
    uint8_t *v;                         /* out, with reply: 20 or 32 bytes */
    uint8_t *psk_key;                   /* out, with purpose: MIKEY_PSK_KEY_LEN, secure heap */
};

/* V of a message without KEMAC (R_MESSAGE, error message; DHHMAC's MAC). */
struct mikey_key_tag {
    struct mikey_derivation what; /* encryption: MIKEY_ENCR_NULL */
    struct mikey_covered covered;
};

struct mikey_key;

struct mikey_key_ops {
    enum mikeyd_status (*seal)(const struct mikey_key *key, struct mikey_key_seal *job,
                               struct error *err);
    enum mikeyd_status (*open)(const struct mikey_key *key, struct mikey_key_open *job,
                               struct error *err);
    /* tag: out, 20 or 32 bytes by what.mac. */
    enum mikeyd_status (*tag)(const struct mikey_key *key, const struct mikey_key_tag *job,
                              uint8_t *tag, struct error *err);
    /* AUTH_FAILED when the tag is not the right one; compared in constant time. */
    enum mikeyd_status (*check)(const struct mikey_key *key, const struct mikey_key_tag *job,
                                const uint8_t *tag, struct error *err);
    /* tgk: out, secure heap, len bytes. */
    enum mikeyd_status (*tgk)(const struct mikey_key *key, const struct mikey_derivation *what,
                              enum mikey_tgk_purpose purpose, uint8_t *tgk, size_t len,
                              struct error *err);
};

/* One pre-shared key and the way to it; built on the stack per message, owns nothing. */
struct mikey_key {
    const struct mikey_key_ops *ops;
    void *port;       /* the implementation's: a worker's connections to keyholders ... */
    const void *name; /* ... and how it knows the key: struct keys_name */
};

/* ---- the same on a pre-shared key that this process can compute with */

/* port of mikey_key_by_psk. keys: scratch in the secure heap, one per thread, wiped by each call. */
struct mikey_psk_port {
    struct mikey_psk psk;
    struct mikey_message_keys *keys;
};
extern const struct mikey_key_ops mikey_key_by_psk;

#endif
