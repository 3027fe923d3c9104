/* What an object shows of itself, and what of that would let a key out. */
#include <string.h>

#include "base/clock.h"
#include "pkcs11/token/internal.h"

/* Values as the token writes them; zeroed, so that an attribute it does not know reads as zero. */
struct raw_attributes {
    CK_BBOOL sensitive, extractable, private_object, modifiable, always_sensitive;
    CK_BBOOL never_extractable, wrap, unwrap, encrypt, decrypt, sign, derive, wrap_with_trusted;
    CK_DATE start, end;
};

static bool told(const CK_ATTRIBUTE *attribute)
{
    return attribute->ulValueLen != (CK_ULONG)-1 && attribute->ulValueLen != 0;
}

/* An answer of another size than the attribute has is none. */
static bool told_as(const CK_ATTRIBUTE *attribute, size_t len)
{
    return attribute->ulValueLen == len;
}

/*
 * A flag the token does not tell: what protects the key counts as off, what lets it out as on; a
 * usage the token has no flag for does not exist.
 */
static bool flag(const CK_ATTRIBUTE *attribute, CK_BBOOL value, bool unless_told)
{
    return told_as(attribute, sizeof value) ? value != CK_FALSE : unless_told;
}

static void date_text(const CK_ATTRIBUTE *attribute, const CK_DATE *date, char out[11])
{
    out[0] = '\0';
    if (!told_as(attribute, sizeof *date) || date->year[0] < '0' || date->year[0] > '9')
        return;
    struct byte_writer w = writer_of(out, 11);
    writer_bytes(&w, date->year, sizeof date->year);
    writer_u8(&w, '-');
    writer_bytes(&w, date->month, sizeof date->month);
    writer_u8(&w, '-');
    writer_bytes(&w, date->day, sizeof date->day);
    writer_u8(&w, '\0');
}

/* Partial answers are answers: each attribute says for itself whether it was told. */
static bool answered(CK_RV rv)
{
    return rv == CKR_OK || rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_ATTRIBUTE_TYPE_INVALID ||
           rv == CKR_BUFFER_TOO_SMALL;
}

enum {
    AT_CLASS,
    AT_KEY_TYPE,
    AT_LABEL,
    AT_ID,
    AT_VALUE_LEN,
    AT_SENSITIVE,
    AT_EXTRACTABLE,
    AT_PRIVATE,
    AT_MODIFIABLE,
    AT_ALWAYS_SENSITIVE,
    AT_NEVER_EXTRACTABLE,
    AT_WRAP,
    AT_UNWRAP,
    AT_ENCRYPT,
    AT_DECRYPT,
    AT_SIGN,
    AT_DERIVE,
    AT_WRAP_WITH_TRUSTED,
    AT_START,
    AT_END,
    AT_ALLOWED,
    AT_COUNT
};

/* About the object, the session or the token: no attribute is to blame. */
static bool nothing_can_be_asked(CK_RV rv)
{
    switch (rv) {
    case CKR_OBJECT_HANDLE_INVALID:
    case CKR_SESSION_HANDLE_INVALID:
    case CKR_SESSION_CLOSED:
    case CKR_USER_NOT_LOGGED_IN:
    case CKR_DEVICE_ERROR:
    case CKR_DEVICE_MEMORY:
    case CKR_DEVICE_REMOVED:
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_CRYPTOKI_NOT_INITIALIZED:
    case CKR_HOST_MEMORY:
        return true;
    default:
        return false;
    }
}

/*
 * Some tokens answer for one attribute with a code of their own, and with that for all that were
 * asked together. Asked one by one, that attribute is not told, and the others are.
 */
static CK_RV ask_one_by_one(const struct token *token, CK_SESSION_HANDLE session,
                            CK_OBJECT_HANDLE object, CK_ATTRIBUTE at[AT_COUNT], CK_RV refused)
{
    CK_RV all = refused;
    for (size_t i = 0; i < AT_COUNT; i++) {
        CK_RV rv = token->f->C_GetAttributeValue(session, object, &at[i], 1);
        if (nothing_can_be_asked(rv))
            return rv;
        if (!answered(rv))
            at[i].ulValueLen = (CK_ULONG)-1;
        else if (!answered(all) || rv == CKR_BUFFER_TOO_SMALL)
            all = rv;
    }
    return all;
}

