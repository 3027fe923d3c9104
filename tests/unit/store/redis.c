/* What a Redis can do to its entries, and what several daemons do to one another. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/fixture.h"
#include "store/redis_internal.h"

TestSuite(store_redis, .init = redis_fixture_start, .fini = store_fixture_stop, .timeout = 90);

#define PATIENCE_MS 30000

static void kick(struct replay_store *store)
{
    redis_watch_kick((struct redis_store *)store);
    (void)usleep(10000);
}

/* Until the store says so, and why; asserts. */
static void wait_until_down(struct replay_store *store, const char *why)
{
    struct error err = {.text = ""};
    for (int waited = 0; waited < PATIENCE_MS; waited += 10) {
        if (store_check(store, &err) != MIKEYD_OK && strstr(err.text, why) != NULL)
            return;
        kick(store);
    }
    cr_assert_fail("\"%s\" and not \"%s\"", err.text, why);
}

static void wait_until_up(struct replay_store *store)
{
    struct error err = {.text = ""};
    for (int waited = 0; waited < PATIENCE_MS; waited += 10) {
        if (store_check(store, &err) == MIKEYD_OK)
            return;
        kick(store);
    }
    cr_assert_fail("%s", err.text);
}

/* Closed, and nothing is taken; after the window all is, but for what may have been. */
static void expect_lost(struct replay_store *store, const char *why)
{
    struct error err = {.text = ""};
    wait_until_down(store, "replay track was lost");
    (void)store_check(store, &err);
    cr_expect_not_null(strstr(err.text, why), "%s", err.text);
    cr_expect_eq(insert_number(store, 77, 60, NULL), MIKEYD_STORE_DOWN);
    cr_expect_gt(closed_until(store), clock_unix_now() + WINDOW - 5);
    time_passes(WINDOW - 5);
    cr_expect_eq(insert_number(store, 77, 60, NULL), MIKEYD_STORE_DOWN);
    time_passes(2 * WINDOW);
    wait_until_up(store);
    cr_expect_eq(insert_number(store, 77, 60, &err), MIKEYD_OK, "%s", err.text);
}

/* ---- a database that is not what it was */

Test(store_redis, emptied_under_the_daemon_is_closed_for_the_window)
{
    struct replay_store *store = open_store();
    const struct store_time time = time_from_now(STORE_SERIES_MESSAGES, 0);
    uint8_t digest[STORE_DIGEST];
    struct error err = {.text = ""};
    char identity[REDIS_IDENTITY];
    (void)snprintf(identity, sizeof identity, "%s", store_identity(store));
    cr_assert_eq(insert_of(store, &time, 60, NULL), MIKEYD_OK);
    (void)redis_server_say(&redis, "FLUSHALL");
    expect_lost(store, "the database is empty");
    cr_expect_eq(insert_of(store, &time, 60, NULL), MIKEYD_CLOCK_SKEW, "what was reached");
    digest_of(1, digest);
    cr_expect_eq(store_advance_counter(store, digest, 200, &err), MIKEYD_STORE_DOWN);
    cr_expect_not_null(strstr(err.text, "mikeyd:counters-lost"), "%s", err.text);
    (void)redis_server_say(&redis, "DEL mikeyd:counters-lost");
    cr_expect_eq(store_advance_counter(store, digest, 200, &err), MIKEYD_OK, "%s", err.text);
    store_close(store);
    store = open_store();
    cr_expect_str_eq(store_identity(store), identity);
    store_close(store);
}

