#include "mikey/sdp_span.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

bool span_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

void span_advance(struct span *s, size_t len)
{
    s->at += len;
    s->len -= len;
}

bool span_skip(struct span *s, const char *text)
{
    const size_t len = strlen(text);
    if (s->len < len || strncmp(s->at, text, len) != 0)
        return false;
    span_advance(s, len);
    return true;
}

bool span_skip_any_case(struct span *s, const char *text)
{
    const size_t len = strlen(text);
    if (s->len < len || strncasecmp(s->at, text, len) != 0)
        return false;
    span_advance(s, len);
    return true;
}

void span_skip_blanks(struct span *s)
{
    while (s->len > 0 && span_is_blank(s->at[0]))
        span_advance(s, 1);
}

struct span span_take_until(struct span *s, const char *ends)
{
    struct span taken = {.at = s->at};
    while (s->len > 0 && (s->at[0] == '\0' || strchr(ends, s->at[0]) == NULL))
        span_advance(s, 1);
    taken.len = (size_t)(s->at - taken.at);
    return taken;
}

struct span span_take_word(struct span *s)
{
    span_skip_blanks(s);
    return span_take_until(s, " \t\r\n");
}

bool span_is(struct span s, const char *text)
{
    return s.len == strlen(text) && strncmp(s.at, text, s.len) == 0;
}

bool span_is_any_case(struct span s, const char *text)
{
    return s.len == strlen(text) && strncasecmp(s.at, text, s.len) == 0;
}

bool span_starts_line(struct span s)
{
    return s.len >= 3 && s.at[0] >= 'a' && s.at[0] <= 'z' && s.at[1] == '=' && s.at[2] != '=' &&
           !span_is_blank(s.at[2]);
}

struct span span_take_line(struct span *s)
{
    struct span line = {.at = s->at};
    do {
        (void)span_take_until(s, "\n");
        if (s->len > 0)
            span_advance(s, 1);
    } while (s->len > 0 && !span_starts_line(*s));
    line.len = (size_t)(s->at - line.at);
    return line;
}

/* Line breaks go with the blanks around them, padding is made whole: base64_decode() does the rest,
 * strictly. */
static size_t tidy(struct span data, char *out)
{
    size_t len = 0;
    while (data.len > 0) {
        const struct span run = data;
        span_skip_blanks(&data);
        const size_t blanks = run.len - data.len;
        const bool fold = len == 0 || data.len == 0 || memchr(run.at, '\n', blanks) != NULL;
        for (size_t i = 0; i < blanks && !fold; i++)
            out[len++] = run.at[i];
        for (; data.len > 0 && !span_is_blank(data.at[0]); span_advance(&data, 1))
            out[len++] = data.at[0];
    }
    for (int i = 0; i < 2 && len > 0 && out[len - 1] == '='; i++)
        len--;
    const bool padded_too_far = len > 0 && out[len - 1] == '=';
    while (!padded_too_far && len % 4 >= 2)
        out[len++] = '=';
    return len;
}

enum mikeyd_status span_decode(struct span data, uint8_t *out, size_t *len, struct error *err)
{
    char *tidied = malloc(data.len + 3);
    if (tidied == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    const size_t tidied_len = tidy(data, tidied);
    enum mikeyd_status status = MIKEYD_OK;
    if (tidied_len == 0)
        status = error_set(err, MIKEYD_SYNTAX, "no base64 text");
    else
        status = base64_decode(tidied, tidied_len, out, data.len, len, err);
    free(tidied);
    return status;
}
