/* HMAC in the token: one call, a batch, and under a key given in clear. */
#include <string.h>

#include "pkcs11/token/internal.h"

/* ---- one HMAC */

static CK_RV sign_parts(struct token_session *session, const uint8_t *const data[],
                        const size_t len[], size_t parts, uint8_t *tag, CK_ULONG *tag_len)
{
    CK_FUNCTION_LIST *f = session->token->f;
    for (size_t i = 0; i < parts; i++) {
        if (len[i] == 0)
            continue;
        union {
            const uint8_t *in;
            CK_BYTE *out;
        } part = {.in = data[i]}; /* C_SignUpdate only reads */
        CK_RV rv = f->C_SignUpdate(session->handle, part.out, (CK_ULONG)len[i]);
        if (rv != CKR_OK)
            return rv;
    }
    return f->C_SignFinal(session->handle, tag, tag_len);
}

/* Parts joined in secure memory: one C_Sign costs less than two updates and a final. */
static CK_RV sign_joined(struct token_session *session, const uint8_t *const data[],
                         const size_t len[], size_t parts, size_t total, uint8_t *tag,
                         CK_ULONG *tag_len)
{
    struct byte_writer w = writer_of(session->scratch, TOKEN_SCRATCH);
    for (size_t i = 0; i < parts; i++) {
        if (len[i] != 0)
            writer_bytes(&w, data[i], len[i]);
    }
    CK_RV rv =
        session->token->f->C_Sign(session->handle, session->scratch, (CK_ULONG)total, tag, tag_len);
    secret_wipe(session->scratch, total);
    return rv;
}

CK_RV token_sign_hmac(struct token_session *session, CK_OBJECT_HANDLE key, enum hmac_hash hash,
                      const uint8_t *const data[], const size_t len[], size_t parts, uint8_t *tag)
{
    CK_MECHANISM mechanism = {token_hmac_mechanism(hash), NULL, 0};
    CK_RV rv = token_part_begun(session, key,
                                session->token->f->C_SignInit(session->handle, &mechanism, key));
    if (rv != CKR_OK)
        return rv;
    size_t total = 0;
    for (size_t i = 0; i < parts; i++)
        total += len[i];
    CK_ULONG tag_len = (CK_ULONG)hmac_tag_len(hash);
    if (total <= TOKEN_SCRATCH) {
        rv = sign_joined(session, data, len, parts, total, tag, &tag_len);
        token_part_ended(session, key, rv);
    } else {
        rv = sign_parts(session, data, len, parts, tag, &tag_len);
    }
    if (rv == CKR_OK && tag_len != hmac_tag_len(hash))
        rv = CKR_DEVICE_ERROR; /* a tag of another length is no tag */
    if (rv == CKR_OK)
        (void)atomic_fetch_add_explicit(&session->token->hmacs, 1, memory_order_relaxed);
    return rv;
}

enum mikeyd_status token_handle_now(const struct token_session *session,
                                    const struct token_object *object, CK_OBJECT_HANDLE *handle,
                                    struct error *err)
{
    const struct token *token = session->token;
    /* A handle of an earlier initialisation may name another key by now. */
    if (object->generation != atomic_load(&token->generation))
        return error_set(err, MIKEYD_TOKEN_DOWN,
                         "token %s was re-initialised: the derived key must be derived again",
                         token->label);
    *handle = __atomic_load_n(&object->handle, __ATOMIC_ACQUIRE);
    if (*handle == CK_INVALID_HANDLE)
        return error_set(err, MIKEYD_TOKEN_DOWN,
                         "token %s: the key's object is gone or refused for its attributes",
                         token->label);
    return MIKEYD_OK;
}

/* ---- twice at most */

enum mikeyd_status token_try_twice(struct token_session *session, token_attempt *attempt,
                                   void *work, struct error *err)
{
    struct token_patience patience = {0};
    for (int round = 0;; round++) {
        CK_RV rv = CKR_OK;
        enum mikeyd_status status = attempt(session, work, &rv, err);
        /* No call failed: the key itself is not there. */
        if (status == MIKEYD_TOKEN_DOWN && rv == CKR_OK && round == 0 &&
            token_find_missing(session->token))
            continue;
        if (status == MIKEYD_OK || rv == CKR_OK)
            return status;
        if (token_wait_while_busy(session, rv, &patience)) {
            round--;
            continue;
        }
        if (!token_rv_recoverable(session->token, rv) || round >= 1)
            return status;
        status = token_recover(session, rv, err);
        if (status != MIKEYD_OK)
            return status;
    }
}

