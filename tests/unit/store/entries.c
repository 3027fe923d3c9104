#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/fixture.h"
#include "store/lmdb_internal.h"

TestSuite(store_entries, .init = store_fixture_start, .fini = store_fixture_stop);

ON_BOTH(store_entries, what_was_inserted_is_a_replay)
{
    struct replay_store *store = open_store();
    cr_expect_eq(lookup_number(store, 1, NULL), MIKEYD_OK);
    cr_expect_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    cr_expect_eq(lookup_number(store, 1, NULL), MIKEYD_REPLAY);
    cr_expect_eq(insert_number(store, 1, 60, NULL), MIKEYD_REPLAY);
    cr_expect_eq(lookup_number(store, 2, NULL), MIKEYD_OK);
    store_close(store);
}

ON_BOTH(store_entries, several_digests_go_in_all_or_none)
{
    struct replay_store *store = open_store();
    uint8_t digests[3][STORE_DIGEST];
    for (uint64_t i = 0; i < 3; i++)
        digest_of(i, digests[i]);
    cr_expect_eq(insert_number(store, 2, 60, NULL), MIKEYD_OK);
    cr_expect_eq(store_insert(store, NULL, (const uint8_t(*)[STORE_DIGEST])digests, 3,
                              clock_unix_now() + 60, NULL, NULL),
                 MIKEYD_REPLAY);
    cr_expect_eq(lookup_number(store, 0, NULL), MIKEYD_OK);
    cr_expect_eq(lookup_number(store, 1, NULL), MIKEYD_OK);
    cr_expect_eq(store_insert(store, NULL, (const uint8_t(*)[STORE_DIGEST])digests, 2,
                              clock_unix_now() + 60, NULL, NULL),
                 MIKEYD_OK);
    cr_expect_eq(meet_number(store, 0), MIKEYD_REPLAY);
    cr_expect_eq(meet_number(store, 1), MIKEYD_REPLAY);
    store_close(store);
}

ON_BOTH(store_entries, one_digest_twice_in_a_call_is_a_replay)
{
    struct replay_store *store = open_store();
    uint8_t digests[2][STORE_DIGEST];
    digest_of(1, digests[0]);
    digest_of(1, digests[1]);
    cr_expect_eq(store_insert(store, NULL, (const uint8_t(*)[STORE_DIGEST])digests, 2,
                              clock_unix_now() + 60, NULL, NULL),
                 MIKEYD_REPLAY);
    cr_expect_eq(lookup_number(store, 1, NULL), MIKEYD_OK);
    store_close(store);
}

ON_BOTH(store_entries, entries_outlive_a_restart)
{
    struct replay_store *store = open_store();
    cr_expect_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    store_close(store);
    store = open_store();
    cr_expect_eq(closed_until(store), 0);
    cr_expect_eq(meet_number(store, 1), MIKEYD_REPLAY);
    store_close(store);
}

/* The child acknowledges every insert through a pipe and is killed in the middle of them. */
static uint64_t insert_until_killed(unsigned after_us)
{
    int acknowledged[2];
    cr_assert_eq(pipe(acknowledged), 0);
    pid_t child = fork();
    if (child == 0) {
        struct replay_store *store = open_store();
        for (uint64_t i = 0;; i++) {
            if (insert_number(store, i, 60, NULL) == MIKEYD_OK &&
                write(acknowledged[1], &i, sizeof i) != sizeof i)
                _exit(1);
        }
    }
    (void)close(acknowledged[1]);
    uint64_t last = 0;
    /* The first acknowledgement, so that there is something to lose. */
    cr_assert_eq(read(acknowledged[0], &last, sizeof last), sizeof last);
    (void)usleep(after_us);
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    while (read(acknowledged[0], &last, sizeof last) == (ssize_t)sizeof last)
        ;
    (void)close(acknowledged[0]);
    return last;
}

ON_BOTH(store_entries, kill_9_loses_nothing_that_was_acknowledged)
{
    uint64_t total = 0;
    for (unsigned round = 0; round < 10; round++) {
        uint64_t last = insert_until_killed(500 + round * 977);
        total = last > total ? last : total;
        struct replay_store *store = open_store();
        cr_expect_eq(closed_until(store), 0, "the death of a process is no loss of track");
        for (uint64_t i = 0; i <= total; i++)
            cr_assert_eq(meet_number(store, i), MIKEYD_REPLAY, "%llu of %llu is gone",
                         (unsigned long long)i, (unsigned long long)total);
        store_close(store);
    }
    cr_expect_gt(total, 10);
}

