#include "tests/unit/policy/requirements.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/findings.h"

#define WIDTH 156

/* The words of text behind `first`; each further line begins with as many spaces as `first` is long. */
static void put_wrapped(FILE *out, const char *first, const char *text)
{
    const int indent = (int)strlen(first);
    size_t column = (size_t)fprintf(out, "%s", first);
    for (const char *at = text; *at != '\0';) {
        const size_t len = strcspn(at, " ");
        if (at != text && column + 1 + len > WIDTH)
            column = (size_t)fprintf(out, "\n%*s", indent, "") - 1;
        else if (at != text)
            column += (size_t)fprintf(out, " ");
        column += (size_t)fprintf(out, "%.*s", (int)len, at);
        at += len + (at[len] == ' ');
    }
    (void)fputc('\n', out);
}

/* "; title: `a` `b`" for the words "a b", nothing for none. */
static void put_names(FILE *out, const char *separator, const char *title, const char *words)
{
    if (words[0] == '\0')
        return;
    (void)fprintf(out, "%s%s:", separator, title);
    for (const char *at = words; *at != '\0';) {
        const size_t len = strcspn(at, " ");
        (void)fprintf(out, " `%.*s`", (int)len, at);
        at += len + (at[len] == ' ');
    }
}

static void put_row(FILE *out, const struct policy_coverage *row)
{
    char line[4096], *names = NULL;
    size_t len = 0;
    (void)snprintf(line, sizeof line, "**%s** (%s, %s): %s", row->id, row->section, row->strength,
                   row->requirement);
    put_wrapped(out, "* ", line);
    (void)snprintf(line, sizeof line, "*%s*: %s", policy_coverage_status_name(row->status),
                   row->reason);
    put_wrapped(out, "  * ", line);
    FILE *list = open_memstream(&names, &len);
    if (list == NULL)
        return;
    put_names(list, "", "report lines", row->rules);
    put_names(list, row->rules[0] == '\0' ? "" : "; ", "code", row->code);
    put_names(list, "; ", "tests", row->test);
    if (fclose(list) == 0 && len > 0)
        put_wrapped(out, "  * ", names);
    free(names);
}

char *requirements_text(void)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        return NULL;
    const struct policy_coverage *row;
    for (size_t i = 0; (row = policy_coverage_at(i)) != NULL; i++)
        put_row(out, row);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
