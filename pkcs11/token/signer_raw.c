/*
 * Signing through the module's function list that all other calls use, in the guest session: where
 * each user of a module has a login of its own (p11-kit's client), only this list is logged in.
 */
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include "pkcs11/token/signer_internal.h"

#define SCALAR_LEN 32 /* of P-256: r and s of a signature */
#define EC_ATTRIBUTE_MAX 160
#define MODULUS_MAX (SIGNATURE_RSA_MOST_BITS / 8)

/* The guest session is replaced after any error: an active operation cannot be cancelled. */
static enum mikeyd_status call_failed(struct token_signer *signer, const char *operation, CK_RV rv,
                                      struct error *err)
{
    token_session_drop(&signer->token->guest);
    return error_set(err, MIKEYD_TOKEN_DOWN, "token %s: %s with %s: %s", signer->token->label,
                     operation, signer->label, ckr_name(rv));
}

static enum mikeyd_status session_ready(struct token_signer *signer, struct error *err)
{
    struct token_session *session = &signer->token->guest;
    if (session->handle != CK_INVALID_HANDLE)
        return MIKEYD_OK;
    token_call_mark(session, "C_OpenSession");
    CK_RV rv = token_session_open(session);
    return rv == CKR_OK ? MIKEYD_OK : call_failed(signer, "C_OpenSession", rv, err);
}

/* ---- finding the keys */

#define HALVES_MAX 16

static enum mikeyd_status find_halves(struct token_signer *signer, CK_OBJECT_CLASS object_class,
                                      CK_OBJECT_HANDLE out[HALVES_MAX], CK_ULONG *count,
                                      struct error *err)
{
    struct token_session *session = &signer->token->guest;
    CK_FUNCTION_LIST *f = signer->token->f;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE wanted[] = {
        {CKA_CLASS, &object_class, sizeof object_class},
        {CKA_TOKEN, &yes, sizeof yes},
        {CKA_LABEL, signer->label, (CK_ULONG)strlen(signer->label)},
        {CKA_PRIVATE, &yes, sizeof yes},
    };
    /* Anybody can make a private key that is not CKA_PRIVATE; public keys never are. */
    const CK_ULONG wanted_count = object_class == CKO_PRIVATE_KEY ? 4 : 3;
    *count = 0;
    token_call_mark(session, "C_FindObjects");
    CK_RV rv = f->C_FindObjectsInit(session->handle, wanted, wanted_count);
    if (rv == CKR_OK)
        rv = f->C_FindObjects(session->handle, out, HALVES_MAX, count);
    if (rv == CKR_OK)
        rv = f->C_FindObjectsFinal(session->handle);
    return rv == CKR_OK ? MIKEYD_OK : call_failed(signer, "C_FindObjects", rv, err);
}

/* EC or RSA; other types are read as what they are not, and refused. */
static enum mikeyd_status read_type(struct token_signer *signer, CK_OBJECT_HANDLE handle, bool *rsa,
                                    struct error *err)
{
    CK_KEY_TYPE type = 0;
    CK_ATTRIBUTE attribute = {CKA_KEY_TYPE, &type, sizeof type};
    CK_RV rv =
        signer->token->f->C_GetAttributeValue(signer->token->guest.handle, handle, &attribute, 1);
    *rsa = type == CKK_RSA;
    return rv == CKR_OK ? MIKEYD_OK : call_failed(signer, "C_GetAttributeValue", rv, err);
}

static enum mikeyd_status find_private(struct token_signer *signer, struct error *err)
{
    CK_OBJECT_HANDLE found[HALVES_MAX];
    CK_ULONG count = 0;
    enum mikeyd_status status = find_halves(signer, CKO_PRIVATE_KEY, found, &count, err);
    if (status == MIKEYD_OK && count != 1)
        status = signer_not_one(signer, "private", count, err);
    if (status == MIKEYD_OK)
        status = read_type(signer, found[0], &signer->rsa, err);
    if (status == MIKEYD_OK)
        signer->private_handle = found[0];
    return status;
}

/*
 * CKA_EC_PARAMS is a DER ECParameters; CKA_EC_POINT a DER OCTET STRING that holds the point as
 * X9.62 encodes it (PKCS#11 2.40, 2.3.3). OpenSSL reads both, and checks that the point is on the
 * curve.
 */
