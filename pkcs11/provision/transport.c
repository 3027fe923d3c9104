/* Keys that arrive wrapped, and keys made for transport that leave wrapped. */
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "pkcs11/provision/internal.h"

/* ---- mechanisms ---- */

struct wrap_mechanism {
    CK_MECHANISM mechanism;
    CK_RSA_PKCS_OAEP_PARAMS oaep;
    bool rsa;
};

static void mechanism_fill(const struct token *token, const struct provision_wrapping *wrapping,
                           struct wrap_mechanism *out)
{
    memset(out, 0, sizeof *out);
    switch (wrapping->scheme) {
    case PROVISION_AES_KWP:
        out->mechanism.mechanism = token_has_mechanism(token, MIKEYD_CKM_AES_KEY_WRAP_KWP_300)
                                       ? MIKEYD_CKM_AES_KEY_WRAP_KWP_300
                                       : MIKEYD_CKM_AES_KEY_WRAP_KWP_240;
        break;
    case PROVISION_AES_KW:
        out->mechanism.mechanism = CKM_AES_KEY_WRAP;
        break;
    case PROVISION_RSA_OAEP_SHA1:
    case PROVISION_RSA_OAEP_SHA256: {
        const bool sha1 = wrapping->scheme == PROVISION_RSA_OAEP_SHA1;
        out->rsa = true;
        out->oaep = (CK_RSA_PKCS_OAEP_PARAMS){
            .hashAlg = sha1 ? CKM_SHA_1 : CKM_SHA256,
            .mgf = sha1 ? CKG_MGF1_SHA1 : CKG_MGF1_SHA256,
            .source = CKZ_DATA_SPECIFIED,
        };
        out->mechanism.mechanism = CKM_RSA_PKCS_OAEP;
        out->mechanism.pParameter = &out->oaep;
        out->mechanism.ulParameterLen = sizeof out->oaep;
        break;
    }
    }
    if (wrapping->mechanism != 0)
        out->mechanism.mechanism = wrapping->mechanism;
}

CK_RV provision_probe_key(struct token_session *session, CK_OBJECT_HANDLE *out)
{
    CK_OBJECT_CLASS object_class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_ULONG len = 32;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ATTRIBUTE list[] = {
        {CKA_CLASS, &object_class, sizeof object_class},
        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_VALUE_LEN, &len, sizeof len},
        {CKA_TOKEN, &no, sizeof no},
        {CKA_PRIVATE, &yes, sizeof yes},
        {CKA_SENSITIVE, &yes, sizeof yes},
        {CKA_EXTRACTABLE, &no, sizeof no},
        {CKA_WRAP, &yes, sizeof yes},
        {CKA_UNWRAP, &no, sizeof no},
        {CKA_ENCRYPT, &no, sizeof no},
        {CKA_DECRYPT, &no, sizeof no},
    };
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    token_call_mark(session, "C_GenerateKey");
    return session->token->f->C_GenerateKey(session->handle, &mechanism, list,
                                            sizeof list / sizeof list[0], out);
}

/* ---- arrival ---- */

struct arrival {
    struct wrap_mechanism mechanism;
    const struct provision_wrapping *wrapping;
    uint8_t blob[PROVISION_WRAPPED_MAX];
    size_t blob_len;
    CK_OBJECT_HANDLE unwrapping_key;
    CK_RV answer; /* of the last C_UnwrapKey */
};

static CK_RV make_by_unwrap(struct token_session *session, CK_ATTRIBUTE *list, CK_ULONG count,
                            const struct provision_maker *maker, CK_OBJECT_HANDLE *out)
{
    struct arrival *arrival = maker->context;
    arrival->answer = session->token->f->C_UnwrapKey(session->handle, &arrival->mechanism.mechanism,
                                                     arrival->unwrapping_key, arrival->blob,
                                                     (CK_ULONG)arrival->blob_len, list, count, out);
    return arrival->answer;
}

