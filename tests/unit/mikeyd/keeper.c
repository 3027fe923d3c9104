/* When the monitor starts a keyholder anew. The clock is the test's. */
#include <criterion/criterion.h>

#include "mikeyd/keeper.h"

#define START_MS 10000
#define DIED_BY_KILL 9 /* as of waitpid() */

/* A keyholder that was ready and dies after so long: the pause until the next. */
static int64_t pause_after(struct keeper *keeper, int64_t *now_ms, int64_t lived_ms)
{
    keeper->serving.pid = 4711;
    keeper->serving.ready = keeper->serving.failure_told = true;
    keeper->serving.started_ms = *now_ms;
    keeper->restart_at_ms = 0;
    *now_ms += lived_ms;
    cr_assert(keeper_reap(keeper, 4711, DIED_BY_KILL, *now_ms));
    cr_assert_eq(keeper->serving.pid, 0);
    return keeper_next(keeper) - *now_ms;
}

/* Beside what a start takes, 2 s are to be enough for a module that is well again. */
Test(keeper, pauses_between_starts_double_and_stay_under_two_seconds)
{
    struct keeper keeper;
    int64_t now_ms = 1000, before = 0;
    keeper_make(&keeper, 0);
    keeper.start_ms = START_MS;
    keeper.channel = -1;
    for (int i = 0; i < 12; i++) {
        const int64_t pause = pause_after(&keeper, &now_ms, 10);
        cr_expect_gt(pause, 0);
        cr_expect_geq(pause, before);
        cr_expect_lt(pause, 2000);
        before = pause;
    }
    cr_expect_geq(before, 1000, "a module that dies at once is not started all the time");
    cr_expect_lt(pause_after(&keeper, &now_ms, 60000), 200, "one that lived is back at once");
}

Test(keeper, a_refused_pin_is_not_tried_before_somebody_asks)
{
    struct keeper keeper;
    int64_t now_ms = 1000;
    keeper_make(&keeper, 0);
    keeper.channel = -1;
    keeper.pin_refused = true;
    (void)pause_after(&keeper, &now_ms, 10);
    cr_expect_eq(keeper_next(&keeper), INT64_MAX);
    keeper_retry(&keeper, now_ms);
    cr_expect_eq(keeper_next(&keeper), now_ms);
}
