/*
 * A crypto session bundle (CSB) between two messages: what an end must remember of an exchange to
 * check the reply or to run an update (RFC 3830 4.5). No process keeps it: it travels in a sealed
 * ticket that the client holds.
 */
#ifndef EXCHANGE_BUNDLE_H
#define EXCHANGE_BUNDLE_H

#include "base/bytes.h"
#include "base/identity.h"
#include "keys/name.h"
#include "mikey/exchange.h"

/* What the holder may do with a ticket. The numbers are part of the ticket format. */
enum bundle_role {
    BUNDLE_AWAITS_REPLY = 1, /* initiator: confirm one R_MESSAGE */
    /* Either end may start an update and answer the other's (RFC 3830 4.5). */
    BUNDLE_INITIATOR = 2, /* of the latest exchange */
    BUNDLE_RESPONDER = 3
};
/* For what a ticket is opened: BUNDLE_AWAITS_REPLY alone serves the first, the others the second. */
enum bundle_use { BUNDLE_CONFIRMS, BUNDLE_GOES_ON };

#define BUNDLE_NAME_MAX 128 /* client names, with the terminator */
#define BUNDLE_RAND_MAX 255
#define BUNDLE_MKI_MAX 255
#define BUNDLE_TGK_MAX MIKEY_TGK_MAX /* longest TGK or TEK accepted, bytes */
#define BUNDLE_SALT_MAX 32           /* longest transported salt accepted, bytes */
#define BUNDLE_KEYS_MAX 4            /* keys of one message, told apart by MKI (RFC 3830 6.13) */
#define BUNDLE_REFERENCE_MAX 128     /* the client's own name for the call, with the terminator */

struct bundle_identity {
    uint8_t type;
    uint8_t len;
    uint8_t data[IDENTITY_MAX];
};

/* Everything but the key: nothing here is secret. About 4 KB; a worker keeps one. */
struct bundle {
    enum bundle_role role;
    char client[BUNDLE_NAME_MAX]; /* the policy's name of the client the ticket belongs to */
    struct bundle_identity initiator, responder; /* of the latest exchange in it */
    char key_name[KEYS_NAME_MAX];
    unsigned generation;
    uint8_t method; /* enum policy_method: a bundle is never continued by another */
    enum mikey_algorithms algorithms;
    uint32_t csb_id;
    struct mikey_timestamp t; /* of the bundle's latest I_MESSAGE */
    uint8_t rand[BUNDLE_RAND_MAX];
    size_t rand_len;
    uint32_t updates; /* I_MESSAGEs after the first */
    bool again;       /* offered after an error of the peer: no further offer follows one */
    char reference[BUNDLE_REFERENCE_MAX];
    struct mikey_stream streams[MIKEY_CS_MAX];
    size_t stream_count;
};

/* A TGK or TEK with its transported salt and its MKI. */
struct bundle_key {
    uint8_t type; /* enum mikey_key_type */
    uint8_t key[BUNDLE_TGK_MAX];
    size_t key_len;
    uint8_t salt[BUNDLE_SALT_MAX];
    size_t salt_len;
    uint8_t mki[BUNDLE_MKI_MAX];
};

/*
 * The bundle's keys, each of which serves every stream. Only a peer that sends several with
 * distinct MKIs makes more than one. Lives in the secure heap.
 */
struct bundle_keys {
    struct bundle_key key[BUNDLE_KEYS_MAX];
    size_t count;
    size_t mki_len; /* of each (RFC 3711 3.2.1); 0: no MKI */
    /* A value that waits for the peer's: the one key has no bytes then. The secret part of it exists
     * in the initiator's ticket alone, from the offer to its confirmation. */
    bool has_dh;
    struct mikey_dh_pair dh;
};

/* Longest serialised form of both, bytes. */
#define BUNDLE_BYTES_MAX 5696

/* One fixed format; every field is written, in one order. */
void bundle_write(const struct bundle *bundle, const struct bundle_keys *keys,
                  struct byte_writer *out);
/*
 * Reads it strictly: every length and number in range, nothing left over. False otherwise; the
 * outputs are then not to be used.
 */
bool bundle_read(struct byte_reader *in, struct bundle *bundle, struct bundle_keys *keys);

/* False when longer than IDENTITY_MAX. */
bool bundle_set_identity(struct bundle_identity *to, const struct identity *from);
/* The other end starts the next exchange: initiator and responder change places. */
void bundle_turn(struct bundle *bundle);
/* A view into the bundle. */
struct identity bundle_identity_view(const struct bundle_identity *identity);
/* A key as the engine takes it, with the MKI as SPI: views into it. */
struct mikey_key_data bundle_key_view(const struct bundle_keys *keys, size_t index);

#endif