static enum mikeyd_status arrival_prepare(struct token_session *session,
                                          const struct provision_wrapping *wrapping,
                                          const struct provision_blob *blob, struct arrival *out,
                                          struct error *err)
{
    if (blob->len == 0 || blob->len > sizeof out->blob)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "a wrapped key has 1 to %zu bytes, not %zu",
                         sizeof out->blob, blob->len);
    mechanism_fill(session->token, wrapping, &out->mechanism);
    out->wrapping = wrapping;
    memcpy(out->blob, blob->data, blob->len);
    out->blob_len = blob->len;
    enum mikeyd_status status = token_call_begin(session, "C_FindObjects", err);
    if (status != MIKEYD_OK)
        return status;
    status = provision_find_one(session, out->mechanism.rsa ? CKO_PRIVATE_KEY : CKO_SECRET_KEY,
                                wrapping->key_label, &out->unwrapping_key, err);
    if (status == MIKEYD_OK)
        token_call_end(session);
    return status;
}

/* Some tokens have only a general code for a wrapping that is not right: then they are well. */
static bool is_damage(struct token_session *session, CK_RV answer)
{
    CK_TOKEN_INFO info;
    return (answer == CKR_GENERAL_ERROR || answer == CKR_FUNCTION_FAILED) &&
           session->token->f->C_GetTokenInfo(session->token->slot, &info) == CKR_OK;
}

static enum mikeyd_status arrival_unwrap(struct token_session *session, struct arrival *arrival,
                                         const struct provision_object *object,
                                         CK_OBJECT_HANDLE *handle, unsigned *omitted,
                                         struct error *err)
{
    const struct provision_maker maker = {
        .operation = "C_UnwrapKey", .make = make_by_unwrap, .context = arrival};
    enum mikeyd_status status =
        provision_object_make(session, object, &maker, handle, omitted, err);
    if (status == MIKEYD_TOKEN_DOWN && is_damage(session, arrival->answer))
        status = error_set(err, MIKEYD_AUTH_FAILED,
                           "token %s: C_UnwrapKey: %s: damaged, or wrapped otherwise or for "
                           "another key",
                           session->token->label, ckr_name(arrival->answer));
    if (status != MIKEYD_OK)
        error_prefix(err, "unwrap of %zu bits under %s", 8 * object->value_len,
                     arrival->wrapping->key_label);
    return status;
}

/* A session object that exists only to be measured or extracted from; label and ID mean nothing. */
static enum mikeyd_status temporary_object(struct provision_object *out, size_t value_len,
                                           bool extractable, struct error *err)
{
    *out = (struct provision_object){
        .kind = TOKEN_EPSK, .label = "arrival", .value_len = value_len, .extractable = extractable};
    if (RAND_bytes(out->id, sizeof out->id) != 1)
        return error_set(err, MIKEYD_INTERNAL, "no random bytes for CKA_ID");
    return MIKEYD_OK;
}

/* By its handle: SoftHSM's search still finds session objects that are gone. */
static enum mikeyd_status temporary_destroy(struct token_session *session, CK_OBJECT_HANDLE handle,
                                            struct error *err)
{
    enum mikeyd_status status = token_call_begin(session, "C_DestroyObject", err);
    if (status != MIKEYD_OK)
        return status;
    CK_RV rv = session->token->f->C_DestroyObject(session->handle, handle);
    if (rv != CKR_OK)
        return token_call_failed(session, "C_DestroyObject", rv, err);
    token_call_end(session);
    return MIKEYD_OK;
}

/* Length of the wrapping of an object, 0 when this mechanism does not wrap it. In the bracket. */
static size_t wrapped_len(struct token_session *session, CK_MECHANISM_TYPE type,
                          CK_OBJECT_HANDLE probe, CK_OBJECT_HANDLE object)
{
    if (!token_has_mechanism(session->token, type))
        return 0;
    CK_MECHANISM mechanism = {type, NULL, 0};
    uint8_t out[PROVISION_WRAPPED_MAX];
    CK_ULONG len = sizeof out;
    token_call_mark(session, "C_WrapKey");
    CK_RV rv = session->token->f->C_WrapKey(session->handle, &mechanism, probe, object, out, &len);
    secret_wipe(out, sizeof out);
    return rv == CKR_OK ? len : 0;
}

