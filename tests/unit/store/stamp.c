/* Timestamps that no earlier call returned (RFC 3830 5.2). */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/fixture.h"
#include "store/lmdb_internal.h"

TestSuite(store_stamp, .init = store_fixture_start, .fini = store_fixture_stop);

static uint64_t stamp(struct replay_store *store)
{
    uint64_t out = 0;
    struct error err = {0};
    cr_assert_eq(store_unique_timestamp(store, NULL, &out, &err), MIKEYD_OK, "%s", err.text);
    return out;
}

static bool is_after(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) > 0;
}

ON_BOTH(store_stamp, is_the_time_of_day)
{
    struct replay_store *store = open_store();
    int64_t difference = clock_ntp_difference_ms(stamp(store), clock_ntp_now());
    cr_expect(difference > -1000 && difference < 1000, "%lld", (long long)difference);
    store_close(store);
}

ON_BOTH(store_stamp, never_repeats_within_a_tick_of_the_clock)
{
    struct replay_store *store = open_store();
    uint64_t last = stamp(store);
    for (int i = 0; i < 100000; i++) {
        uint64_t next = stamp(store);
        cr_assert(is_after(next, last));
        last = next;
    }
    store_close(store);
}

static void expect_at_the_clock(uint64_t t)
{
    int64_t ahead_ms = clock_ntp_difference_ms(t, clock_ntp_now());
    cr_expect(ahead_ms >= -1000 && ahead_ms <= 1000, "%lld ms", (long long)ahead_ms);
}

ON_BOTH(store_stamp, a_clock_set_back_is_followed_and_nothing_repeats)
{
    struct replay_store *store = open_store();
    uint64_t before[100];
    for (int i = 0; i < 100; i++)
        before[i] = stamp(store);
    for (int step = 0; step < 3; step++) {
        wall_offset_ms -= 3600 * 1000;
        uint64_t t = stamp(store);
        expect_at_the_clock(t);
        for (int i = 0; i < 100; i++)
            cr_assert_neq(t & 0xfff, before[i] & 0xfff, "the same lane");
        cr_expect_eq(stamp(store) & 0xfff, t & 0xfff);
        wall_offset_ms += 3600 * 1000;
        (void)stamp(store);
    }
    store_close(store);
}

ON_BOTH(store_stamp, a_clock_that_was_wrong_once_blocks_nothing)
{
    struct replay_store *store = open_store();
    wall_offset_ms += 365LL * 86400 * 1000;
    (void)stamp(store);
    wall_offset_ms -= 365LL * 86400 * 1000;
    expect_at_the_clock(stamp(store));
    store_close(store);
    store = open_store();
    expect_at_the_clock(stamp(store));
    store_close(store);
}

ON_BOTH(store_stamp, an_update_is_later_than_what_it_updates)
{
    struct replay_store *store = open_store();
    uint64_t first = stamp(store), second = 0;
    cr_assert_eq(store_unique_timestamp(store, &first, &second, NULL), MIKEYD_OK);
    cr_expect(is_after(second, first));
    uint64_t ahead = clock_ntp_now() + (1ULL << 31), third = 0;
    cr_assert_eq(store_unique_timestamp(store, &ahead, &third, NULL), MIKEYD_OK);
    cr_expect(is_after(third, ahead));
    cr_expect(is_after(stamp(store), third), "the lane goes on from there");
    store_close(store);
}

ON_BOTH(store_stamp, an_update_of_a_bundle_ahead_of_the_clock_is_refused)
{
    struct replay_store *store = open_store();
    const uint64_t last = stamp(store);
    wall_offset_ms -= 10000;
    uint64_t out = 7;
    struct error err = {0};
    cr_expect_eq(store_unique_timestamp(store, &last, &out, &err), MIKEYD_CLOCK_SKEW);
    cr_expect_eq(out, 0);
    cr_expect_not_null(strstr(err.text, "start a new bundle"), "%s", err.text);
    expect_at_the_clock(stamp(store));
    store_close(store);
}

