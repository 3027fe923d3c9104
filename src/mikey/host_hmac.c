/* The HMAC service on OpenSSL: keys that are contexts, and PSKs made of such keys. */
#include <pthread.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "mikey/host_crypto.h"
#include "mikey/psk.h"

#define PSK_BLOCK 32 /* RFC 3830 4.1.2: inkey is split into 256-bit blocks */

/* A key for either hash. The lock makes it usable from several threads: a context computes one HMAC
 * at a time, and an uncontended lock costs a tenth of one. */
struct mikey_host_key {
    pthread_mutex_t lock;
    struct host_hmac hmac[2];
};

enum mikeyd_status mikey_host_key_make(const void *key, size_t len, struct mikey_host_key **out,
                                       struct error *err)
{
    *out = NULL;
    struct mikey_host_key *made = calloc(1, sizeof *made);
    if (made == NULL)
        return error_set(err, MIKEYD_INTERNAL, "no memory for a key");
    if (pthread_mutex_init(&made->lock, NULL) != 0) {
        free(made);
        return error_set(err, MIKEYD_INTERNAL, "no lock for a key");
    }
    enum mikeyd_status status = host_hmac_open(&made->hmac[HMAC_SHA1], HMAC_SHA1, key, len, err);
    if (status == MIKEYD_OK)
        status = host_hmac_open(&made->hmac[HMAC_SHA256], HMAC_SHA256, key, len, err);
    if (status != MIKEYD_OK) {
        mikey_host_key_free(made);
        return status;
    }
    *out = made;
    return MIKEYD_OK;
}

void mikey_host_key_free(struct mikey_host_key *key)
{
    if (key == NULL)
        return;
    host_hmac_close(&key->hmac[HMAC_SHA1]);
    host_hmac_close(&key->hmac[HMAC_SHA256]);
    (void)pthread_mutex_destroy(&key->lock);
    free(key);
}

/* Runs the jobs at the front that share one key, under its lock, and counts them in *done. */
static enum mikeyd_status run_one_key(const struct hmac_job *jobs, size_t count, size_t *done,
                                      struct error *err)
{
    /* A job names its key by a const reference; the lock inside is what makes using it safe. */
    struct mikey_host_key *key = (struct mikey_host_key *)(uintptr_t)jobs[0].key;
    enum mikeyd_status status = MIKEYD_OK;
    size_t i = 0;
    (void)pthread_mutex_lock(&key->lock);
    for (; status == MIKEYD_OK && i < count && jobs[i].key == jobs[0].key; i++) {
        struct host_hmac *hmac = &key->hmac[jobs[i].hash];
        status = host_hmac_tag(hmac, jobs[i].data, jobs[i].len, 2, jobs[i].tag, err);
    }
    (void)pthread_mutex_unlock(&key->lock);
    *done = i;
    return status;
}

static enum mikeyd_status hmac_batch(void *service, struct hmac_job *jobs, size_t count,
                                     struct error *err)
{
    (void)service;
    size_t done = 0;
    for (size_t i = 0; i < count; i += done) {
        enum mikeyd_status status = run_one_key(&jobs[i], count - i, &done, err);
        if (status != MIKEYD_OK)
            return status;
    }
    return MIKEYD_OK;
}

static enum mikeyd_status hmac_message(void *service, enum hmac_hash hash, const uint8_t *key,
                                       size_t key_len, const uint8_t *const data[],
                                       const size_t len[], size_t parts, uint8_t *tag,
                                       struct error *err)
{
    (void)service;
    HOST_HMAC_CLEANUP struct host_hmac hmac = {0};
    enum mikeyd_status status = host_hmac_open(&hmac, hash, key, key_len, err);
    if (status == MIKEYD_OK)
        status = host_hmac_tag(&hmac, data, len, parts, tag, err);
    return status;
}

const struct mikey_hmac_ops mikey_host_hmac = {.hmac_batch = hmac_batch,
                                               .hmac_message = hmac_message};

enum mikeyd_status mikey_host_psk(const void *psk_bytes, size_t len, struct mikey_psk *out,
                                  struct error *err)
{
    *out = (struct mikey_psk){.ops = &mikey_psk_by_hmac, .hmac = &mikey_host_hmac};
    if (len == 0 || len > (size_t)PSK_BLOCK * MIKEY_PSK_BLOCKS_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "a PSK of %zu bytes", len);
    struct byte_reader r = reader_of(psk_bytes, len);
    while (reader_left(&r) > 0) {
        size_t take = reader_left(&r) < PSK_BLOCK ? reader_left(&r) : PSK_BLOCK;
        struct mikey_host_key *key = NULL;
        enum mikeyd_status status = mikey_host_key_make(reader_bytes(&r, take), take, &key, err);
        if (status != MIKEYD_OK) {
            mikey_host_psk_clear(out);
            return status;
        }
        out->blocks[out->block_count++] = key;
    }
    return MIKEYD_OK;
}

void mikey_host_psk_clear(struct mikey_psk *psk)
{
    for (size_t i = 0; i < psk->block_count; i++) {
        mikey_host_key_free((struct mikey_host_key *)(uintptr_t)psk->blocks[i]);
        psk->blocks[i] = NULL;
    }
    psk->block_count = 0;
}
