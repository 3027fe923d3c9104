#include "audit/export/export.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/audit.h"
#include "audit/export/fields.h"
#include "audit/record.h"
#include "base/visible.h"

bool audit_format_by_name(const char *name, enum audit_format *out)
{
    static const char *const names[] = {
        [AUDIT_CEF] = "cef", [AUDIT_OCSF] = "ocsf", [AUDIT_SYSLOG] = "syslog"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum audit_format)i;
            return true;
        }
    }
    return false;
}

const char *export_text(const json_t *record, const char *name)
{
    const char *value = json_string_value(json_object_get(record, name));
    return value == NULL ? "" : value;
}

json_int_t export_number(const json_t *record, const char *name)
{
    return json_integer_value(json_object_get(record, name));
}

/* "2026-11-25T23:51:19.123Z" */
bool export_time_ms(const json_t *record, int64_t *out)
{
    struct tm tm = {0};
    const char *text = export_text(record, "time");
    if (strlen(text) != 24 || text[19] != '.' || text[23] != 'Z' ||
        strspn(text + 20, "0123456789") != 3)
        return false;
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (end != text + 19)
        return false;
    const int64_t ms = (text[20] - '0') * 100 + (text[21] - '0') * 10 + (text[22] - '0');
    *out = (int64_t)timegm(&tm) * 1000 + ms;
    return true;
}

enum export_weight export_weight(const json_t *record)
{
    enum audit_event event = AUDIT_EVENT_COUNT;
    const bool good = strcmp(export_text(record, "result"), "OK") == 0;
    (void)audit_event_by_name(export_text(record, "event"), &event);
    switch (event) {
    case AUDIT_INITIATE:
    case AUDIT_RESPOND:
    case AUDIT_CONFIRM:
    case AUDIT_UPDATE:
    case AUDIT_CHECKPOINT:
        return good ? EXPORT_INFO : EXPORT_WARNING;
    case AUDIT_REFUSED:
    case AUDIT_SUPPRESSED:
    case AUDIT_RELOAD_REFUSED:
        return EXPORT_WARNING;
    case AUDIT_TOKEN_DOWN:
    case AUDIT_RECOVERED:
        return EXPORT_ERROR;
    case AUDIT_LOGIN:
    case AUDIT_STORE:
    case AUDIT_UNSIGNED:
    case AUDIT_CEREMONY:
        return good ? EXPORT_NOTICE : EXPORT_ERROR;
    default:
        return good ? EXPORT_NOTICE : EXPORT_WARNING;
    }
}

void export_escape(FILE *out, const char *text, const char *escaped, bool newlines)
{
    const size_t len = strlen(text);
    for (size_t at = 0; at < len;) {
        char form[VISIBLE_STEP];
        size_t form_len = 0;
        if (newlines && (text[at] == '\n' || text[at] == '\r')) {
            (void)fputs(text[at++] == '\n' ? "\\n" : "\\r", out);
            continue;
        }
        at += visible_step(text + at, len - at, form, &form_len);
        for (size_t i = 0; i < form_len; i++) {
            if (strchr(escaped, form[i]) != NULL && form[i] != '\0')
                (void)fputc('\\', out);
            (void)fputc(form[i], out);
        }
    }
}

char *audit_export_line(const struct audit_export *how, const json_t *record, bool verifies,
                        size_t *len)
{
    char *line = NULL;
    bool whole = true;
    FILE *out = open_memstream(&line, len);
    if (out == NULL)
        return NULL;
    if (how->format == AUDIT_CEF)
        export_cef(out, how, record, verifies);
    else if (how->format == AUDIT_SYSLOG)
        export_syslog(out, how, record, verifies);
    else
        whole = export_ocsf(out, how, record, verifies);
    whole = ferror(out) == 0 && whole;
    if (fclose(out) == 0 && whole)
        return line;
    free(line);
    return NULL;
}
