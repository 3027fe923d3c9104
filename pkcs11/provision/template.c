/* The template of one object and its comparison with what the token made of it. */
#include <string.h>

#include "pkcs11/provision/internal.h"

static void add(struct provision_template *t, CK_ATTRIBUTE_TYPE type, void *value, size_t len)
{
    t->list[t->count++] =
        (CK_ATTRIBUTE){.type = type, .pValue = value, .ulValueLen = (CK_ULONG)len};
}

static void add_flag(struct provision_template *t, CK_ATTRIBUTE_TYPE type, bool on)
{
    add(t, type, on ? &t->yes : &t->no, sizeof(CK_BBOOL));
}

/* "2026-11-21", checked before. */
static void date_fill(CK_DATE *out, const char *text)
{
    memcpy(out->year, text, 4);
    memcpy(out->month, text + 5, 2);
    memcpy(out->day, text + 8, 2);
}

void provision_template_make(struct provision_template *out, const struct provision_object *object,
                             const struct provision_maker *maker, unsigned omit)
{
    *out = (struct provision_template){
        .object = *object,
        .object_class = CKO_SECRET_KEY,
        .key_type = CKK_GENERIC_SECRET,
        .value_len = (CK_ULONG)object->value_len,
        .yes = CK_TRUE,
        .no = CK_FALSE,
    };
    struct provision_object *o = &out->object;

    add(out, CKA_CLASS, &out->object_class, sizeof out->object_class);
    add(out, CKA_KEY_TYPE, &out->key_type, sizeof out->key_type);
    add_flag(out, CKA_TOKEN, o->on_token);
    add_flag(out, CKA_PRIVATE, true);
    add_flag(out, CKA_SENSITIVE, true);
    add_flag(out, CKA_EXTRACTABLE, o->extractable);
    /* False is what it is anyway, and some tokens refuse to be told. */
    if (o->wrap_with_trusted)
        add_flag(out, CKA_WRAP_WITH_TRUSTED, true);
    add_flag(out, CKA_SIGN, o->sign);
    add_flag(out, CKA_DERIVE, o->derive);
    add_flag(out, CKA_VERIFY, false);
    add_flag(out, CKA_ENCRYPT, false);
    add_flag(out, CKA_DECRYPT, false);
    add_flag(out, CKA_WRAP, false);
    add_flag(out, CKA_UNWRAP, false);
    add(out, CKA_LABEL, o->label, strlen(o->label));
    add(out, CKA_ID, o->id, sizeof o->id);
    if (maker->value != NULL)
        add(out, CKA_VALUE, maker->value, o->value_len);
    if (maker->states_len)
        add(out, CKA_VALUE_LEN, &out->value_len, sizeof out->value_len);
    if (o->mechanism_count != 0 && (omit & PROVISION_OMITTED_MECHANISMS) == 0)
        add(out, CKA_ALLOWED_MECHANISMS, o->mechanisms,
            o->mechanism_count * sizeof o->mechanisms[0]);
    if ((omit & PROVISION_OMITTED_DATES) == 0 && o->not_before[0] != '\0') {
        date_fill(&out->start, o->not_before);
        add(out, CKA_START_DATE, &out->start, sizeof out->start);
    }
    if ((omit & PROVISION_OMITTED_DATES) == 0 && o->not_after[0] != '\0') {
        date_fill(&out->end, o->not_after);
        add(out, CKA_END_DATE, &out->end, sizeof out->end);
    }
    /* The check value is a hash of the key: not kept. */
    if ((omit & PROVISION_OMITTED_CHECK_VALUE) == 0)
        add(out, CKA_CHECK_VALUE, NULL, 0);
    /* Last: SoftHSM's unwrap takes no attribute after this one. */
    add_flag(out, CKA_MODIFIABLE, o->modifiable);
}

bool provision_flag_is_set(struct token_session *session, CK_OBJECT_HANDLE handle,
                           CK_ATTRIBUTE_TYPE type)
{
    CK_BBOOL value = CK_FALSE;
    CK_ATTRIBUTE attribute = {type, &value, sizeof value};
    CK_RV rv = session->token->f->C_GetAttributeValue(session->handle, handle, &attribute, 1);
    return rv == CKR_OK && attribute.ulValueLen == sizeof value && value != CK_FALSE;
}