static CK_RV ask_all(const struct token *token, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                     CK_ATTRIBUTE at[AT_COUNT])
{
    CK_ULONG room[AT_COUNT];
    for (size_t i = 0; i < AT_COUNT; i++)
        room[i] = at[i].ulValueLen;
    CK_RV rv = token->f->C_GetAttributeValue(session, object, at, AT_COUNT);
    if (answered(rv) || nothing_can_be_asked(rv))
        return rv;
    /* The lengths that the refused call left behind mean nothing. */
    for (size_t i = 0; i < AT_COUNT; i++)
        at[i].ulValueLen = room[i];
    return ask_one_by_one(token, session, object, at, rv);
}

/* The length of text or bytes; 0 for one that cannot be. */
static size_t told_len(const CK_ATTRIBUTE *attribute, size_t cap)
{
    return told(attribute) && attribute->ulValueLen <= cap ? attribute->ulValueLen : 0;
}

static void attributes_take(const CK_ATTRIBUTE *at, const struct raw_attributes *raw,
                            struct token_attributes *out)
{
    out->label_len = told_len(&at[AT_LABEL], TOKEN_LABEL_MAX);
    out->label[out->label_len] = '\0';
    out->id_len = told_len(&at[AT_ID], sizeof out->id);
    if (!told_as(&at[AT_CLASS], sizeof out->object_class))
        out->object_class = (CK_OBJECT_CLASS)-1;
    if (!told_as(&at[AT_KEY_TYPE], sizeof out->key_type))
        out->key_type = (CK_KEY_TYPE)-1;
    /* 0 is no length: some tokens say so of every key. */
    if (!told_as(&at[AT_VALUE_LEN], sizeof out->value_len))
        out->value_len = 0;
    out->sensitive = flag(&at[AT_SENSITIVE], raw->sensitive, false);
    out->extractable = flag(&at[AT_EXTRACTABLE], raw->extractable, true);
    out->private_object = flag(&at[AT_PRIVATE], raw->private_object, false);
    out->modifiable = flag(&at[AT_MODIFIABLE], raw->modifiable, true);
    out->always_sensitive = flag(&at[AT_ALWAYS_SENSITIVE], raw->always_sensitive, false);
    out->never_extractable = flag(&at[AT_NEVER_EXTRACTABLE], raw->never_extractable, false);
    out->wrap = flag(&at[AT_WRAP], raw->wrap, false);
    out->unwrap = flag(&at[AT_UNWRAP], raw->unwrap, false);
    out->encrypt = flag(&at[AT_ENCRYPT], raw->encrypt, false);
    out->decrypt = flag(&at[AT_DECRYPT], raw->decrypt, false);
    out->sign = flag(&at[AT_SIGN], raw->sign, false);
    out->derive = flag(&at[AT_DERIVE], raw->derive, false);
    out->wrap_with_trusted = flag(&at[AT_WRAP_WITH_TRUSTED], raw->wrap_with_trusted, false);
    date_text(&at[AT_START], &raw->start, out->start_date);
    date_text(&at[AT_END], &raw->end, out->end_date);
    out->has_allowed = at[AT_ALLOWED].ulValueLen != (CK_ULONG)-1;
    out->allowed_overflow = out->has_allowed && at[AT_ALLOWED].ulValueLen > sizeof out->allowed;
    out->allowed_count = told_len(&at[AT_ALLOWED], sizeof out->allowed) / sizeof(CK_MECHANISM_TYPE);
}

/*
 * Asks for the length of CKA_VALUE, never for the value: the answer for a key that keeps its secret
 * is CKR_ATTRIBUTE_SENSITIVE. Some tokens say CKR_OK with length 0 instead.
 */
static bool value_readable(const struct token *token, CK_SESSION_HANDLE session,
                           CK_OBJECT_HANDLE object)
{
    CK_ATTRIBUTE value = {CKA_VALUE, NULL, 0};
    CK_RV rv = token->f->C_GetAttributeValue(session, object, &value, 1);
    return rv == CKR_OK && told(&value);
}

bool token_object_stays_inside(const struct token *token, CK_SESSION_HANDLE session,
                               CK_OBJECT_HANDLE object)
{
    CK_BBOOL sensitive = CK_FALSE, extractable = CK_TRUE;
    CK_ATTRIBUTE at[] = {{CKA_SENSITIVE, &sensitive, sizeof sensitive},
                         {CKA_EXTRACTABLE, &extractable, sizeof extractable}};
    CK_RV rv = token->f->C_GetAttributeValue(session, object, at, 2);
    return rv == CKR_OK && flag(&at[0], sensitive, false) && !flag(&at[1], extractable, true) &&
           !value_readable(token, session, object);
}