Test(store_stamp, without_a_lane_left_the_clock_has_to_catch_up)
{
    struct replay_store *store = open_store();
    (void)stamp(store);
    lmdb_of(store)->stamp.lane = STORE_LANES - 1;
    (void)stamp(store);
    wall_offset_ms -= 10000;
    uint64_t out = 7;
    struct error err = {0};
    cr_expect_eq(store_unique_timestamp(store, NULL, &out, &err), MIKEYD_CLOCK_SKEW);
    cr_expect_eq(out, 0);
    cr_expect_neq(err.text[0], '\0');
    wall_offset_ms += 10000;
    (void)stamp(store);
    store_close(store);
}

Test(store_stamp, a_lost_store_gives_out_no_timestamp_again)
{
    struct replay_store *store = open_store();
    const uint64_t before = stamp(store);
    store_close(store);
    leave_as_if_killed();
    pretend_another_boot();
    wall_offset_ms -= 2000;
    store = open_store();
    cr_assert_neq(closed_until(store), 0);
    cr_expect_neq(stamp(store) & 0xfff, before & 0xfff, "the same lane");
    store_close(store);
}

ON_BOTH(store_stamp, never_repeats_after_kill_9)
{
    int results[2];
    cr_assert_eq(pipe(results), 0);
    pid_t child = fork();
    if (child == 0) {
        struct replay_store *store = open_store();
        uint64_t last = 0;
        for (int i = 0; i < 1000; i++)
            last = stamp(store);
        (void)!write(results[1], &last, sizeof last);
        (void)kill(getpid(), SIGKILL);
    }
    uint64_t last;
    cr_assert_eq(read(results[0], &last, sizeof last), sizeof last);
    (void)waitpid(child, NULL, 0);
    struct replay_store *store = open_store();
    uint64_t next = stamp(store);
    cr_expect(is_after(next, last));
    cr_expect_leq(clock_ntp_difference_ms(next, last), 2000, "further ahead than it need be");
    store_close(store);
}

ON_BOTH(store_stamp, goes_on_across_the_era_of_2036)
{
    wall_offset_ms = (2085978496LL - 1) * 1000 - clock_unix_ms(); /* a second before the wrap */
    struct replay_store *store = open_store();
    uint64_t before = stamp(store);
    cr_expect_geq(before >> 32, 0xfffffff0u);
    time_passes(3);
    uint64_t after = stamp(store);
    cr_expect_lt(after >> 32, 16);
    cr_expect(is_after(after, before));
    store_close(store);
    store = open_store();
    cr_expect(is_after(stamp(store), after));
    store_close(store);
}

#define EACH 5000

struct worker {
    pthread_t thread;
    struct replay_store *store;
    uint64_t stamps[EACH];
};

static void *take(void *arg)
{
    struct worker *worker = arg;
    for (int i = 0; i < EACH; i++)
        worker->stamps[i] = stamp(worker->store);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

ON_BOTH(store_stamp, never_repeats_between_threads)
{
    static struct worker workers[4];
    static uint64_t all[4 * EACH];
    struct replay_store *store = open_store();
    for (int i = 0; i < 4; i++) {
        workers[i].store = store;
        cr_assert_eq(pthread_create(&workers[i].thread, NULL, take, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        memcpy(all + (size_t)i * EACH, workers[i].stamps, sizeof workers[i].stamps);
    }
    qsort(all, 4 * EACH, sizeof *all, compare);
    for (int i = 1; i < 4 * EACH; i++)
        cr_assert_neq(all[i], all[i - 1]);
    store_close(store);
}

Test(store_stamp, works_while_the_store_is_closed)
{
    struct replay_store *store = open_store();
    (void)stamp(store);
    store_close(store);
    edit_store_file("state", "clean", "clear");
    store = open_store();
    cr_assert_neq(closed_until(store), 0);
    (void)stamp(store);
    store_close(store);
}
