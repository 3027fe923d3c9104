/*
 * HMAC on the host, by OpenSSL's HMAC_CTX.
 *
 * This one file uses an interface that OpenSSL 3 calls deprecated in favour of EVP_MAC, and the
 * reason is measured: EVP_MAC looks up parameters by name and copies the key on every start and
 * costs 210 ns for an HMAC of a label and 850 ns for one under a new key, against 170 and 640 ns
 * here, where the engine needs 18 HMACs an exchange. Both interfaces run the same code of OpenSSL
 * over the same digests, which are fetched from the provider in force.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "mikey/host_crypto.h"

#include <limits.h>
#include <pthread.h>

/* Fetched once and kept for the life of the process. */
static EVP_MD *digests[2];
/* Each thread keeps one empty context for its next HMAC: a new one costs a fifth of an HMAC. */
static pthread_key_t spare;
static bool has_spare;
static pthread_once_t set_up_once = PTHREAD_ONCE_INIT;

static void free_spare(void *ctx)
{
    HMAC_CTX_free(ctx);
}

static void set_up(void)
{
    has_spare = pthread_key_create(&spare, free_spare) == 0;
    digests[HMAC_SHA1] = EVP_MD_fetch(NULL, "SHA1", NULL);
    digests[HMAC_SHA256] = EVP_MD_fetch(NULL, "SHA256", NULL);
}

static HMAC_CTX *take_context(void)
{
    HMAC_CTX *ctx = has_spare ? pthread_getspecific(spare) : NULL;
    if (ctx == NULL)
        return HMAC_CTX_new();
    if (pthread_setspecific(spare, NULL) != 0)
        return NULL;
    return ctx;
}

/* HMAC_CTX_reset wipes the key and all that came of it; only then is a context kept. */
static void give_back_context(HMAC_CTX *ctx)
{
    bool kept = has_spare && HMAC_CTX_reset(ctx) == 1 && pthread_getspecific(spare) == NULL &&
                pthread_setspecific(spare, ctx) == 0;
    if (!kept)
        HMAC_CTX_free(ctx);
}

enum mikeyd_status host_hmac_open(struct host_hmac *hmac, enum hmac_hash hash, const uint8_t *key,
                                  size_t key_len, struct error *err)
{
    *hmac = (struct host_hmac){.tag_len = hmac_tag_len(hash), .fresh = true};
    if (key_len == 0 || key_len > INT_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "HMAC under a key of %zu bytes", key_len);
    (void)pthread_once(&set_up_once, set_up);
    if (digests[hash] != NULL)
        hmac->ctx = take_context();
    if (hmac->ctx == NULL || HMAC_Init_ex(hmac->ctx, key, (int)key_len, digests[hash], NULL) != 1) {
        host_hmac_close(hmac);
        return error_set(err, MIKEYD_INTERNAL, "OpenSSL cannot set up HMAC");
    }
    return MIKEYD_OK;
}

enum mikeyd_status host_hmac_tag(struct host_hmac *hmac, const uint8_t *const data[],
                                 const size_t len[], size_t parts, uint8_t *tag, struct error *err)
{
    /* Without key and digest: back to the state right after keying. */
    bool ok = hmac->fresh || HMAC_Init_ex(hmac->ctx, NULL, 0, NULL, NULL) == 1;
    hmac->fresh = false;
    for (size_t i = 0; ok && i < parts; i++)
        ok = len[i] == 0 || HMAC_Update(hmac->ctx, data[i], len[i]) == 1;
    unsigned made = 0;
    if (!ok || HMAC_Final(hmac->ctx, tag, &made) != 1 || made != hmac->tag_len)
        return error_set(err, MIKEYD_INTERNAL, "OpenSSL cannot compute HMAC");
    return MIKEYD_OK;
}

void host_hmac_close(struct host_hmac *hmac)
{
    if (hmac->ctx != NULL)
        give_back_context(hmac->ctx);
    hmac->ctx = NULL;
}
