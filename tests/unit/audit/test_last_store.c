/* The latest mark of the replay store in a log. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

static struct fixture fixture;

static void make(void)
{
    fixture_make(&fixture);
}

static void drop(void)
{
    fixture_drop(&fixture);
}

TestSuite(audit_last_store, .init = make, .fini = drop);

static void append(struct audit_log *log, const char *mark, const char *detail)
{
    struct audit_record record = fixture_record();
    record.store = mark;
    record.detail = detail;
    cr_assert_eq(audit_append(log, &record, NULL, NULL), MIKEYD_OK);
}

static void expect_mark(const char *expected)
{
    char mark[AUDIT_STORE_MARK_MAX];
    struct error err = {.text = ""};
    cr_assert_eq(audit_last_store(fixture.path, mark, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_str_eq(mark, expected);
}

static struct audit_log *open_log(void)
{
    const struct audit_options options = {.path = fixture.path};
    return fixture_open(&fixture, &options);
}

Test(audit_last_store, is_the_latest)
{
    expect_mark("");
    struct audit_log *log = open_log();
    append(log, NULL, NULL);
    audit_close(log);
    expect_mark("");
    log = open_log();
    append(log, "aa/1", NULL);
    append(log, "aa/2", NULL);
    append(log, NULL, "no mark");
    audit_close(log);
    expect_mark("aa/2");
}

Test(audit_last_store, is_found_far_from_the_end)
{
    struct audit_log *log = open_log();
    append(log, "aa/1", NULL);
    append(log, "aa/22", NULL);
    for (int i = 0; i < 6000; i++)
        append(log, NULL,
               "a record that is about as long as those of calls are, which have many "
               "fields: who, to whom, under which key and by which algorithms, and why");
    audit_close(log);
    expect_mark("aa/22");
}

Test(audit_last_store, is_none_that_somebody_else_wrote)
{
    struct audit_log *log = open_log();
    append(log, "aa/1", NULL);
    append(log, NULL, "x\",\"store\":\"bb/9\",\"y\":\"");
    audit_close(log);
    expect_mark("aa/1");
}

Test(audit_last_store, is_found_in_the_file_before)
{
    char rotated[160];
    struct audit_log *log = open_log();
    append(log, "aa/1", NULL);
    audit_close(log);
    (void)snprintf(rotated, sizeof rotated, "%s.1", fixture.path);
    cr_assert_eq(rename(fixture.path, rotated), 0);
    expect_mark("aa/1");
    log = open_log();
    append(log, NULL, NULL);
    audit_close(log);
    expect_mark("aa/1");
}
