/* What is refused by its time when its entry is gone: after reloads, restarts, losses and steps of
 * the clock. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/fixture.h"
#include "store/store_clock.h"

TestSuite(store_reach, .init = store_fixture_start, .fini = store_fixture_stop);

/* Accepted under a skew of half the window, kept for the window, then discarded. */
static struct store_time accept_and_forget(struct replay_store *store)
{
    const struct store_time time = time_from_now(STORE_SERIES_MESSAGES, WINDOW / 2 - 1);
    cr_assert_eq(insert_of(store, &time, WINDOW, NULL), MIKEYD_OK);
    time_passes(WINDOW + STORE_GRACE_S + 1);
    make_store_discard(store);
    return time;
}

static void expect_forgotten(struct replay_store *store, const struct store_time *time,
                             enum mikeyd_status status)
{
    struct error err = {0};
    cr_expect_eq(lookup_of(store, time, &err), status, "%s", err.text);
    cr_expect_not_null(strstr(err.text, "replay entries are gone"), "%s", err.text);
    cr_expect_eq(insert_of(store, time, 10, NULL), status);
}

ON_BOTH(store_reach, a_message_whose_entry_is_gone_is_refused_whatever_the_skew)
{
    struct replay_store *store = open_store();
    const struct store_time time = accept_and_forget(store);
    expect_forgotten(store, &time, MIKEYD_CLOCK_SKEW);
    store_close(store);
    /* Narrow, then wide: what the store was opened with in between is no matter. */
    store = open_store_with(10, NULL);
    store_close(store);
    store = open_store_with(7202, NULL);
    cr_expect_eq(closed_until(store), 0);
    expect_forgotten(store, &time, MIKEYD_CLOCK_SKEW);
    const struct store_time later = time_from_now(STORE_SERIES_MESSAGES, 0);
    cr_expect_eq(insert_of(store, &later, 10, NULL), MIKEYD_OK);
    store_close(store);
}

ON_BOTH(store_reach, kill_9_forgets_nothing_of_it)
{
    struct replay_store *store = open_store();
    const struct store_time time = accept_and_forget(store);
    store_close(store);
    leave_as_if_killed();
    store = open_store_with(7202, NULL);
    cr_expect_eq(closed_until(store), 0);
    expect_forgotten(store, &time, MIKEYD_CLOCK_SKEW);
    store_close(store);
}

Test(store_reach, a_clock_set_back_brings_back_neither_message_nor_ticket)
{
    struct replay_store *store = open_store();
    const struct store_time ticket = time_from_now(STORE_SERIES_TICKETS, 0);
    cr_assert_eq(insert_of(store, &ticket, WINDOW, NULL), MIKEYD_OK);
    const struct store_time time = accept_and_forget(store);
    wall_offset_ms -= WINDOW * 1000;
    expect_forgotten(store, &time, MIKEYD_CLOCK_SKEW);
    expect_forgotten(store, &ticket, MIKEYD_TICKET_EXPIRED);
    store_close(store);
    store = open_store();
    expect_forgotten(store, &time, MIKEYD_CLOCK_SKEW);
    expect_forgotten(store, &ticket, MIKEYD_TICKET_EXPIRED);
    store_close(store);
}

Test(store_reach, a_clock_that_was_far_ahead_blocks_nothing_once_it_is_right)
{
    struct replay_store *store = open_store();
    (void)accept_and_forget(store);
    wall_offset_ms += 86400LL * 1000;
    for (uint64_t i = 0; i < 100; i++) /* the step is seen ... */
        cr_assert_eq(insert_number(store, 500000 + i, 10000, NULL), MIKEYD_OK);
    time_passes(WINDOW); /* ... and believed */
    const struct store_time ahead = time_from_now(STORE_SERIES_MESSAGES, 0);
    cr_assert_eq(insert_of(store, &ahead, 10, NULL), MIKEYD_OK);
    time_passes(WINDOW + STORE_GRACE_S + 1);
    make_store_discard(store);
    wall_offset_ms -= 86400LL * 1000;
    const struct store_time now = time_from_now(STORE_SERIES_MESSAGES, 0);
    struct error err = {0};
    cr_expect_eq(insert_of(store, &now, 10, &err), MIKEYD_OK, "%s", err.text);
    expect_forgotten(store, &ahead, MIKEYD_CLOCK_SKEW);
    store_close(store);
}

