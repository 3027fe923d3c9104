/*
 * Somebody who can write the file, and has every genuine line that was ever written, but not the
 * key. All hashes that can be computed again are computed again. Each test is one forgery.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <openssl/sha.h>

#include "audit/verify/verify.h"
#include "base/text.h"
#include "fixture.h"

TestSuite(audit_forgery, .timeout = 60);

#define SEAL_LEN 149 /* ,"prev":"<64>","hash":"<64>"} */
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static struct audit_verdict verdict;
static struct error verify_error;

static enum mikeyd_status verify(const struct fixture *fixture, bool strict, const char *anchor)
{
    const char *const files[] = {fixture->path}, *const keys[] = {fixture->key_path};
    const struct audit_verify_options options = {.files = files,
                                                 .file_count = 1,
                                                 .public_keys = keys,
                                                 .public_key_count = 1,
                                                 .strict = strict,
                                                 .anchor = anchor};
    memset(&verify_error, 0, sizeof verify_error);
    return audit_verify(&options, &verdict, &verify_error);
}

static void expect_failure(const struct fixture *fixture, enum audit_problem_kind kind)
{
    cr_assert_eq(verify(fixture, false, NULL), MIKEYD_SYNTAX, "the forgery verifies");
    for (size_t i = 0; i < verdict.problem_count; i++) {
        if (!verdict.problems[i].warning && verdict.problems[i].kind == kind)
            return;
    }
    cr_assert_fail("found, but not as %s: %s", audit_problem_name(kind), verify_error.text);
}

/* Three runs of the writer, each closed by a checkpoint: the last line of each is final. */
static char *genuine(struct fixture *fixture)
{
    fixture_make(fixture);
    for (unsigned i = 0; i < 3; i++)
        fixture_write(fixture, 8);
    cr_assert_eq(verify(fixture, true, NULL), MIKEYD_OK, "%s", verify_error.text);
    cr_assert_eq(verdict.warnings, 0);
    return fixture_read(fixture->path, NULL);
}

/* A log that is being forged, line by line. */
struct forgery {
    char text[1 << 18];
    size_t len;
    uint64_t sequence;
    char prev[65];
};
static struct forgery forgery;

static void forge_from(uint64_t sequence, const char *prev)
{
    forgery.len = 0;
    forgery.sequence = sequence;
    (void)snprintf(forgery.prev, sizeof forgery.prev, "%s", prev);
}

/* Adds `body` ({"seq":... without its seal) with the number and the hashes that fit here. */
static void forge_body(const char *body, size_t body_len)
{
    char *line = forgery.text + forgery.len, hex[65];
    const char *rest = strchr(body, ',');
    uint8_t digest[32];
    int len = snprintf(line, sizeof forgery.text - forgery.len,
                       "{\"seq\":%" PRIu64 "%.*s,\"prev\":\"%s\"", forgery.sequence++,
                       (int)(body_len - (size_t)(rest - body)), rest, forgery.prev);
    SHA256((const unsigned char *)line, (size_t)len, digest);
    hex_encode(digest, sizeof digest, hex);
    len += snprintf(line + len, sizeof forgery.text - forgery.len - (size_t)len,
                    ",\"hash\":\"%s\"}\n", hex);
    forgery.len += (size_t)len;
    (void)snprintf(forgery.prev, sizeof forgery.prev, "%s", hex);
}

static void forge_line(char *text, unsigned n)
{
    size_t len;
    const char *line = fixture_line(text, n, &len);
    forge_body(line, len - 1 - SEAL_LEN);
}

/* Lines as they are. */
static void keep_lines(char *text, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        size_t len;
        const char *line = fixture_line(text, i, &len);
        memcpy(forgery.text + forgery.len, line, len);
        forgery.len += len;
        forgery.sequence = strtoull(line + strlen("{\"seq\":"), NULL, 10) + 1;
        memcpy(forgery.prev, line + len - 1 - 66, 64);
    }
}

static void forge_event(const char *client)
{
    char body[512];
    int len = snprintf(body, sizeof body,
                       "{\"seq\":0,\"time\":\"2027-01-01T00:00:00.000Z\",\"boot\":\"b\","
                       "\"instance\":\"i\",\"event\":\"respond\",\"result\":\"OK\",\"client\":"
                       "\"%s\"",
                       client);
    forge_body(body, (size_t)len);
}

static void put_in_place(struct fixture *fixture, char *text)
{
    fixture_replace(fixture->path, forgery.text, forgery.len);
    free(text);
}

/* The number (from 0) of the n-th checkpoint's line that has `mark`. */
static unsigned find_line(char *text, const char *mark, unsigned n)
{
    for (unsigned i = 0; i < fixture_count_lines(text); i++) {
        size_t len;
        const char *line = fixture_line(text, i, &len);
        if (memmem(line, len, mark, strlen(mark)) != NULL && n-- == 0)
            return i;
    }
    cr_assert_fail("no line with %s", mark);
    return 0;
}

