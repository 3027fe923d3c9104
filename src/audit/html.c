#include "audit/html.h"

#include <inttypes.h>
#include <string.h>

#include "base/visible.h"

void html_markup(FILE *out, const char *markup)
{
    (void)fputs(markup, out);
}

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void html_text(FILE *out, const char *text)
{
    size_t len = strlen(text);
    while (len > 0) {
        char form[VISIBLE_STEP];
        size_t form_len = 0, used = visible_step(text, len, form, &form_len);
        const char *name = form_len == 1 ? entity(form[0]) : NULL;
        if (name != NULL)
            (void)fputs(name, out);
        else
            (void)fwrite(form, 1, form_len, out);
        text += used;
        len -= used;
    }
}

const char *html_count(uint64_t value, char buffer[32])
{
    char digits[24];
    size_t len = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, value);
    char *at = buffer;
    for (size_t i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            *at++ = ',';
        *at++ = digits[i];
    }
    *at = '\0';
    return buffer;
}

void html_cell(FILE *out, const char *class_name, const char *text)
{
    if (class_name == NULL)
        html_markup(out, "<td>");
    else
        (void)fprintf(out, "<td class=\"%s\">", class_name);
    html_text(out, text);
    html_markup(out, "</td>");
}

void html_count_cell(FILE *out, uint64_t value)
{
    char buffer[32];
    html_cell(out, "n", html_count(value, buffer));
}
