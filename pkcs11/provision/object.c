/* One object made, read back, and destroyed when the token disobeyed; look-ups of the ceremony. */
#include <string.h>

#include "pkcs11/provision/internal.h"

/* A template the token will not take as it stands. GENERAL_ERROR is NSS softokn's word for an
 * attribute it has no column for. */
static bool refuses_template(CK_RV rv)
{
    return rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_VALUE_INVALID ||
           rv == CKR_ATTRIBUTE_READ_ONLY || rv == CKR_TEMPLATE_INCONSISTENT ||
           rv == CKR_GENERAL_ERROR;
}

/* Makes the object with as many of the optional attributes as the token takes. In the bracket. */
static CK_RV make_leaving_out(struct token_session *session, const struct provision_object *object,
                              const struct provision_maker *maker, unsigned fixed,
                              CK_OBJECT_HANDLE *handle, unsigned *left_out)
{
    static const unsigned tries[] = {
        0,
        PROVISION_OMITTED_MECHANISMS,
        PROVISION_OMITTED_CHECK_VALUE,
        PROVISION_OMITTED_MECHANISMS | PROVISION_OMITTED_CHECK_VALUE,
    };
    CK_RV first = CKR_OK;
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
        struct provision_template template;
        provision_template_make(&template, object, maker, fixed | tries[i]);
        token_call_mark(session, maker->operation);
        CK_RV rv = maker->make(session, template.list, template.count, maker, handle);
        if (rv == CKR_OK) {
            *left_out = fixed | tries[i];
            return CKR_OK;
        }
        if (first == CKR_OK)
            first = rv;
        if (!refuses_template(rv))
            return rv;
    }
    return first;
}

/* The object came back wrong: it must not stay. Closes the bracket. */
static enum mikeyd_status remove_disobedient(struct token_session *session, CK_OBJECT_HANDLE handle,
                                             const struct provision_object *object,
                                             const char *attribute, struct error *err)
{
    token_call_mark(session, "C_DestroyObject");
    CK_RV rv = session->token->f->C_DestroyObject(session->handle, handle);
    if (rv != CKR_OK) {
        enum mikeyd_status status = token_call_failed(session, "C_DestroyObject", rv, NULL);
        (void)status;
        return error_set(err, MIKEYD_TOKEN_DOWN,
                         "token %s disobeyed: %s of %s is not what was asked for, and the object "
                         "could NOT be destroyed (%s): destroy it by hand",
                         session->token->label, attribute, object->label, ckr_name(rv));
    }
    token_call_end(session);
    return error_set(err, MIKEYD_TOKEN_DOWN,
                     "token %s disobeyed: %s of %s is not what was asked for; object destroyed",
                     session->token->label, attribute, object->label);
}

enum mikeyd_status provision_object_make(struct token_session *session,
                                         const struct provision_object *object,
                                         const struct provision_maker *maker,
                                         CK_OBJECT_HANDLE *handle, unsigned *omitted,
                                         struct error *err)
{
    enum mikeyd_status status = token_call_begin(session, maker->operation, err);
    if (status != MIKEYD_OK)
        return status;

    unsigned fixed = 0;
    for (;;) {
        unsigned left_out = 0;
        CK_RV rv = make_leaving_out(session, object, maker, fixed, handle, &left_out);
        if (rv != CKR_OK)
            return token_call_failed(session, maker->operation, rv, err);
        const unsigned before = left_out;
        token_call_mark(session, "C_GetAttributeValue");
        const char *bad = provision_object_mismatch(session, *handle, object, &left_out);
        if (bad == NULL) {
            *omitted |= left_out & ~PROVISION_OMITTED_CHECK_VALUE;
            token_call_end(session);
            return MIKEYD_OK;
        }
        /* Dates only describe: without them, once more. All else is disobedience. */
        const bool dates = (left_out & ~before & PROVISION_OMITTED_DATES) != 0;
        if (!dates)
            return remove_disobedient(session, *handle, object, bad, err);
        token_call_mark(session, "C_DestroyObject");
        rv = session->token->f->C_DestroyObject(session->handle, *handle);
        if (rv != CKR_OK)
            return token_call_failed(session, "C_DestroyObject", rv, err);
        fixed |= PROVISION_OMITTED_DATES;
    }
}

static CK_RV make_by_create(struct token_session *session, CK_ATTRIBUTE *list, CK_ULONG count,
                            const struct provision_maker *maker, CK_OBJECT_HANDLE *out)
{
    (void)maker;
    return session->token->f->C_CreateObject(session->handle, list, count, out);
}

enum mikeyd_status provision_object_create(struct token_session *session,
                                           const struct provision_object *object, uint8_t *value,
                                           CK_OBJECT_HANDLE *handle, unsigned *omitted,
                                           struct error *err)
{
    const struct provision_maker maker = {
        .operation = "C_CreateObject", .make = make_by_create, .value = value};
    return provision_object_make(session, object, &maker, handle, omitted, err);
}