/* The daemon that saw the last use brings the count back; no count begins at 0 again. */
Test(store_redis, emptied_under_the_daemon_keeps_the_counts_of_uses)
{
    struct replay_store *store = open_store();
    struct store_use use = {.most = 3};
    struct error err = {.text = ""};
    digest_of(7, use.digest);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(store_insert(store, NULL, NULL, 0, 0, &use, NULL), MIKEYD_OK);
    (void)redis_server_say(&redis, "FLUSHALL");
    expect_lost(store, "the database is empty");
    cr_expect_eq(store_insert(store, NULL, NULL, 0, 0, &use, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(store_insert(store, NULL, NULL, 0, 0, &use, NULL), MIKEYD_POLICY);
    store_close(store);
}

Test(store_redis, a_count_of_uses_that_is_taken_away_closes_the_store)
{
    struct replay_store *store = open_store();
    struct store_use use = {.most = 3};
    digest_of(7, use.digest);
    cr_assert_eq(store_insert(store, NULL, NULL, 0, 0, &use, NULL), MIKEYD_OK);
    (void)redis_server_say(&redis, "DEL mikeyd:uses");
    cr_expect_eq(store_insert(store, NULL, NULL, 0, 0, &use, NULL), MIKEYD_STORE_DOWN);
    expect_lost(store, "entries");
    store_close(store);
}

Test(store_redis, restarted_without_persistence_is_closed_for_the_window)
{
    struct replay_store *store = open_store();
    cr_assert_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    redis_server_kill(&redis);
    redis_server_restart(&redis, NULL);
    expect_lost(store, "the database is empty");
    store_close(store);
}

Test(store_redis, restarted_with_all_its_entries_goes_on)
{
    struct replay_store *store = open_store();
    cr_assert_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    store_close(store);
    (void)redis_server_say(&redis, "SAVE");
    redis_server_kill(&redis);
    redis_server_restart(&redis, NULL);
    store = open_store();
    cr_expect_eq(closed_until(store), 0);
    cr_expect_eq(meet_number(store, 1), MIKEYD_REPLAY);
    store_close(store);
}

/* Others write on in the copy, so that its number is beyond what was acknowledged. */
Test(store_redis, an_older_copy_is_found_also_when_others_wrote_to_it_since)
{
    struct replay_store *store = open_store();
    (void)redis_server_say(&redis, "SAVE");
    cr_assert_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    char mark[STORE_MARK];
    store_get_mark(store, mark);
    store_close(store);
    redis_server_kill(&redis);
    redis_server_restart(&redis, NULL);
    struct replay_store *other = open_store();
    cr_expect_eq(insert_number(other, 2, 60, NULL), MIKEYD_OK);
    cr_expect_eq(closed_until(other), 0);
    store = open_store_with(WINDOW, mark);
    cr_expect_gt(closed_until(store), clock_unix_now());
    wait_until_down(other, "an older copy");
    store_close(other);
    store_close(store);
}

Test(store_redis, the_audit_logs_mark_proves_the_store_or_closes_it)
{
    struct replay_store *store = open_store();
    char mark[STORE_MARK];
    cr_assert_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    store_get_mark(store, mark);
    store_close(store);
    store = open_store_with(WINDOW, mark);
    cr_expect_eq(closed_until(store), 0);
    store_close(store);
    store = open_store_with(WINDOW, "");
    cr_expect_eq(closed_until(store), 0, "a new host of the fleet");
    store_close(store);
    (void)redis_server_say(&redis, "FLUSHALL");
    store = open_store_with(WINDOW, mark);
    expect_lost(store, "the database is empty");
    store_close(store);
    struct error err = {.text = ""};
    const struct store_witness damaged = {.mark = "nonsense"};
    cr_expect_eq(redis_store_open(&redis_options, WINDOW, &damaged, &store, &err),
                 MIKEYD_STORE_DOWN);
    cr_expect_not_null(strstr(err.text, "damaged"), "%s", err.text);
}

/* What eviction would do, or a hand. */
Test(store_redis, an_entry_that_is_taken_away_closes_the_store)
{
    struct replay_store *store = open_store();
    uint8_t digest[STORE_DIGEST];
    cr_assert_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    digest_of(1, digest);
    (void)redis_server_count(&redis, "HDEL mikeyd:entries %b", digest, sizeof digest);
    cr_expect_eq(insert_number(store, 1, 60, NULL), MIKEYD_STORE_DOWN);
    expect_lost(store, "entries are missing");
    store_close(store);
}

Test(store_redis, a_server_that_may_evict_is_refused)
{
    struct replay_store *store = open_store(), *second = NULL;
    struct error err = {.text = ""};
    (void)redis_server_say(&redis, "CONFIG SET maxmemory-policy allkeys-lru");
    wait_until_down(store, "maxmemory-policy noeviction");
    cr_expect_eq(insert_number(store, 1, 60, &err), MIKEYD_STORE_DOWN);
    cr_expect_not_null(strstr(err.text, "noeviction"), "%s", err.text);
    cr_expect_eq(redis_store_open(&redis_options, WINDOW, NULL, &second, &err), MIKEYD_STORE_DOWN);
    (void)redis_server_say(&redis, "CONFIG SET maxmemory-policy noeviction");
    wait_until_up(store);
    cr_expect_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    store_close(store);
}

Test(store_redis, a_full_server_refuses_and_recovers)
{
    struct replay_store *store = open_store();
    struct error err = {.text = ""};
    (void)redis_server_say(&redis, "CONFIG SET maxmemory 1");
    cr_expect_eq(insert_number(store, 1, 60, &err), MIKEYD_STORE_DOWN);
    cr_expect_not_null(strstr(err.text, "OOM"), "%s", err.text);
    (void)redis_server_say(&redis, "CONFIG SET maxmemory 0");
    wait_until_up(store);
    cr_expect_eq(closed_until(store), 0, "nothing was lost");
    cr_expect_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    store_close(store);
}

Test(store_redis, a_clock_that_differs_is_refused)
{
    redis_options.clock_difference_ms = 0;
    struct replay_store *store = open_store();
    struct error err = {.text = ""};
    wall_offset_ms = 60000;
    cr_expect_eq(insert_number(store, 1, 60, &err), MIKEYD_STORE_DOWN);
    cr_expect_not_null(strstr(err.text, "the clock of Redis stands"), "%s", err.text);
    wall_offset_ms = -60000;
    cr_expect_eq(insert_number(store, 2, 60, &err), MIKEYD_STORE_DOWN);
    wall_offset_ms = 0;
    wait_until_up(store);
    cr_expect_eq(insert_number(store, 3, 60, NULL), MIKEYD_OK);
    store_close(store);
}

Test(store_redis, scripts_that_redis_forgot_are_loaded_again)
{
    struct replay_store *store = open_store();
    (void)redis_server_say(&redis, "SCRIPT FLUSH");
    cr_expect_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    (void)redis_server_say(&redis, "SCRIPT FLUSH");
    cr_expect_eq(insert_number(store, 1, 60, NULL), MIKEYD_REPLAY);
    store_close(store);
}

/* ---- a server that does not answer */

Test(store_redis, a_hung_server_costs_no_more_than_the_deadline)
{
    struct replay_store *store = open_store();
    cr_assert_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    cr_assert_eq(kill(redis.pid, SIGSTOP), 0);
    const int64_t begun_ms = clock_monotonic_ms();
    store_set_deadline(begun_ms + 200);
    cr_expect_eq(insert_number(store, 2, 60, NULL), MIKEYD_STORE_DOWN);
    /* Of the store's own time-out, 5 s, it is far. */
    cr_expect_lt(clock_monotonic_ms() - begun_ms, 4000);
    store_set_deadline(0);
    wait_until_down(store, "no answer in time");
    cr_expect_eq(insert_number(store, 3, 60, NULL), MIKEYD_STORE_DOWN);
    cr_assert_eq(kill(redis.pid, SIGCONT), 0);
    wait_until_up(store);
    cr_expect_eq(closed_until(store), 0, "nothing was lost");
    cr_expect_eq(insert_number(store, 4, 60, NULL), MIKEYD_OK);
    store_close(store);
}

Test(store_redis, without_a_server_it_does_not_open)
{
    struct replay_store *store = NULL;
    struct error err = {.text = ""};
    redis_server_kill(&redis);
    cr_expect_eq(redis_store_open(&redis_options, WINDOW, NULL, &store, &err), MIKEYD_STORE_DOWN);
    cr_expect_null(store);
    cr_expect_not_null(strstr(err.text, redis.address), "%s", err.text);
}

Test(store_redis, the_password_comes_from_a_file)
{
    struct replay_store *store = NULL;
    struct error err = {.text = ""};
    char path[128];
    (void)snprintf(path, sizeof path, "%s/password", store_path);
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL && fputs("correct horse\n", file) >= 0 && fclose(file) == 0 &&
              chmod(path, 0600) == 0);
    (void)redis_server_say(&redis, "ACL SETUSER mikeyd on >%s ~mikeyd:* +@all -@dangerous +info",
                           "correct horse");
    (void)redis_server_say(&redis, "ACL SETUSER default off");
    cr_expect_eq(redis_store_open(&redis_options, WINDOW, NULL, &store, &err), MIKEYD_STORE_DOWN);
    cr_expect_not_null(strstr(err.text, "NOAUTH"), "%s", err.text);
    redis_options.user = "mikeyd";
    redis_options.password_file = path;
    store = open_store();
    cr_expect_eq(insert_number(store, 1, 60, &err), MIKEYD_OK, "%s", err.text);
    store_close(store);
    cr_assert_eq(chmod(path, 0644), 0);
    cr_expect_eq(redis_store_open(&redis_options, WINDOW, NULL, &store, &err),
                 MIKEYD_INVALID_ARGUMENT);
    cr_expect_not_null(strstr(err.text, "password file"), "%s", err.text);
}

/* ---- several daemons */

#define RACE 300

static void *contend(void *store)
{
    uintptr_t taken = 0;
    for (uint64_t i = 0; i < RACE; i++)
        taken += insert_number(store, i, 60, NULL) == MIKEYD_OK;
    return (void *)taken;
}

Test(store_redis, of_two_daemons_one_wins_each_entry)
{
    struct replay_store *stores[2] = {open_store(), open_store()};
    pthread_t threads[2];
    uintptr_t taken = 0;
    cr_expect_str_eq(store_identity(stores[0]), store_identity(stores[1]));
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, contend, stores[i]), 0);
    for (int i = 0; i < 2; i++) {
        void *mine = NULL;
        cr_assert_eq(pthread_join(threads[i], &mine), 0);
        taken += (uintptr_t)mine;
    }
    cr_expect_eq(taken, RACE);
    store_close(stores[0]);
    store_close(stores[1]);
}

