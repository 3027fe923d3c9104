/*
 * The narrow door between the daemon's front and a keyholder: its messages, and their one binary
 * form. SOCK_SEQPACKET, one request and one answer at a time on each connection, network byte
 * order, every message read to its last byte. Both ends copy a message out of the socket before
 * they look at it.
 *
 *   request  version(1) op(1) flags(2) id(4) body
 *   answer   version(1) op(1) status(2) id(4) body, or length(1) and text when status is not 0
 *
 * What the front can ask is this list and no more. Message keys (RFC 3830 4.1.4) and values of
 * pre-shared keys have no message that could carry them; labels under which a pre-shared key is
 * used are fixed in the keyholder.
 */
#ifndef KEYS_DOOR_H
#define KEYS_DOOR_H

#include "base/bytes.h"
#include "base/checkpoint.h"
#include "base/error.h"
#include "keys/name.h"
#include "mikey/key.h"

#define DOOR_VERSION 3
/* Longest message: an I_MESSAGE of MIKEY_COVERED_MAX, a reply, key data, names. */
#define DOOR_MESSAGE_MAX 32768
#define DOOR_HEADER 8
#define DOOR_KEYS_PER_PAGE 128
#define DOOR_PROOFS_MAX 64
#define DOOR_NONCE 32
#define DOOR_PROOF 32
#define DOOR_SIGNATURE_MAX 512
#define DOOR_TICKET_KEY 32
#define DOOR_STORE 32 /* hexadecimal digits */

enum door_op {
    DOOR_SEAL = 1,
    DOOR_OPEN = 2,
    DOOR_TAG = 3,
    DOOR_CHECK = 4,
    DOOR_TGK = 5,
    DOOR_TICKET_KEY_OF_DAY = 6,
    DOOR_CHECKPOINT = 7,
    DOOR_FACTS = 8,
    DOOR_KEYS = 9,    /* a page of the inventory */
    DOOR_HEALTH = 10, /* would the next request succeed? */
    DOOR_RESCAN = 11, /* look for new and vanished objects */
    DOOR_PROOF_OF = 12,
    DOOR_PREPARE = 13,    /* make a pair key ready before it is asked for */
    DOOR_PUBLIC_KEY = 14, /* PEM of the audit key, with proof: token_signer_prove_to() */
    DOOR_CLAIM = 15,      /* this token belongs to that replay store (pkcs11/store_mark.h) */
    DOOR_OP_END
};

/* Does a request of this kind use a pre-shared key for somebody? What counts as a use, at both ends
 * of the door. PREPARE does nothing for anybody yet, PROOF_OF has a label of its own. */
bool door_uses_psk(enum door_op op);

/* A request as it is understood: views into the message, or what the sender builds it from. */
struct door_request {
    enum door_op op;
    uint32_t id;                   /* the sender's, repeated in the answer */
    struct keys_name name;         /* SEAL, OPEN, TAG, CHECK, TGK, PREPARE */
    char name_text[KEYS_NAME_MAX]; /* name.name when read: its NUL-terminated copy */
    union {
        struct mikey_key_seal seal;
        struct mikey_key_open open;
        struct {
            struct mikey_key_tag job;
            const uint8_t *tag; /* CHECK */
        } tag;
        struct {
            struct mikey_derivation what;
            enum mikey_tgk_purpose purpose;
            size_t len;
        } tgk;
        struct {
            char name[KEYS_NAME_MAX];
            unsigned generation;
            uint32_t day; /* days since 1970 */
        } ticket;
        struct {
            char name[KEYS_NAME_MAX];
            unsigned generation;
            uint8_t nonce[DOOR_NONCE];     /* PUBLIC_KEY */
            struct checkpoint_claim claim; /* CHECKPOINT */
        } audit;
        struct {
            char store[DOOR_STORE + 1]; /* CLAIM: which store this is, in hex */
        } claim;
        struct {
            uint32_t first; /* index of the first entry wanted */
        } keys;
        struct {
            uint8_t nonce[DOOR_NONCE];
            struct keys_entry entry[DOOR_PROOFS_MAX]; /* kind, name, generation count */
            size_t count;
        } proof;
    };
    struct mikey_covered reply; /* what open.reply points to when read */
};

