/*
 * MIKEY's PRF inside the token (RFC 3830 4.1.2). For a key of one block it is NIST SP 800-108's
 * double-pipeline mode without counter: A(i) = HMAC(K, A(i-1)), A(0) = label; K(i) = HMAC(K, A(i)
 * || label). The result is a session object of the session that asked for it.
 */
#include <string.h>

#include "pkcs11/token/internal.h"

/* ---- the derived objects of a session: known by handle and by the session they were made in */

static bool derived_lost(const struct token_session *session)
{
    return session->derived_count != 0 && session->derived_opening != session->openings;
}

static bool derived_find(const struct token_session *session, CK_OBJECT_HANDLE handle, size_t *at)
{
    for (size_t i = 0; i < session->derived_count; i++) {
        if (session->derived[i] == handle) {
            *at = i;
            return true;
        }
    }
    return false;
}

bool token_derived_valid(const struct token_session *session, CK_OBJECT_HANDLE handle)
{
    size_t at = 0;
    return derived_find(session, handle, &at) && !derived_lost(session);
}

bool token_derived_room(const struct token_session *session)
{
    return !derived_lost(session) && session->derived_count < TOKEN_DERIVED_MAX;
}

void token_derived_add(struct token_session *session, CK_OBJECT_HANDLE handle)
{
    session->derived[session->derived_count++] = handle;
    session->derived_opening = session->openings;
}

void token_derived_forget(struct token_session *session, CK_OBJECT_HANDLE handle)
{
    size_t at = 0;
    if (derived_find(session, handle, &at))
        session->derived[at] = session->derived[--session->derived_count];
}

/* Inside the bracket: the handle is of this opening of the session, so it means what it meant. */
static enum mikeyd_status derived_check(const struct token_session *session,
                                        CK_OBJECT_HANDLE handle, struct error *err)
{
    if (token_derived_valid(session, handle))
        return MIKEYD_OK;
    return error_set(err, MIKEYD_TOKEN_DOWN, "token %s: the derived key went away with its session",
                     session->token->label);
}

/* ---- deriving */

struct prf_job {
    const struct token_object *key;
    enum hmac_hash hash;
    const uint8_t *label;
    size_t label_len;
    enum token_derived as;
    size_t out_len;
    unsigned long *handle;
};

CK_RV token_prf_call(struct token_session *session, CK_OBJECT_HANDLE base, enum hmac_hash hash,
                     const uint8_t *label, size_t label_len, enum token_derived as, size_t out_len,
                     CK_OBJECT_HANDLE *handle)
{
    struct token *token = session->token;
    union {
        const uint8_t *in;
        void *out;
    } bytes = {.in = label}; /* the KDF only reads */
    struct mikeyd_prf_data_param data[] = {
        {MIKEYD_SP800_108_ITERATION_VARIABLE, NULL, 0},
        {MIKEYD_SP800_108_BYTE_ARRAY, bytes.out, (CK_ULONG)label_len},
    };
    struct mikeyd_sp800_108_kdf_params params = {
        .prf_type = token_hmac_mechanism(hash), .data_param_count = 2, .data_params = data};
    CK_MECHANISM mechanism = {MIKEYD_CKM_SP800_108_DOUBLE_PIPELINE_KDF, &params, sizeof params};
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_OBJECT_CLASS object_class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = as == TOKEN_DERIVED_AES ? CKK_AES : CKK_GENERIC_SECRET;
    CK_ULONG value_len = (CK_ULONG)out_len;
    CK_BBOOL *signs = as == TOKEN_DERIVED_HMAC ? &yes : &no;
    CK_BBOOL *encrypts = as == TOKEN_DERIVED_AES ? &yes : &no;
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &object_class, sizeof object_class},
        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_VALUE_LEN, &value_len, sizeof value_len},
        {CKA_TOKEN, &no, sizeof no},
        {CKA_SENSITIVE, &yes, sizeof yes},
        {CKA_EXTRACTABLE, &no, sizeof no},
        {CKA_SIGN, signs, sizeof *signs},
        {CKA_ENCRYPT, encrypts, sizeof *encrypts},
        {CKA_VERIFY, &no, sizeof no},
        {CKA_DECRYPT, &no, sizeof no},
        {CKA_DERIVE, &no, sizeof no},
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