CK_RV token_attributes_read(const struct token *token, CK_SESSION_HANDLE session,
                            CK_OBJECT_HANDLE object, struct token_attributes *out)
{
    *out = (struct token_attributes){0};
    struct raw_attributes raw = {0};
    CK_ATTRIBUTE at[AT_COUNT] = {
        [AT_CLASS] = {CKA_CLASS, &out->object_class, sizeof out->object_class},
        [AT_KEY_TYPE] = {CKA_KEY_TYPE, &out->key_type, sizeof out->key_type},
        [AT_LABEL] = {CKA_LABEL, out->label, TOKEN_LABEL_MAX},
        [AT_ID] = {CKA_ID, out->id, sizeof out->id},
        [AT_VALUE_LEN] = {CKA_VALUE_LEN, &out->value_len, sizeof out->value_len},
        [AT_SENSITIVE] = {CKA_SENSITIVE, &raw.sensitive, sizeof(CK_BBOOL)},
        [AT_EXTRACTABLE] = {CKA_EXTRACTABLE, &raw.extractable, sizeof(CK_BBOOL)},
        [AT_PRIVATE] = {CKA_PRIVATE, &raw.private_object, sizeof(CK_BBOOL)},
        [AT_MODIFIABLE] = {CKA_MODIFIABLE, &raw.modifiable, sizeof(CK_BBOOL)},
        [AT_ALWAYS_SENSITIVE] = {CKA_ALWAYS_SENSITIVE, &raw.always_sensitive, sizeof(CK_BBOOL)},
        [AT_NEVER_EXTRACTABLE] = {CKA_NEVER_EXTRACTABLE, &raw.never_extractable, sizeof(CK_BBOOL)},
        [AT_WRAP] = {CKA_WRAP, &raw.wrap, sizeof(CK_BBOOL)},
        [AT_UNWRAP] = {CKA_UNWRAP, &raw.unwrap, sizeof(CK_BBOOL)},
        [AT_ENCRYPT] = {CKA_ENCRYPT, &raw.encrypt, sizeof(CK_BBOOL)},
        [AT_DECRYPT] = {CKA_DECRYPT, &raw.decrypt, sizeof(CK_BBOOL)},
        [AT_SIGN] = {CKA_SIGN, &raw.sign, sizeof(CK_BBOOL)},
        [AT_DERIVE] = {CKA_DERIVE, &raw.derive, sizeof(CK_BBOOL)},
        [AT_WRAP_WITH_TRUSTED] = {CKA_WRAP_WITH_TRUSTED, &raw.wrap_with_trusted, sizeof(CK_BBOOL)},
        [AT_START] = {CKA_START_DATE, &raw.start, sizeof raw.start},
        [AT_END] = {CKA_END_DATE, &raw.end, sizeof raw.end},
        [AT_ALLOWED] = {CKA_ALLOWED_MECHANISMS, out->allowed, sizeof out->allowed},
    };
    CK_RV rv = ask_all(token, session, object, at);
    if (!answered(rv))
        return rv;
    attributes_take(at, &raw, out);
    /* More mechanisms than any kind uses do not fit; has_allowed is then false as well. */
    if (rv == CKR_BUFFER_TOO_SMALL && !out->has_allowed) {
        CK_ATTRIBUTE allowed = {CKA_ALLOWED_MECHANISMS, NULL, 0};
        rv = token->f->C_GetAttributeValue(session, object, &allowed, 1);
        out->allowed_overflow = rv == CKR_OK && told(&allowed);
    }
    const bool ours = strncmp(out->label, "mikeyd/", 7) == 0;
    out->readable =
        ours && out->object_class == CKO_SECRET_KEY && value_readable(token, session, object);
    return CKR_OK;
}

/* ---- findings */

size_t token_kind_mechanisms(const struct token *token, enum token_kind kind,
                             CK_MECHANISM_TYPE out[8])
{
    size_t count = 0;
    switch (kind) {
    case TOKEN_PSK:
    case TOKEN_PAIR:
        out[count++] = CKM_SHA_1_HMAC;
        out[count++] = CKM_SHA256_HMAC;
        if (token_has_mechanism(token, MIKEYD_CKM_SP800_108_DOUBLE_PIPELINE_KDF))
            out[count++] = MIKEYD_CKM_SP800_108_DOUBLE_PIPELINE_KDF;
        break;
    case TOKEN_EPSK:
        out[count++] = MIKEYD_CKM_HKDF_DERIVE;
        break;
    case TOKEN_EPSKX:
    case TOKEN_TICKET:
        out[count++] = CKM_SHA256_HMAC;
        break;
    case TOKEN_AUDIT:
        out[count++] = CKM_ECDSA;
        out[count++] = CKM_RSA_PKCS_PSS;
        out[count++] = CKM_RSA_PKCS;
        break;
    case TOKEN_KIND_COUNT:
        break;
    }
    return count;
}

