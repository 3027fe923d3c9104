/* Whoever touches the file is found out, and the record is named. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include "audit/verify/verify.h"
#include "base/text.h"
#include "fixture.h"

TestSuite(audit_verify, .timeout = 60);

static struct audit_verdict verdict;
static struct error verify_error;

static enum mikeyd_status verify_options(const struct fixture *fixture, const char *path,
                                         struct audit_verify_options options)
{
    const char *const files[] = {path}, *const keys[] = {fixture->key_path};
    options.files = files;
    options.file_count = 1;
    options.public_keys = keys;
    options.public_key_count = 1;
    memset(&verify_error, 0, sizeof verify_error);
    return audit_verify(&options, &verdict, &verify_error);
}

static enum mikeyd_status verify(const struct fixture *fixture)
{
    return verify_options(fixture, fixture->path, (struct audit_verify_options){0});
}

/* Exactly one failure, of this kind, naming this record. */
static void expect_problem(const struct fixture *fixture, enum audit_problem_kind kind,
                           uint64_t sequence)
{
    cr_assert_eq(verify(fixture), MIKEYD_SYNTAX);
    for (size_t i = 0; i < verdict.problem_count; i++) {
        if (!verdict.problems[i].warning) {
            cr_assert_eq(verdict.problems[i].kind, kind, "%s", verify_error.text);
            cr_assert_eq(verdict.problems[i].sequence, sequence, "%s", verify_error.text);
            break;
        }
    }
    cr_assert_eq(verdict.failures, 1, "%lu problems, first: %s", verdict.failures,
                 verify_error.text);
}

static char *load(struct fixture *fixture, unsigned records)
{
    fixture_make(fixture);
    fixture_write(fixture, records);
    cr_assert_eq(verify(fixture), MIKEYD_OK, "%s", verify_error.text);
    return fixture_read(fixture->path, NULL);
}

/* Writes the hash that belongs to a line; prev as given, or as it is. */
static void rehash(char *line, size_t len, const char *prev)
{
    uint8_t digest[32];
    char hex[65];
    if (prev != NULL)
        memcpy(line + len - 1 - 75 - 65, prev, 64);
    SHA256((const unsigned char *)line, len - 1 - 75, digest);
    hex_encode(digest, sizeof digest, hex);
    memcpy(line + len - 1 - 66, hex, 64);
}

static void store(struct fixture *fixture, char *text)
{
    fixture_replace(fixture->path, text, strlen(text));
    free(text);
}

Test(audit_verify, untouched_log_is_good_and_signed_to_the_end)
{
    struct fixture fixture;
    free(load(&fixture, 50));
    cr_assert(verdict.good && verdict.closed && verdict.signatures_checked);
    cr_assert_eq(verdict.warnings, 0);
    cr_assert_geq(verdict.good_signatures, 1);
    cr_assert_eq(verdict.covered_sequence, verdict.last_sequence - 1);
    fixture_drop(&fixture);
}

Test(audit_verify, changed_record_is_named)
{
    struct fixture fixture;
    char *text = load(&fixture, 50);
    size_t len;
    char *line = fixture_line(text, 16, &len);
    char *key = strstr(line, "sbc-b");
    key[4] = 'c';
    store(&fixture, text);
    expect_problem(&fixture, AUDIT_CHANGED, 17);
    cr_assert_eq(verdict.problems[0].line, 17);
    fixture_drop(&fixture);
}

Test(audit_verify, every_changed_byte_of_a_record_is_noticed)
{
    struct fixture fixture;
    char *text = load(&fixture, 3);
    size_t len, whole = strlen(text);
    size_t at = (size_t)(fixture_line(text, 1, &len) - text);
    for (size_t i = 0; i < len; i++) {
        text[at + i] ^= 1;
        fixture_replace(fixture.path, text, whole);
        cr_assert_eq(verify(&fixture), MIKEYD_SYNTAX, "byte %zu", i);
        text[at + i] ^= 1;
    }
    free(text);
    fixture_drop(&fixture);
}

