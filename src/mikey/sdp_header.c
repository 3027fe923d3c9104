/* The RTSP header KeyMgmt, read and written (RFC 4567 3.2, RFC Editor erratum 2247). */
#include <string.h>

#include "base/text.h"
#include "mikey/sdp_span.h"

/* ---- reading */

/* A token or a quoted string, of one parameter. */
static struct span take_value(struct span *s)
{
    if (!span_skip(s, "\""))
        return span_take_until(s, ";, \t\r\n");
    struct span value = span_take_until(s, "\"");
    (void)span_skip(s, "\"");
    return value;
}

struct specification {
    struct span protocol, data, uri;
};

/* One specification, up to its comma: prot=mikey; uri="..."; data="...". */
static enum mikeyd_status take_specification(struct span *s, struct specification *out,
                                             struct error *err)
{
    *out = (struct specification){0};
    for (;;) {
        span_skip_blanks(s);
        const struct span name = span_take_until(s, "=;, \t\r\n");
        span_skip_blanks(s);
        struct span value = {0};
        if (span_skip(s, "=")) {
            span_skip_blanks(s);
            value = take_value(s);
        }
        if (span_is_any_case(name, "prot"))
            out->protocol = value;
        else if (span_is_any_case(name, "data"))
            out->data = value;
        else if (span_is_any_case(name, "uri"))
            out->uri = value;
        span_skip_blanks(s);
        if (!span_skip(s, ";"))
            break;
    }
    if (s->len > 0 && !span_skip(s, ","))
        return error_set(err, MIKEYD_SYNTAX, "KeyMgmt: unexpected '%c'",
                         s->at[0] >= ' ' && s->at[0] <= '~' ? s->at[0] : '?');
    return MIKEYD_OK;
}

/* Specifications of one context are alternatives; another uri is another context (RFC 4567 4.2). */
static enum mikeyd_status read_specification(struct sdp_reader *r, struct span *s)
{
    struct specification spec;
    enum mikeyd_status status = take_specification(s, &spec, r->err);
    if (status == MIKEYD_OK)
        status = sdp_reader_protocol(r, spec.protocol);
    if (status != MIKEYD_OK || !span_is(spec.protocol, "mikey"))
        return status;
    if (spec.data.len == 0)
        return error_set(r->err, MIKEYD_SYNTAX, "KeyMgmt: prot=mikey without data");
    return sdp_reader_message(r, spec.data, spec.uri);
}

enum mikeyd_status sdp_read_header(struct sdp_reader *r, struct span text)
{
    enum mikeyd_status status = MIKEYD_OK;
    do {
        status = read_specification(r, &text);
        span_skip_blanks(&text);
    } while (status == MIKEYD_OK && text.len > 0);
    sdp_reader_end_level(r);
    return status;
}

/* ---- writing */

static const char lead[] = "KeyMgmt: prot=mikey; ";
static const char uri_lead[] = "uri=\"";
static const char uri_end[] = "\"; ";
static const char data_lead[] = "data=\"";

size_t mikey_rtsp_size(size_t len, const char *uri)
{
    size_t size = sizeof lead - 1 + sizeof data_lead - 1 + base64_size(len) + 1;
    if (uri != NULL)
        size += sizeof uri_lead - 1 + strlen(uri) + sizeof uri_end - 1;
    return size;
}

static char *append(char *to, const char *text)
{
    const size_t len = strlen(text);
    memcpy(to, text, len);
    return to + len;
}

enum mikeyd_status mikey_rtsp_format(const uint8_t *message, size_t len, const char *uri, char *out,
                                     struct error *err)
{
    for (const char *c = uri; c != NULL && *c != '\0'; c++) {
        if (*c <= ' ' || *c >= 0x7F || *c == '"')
            return error_set(err, MIKEYD_INVALID_ARGUMENT,
                             "uri: a character that no URI has (RFC 3986) at position %zu",
                             (size_t)(c - uri));
    }
    char *at = append(out, lead);
    if (uri != NULL)
        at = append(append(append(at, uri_lead), uri), uri_end);
    at = append(at, data_lead);
    base64_encode(message, len, at);
    at += strlen(at);
    at[0] = '"';
    at[1] = '\0';
    return MIKEYD_OK;
}