/*
 * RFC 3394, RFC 5649: a wrapping has one 64-bit word more than the key, whose last word is filled
 * up (PKCS#11 2.40 2.14.3 pads in both). So a length is known to the word. In the bracket.
 */
static bool length_by_wrapping(struct token_session *session, CK_OBJECT_HANDLE probe,
                               CK_OBJECT_HANDLE object, size_t expected)
{
    static const CK_MECHANISM_TYPE types[] = {MIKEYD_CKM_AES_KEY_WRAP_KWP_300,
                                              MIKEYD_CKM_AES_KEY_WRAP_KWP_240, CKM_AES_KEY_WRAP};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        const size_t len = wrapped_len(session, types[i], probe, object);
        if (len != 0)
            return len == (expected + 7) / 8 * 8 + 8;
    }
    return false;
}

/*
 * Some tokens forget CKA_VALUE_LEN at an unwrap. The blob arrives a second time, as a session
 * object that may be wrapped, and only the length of that wrapping is looked at. Whoever holds blob
 * and login could do the same: nothing is shown that was hidden.
 */
static enum mikeyd_status measure_arrival(struct token_session *session, struct arrival *arrival,
                                          size_t expected, struct error *err)
{
    struct provision_object object;
    CK_OBJECT_HANDLE handle = 0, probe = 0;
    unsigned omitted = 0;
    enum mikeyd_status status = temporary_object(&object, expected, true, err);
    if (status == MIKEYD_OK)
        status = arrival_unwrap(session, arrival, &object, &handle, &omitted, err);
    if (status == MIKEYD_OK)
        status = token_call_begin(session, "C_GenerateKey", err);
    if (status != MIKEYD_OK)
        return status;
    CK_RV rv = provision_probe_key(session, &probe);
    if (rv != CKR_OK)
        return token_call_failed(session, "C_GenerateKey", rv, err);
    const bool right = length_by_wrapping(session, probe, handle, expected);
    token_call_mark(session, "C_DestroyObject");
    rv = session->token->f->C_DestroyObject(session->handle, probe);
    if (rv == CKR_OK)
        rv = session->token->f->C_DestroyObject(session->handle, handle);
    if (rv != CKR_OK)
        return token_call_failed(session, "C_DestroyObject", rv, err);
    token_call_end(session);
    if (!right)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "the wrapped key does not have %zu bits, or token %s cannot tell",
                         8 * expected, session->token->label);
    return MIKEYD_OK;
}

/* *told: the token knows the length by itself. */
static enum mikeyd_status length_check(struct token_session *session, struct arrival *arrival,
                                       CK_OBJECT_HANDLE handle, size_t expected, bool *told,
                                       struct error *err)
{
    enum mikeyd_status status = token_call_begin(session, "C_GetAttributeValue", err);
    if (status != MIKEYD_OK)
        return status;
    CK_ULONG len = 0;
    CK_ATTRIBUTE attribute = {CKA_VALUE_LEN, &len, sizeof len};
    CK_RV rv = session->token->f->C_GetAttributeValue(session->handle, handle, &attribute, 1);
    token_call_end(session);
    *told = rv == CKR_OK && len != 0;
    if (*told) {
        if (len == expected)
            return MIKEYD_OK;
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "the wrapped key has %lu bits, not the %zu it was said to have", 8 * len,
                         8 * expected);
    }
    return measure_arrival(session, arrival, expected, err);
}

/* Zeros of any length up to a hash block make the same HMAC (RFC 2104 2). */
static bool is_tag_of_zeros(const uint8_t *data, size_t len, const uint8_t tag[32])
{
    static const uint8_t zeros[PROVISION_BLOCK_LEN];
    uint8_t expected[32];
    size_t made = 0;
    return EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, zeros, sizeof zeros, data, len, expected,
                     sizeof expected, &made) != NULL &&
           secret_equal(expected, tag, sizeof expected);
}

/* A key that cannot do its one job must not stay: one HMAC, which also finds a key under the
 * token's minimum that its length did not give away. */