Test(audit_verify, changed_and_rehashed_record_breaks_the_chain_behind_it)
{
    struct fixture fixture;
    char *text = load(&fixture, 50);
    size_t len;
    char *line = fixture_line(text, 16, &len);
    strstr(line, "sbc-b")[4] = 'c';
    rehash(line, len, NULL);
    store(&fixture, text);
    cr_assert_eq(verify(&fixture), MIKEYD_SYNTAX);
    cr_assert_eq(verdict.problems[0].kind, AUDIT_SPLICED);
    cr_assert_eq(verdict.problems[0].sequence, 18);
    cr_assert_not_null(strstr(verdict.problems[0].text, "record 17"));
    fixture_drop(&fixture);
}

/* All hashes right again: only the signature tells. */
Test(audit_verify, rewritten_chain_contradicts_its_checkpoint)
{
    struct fixture fixture;
    char *text = load(&fixture, 50);
    char prev[65] = "";
    unsigned lines = fixture_count_lines(text);
    for (unsigned i = 16; i < lines; i++) {
        size_t len;
        char *line = fixture_line(text, i, &len);
        if (i == 16)
            strstr(line, "sbc-b")[4] = 'c';
        rehash(line, len, i == 16 ? NULL : prev);
        memcpy(prev, line + len - 1 - 66, 64);
    }
    store(&fixture, text);
    cr_assert_eq(verify(&fixture), MIKEYD_SYNTAX);
    cr_assert_eq(verdict.problems[0].kind, AUDIT_SIGNATURE);
    cr_assert_not_null(strstr(verdict.problems[0].text, "rewritten"));
    fixture_drop(&fixture);
}

Test(audit_verify, dropped_record_is_named)
{
    struct fixture fixture;
    char *text = load(&fixture, 50);
    size_t len;
    char *line = fixture_line(text, 16, &len);
    memmove(line, line + len, strlen(line + len) + 1);
    store(&fixture, text);
    expect_problem(&fixture, AUDIT_DROPPED, 18);
    cr_assert_not_null(strstr(verdict.problems[0].text, "record 17 is missing"));
    fixture_drop(&fixture);
}

Test(audit_verify, swapped_records_are_named)
{
    struct fixture fixture;
    char *text = load(&fixture, 50);
    size_t first_len, second_len;
    char *first = fixture_line(text, 16, &first_len);
    char *second = fixture_line(text, 17, &second_len);
    char *copy = strndup(first, first_len);
    memmove(first, second, second_len);
    memcpy(first + second_len, copy, first_len);
    free(copy);
    store(&fixture, text);
    expect_problem(&fixture, AUDIT_REORDERED, 18);
    fixture_drop(&fixture);
}

Test(audit_verify, repeated_record_is_named)
{
    struct fixture fixture;
    char *text = load(&fixture, 50);
    size_t len;
    char *line = fixture_line(text, 16, &len);
    char *twice = calloc(1, strlen(text) + len + 1);
    size_t at = (size_t)(line - text) + len;
    memcpy(twice, text, at);
    memcpy(twice + at, line, len);
    strcpy(twice + at + len, text + at);
    free(text);
    store(&fixture, twice);
    expect_problem(&fixture, AUDIT_REORDERED, 17);
    fixture_drop(&fixture);
}

Test(audit_verify, unfinished_last_line_is_a_truncation)
{
    struct fixture fixture;
    char *text = load(&fixture, 50);
    unsigned lines = fixture_count_lines(text);
    text[strlen(text) - 20] = '\0';
    store(&fixture, text);
    expect_problem(&fixture, AUDIT_TRUNCATED, lines);
    fixture_drop(&fixture);
}

