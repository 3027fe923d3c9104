/* One HMAC to compute under a key known only by reference: shared by the engine and the token. */
#ifndef BASE_HMAC_H
#define BASE_HMAC_H

#include <stddef.h>
#include <stdint.h>

enum hmac_hash { HMAC_SHA1, HMAC_SHA256 };
#define HMAC_TAG_MAX 32

static inline size_t hmac_tag_len(enum hmac_hash hash)
{
    return hash == HMAC_SHA1 ? 20 : 32;
}

/* tag = HMAC(key, data[0] || data[1]), 20 or 32 bytes. data[1] may be empty (NULL, 0). */
struct hmac_job {
    const void *key; /* what the HMAC service knows the key as: a token key block, or a keyed host
                        context */
    enum hmac_hash hash;
    const uint8_t *data[2];
    size_t len[2];
    uint8_t *tag; /* in the secure heap: tags become keys */
};

#endif