static enum mikeyd_status sign_check(struct token_session *session, CK_OBJECT_HANDLE handle,
                                     struct error *err)
{
    CK_MECHANISM mechanism = {CKM_SHA256_HMAC, NULL, 0};
    uint8_t zero = 0, tag[32];
    CK_ULONG len = sizeof tag;
    enum mikeyd_status status = token_call_begin(session, "C_Sign", err);
    if (status != MIKEYD_OK)
        return status;
    CK_FUNCTION_LIST *f = session->token->f;
    CK_RV rv = f->C_SignInit(session->handle, &mechanism, handle);
    if (rv == CKR_OK)
        rv = f->C_Sign(session->handle, &zero, sizeof zero, tag, &len);
    const bool blank = rv == CKR_OK && is_tag_of_zeros(&zero, sizeof zero, tag);
    secret_wipe(tag, sizeof tag);
    if (rv != CKR_OK) {
        status = token_call_failed(session, "C_Sign", rv, err);
        error_prefix(err, "the unwrapped key makes no HMAC (is its length what was said?)");
        return status;
    }
    token_call_end(session);
    if (blank)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "the unwrapped key is nothing but zeros: blank memory, not a key");
    return MIKEYD_OK;
}

/* An EPSK for a token that cannot import: it stands in the token, for this session, while its
 * extract step runs; what is stored is epskx. */
static enum mikeyd_status unwrap_epsk_as_epskx(struct token_session *session,
                                               const struct provision_spec *spec,
                                               const struct provision_wrapping *wrapping,
                                               const struct provision_blob *blob, struct error *err)
{
    struct provision_spec stored = *spec;
    stored.kind = TOKEN_EPSKX;
    struct provision_plan plan;
    struct provision_object object;
    struct arrival arrival;
    CK_OBJECT_HANDLE handle = 0, made = 0;
    unsigned omitted = 0, ignored = 0;
    bool told = false;
    struct secret SECRET_CLEANUP epskx = {0};
    if (!secret_make(&epskx, 32))
        return error_set(err, MIKEYD_INTERNAL, "secure heap exhausted");
    enum mikeyd_status status = provision_plan_make(session, &stored, spec->bits, &plan, err);
    if (status == MIKEYD_OK)
        status = temporary_object(&object, spec->bits / 8, false, err);
    if (status == MIKEYD_OK)
        status = arrival_prepare(session, wrapping, blob, &arrival, err);
    if (status == MIKEYD_OK)
        status = arrival_unwrap(session, &arrival, &object, &handle, &ignored, err);
    if (status != MIKEYD_OK)
        return status;

    status = length_check(session, &arrival, handle, object.value_len, &told, err);
    if (status == MIKEYD_OK)
        status = provision_extract_in_token(session, handle, epskx.data, err);
    if (status == MIKEYD_OK)
        status =
            provision_object_create(session, &plan.object[0], epskx.data, &made, &omitted, err);
    enum mikeyd_status removed = temporary_destroy(session, handle, err);
    if (status == MIKEYD_OK && removed != MIKEYD_OK) {
        provision_plan_undo(session, &plan, 1, err);
        return removed;
    }
    if (status == MIKEYD_OK)
        provision_plan_report(&stored, &plan, omitted);
    return status;
}

/* All blocks, or none. *told: false when the token does not know the length of what arrived. */
static enum mikeyd_status unwrap_blocks(struct token_session *session,
                                        const struct provision_plan *plan,
                                        const struct provision_wrapping *wrapping,
                                        const struct provision_blob *blobs, unsigned *omitted,
                                        bool *told, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    size_t made = 0;
    while (status == MIKEYD_OK && made < plan->blocks) {
        const struct provision_object *object = &plan->object[made];
        struct arrival arrival;
        CK_OBJECT_HANDLE handle = 0;
        status = arrival_prepare(session, wrapping, &blobs[made], &arrival, err);
        if (status == MIKEYD_OK)
            status = arrival_unwrap(session, &arrival, object, &handle, omitted, err);
        if (status != MIKEYD_OK)
            break;
        made++;
        status = length_check(session, &arrival, handle, object->value_len, told, err);
        if (status == MIKEYD_OK && object->sign)
            status = sign_check(session, handle, err);
    }
    if (status != MIKEYD_OK)
        provision_plan_undo(session, plan, made, err);
    return status;
}

