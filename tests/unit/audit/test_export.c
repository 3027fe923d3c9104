/* Records as CEF, OCSF and syslog: hostile values stay values, read back by the formats' own rules. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "audit/export/export.h"

TestSuite(audit_export, .timeout = 60);

#define HOSTILE "a|b=c\\d]e\"f\ng\rh\xc3\xa9 cs1=x [x y=\"z\"]"
#define HASH "eb4ac6a0d0601fe872e4e34fab83fd01821009009afbe68b6569f5752d853b96"

static json_t *record_of(const char *event, const char *result)
{
    json_t *record =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s}", "seq", 42, "time",
                  "2026-11-25T23:51:19.123Z", "instance", "77", "event", event, "result", result,
                  "client", HOSTILE, "from", "sip:a@x", "to", "sip:b@x", "key", "core/1", "keys", 2,
                  "detail", HOSTILE, "hash", HASH);
    cr_assert_not_null(record);
    return record;
}

static char *export_as(enum audit_format format, const char *event, const char *result)
{
    const struct audit_export how = {.format = format, .host = "h|1", .version = "1.0|x"};
    size_t len = 0;
    json_t *record = record_of(event, result);
    char *line = audit_export_line(&how, record, true, &len);
    json_decref(record);
    cr_assert_not_null(line);
    cr_assert_eq(strlen(line), len);
    cr_assert_null(strchr(line, '\n'), "one line");
    cr_assert_null(strchr(line, '\r'), "one line");
    return line;
}

static void expect(const char *line, const char *part)
{
    cr_assert_not_null(strstr(line, part), "no %s in: %s", part, line);
}

/* The text up to an unescaped character of `ends`, with escapes undone; what follows it. */
static const char *unescape(const char *at, const char *ends, char *out)
{
    while (*at != '\0' && strchr(ends, *at) == NULL) {
        if (*at == '\\' && at[1] != '\0') {
            at++;
            *out++ = *at == 'n' ? '\n' : *at == 'r' ? '\r' : *at;
        } else {
            *out++ = *at;
        }
        at++;
    }
    *out = '\0';
    return at;
}

Test(audit_export, cef_values_stay_values)
{
    char value[256];
    char *line = export_as(AUDIT_CEF, "re|sp\\ond", "OK");
    expect(line, "CEF:0|mikeyd|mikeyd|1.0\\|x|re\\|sp\\\\ond|MIKEY re\\|sp\\\\ond|3|externalId=42 "
                 "rt=1795650679123 ");
    const char *user = strstr(line, " suser=");
    cr_assert_not_null(user);
    (void)unescape(user + strlen(" suser="), "=", value);
    cr_assert_str_eq(value, HOSTILE " cs1", "up to the next key");
    expect(line, " cs6=" HASH " cs6Label=recordHash");
    expect(line, " flexString1=yes ");
    expect(line, " cn1=2 cn1Label=sessionKeys");
    free(line);
}

Test(audit_export, syslog_values_stay_values)
{
    char value[256];
    char *line = export_as(AUDIT_SYSLOG, "respond", "OK");
    expect(line, "<110>1 2026-11-25T23:51:19.123Z h|1 mikeyd 77 respond [mikeyd@32473 seq=\"42\" ");
    const char *client = strstr(line, " client=\"");
    cr_assert_not_null(client);
    const char *rest = unescape(client + strlen(" client=\""), "\"]", value);
    cr_assert_eq(*rest, '"');
    cr_assert_str_eq(value, "a|b=c\\d]e\"f\\u{a}g\\u{d}h\xc3\xa9 cs1=x [x y=\"z\"]");
    expect(line, " hash=\"" HASH "\" verifies=\"yes\"] respond OK, record 42");
    free(line);
}

Test(audit_export, syslog_header_takes_no_text_with_blanks)
{
    char *line = export_as(AUDIT_SYSLOG, "an event", "OK");
    expect(line, " h|1 mikeyd 77 - [");
    free(line);
}

Test(audit_export, ocsf_is_json_of_the_class_that_fits)
{
    static const struct {
        const char *event, *result;
        int type, status;
    } cases[] = {
        {"respond", "OK", 600301, 1},      {"confirm", "OK", 600302, 1},
        {"update", "OK", 600303, 1},       {"refused", "REPLAY", 600399, 2},
        {"key_generate", "OK", 300401, 1}, {"key_destroy", "POLICY", 300404, 2},
        {"login", "OK", 300201, 1},        {"start", "OK", 600203, 1},
        {"token_down", "OK", 600299, 1},   {"of the future", "OK", 600299, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *line = export_as(AUDIT_OCSF, cases[i].event, cases[i].result);
        json_t *event = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        cr_assert_not_null(event, "%s", line);
        const json_t *metadata = json_object_get(event, "metadata");
        const json_t *record = json_object_get(json_object_get(event, "unmapped"), "record");
        const json_int_t type = json_integer_value(json_object_get(event, "type_uid"));
        cr_assert_eq(type, cases[i].type, "%s", cases[i].event);
        cr_assert_eq(json_integer_value(json_object_get(event, "class_uid")), type / 100);
        cr_assert_eq(json_integer_value(json_object_get(event, "category_uid")), type / 100000);
        cr_assert_eq(json_integer_value(json_object_get(event, "status_id")), cases[i].status);
        cr_assert_eq(json_integer_value(json_object_get(event, "time")), 1795650679123);
        cr_assert_eq(json_integer_value(json_object_get(metadata, "sequence")), 42);
        cr_assert_str_eq(json_string_value(json_object_get(metadata, "uid")), HASH);
        cr_assert_str_eq(json_string_value(json_object_get(metadata, "version")), "1.3.0");
        cr_assert_str_eq(json_string_value(json_object_get(record, "client")), HOSTILE);
        json_decref(event);
        free(line);
    }
}

Test(audit_export, record_that_lacks_everything_is_no_harm)
{
    for (int format = AUDIT_CEF; format <= AUDIT_SYSLOG; format++) {
        const struct audit_export how = {.format = (enum audit_format)format, .version = "1"};
        json_t *record = json_pack("{s:i, s:[], s:s}", "event", 3, "client", "time", "yesterday");
        size_t len = 0;
        char *line = audit_export_line(&how, record, false, &len);
        cr_assert(line != NULL && len > 0);
        free(line);
        json_decref(record);
    }
}
