/* The log as its callers see it: what is on disk, in which order, and what a record says. */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <jansson.h>
#include <openssl/sha.h>

#include "audit/verify/verify.h"
#include "base/text.h"
#include "fixture.h"

TestSuite(audit_log, .timeout = 60);

Test(audit_log, a_waited_for_record_is_in_the_file)
{
    struct fixture fixture;
    fixture_make(&fixture);
    struct audit_log *log = fixture_open(&fixture, NULL);
    uint64_t sequence = fixture_append(log);
    cr_assert_eq(audit_wait(log, sequence, NULL), MIKEYD_OK);
    cr_assert_geq(audit_durable(log), sequence);
    cr_assert_eq(audit_outcome(log, sequence), AUDIT_ON_DISK);
    char *text = fixture_read(fixture.path, NULL);
    cr_assert_not_null(strstr(text, "\"event\":\"respond\""));
    cr_assert_not_null(strstr(text, "\"csb_id\":\"0badcafe\""));
    free(text);
    audit_close(log);
    fixture_drop(&fixture);
}

/* The definition in audit.h, done again by hand. */
Test(audit_log, chain_is_what_the_header_defines)
{
    struct fixture fixture;
    fixture_make(&fixture);
    fixture_write(&fixture, 20);
    char *text = fixture_read(fixture.path, NULL);
    char prev[65];
    memset(prev, '0', 64);
    prev[64] = '\0';
    char *save = NULL;
    unsigned number = 0;
    for (char *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        size_t len = strlen(line);
        uint8_t digest[32];
        char hex[65];
        SHA256((const unsigned char *)line, len - 75, digest);
        hex_encode(digest, sizeof digest, hex);
        json_t *record = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        cr_assert_not_null(record, "%s", line);
        cr_assert_eq(json_integer_value(json_object_get(record, "seq")), ++number);
        cr_assert_str_eq(json_string_value(json_object_get(record, "prev")), prev);
        cr_assert_str_eq(json_string_value(json_object_get(record, "hash")), hex);
        memcpy(prev, hex, sizeof prev);
        json_decref(record);
    }
    cr_assert_geq(number, 20);
    free(text);
    fixture_drop(&fixture);
}

Test(audit_log, second_process_continues_the_chain)
{
    struct fixture fixture;
    fixture_make(&fixture);
    const struct audit_options unsigned_log = {0};
    for (int i = 0; i < 3; i++) {
        struct audit_log *log = fixture_open(&fixture, &unsigned_log);
        cr_assert_eq(fixture_append(log), (uint64_t)(i + 1));
        audit_close(log);
    }
    char *text = fixture_read(fixture.path, NULL);
    cr_assert_eq(fixture_count_lines(text), 3);
    free(text);
    fixture_drop(&fixture);
}

Test(audit_log, two_writers_never_share_a_file)
{
    struct fixture fixture;
    fixture_make(&fixture);
    struct audit_log *first = fixture_open(&fixture, NULL), *second = NULL;
    struct audit_options options = {.path = fixture.path};
    struct error err = {0};
    cr_assert_eq(audit_open(&options, &second, &err), MIKEYD_AUDIT_DOWN);
    cr_assert_not_null(strstr(err.text, "another process"));
    audit_close(first);
    fixture_drop(&fixture);
}