enum mikeyd_status provision_unwrap(struct token_session *session,
                                    const struct provision_spec *spec,
                                    const struct provision_wrapping *wrapping,
                                    const struct provision_blob *blobs, size_t count,
                                    struct error *err)
{
    if (spec->for_transport)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "a key is re-created non-extractable at its destination");
    if (count == 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "nothing to unwrap");
    if (spec->kind == TOKEN_EPSK && !session->token->hkdf) {
        if (count != 1)
            return error_set(err, MIKEYD_INVALID_ARGUMENT, "an epsk is one wrapped object");
        return unwrap_epsk_as_epskx(session, spec, wrapping, &blobs[0], err);
    }
    struct provision_plan plan;
    enum mikeyd_status status = provision_plan_make(session, spec, spec->bits, &plan, err);
    if (status != MIKEYD_OK)
        return status;
    if (count != plan.blocks)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "%u bits are %zu objects of at most 32 bytes, and %zu came", spec->bits,
                         plan.blocks, count);

    unsigned omitted = 0;
    bool told = false;
    status = unwrap_blocks(session, &plan, wrapping, blobs, &omitted, &told, err);
    if (status != MIKEYD_OK)
        return status;
    if (!told && !plan.bits_stated) {
        /* Then the label has to say the length, or nobody will ever know it again. */
        provision_plan_undo(session, &plan, plan.blocks, err);
        status = provision_plan_state_bits(&plan, spec, err);
        if (status == MIKEYD_OK)
            status = unwrap_blocks(session, &plan, wrapping, blobs, &omitted, &told, err);
    }
    if (status == MIKEYD_OK)
        provision_plan_report(spec, &plan, omitted);
    return status;
}

/* ---- departure ---- */

enum mikeyd_status provision_wrap(struct token_session *session, const struct token_key *key,
                                  size_t block, const struct provision_wrapping *wrapping,
                                  uint8_t *out, size_t *len, struct error *err)
{
    if (block >= key->block_count)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s has %zu blocks", key->name,
                         key->block_count);
    struct wrap_mechanism mechanism;
    mechanism_fill(session->token, wrapping, &mechanism);
    enum mikeyd_status status = token_call_begin(session, "C_FindObjects", err);
    if (status != MIKEYD_OK)
        return status;
    CK_OBJECT_HANDLE wrapping_key = 0;
    status = provision_find_one(session, mechanism.rsa ? CKO_PUBLIC_KEY : CKO_SECRET_KEY,
                                wrapping->key_label, &wrapping_key, err);
    if (status != MIKEYD_OK)
        return status;
    /* Any key with WRAP could carry the secret out: only one that the security officer vouched for.
     */
    if (!provision_flag_is_set(session, wrapping_key, CKA_TRUSTED)) {
        token_call_end(session);
        return error_set(err, MIKEYD_POLICY, "wrapping key %s has no CKA_TRUSTED in token %s",
                         wrapping->key_label, session->token->label);
    }
    const struct token_object *object = &key->block[block];
    const CK_OBJECT_HANDLE handle = object->is_copy ? object->original : object->handle;
    if (object->generation != token_generation(session->token) ||
        !provision_flag_is_set(session, handle, CKA_EXTRACTABLE) ||
        !provision_flag_is_set(session, handle, CKA_WRAP_WITH_TRUSTED)) {
        token_call_end(session);
        return error_set(err, MIKEYD_POLICY, "%s/%u was not made for transport", key->name,
                         key->generation);
    }
    CK_ULONG wrapped = (CK_ULONG)*len;
    token_call_mark(session, "C_WrapKey");
    CK_RV rv = session->token->f->C_WrapKey(session->handle, &mechanism.mechanism, wrapping_key,
                                            handle, out, &wrapped);
    if (rv != CKR_OK)
        return token_call_failed(session, "C_WrapKey", rv, err);
    token_call_end(session);
    *len = wrapped;
    return MIKEYD_OK;
}
