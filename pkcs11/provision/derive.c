/* The importer in the ceremony: pair keys as token objects, and the extract step of an EPSK. */
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "pkcs11/provision/internal.h"

#define SHA256_BLOCK 64
#define SHA256_LEN 32
#define INFO_MAX 1024

/*
 * RFC 5869 2.2 with the empty salt, RFC 2104: HMAC under a key of zeros, whose pads are the pad
 * bytes themselves. The inner hash runs over the key inside the token (C_DigestKey takes sensitive
 * keys), so that the EPSK never stands in this process.
 */
static CK_RV digest_inner(struct token_session *session, CK_OBJECT_HANDLE epsk, uint8_t *inner)
{
    CK_FUNCTION_LIST *f = session->token->f;
    CK_MECHANISM mechanism = {CKM_SHA256, NULL, 0};
    uint8_t pad[SHA256_BLOCK];
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] = 0x36;
    CK_ULONG len = SHA256_LEN;
    CK_RV rv = f->C_DigestInit(session->handle, &mechanism);
    if (rv == CKR_OK)
        rv = f->C_DigestUpdate(session->handle, pad, sizeof pad);
    if (rv == CKR_OK)
        rv = f->C_DigestKey(session->handle, epsk);
    if (rv == CKR_OK)
        rv = f->C_DigestFinal(session->handle, inner, &len);
    return rv == CKR_OK && len != SHA256_LEN ? CKR_FUNCTION_FAILED : rv;
}

enum mikeyd_status provision_extract_in_token(struct token_session *session, CK_OBJECT_HANDLE epsk,
                                              uint8_t epskx[32], struct error *err)
{
    struct secret SECRET_CLEANUP outer = {0};
    if (!secret_make(&outer, SHA256_BLOCK + SHA256_LEN))
        return error_set(err, MIKEYD_INTERNAL, "secure heap exhausted");
    for (size_t i = 0; i < SHA256_BLOCK; i++)
        outer.data[i] = 0x5c;
    enum mikeyd_status status = token_call_begin(session, "C_DigestKey", err);
    if (status != MIKEYD_OK)
        return status;
    CK_RV rv = digest_inner(session, epsk, outer.data + SHA256_BLOCK);
    if (rv != CKR_OK) {
        status = token_call_failed(session, "C_DigestKey", rv, err);
        error_prefix(err, "no extract step in the token (wrap epskx instead of the epsk)");
        return status;
    }
    token_call_end(session);
    if (EVP_Digest(outer.data, outer.len, epskx, NULL, EVP_sha256(), NULL) != 1)
        return error_set(err, MIKEYD_INTERNAL, "SHA-256 failed");
    return MIKEYD_OK;
}

/* ---- pair keys ---- */

struct expansion {
    CK_OBJECT_HANDLE epsk;
    uint8_t info[INFO_MAX];
    size_t info_len;
};

static CK_RV make_by_hkdf(struct token_session *session, CK_ATTRIBUTE *list, CK_ULONG count,
                          const struct provision_maker *maker, CK_OBJECT_HANDLE *out)
{
    struct expansion *expansion = maker->context;
    struct mikeyd_hkdf_params params = {
        .extract = CK_TRUE,
        .expand = CK_TRUE,
        .hash = CKM_SHA256,
        .salt_type = MIKEYD_HKDF_SALT_NULL,
        .info = expansion->info,
        .info_len = (CK_ULONG)expansion->info_len,
    };
    CK_MECHANISM mechanism = {MIKEYD_CKM_HKDF_DERIVE, &params, sizeof params};
    return session->token->f->C_DeriveKey(session->handle, &mechanism, expansion->epsk, list, count,
                                          out);
}

static enum mikeyd_status derive_in_token(struct token_session *session,
                                          const struct token_key *source,
                                          const struct provision_object *object,
                                          const uint8_t *info, size_t info_len, unsigned *omitted,
                                          struct error *err)
{
    const struct token_object *epsk = &source->block[0];
    if (!session->token->hkdf)
        return error_set(err, MIKEYD_UNSUPPORTED, "token %s has no CKM_HKDF_DERIVE",
                         session->token->label);
    if (epsk->generation != token_generation(session->token))
        return error_set(err, MIKEYD_TOKEN_DOWN, "token %s was re-initialised: look again",
                         session->token->label);
    struct expansion expansion = {.epsk = epsk->handle, .info_len = info_len};
    memcpy(expansion.info, info, info_len);
    const struct provision_maker maker = {.operation = "C_DeriveKey",
                                          .make = make_by_hkdf,
                                          .context = &expansion,
                                          .states_len = true};
    CK_OBJECT_HANDLE handle = 0;
    return provision_object_make(session, object, &maker, &handle, omitted, err);
}

/* RFC 5869 2.3: T(1) = HMAC(epskx, info || 0x01), the whole output for 32 bytes. */
static enum mikeyd_status expand_by_sign(struct token_session *session,
                                         const struct token_key *source, const uint8_t *info,
                                         size_t info_len, uint8_t *out, struct error *err)
{
    static const uint8_t counter = 0x01;
    struct hmac_job job = {
        .key = &source->block[0],
        .hash = HMAC_SHA256,
        .data = {info, &counter},
        .len = {info_len, sizeof counter},
        .tag = out,
    };
    return token_hmac_batch(session, &job, 1, err);
}

