#include "mikey/host_crypto.h"

#include <limits.h>
#include <pthread.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "base/secret.h"

/* Fetched once and kept for the life of the process; a template is an HMAC without a key. */
static struct {
    EVP_MAC_CTX *hmac[2];
    EVP_CIPHER *ctr128, *ctr256, *wrap128;
} fetched;
static pthread_once_t fetched_once = PTHREAD_ONCE_INIT;

static EVP_MAC_CTX *hmac_template(EVP_MAC *mac, const char *digest)
{
    /* OSSL_PARAM has no const form for strings; OpenSSL only reads this one. */
    char name[16];
    OPENSSL_strlcpy(name, digest, sizeof name);
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                                 OSSL_PARAM_construct_end()};
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    if (ctx != NULL && EVP_MAC_CTX_set_params(ctx, params) != 1) {
        EVP_MAC_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

static void fetch(void)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (mac != NULL) {
        fetched.hmac[HMAC_SHA1] = hmac_template(mac, "SHA1");
        fetched.hmac[HMAC_SHA256] = hmac_template(mac, "SHA256");
    }
    EVP_MAC_free(mac);
    fetched.ctr128 = EVP_CIPHER_fetch(NULL, "AES-128-CTR", NULL);
    fetched.ctr256 = EVP_CIPHER_fetch(NULL, "AES-256-CTR", NULL);
    fetched.wrap128 = EVP_CIPHER_fetch(NULL, "AES-128-WRAP", NULL);
}

enum mikeyd_status host_hmac_open(struct host_hmac *hmac, enum hmac_hash hash, const uint8_t *key,
                                  size_t key_len, struct error *err)
{
    *hmac = (struct host_hmac){.tag_len = hmac_tag_len(hash), .fresh = true};
    if (key_len == 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "HMAC under an empty key");
    (void)pthread_once(&fetched_once, fetch);
    if (fetched.hmac[hash] != NULL)
        hmac->ctx = EVP_MAC_CTX_dup(fetched.hmac[hash]);
    if (hmac->ctx == NULL || EVP_MAC_init(hmac->ctx, key, key_len, NULL) != 1) {
        host_hmac_close(hmac);
        return error_set(err, MIKEYD_INTERNAL, "OpenSSL cannot set up HMAC");
    }
    return MIKEYD_OK;
}

enum mikeyd_status host_hmac_tag(struct host_hmac *hmac, const uint8_t *const data[],
                                 const size_t len[], size_t parts, uint8_t *tag, struct error *err)
{
    bool ok = hmac->fresh || EVP_MAC_init(hmac->ctx, NULL, 0, NULL) == 1;
    hmac->fresh = false;
    for (size_t i = 0; ok && i < parts; i++)
        ok = len[i] == 0 || EVP_MAC_update(hmac->ctx, data[i], len[i]) == 1;
    size_t made = 0;
    if (!ok || EVP_MAC_final(hmac->ctx, tag, &made, hmac->tag_len) != 1 || made != hmac->tag_len)
        return error_set(err, MIKEYD_INTERNAL, "OpenSSL cannot compute HMAC");
    return MIKEYD_OK;
}

void host_hmac_close(struct host_hmac *hmac)
{
    EVP_MAC_CTX_free(hmac->ctx);
    hmac->ctx = NULL;
}

enum mikeyd_status host_aes_ctr(const uint8_t *key, size_t key_len, const uint8_t iv[16],
                                uint8_t *data, size_t len, struct error *err)
{
    (void)pthread_once(&fetched_once, fetch);
    const EVP_CIPHER *cipher = key_len == 16   ? fetched.ctr128
                               : key_len == 32 ? fetched.ctr256
                                               : NULL;
    if (len > INT_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "AES-CTR over %zu bytes", len);
    EVP_CIPHER_CTX *ctx = cipher == NULL ? NULL : EVP_CIPHER_CTX_new();
    int made = 0;
    bool ok = ctx != NULL && EVP_EncryptInit_ex2(ctx, cipher, key, iv, NULL) == 1 &&
              EVP_EncryptUpdate(ctx, data, &made, data, (int)len) == 1 && (size_t)made == len;
    EVP_CIPHER_CTX_free(ctx);
    return ok ? MIKEYD_OK : error_set(err, MIKEYD_INTERNAL, "OpenSSL cannot run AES-CTR");
}

enum mikeyd_status host_aes_unwrap(const uint8_t kek[16], const uint8_t iv[8], const uint8_t *data,
                                   size_t len, uint8_t *out, size_t *out_len, struct error *err)
{
    (void)pthread_once(&fetched_once, fetch);
    if (len < 24 || len % 8 != 0 || len > INT_MAX)
        return error_set(err, MIKEYD_SYNTAX, "wrapped key data of %zu bytes", len);
    EVP_CIPHER_CTX *ctx = fetched.wrap128 == NULL ? NULL : EVP_CIPHER_CTX_new();
    if (ctx == NULL)
        return error_set(err, MIKEYD_INTERNAL, "OpenSSL has no AES key wrap");
    EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    int made = 0;
    bool ok = EVP_DecryptInit_ex2(ctx, fetched.wrap128, kek, iv, NULL) == 1 &&
              EVP_DecryptUpdate(ctx, out, &made, data, (int)len) == 1 && (size_t)made == len - 8;
    EVP_CIPHER_CTX_free(ctx);
    if (!ok) {
        secret_wipe(out, len);
        return error_set(err, MIKEYD_AUTH_FAILED, "wrapped key data does not verify");
    }
    *out_len = len - 8;
    return MIKEYD_OK;
}
