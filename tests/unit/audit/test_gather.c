/* Commits that wait for the records of requests that are being served (audit_expect). */
#include <time.h>

#include <criterion/criterion.h>

#include "base/clock.h"
#include "fixture.h"

#define RECORDS 200
/* As AUDIT_GATHER_US: how far apart commits are while something is expected. */
#define APART_US 1000

TestSuite(audit_gather, .timeout = 120);

static struct fixture fixture;
static struct audit_log *audit;

static void open_log(void)
{
    /* What a flush takes is not the question here. */
    const struct audit_options options = {.insecure_no_sync = true};
    fixture_make(&fixture);
    audit = fixture_open(&fixture, &options);
}

static void close_log(void)
{
    audit_close(audit);
    fixture_drop(&fixture);
}

/* One record after the other, each waited for; how long all took. settled: what is expected is taken
 * back as soon as the record is queued. */
static int64_t write_records(int expected, bool settled)
{
    const int64_t begun = clock_monotonic_us();
    for (int i = 0; i < RECORDS; i++) {
        audit_expect(audit, expected);
        const uint64_t sequence = fixture_append(audit);
        if (settled && expected != 0) {
            /* The committer has seen it by then, and gathers. */
            (void)nanosleep(&(struct timespec){.tv_nsec = APART_US * 1000 / 10}, NULL);
            audit_expect(audit, -expected);
        }
        cr_assert_eq(audit_wait(audit, sequence, NULL), MIKEYD_OK);
        if (!settled)
            audit_expect(audit, -expected);
    }
    return clock_monotonic_us() - begun;
}

/* A busy machine makes it longer, never shorter. */
Test(audit_gather, commits_are_apart_while_records_are_expected, .init = open_log,
     .fini = close_log)
{
    cr_assert_geq(write_records(1, false), (RECORDS - 1) * APART_US);
}

/* One of many rounds is enough: a log that waited for nobody would wait in each. */
static bool is_quick(int expected)
{
    for (int round = 0; round < 50; round++) {
        if (write_records(expected, true) < RECORDS * APART_US / 2)
            return true;
    }
    return false;
}

Test(audit_gather, a_record_waits_for_nobody_when_nothing_is_expected, .init = open_log,
     .fini = close_log)
{
    cr_assert(is_quick(0));
}

Test(audit_gather, the_last_that_is_taken_back_ends_the_wait, .init = open_log, .fini = close_log)
{
    cr_assert(is_quick(3));
}

/* What hangs keeps records from the disk for a moment only. */
Test(audit_gather, a_request_that_never_ends_holds_nobody, .init = open_log, .fini = close_log)
{
    audit_expect(audit, 1);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(audit_wait(audit, fixture_append(audit), NULL), MIKEYD_OK);
    cr_assert_eq(audit_reopen(audit, NULL), MIKEYD_OK);
}
