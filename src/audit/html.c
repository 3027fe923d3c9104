#include "audit/html.h"

#include <inttypes.h>
#include <string.h>

void html_markup(FILE *out, const char *markup)
{
    (void)fputs(markup, out);
}

void html_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            (void)fputs("&amp;", out);
            break;
        case '<':
            (void)fputs("&lt;", out);
            break;
        case '>':
            (void)fputs("&gt;", out);
            break;
        case '"':
            (void)fputs("&quot;", out);
            break;
        case '\'':
            (void)fputs("&#39;", out);
            break;
        default:
            /* Control characters have no place in HTML; a log may hold any. */
            if ((unsigned char)*text < ' ' || *text == '\x7f')
                (void)fputs("\xef\xbf\xbd", out);
            else
                (void)fputc(*text, out);
        }
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
