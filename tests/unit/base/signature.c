/* Which keys may sign the audit log, and what counts as their signature. */
#include "base/signature.h"

#include <string.h>

#include <criterion/criterion.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

static const uint8_t digest[32] = {1, 2, 3}, another[32] = {1, 2, 4};

static void expect_fits(EVP_PKEY *key, bool fits)
{
    cr_assert_not_null(key);
    cr_expect_eq(signature_key_fits(key), fits);
    EVP_PKEY_free(key);
}

Test(signature, keys_of_the_right_kind_and_length_fit)
{
    expect_fits(EVP_EC_gen("P-256"), true);
    expect_fits(EVP_RSA_gen(3072), true);
    expect_fits(EVP_EC_gen("P-384"), false);
    expect_fits(EVP_EC_gen("secp256k1"), false);
    expect_fits(EVP_RSA_gen(2048), false);
    expect_fits(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), false);
    cr_expect_not(signature_key_fits(NULL));
    cr_expect_not(signature_verifies(NULL, digest, digest, sizeof digest));
}

/* A public key of that many bits; nobody has the other half. */
static EVP_PKEY *rsa_of(int bits)
{
    EVP_PKEY *key = NULL;
    BIGNUM *n = BN_new(), *e = BN_new();
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    cr_assert_eq(BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD), 1);
    cr_assert_eq(BN_set_word(e, 65537), 1);
    cr_assert_eq(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n), 1);
    cr_assert_eq(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e), 1);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    cr_assert_eq(EVP_PKEY_fromdata_init(context), 1);
    cr_assert_eq(EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(context);
    BN_free(n);
    BN_free(e);
    return key;
}

Test(signature, the_bounds_of_rsa_are_exact)
{
    expect_fits(rsa_of(SIGNATURE_RSA_LEAST_BITS - 1), false);
    expect_fits(rsa_of(SIGNATURE_RSA_LEAST_BITS), true);
    expect_fits(rsa_of(SIGNATURE_RSA_MOST_BITS), true);
    expect_fits(rsa_of(SIGNATURE_RSA_MOST_BITS + 1), false);
}

/* padding 0: ECDSA. Returns the length. */
static size_t sign(EVP_PKEY *key, int padding, int salt, uint8_t out[SIGNATURE_MAX])
{
    size_t len = SIGNATURE_MAX;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    cr_assert_eq(EVP_PKEY_sign_init(context), 1);
    if (padding != 0)
        cr_assert_eq(EVP_PKEY_CTX_set_rsa_padding(context, padding), 1);
    cr_assert_eq(EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()), 1);
    if (padding == RSA_PKCS1_PSS_PADDING)
        cr_assert_eq(EVP_PKEY_CTX_set_rsa_pss_saltlen(context, salt), 1);
    cr_assert_eq(EVP_PKEY_sign(context, out, &len, digest, sizeof digest), 1);
    EVP_PKEY_CTX_free(context);
    return len;
}

static void expect_verifies(EVP_PKEY *key, const uint8_t *signature, size_t len)
{
    uint8_t bad[SIGNATURE_MAX];
    cr_expect(signature_verifies(key, digest, signature, len));
    cr_expect_not(signature_verifies(key, another, signature, len));
    cr_expect_not(signature_verifies(key, digest, signature, len - 1));
    memcpy(bad, signature, len);
    bad[len / 2] ^= 1;
    cr_expect_not(signature_verifies(key, digest, bad, len));
}

Test(signature, ecdsa_is_good)
{
    uint8_t out[SIGNATURE_MAX];
    EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
    const size_t len = sign(key, 0, 0, out);
    expect_verifies(key, out, len);
    cr_expect_not(signature_verifies(other, digest, out, len));
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

Test(signature, rsa_is_good_by_either_scheme_and_by_no_other)
{
    uint8_t out[SIGNATURE_MAX];
    EVP_PKEY *key = EVP_RSA_gen(3072);
    size_t len = sign(key, RSA_PKCS1_PSS_PADDING, 32, out);
    expect_verifies(key, out, len);
    len = sign(key, RSA_PKCS1_PADDING, 0, out);
    expect_verifies(key, out, len);
    len = sign(key, RSA_PKCS1_PSS_PADDING, 0, out);
    cr_expect_not(signature_verifies(key, digest, out, len), "a salt of another length");
    EVP_PKEY_free(key);
}

/* Of a key that does not fit, however right it is. */
Test(signature, short_rsa_key_verifies_nothing)
{
    uint8_t out[SIGNATURE_MAX];
    EVP_PKEY *key = EVP_RSA_gen(2048);
    const size_t len = sign(key, RSA_PKCS1_PSS_PADDING, 32, out);
    cr_expect_not(signature_verifies(key, digest, out, len));
    EVP_PKEY_free(key);
}
