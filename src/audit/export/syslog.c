/*
 * RFC 5424: <PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG. Every field of the
 * record is a parameter of one element; MSG is ASCII, so that it needs no byte order mark (6.4).
 */
#include <string.h>

#include "audit/export/fields.h"

/* Facility 13, "log audit" (6.2.1). */
#define FACILITY 13
/* 7.2.2: a private enterprise number. We have none; 32473 is the one for examples (RFC 5612). */
#define SD_ID "mikeyd@32473"

/* PRINTUSASCII of a header field with its longest length, else the NILVALUE (6). */
static const char *header(const char *text, size_t max)
{
    const size_t len = strlen(text);
    if (len == 0 || len > max)
        return "-";
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '!' || text[i] > '~')
            return "-";
    }
    return text;
}

/* 6.3.3: SD-NAME, at most 32 characters. */
static bool is_name(const char *name)
{
    return strcmp(header(name, 32), "-") != 0 && strpbrk(name, "= ]\"") == NULL;
}

static void put_value(FILE *out, const char *name, const json_t *value)
{
    if (!is_name(name))
        return;
    if (json_is_string(value)) {
        (void)fprintf(out, " %s=\"", name);
        export_escape(out, json_string_value(value), "\"\\]", false);
        (void)fputc('"', out);
    } else if (json_is_integer(value)) {
        (void)fprintf(out, " %s=\"%" JSON_INTEGER_FORMAT "\"", name, json_integer_value(value));
    }
}

void export_syslog(FILE *out, const struct audit_export *how, const json_t *record, bool verifies)
{
    static const int severities[] = {
        [EXPORT_INFO] = 6, [EXPORT_NOTICE] = 5, [EXPORT_WARNING] = 4, [EXPORT_ERROR] = 3};
    int64_t ms = 0;
    const char *event = header(export_text(record, "event"), 32);
    (void)fprintf(out, "<%d>1 %s", FACILITY * 8 + severities[export_weight(record)],
                  export_time_ms(record, &ms) ? export_text(record, "time") : "-");
    (void)fprintf(out, " %s mikeyd", header(how->host == NULL ? "" : how->host, 255));
    (void)fprintf(out, " %s", header(export_text(record, "instance"), 128));
    (void)fprintf(out, " %s [%s", event, SD_ID);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)record, name, value)
    {
        if (strcmp(name, "verifies") != 0 && strcmp(name, "time") != 0)
            put_value(out, name, value);
    }
    (void)fprintf(out, " verifies=\"%s\"] %s %s, record %" JSON_INTEGER_FORMAT,
                  verifies ? "yes" : "no", event, header(export_text(record, "result"), 64),
                  export_number(record, "seq"));
}
