/*
 * mikeyctl audit query: the records of a log that answer a question, such as who got keys for this
 * pair on this day. The log is verified on the way, in one pass whose memory does not grow with
 * it: each record says whether it verifies, the verdict stands at the end.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/visible.h"
#include "mikeyctl/audit_command.h"

static const char *text_of(const json_t *record, const char *name)
{
    const char *value = json_string_value(json_object_get(record, name));
    return value == NULL ? "" : value;
}

static json_int_t number_of(const json_t *record, const char *name)
{
    return json_integer_value(json_object_get(record, name));
}

struct query {
    const struct audit_arguments *arguments;
    struct pair_names *names;
    struct audit_verdict verdict;
    char a[512], b[512]; /* --pair */
    uint64_t found, doubtful, keys;
    bool failed; /* stdout */
};

/* ---- the question ---- */

static bool is_end(const char *wanted, const char *end)
{
    return strcmp(wanted, "*") == 0 || strcmp(wanted, end) == 0;
}

/* Both directions: a call between two ends is theirs whoever began it. */
static bool is_pair(const struct query *query, const json_t *ends, const char *from, const char *to)
{
    const char *first = text_of(ends, from), *second = text_of(ends, to);
    if (first[0] == '\0' || second[0] == '\0')
        return false;
    return (is_end(query->a, first) && is_end(query->b, second)) ||
           (is_end(query->a, second) && is_end(query->b, first));
}

static bool is_event(const char *wanted, const json_t *record)
{
    if (strcmp(wanted, "released") == 0)
        return number_of(record, "keys") > 0;
    return strcmp(wanted, text_of(record, "event")) == 0;
}

static bool is_wanted(const struct query *query, const json_t *record)
{
    const struct audit_arguments *arguments = query->arguments;
    const json_t *ends = pair_names_find(query->names, text_of(record, "key"));
    if (arguments->pair != NULL && !is_pair(query, record, "from", "to") &&
        !is_pair(query, ends, "initiator", "responder"))
        return false;
    if (arguments->day != NULL &&
        strncmp(text_of(record, "time"), arguments->day, strlen(arguments->day)) != 0)
        return false;
    if (arguments->client != NULL && strcmp(text_of(record, "client"), arguments->client) != 0)
        return false;
    return arguments->event == NULL || is_event(arguments->event, record);
}

/* ---- the answer ---- */

static void print_field(const char *name, const char *value)
{
    if (value[0] != '\0')
        (void)printf("  %s %s", name, value);
}

static void print_ends(const char *from, const char *to)
{
    if (from[0] != '\0' || to[0] != '\0')
        (void)printf("  %s -> %s", from[0] == '\0' ? "?" : from, to[0] == '\0' ? "?" : to);
}

/* One line; what cannot be seen is shown by stdout itself (base/output.h), newlines here. */
static void print_record(const struct query *query, const json_t *record, bool verifies)
{
    const json_t *ends = pair_names_find(query->names, text_of(record, "key"));
    const json_int_t keys = number_of(record, "keys"), count = number_of(record, "count");
    (void)printf("%s%s #%" JSON_INTEGER_FORMAT " %s %s", verifies ? "" : "UNVERIFIED ",
                 text_of(record, "time"), number_of(record, "seq"), text_of(record, "event"),
                 text_of(record, "result"));
    if (keys > 0)
        (void)printf("  %" JSON_INTEGER_FORMAT " keys", keys);
    if (count > 0)
        (void)printf("  count %" JSON_INTEGER_FORMAT, count);
    print_field(keys > 0 ? "to" : "by", text_of(record, "client"));
    print_ends(text_of(record, "from"), text_of(record, "to"));
    print_field("key", text_of(record, "key"));
    if (ends != NULL)
        print_ends(text_of(ends, "initiator"), text_of(ends, "responder"));
    print_field("call", text_of(record, "reference"));
    print_field("csb", text_of(record, "csb_id"));
    print_field("suites", text_of(record, "suites"));
    char detail[VISIBLE_SIZE(512)];
    const char *text = text_of(record, "detail");
    (void)visible_text(text, strnlen(text, 512), detail, sizeof detail);
    print_field("-", detail);
    (void)printf("\n");
}

/* The record as it stands in the log, and what is known of it here. */
static bool print_object(const struct query *query, const json_t *record, bool verifies)
{
    const json_t *ends = pair_names_find(query->names, text_of(record, "key"));
    json_t *object = json_copy((json_t *)(uintptr_t)record);
    int set = json_object_set_new(object, "verifies", json_boolean(verifies));
    if (ends != NULL)
        set |= json_object_set_new(object, "pair", json_copy((json_t *)(uintptr_t)ends));
    char *line = set == 0 ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    const bool printed = line != NULL && printf("%s%s", query->found == 0 ? "" : ",", line) > 0;
    json_free_t release;
    json_get_alloc_funcs(NULL, &release);
    if (line != NULL)
        release(line);
    json_decref(object);
    return printed;
}