/* ---- batches */

struct batch {
    struct hmac_job *jobs;
    size_t count;
    size_t done; /* these have their tags: another try goes on behind them */
};

static enum mikeyd_status run_jobs(struct token_session *session, struct batch *batch, CK_RV *rv,
                                   struct error *err)
{
    for (size_t first = batch->done; batch->done < batch->count; batch->done++) {
        const struct hmac_job *job = &batch->jobs[batch->done];
        CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
        enum mikeyd_status status = token_handle_now(session, job->key, &handle, err);
        if (status != MIKEYD_OK)
            return status;
        if (batch->done != first)
            token_call_mark(session, "C_Sign");
        *rv = token_sign_hmac(session, handle, job->hash, job->data, job->len, 2, job->tag);
        if (*rv != CKR_OK)
            return MIKEYD_TOKEN_DOWN;
    }
    return MIKEYD_OK;
}

static enum mikeyd_status attempt_batch(struct token_session *session, void *work, CK_RV *rv,
                                        struct error *err)
{
    struct token *token = session->token;
    enum mikeyd_status status = token_call_begin(session, "C_Sign", err);
    if (status != MIKEYD_OK)
        return status;
    status = token_serial_enter(token, err);
    if (status == MIKEYD_OK) {
        status = run_jobs(session, work, rv, err);
        token_serial_leave(token);
    }
    if (*rv != CKR_OK)
        return token_call_failed(session, "C_Sign", *rv, err);
    token_call_end(session);
    return status;
}

enum mikeyd_status token_hmac_serial(struct token_session *session, struct hmac_job *jobs,
                                     size_t count, struct error *err)
{
    struct batch batch = {.jobs = jobs, .count = count};
    return token_try_twice(session, attempt_batch, &batch, err);
}

enum mikeyd_status token_hmac_batch(struct token_session *session, struct hmac_job *jobs,
                                    size_t count, struct error *err)
{
    (void)atomic_fetch_add_explicit(&session->token->calls, count, memory_order_relaxed);
    if (count > 1 && session->token->assist != NULL)
        return token_hmac_spread(session, jobs, count, err);
    return token_hmac_serial(session, jobs, count, err);
}

/* ---- under a key in clear */

struct clear_job {
    enum hmac_hash hash;
    const uint8_t *key;
    size_t key_len;
    const uint8_t *const *data;
    const size_t *len;
    size_t parts;
    unsigned long *handle;
    uint8_t *tag;
};

/* Lives in one session for one message; sensitive and not extractable like every key of ours. */
static CK_RV create_session_key(struct token_session *session, CK_KEY_TYPE type, const uint8_t *key,
                                size_t key_len, bool sign, CK_OBJECT_HANDLE *handle)
{
    struct token *token = session->token;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_BBOOL signs = sign ? CK_TRUE : CK_FALSE, derives = sign ? CK_FALSE : CK_TRUE;
    CK_OBJECT_CLASS object_class = CKO_SECRET_KEY;
    union {
        const uint8_t *in;
        CK_BYTE *out;
    } value = {.in = key}; /* C_CreateObject only reads */
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &object_class, sizeof object_class},
        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_TOKEN, &no, sizeof no},
        {CKA_PRIVATE, &no, sizeof no},
        {CKA_SENSITIVE, &yes, sizeof yes},
        {CKA_EXTRACTABLE, &no, sizeof no},
        {CKA_SIGN, &signs, sizeof signs},
        {CKA_VERIFY, &no, sizeof no},
        {CKA_DERIVE, &derives, sizeof derives},
        {CKA_ENCRYPT, &no, sizeof no},
        {CKA_DECRYPT, &no, sizeof no},
        {CKA_WRAP, &no, sizeof no},
        {CKA_UNWRAP, &no, sizeof no},
        {CKA_VALUE, value.out, (CK_ULONG)key_len},
    };
    CK_RV rv = token->f->C_CreateObject(session->handle, template,
                                        sizeof template / sizeof template[0], handle);
    if (rv == CKR_OK) {
        (void)atomic_fetch_add_explicit(&token->objects_created, 1, memory_order_relaxed);
        (void)atomic_fetch_add_explicit(&token->module->session_objects, 1, memory_order_relaxed);
    }
    return rv;
}

CK_RV token_create_hmac_key(struct token_session *session, enum hmac_hash hash, const uint8_t *key,
                            size_t key_len, CK_OBJECT_HANDLE *handle)
{
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    if (session->token->hash_keys)
        type = hash == HMAC_SHA1 ? CKK_SHA_1_HMAC : CKK_SHA256_HMAC;
    return create_session_key(session, type, key, key_len, true, handle);
}