Test(audit_verify, log_cut_between_records_is_not_closed)
{
    struct fixture fixture;
    free(load(&fixture, 10)); /* closed with a checkpoint */
    fixture_write(&fixture, 40);
    char *text = fixture_read(fixture.path, NULL);
    size_t len;
    *fixture_line(text, 30, &len) = '\0';
    store(&fixture, text);
    cr_assert_eq(verify(&fixture), MIKEYD_OK, "%s", verify_error.text);
    cr_assert_eq(verdict.warnings, 1);
    cr_assert_eq(verdict.last_sequence, 30);
    cr_assert_eq(
        verify_options(&fixture, fixture.path, (struct audit_verify_options){.strict = true}),
        MIKEYD_SYNTAX);
    fixture_drop(&fixture);
}

Test(audit_verify, cut_log_falls_short_of_what_was_known)
{
    struct fixture fixture;
    char *text = load(&fixture, 50);
    char anchor[65];
    strcpy(anchor, verdict.last_hash);
    uint64_t last = verdict.last_sequence;
    cr_assert_eq(
        verify_options(&fixture, fixture.path,
                       (struct audit_verify_options){.expect_sequence = last, .anchor = anchor}),
        MIKEYD_OK);
    size_t len;
    *fixture_line(text, 30, &len) = '\0';
    store(&fixture, text);
    cr_assert_eq(verify_options(&fixture, fixture.path,
                                (struct audit_verify_options){.expect_sequence = last}),
                 MIKEYD_SYNTAX);
    cr_assert_eq(verdict.problems[0].kind, AUDIT_TRUNCATED);
    cr_assert_eq(
        verify_options(&fixture, fixture.path, (struct audit_verify_options){.anchor = anchor}),
        MIKEYD_SYNTAX);
    fixture_drop(&fixture);
}

/* The first 20 records of one log, the rest of another of the same signer. */
Test(audit_verify, two_logs_spliced_are_found_at_the_seam)
{
    struct fixture fixture, other;
    char *text = load(&fixture, 50), *foreign = load(&other, 50);
    EVP_PKEY_free(other.key);
    other.key = NULL;
    size_t len;
    *fixture_line(text, 20, &len) = '\0';
    const char *rest = fixture_line(foreign, 20, &len);
    char *spliced = calloc(1, strlen(text) + strlen(rest) + 1);
    strcpy(spliced, text);
    strcat(spliced, rest);
    free(text);
    free(foreign);
    store(&fixture, spliced);
    cr_assert_eq(verify(&fixture), MIKEYD_SYNTAX);
    cr_assert_eq(verdict.problems[0].kind, AUDIT_SPLICED);
    cr_assert_eq(verdict.problems[0].sequence, 21);
    fixture_drop(&fixture);
    fixture_drop(&other);
}

Test(audit_verify, signature_of_another_key_is_refused)
{
    struct fixture fixture, other;
    fixture_make(&other);
    free(load(&fixture, 50));
    /* Written by somebody with a key of his own. */
    other.signer.context = &other;
    (void)remove(fixture.path);
    struct audit_options options = {.signer = &other.signer};
    struct audit_log *log = fixture_open(&fixture, &options);
    (void)audit_wait(log, fixture_append(log), NULL);
    audit_close(log);
    cr_assert_eq(verify(&fixture), MIKEYD_SYNTAX);
    cr_assert_eq(verdict.problems[0].kind, AUDIT_SIGNATURE);
    cr_assert_gt(verdict.problems[0].sequence, 1);
    cr_assert_eq(verdict.good_signatures, 0);
    fixture_drop(&fixture);
    fixture_drop(&other);
}

Test(audit_verify, log_without_its_checkpoints_is_refused)
{
    struct fixture fixture;
    fixture_make(&fixture);
    const struct audit_options options = {0};
    struct audit_log *log = fixture_open(&fixture, &options);
    (void)audit_wait(log, fixture_append(log), NULL);
    audit_close(log);
    expect_problem(&fixture, AUDIT_UNCOVERED, 1);
    fixture_drop(&fixture);
}