static bool mechanisms_equal(const struct token_attributes *got, const struct provision_object *o)
{
    if (got->allowed_overflow || got->allowed_count != o->mechanism_count)
        return false;
    for (size_t i = 0; i < got->allowed_count; i++) {
        bool known = false;
        for (size_t j = 0; j < o->mechanism_count; j++)
            known = known || got->allowed[i] == o->mechanisms[j];
        if (!known)
            return false;
    }
    return true;
}

static const char *usage_mismatch(const struct token_attributes *got,
                                  const struct provision_object *o)
{
    if (got->sign != o->sign)
        return "CKA_SIGN";
    if (got->derive != o->derive)
        return "CKA_DERIVE";
    if (got->wrap)
        return "CKA_WRAP";
    if (got->unwrap)
        return "CKA_UNWRAP";
    if (got->encrypt)
        return "CKA_ENCRYPT";
    if (got->decrypt)
        return "CKA_DECRYPT";
    return NULL;
}

static const char *protection_mismatch(const struct token_attributes *got,
                                       const struct provision_object *o)
{
    if (!got->sensitive)
        return "CKA_SENSITIVE";
    if (got->extractable != o->extractable)
        return "CKA_EXTRACTABLE";
    if (o->wrap_with_trusted && !got->wrap_with_trusted)
        return "CKA_WRAP_WITH_TRUSTED";
    if (!got->private_object)
        return "CKA_PRIVATE";
    if (got->modifiable != o->modifiable)
        return "CKA_MODIFIABLE";
    /* Not only the flags: a token that says "sensitive" and hands the value out is no better. */
    if (got->readable)
        return "CKA_VALUE";
    return NULL;
}

/* Dates are asked for alone: SoftHSM cannot read those of a private object again, and what it makes
 * of the other attributes must not depend on that. */
static bool date_kept(struct token_session *session, CK_OBJECT_HANDLE handle,
                      CK_ATTRIBUTE_TYPE type, const char *text)
{
    if (text[0] == '\0')
        return true;
    CK_DATE wanted, got;
    date_fill(&wanted, text);
    CK_ATTRIBUTE attribute = {type, &got, sizeof got};
    CK_RV rv = session->token->f->C_GetAttributeValue(session->handle, handle, &attribute, 1);
    return rv == CKR_OK && attribute.ulValueLen == sizeof got &&
           memcmp(&wanted, &got, sizeof got) == 0; /* public */
}

const char *provision_object_mismatch(struct token_session *session, CK_OBJECT_HANDLE handle,
                                      const struct provision_object *object, unsigned *omitted)
{
    if ((*omitted & PROVISION_OMITTED_DATES) == 0 &&
        (!date_kept(session, handle, CKA_START_DATE, object->not_before) ||
         !date_kept(session, handle, CKA_END_DATE, object->not_after))) {
        *omitted |= PROVISION_OMITTED_DATES;
        return "CKA_END_DATE";
    }

    struct token_attributes got;
    if (token_attributes_read(session->token, session->handle, handle, &got) != CKR_OK)
        return "every attribute (unreadable)";
    if (got.object_class != CKO_SECRET_KEY)
        return "CKA_CLASS";
    if (got.key_type != CKK_GENERIC_SECRET)
        return "CKA_KEY_TYPE";
    if (provision_flag_is_set(session, handle, CKA_TOKEN) != object->on_token)
        return "CKA_TOKEN";
    if (got.label_len != strlen(object->label) ||
        memcmp(got.label, object->label, got.label_len) != 0 /* public */)
        return "CKA_LABEL";
    if (got.id_len != sizeof object->id ||
        memcmp(got.id, object->id, sizeof object->id) != 0 /* public */)
        return "CKA_ID";
    /* Zero: the token does not tell (SoftHSM after an unwrap). */
    if (got.value_len == 0)
        *omitted |= PROVISION_OMITTED_LENGTH;
    else if (got.value_len != object->value_len)
        return "CKA_VALUE_LEN";
    const char *bad = protection_mismatch(&got, object);
    if (bad == NULL)
        bad = usage_mismatch(&got, object);
    if (bad == NULL && provision_flag_is_set(session, handle, CKA_VERIFY))
        bad = "CKA_VERIFY";
    if (bad != NULL)
        return bad;

    if (object->mechanism_count == 0 || (*omitted & PROVISION_OMITTED_MECHANISMS) != 0)
        return NULL;
    if (!got.has_allowed) {
        *omitted |= PROVISION_OMITTED_MECHANISMS; /* taken, but not kept */
        return NULL;
    }
    return mechanisms_equal(&got, object) ? NULL : "CKA_ALLOWED_MECHANISMS";
}
