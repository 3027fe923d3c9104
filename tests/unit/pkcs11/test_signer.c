/* The audit log's signing key in a real token, through libp11. */
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "pkcs11/token/signer.h"
#include "provision_support.h"

static struct bench b;
static struct error err;
static const uint8_t digest[32] = {9, 8, 7, 6, 5, 4, 3, 2, 1};

static void softhsm(void)
{
    bench_softhsm(&b);
}

static void nss(void)
{
    bench_nss(&b);
}

static void teardown(void)
{
    bench_close(&b);
}

TestSuite(signer_softhsm, .init = softhsm, .fini = teardown);
TestSuite(signer_nss, .init = nss, .fini = teardown);

static bool verifies(const char *pem, const uint8_t *hash, const uint8_t *signature, size_t len)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    cr_assert_not_null(key);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    cr_assert_eq(EVP_PKEY_verify_init(context), 1);
    cr_assert_eq(EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()), 1);
    const bool right = EVP_PKEY_verify(context, signature, len, hash, 32) == 1;
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(key);
    BIO_free(bio);
    return right;
}

static struct token_signer *signer_make(void)
{
    struct token_signer *signer = NULL;
    cr_assert_eq(provision_generate_audit_key(b.session, "log", 1, 256, &err), MIKEYD_OK, "%s",
                 err.text);
    cr_assert_eq(token_signer_open(b.token, "log", 1, &signer, &err), MIKEYD_OK, "%s", err.text);
    return signer;
}

static void expect_signature(struct token_signer *signer)
{
    uint8_t signature[128], other[32];
    size_t len = sizeof signature;
    char *pem = token_signer_public_pem(signer);
    cr_assert_not_null(pem);
    cr_assert_eq(token_signer_sign(signer, digest, signature, &len, &err), MIKEYD_OK, "%s",
                 err.text);
    cr_expect(verifies(pem, digest, signature, len));
    memcpy(other, digest, sizeof other);
    other[31] ^= 1;
    cr_expect_not(verifies(pem, other, signature, len));
    free(pem);
}

static void expect_signs(void)
{
    struct token_signer *signer = signer_make();
    cr_expect_str_eq(token_signer_label(signer), "mikeyd/audit/log/1");
    expect_signature(signer);
    expect_signature(signer);
    token_signer_close(signer);
}

Test(signer_softhsm, signature_verifies_with_the_pem)
{
    expect_signs();
}

Test(signer_nss, signature_verifies_with_the_pem)
{
    expect_signs();
}

/* ---- RSA, for tokens without elliptic curves */

static bool verifies_by(const char *pem, int padding, const uint8_t *signature, size_t len)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    cr_assert_not_null(key);
    cr_assert_eq(EVP_PKEY_get_bits(key), 3072);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    cr_assert_eq(EVP_PKEY_verify_init(context), 1);
    cr_assert_eq(EVP_PKEY_CTX_set_rsa_padding(context, padding), 1);
    cr_assert_eq(EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()), 1);
    if (padding == RSA_PKCS1_PSS_PADDING)
        cr_assert_eq(EVP_PKEY_CTX_set_rsa_pss_saltlen(context, 32), 1);
    const bool right = EVP_PKEY_verify(context, signature, len, digest, 32) == 1;
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(key);
    BIO_free(bio);
    return right;
}

