#include "audit/report/markup.h"

#include <inttypes.h>
#include <stdbool.h>
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

/* ---- tables: each cell carries the name of its column, for narrow screens, where a row is a card */

#define COLUMNS_MAX 12
static const char *columns[COLUMNS_MAX];
static size_t column_count, column;

void html_table(FILE *out, const char *const *heads)
{
    html_markup(out, "<table class=\"cards\"><thead><tr>");
    column_count = 0;
    for (size_t i = 0; i < COLUMNS_MAX && heads[i] != NULL; i++) {
        const bool number = heads[i][0] == '#';
        columns[i] = heads[i] + (number ? 1 : 0);
        column_count++;
        html_markup(out, number ? "<th class=\"n\">" : "<th>");
        html_text(out, columns[i]);
        html_markup(out, "</th>");
    }
    html_markup(out, "</tr></thead><tbody>\n");
}

void html_row(FILE *out)
{
    column = 0;
    html_markup(out, "<tr>");
}

void html_cell_open(FILE *out, const char *class_name)
{
    html_markup(out, "<td");
    if (class_name != NULL)
        (void)fprintf(out, " class=\"%s\"", class_name);
    if (column < column_count) {
        html_markup(out, " data-column=\"");
        html_text(out, columns[column]);
        html_markup(out, "\"");
    }
    column++;
    html_markup(out, ">");
}

void html_cell(FILE *out, const char *class_name, const char *text)
{
    html_cell_open(out, class_name);
    html_text(out, text);
    html_markup(out, "</td>");
}

void html_count_cell(FILE *out, uint64_t value)
{
    char buffer[32];
    html_cell(out, "n", html_count(value, buffer));
}