Test(store_entries, entries_go_after_they_expired)
{
    struct replay_store *store = open_store();
    for (uint64_t i = 0; i < 100; i++)
        cr_assert_eq(insert_number(store, i, 50, NULL), MIKEYD_OK);
    cr_assert_eq(insert_number(store, 1000, 10000, NULL), MIKEYD_OK);
    time_passes(200);
    for (uint64_t i = 0; i < 100; i++)
        cr_assert_eq(insert_number(store, 2000 + i, 50, NULL), MIKEYD_OK);
    cr_expect_eq(lookup_number(store, 50, NULL), MIKEYD_OK);
    cr_expect_eq(lookup_number(store, 1000, NULL), MIKEYD_REPLAY);
    cr_expect_eq(lookup_number(store, 2000, NULL), MIKEYD_REPLAY);
    struct store_stats stats;
    store_get_stats(store, &stats);
    cr_expect_eq(stats.entries, 101);
    cr_expect_eq(stats.expired, 100);
    cr_expect_eq(stats.inserted, 201);
    store_close(store);
}

ON_BOTH(store_entries, entries_stay_until_they_expired)
{
    struct replay_store *store = open_store();
    cr_assert_eq(insert_number(store, 1, 150, NULL), MIKEYD_OK);
    time_passes(140);
    for (uint64_t i = 0; i < 200; i++)
        cr_assert_eq(insert_number(store, 2000 + i, 50, NULL), MIKEYD_OK);
    cr_expect_eq(lookup_number(store, 1, NULL), MIKEYD_REPLAY);
    store_close(store);
}

Test(store_entries, steady_load_does_not_grow_the_store, .timeout = 60)
{
    struct replay_store *store = open_store();
    for (uint64_t second = 0; second < 600; second++) {
        for (uint64_t i = 0; i < 50; i++)
            cr_assert_eq(insert_number(store, second * 50 + i, 60, NULL), MIKEYD_OK);
        time_passes(1);
    }
    struct store_stats stats;
    store_get_stats(store, &stats);
    /* A window's worth, the grace and a batch that waits for its turn. */
    cr_expect_lt(stats.entries, 50 * (WINDOW + 60));
    store_close(store);
}

Test(store_entries, fast_load_does_not_grow_the_store, .timeout = 60)
{
    struct replay_store *store = open_store();
    for (uint64_t second = 0; second < 300; second++) {
        for (uint64_t i = 0; i < 300; i++) {
            uint8_t digests[2][STORE_DIGEST];
            digest_of((second * 300 + i) * 2, digests[0]);
            digest_of((second * 300 + i) * 2 + 1, digests[1]);
            cr_assert_eq(store_insert(store, NULL, (const uint8_t(*)[STORE_DIGEST])digests, 2,
                                      clock_unix_now() + 10, NULL, NULL),
                         MIKEYD_OK);
        }
        time_passes(1);
    }
    struct store_stats stats;
    store_get_stats(store, &stats);
    cr_expect_lt(stats.entries, 2 * 300 * 40, "%lu entries", (unsigned long)stats.entries);
    store_close(store);
}

Test(store_entries, full_store_takes_entries_again_once_older_ones_expired, .timeout = 60)
{
    struct replay_store *store = open_store();
    uint64_t number = 0, stamp;
    uint8_t sender[STORE_DIGEST];
    lmdb_of(store)->env.map_max = 1 << 20; /* LMDB's first size */
    while (insert_number(store, number, 50, NULL) == MIKEYD_OK)
        number++;
    cr_assert_gt(number, 1000);
    cr_expect_eq(insert_number(store, number, 50, NULL), MIKEYD_STORE_DOWN);
    time_passes(200);
    digest_of(UINT64_MAX, sender);
    cr_expect_eq(store_advance_counter(store, sender, 1, NULL), MIKEYD_OK);
    cr_expect_eq(store_unique_timestamp(store, NULL, &stamp, NULL), MIKEYD_OK);
    for (uint64_t i = 0; i < number / 2; i++)
        cr_assert_eq(insert_number(store, number + i, 50, NULL), MIKEYD_OK, "after %lu",
                     (unsigned long)i);
    cr_expect_eq(lookup_number(store, number, NULL), MIKEYD_REPLAY);
    store_close(store);
}

Test(store_entries, full_store_with_nothing_expired_refuses_and_forgets_nothing, .timeout = 60)
{
    struct replay_store *store = open_store();
    uint64_t number = 0;
    lmdb_of(store)->env.map_max = 1 << 20;
    while (insert_number(store, number, 5000, NULL) == MIKEYD_OK)
        number++;
    time_passes(200);
    for (uint64_t i = 0; i < 100; i++)
        (void)insert_number(store, number + i, 5000, NULL);
    for (uint64_t i = 0; i < number; i++)
        cr_assert_eq(lookup_number(store, i, NULL), MIKEYD_REPLAY);
    store_close(store);
}

