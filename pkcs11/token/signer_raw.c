/*
 * Signing through the module's function list that all other calls use, in the guest session: where
 * each user of a module has a login of its own (p11-kit's client), only this list is logged in.
 */
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include "pkcs11/token/signer_internal.h"

#define SCALAR_LEN 32 /* of P-256: r and s of a signature */
#define EC_ATTRIBUTE_MAX 160
#define SIGNATURE_MAX 80 /* DER: two integers of 33 bytes at most */

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
    CK_KEY_TYPE type = CKK_EC;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE wanted[] = {
        {CKA_CLASS, &object_class, sizeof object_class},
        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_TOKEN, &yes, sizeof yes},
        {CKA_LABEL, signer->label, (CK_ULONG)strlen(signer->label)},
        {CKA_PRIVATE, &yes, sizeof yes},
    };
    /* Anybody can make a private key that is not CKA_PRIVATE; public keys never are. */
    const CK_ULONG wanted_count = object_class == CKO_PRIVATE_KEY ? 5 : 4;
    *count = 0;
    token_call_mark(session, "C_FindObjects");
    CK_RV rv = f->C_FindObjectsInit(session->handle, wanted, wanted_count);
    if (rv == CKR_OK)
        rv = f->C_FindObjects(session->handle, out, HALVES_MAX, count);
    if (rv == CKR_OK)
        rv = f->C_FindObjectsFinal(session->handle);
    return rv == CKR_OK ? MIKEYD_OK : call_failed(signer, "C_FindObjects", rv, err);
}

static enum mikeyd_status find_private(struct token_signer *signer, struct error *err)
{
    CK_OBJECT_HANDLE found[HALVES_MAX];
    CK_ULONG count = 0;
    enum mikeyd_status status = find_halves(signer, CKO_PRIVATE_KEY, found, &count, err);
    if (status == MIKEYD_OK && count != 1)
        status = signer_not_one(signer, "private", count, err);
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

static enum mikeyd_status read_public(struct token_signer *signer, CK_OBJECT_HANDLE handle,
                                      struct error *err)
{
    struct token_session *session = &signer->token->guest;
    uint8_t params[EC_ATTRIBUTE_MAX], point[EC_ATTRIBUTE_MAX];
    CK_ATTRIBUTE list[] = {
        {CKA_EC_PARAMS, params, sizeof params},
        {CKA_EC_POINT, point, sizeof point},
    };
    token_call_mark(session, "C_GetAttributeValue");
    CK_RV rv = signer->token->f->C_GetAttributeValue(session->handle, handle, list, 2);
    if (rv == CKR_OK && (list[0].ulValueLen > sizeof params || list[1].ulValueLen > sizeof point))
        rv = CKR_DEVICE_ERROR; /* a length that cannot be one */
    if (rv != CKR_OK)
        return call_failed(signer, "C_GetAttributeValue", rv, err);
    signer->public_key = host_key(params, list[0].ulValueLen, point, list[1].ulValueLen);
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

static enum mikeyd_status raw_sign(struct token_signer *signer, const uint8_t digest[32],
                                   uint8_t *signature, size_t *len, struct error *err)
{
    struct token_session *session = &signer->token->guest;
    CK_FUNCTION_LIST *f = signer->token->f;
    enum mikeyd_status status = session_ready(signer, err);
    if (status != MIKEYD_OK)
        return status;
    uint8_t input[32], raw[2 * SCALAR_LEN];
    CK_ULONG raw_len = sizeof raw;
    memcpy(input, digest, sizeof input); /* C_Sign's data is not const */
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    token_call_mark(session, "C_Sign");
    CK_RV rv = f->C_SignInit(session->handle, &mechanism, signer->private_handle);
    if (rv == CKR_OK)
        rv = f->C_Sign(session->handle, input, sizeof input, raw, &raw_len);
    if (rv == CKR_OK && raw_len != sizeof raw)
        rv = CKR_DEVICE_ERROR; /* no signature by P-256 */
    if (rv != CKR_OK)
        return call_failed(signer, "C_Sign", rv, err);
    (void)atomic_fetch_add_explicit(&signer->token->calls, 1, memory_order_relaxed);
    return encode_signature(raw, signature, len) ? MIKEYD_OK
                                                 : signer_fail(signer, "encoding a signature", err);
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
            signer_verifies(signer->public_key, digest, signature, len))
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