/* A backup, an auditor's editor: whoever may read the log can lock it. */
Test(audit_log, lock_of_a_reader_keeps_no_writer_out)
{
    struct fixture fixture;
    fixture_make(&fixture);
    fixture_write(&fixture, 1);
    int reader = open(fixture.path, O_RDONLY);
    cr_assert_eq(flock(reader, LOCK_SH), 0);
    fixture_write(&fixture, 1);
    (void)close(reader);
    struct stat info;
    char lock[128];
    (void)snprintf(lock, sizeof lock, "%s.lock", fixture.path);
    cr_assert_eq(stat(lock, &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0600, "nobody else can open what the writer locks");
    fixture_drop(&fixture);
}

Test(audit_log, hostile_text_stays_one_line_of_json)
{
    struct fixture fixture;
    fixture_make(&fixture);
    const struct audit_options options = {.synchronous = true};
    struct audit_log *log = fixture_open(&fixture, &options);
    static const uint8_t bytes[] = {'a', 0, '\n', '"', 0xff};
    const struct audit_record record = {.event = AUDIT_REFUSED,
                                        .status = MIKEYD_SYNTAX,
                                        .client = "a\"b\\c\n\x01\x7f",
                                        .from = {IDENTITY_BYTES, sizeof bytes, bytes},
                                        .detail = "\xff\xfe not UTF-8 \xc3\xa9 <script>"};
    uint64_t sequence;
    cr_assert_eq(audit_append(log, &record, &sequence, NULL), MIKEYD_OK);
    audit_close(log);
    char *text = fixture_read(fixture.path, NULL);
    cr_assert_eq(fixture_count_lines(text), 1);
    json_t *json = json_loads(text, 0, NULL);
    cr_assert_not_null(json);
    cr_assert_str_eq(json_string_value(json_object_get(json, "client")),
                     "a\"b\\\\c\\u{a}\\u{1}\\u{7f}");
    cr_assert_str_eq(json_string_value(json_object_get(json, "detail")),
                     "\\xff\\xfe not UTF-8 \u00e9 <script>");
    cr_assert_str_eq(json_string_value(json_object_get(json, "from")), "hex:61000a22ff");
    json_decref(json);
    free(text);
    fixture_drop(&fixture);
}

/* With jq -r and the like on a terminal, too. */
Test(audit_log, what_cannot_be_seen_is_written_so_that_it_can)
{
    struct fixture fixture;
    fixture_make(&fixture);
    const struct audit_options options = {.synchronous = true};
    struct audit_log *log = fixture_open(&fixture, &options);
    static const char spoofed[] = "sip:a\u200b\u202eb@carrier.example";
    const struct audit_record record = {
        .event = AUDIT_REFUSED,
        .from = {IDENTITY_URI, sizeof spoofed - 1, (const uint8_t *)spoofed},
        .detail = "sip:a\\u{200b}b"};
    cr_assert_eq(audit_append(log, &record, NULL, NULL), MIKEYD_OK);
    audit_close(log);
    char *text = fixture_read(fixture.path, NULL);
    json_t *json = json_loads(text, 0, NULL);
    cr_assert_str_eq(json_string_value(json_object_get(json, "from")),
                     "sip:a\\u{200b}\\u{202e}b@carrier.example");
    cr_assert_str_eq(json_string_value(json_object_get(json, "detail")), "sip:a\\\\u{200b}b",
                     "what only looks like it is told apart");
    json_decref(json);
    free(text);
    fixture_drop(&fixture);
}

Test(audit_log, text_that_is_cut_says_so)
{
    struct fixture fixture;
    fixture_make(&fixture);
    const struct audit_options options = {.synchronous = true};
    struct audit_log *log = fixture_open(&fixture, &options);
    char *longer = calloc(1, 5001);
    memset(longer, 'x', 5000);
    const struct audit_record record = {.event = AUDIT_RELOAD, .detail = longer};
    cr_assert_eq(audit_append(log, &record, NULL, NULL), MIKEYD_OK);
    audit_close(log);
    char *text = fixture_read(fixture.path, NULL);
    cr_assert_not_null(strstr(text, "xxx... (cut: 5000 bytes in all)\""), "%s", text);
    free(longer);
    free(text);
    fixture_drop(&fixture);
}

Test(audit_log, overlong_text_never_breaks_a_record)
{
    struct fixture fixture;
    fixture_make(&fixture);
    const struct audit_options options = {.synchronous = true};
    struct audit_log *log = fixture_open(&fixture, &options);
    char *endless = malloc(100001);
    memset(endless, '\x01', 100000);
    endless[100000] = '\0';
    const struct audit_record record = {.event = AUDIT_REFUSED,
                                        .client = endless,
                                        .operation = endless,
                                        .key = endless,
                                        .method = endless,
                                        .suites = endless,
                                        .detail = endless,
                                        .keys = 7};
    uint64_t sequence;
    cr_assert_eq(audit_append(log, &record, &sequence, NULL), MIKEYD_OK);
    audit_close(log);
    char *text = fixture_read(fixture.path, NULL);
    json_t *json = json_loads(text, 0, NULL);
    cr_assert_not_null(json);
    cr_assert_eq(json_integer_value(json_object_get(json, "keys")), 7);
    json_decref(json);
    free(text);
    free(endless);
    fixture_drop(&fixture);
}

Test(audit_log, file_is_not_readable_by_others)
{
    struct fixture fixture;
    fixture_make(&fixture);
    fixture_write(&fixture, 1);
    struct stat info;
    cr_assert_eq(stat(fixture.path, &info), 0);
    cr_assert_eq(info.st_mode & 07, 0);
    fixture_drop(&fixture);
}

Test(audit_log, file_that_is_no_log_is_refused_and_left_alone)
{
    struct fixture fixture;
    fixture_make(&fixture);
    static const char other[] = "root:x:0:0:root:/root:/bin/bash\n";
    fixture_replace(fixture.path, other, sizeof other - 1);
    struct audit_log *log = NULL;
    struct audit_options options = {.path = fixture.path};
    cr_assert_eq(audit_open(&options, &log, NULL), MIKEYD_SYNTAX);
    char *text = fixture_read(fixture.path, NULL);
    cr_assert_str_eq(text, other);
    free(text);
    fixture_drop(&fixture);
}

static void count_commit(void *context)
{
    (*(unsigned *)context)++;
}

Test(audit_log, waiting_records_share_one_commit)
{
    struct fixture fixture;
    fixture_make(&fixture);
    unsigned calls = 0;
    const struct audit_options options = {.committed = count_commit, .committed_context = &calls};
    struct audit_log *log = fixture_open(&fixture, &options);
    uint64_t last = 0;
    for (int i = 0; i < 5000; i++)
        last = fixture_append(log);
    cr_assert_eq(audit_wait(log, last, NULL), MIKEYD_OK);
    struct audit_stats stats;
    audit_get_stats(log, &stats);
    cr_assert_eq(stats.records, 5000);
    cr_assert_lt(stats.syncs, 2500);
    audit_close(log);
    cr_assert_geq(calls, 1);
    fixture_drop(&fixture);
}

Test(audit_log, refusals_beyond_a_few_are_counted)
{
    struct fixture fixture;
    fixture_make(&fixture);
    const struct audit_options options = {0};
    struct audit_log *log = fixture_open(&fixture, &options);
    const struct audit_record refusal = {.event = AUDIT_REFUSED,
                                         .status = MIKEYD_POLICY,
                                         .client = "sbc-x",
                                         .operation = "initiate"};
    const struct audit_record other = {
        .event = AUDIT_REFUSED, .status = MIKEYD_REPLAY, .client = "sbc-x"};
    for (int i = 0; i < 1000; i++)
        audit_refusal(log, &refusal);
    audit_refusal(log, &other);
    audit_close(log);

    char *text = fixture_read(fixture.path, NULL);
    char *save = NULL;
    uint64_t written = 0, counted = 0, replays = 0;
    for (char *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        json_t *json = json_loads(line, 0, NULL);
        const char *event = json_string_value(json_object_get(json, "event"));
        const char *result = json_string_value(json_object_get(json, "result"));
        if (strcmp(result, "REPLAY") == 0)
            replays++;
        else if (strcmp(event, "refused") == 0)
            written++;
        else if (strcmp(event, "suppressed") == 0)
            counted += (uint64_t)json_integer_value(json_object_get(json, "count"));
        json_decref(json);
    }
    cr_assert_eq(replays, 1);
    cr_assert_leq(written, 15);
    cr_assert_eq(written + counted, 1000);
    free(text);
    fixture_drop(&fixture);
}

Test(audit_log, failing_signer_stops_nothing_and_is_recorded)
{
    struct fixture fixture;
    fixture_make(&fixture);
    fixture.signer_fails = true;
    struct audit_log *log = fixture_open(&fixture, NULL);
    cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_OK);
    cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_OK);
    audit_close(log);
    char *text = fixture_read(fixture.path, NULL);
    cr_assert_not_null(strstr(text, "\"event\":\"unsigned\",\"result\":\"TOKEN_DOWN\""));
    cr_assert_null(strstr(text, "\"event\":\"checkpoint\""));
    free(text);
    fixture_drop(&fixture);
}