/* Inside the bracket. */
static enum mikeyd_status run_prf(struct token_session *session, const struct prf_job *job,
                                  CK_RV *rv, struct error *err)
{
    if (derived_lost(session))
        return error_set(err, MIKEYD_TOKEN_DOWN,
                         "token %s: the session of the first derived key is gone",
                         session->token->label);
    if (session->derived_count == TOKEN_DERIVED_MAX)
        return error_set(err, MIKEYD_INTERNAL, "more than %d derived keys in one session",
                         TOKEN_DERIVED_MAX);
    CK_OBJECT_HANDLE base = CK_INVALID_HANDLE, made = CK_INVALID_HANDLE;
    enum mikeyd_status status = token_handle_now(session, job->key, &base, err);
    if (status != MIKEYD_OK)
        return status;
    *rv = token_prf_call(session, base, job->hash, job->label, job->label_len, job->as,
                         job->out_len, &made);
    if (*rv != CKR_OK)
        return MIKEYD_TOKEN_DOWN;
    token_derived_add(session, made);
    *job->handle = made;
    return MIKEYD_OK;
}

static enum mikeyd_status attempt_prf(struct token_session *session, void *work, CK_RV *rv,
                                      struct error *err)
{
    enum mikeyd_status status = token_call_begin(session, "C_DeriveKey", err);
    if (status != MIKEYD_OK)
        return status;
    status = run_prf(session, work, rv, err);
    if (*rv != CKR_OK)
        return token_call_failed(session, "C_DeriveKey", *rv, err);
    token_call_end(session);
    return status;
}

enum mikeyd_status token_prf_derive(struct token_session *session, const struct token_object *key,
                                    enum hmac_hash hash, const uint8_t *label, size_t label_len,
                                    enum token_derived as, size_t out_len, unsigned long *handle,
                                    struct error *err)
{
    struct token *token = session->token;
    if (!token->prf_derive)
        return error_set(err, MIKEYD_UNSUPPORTED, "token %s cannot run MIKEY's PRF itself",
                         token->label);
    (void)atomic_fetch_add_explicit(&token->calls, 1, memory_order_relaxed);
    struct prf_job job = {key, hash, label, label_len, as, out_len, handle};
    return token_try_twice(session, attempt_prf, &job, err);
}

/* ---- using and destroying */

/* A key that was derived for one message is gone with its session: nothing is tried again but what
 * a busy token refused. */
static enum mikeyd_status use_derived(struct token_session *session, token_attempt *attempt,
                                      void *work, struct error *err)
{
    struct token_patience patience = {0};
    (void)atomic_fetch_add_explicit(&session->token->calls, 1, memory_order_relaxed);
    for (;;) {
        CK_RV rv = CKR_OK;
        enum mikeyd_status status = attempt(session, work, &rv, err);
        if (rv == CKR_OK || !token_wait_while_busy(session, rv, &patience))
            return status;
    }
}

struct sign_job {
    unsigned long handle;
    enum hmac_hash hash;
    const uint8_t *const *data;
    const size_t *len;
    size_t parts;
    uint8_t *tag;
};

static enum mikeyd_status attempt_sign(struct token_session *session, void *work, CK_RV *rv,
                                       struct error *err)
{
    const struct sign_job *job = work;
    enum mikeyd_status status = token_call_begin(session, "C_Sign", err);
    if (status != MIKEYD_OK)
        return status;
    status = derived_check(session, job->handle, err);
    if (status == MIKEYD_OK)
        *rv = token_sign_hmac(session, job->handle, job->hash, job->data, job->len, job->parts,
                              job->tag);
    if (*rv != CKR_OK)
        return token_call_failed(session, "C_Sign", *rv, err);
    token_call_end(session);
    return status;
}