/* ---- look-ups ---- */

CK_RV provision_find(struct token_session *session, CK_ATTRIBUTE *list, CK_ULONG count,
                     CK_OBJECT_HANDLE *out, size_t cap, size_t *found)
{
    CK_FUNCTION_LIST *f = session->token->f;
    *found = 0;
    token_call_mark(session, "C_FindObjects");
    CK_RV rv = f->C_FindObjectsInit(session->handle, list, count);
    if (rv != CKR_OK)
        return rv;
    for (;;) {
        CK_OBJECT_HANDLE batch[64];
        CK_ULONG got = 0;
        rv = f->C_FindObjects(session->handle, batch, sizeof batch / sizeof batch[0], &got);
        if (rv != CKR_OK || got == 0)
            break;
        for (CK_ULONG i = 0; i < got && *found <= cap; i++) {
            if (*found < cap)
                out[*found] = batch[i];
            (*found)++;
        }
    }
    CK_RV final = f->C_FindObjectsFinal(session->handle);
    return rv != CKR_OK ? rv : final;
}

/* PKCS#11 wants attribute values writable: a copy of the label. */
struct label_query {
    char text[TOKEN_LABEL_MAX];
    CK_ATTRIBUTE attribute;
};

static bool label_query_make(struct label_query *query, const char *label)
{
    const size_t len = strlen(label);
    if (len == 0 || len >= sizeof query->text)
        return false;
    memcpy(query->text, label, len + 1);
    query->attribute =
        (CK_ATTRIBUTE){.type = CKA_LABEL, .pValue = query->text, .ulValueLen = (CK_ULONG)len};
    return true;
}

enum mikeyd_status provision_find_one(struct token_session *session, CK_OBJECT_CLASS object_class,
                                      const char *label, CK_OBJECT_HANDLE *out, struct error *err)
{
    struct label_query query;
    if (!label_query_make(&query, label)) {
        token_call_end(session);
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "\"%.64s\" is no label", label);
    }
    CK_ATTRIBUTE list[] = {
        {CKA_CLASS, &object_class, sizeof object_class},
        query.attribute,
    };
    size_t found = 0;
    CK_RV rv = provision_find(session, list, 2, out, 1, &found);
    if (rv != CKR_OK)
        return token_call_failed(session, "C_FindObjects", rv, err);
    if (found == 1)
        return MIKEYD_OK;
    token_call_end(session);
    return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s \"%s\" in token %s",
                     found == 0 ? "no key labelled" : "several keys labelled", label,
                     session->token->label);
}

enum mikeyd_status provision_label_check_free(struct token_session *session, const char *label,
                                              struct error *err)
{
    struct label_query query;
    if (!label_query_make(&query, label))
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "\"%.64s\" is no label", label);
    enum mikeyd_status status = token_call_begin(session, "C_FindObjects", err);
    if (status != MIKEYD_OK)
        return status;
    CK_OBJECT_HANDLE handle;
    size_t found = 0;
    CK_RV rv = provision_find(session, &query.attribute, 1, &handle, 1, &found);
    if (rv != CKR_OK)
        return token_call_failed(session, "C_FindObjects", rv, err);
    token_call_end(session);
    if (found == 0)
        return MIKEYD_OK;
    return error_set(err, MIKEYD_INVALID_ARGUMENT, "token %s already has an object %s",
                     session->token->label, label);
}

enum mikeyd_status provision_object_destroy(struct token_session *session,
                                            const struct provision_object *object,
                                            struct error *err)
{
    enum mikeyd_status status = token_call_begin(session, "C_FindObjects", err);
    if (status != MIKEYD_OK)
        return status;
    struct provision_object o = *object;
    CK_ATTRIBUTE list[] = {
        {CKA_LABEL, o.label, (CK_ULONG)strlen(o.label)},
        {CKA_ID, o.id, sizeof o.id},
    };
    CK_OBJECT_HANDLE handle;
    size_t found = 0;
    CK_RV rv = provision_find(session, list, 2, &handle, 1, &found);
    if (rv != CKR_OK)
        return token_call_failed(session, "C_FindObjects", rv, err);
    if (found > 1) {
        token_call_end(session);
        return error_set(err, MIKEYD_TOKEN_DOWN, "token %s: several objects are %s",
                         session->token->label, o.label);
    }
    if (found == 1) {
        token_call_mark(session, "C_DestroyObject");
        rv = session->token->f->C_DestroyObject(session->handle, handle);
        if (rv != CKR_OK)
            return token_call_failed(session, "C_DestroyObject", rv, err);
    }
    token_call_end(session);
    return MIKEYD_OK;
}