static EVP_PKEY *host_key(const uint8_t *params, size_t params_len, const uint8_t *point,
                          size_t point_len)
{
    const uint8_t *at = params, *end = point;
    EVP_PKEY *key = d2i_KeyParams(EVP_PKEY_EC, NULL, &at, (long)params_len);
    ASN1_OCTET_STRING *octets = d2i_ASN1_OCTET_STRING(NULL, &end, (long)point_len);
    const bool whole =
        key != NULL && octets != NULL && at == params + params_len && end == point + point_len;
    const bool set =
        whole && EVP_PKEY_set1_encoded_public_key(key, ASN1_STRING_get0_data(octets),
                                                  (size_t)ASN1_STRING_length(octets)) == 1;
    ASN1_OCTET_STRING_free(octets);
    if (set)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

static EVP_PKEY *host_rsa(const uint8_t *modulus, size_t modulus_len, const uint8_t *exponent,
                          size_t exponent_len)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    BIGNUM *n = BN_bin2bn(modulus, (int)modulus_len, NULL);
    BIGNUM *e = BN_bin2bn(exponent, (int)exponent_len, NULL);
    if (build != NULL && context != NULL && n != NULL && e != NULL &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1 &&
        (params = OSSL_PARAM_BLD_to_param(build)) != NULL && EVP_PKEY_fromdata_init(context) == 1)
        (void)EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params);
    BN_free(n);
    BN_free(e);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(context);
    return key;
}

static enum mikeyd_status read_public(struct token_signer *signer, CK_OBJECT_HANDLE handle,
                                      struct error *err)
{
    struct token_session *session = &signer->token->guest;
    uint8_t first[MODULUS_MAX], second[EC_ATTRIBUTE_MAX];
    CK_ATTRIBUTE list[] = {
        {signer->rsa ? CKA_MODULUS : CKA_EC_PARAMS, first, sizeof first},
        {signer->rsa ? CKA_PUBLIC_EXPONENT : CKA_EC_POINT, second, sizeof second},
    };
    token_call_mark(session, "C_GetAttributeValue");
    CK_RV rv = signer->token->f->C_GetAttributeValue(session->handle, handle, list, 2);
    if (rv == CKR_OK && (list[0].ulValueLen > sizeof first || list[1].ulValueLen > sizeof second))
        rv = CKR_DEVICE_ERROR; /* a length that cannot be one */
    if (rv != CKR_OK)
        return call_failed(signer, "C_GetAttributeValue", rv, err);
    signer->public_key = signer->rsa
                             ? host_rsa(first, list[0].ulValueLen, second, list[1].ulValueLen)
                             : host_key(first, list[0].ulValueLen, second, list[1].ulValueLen);
    if (signer->public_key == NULL)
        return signer_fail(signer, "reading the public key", err);
    return MIKEYD_OK;
}

/* ---- signing */

/* PKCS#11 gives r and s side by side; the audit log carries ECDSA-Sig-Value (RFC 3279 2.2.3). */
static bool encode_signature(const uint8_t raw[2 * SCALAR_LEN], uint8_t *out, size_t *len)
{
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, SCALAR_LEN, NULL);
    BIGNUM *s = BN_bin2bn(raw + SCALAR_LEN, SCALAR_LEN, NULL);
    bool done = false;
    if (pair != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1) {
        r = s = NULL; /* the pair's now */
        const int need = i2d_ECDSA_SIG(pair, NULL);
        if (need > 0 && (size_t)need <= *len) {
            *len = (size_t)i2d_ECDSA_SIG(pair, &out);
            done = true;
        }
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(pair);
    return done;
}

/* One call, whose output has room for any key that fits. In the bracket, the session is open. */
static enum mikeyd_status sign_by(struct token_signer *signer, CK_MECHANISM *mechanism,
                                  uint8_t *input, size_t input_len, uint8_t *out, CK_ULONG *out_len,
                                  struct error *err)
{
    struct token_session *session = &signer->token->guest;
    CK_FUNCTION_LIST *f = signer->token->f;
    token_call_mark(session, "C_Sign");
    CK_RV rv = f->C_SignInit(session->handle, mechanism, signer->private_handle);
    if (rv == CKR_OK)
        rv = f->C_Sign(session->handle, input, (CK_ULONG)input_len, out, out_len);
    if (rv != CKR_OK)
        return call_failed(signer, "C_Sign", rv, err);
    (void)atomic_fetch_add_explicit(&signer->token->calls, 1, memory_order_relaxed);
    return MIKEYD_OK;
}

