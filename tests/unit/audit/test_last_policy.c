/* The latest policy with a serial in a log: no older one is loaded after it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "fixture.h"

#define HASH_1 "1111111111111111111111111111111111111111111111111111111111111111"
#define HASH_2 "2222222222222222222222222222222222222222222222222222222222222222"

static struct fixture fixture;

static void make(void)
{
    fixture_make(&fixture);
}

static void drop(void)
{
    fixture_drop(&fixture);
}

TestSuite(audit_last_policy, .init = make, .fini = drop);

static void append(struct audit_log *log, const char *sha256, uint64_t serial, const char *officers)
{
    struct audit_record record = fixture_record();
    record.policy_sha256 = sha256;
    record.policy_serial = serial;
    record.officers = officers;
    cr_assert_eq(audit_append(log, &record, NULL, NULL), MIKEYD_OK);
}

static void expect_policy(const char *sha256, uint64_t serial)
{
    struct audit_policy_mark mark;
    struct error err = {.text = ""};
    cr_assert_eq(audit_last_policy(fixture.path, &mark, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(mark.serial, serial, "%ju", (uintmax_t)mark.serial);
    cr_expect_str_eq(mark.sha256, sha256);
}

static struct audit_log *open_log(void)
{
    const struct audit_options options = {.path = fixture.path};
    return fixture_open(&fixture, &options);
}

Test(audit_last_policy, is_the_latest_that_has_a_serial)
{
    expect_policy("", 0);
    struct audit_log *log = open_log();
    append(log, HASH_2, 0, NULL);
    audit_close(log);
    expect_policy("", 0);
    log = open_log();
    append(log, HASH_1, 6, "ada 00");
    append(log, HASH_2, INT64_MAX, "ben 00");
    append(log, HASH_1, 0, NULL);
    audit_close(log);
    expect_policy(HASH_2, INT64_MAX);
}

/* In every place relative to the pieces in which the log is read. */
Test(audit_last_policy, is_found_far_from_the_end_and_over_the_edge_of_a_piece)
{
    char filler[1200];
    memset(filler, 'x', sizeof filler);
    struct audit_log *log = open_log();
    append(log, HASH_1, 41, "ada 00");
    for (unsigned i = 0; i < 2000; i++) {
        filler[1000 + i % 199] = '\0';
        append(log, HASH_2, 0, filler);
        filler[1000 + i % 199] = 'x';
    }
    audit_close(log);
    expect_policy(HASH_1, 41);
}

Test(audit_last_policy, is_none_that_somebody_else_wrote)
{
    struct audit_log *log = open_log();
    append(log, HASH_1, 3, "ada 00");
    append(log, HASH_2, 0, "x\",\"policy\":\"" HASH_2 "\",\"policy_serial\":99,\"y\":\"");
    audit_close(log);
    expect_policy(HASH_1, 3);
}

Test(audit_last_policy, is_found_in_the_file_before)
{
    char rotated[160];
    struct audit_log *log = open_log();
    append(log, HASH_1, 3, "ada 00");
    audit_close(log);
    (void)snprintf(rotated, sizeof rotated, "%s.1", fixture.path);
    cr_assert_eq(rename(fixture.path, rotated), 0);
    expect_policy(HASH_1, 3);
    log = open_log();
    append(log, HASH_2, 0, NULL);
    audit_close(log);
    expect_policy(HASH_1, 3);
}