CK_RV token_create_base_key(struct token_session *session, const uint8_t *key, size_t key_len,
                            CK_OBJECT_HANDLE *handle)
{
    return create_session_key(session, CKK_GENERIC_SECRET, key, key_len, false, handle);
}

/* Zeros behind a key shorter than the hash block do not change its HMAC (RFC 2104, 2). */
static enum mikeyd_status pad_key(const struct token *token, const struct clear_job *job,
                                  struct secret *padded, struct error *err)
{
    const size_t least = token->hmac_min[job->hash];
    if (!secret_make(padded, job->key_len < least ? least : job->key_len))
        return error_set(err, MIKEYD_INTERNAL, "secure heap is full");
    memcpy(padded->data, job->key, job->key_len);
    return MIKEYD_OK;
}

static CK_RV create_in_clear(struct token_session *session, const struct clear_job *job,
                             const struct secret *key)
{
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    CK_RV rv = token_create_hmac_key(session, job->hash, key->data, key->len, &made);
    if (rv == CKR_OK) {
        token_derived_add(session, made);
        *job->handle = made;
    }
    return rv;
}

/* Any failure costs the session, and the object with it. */
static CK_RV sign_in_clear(struct token_session *session, const struct clear_job *job,
                           const struct secret *key, const char **operation)
{
    CK_RV rv = CKR_OK;
    if (*job->handle == 0)
        rv = create_in_clear(session, job, key);
    if (rv != CKR_OK)
        return rv;
    *operation = "C_Sign";
    token_call_mark(session, *operation);
    return token_sign_hmac(session, *job->handle, job->hash, job->data, job->len, job->parts,
                           job->tag);
}

/* Inside the bracket: drops the caller's object when it is not of this opening of the session. */
static enum mikeyd_status check_object(struct token_session *session, const struct clear_job *job,
                                       struct error *err)
{
    if (*job->handle != 0 && !token_derived_valid(session, *job->handle)) {
        token_derived_forget(session, *job->handle);
        *job->handle = 0;
    }
    if (*job->handle != 0 || token_derived_room(session))
        return MIKEYD_OK;
    return error_set(err, MIKEYD_INTERNAL, "token %s: keys of another message are left over",
                     session->token->label);
}

static enum mikeyd_status attempt_clear(struct token_session *session, void *work, CK_RV *rv,
                                        struct error *err)
{
    const struct clear_job *job = work;
    struct token *token = session->token;
    SECRET_CLEANUP struct secret key = {0};
    enum mikeyd_status status = pad_key(token, job, &key, err);
    if (status == MIKEYD_OK)
        status = token_call_begin(session, "C_CreateObject", err);
    if (status != MIKEYD_OK)
        return status;
    const char *operation = "C_CreateObject";
    status = check_object(session, job, err);
    if (status == MIKEYD_OK)
        status = token_serial_enter(token, err);
    if (status == MIKEYD_OK) {
        *rv = sign_in_clear(session, job, &key, &operation);
        token_serial_leave(token);
    }
    if (*rv != CKR_OK)
        return token_call_failed(session, operation, *rv, err);
    token_call_end(session);
    return status;
}

enum mikeyd_status token_hmac_bytes(struct token_session *session, enum hmac_hash hash,
                                    const uint8_t *key, size_t key_len, const uint8_t *const data[],
                                    const size_t len[], size_t parts, unsigned long *handle,
                                    uint8_t *tag, struct error *err)
{
    struct clear_job job = {hash, key, key_len, data, len, parts, handle, tag};
    const unsigned calls = *handle == 0 ? 2 : 1;
    (void)atomic_fetch_add_explicit(&session->token->calls, calls, memory_order_relaxed);
    return token_try_twice(session, attempt_clear, &job, err);
}

enum mikeyd_status token_hmac_two(struct token_session *session, enum hmac_hash hash,
                                  const uint8_t *key, size_t key_len,
                                  const struct token_message two[2], unsigned long *handle,
                                  struct error *err)
{
    if (session->token->assist != NULL)
        return token_hmac_two_spread(session, hash, key, key_len, two, handle, err);
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0; i < 2 && status == MIKEYD_OK; i++)
        status = token_hmac_bytes(session, hash, key, key_len, two[i].data, two[i].len,
                                  two[i].parts, handle, two[i].tag, err);
    return status;
}
