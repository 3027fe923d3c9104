#include "base/identity.h"

#include <stdio.h>
#include <string.h>

#include <openssl/asn1.h>

#include "base/text.h"

#define HEX_PREFIX "hex:"
#define URI_PREFIX "uri:"
#define NAI_PREFIX "nai:"
#define PREFIX_LEN 4

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

static bool has_prefix(const uint8_t *data, size_t len, const char *prefix)
{
    return len >= PREFIX_LEN && memcmp(data, prefix, PREFIX_LEN) == 0; /* public */
}

/* Texts that begin like this say their type themselves. */
static bool identity_is_prefixed(const uint8_t *data, size_t len)
{
    return has_prefix(data, len, HEX_PREFIX) || has_prefix(data, len, URI_PREFIX) ||
           has_prefix(data, len, NAI_PREFIX);
}

/* The type that these bytes have as a text without a prefix, or false when they have none. */
static bool identity_classify(const uint8_t *data, size_t len, uint8_t *type)
{
    if (!identity_is_printable(data, len) || identity_is_prefixed(data, len))
        return false;
    if (identity_is_uri(data, len))
        *type = IDENTITY_URI;
    else if (identity_is_nai(data, len))
        *type = IDENTITY_NAI;
    else
        return false;
    return true;
}

static enum mikeyd_status parse_hex(const char *digits, uint8_t store[IDENTITY_MAX], uint8_t type,
                                    struct identity *out, struct error *err)
{
    size_t used;
    enum mikeyd_status status = hex_decode(digits, strlen(digits), store, IDENTITY_MAX, &used, err);
    if (status != MIKEYD_OK) {
        error_prefix(err, "identity");
        return status;
    }
    if (used == 0)
        return error_set(err, MIKEYD_SYNTAX, "identity is empty");
    *out = (struct identity){.type = type, .len = used, .data = store};
    return MIKEYD_OK;
}

enum mikeyd_status identity_parse(const char *text, uint8_t store[IDENTITY_MAX],
                                  struct identity *out, struct error *err)
{
    *out = (struct identity){0};
    const uint8_t *start = (const uint8_t *)text;
    const bool uri = has_prefix(start, strlen(text), URI_PREFIX);
    const bool typed = uri || has_prefix(start, strlen(text), NAI_PREFIX);
    if (typed)
        text += PREFIX_LEN;
    const size_t len = strlen(text);
    const uint8_t *bytes = (const uint8_t *)text;
    uint8_t type = uri ? IDENTITY_URI : typed ? IDENTITY_NAI : IDENTITY_BYTES;
    if (len == 0)
        return error_set(err, MIKEYD_SYNTAX, "identity is empty");
    if (has_prefix(bytes, len, HEX_PREFIX))
        return parse_hex(text + PREFIX_LEN, store, type, out, err);
    if (len > IDENTITY_MAX)
        return error_set(err, MIKEYD_SYNTAX, "identity has %zu bytes, at most %d allowed", len,
                         IDENTITY_MAX);
    if (!identity_is_printable(bytes, len))
        return error_set(err, MIKEYD_SYNTAX,
                         "identity has blanks, control characters or is not UTF-8");
    if (!typed && !identity_classify(bytes, len, &type))
        return error_set(err, MIKEYD_SYNTAX,
                         "identity is neither a URI, nor user@host, nor uri:..., nai:... or "
                         "hex:...");
    *out = (struct identity){.type = type, .len = len, .data = bytes};
    return MIKEYD_OK;
}

void identity_format(const struct identity *identity, char out[IDENTITY_TEXT_MAX])
{
    static const char *const prefixes[] = {
        [IDENTITY_NAI] = NAI_PREFIX, [IDENTITY_URI] = URI_PREFIX, [IDENTITY_BYTES] = ""};
    const uint8_t *data = identity->data;
    const size_t len = identity->len;
    const bool cut = len > IDENTITY_MAX;
    const bool known = identity->type <= IDENTITY_BYTES;
    uint8_t type;
    const bool plain = !cut && identity_classify(data, len, &type) && type == identity->type;
    /* What itself begins with "hex:" would be read as bytes. */
    const bool text = !cut && known && identity->type != IDENTITY_BYTES && len != 0 &&
                      identity_is_printable(data, len) && !has_prefix(data, len, HEX_PREFIX);
    int at = 0;
    if (!known)
        at = snprintf(out, IDENTITY_TEXT_MAX, "%u:", identity->type);
    else if (!plain)
        at = snprintf(out, IDENTITY_TEXT_MAX, "%s", prefixes[identity->type]);
    if (plain || text) {
        memcpy(out + at, data, len);
        out[(size_t)at + len] = '\0';
        return;
    }
    const size_t shown = cut ? IDENTITY_MAX - 2 : len;
    memcpy(out + at, HEX_PREFIX, PREFIX_LEN);
    hex_encode(data, shown, out + at + PREFIX_LEN);
    if (cut)
        memcpy(out + at + PREFIX_LEN + 2 * shown, "...", sizeof "...");
}