static enum mikeyd_status derive_by_sign(struct token_session *session,
                                         const struct token_key *source,
                                         const struct provision_object *object, const uint8_t *info,
                                         size_t info_len, unsigned *omitted, struct error *err)
{
    struct secret SECRET_CLEANUP pair = {0};
    if (!secret_make(&pair, SHA256_LEN))
        return error_set(err, MIKEYD_INTERNAL, "secure heap exhausted");
    enum mikeyd_status status = expand_by_sign(session, source, info, info_len, pair.data, err);
    if (status != MIKEYD_OK)
        return status;
    CK_OBJECT_HANDLE handle = 0;
    return provision_object_create(session, object, pair.data, &handle, omitted, err);
}

enum mikeyd_status provision_derive_pair_as(struct token_session *session,
                                            const struct token_key *source,
                                            const struct provision_spec *spec, const uint8_t *info,
                                            size_t info_len, struct error *err)
{
    if (source->kind != TOKEN_EPSK && source->kind != TOKEN_EPSKX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "pair keys come from an epsk or epskx, not from a %s",
                         token_kind_name(source->kind));
    if (source->bits == 0)
        return error_set(err, MIKEYD_POLICY,
                         "mikeyd/%s/%s/%u has no ~BITS in its label: how long its EPSK is, nobody "
                         "knows; unwrap or import it again",
                         token_kind_name(source->kind), source->name, source->generation);
    if (info_len == 0 || info_len > INFO_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "info has 1 to %d bytes", INFO_MAX);
    struct provision_spec pair = *spec;
    pair.kind = TOKEN_PAIR;
    pair.generation = source->generation;
    pair.bits = source->bits;
    pair.for_transport = false;
    struct provision_plan plan;
    enum mikeyd_status status = provision_plan_make(session, &pair, source->bits, &plan, err);
    if (status != MIKEYD_OK)
        return status;
    unsigned omitted = 0;
    if (source->kind == TOKEN_EPSK)
        status = derive_in_token(session, source, &plan.object[0], info, info_len, &omitted, err);
    else
        status = derive_by_sign(session, source, &plan.object[0], info, info_len, &omitted, err);
    if (status == MIKEYD_OK)
        provision_plan_report(&pair, &plan, omitted);
    return status;
}

enum mikeyd_status provision_derive_pair(struct token_session *session,
                                         const struct token_key *source, const char *object_name,
                                         const uint8_t *info, size_t info_len,
                                         const char *not_after, struct error *err)
{
    const struct provision_spec spec = {.name = object_name, .not_after = not_after};
    return provision_derive_pair_as(session, source, &spec, info, info_len, err);
}

/* ---- is this pair of that main key? ---- */

static const uint8_t check_text[] = "mikeyd pair key check";

static enum mikeyd_status tag_of_object(struct token_session *session,
                                        const struct token_object *object, uint8_t tag[32],
                                        struct error *err)
{
    struct hmac_job job = {.key = object,
                           .hash = HMAC_SHA256,
                           .data = {check_text, NULL},
                           .len = {sizeof check_text, 0},
                           .tag = tag};
    return token_hmac_batch(session, &job, 1, err);
}

static enum mikeyd_status tag_by_sign(struct token_session *session, const struct token_key *source,
                                      const uint8_t *info, size_t info_len, uint8_t tag[32],
                                      struct error *err)
{
    struct secret SECRET_CLEANUP pair = {0};
    unsigned len = 0;
    if (!secret_make(&pair, SHA256_LEN))
        return error_set(err, MIKEYD_INTERNAL, "secure heap exhausted");
    enum mikeyd_status status = expand_by_sign(session, source, info, info_len, pair.data, err);
    if (status == MIKEYD_OK && HMAC(EVP_sha256(), pair.data, (int)pair.len, check_text,
                                    sizeof check_text, tag, &len) == NULL)
        status = error_set(err, MIKEYD_INTERNAL, "HMAC failed");
    return status;
}

static enum mikeyd_status tag_in_token(struct token_session *session,
                                       const struct token_key *source, const uint8_t *info,
                                       size_t info_len, uint8_t tag[32], struct error *err)
{
    struct token_object derived;
    enum mikeyd_status status = token_hkdf_pair(session, source, info, info_len, &derived, err);
    if (status != MIKEYD_OK)
        return status;
    status = tag_of_object(session, &derived, tag, err);
    token_object_destroy(session, derived.handle);
    return status;
}

enum mikeyd_status provision_verify_pair(struct token_session *session,
                                         const struct token_key *source,
                                         const struct token_key *pair, const uint8_t *info,
                                         size_t info_len, bool *same, struct error *err)
{
    uint8_t expected[32], got[32];
    *same = false;
    if (pair->kind != TOKEN_PAIR || pair->block_count != 1 || source->block_count != 1 ||
        (source->kind != TOKEN_EPSK && source->kind != TOKEN_EPSKX))
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "not a main key and a pair key");
    enum mikeyd_status status = source->kind == TOKEN_EPSK
                                    ? tag_in_token(session, source, info, info_len, expected, err)
                                    : tag_by_sign(session, source, info, info_len, expected, err);
    if (status == MIKEYD_OK)
        status = tag_of_object(session, &pair->block[0], got, err);
    if (status == MIKEYD_OK)
        *same = secret_equal(expected, got, sizeof got);
    secret_wipe(expected, sizeof expected);
    secret_wipe(got, sizeof got);
    return status;
}