/* What a token is and can do, for policy, status and metrics. */
struct door_facts {
    char label[33], serial[17], manufacturer[33], model[17];
    char module[128];
    char profile[24]; /* what is known of its maker's modules (pkcs11/token/profile.h) */
    bool hkdf, prf_derive, session_copies, up;
    uint32_t sessions, sessions_used, hmac_us;
    uint64_t generation, calls, hmacs, derives, objects_created;
    uint64_t uses; /* requests that use a pre-shared key, since this keyholder began */
    uint64_t pair_hits, pair_misses, pair_evictions, pair_entries;
    uint64_t inventory;      /* changes whenever the inventory may have changed */
    uint8_t incarnation[16]; /* random, of this keyholder process */
    uint32_t key_count;
    /* How it lives: a module that leaks is replaced, by a successor, before it hurts. */
    uint64_t requests; /* answered so far, of every kind */
    uint32_t rss_kb;   /* resident memory of the process; 0: not told */
    bool recycle;      /* it has grown by more than it should: a successor is wanted */
};

struct door_answer {
    enum door_op op;
    uint32_t id;
    enum mikeyd_status status;
    char text[240];  /* of a failure */
    const char *prf; /* "sign" or "derive": SEAL, OPEN, TAG, CHECK, TGK; NULL otherwise */
    union {
        struct {
            const uint8_t *encrypted, *mac;
            size_t encrypted_len, mac_len;
        } seal;
        struct {
            const uint8_t *plain, *v, *psk_key;
            size_t plain_len, v_len, psk_key_len;
        } open;
        struct {
            const uint8_t *data; /* TAG: the tag; TGK, TICKET_KEY_OF_DAY: the key */
            size_t len;
        } bytes;
        struct {
            const uint8_t
                *signature; /* over the text of base/checkpoint.h, made by the keyholder */
            size_t signature_len;
            uint64_t uses; /* as in door_facts, and in the signed text */
            uint8_t incarnation[16];
        } checkpoint;
        struct {
            const uint8_t *signature;
            size_t signature_len;
            const char *pem;
            size_t pem_len;
        } public_key;
        struct {
            bool marked;   /* the token says whose it is */
            char why[240]; /* it does not, and takes no mark */
        } claim;
        struct door_facts facts;
        struct {
            uint64_t inventory;
            uint32_t total, first;
            struct keys_entry *entry; /* caller's array of DOOR_KEYS_PER_PAGE when read */
            size_t count;
        } keys;
        struct {
            uint8_t proof[DOOR_PROOFS_MAX][DOOR_PROOF];
            enum mikeyd_status status[DOOR_PROOFS_MAX]; /* TOKEN_DOWN: no such key here */
            size_t count;
        } proof;
    };
};

/*
 * Writing: out is a writer over memory for secrets, DOOR_MESSAGE_MAX bytes. INVALID_ARGUMENT when
 * the message does not fit.
 */
enum mikeyd_status door_write_request(const struct door_request *request, struct byte_writer *out,
                                      struct error *err);
enum mikeyd_status door_write_answer(const struct door_answer *answer, struct byte_writer *out,
                                     struct error *err);
/*
 * Reading: views into `message`, which must outlive *out. SYNTAX for anything that is not exactly
 * one well-formed message: wrong version, lengths, numbers out of range, bytes left over. Output
 * pointers of the jobs (encrypted, mac, plain, v) are NULL: the reader sets them.
 */
enum mikeyd_status door_read_request(const uint8_t *message, size_t len, struct door_request *out,
                                     struct error *err);
/* entries: DOOR_KEYS_PER_PAGE of them for an answer to DOOR_KEYS, else NULL. */
enum mikeyd_status door_read_answer(const uint8_t *message, size_t len, struct keys_entry *entries,
                                    struct door_answer *out, struct error *err);

/* ---- one message over a connection */

/* Sends whole or not at all; MSG_NOSIGNAL. TOKEN_DOWN when the other end is gone. */
enum mikeyd_status door_send(int fd, const struct byte_writer *message, struct error *err);
/*
 * Receives one message of at most cap bytes. timeout_ms < 0: for ever. TOKEN_DOWN at the end of the
 * connection, TOKEN_BUSY when the time is over, SYNTAX for one that is longer (it is lost).
 */
enum mikeyd_status door_receive(int fd, int timeout_ms, uint8_t *buffer, size_t cap, size_t *len,
                                struct error *err);

/* ---- the control connection: how a keyholder gets its connections */

/* Sends one end of a connection over the control socket (SCM_RIGHTS). */
enum mikeyd_status door_attach(int control, int connection, struct error *err);
/* Receives one; TOKEN_DOWN at the end of the control socket. Descriptors beyond one are closed. */
enum mikeyd_status door_accept(int control, int *connection, struct error *err);

#endif