Test(audit_log, healed_signer_signs_what_was_missed)
{
    struct fixture fixture;
    fixture_make(&fixture);
    fixture.signer_fails = true;
    struct audit_log *log = fixture_open(&fixture, NULL);
    cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_OK);
    cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_OK);
    fixture.signer_fails = false;
    audit_close(log);
    const char *const files[] = {fixture.path}, *const keys[] = {fixture.key_path};
    const struct audit_verify_options options = {.files = files,
                                                 .file_count = 1,
                                                 .public_keys = keys,
                                                 .public_key_count = 1,
                                                 .strict = true};
    static struct audit_verdict verdict;
    struct error err = {0};
    cr_assert_eq(audit_verify(&options, &verdict, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(verdict.covered_sequence, 2);
    cr_assert_eq(verdict.records, 3, "a token that opens a little later is no event");
    fixture_drop(&fixture);
}

/* More clients than the table of refusals has places: none is forgotten. */
Test(audit_log, refusals_of_very_many_clients_are_all_counted)
{
    struct fixture fixture;
    fixture_make(&fixture);
    const struct audit_options options = {0};
    struct audit_log *log = fixture_open(&fixture, &options);
    for (int i = 0; i < 20000; i++) {
        char client[32];
        (void)snprintf(client, sizeof client, "uid %d", i % 2000);
        const struct audit_record refusal = {
            .event = AUDIT_REFUSED, .status = MIKEYD_NOT_ENTITLED, .client = client};
        audit_refusal(log, &refusal);
    }
    audit_close(log);
    char *text = fixture_read(fixture.path, NULL);
    char *save = NULL;
    json_int_t told = 0;
    unsigned lines = 0;
    for (char *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        json_t *json = json_loads(line, 0, NULL);
        const json_t *count = json_object_get(json, "count");
        told += count == NULL ? 1 : json_integer_value(count);
        lines++;
        json_decref(json);
    }
    cr_assert_eq(told, 20000);
    cr_assert_lt(lines, 10000);
    free(text);
    fixture_drop(&fixture);
}

struct appender {
    struct audit_log *log;
    pthread_t thread;
};

static void *append_many(void *context)
{
    const struct appender *appender = context;
    uint64_t before = 0;
    for (int i = 0; i < 500; i++) {
        uint64_t sequence = fixture_append(appender->log);
        cr_assert_gt(sequence, before);
        before = sequence;
        if (i % 50 == 0)
            cr_assert_eq(audit_wait(appender->log, sequence, NULL), MIKEYD_OK);
    }
    return NULL;
}

Test(audit_log, threads_share_one_unbroken_chain)
{
    struct fixture fixture;
    fixture_make(&fixture);
    const struct audit_options settings = {.signer = &fixture.signer, .checkpoint_records = 200};
    struct audit_log *log = fixture_open(&fixture, &settings);
    struct appender appenders[8];
    for (size_t i = 0; i < 8; i++) {
        appenders[i].log = log;
        cr_assert_eq(pthread_create(&appenders[i].thread, NULL, append_many, &appenders[i]), 0);
    }
    for (size_t i = 0; i < 8; i++)
        cr_assert_eq(pthread_join(appenders[i].thread, NULL), 0);
    audit_close(log);
    const char *const files[] = {fixture.path}, *const keys[] = {fixture.key_path};
    const struct audit_verify_options options = {.files = files,
                                                 .file_count = 1,
                                                 .public_keys = keys,
                                                 .public_key_count = 1,
                                                 .strict = true};
    static struct audit_verdict verdict;
    struct error err = {0};
    cr_assert_eq(audit_verify(&options, &verdict, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_geq(verdict.records, 4000);
    cr_assert_geq(verdict.good_signatures, 5);
    fixture_drop(&fixture);
}
