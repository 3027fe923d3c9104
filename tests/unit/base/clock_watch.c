/* Steps of the wall clock. */
#include <criterion/criterion.h>

#include "base/clock_watch.h"

#define PATIENCE 300000

static struct clock_watch watch;
static int64_t wall, boot;

static void start(void)
{
    wall = 1000000000;
    boot = 5000;
    clock_watch_start(&watch, wall, boot);
}

TestSuite(clock_watch, .init = start);

/* A second later, the wall clock having been moved. */
static int64_t look(int64_t moved_ms)
{
    boot += 1000;
    wall += 1000 + moved_ms;
    return clock_watch_look(&watch, wall, boot, PATIENCE);
}

Test(clock_watch, slewing_is_no_step)
{
    for (int i = 0; i < 10000; i++)
        cr_assert_eq(look(i % 2 == 0 ? 500 : 10), 0);
    cr_expect_eq(watch.off_ms, 0);
}

Test(clock_watch, a_step_is_doubtful_until_the_clock_has_run_on)
{
    cr_expect_eq(look(7200000), 7200000);
    cr_expect_eq(watch.off_ms, 7200000);
    for (int i = 1; i < PATIENCE / 1000; i++)
        cr_assert_eq(look(0), 0);
    cr_expect_eq(watch.off_ms, 7200000);
    (void)look(0);
    cr_expect_eq(watch.off_ms, 0, "never believed again");
}

Test(clock_watch, a_step_that_is_taken_back_is_forgiven)
{
    (void)look(-7200000);
    (void)look(0);
    cr_expect_eq(look(7200400), 7200400);
    cr_expect_eq(watch.off_ms, 0);
}

Test(clock_watch, steps_add_up)
{
    for (int i = 0; i < 5; i++)
        (void)look(20000);
    cr_expect_eq(watch.off_ms, 100000);
}
