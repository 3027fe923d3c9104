/*
 * Desks: where one request is received, served and answered. Whatever of it is secret stands in the
 * secure heap and is wiped before the desk is free again. There are a few more than the token has
 * sessions, so that memory does not grow with connections: a request without a desk waits in its
 * socket.
 */
#ifndef KEYHOLDER_DESK_H
#define KEYHOLDER_DESK_H

#include "keys/door.h"

struct desk_secrets {
    struct mikey_message_keys keys;
    union {
        struct {
            uint8_t data[MIKEY_PLAIN_MAX];      /* SEAL: encrypted; OPEN: key data */
            uint8_t tag[HMAC_TAG_MAX];          /* MAC or V */
            uint8_t psk_key[MIKEY_PSK_KEY_LEN]; /* OPEN */
        } message;
        uint8_t key[DOOR_TICKET_KEY]; /* TGK, TICKET_KEY_OF_DAY */
        uint8_t tag[KEYS_BLOCKS_MAX][HMAC_TAG_MAX];
    };
};
_Static_assert(sizeof(struct desk_secrets) <= 8192, "the secure heap deals in powers of two");

struct desk {
    struct desk *next;
    uint8_t *in, *out; /* DOOR_MESSAGE_MAX each, secure heap */
    size_t in_len, out_len;
    struct desk_secrets *secrets; /* secure heap */
    struct door_request request;  /* views of `in` */
    struct door_answer answer;    /* views of `secrets` and of what stands below */
    struct keys_entry entry[DOOR_KEYS_PER_PAGE];
    uint8_t signature[DOOR_SIGNATURE_MAX];
    char *pem; /* freed when the desk is given back */
};

struct desk_pool;

/* Of the secure heap. */
#define DESK_BYTES (2 * (size_t)DOOR_MESSAGE_MAX + 8192)

enum mikeyd_status desk_pool_make(size_t count, struct desk_pool **out, struct error *err);
void desk_pool_free(struct desk_pool *pool);
/* NULL when none is free before the deadline (monotonic ms). */
struct desk *desk_take(struct desk_pool *pool, int64_t deadline_ms);
/* Wipes it. */
void desk_give(struct desk_pool *pool, struct desk *desk);

#endif