static enum mikeyd_status sign_ec(struct token_signer *signer, const uint8_t digest[32],
                                  uint8_t *signature, size_t *len, struct error *err)
{
    uint8_t input[32], raw[2 * SCALAR_LEN];
    CK_ULONG raw_len = sizeof raw;
    memcpy(input, digest, sizeof input); /* C_Sign's data is not const */
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    enum mikeyd_status status =
        sign_by(signer, &mechanism, input, sizeof input, raw, &raw_len, err);
    if (status == MIKEYD_OK && raw_len != sizeof raw) /* no signature by P-256 */
        status = call_failed(signer, "C_Sign", CKR_DEVICE_ERROR, err);
    if (status != MIKEYD_OK)
        return status;
    return encode_signature(raw, signature, len) ? MIKEYD_OK
                                                 : signer_fail(signer, "encoding a signature", err);
}

/* RFC 8017 9.2, note 1: DigestInfo of SHA-256, in front of the digest. */
static const uint8_t digest_info[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                      0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};

static enum mikeyd_status sign_rsa(struct token_signer *signer, const uint8_t digest[32],
                                   uint8_t *signature, size_t *len, struct error *err)
{
    const bool pss = token_has_mechanism(signer->token, CKM_RSA_PKCS_PSS);
    uint8_t input[sizeof digest_info + 32], out[SIGNATURE_MAX];
    struct byte_writer w = writer_of(input, sizeof input);
    CK_ULONG out_len = sizeof out;
    CK_RSA_PKCS_PSS_PARAMS params = {CKM_SHA256, CKG_MGF1_SHA256, 32};
    CK_MECHANISM mechanism = {CKM_RSA_PKCS, NULL, 0};
    if (pss)
        mechanism = (CK_MECHANISM){CKM_RSA_PKCS_PSS, &params, sizeof params};
    else
        writer_bytes(&w, digest_info, sizeof digest_info);
    writer_bytes(&w, digest, 32);
    enum mikeyd_status status = sign_by(signer, &mechanism, input, w.len, out, &out_len, err);
    if (status == MIKEYD_OK && (out_len == 0 || out_len > *len || out_len > sizeof out))
        status = call_failed(signer, "C_Sign", CKR_DEVICE_ERROR, err);
    if (status != MIKEYD_OK)
        return status;
    memcpy(signature, out, out_len);
    *len = out_len;
    return MIKEYD_OK;
}

static enum mikeyd_status raw_sign(struct token_signer *signer, const uint8_t digest[32],
                                   uint8_t *signature, size_t *len, struct error *err)
{
    enum mikeyd_status status = session_ready(signer, err);
    if (status != MIKEYD_OK)
        return status;
    return signer->rsa ? sign_rsa(signer, digest, signature, len, err)
                       : sign_ec(signer, digest, signature, len, err);
}

/* ---- which public key is its own */

/* Anybody who reaches the token can make a public key of that label, but not one that the private
 * key's signature verifies under. */
static enum mikeyd_status choose_public(struct token_signer *signer,
                                        const CK_OBJECT_HANDLE *candidate, size_t count,
                                        struct error *err)
{
    uint8_t digest[32], signature[SIGNATURE_MAX];
    size_t len = sizeof signature;
    if (RAND_bytes(digest, sizeof digest) != 1)
        return error_set(err, MIKEYD_INTERNAL, "no random bytes");
    enum mikeyd_status status = raw_sign(signer, digest, signature, &len, err);
    for (size_t i = 0; status == MIKEYD_OK && i < count; i++) {
        if (read_public(signer, candidate[i], NULL) == MIKEYD_OK &&
            signature_verifies(signer->public_key, digest, signature, len))
            return MIKEYD_OK;
        EVP_PKEY_free(signer->public_key);
        signer->public_key = NULL;
        status = session_ready(signer, err);
    }
    if (status != MIKEYD_OK)
        return status;
    return error_set(err, MIKEYD_TOKEN_DOWN, "none of %zu public keys %s in token %s is its own",
                     count, signer->label, signer->token->label);
}

static enum mikeyd_status find_public(struct token_signer *signer, struct error *err)
{
    CK_OBJECT_HANDLE found[HALVES_MAX];
    CK_ULONG count = 0;
    enum mikeyd_status status = find_halves(signer, CKO_PUBLIC_KEY, found, &count, err);
    if (status != MIKEYD_OK)
        return status;
    if (count == 0)
        return signer_not_one(signer, "public", count, err);
    return count == 1 ? read_public(signer, found[0], err)
                      : choose_public(signer, found, count, err);
}

static enum mikeyd_status raw_load(struct token_signer *signer, bool *unseen, struct error *err)
{
    *unseen = false; /* there is no further way */
    enum mikeyd_status status = session_ready(signer, err);
    if (status == MIKEYD_OK)
        status = find_private(signer, err);
    return status == MIKEYD_OK ? find_public(signer, err) : status;
}

const struct signer_way signer_way_raw = {.load = raw_load, .sign = raw_sign};