/* Somebody goes on from a copy of the log; both ends are put together. */
Test(audit_verify, forked_log_is_found_at_the_fork)
{
    struct fixture fixture;
    char *text = load(&fixture, 50);
    size_t len, all = strlen(text);
    char *from = fixture_line(text, 20, &len);
    char *copy = strndup(text, (size_t)(from - text));
    fixture_replace(fixture.path, copy, strlen(copy));
    fixture_write(&fixture, 10);
    char *branch = fixture_read(fixture.path, NULL);
    char *both = calloc(1, all + strlen(branch) + 1);
    strcpy(both, text);
    strcat(both, branch + strlen(copy));
    free(text);
    free(copy);
    free(branch);
    store(&fixture, both);
    cr_assert_eq(verify(&fixture), MIKEYD_SYNTAX);
    cr_assert_eq(verdict.problems[0].kind, AUDIT_FORKED);
    cr_assert_eq(verdict.problems[0].sequence, 21);
    fixture_drop(&fixture);
}

Test(audit_verify, gap_without_an_explanation_is_refused)
{
    struct fixture fixture;
    char *text = load(&fixture, 5);
    /* The attacker drops record 3 and repairs all that hashes can repair. */
    size_t len;
    char *third = fixture_line(text, 2, &len);
    memmove(third, third + len, strlen(third + len) + 1);
    size_t before_len;
    char *before = fixture_line(text, 1, &before_len);
    char prev[65] = "";
    memcpy(prev, before + before_len - 1 - 66, 64);
    char *line = fixture_line(text, 2, &len);
    rehash(line, len, prev);
    line[len] = '\0';
    store(&fixture, text);
    cr_assert_eq(verify(&fixture), MIKEYD_SYNTAX);
    cr_assert_eq(verdict.problems[0].kind, AUDIT_DROPPED);
    cr_assert_eq(verdict.problems[0].sequence, 4);
    fixture_drop(&fixture);
}

/* Every second record is missing: what is looked at ahead is bounded for all of them together. */
Test(audit_verify, very_many_gaps_are_found_in_linear_time)
{
    struct fixture fixture;
    fixture_make(&fixture);
    const struct audit_options options = {.insecure_no_sync = true};
    struct audit_log *log = fixture_open(&fixture, &options);
    uint64_t last = 0;
    for (unsigned i = 0; i < 40000; i++) {
        last = fixture_append(log);
        if (i % 4000 == 0)
            (void)audit_wait(log, last, NULL);
    }
    (void)audit_wait(log, last, NULL);
    audit_close(log);
    char *text = fixture_read(fixture.path, NULL), *to = text;
    const char *from = text;
    for (unsigned i = 0; *from != '\0'; i++) {
        size_t len = (size_t)(strchr(from, '\n') - from) + 1;
        if (i % 2 == 0) {
            memmove(to, from, len);
            to += len;
        }
        from += len;
    }
    *to = '\0';
    store(&fixture, text);
    struct timespec before, after;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    cr_assert_eq(verify(&fixture), MIKEYD_SYNTAX);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    cr_assert_geq(verdict.failures, 19999);
    cr_assert_lt(after.tv_sec - before.tv_sec, 20, "quadratic: minutes");
    fixture_drop(&fixture);
}

Test(audit_verify, compressed_file_is_named_as_one)
{
    struct fixture fixture;
    fixture_make(&fixture);
    fixture_replace(fixture.path, "\x1f\x8b\x08", 3);
    cr_assert_eq(verify(&fixture), MIKEYD_INVALID_ARGUMENT);
    cr_assert_not_null(strstr(verify_error.text, "compressed (gzip)"), "%s", verify_error.text);
    fixture_drop(&fixture);
}

Test(audit_verify, empty_file_is_no_good_log)
{
    struct fixture fixture;
    fixture_make(&fixture);
    fixture_replace(fixture.path, "", 0);
    cr_assert_eq(verify(&fixture), MIKEYD_SYNTAX);
    cr_assert_eq(verdict.problems[0].kind, AUDIT_TRUNCATED);
    fixture_drop(&fixture);
}

Test(audit_verify, missing_file_is_an_argument_error)
{
    struct fixture fixture;
    fixture_make(&fixture);
    cr_assert_eq(verify(&fixture), MIKEYD_INVALID_ARGUMENT);
    fixture_drop(&fixture);
}
