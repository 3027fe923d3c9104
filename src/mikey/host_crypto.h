/*
 * Inside src/mikey only: the few OpenSSL operations the engine needs, on keys in clear. Algorithms
 * are fetched once per process. Any thread may call anything here at any time, except that one
 * host_hmac belongs to one thread at a time. OpenSSL keeps a context in the ordinary heap and wipes
 * it when the context is freed or reset; none holds a key beyond the call or object that made it.
 */
#ifndef MIKEY_HOST_CRYPTO_H
#define MIKEY_HOST_CRYPTO_H

#include <stdbool.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/error.h"
#include "base/hmac.h"

/* HMAC under one key, for any number of tags: the key schedule is computed once. */
struct host_hmac {
    HMAC_CTX *ctx;
    size_t tag_len;
    bool fresh; /* keyed and nothing computed yet: the first tag needs no reset */
};

enum mikeyd_status host_hmac_open(struct host_hmac *hmac, enum hmac_hash hash, const uint8_t *key,
                                  size_t key_len, struct error *err);
enum mikeyd_status host_hmac_tag(struct host_hmac *hmac, const uint8_t *const data[],
                                 const size_t len[], size_t parts, uint8_t *tag, struct error *err);
void host_hmac_close(struct host_hmac *hmac);
#define HOST_HMAC_CLEANUP __attribute__((cleanup(host_hmac_close)))

/* AES-CTR in place; key_len 16 or 32. */
enum mikeyd_status host_aes_ctr(const uint8_t *key, size_t key_len, const uint8_t iv[16],
                                uint8_t *data, size_t len, struct error *err);

/*
 * RFC 3394 unwrap of len bytes (24 or more, a multiple of 8) under a 16-byte KEK with iv in place
 * of the default initial value. out has len bytes; *out_len is len - 8. AUTH_FAILED when the check
 * value is wrong.
 */
enum mikeyd_status host_aes_unwrap(const uint8_t kek[16], const uint8_t iv[8], const uint8_t *data,
                                   size_t len, uint8_t *out, size_t *out_len, struct error *err);

#endif