Test(store_entries, map_grows_under_many_entries, .timeout = 60)
{
    struct replay_store *store = open_store();
    for (uint64_t i = 0; i < 60000; i++)
        cr_assert_eq(insert_number(store, i, 60, NULL), MIKEYD_OK);
    char path[128];
    struct stat stat_of;
    (void)snprintf(path, sizeof path, "%s/data.mdb", store_path);
    cr_assert_eq(stat(path, &stat_of), 0);
    cr_expect_gt(stat_of.st_size, 2 << 20, "too small to have grown");
    for (uint64_t i = 0; i < 60000; i += 97)
        cr_assert_eq(lookup_number(store, i, NULL), MIKEYD_REPLAY);
    store_close(store);
}

struct worker {
    pthread_t thread;
    struct replay_store *store;
    int accepted, refused, other;
};

/* Every thread tries to insert the same numbers: one of them wins each. */
static void *contend(void *arg)
{
    struct worker *worker = arg;
    for (uint64_t i = 0; i < 10000; i++) {
        enum mikeyd_status status = insert_number(worker->store, i, 60, NULL);
        if (status == MIKEYD_OK)
            worker->accepted++;
        else if (status == MIKEYD_REPLAY)
            worker->refused++;
        else
            worker->other++;
        if (meet_number(worker->store, i) != MIKEYD_REPLAY)
            worker->other++;
    }
    return NULL;
}

ON_BOTH(store_entries, of_several_threads_one_wins_each_entry)
{
    struct worker workers[4] = {0};
    struct replay_store *store = open_store();
    int accepted = 0, other = 0;
    for (int i = 0; i < 4; i++) {
        workers[i].store = store;
        cr_assert_eq(pthread_create(&workers[i].thread, NULL, contend, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        accepted += workers[i].accepted;
        other += workers[i].other;
    }
    cr_expect_eq(accepted, 10000);
    cr_expect_eq(other, 0);
    store_close(store);
}

/* A file size limit is a full disk that needs no root: writes behind it fail. */
Test(store_entries, full_disk_refuses_and_recovers_without_a_restart, .timeout = 60)
{
    (void)signal(SIGXFSZ, SIG_IGN);
    struct replay_store *store = open_store();
    cr_assert_eq(insert_number(store, 0, 60, NULL), MIKEYD_OK);
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    struct rlimit small = {256 * 1024, limit.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    uint64_t i = 1;
    struct error err = {0};
    enum mikeyd_status status = MIKEYD_OK;
    while (status == MIKEYD_OK && i < 100000)
        status = insert_number(store, i++, 60, &err);
    cr_expect_eq(status, MIKEYD_STORE_DOWN);
    cr_expect_neq(err.text[0], '\0');
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_expect_eq(lookup_number(store, i - 1, NULL), MIKEYD_OK, "refused, yet in the store");
    cr_expect_eq(lookup_number(store, i - 2, NULL), MIKEYD_REPLAY);
    for (uint64_t k = i - 1; k < i + 1000; k++)
        cr_assert_eq(insert_number(store, k, 60, NULL), MIKEYD_OK);
    cr_expect_eq(store_sync(store, NULL), MIKEYD_OK);
    for (uint64_t k = 0; k < i + 1000; k++)
        cr_assert_eq(lookup_number(store, k, NULL), MIKEYD_REPLAY);
    store_close(store);
}

ON_BOTH(store_entries, sync_reports_success)
{
    struct replay_store *store = open_store();
    cr_expect_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    cr_expect_eq(store_sync(store, NULL), MIKEYD_OK);
    store_close(store);
}

Test(store_digest, domains_and_field_borders_make_different_digests)
{
    uint8_t a[STORE_DIGEST], b[STORE_DIGEST], c[STORE_DIGEST], d[STORE_DIGEST];
    const void *one[] = {"ab", "c"}, *two[] = {"a", "bc"}, *whole[] = {"abc"};
    const size_t one_len[] = {2, 1}, two_len[] = {1, 2}, whole_len[] = {3};
    store_digest(STORE_MESSAGE, one, one_len, 2, a);
    store_digest(STORE_MESSAGE, two, two_len, 2, b);
    store_digest(STORE_MESSAGE, whole, whole_len, 1, c);
    store_digest(STORE_TICKET, one, one_len, 2, d);
    cr_expect_neq(memcmp(a, b, STORE_DIGEST), 0);
    cr_expect_neq(memcmp(a, c, STORE_DIGEST), 0);
    cr_expect_neq(memcmp(a, d, STORE_DIGEST), 0);
    store_digest(STORE_MESSAGE, one, one_len, 2, b);
    cr_expect_eq(memcmp(a, b, STORE_DIGEST), 0);
}
