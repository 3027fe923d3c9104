#include "base/identity.h"

#include <string.h>

#include <openssl/asn1.h>

#include "base/text.h"

#define HEX_PREFIX "hex:"
#define HEX_PREFIX_LEN (sizeof HEX_PREFIX - 1)

bool identity_equal(const struct identity *a, const struct identity *b)
{
    /* Identities are public: no constant time needed. */
    return a->type == b->type && a->len == b->len &&
           (a->len == 0 || memcmp(a->data, b->data, a->len) == 0); /* public */
}

/*
 * UTF-8 without blanks, C0 and C1 controls and DEL: what may stand in a log line or a table.
 * UTF8_getc refuses overlong forms and surrogates itself.
 */
static bool identity_is_printable(const uint8_t *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        unsigned long point;
        int used = UTF8_getc(data + at, (int)(len - at), &point);
        if (used <= 0 || point <= 0x20 || (point >= 0x7f && point < 0xa0) || point > 0x10ffff)
            return false;
        at += (size_t)used;
    }
    return true;
}

/* RFC 3986 3.1: scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ), then ":" and something. */
static bool identity_is_uri(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t c = data[i];
        bool alpha = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        bool later = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
        if (i > 0 && c == ':')
            return i + 1 < len;
        if (!alpha && (i == 0 || !later))
            return false;
    }
    return false;
}

/* RFC 4282 2.1 in its common form: a user, one "@", a realm. */
static bool identity_is_nai(const uint8_t *data, size_t len)
{
    const uint8_t *at = len == 0 ? NULL : memchr(data, '@', len);
    if (at == NULL)
        return false;
    size_t user = (size_t)(at - data);
    return user > 0 && user + 1 < len && memchr(at + 1, '@', len - user - 1) == NULL;
}

static bool identity_is_hex(const uint8_t *data, size_t len)
{
    return len >= HEX_PREFIX_LEN && memcmp(data, HEX_PREFIX, HEX_PREFIX_LEN) == 0; /* public */
}

/* The type that the text form of these bytes has, or false when they have none. */
static bool identity_classify(const uint8_t *data, size_t len, uint8_t *type)
{
    if (!identity_is_printable(data, len) || identity_is_hex(data, len))
        return false;
    if (identity_is_uri(data, len))
        *type = IDENTITY_URI;
    else if (identity_is_nai(data, len))
        *type = IDENTITY_NAI;
    else
        return false;
    return true;
}

enum mikeyd_status identity_parse(const char *text, uint8_t store[IDENTITY_MAX],
                                  struct identity *out, struct error *err)
{
    *out = (struct identity){0};
    size_t len = strlen(text);
    const uint8_t *bytes = (const uint8_t *)text;
    if (len == 0)
        return error_set(err, MIKEYD_SYNTAX, "identity is empty");
    if (identity_is_hex(bytes, len)) {
        size_t used;
        enum mikeyd_status status = hex_decode(text + HEX_PREFIX_LEN, len - HEX_PREFIX_LEN, store,
                                               IDENTITY_MAX, &used, err);
        if (status != MIKEYD_OK) {
            error_prefix(err, "identity");
            return status;
        }
        if (used == 0)
            return error_set(err, MIKEYD_SYNTAX, "identity is empty");
        *out = (struct identity){.type = IDENTITY_BYTES, .len = used, .data = store};
        return MIKEYD_OK;
    }
    if (len > IDENTITY_MAX)
        return error_set(err, MIKEYD_SYNTAX, "identity has %zu bytes, at most %d allowed", len,
                         IDENTITY_MAX);
    if (!identity_is_printable(bytes, len))
        return error_set(err, MIKEYD_SYNTAX,
                         "identity has blanks, control characters or is not UTF-8");
    uint8_t type;
    if (!identity_classify(bytes, len, &type))
        return error_set(err, MIKEYD_SYNTAX,
                         "identity is neither a URI, nor user@host, nor hex:...");
    *out = (struct identity){.type = type, .len = len, .data = bytes};
    return MIKEYD_OK;
}

void identity_format(const struct identity *identity, char out[IDENTITY_TEXT_MAX])
{
    uint8_t type;
    if (identity->len <= IDENTITY_MAX && identity_classify(identity->data, identity->len, &type) &&
        type == identity->type) {
        memcpy(out, identity->data, identity->len);
        out[identity->len] = '\0';
        return;
    }
    static const char ellipsis[] = "...";
    bool cut = identity->len > IDENTITY_MAX;
    size_t shown = cut ? IDENTITY_MAX - 2 : identity->len;
    memcpy(out, HEX_PREFIX, HEX_PREFIX_LEN);
    hex_encode(identity->data, shown, out + HEX_PREFIX_LEN);
    if (cut)
        memcpy(out + HEX_PREFIX_LEN + 2 * shown, ellipsis, sizeof ellipsis);
}
