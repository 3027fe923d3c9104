/*
 * Importing an EPSK for one pair inside the token (RFC 9258 5.1 in the form of RFC 5869): extract
 * with the EPSK as input keying material and a salt of zeros, then expand, in one C_DeriveKey. The
 * pair key belongs to the keeper session, so that it outlives a worker's session.
 */
#include "pkcs11/token/internal.h"

#define PAIR_LEN 32

static const char pair_label[] = "mikeyd pair key of this process";

CK_RV token_hkdf_call(struct token_session *session, CK_OBJECT_HANDLE base, const uint8_t *info,
                      size_t info_len, CK_OBJECT_HANDLE *handle)
{
    struct token *token = session->token;
    union {
        const uint8_t *in;
        CK_BYTE *out;
    } bytes = {.in = info}; /* C_DeriveKey only reads */
    /* A null salt is HashLen zeros (RFC 5869 2.2). */
    struct mikeyd_hkdf_params params = {.extract = CK_TRUE,
                                        .expand = CK_TRUE,
                                        .hash = CKM_SHA256,
                                        .salt_type = MIKEYD_HKDF_SALT_NULL,
                                        .info = bytes.out,
                                        .info_len = (CK_ULONG)info_len};
    CK_MECHANISM mechanism = {MIKEYD_CKM_HKDF_DERIVE, &params, sizeof params};
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_OBJECT_CLASS object_class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_ULONG value_len = PAIR_LEN;
    CK_UTF8CHAR label[sizeof pair_label];
    struct byte_writer w = writer_of(label, sizeof label);
    writer_bytes(&w, pair_label, sizeof label);
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &object_class, sizeof object_class},
        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_VALUE_LEN, &value_len, sizeof value_len},
        {CKA_LABEL, label, sizeof label - 1},
        {CKA_TOKEN, &no, sizeof no},
        {CKA_SENSITIVE, &yes, sizeof yes},
        {CKA_EXTRACTABLE, &no, sizeof no},
        {CKA_SIGN, &yes, sizeof yes},
        {CKA_DERIVE, &yes, sizeof yes},
        {CKA_VERIFY, &no, sizeof no},
        {CKA_ENCRYPT, &no, sizeof no},
        {CKA_DECRYPT, &no, sizeof no},
        {CKA_WRAP, &no, sizeof no},
        {CKA_UNWRAP, &no, sizeof no},
    };
    CK_RV rv = token->f->C_DeriveKey(session->handle, &mechanism, base, template,
                                     sizeof template / sizeof template[0], handle);
    if (rv == CKR_OK) {
        (void)atomic_fetch_add_explicit(&token->derives, 1, memory_order_relaxed);
        (void)atomic_fetch_add_explicit(&token->objects_created, 1, memory_order_relaxed);
        (void)atomic_fetch_add_explicit(&token->module->session_objects, 1, memory_order_relaxed);
    }
    return rv;
}

struct pair_job {
    const struct token_object *epsk;
    const uint8_t *info;
    size_t info_len;
    struct token_object *out;
};

/* C_DeriveKey leaves no operation behind, so a refusal does not cost the keeper its session. */
static CK_RV derive_by_keeper(struct token *token, CK_OBJECT_HANDLE base,
                              const struct pair_job *job, CK_OBJECT_HANDLE *made)
{
    if (!token_lock_within(token, &token->keeper_lock))
        return CKR_CANT_LOCK; /* another derivation hangs */
    token_call_mark(&token->keeper, "C_DeriveKey");
    CK_RV rv = token_hkdf_call(&token->keeper, base, job->info, job->info_len, made);
    token_call_end(&token->keeper);
    (void)pthread_mutex_unlock(&token->keeper_lock);
    return rv;
}

static enum mikeyd_status attempt_pair(struct token_session *session, void *work, CK_RV *rv,
                                       struct error *err)
{
    const struct pair_job *job = work;
    struct token *token = session->token;
    /* The caller's bracket keeps recoveries out while the keeper works. */
    enum mikeyd_status status = token_call_begin(session, "C_DeriveKey", err);
    if (status != MIKEYD_OK)
        return status;
    CK_OBJECT_HANDLE base = CK_INVALID_HANDLE, made = CK_INVALID_HANDLE;
    status = token_handle_now(session, job->epsk, &base, err);
    if (status == MIKEYD_OK)
        *rv = derive_by_keeper(token, base, job, &made);
    if (*rv != CKR_OK)
        return token_call_failed(session, "C_DeriveKey", *rv, err);
    if (status == MIKEYD_OK)
        *job->out = (struct token_object){
            .handle = made, .original = made, .generation = atomic_load(&token->generation)};
    token_call_end(session);
    return status;
}

enum mikeyd_status token_hkdf_pair(struct token_session *session, const struct token_key *epsk,
                                   const uint8_t *info, size_t info_len, struct token_object *out,
                                   struct error *err)
{
    struct token *token = session->token;
    if (!token->hkdf)
        return error_set(err, MIKEYD_UNSUPPORTED, "token %s has no HKDF", token->label);
    if (epsk->kind != TOKEN_EPSK || epsk->block_count != 1)
        return error_set(err, MIKEYD_POLICY, "key mikeyd/%s/%s/%u is no EPSK of one object",
                         token_kind_name(epsk->kind), epsk->name, epsk->generation);
    (void)atomic_fetch_add_explicit(&token->calls, 1, memory_order_relaxed);
    struct pair_job job = {&epsk->block[0], info, info_len, out};
    return token_try_twice(session, attempt_pair, &job, err);
}

/* True of our pair keys only: a stale handle may name any other object by now. */
static bool is_pair_object(struct token_session *session, CK_OBJECT_HANDLE handle)
{
    char label[sizeof pair_label];
    CK_BBOOL on_token = CK_TRUE;
    CK_ATTRIBUTE at[] = {{CKA_LABEL, label, sizeof label}, {CKA_TOKEN, &on_token, sizeof on_token}};
    CK_RV rv = session->token->f->C_GetAttributeValue(session->handle, handle, at, 2);
    return rv == CKR_OK && on_token == CK_FALSE && at[0].ulValueLen == sizeof label - 1 &&
           secret_equal(label, pair_label, sizeof label - 1);
}

void token_pair_destroy(struct token_session *session, CK_OBJECT_HANDLE handle)
{
    if (token_call_begin(session, "C_DestroyObject", NULL) != MIKEYD_OK)
        return;
    CK_RV rv = CKR_OK;
    if (is_pair_object(session, handle))
        rv = session->token->f->C_DestroyObject(session->handle, handle);
    if (rv == CKR_OK)
        token_call_end(session);
    else
        (void)token_call_failed(session, "C_DestroyObject", rv, NULL);
}