Test(store_reach, after_a_crash_an_early_clock_opens_nothing)
{
    struct replay_store *store = open_store();
    for (int i = 0; i < 20; i++) {
        const struct store_time one = time_from_now(STORE_SERIES_MESSAGES, 0);
        cr_assert_eq(insert_of(store, &one, WINDOW, NULL), MIKEYD_OK);
        time_passes(20);
    }
    const struct store_time time = time_from_now(STORE_SERIES_MESSAGES, WINDOW / 2 - 1);
    cr_assert_eq(insert_of(store, &time, WINDOW, NULL), MIKEYD_OK);
    store_close(store);
    leave_as_if_killed();
    pretend_another_boot();
    const int64_t crashed = clock_unix_now();
    wall_offset_ms -= 320 * 1000;
    store = open_store();
    cr_expect_geq(closed_until(store), crashed + WINDOW, "%lld s after the crash",
                  (long long)(closed_until(store) - crashed));
    time_passes(WINDOW + 1);
    cr_expect_eq(lookup_of(store, &time, NULL), MIKEYD_STORE_DOWN, "the window from the start");
    time_passes(320 - WINDOW);
    cr_expect_eq(lookup_of(store, &time, NULL), MIKEYD_STORE_DOWN, "the mark");
    time_passes(2 * WINDOW + 60);
    expect_forgotten(store, &time, MIKEYD_CLOCK_SKEW);
    const struct store_time now = time_from_now(STORE_SERIES_MESSAGES, 0);
    cr_expect_eq(insert_of(store, &now, 10, NULL), MIKEYD_OK);
    store_close(store);
}

/* Wider skew then than now: the window of today would end too early. */
Test(store_reach, after_a_crash_a_message_of_a_wider_skew_stays_refused)
{
    struct replay_store *store = open_store_with(7202, NULL);
    const struct store_time time = time_from_now(STORE_SERIES_MESSAGES, 3599);
    cr_assert_eq(insert_of(store, &time, 7202, NULL), MIKEYD_OK);
    store_close(store);
    leave_as_if_killed();
    pretend_another_boot();
    store = open_store();
    time_passes(3600);
    const struct store_time beyond = time_from_now(STORE_SERIES_MESSAGES, 3600);
    (void)lookup_of(store, &beyond, NULL); /* opens, as soon as it may */
    cr_expect_neq(lookup_of(store, &time, NULL), MIKEYD_OK);
    time_passes(2 * WINDOW);
    expect_forgotten(store, &time, MIKEYD_CLOCK_SKEW);
    store_close(store);
}

Test(store_reach, a_restart_while_closed_keeps_refusing_by_time)
{
    struct replay_store *store = open_store();
    const struct store_time time = time_from_now(STORE_SERIES_MESSAGES, 0);
    cr_assert_eq(insert_of(store, &time, WINDOW, NULL), MIKEYD_OK);
    store_close(store);
    leave_as_if_killed();
    pretend_another_boot();
    store = open_store();
    store_close(store);
    store = open_store();
    time_passes(WINDOW + WINDOW / 2 + 62);
    expect_forgotten(store, &time, MIKEYD_CLOCK_SKEW);
    store_close(store);
}

static ino_t state_file(void)
{
    char path[128];
    struct stat info;
    (void)snprintf(path, sizeof path, "%s/state", store_path);
    cr_assert_eq(stat(path, &info), 0);
    return info.st_ino;
}

/* Each writing makes the file anew; the one before is there until then, so the number differs. */
Test(store_reach, the_state_is_written_before_a_time_is_accepted_and_once_in_half_a_minute)
{
    struct replay_store *store = open_store();
    const ino_t at_start = state_file();
    unsigned written = 0;
    ino_t last = at_start;
    for (int second = 0; second < 90; second++) {
        for (int i = 0; i < 20; i++) {
            const struct store_time time =
                time_from_now(STORE_SERIES_MESSAGES, i % 2 == 0 ? -i : i);
            struct store_time unique = time;
            unique.t += (uint64_t)i;
            cr_assert_eq(insert_of(store, &unique, WINDOW, NULL), MIKEYD_OK);
            written += state_file() != last;
            last = state_file();
        }
        if (second == 0)
            cr_expect_geq(written, 1, "the first time was accepted without");
        time_passes(1);
    }
    cr_expect_leq(written, 6, "%u times", written);
    store_close(store);
}

Test(store_reach, a_time_that_cannot_be_written_down_is_not_accepted)
{
    char path[128];
    struct replay_store *store = open_store();
    (void)snprintf(path, sizeof path, "%s/state.new", store_path);
    cr_assert_eq(mkdir(path, 0700), 0); /* stands in the file's way, for root too */
    const struct store_time time = time_from_now(STORE_SERIES_MESSAGES, 0);
    cr_expect_eq(insert_of(store, &time, WINDOW, NULL), MIKEYD_STORE_DOWN);
    cr_assert_eq(rmdir(path), 0);
    cr_expect_eq(insert_of(store, &time, WINDOW, NULL), MIKEYD_OK);
    store_close(store);
}