Test(audit_forgery, genuine_final_checkpoint_copied_behind_replaced_records)
{
    struct fixture fixture;
    char *text = genuine(&fixture);
    const unsigned lines = fixture_count_lines(text);
    const unsigned second = find_line(text, "\"final\":1", 1);
    forge_from(1, ZEROS);
    keep_lines(text, 0, second + 1);
    for (unsigned i = second + 1; i + 1 < lines; i++)
        forge_event("nobody");
    forge_line(text, second);
    put_in_place(&fixture, text);
    expect_failure(&fixture, AUDIT_SIGNATURE);
    cr_assert_eq(verdict.covered_sequence, second, "only what the genuine one covers");
    fixture_drop(&fixture);
}

Test(audit_forgery, genuine_final_checkpoint_made_to_fit_the_replaced_records)
{
    struct fixture fixture;
    char *text = genuine(&fixture);
    const unsigned second = find_line(text, "\"final\":1", 1);
    size_t len;
    forge_from(1, ZEROS);
    keep_lines(text, 0, second);
    forge_event("nobody");
    /* Its own fields say what they have to say; only the signature is old. */
    char *copy = strndup(fixture_line(text, second, &len), 2048), body[2048];
    const char *covers = strstr(copy, ",\"covers\":"), *chain = strstr(copy, ",\"chain\":\"");
    const char *after = chain + strlen(",\"chain\":\"") + 64;
    int body_len = snprintf(body, sizeof body, "%.*s,\"covers\":%" PRIu64 ",\"chain\":\"%s%.*s",
                            (int)(covers - copy), copy, forgery.sequence - 1, forgery.prev,
                            (int)(copy + len - 1 - SEAL_LEN - after), after);
    forge_body(body, (size_t)body_len);
    free(copy);
    put_in_place(&fixture, text);
    expect_failure(&fixture, AUDIT_SIGNATURE);
    fixture_drop(&fixture);
}

Test(audit_forgery, wholly_forged_file_with_one_genuine_checkpoint)
{
    struct fixture fixture;
    char *text = genuine(&fixture);
    const unsigned last = fixture_count_lines(text) - 1;
    /* Once at the end, once at the beginning, where what it covers is missing anyway. */
    forge_from(1000, "00000000000000000000000000000000000000000000000000000000000000ff");
    for (unsigned i = 0; i < 5; i++)
        forge_event("nobody");
    forge_line(text, last);
    fixture_replace(fixture.path, forgery.text, forgery.len);
    expect_failure(&fixture, AUDIT_SIGNATURE);
    expect_failure(&fixture, AUDIT_MISSING);
    forge_from(1, ZEROS);
    keep_lines(text, last, last + 1);
    for (unsigned i = 0; i < 5; i++)
        forge_event("nobody");
    put_in_place(&fixture, text);
    expect_failure(&fixture, AUDIT_MISSING);
    fixture_drop(&fixture);
}

Test(audit_forgery, first_records_cut_away)
{
    struct fixture fixture;
    char *text = genuine(&fixture), anchor[65] = "";
    size_t len;
    const char *ninth = fixture_line(text, 8, &len);
    memcpy(anchor, ninth + len - 1 - 66, 64);
    forge_from(1, ZEROS);
    keep_lines(text, 9, fixture_count_lines(text));
    put_in_place(&fixture, text);
    expect_failure(&fixture, AUDIT_MISSING);
    /* Who knows the ninth record from before has nothing to fear. */
    cr_assert_eq(verify(&fixture, true, anchor), MIKEYD_OK, "%s", verify_error.text);
    fixture_drop(&fixture);
}

Test(audit_forgery, first_records_cut_away_and_the_rest_numbered_anew)
{
    struct fixture fixture;
    char *text = genuine(&fixture);
    forge_from(1, ZEROS);
    for (unsigned i = 9; i < fixture_count_lines(text); i++)
        forge_line(text, i);
    put_in_place(&fixture, text);
    expect_failure(&fixture, AUDIT_SIGNATURE);
    fixture_drop(&fixture);
}

Test(audit_forgery, record_slipped_in_before_the_closing_checkpoint)
{
    struct fixture fixture;
    char *text = genuine(&fixture);
    const unsigned last = fixture_count_lines(text) - 1;
    forge_from(1, ZEROS);
    keep_lines(text, 0, last);
    forge_event("nobody");
    forge_line(text, last);
    put_in_place(&fixture, text);
    expect_failure(&fixture, AUDIT_SIGNATURE);
    fixture_drop(&fixture);
}