static void take(void *context, const json_t *record, bool verifies)
{
    struct query *query = context;
    if (query->failed || !is_wanted(query, record))
        return;
    if (query->arguments->json)
        query->failed = !print_object(query, record, verifies);
    else
        print_record(query, record, verifies);
    query->found++;
    query->doubtful += verifies ? 0 : 1;
    query->keys += (uint64_t)number_of(record, "keys");
}

/* The end of the one object, which was begun before the first record. */
static void end_object(const struct query *query, const struct error *err)
{
    const struct audit_verdict *verdict = &query->verdict;
    json_t *rest = json_pack(
        "{s:I, s:I, s:I, s:b, s:b, s:I, s:I}", "found", (json_int_t)query->found, "keys",
        (json_int_t)query->keys, "unverified", (json_int_t)query->doubtful, "good", verdict->good,
        "signatures_checked", verdict->signatures_checked, "last_seq",
        (json_int_t)verdict->last_sequence, "covered_seq", (json_int_t)verdict->covered_sequence);
    if (err->text[0] != '\0')
        (void)json_object_set_new(
            rest, "error",
            json_pack("{s:s, s:s}", "code", status_name(err->status), "message", err->text));
    char *text = json_dumps(rest, JSON_COMPACT | JSON_ENSURE_ASCII);
    (void)printf("],%s\n", text == NULL ? "\"error\":null}" : text + 1);
    json_free_t release;
    json_get_alloc_funcs(NULL, &release);
    if (text != NULL)
        release(text);
    json_decref(rest);
}

static void print_end(const struct query *query, const struct error *err)
{
    const struct audit_verdict *verdict = &query->verdict;
    (void)printf("%" PRIu64 " records of %" PRIu64 ", %" PRIu64 " keys\n", query->found,
                 verdict->records + verdict->ceremony_records, query->keys);
    if (!verdict->good)
        (void)printf("THE LOG DOES NOT VERIFY: %s\n", err->text);
    else if (!verdict->signatures_checked)
        (void)printf("the chain verifies; signatures NOT CHECKED (give --public-key)\n");
    else
        (void)printf("the log verifies; signed up to record %" PRIu64 "\n",
                     verdict->covered_sequence);
    if (query->doubtful > 0)
        (void)printf("%" PRIu64 " of the records above do not verify: UNVERIFIED\n",
                     query->doubtful);
}

/* ---- the command ---- */

static enum mikeyd_status read_question(struct query *query, struct error *err)
{
    const struct audit_arguments *arguments = query->arguments;
    enum audit_event event;
    if (arguments->pair != NULL) {
        const char *comma = strchr(arguments->pair, ',');
        const size_t len = comma == NULL ? 0 : (size_t)(comma - arguments->pair);
        if (comma == NULL || len == 0 || len >= sizeof query->a || comma[1] == '\0' ||
            strlen(comma + 1) >= sizeof query->b)
            return error_set(err, MIKEYD_INVALID_ARGUMENT,
                             "--pair: expected two identities, A,B (* is any): %s",
                             arguments->pair);
        memcpy(query->a, arguments->pair, len);
        (void)snprintf(query->b, sizeof query->b, "%s", comma + 1);
    }
    if (arguments->day != NULL && !audit_is_day(arguments->day))
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "--day: expected a day (UTC) such as 2026-11-25, or a month: %s",
                         arguments->day);
    if (arguments->event != NULL && strcmp(arguments->event, "released") != 0 &&
        !audit_event_by_name(arguments->event, &event))
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "--event: no event of an audit log, nor \"released\": %s",
                         arguments->event);
    return MIKEYD_OK;
}

static enum mikeyd_status prepare(struct query *query, struct error *err)
{
    enum mikeyd_status status = read_question(query, err);
    query->names = pair_names_make();
    if (query->names == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    if (status == MIKEYD_OK)
        status = audit_names_read(query->names, query->arguments, err);
    return status;
}

int audit_command_query(const struct audit_arguments *arguments)
{
    struct error err = {0};
    struct query *query = calloc(1, sizeof *query);
    if (query == NULL) {
        (void)error_set(&err, MIKEYD_INTERNAL, "out of memory");
        return ctl_fail(arguments->json, &err);
    }
    query->arguments = arguments;
    enum mikeyd_status status = prepare(query, &err);
    int result;
    if (status != MIKEYD_OK) {
        result = ctl_fail(arguments->json, &err);
    } else {
        struct audit_verify_options options = audit_verify_options_of(arguments);
        options.visit = take;
        options.visit_context = query;
        if (arguments->json)
            (void)printf("{\"records\":[");
        status = audit_verify(&options, &query->verdict, &err);
        result = audit_exit_code(arguments, &query->verdict, status);
        if (arguments->json)
            end_object(query, &err);
        else if (status == MIKEYD_OK || status == MIKEYD_SYNTAX)
            print_end(query, &err);
        else
            (void)ctl_fail(false, &err);
    }
    pair_names_free(query->names);
    free(query);
    return result;
}
