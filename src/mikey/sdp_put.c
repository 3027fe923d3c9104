/* The a=key-mgmt attribute, written (RFC 4567 3.1, RFC Editor erratum 809), alone and into a
 * description. */
#include <string.h>

#include "base/text.h"
#include "mikey/sdp_span.h"

static const char lead[] = "a=key-mgmt:mikey ";

size_t mikey_sdp_size(size_t len)
{
    return sizeof lead - 1 + base64_size(len);
}

void mikey_sdp_format(const uint8_t *message, size_t len, char *out)
{
    memcpy(out, lead, sizeof lead - 1);
    base64_encode(message, len, out + sizeof lead - 1);
}

size_t mikey_sdp_put_size(size_t text_len, size_t line_len)
{
    return text_len + line_len + 2 * 2 + 1;
}

/* ---- a description being written anew */

struct putting {
    const char *line, *end_of_line;
    bool replaces; /* the level has a line for mikey */
    bool put;
    char *out;
};

static void put_text(struct putting *p, const char *text, size_t len)
{
    memcpy(p->out, text, len);
    p->out += len;
}

static void put_line(struct putting *p, const char *line)
{
    put_text(p, line, strlen(line));
    put_text(p, p->end_of_line, strlen(p->end_of_line));
    p->put = true;
}

/* The part of a line that is no empty line behind it, with its own end. */
static size_t content_of(struct span line)
{
    size_t len = line.len;
    while (len > 0 && span_is_blank(line.at[len - 1]))
        len--;
    const char *end = len == line.len ? NULL : memchr(line.at + len, '\n', line.len - len);
    return end == NULL ? line.len : (size_t)(end - line.at) + 1;
}

/* The protocol of a key-mgmt line, empty for another line; before: "a=", or "a=acap:1 ". */
static struct span protocol_of(struct span line, struct span *before)
{
    const char *start = line.at;
    if (!span_skip(&line, "a="))
        return (struct span){0};
    if (span_skip_any_case(&line, "acap:"))
        (void)span_take_until(&line, " "), span_skip_blanks(&line);
    *before = (struct span){start, (size_t)(line.at - start)};
    if (!span_skip_any_case(&line, "key-mgmt:"))
        return (struct span){0};
    return span_take_word(&line);
}

/* A capability (RFC 5939) stays one: a=pcfg names it. */
static void put_in_place(struct putting *p, struct span before)
{
    put_text(p, before.at, before.len);
    put_line(p, p->line + sizeof "a=" - 1);
}

/* A line of the level where the attribute goes; last: nothing of the level follows. */
static void copy_line(struct putting *p, struct span line, bool last)
{
    struct span before = {0};
    const struct span protocol = protocol_of(line, &before);
    const size_t content = content_of(line);
    if (span_is(protocol, "mikey")) {
        if (!p->put)
            put_in_place(p, before);
    } else {
        if (protocol.len != 0 && !p->put && !p->replaces)
            put_line(p, p->line);
        put_text(p, line.at, content);
        if (last && !p->put && line.at[content - 1] != '\n')
            put_text(p, p->end_of_line, strlen(p->end_of_line));
    }
    if (last && !p->put)
        put_line(p, p->line);
    put_text(p, line.at + content, line.len - content);
}

static bool starts_media(struct span s)
{
    return span_starts_line(s) && s.at[0] == 'm';
}

static bool level_has_mikey(struct span s, size_t media)
{
    size_t level = 0;
    while (s.len > 0 && level <= media) {
        level += starts_media(s);
        struct span before;
        const struct span line = span_take_line(&s);
        if (level == media && span_is(protocol_of(line, &before), "mikey"))
            return true;
    }
    return false;
}

enum mikeyd_status mikey_sdp_put(const char *text, size_t text_len, const char *line, size_t media,
                                 char *out, struct error *err)
{
    struct span s = {text, text_len};
    if (!span_starts_line(s))
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "not a session description");
    const char *first_end = memchr(text, '\n', text_len);
    const bool bare = first_end != NULL && (first_end == text || first_end[-1] != '\r');
    struct putting p = {.line = line,
                        .end_of_line = bare ? "\n" : "\r\n",
                        .replaces = level_has_mikey(s, media),
                        .out = out};
    size_t level = 0;
    while (s.len > 0) {
        level += starts_media(s);
        const struct span taken = span_take_line(&s);
        if (level == media)
            copy_line(&p, taken, s.len == 0 || starts_media(s));
        else
            put_text(&p, taken.at, taken.len);
    }
    *p.out = '\0';
    if (!p.put)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "no m= line %zu: there are %zu", media,
                         level);
    return MIKEYD_OK;
}
