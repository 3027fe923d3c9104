#include "mikey/host_crypto.h"

#include <limits.h>
#include <pthread.h>

#include "base/secret.h"

/* Fetched once and kept for the life of the process. */
static struct {
    EVP_CIPHER *ctr128, *ctr256, *wrap128;
} fetched;
static pthread_once_t fetched_once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
    fetched.ctr128 = EVP_CIPHER_fetch(NULL, "AES-128-CTR", NULL);
    fetched.ctr256 = EVP_CIPHER_fetch(NULL, "AES-256-CTR", NULL);
    fetched.wrap128 = EVP_CIPHER_fetch(NULL, "AES-128-WRAP", NULL);
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