Test(audit_forgery, checkpoint_of_another_log_of_the_same_key)
{
    struct fixture fixture;
    free(genuine(&fixture));
    char *foreign = fixture_read(fixture.path, NULL);
    cr_assert_eq(remove(fixture.path), 0);
    for (unsigned i = 0; i < 3; i++)
        fixture_write(&fixture, 8);
    char *text = fixture_read(fixture.path, NULL);
    const unsigned last = fixture_count_lines(text) - 1;
    forge_from(1, ZEROS);
    keep_lines(text, 0, last - 1);
    forge_event("nobody");
    forge_line(foreign, find_line(foreign, "\"final\":1", 2));
    free(foreign);
    put_in_place(&fixture, text);
    expect_failure(&fixture, AUDIT_SIGNATURE);
    fixture_drop(&fixture);
}

Test(audit_forgery, time_of_the_closing_checkpoint_changed)
{
    struct fixture fixture;
    char *text = genuine(&fixture);
    const unsigned last = fixture_count_lines(text) - 1;
    size_t len;
    char *year = strstr(fixture_line(text, last, &len), "\"time\":\"") + strlen("\"time\":\"");
    year[3] = year[3] == '1' ? '2' : '1';
    forge_from(1, ZEROS);
    keep_lines(text, 0, last);
    forge_line(text, last);
    put_in_place(&fixture, text);
    expect_failure(&fixture, AUDIT_SIGNATURE);
    fixture_drop(&fixture);
}

Test(audit_forgery, field_added_to_the_closing_checkpoint)
{
    struct fixture fixture;
    char *text = genuine(&fixture), body[2048];
    const unsigned last = fixture_count_lines(text) - 1;
    size_t len;
    const char *line = fixture_line(text, last, &len);
    int body_len =
        snprintf(body, sizeof body, "%.*s,\"detail\":\"nobody\"", (int)(len - 1 - SEAL_LEN), line);
    forge_from(1, ZEROS);
    keep_lines(text, 0, last);
    forge_body(body, (size_t)body_len);
    put_in_place(&fixture, text);
    expect_failure(&fixture, AUDIT_SIGNATURE);
    fixture_drop(&fixture);
}

/* Form 1 signed a record anywhere before: an old log is full of checkpoints that could be used. */
Test(audit_forgery, checkpoint_of_the_older_form)
{
    struct fixture fixture;
    char *text = genuine(&fixture), body[2048];
    const unsigned last = fixture_count_lines(text) - 1;
    size_t len;
    const char *line = fixture_line(text, last, &len);
    char *copy = strndup(line, len - 1 - SEAL_LEN);
    const char *form = strstr(copy, ",\"form\":2");
    int body_len = snprintf(body, sizeof body, "%.*s%s", (int)(form - copy), copy,
                            form + strlen(",\"form\":2"));
    free(copy);
    forge_from(1, ZEROS);
    keep_lines(text, 0, last);
    forge_body(body, (size_t)body_len);
    put_in_place(&fixture, text);
    expect_failure(&fixture, AUDIT_SIGNATURE);
    fixture_drop(&fixture);
}

/* A crash leaves the same: good, but said, and no strict verification passes. */
Test(audit_forgery, records_added_behind_the_last_checkpoint_are_covered_by_nothing)
{
    struct fixture fixture;
    char *text = genuine(&fixture);
    const unsigned lines = fixture_count_lines(text);
    forge_from(1, ZEROS);
    keep_lines(text, 0, lines);
    forge_event("nobody");
    put_in_place(&fixture, text);
    cr_assert_eq(verify(&fixture, false, NULL), MIKEYD_OK);
    cr_assert_eq(verdict.covered_sequence, lines - 1);
    cr_assert_eq(verdict.problems[0].kind, AUDIT_UNCOVERED);
    cr_assert_not_null(strstr(verdict.problems[0].text, "anybody"), "%s", verdict.problems[0].text);
    cr_assert_eq(verify(&fixture, true, NULL), MIKEYD_SYNTAX);
    fixture_drop(&fixture);
}

/* Nothing in the file can tell a log that was closed here from one that was cut back to here: what
 * is known from elsewhere does. */
Test(audit_forgery, log_cut_back_to_an_older_closing_needs_the_anchor)
{
    struct fixture fixture;
    char *text = genuine(&fixture), anchor[65];
    (void)snprintf(anchor, sizeof anchor, "%s", verdict.last_hash);
    forge_from(1, ZEROS);
    keep_lines(text, 0, find_line(text, "\"final\":1", 1) + 1);
    put_in_place(&fixture, text);
    cr_assert_eq(verify(&fixture, true, NULL), MIKEYD_OK);
    cr_assert_eq(verify(&fixture, false, anchor), MIKEYD_SYNTAX);
    cr_assert_eq(verdict.problems[0].kind, AUDIT_TRUNCATED);
    fixture_drop(&fixture);
}
