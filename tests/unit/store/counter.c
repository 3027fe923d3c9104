/* COUNTER timestamps: only upwards, for good. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/fixture.h"

TestSuite(store_counter, .init = store_fixture_start, .fini = store_fixture_stop);

static enum mikeyd_status advance(struct replay_store *store, uint64_t sender, uint64_t value)
{
    uint8_t digest[STORE_DIGEST];
    digest_of(sender, digest);
    return store_advance_counter(store, digest, value, NULL);
}

ON_BOTH(store_counter, only_greater_values_are_taken)
{
    struct replay_store *store = open_store();
    cr_expect_eq(advance(store, 1, 0), MIKEYD_OK, "the first value may be any");
    cr_expect_eq(advance(store, 1, 0), MIKEYD_REPLAY);
    cr_expect_eq(advance(store, 1, 7), MIKEYD_OK);
    cr_expect_eq(advance(store, 1, 7), MIKEYD_REPLAY);
    cr_expect_eq(advance(store, 1, 6), MIKEYD_REPLAY);
    cr_expect_eq(advance(store, 1, 8), MIKEYD_OK);
    store_close(store);
}

ON_BOTH(store_counter, never_wraps)
{
    struct replay_store *store = open_store();
    cr_expect_eq(advance(store, 1, UINT32_MAX), MIKEYD_OK);
    cr_expect_eq(advance(store, 1, 0), MIKEYD_REPLAY);
    cr_expect_eq(advance(store, 1, 1), MIKEYD_REPLAY);
    store_close(store);
}

ON_BOTH(store_counter, senders_count_by_themselves)
{
    struct replay_store *store = open_store();
    cr_expect_eq(advance(store, 1, 100), MIKEYD_OK);
    cr_expect_eq(advance(store, 2, 5), MIKEYD_OK);
    cr_expect_eq(advance(store, 2, 4), MIKEYD_REPLAY);
    cr_expect_eq(advance(store, 1, 101), MIKEYD_OK);
    store_close(store);
}

ON_BOTH(store_counter, outlives_every_window_and_restart)
{
    struct replay_store *store = open_store();
    cr_assert_eq(advance(store, 1, 100), MIKEYD_OK);
    time_passes(1000 * WINDOW);
    for (uint64_t i = 0; i < 200; i++)
        cr_assert_eq(insert_number(store, i, 10, NULL), MIKEYD_OK);
    cr_expect_eq(advance(store, 1, 100), MIKEYD_REPLAY);
    store_close(store);
    store = open_store();
    cr_expect_eq(advance(store, 1, 100), MIKEYD_REPLAY);
    cr_expect_eq(advance(store, 1, 101), MIKEYD_OK);
    store_close(store);
}

ON_BOTH(store_counter, survives_kill_9)
{
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        struct replay_store *store = open_store();
        (void)advance(store, 1, 41);
        (void)advance(store, 1, 42);
        (void)kill(getpid(), SIGKILL);
    }
    int how = 0;
    cr_assert_eq(waitpid(child, &how, 0), child);
    cr_assert(WIFSIGNALED(how));
    struct replay_store *store = open_store();
    cr_expect_eq(advance(store, 1, 42), MIKEYD_REPLAY);
    cr_expect_eq(advance(store, 1, 43), MIKEYD_OK);
    store_close(store);
}

static void remove_mark(void)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/counters-lost", store_path);
    cr_assert_eq(unlink(path), 0);
}

Test(store_counter, lost_track_refuses_counters_until_the_operator_says_otherwise)
{
    struct replay_store *store = open_store();
    struct error err = {0};
    uint8_t digest[STORE_DIGEST];
    cr_assert_eq(advance(store, 1, 100), MIKEYD_OK);
    store_close(store);
    edit_store_file("state", "clean", "open\n");
    pretend_another_boot();
    store = open_store();
    cr_expect_eq(advance(store, 1, 200), MIKEYD_STORE_DOWN, "closed");
    time_passes(WINDOW + 1);
    cr_expect_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK, "open for all else");
    digest_of(1, digest);
    cr_expect_eq(store_advance_counter(store, digest, 200, &err), MIKEYD_STORE_DOWN);
    cr_expect_not_null(strstr(err.text, "counters-lost"), "%s", err.text);
    cr_expect_eq(advance(store, 2, 1), MIKEYD_STORE_DOWN, "nobody knows who was known");
    store_close(store);
    time_passes(100 * WINDOW);
    store = open_store();
    cr_expect_eq(advance(store, 1, 300), MIKEYD_STORE_DOWN, "a restart forgot it");
    store_close(store);
    remove_mark();
    store = open_store();
    cr_expect_eq(advance(store, 1, 100), MIKEYD_OK);
    cr_expect_eq(advance(store, 1, 100), MIKEYD_REPLAY);
    store_close(store);
}

/* Who knows what was taken while the track was lost? The mark is gone, the time has not passed. */
Test(store_counter, a_closed_store_takes_no_counter_whatever_the_operator_says)
{
    struct replay_store *store = open_store();
    cr_assert_eq(advance(store, 1, 100), MIKEYD_OK);
    store_close(store);
    edit_store_file("state", "clean", "open\n");
    pretend_another_boot();
    store = open_store();
    store_close(store);
    remove_mark();
    store = open_store();
    cr_assert_neq(closed_until(store), 0);
    cr_expect_eq(advance(store, 1, 200), MIKEYD_STORE_DOWN);
    time_passes(WINDOW + 1);
    cr_expect_eq(advance(store, 1, 200), MIKEYD_OK);
    store_close(store);
}

#define RACERS 8
#define STEPS 100

static struct replay_store *shared;

static void *race(void *argument)
{
    uintptr_t taken = 0;
    (void)argument;
    for (uint64_t value = 1; value <= STEPS; value++)
        taken += advance(shared, 1, value) == MIKEYD_OK;
    return (void *)taken;
}

ON_BOTH(store_counter, each_value_is_taken_once_by_many_threads)
{
    pthread_t threads[RACERS];
    uintptr_t taken = 0;
    shared = open_store();
    for (int i = 0; i < RACERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, race, NULL), 0);
    for (int i = 0; i < RACERS; i++) {
        void *mine = NULL;
        cr_assert_eq(pthread_join(threads[i], &mine), 0);
        taken += (uintptr_t)mine;
    }
    cr_expect_leq(taken, STEPS);
    cr_expect_eq(advance(shared, 1, STEPS), MIKEYD_REPLAY);
    store_close(shared);
}