static uint32_t mechanism_findings(const struct token *token,
                                   const struct token_attributes *attributes, enum token_kind kind)
{
    if (attributes->allowed_overflow)
        return KEY_FINDING_MECHANISMS;
    if (!attributes->has_allowed)
        return 0; /* the token has no such attribute: nothing the key could be blamed for */
    if (attributes->allowed_count == 0)
        return KEY_FINDING_MECHANISMS; /* an empty list allows everything */
    CK_MECHANISM_TYPE proper[8];
    size_t proper_count = token_kind_mechanisms(token, kind, proper);
    for (size_t i = 0; i < attributes->allowed_count; i++) {
        bool found = false;
        for (size_t j = 0; j < proper_count; j++)
            found = found || attributes->allowed[i] == proper[j];
        if (!found)
            return KEY_FINDING_MECHANISMS;
    }
    return 0;
}

/* SIGN is for HMAC, DERIVE for derivation: an EPSK must not sign, what signs for us must not be an
 * EPSK. */
static uint32_t usage_findings(const struct token_attributes *a, enum token_kind kind)
{
    bool beyond = a->wrap || a->unwrap || a->encrypt || a->decrypt;
    switch (kind) {
    case TOKEN_PSK:
    case TOKEN_PAIR:
        break; /* SIGN, and DERIVE for the PRF inside the token */
    case TOKEN_EPSK:
        beyond = beyond || a->sign;
        break;
    case TOKEN_EPSKX:
    case TOKEN_TICKET:
    case TOKEN_AUDIT:
    case TOKEN_KIND_COUNT:
        beyond = beyond || a->derive;
        break;
    }
    return beyond ? KEY_FINDING_USAGE : 0;
}

static uint32_t date_findings(const struct token_attributes *a)
{
    char now[CLOCK_TEXT];
    clock_format_utc(clock_unix_ms(), now);
    if (a->start_date[0] != '\0' && strncmp(now, a->start_date, 10) < 0)
        return KEY_FINDING_DATES;
    if (a->end_date[0] != '\0' && strncmp(now, a->end_date, 10) > 0)
        return KEY_FINDING_DATES;
    return 0;
}

/* A key that the token bound to one hash is as good as its kind needs. */
static bool type_is_proper(CK_KEY_TYPE type, enum token_kind kind)
{
    switch (type) {
    case CKK_GENERIC_SECRET:
        return true;
    case CKK_SHA_1_HMAC:
        return kind == TOKEN_PSK || kind == TOKEN_PAIR;
    case CKK_SHA256_HMAC:
        return kind == TOKEN_PSK || kind == TOKEN_PAIR || kind == TOKEN_TICKET ||
               kind == TOKEN_EPSKX;
    default:
        return false;
    }
}

uint32_t token_attributes_findings(const struct token *token,
                                   const struct token_attributes *attributes, enum token_kind kind)
{
    const struct token_attributes *a = attributes;
    uint32_t findings = usage_findings(a, kind) | date_findings(a);
    const bool secret = a->object_class == CKO_SECRET_KEY && type_is_proper(a->key_type, kind);
    const bool signer =
        a->object_class == CKO_PRIVATE_KEY && (a->key_type == CKK_EC || a->key_type == CKK_RSA);
    if (kind == TOKEN_AUDIT ? !signer : !secret)
        findings |= KEY_FINDING_TYPE;
    if (a->extractable)
        findings |= KEY_FINDING_EXTRACTABLE;
    if (!a->sensitive)
        findings |= KEY_FINDING_NOT_SENSITIVE;
    if (a->readable)
        findings |= KEY_FINDING_READABLE;
    if (!a->private_object)
        findings |= KEY_FINDING_NOT_PRIVATE;
    if (a->modifiable)
        findings |= KEY_FINDING_MODIFIABLE;
    if (!a->always_sensitive || !a->never_extractable)
        findings |= KEY_FINDING_HISTORY;
    if (kind != TOKEN_AUDIT)
        findings |= mechanism_findings(token, a, kind);
    if (a->id_len != 16)
        findings |= KEY_FINDING_ID;
    return findings;
}