Test(store_redis, timestamps_of_several_daemons_are_of_different_lanes)
{
    struct replay_store *stores[3] = {open_store(), open_store(), open_store()};
    uint64_t lane[3], next = 0;
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(store_unique_timestamp(stores[i], NULL, &lane[i], NULL), MIKEYD_OK);
        lane[i] %= STORE_LANES;
    }
    cr_expect(lane[0] != lane[1] && lane[1] != lane[2] && lane[0] != lane[2]);
    /* A second later each goes on in its own, although all of them are free by then. */
    time_passes(5);
    for (int i = 2; i >= 0; i--) {
        cr_assert_eq(store_unique_timestamp(stores[i], NULL, &next, NULL), MIKEYD_OK);
        cr_expect_eq(next % STORE_LANES, lane[i]);
    }
    for (int i = 0; i < 3; i++)
        store_close(stores[i]);
}

Test(store_redis, after_a_loss_no_timestamp_before_the_old_ones_have_passed)
{
    redis_options.clock_difference_ms = 600000;
    struct replay_store *store = open_store();
    uint64_t before = 0, t = 0;
    struct error err = {.text = ""};
    cr_assert_eq(store_unique_timestamp(store, NULL, &before, NULL), MIKEYD_OK);
    (void)redis_server_say(&redis, "FLUSHALL");
    wait_until_down(store, "replay track was lost");
    time_passes(5);
    cr_expect_eq(store_unique_timestamp(store, NULL, &t, &err), MIKEYD_STORE_DOWN);
    cr_expect_not_null(strstr(err.text, "no timestamp before"), "%s", err.text);
    store_close(store);
}

