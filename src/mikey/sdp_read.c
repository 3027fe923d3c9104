/* MIKEY out of SDP lines and RTSP headers (RFC 4567 3.1, 3.2; RFC 5939 for acap). */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "mikey/sdp.h"

struct span {
    const char *at;
    size_t len;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void advance(struct span *s, size_t len)
{
    s->at += len;
    s->len -= len;
}

static bool skip(struct span *s, const char *text)
{
    size_t len = strlen(text);
    if (s->len < len || strncmp(s->at, text, len) != 0)
        return false;
    advance(s, len);
    return true;
}

static bool skip_any_case(struct span *s, const char *text)
{
    size_t len = strlen(text);
    if (s->len < len || strncasecmp(s->at, text, len) != 0)
        return false;
    advance(s, len);
    return true;
}

static void skip_blanks(struct span *s)
{
    while (s->len > 0 && is_blank(s->at[0]))
        advance(s, 1);
}

/* Everything up to the first of these characters, which stays. */
static struct span take_until(struct span *s, const char *ends)
{
    struct span taken = {.at = s->at};
    while (s->len > 0 && strchr(ends, s->at[0]) == NULL)
        advance(s, 1);
    taken.len = (size_t)(s->at - taken.at);
    return taken;
}

static bool span_is(struct span s, const char *text)
{
    return s.len == strlen(text) && strncmp(s.at, text, s.len) == 0;
}

/* ---- base64 */

/* Line breaks go with the blanks around them, padding is made whole: base64_decode() does the rest,
 * strictly. */
static size_t tidy(struct span data, char *out)
{
    size_t len = 0;
    while (data.len > 0) {
        const struct span run = data;
        skip_blanks(&data);
        const size_t blanks = run.len - data.len;
        const bool fold = len == 0 || data.len == 0 || memchr(run.at, '\n', blanks) != NULL;
        for (size_t i = 0; i < blanks && !fold; i++)
            out[len++] = run.at[i];
        for (; data.len > 0 && !is_blank(data.at[0]); advance(&data, 1))
            out[len++] = data.at[0];
    }
    for (int i = 0; i < 2 && len > 0 && out[len - 1] == '='; i++)
        len--;
    const bool padded_too_far = len > 0 && out[len - 1] == '=';
    while (!padded_too_far && len % 4 >= 2)
        out[len++] = '=';
    return len;
}

static enum mikeyd_status decode(struct span data, uint8_t *out, size_t cap, size_t *len,
                                 struct error *err)
{
    char *tidied = malloc(data.len + 3);
    if (tidied == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    size_t tidied_len = tidy(data, tidied);
    enum mikeyd_status status = MIKEYD_OK;
    if (tidied_len == 0)
        status = error_set(err, MIKEYD_SYNTAX, "no base64 text");
    else
        status = base64_decode(tidied, tidied_len, out, cap, len, err);
    free(tidied);
    return status;
}

/* ---- what was found */

struct found {
    uint8_t *out;
    size_t cap, *len;
    bool any;   /* a message is in out */
    bool other; /* a key management protocol that is not mikey */
    struct error *err;
};

/* Session and media level may carry the same message; two different ones are a question. */
static enum mikeyd_status add(struct found *found, struct span data)
{
    if (!found->any) {
        enum mikeyd_status status = decode(data, found->out, found->cap, found->len, found->err);
        found->any = status == MIKEYD_OK;
        return status;
    }
    size_t len = 0;
    uint8_t *second = malloc(data.len + 1);
    if (second == NULL)
        return error_set(found->err, MIKEYD_INTERNAL, "out of memory");
    enum mikeyd_status status = decode(data, second, data.len, &len, found->err);
    const bool same = len == *found->len && memcmp(second, found->out, len) == 0; /* public */
    if (status == MIKEYD_OK && !same)
        status = error_set(found->err, MIKEYD_SYNTAX,
                           "several different MIKEY messages: give the attribute of the medium");
    free(second);
    return status;
}

/* ---- SDP */

/* What follows "key-mgmt:": an optional blank, the protocol, one blank, the data. */
static enum mikeyd_status read_attribute(struct found *found, struct span value)
{
    (void)skip(&value, " ");
    struct span protocol = take_until(&value, " \t\r\n");
    if (!span_is(protocol, "mikey")) {
        found->other = true;
        return MIKEYD_OK;
    }
    if (value.len == 0 || value.at[0] != ' ')
        return error_set(found->err, MIKEYD_SYNTAX, "key-mgmt:mikey without data");
    advance(&value, 1);
    if (value.len > 0 && value.at[0] == ' ')
        return error_set(found->err, MIKEYD_SYNTAX, "key-mgmt:mikey with a second blank");
    return add(found, value);
}

/* "a=..." or "key-mgmt:..."; other attributes and lines are passed over. */
static enum mikeyd_status read_line(struct found *found, struct span line)
{
    if (skip(&line, "a=") && skip(&line, "acap:"))
        (void)take_until(&line, " "), skip_blanks(&line);
    if (!skip(&line, "key-mgmt:"))
        return MIKEYD_OK;
    return read_attribute(found, line);
}

/* RFC 4566 5: a letter, "=" and a value. Base64 that ends in "x=" is no such line. */
static bool starts_line(struct span s)
{
    return s.len >= 3 && s.at[0] >= 'a' && s.at[0] <= 'z' && s.at[1] == '=' && s.at[2] != '=' &&
           !is_blank(s.at[2]);
}

/* A line and those that continue it. */
static struct span take_line(struct span *s)
{
    struct span line = {.at = s->at};
    do {
        (void)take_until(s, "\n");
        if (s->len > 0)
            advance(s, 1);
    } while (s->len > 0 && !starts_line(*s));
    line.len = (size_t)(s->at - line.at);
    return line;
}

static enum mikeyd_status read_sdp(struct found *found, struct span text)
{
    enum mikeyd_status status = MIKEYD_OK;
    while (status == MIKEYD_OK && text.len > 0)
        status = read_line(found, take_line(&text));
    if (status == MIKEYD_OK && !found->any)
        status =
            error_set(found->err, MIKEYD_SYNTAX, "%s",
                      found->other ? "key-mgmt is not of protocol mikey" : "no key-mgmt attribute");
    return status;
}

/* ---- RTSP */

/* A token or a quoted string, of one parameter. */
static struct span take_value(struct span *s)
{
    if (!skip(s, "\""))
        return take_until(s, ";, \t\r\n");
    struct span value = take_until(s, "\"");
    (void)skip(s, "\"");
    return value;
}

/* One specification, up to its comma: prot=mikey; uri="..."; data="...". */
static enum mikeyd_status read_specification(struct found *found, struct span *s)
{
    struct span protocol = {0}, data = {0};
    for (;;) {
        skip_blanks(s);
        struct span name = take_until(s, "=;, \t\r\n");
        skip_blanks(s);
        struct span value = {0};
        if (skip(s, "=")) {
            skip_blanks(s);
            value = take_value(s);
        }
        if (name.len == 4 && strncasecmp(name.at, "prot", 4) == 0)
            protocol = value;
        else if (name.len == 4 && strncasecmp(name.at, "data", 4) == 0)
            data = value;
        skip_blanks(s);
        if (!skip(s, ";"))
            break;
    }
    if (s->len > 0 && !skip(s, ","))
        return error_set(found->err, MIKEYD_SYNTAX, "KeyMgmt: unexpected '%c'",
                         s->at[0] >= ' ' && s->at[0] <= '~' ? s->at[0] : '?');
    if (!span_is(protocol, "mikey")) {
        found->other = true;
        return MIKEYD_OK;
    }
    if (data.len == 0)
        return error_set(found->err, MIKEYD_SYNTAX, "KeyMgmt: prot=mikey without data");
    return add(found, data);
}

static enum mikeyd_status read_header(struct found *found, struct span text)
{
    enum mikeyd_status status = MIKEYD_OK;
    do {
        status = read_specification(found, &text);
        skip_blanks(&text);
    } while (status == MIKEYD_OK && text.len > 0);
    if (status == MIKEYD_OK && !found->any)
        status = error_set(found->err, MIKEYD_SYNTAX, "KeyMgmt is not of protocol mikey");
    return status;
}

enum mikeyd_status mikey_sdp_parse(const char *text, size_t text_len, uint8_t *out, size_t cap,
                                   size_t *len, struct error *err)
{
    struct span s = {.at = text, .len = text_len};
    struct found found = {.out = out, .cap = cap, .len = len, .err = err};
    *len = 0;
    enum mikeyd_status status;
    if (skip_any_case(&s, "keymgmt:")) {
        status = read_header(&found, s);
    } else if (starts_line(s) || (s.len >= 9 && strncmp(s.at, "key-mgmt:", 9) == 0)) {
        status = read_sdp(&found, s);
    } else {
        return decode(s, out, cap, len, err);
    }
    if (status != MIKEYD_OK) {
        *len = 0;
        error_prefix(err, "key-mgmt data");
    }
    return status;
}
