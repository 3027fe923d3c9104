/*
 * CEF:0|vendor|product|version|event class|name|severity|extension. In the header a backslash
 * stands before | and \; in the extension before = and \, and line ends are \n and \r.
 */
#include <inttypes.h>
#include <string.h>

#include "audit/export/fields.h"

static void put_header(FILE *out, const char *text)
{
    export_escape(out, text, "|\\", false);
    (void)fputc('|', out);
}

static void put_text(FILE *out, const char *key, const char *value)
{
    if (value[0] == '\0')
        return;
    (void)fprintf(out, " %s=", key);
    export_escape(out, value, "=\\", true);
}

/* A field that CEF has no name for goes into one of its numbered ones, with a label. */
static void put_labelled(FILE *out, const char *key, const char *label, const char *value)
{
    if (value[0] == '\0')
        return;
    put_text(out, key, value);
    (void)fprintf(out, " %sLabel=%s", key, label);
}

static void put_number(FILE *out, const char *key, const char *label, json_int_t value)
{
    if (value != 0)
        (void)fprintf(out, " %s=%" JSON_INTEGER_FORMAT " %sLabel=%s", key, value, key, label);
}

void export_cef(FILE *out, const struct audit_export *how, const json_t *record, bool verifies)
{
    static const char *const severities[] = {
        [EXPORT_INFO] = "2", [EXPORT_NOTICE] = "3", [EXPORT_WARNING] = "6", [EXPORT_ERROR] = "8"};
    const char *event = export_text(record, "event"), *result = export_text(record, "result");
    int64_t ms = 0;
    char name[96];
    (void)snprintf(name, sizeof name, "MIKEY %.64s", event);
    (void)fputs("CEF:0|", out);
    put_header(out, "mikeyd");
    put_header(out, "mikeyd");
    put_header(out, how->version);
    put_header(out, event);
    put_header(out, name);
    put_header(out, severities[export_weight(record)]);
    (void)fprintf(out, "externalId=%" JSON_INTEGER_FORMAT, export_number(record, "seq"));
    if (export_time_ms(record, &ms))
        (void)fprintf(out, " rt=%" PRId64, ms);
    put_text(out, "dvchost", how->host == NULL ? "" : how->host);
    put_text(out, "outcome", strcmp(result, "OK") == 0 ? "success" : "failure");
    put_text(out, "reason", result);
    put_text(out, "act", export_text(record, "operation"));
    put_text(out, "suser", export_text(record, "client"));
    if (export_number(record, "count") != 0)
        (void)fprintf(out, " cnt=%" JSON_INTEGER_FORMAT, export_number(record, "count"));
    put_labelled(out, "cs1", "initiator", export_text(record, "from"));
    put_labelled(out, "cs2", "responder", export_text(record, "to"));
    put_labelled(out, "cs3", "key", export_text(record, "key"));
    put_labelled(out, "cs4", "callReference", export_text(record, "reference"));
    put_labelled(out, "cs5", "suites", export_text(record, "suites"));
    put_labelled(out, "cs6", "recordHash", export_text(record, "hash"));
    put_labelled(out, "flexString1", "recordVerifies", verifies ? "yes" : "no");
    put_labelled(out, "flexString2", "csbId", export_text(record, "csb_id"));
    put_number(out, "cn1", "sessionKeys", export_number(record, "keys"));
    put_number(out, "cn2", "pskUses", export_number(record, "psk_uses"));
    put_text(out, "msg", export_text(record, "detail"));
}