Test(store_redis, what_one_daemon_finds_lost_is_closed_for_all)
{
    struct replay_store *first = open_store(), *second = open_store();
    const struct store_time time = time_from_now(STORE_SERIES_TICKETS, 0);
    cr_assert_eq(insert_of(first, &time, 60, NULL), MIKEYD_OK);
    (void)redis_server_say(&redis, "FLUSHALL");
    wait_until_down(second, "replay track was lost");
    wait_until_down(first, "replay track was lost");
    /* What the first one reached comes to all, though the second closed the store. */
    time_passes(3 * WINDOW);
    wait_until_up(first);
    wait_until_up(second);
    cr_expect_eq(insert_of(second, &time, 60, NULL), MIKEYD_TICKET_EXPIRED);
    store_close(first);
    store_close(second);
}

/* Whether its watch has looked since or not: what it knew is not what it may go by. */
Test(store_redis, a_daemon_that_has_not_heard_of_a_loss_takes_nothing)
{
    struct replay_store *first = open_store(), *second = open_store();
    (void)redis_server_say(&redis, "FLUSHALL");
    wait_until_down(first, "replay track was lost");
    cr_expect_eq(insert_number(second, 1, 60, NULL), MIKEYD_STORE_DOWN);
    store_close(first);
    store_close(second);
}

Test(store_redis, an_entry_that_another_daemon_discarded_is_refused_by_its_time)
{
    struct replay_store *first = open_store(), *second = open_store();
    const struct store_time time = time_from_now(STORE_SERIES_MESSAGES, WINDOW / 2 - 1);
    cr_assert_eq(insert_of(first, &time, WINDOW, NULL), MIKEYD_OK);
    time_passes(WINDOW + STORE_GRACE_S + 1);
    make_store_discard(first);
    cr_expect_eq(insert_of(second, &time, 10, NULL), MIKEYD_CLOCK_SKEW);
    store_close(first);
    store_close(second);
}

/* As between two daemons that were told of the same entries: the second finds none of them. */
Test(store_redis, entries_that_another_daemon_discarded_first_do_no_harm)
{
    struct replay_store *store = open_store();
    struct error err = {.text = ""};
    time_passes(WINDOW + 1);
    (void)redis_server_count(&redis, "ZADD mikeyd:expiry 1 %s", "sixteen-bytes-16");
    for (int waited = 0;
         waited < PATIENCE_MS && redis_server_count(&redis, "ZCARD mikeyd:expiry") != 0;
         waited += 10) {
        cr_assert_eq(store_check(store, &err), MIKEYD_OK, "%s", err.text);
        kick(store);
    }
    cr_expect_eq(redis_server_count(&redis, "ZCARD mikeyd:expiry"), 0);
    cr_expect_eq(insert_number(store, 1, 60, &err), MIKEYD_OK, "%s", err.text);
    store_close(store);
}

Test(store_redis, a_store_of_another_fleet_is_refused)
{
    struct replay_store *store = open_store();
    (void)redis_server_count(&redis, "HSET mikeyd:meta identity %s version 99999999999999999",
                             "00112233445566778899aabbccddeeff");
    wait_until_down(store, "another fleet's");
    store_close(store);
}