enum mikeyd_status token_hmac_handle(struct token_session *session, unsigned long handle,
                                     enum hmac_hash hash, const uint8_t *const data[],
                                     const size_t len[], size_t parts, uint8_t *tag,
                                     struct error *err)
{
    struct sign_job job = {handle, hash, data, len, parts, tag};
    return use_derived(session, attempt_sign, &job, err);
}

CK_RV token_aes_ctr_call(struct token_session *session, CK_OBJECT_HANDLE key, const uint8_t iv[16],
                         uint8_t *data, size_t len)
{
    CK_FUNCTION_LIST *f = session->token->f;
    /* RFC 3830 4.2.3: the counter is the IV's last 16 bits. Tokens differ in how they wrap it, so
     * the whole block counts; no KEMAC comes near 2^16 blocks. */
    CK_AES_CTR_PARAMS params = {.counter_bits = 128};
    struct byte_writer w = writer_of(params.cb, sizeof params.cb);
    writer_bytes(&w, iv, 16);
    CK_MECHANISM mechanism = {CKM_AES_CTR, &params, sizeof params};
    CK_RV rv = token_part_begun(session, key, f->C_EncryptInit(session->handle, &mechanism, key));
    if (rv != CKR_OK)
        return rv;
    /* Not in place: what a failed call leaves behind could not be encrypted again. */
    SECRET_CLEANUP struct secret out = {0};
    CK_ULONG out_len = (CK_ULONG)len;
    if (!secret_make(&out, len))
        return CKR_GENERAL_ERROR;
    rv = f->C_Encrypt(session->handle, data, (CK_ULONG)len, out.data, &out_len);
    token_part_ended(session, key, rv);
    if (rv == CKR_OK && out_len != len)
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK)
        memcpy(data, out.data, len);
    return rv;
}

struct ctr_job {
    unsigned long handle;
    const uint8_t *iv;
    uint8_t *data;
    size_t len;
};

static enum mikeyd_status attempt_ctr(struct token_session *session, void *work, CK_RV *rv,
                                      struct error *err)
{
    const struct ctr_job *job = work;
    enum mikeyd_status status = token_call_begin(session, "C_Encrypt", err);
    if (status != MIKEYD_OK)
        return status;
    status = derived_check(session, job->handle, err);
    if (status == MIKEYD_OK)
        *rv = token_aes_ctr_call(session, job->handle, job->iv, job->data, job->len);
    if (*rv != CKR_OK)
        return token_call_failed(session, "C_Encrypt", *rv, err);
    token_call_end(session);
    return status;
}

enum mikeyd_status token_aes_ctr(struct token_session *session, unsigned long handle,
                                 const uint8_t iv[16], uint8_t *data, size_t len, struct error *err)
{
    struct ctr_job job = {handle, iv, data, len};
    return use_derived(session, attempt_ctr, &job, err);
}

/* A derived key of this session: gone already when its session was dropped. */
static void destroy_derived(struct token_session *session, size_t at)
{
    const CK_OBJECT_HANDLE handle = session->derived[at];
    const bool lost = derived_lost(session);
    session->derived[at] = session->derived[--session->derived_count];
    if (lost || token_call_begin(session, "C_DestroyObject", NULL) != MIKEYD_OK)
        return;
    if (session->derived_opening != session->openings) {
        token_call_end(session); /* begin had to open another session */
        return;
    }
    CK_RV rv = session->token->f->C_DestroyObject(session->handle, handle);
    if (rv == CKR_OK)
        token_call_end(session);
    else
        (void)token_call_failed(session, "C_DestroyObject", rv, NULL);
}

void token_object_destroy(struct token_session *session, unsigned long handle)
{
    size_t at = 0;
    if (derived_find(session, handle, &at))
        destroy_derived(session, at);
    else
        token_pair_destroy(session, handle);
    (void)atomic_fetch_add_explicit(&session->token->calls, 1, memory_order_relaxed);
    if (session->derived_count == 0)
        token_limit_leak(session); /* a re-initialisation would cost the others */
}
