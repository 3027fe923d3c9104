#include "pkcs11/token/store_mark.h"

#include <stdio.h>
#include <string.h>

#include "pkcs11/token/internal.h"

#define PREFIX "mikeyd-store/"
#define PREFIX_LEN (sizeof PREFIX - 1)
#define LABEL_LEN (PREFIX_LEN + TOKEN_STORE_IDENTITY)
/* Two daemons that start at the same moment make one each. */
#define MARKS_MAX 8
#define SESSION_WAIT_MS 5000

static CK_BYTE mark_id[] = {'m', 'i', 'k', 'e', 'y', 'd', '-', 's',
                            't', 'o', 'r', 'e', 'm', 'a', 'r', 'k'};

struct marks {
    CK_OBJECT_HANDLE handle[MARKS_MAX];
    char identity[MARKS_MAX][TOKEN_STORE_IDENTITY + 1];
    CK_ULONG count;
};

static CK_RV find_handles(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session, struct marks *out)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof class},
                             {CKA_TOKEN, &yes, sizeof yes},
                             {CKA_PRIVATE, &yes, sizeof yes},
                             {CKA_ID, mark_id, sizeof mark_id}};
    CK_RV rv = f->C_FindObjectsInit(session, wanted, sizeof wanted / sizeof wanted[0]);
    if (rv != CKR_OK)
        return rv;
    rv = f->C_FindObjects(session, out->handle, MARKS_MAX, &out->count);
    const CK_RV end = f->C_FindObjectsFinal(session);
    return rv != CKR_OK ? rv : end;
}

/* One whose label cannot be read as ours names no store, which is another than any. */
static CK_RV find_marks(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session, struct marks *out)
{
    *out = (struct marks){.count = 0};
    CK_RV rv = find_handles(f, session, out);
    for (CK_ULONG i = 0; rv == CKR_OK && i < out->count; i++) {
        char label[LABEL_LEN + 1] = "";
        CK_ATTRIBUTE attribute = {CKA_LABEL, label, LABEL_LEN};
        rv = f->C_GetAttributeValue(session, out->handle[i], &attribute, 1);
        if (rv == CKR_OK && attribute.ulValueLen == LABEL_LEN &&
            strncmp(label, PREFIX, PREFIX_LEN) == 0)
            memcpy(out->identity[i], label + PREFIX_LEN, TOKEN_STORE_IDENTITY);
        else if (rv == CKR_BUFFER_TOO_SMALL)
            rv = CKR_OK;
    }
    return rv;
}

static CK_RV make_mark(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session, const char *identity,
                       CK_OBJECT_HANDLE *handle)
{
    char label[LABEL_LEN + 1];
    (void)snprintf(label, sizeof label, PREFIX "%s", identity);
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_ULONG len = 32;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_VALUE_LEN, &len, sizeof len}, {CKA_TOKEN, &yes, sizeof yes},
        {CKA_PRIVATE, &yes, sizeof yes},   {CKA_SENSITIVE, &yes, sizeof yes},
        {CKA_EXTRACTABLE, &no, sizeof no}, {CKA_SIGN, &no, sizeof no},
        {CKA_VERIFY, &no, sizeof no},      {CKA_DERIVE, &no, sizeof no},
        {CKA_ENCRYPT, &no, sizeof no},     {CKA_DECRYPT, &no, sizeof no},
        {CKA_WRAP, &no, sizeof no},        {CKA_UNWRAP, &no, sizeof no},
        {CKA_LABEL, label, LABEL_LEN},     {CKA_ID, mark_id, sizeof mark_id}};
    CK_MECHANISM generate = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    return f->C_GenerateKey(session, &generate, template, sizeof template / sizeof template[0],
                            handle);
}

static enum mikeyd_status check_marks(const struct token *token, const struct marks *marks,
                                      const char *identity, struct error *err)
{
    for (CK_ULONG i = 0; i < marks->count; i++) {
        if (strcmp(marks->identity[i], identity) == 0)
            continue;
        return error_set(err, MIKEYD_POLICY,
                         "token %s belongs to replay store %.8s..., this one is %.8s...: two would "
                         "answer a message twice. To move it here: end the other daemon, then "
                         "mikeyctl key release-store",
                         token->label, marks->identity[i], identity);
    }
    return MIKEYD_OK;
}

/* In a bracket of the session's. Why there is no mark: *rv. Another's mark made at the same moment
 * is seen by the second look; ours then goes again. */
static CK_RV add_mark(struct token_session *session, const char *identity, struct marks *marks)
{
    struct token *token = session->token;
    CK_FUNCTION_LIST *f = token->f;
    CK_SESSION_HANDLE writer;
    CK_OBJECT_HANDLE mark;
    struct error ignored;
    token_call_mark(session, "C_OpenSession");
    CK_RV rv =
        f->C_OpenSession(token->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &writer);
    if (rv != CKR_OK)
        return rv;
    token_call_mark(session, "C_GenerateKey");
    rv = make_mark(f, writer, identity, &mark);
    if (rv == CKR_OK) {
        rv = find_marks(f, writer, marks);
        if (rv != CKR_OK || check_marks(token, marks, identity, &ignored) != MIKEYD_OK)
            (void)f->C_DestroyObject(writer, mark);
    }
    (void)f->C_CloseSession(writer);
    return rv;
}

static enum mikeyd_status claim(struct token_session *session, const char *identity, bool *marked,
                                struct error *err)
{
    struct token *token = session->token;
    struct marks marks;
    enum mikeyd_status status = token_call_begin(session, "C_FindObjects", err);
    if (status != MIKEYD_OK)
        return status;
    CK_RV rv = find_marks(token->f, session->handle, &marks);
    if (rv != CKR_OK)
        return token_call_failed(session, "C_FindObjects", rv, err);
    if (marks.count == 0)
        rv = add_mark(session, identity, &marks);
    token_call_end(session);
    *marked = rv == CKR_OK;
    if (rv != CKR_OK)
        (void)error_set(
            err, MIKEYD_OK,
            "token %s takes no mark of its replay store (%s): another daemon on it with "
            "a store of its own would not be noticed",
            token->label, ckr_name(rv));
    return rv == CKR_OK ? check_marks(token, &marks, identity, err) : MIKEYD_OK;
}

enum mikeyd_status token_claim_for_store(struct token *token, const char *identity, bool *marked,
                                         struct error *err)
{
    struct token_session *session;
    *marked = false;
    enum mikeyd_status status = token_session_acquire(token, SESSION_WAIT_MS, &session, err);
    if (status != MIKEYD_OK)
        return status;
    status = claim(session, identity, marked, err);
    token_session_release(session);
    return status;
}

enum mikeyd_status token_release_store(struct token_session *session, size_t *released,
                                       struct error *err)
{
    CK_FUNCTION_LIST *f = session->token->f;
    struct marks marks;
    *released = 0;
    enum mikeyd_status status = token_call_begin(session, "C_FindObjects", err);
    if (status != MIKEYD_OK)
        return status;
    CK_RV rv = find_marks(f, session->handle, &marks);
    for (CK_ULONG i = 0; rv == CKR_OK && i < marks.count; i++) {
        token_call_mark(session, "C_DestroyObject");
        rv = f->C_DestroyObject(session->handle, marks.handle[i]);
        *released += rv == CKR_OK;
    }
    if (rv != CKR_OK)
        return token_call_failed(session, "C_DestroyObject", rv, err);
    token_call_end(session);
    return MIKEYD_OK;
}