static void expect_rsa(int padding)
{
    struct token_signer *signer = NULL;
    uint8_t signature[512];
    size_t len = sizeof signature;
    cr_assert_eq(provision_generate_audit_key(b.session, "log", 1, 3072, &err), MIKEYD_OK, "%s",
                 err.text);
    cr_assert_eq(token_signer_open(b.token, "log", 1, &signer, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_signer_prove(signer, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_signer_sign(signer, digest, signature, &len, &err), MIKEYD_OK, "%s",
                 err.text);
    cr_expect_eq(len, 384);
    char *pem = token_signer_public_pem(signer);
    cr_assert_not_null(pem);
    cr_expect(verifies_by(pem, padding, signature, len));
    cr_expect_not(
        verifies_by(pem, padding == RSA_PKCS1_PADDING ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING,
                    signature, len));
    free(pem);
    len = 383;
    cr_expect_neq(token_signer_sign(signer, digest, signature, &len, &err), MIKEYD_OK);
    token_signer_close(signer);
}

Test(signer_softhsm, rsa_key_signs_by_pss)
{
    expect_rsa(RSA_PKCS1_PSS_PADDING);
}

Test(signer_nss, rsa_key_signs_by_pss)
{
    expect_rsa(RSA_PKCS1_PSS_PADDING);
}

Test(signer_softhsm, rsa_key_signs_by_pkcs1_where_there_is_no_pss)
{
    for (size_t i = 0; i < b.token->mechanism_count; i++) {
        if (b.token->mechanisms[i] == CKM_RSA_PKCS_PSS)
            b.token->mechanisms[i] = CKM_VENDOR_DEFINED;
    }
    expect_rsa(RSA_PKCS1_PADDING);
}

Test(signer_softhsm, key_of_another_length_is_not_made)
{
    cr_expect_eq(provision_generate_audit_key(b.session, "log", 1, 2048, &err),
                 MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(provision_generate_audit_key(b.session, "log", 1, 384, &err),
                 MIKEYD_INVALID_ARGUMENT);
}

Test(signer_softhsm, token_without_curves_says_what_to_do)
{
    for (size_t i = 0; i < b.token->mechanism_count; i++) {
        if (b.token->mechanisms[i] == CKM_EC_KEY_PAIR_GEN)
            b.token->mechanisms[i] = CKM_VENDOR_DEFINED;
    }
    cr_expect_eq(provision_generate_audit_key(b.session, "log", 1, 256, &err), MIKEYD_UNSUPPORTED);
    cr_expect_not_null(strstr(err.text, "--bits 3072"), "%s", err.text);
}

/* libp11's clean-up closes all sessions of a token and finalises the module: ours must survive. */
static void expect_token_survives(void)
{
    struct token_signer *signer = signer_make();
    const struct provision_spec spec = {
        .kind = TOKEN_TICKET, .name = "t", .generation = 1, .bits = 256};
    cr_assert_eq(provision_generate(b.session, &spec, &err), MIKEYD_OK, "%s", err.text);
    expect_signature(signer);
    token_signer_close(signer);
    struct token_facts facts;
    token_get_facts(b.token, &facts);
    uint8_t tag[32];
    struct hmac_job job = {.key = &bench_key(b.token, TOKEN_TICKET, "t", 1)->block[0],
                           .hash = HMAC_SHA256,
                           .data = {digest, NULL},
                           .len = {32, 0},
                           .tag = tag};
    cr_expect_eq(token_hmac_batch(b.session, &job, 1, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(facts.generation, 1, "the module was initialised again");
}

Test(signer_softhsm, token_survives_the_end_of_the_signer)
{
    expect_token_survives();
}

Test(signer_nss, token_survives_the_end_of_the_signer)
{
    expect_token_survives();
}

/* After a re-initialisation handles may name other keys, and libp11 is not told. */
Test(signer_softhsm, signs_on_after_a_reinitialisation)
{
    struct token_signer *signer = signer_make();
    expect_signature(signer);
    cr_assert_eq(token_recover(b.session, CKR_CRYPTOKI_NOT_INITIALIZED, &err), MIKEYD_OK, "%s",
                 err.text);
    struct token_facts facts;
    token_get_facts(b.token, &facts);
    cr_expect_gt(facts.generation, 1);
    expect_signature(signer);
    token_signer_close(signer);
}

Test(signer_softhsm, missing_key_is_named)
{
    struct token_signer *signer = NULL;
    cr_expect_eq(token_signer_open(b.token, "log", 1, &signer, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "mikeyd/audit/log/1"), "%s", err.text);
}

Test(signer_softhsm, audit_key_cannot_leave)
{
    struct token_signer *signer = signer_make();
    const struct token_key *key = bench_key(b.token, TOKEN_AUDIT, "log", 1);
    struct provision_view view;
    cr_assert_not_null(key);
    cr_expect_eq(key->findings & KEY_FINDING_FATAL, 0, "findings %x", key->findings);
    cr_assert_eq(provision_view_key(b.session, key, &view, &err), MIKEYD_OK, "%s", err.text);
    cr_expect(view.sensitive);
    cr_expect_not(view.extractable);
    cr_expect_not(view.derive);
    cr_expect_not(view.decrypt);
    token_signer_close(signer);
}

Test(signer_softhsm, second_key_of_that_label_is_refused)
{
    struct token_signer *signer = signer_make();
    cr_expect_eq(provision_generate_audit_key(b.session, "log", 1, 256, &err),
                 MIKEYD_INVALID_ARGUMENT);
    token_signer_close(signer);
}
