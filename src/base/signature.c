#include "base/signature.h"

#include <openssl/err.h>
#include <openssl/rsa.h>

#define DIGEST 32

static bool is_rsa(EVP_PKEY *key)
{
    const int bits = EVP_PKEY_get_bits(key);
    return EVP_PKEY_is_a(key, "RSA") == 1 && bits >= SIGNATURE_RSA_LEAST_BITS &&
           bits <= SIGNATURE_RSA_MOST_BITS;
}

static bool is_p256(EVP_PKEY *key)
{
    char group[32] = "";
    size_t len = 0;
    return EVP_PKEY_is_a(key, "EC") == 1 &&
           EVP_PKEY_get_group_name(key, group, sizeof group, &len) == 1 &&
           OBJ_txt2nid(group) == NID_X9_62_prime256v1;
}

bool signature_key_fits(EVP_PKEY *key)
{
    return key != NULL && (is_p256(key) || is_rsa(key));
}

/* padding: 0 for ECDSA, which has none. */
static bool verifies_by(EVP_PKEY *key, int padding, const uint8_t digest[DIGEST],
                        const uint8_t *signature, size_t len)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    bool right = context != NULL && EVP_PKEY_verify_init(context) == 1;
    if (right && padding != 0)
        right = EVP_PKEY_CTX_set_rsa_padding(context, padding) == 1;
    right = right && EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) == 1;
    if (right && padding == RSA_PKCS1_PSS_PADDING)
        right = EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) == 1 &&
                EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
    right = right && EVP_PKEY_verify(context, signature, len, digest, DIGEST) == 1;
    EVP_PKEY_CTX_free(context);
    return right;
}

bool signature_verifies(EVP_PKEY *key, const uint8_t digest[DIGEST], const uint8_t *signature,
                        size_t len)
{
    bool right = false;
    if (key == NULL)
        return false;
    (void)ERR_set_mark();
    if (is_p256(key))
        right = verifies_by(key, 0, digest, signature, len);
    else if (is_rsa(key))
        right = verifies_by(key, RSA_PKCS1_PSS_PADDING, digest, signature, len) ||
                verifies_by(key, RSA_PKCS1_PADDING, digest, signature, len);
    (void)ERR_pop_to_mark();
    return right;
}
