/* Officers' keys and what they sign, all of it by OpenSSL. */
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/text.h"
#include "officers/officers.h"

static bool is_ed25519(EVP_PKEY *key)
{
    return EVP_PKEY_is_a(key, "ED25519") == 1;
}

static bool is_p256(EVP_PKEY *key)
{
    char group[32] = "";
    size_t len = 0;
    return EVP_PKEY_is_a(key, "EC") == 1 &&
           EVP_PKEY_get_group_name(key, group, sizeof group, &len) == 1 &&
           OBJ_txt2nid(group) == NID_X9_62_prime256v1;
}

bool officer_key_fits(EVP_PKEY *key)
{
    return key != NULL && (is_ed25519(key) || is_p256(key));
}

enum mikeyd_status officer_key_fingerprint(EVP_PKEY *key, char out[OFFICER_FINGERPRINT],
                                           struct error *err)
{
    uint8_t digest[32], *info = NULL;
    const int len = i2d_PUBKEY(key, &info);
    const bool done = len > 0 && EVP_Digest(info, (size_t)len, digest, NULL, EVP_sha256(), NULL);
    OPENSSL_free(info);
    if (!done)
        return error_set(err, MIKEYD_INTERNAL, "the fingerprint of a public key failed");
    hex_encode(digest, (OFFICER_FINGERPRINT - 1) / 2, out);
    return MIKEYD_OK;
}

/* Ed25519 hashes by itself. */
static const EVP_MD *hash_of(EVP_PKEY *key)
{
    return is_ed25519(key) ? NULL : EVP_sha256();
}

enum mikeyd_status officer_sign(EVP_PKEY *key, const char *text, uint8_t *signature, size_t *len,
                                struct error *err)
{
    if (!officer_key_fits(key))
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "the key is not " OFFICER_KEYS);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const bool done =
        context != NULL && EVP_DigestSignInit(context, NULL, hash_of(key), NULL, key) == 1 &&
        EVP_DigestSign(context, signature, len, (const unsigned char *)text, strlen(text)) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return done ? MIKEYD_OK
                : error_set(err, MIKEYD_TOKEN_DOWN,
                            "the key, or the token that holds it, did not "
                            "sign");
}

bool officer_verifies(EVP_PKEY *key, const char *text, const uint8_t *signature, size_t len)
{
    if (!officer_key_fits(key))
        return false;
    (void)ERR_set_mark();
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const bool right =
        context != NULL && EVP_DigestVerifyInit(context, NULL, hash_of(key), NULL, key) == 1 &&
        EVP_DigestVerify(context, signature, len, (const unsigned char *)text, strlen(text)) == 1;
    EVP_MD_CTX_free(context);
    (void)ERR_pop_to_mark();
    return right;
}
