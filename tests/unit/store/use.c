/* Uses of a key that are counted: exactly, by all that share the store, and for good. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "store/fixture.h"

/* One use of key number 7, and nothing else. */
static enum mikeyd_status use_key(struct replay_store *store, uint64_t most, struct error *err)
{
    struct store_use use = {.most = most};
    digest_of(7, use.digest);
    return store_insert(store, NULL, NULL, 0, 0, &use, err);
}

static enum mikeyd_status use_with_entry(struct replay_store *store, uint64_t most, uint64_t number)
{
    struct store_use use = {.most = most};
    uint8_t digest[1][STORE_DIGEST];
    digest_of(7, use.digest);
    digest_of(number, digest[0]);
    return store_insert(store, NULL, (const uint8_t(*)[STORE_DIGEST])digest, 1,
                        clock_unix_now() + 60, &use, NULL);
}

ON_BOTH(store_use, is_counted_up_to_its_bound)
{
    struct replay_store *store = open_store();
    struct store_use other = {.most = 1};
    struct error err = {.text = ""};
    digest_of(8, other.digest);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(use_key(store, 3, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(use_key(store, 3, NULL), MIKEYD_POLICY);
    cr_expect_eq(store_insert(store, NULL, NULL, 0, 0, &other, NULL), MIKEYD_OK, "another key");
    cr_expect_eq(use_key(store, 4, NULL), MIKEYD_OK, "a policy with a higher bound");
    cr_expect_eq(use_key(store, 4, NULL), MIKEYD_POLICY);
    store_close(store);
}

ON_BOTH(store_use, and_entries_go_in_together_or_not_at_all)
{
    struct replay_store *store = open_store();
    cr_expect_eq(use_with_entry(store, 2, 1), MIKEYD_OK);
    cr_expect_eq(use_with_entry(store, 2, 1), MIKEYD_REPLAY, "counts nothing");
    cr_expect_eq(use_with_entry(store, 2, 2), MIKEYD_OK);
    cr_expect_eq(use_with_entry(store, 2, 3), MIKEYD_POLICY);
    cr_expect_eq(meet_number(store, 3), MIKEYD_OK, "what was refused left no entry");
    cr_expect_eq(meet_number(store, 1), MIKEYD_REPLAY);
    store_close(store);
}

ON_BOTH(store_use, is_not_forgotten_when_the_daemon_starts_again)
{
    struct replay_store *store = open_store();
    cr_assert_eq(use_key(store, 2, NULL), MIKEYD_OK);
    store_close(store);
    store = open_store();
    cr_assert_eq(use_key(store, 2, NULL), MIKEYD_OK);
    cr_expect_eq(use_key(store, 2, NULL), MIKEYD_POLICY);
    store_close(store);
    leave_as_if_killed();
    store = open_store();
    cr_expect_eq(use_key(store, 2, NULL), MIKEYD_POLICY);
    store_close(store);
}

/* What was set aside before the machine went counts as used: never more uses than the bound. */
Test(store_use, of_a_lost_database_are_not_given_again, .init = store_fixture_start,
     .fini = store_fixture_stop, .timeout = 60)
{
    struct replay_store *store = open_store();
    struct error err = {.text = ""};
    int made = 0;
    for (; made < 20; made++)
        cr_assert_eq(use_key(store, 50, NULL), MIKEYD_OK);
    store_close(store);
    leave_as_if_killed();
    pretend_another_boot();
    store = open_store();
    cr_assert_neq(closed_until(store), 0);
    cr_expect_eq(use_key(store, 50, NULL), MIKEYD_STORE_DOWN, "closed");
    time_passes(3 * WINDOW);
    for (; made <= 50 && use_key(store, 50, &err) == MIKEYD_OK; made++)
        ;
    cr_expect_leq(made, 50);
    cr_expect_geq(made, 50 - 16, "%d: no more is lost than was set aside", made);
    cr_expect_eq(use_key(store, 50, NULL), MIKEYD_POLICY);
    store_close(store);
}

/* Fail closed: a damaged file is no count of 0. */
Test(store_use, with_a_damaged_file_of_what_is_set_aside_do_not_begin_anew,
     .init = store_fixture_start, .fini = store_fixture_stop, .timeout = 60)
{
    struct replay_store *store = open_store();
    struct error err = {.text = ""};
    char name[128];
    cr_assert_eq(use_key(store, 50, NULL), MIKEYD_OK);
    store_close(store);
    (void)snprintf(name, sizeof name, "%s/uses.mdb", store_path);
    FILE *file = fopen(name, "r+");
    cr_assert_not_null(file);
    for (int i = 0; i < 3 * 4096; i++)
        (void)fputc('x', file);
    cr_assert_eq(fclose(file), 0);
    cr_expect_eq(lmdb_store_open(store_path, WINDOW, NULL, &store, &err), MIKEYD_STORE_DOWN);
    cr_expect_not_null(strstr(err.text, "uses.mdb"), "%s", err.text);
}

#define THREADS 4
#define ASKED 150
#define MOST 400

struct asker {
    struct replay_store *store;
    pthread_t thread;
};
static atomic_int granted, refused;

static void *ask(void *context)
{
    const struct asker *asker = context;
    for (int i = 0; i < ASKED; i++) {
        switch (use_key(asker->store, MOST, NULL)) {
        case MIKEYD_OK:
            atomic_fetch_add(&granted, 1);
            break;
        case MIKEYD_POLICY:
            atomic_fetch_add(&refused, 1);
            break;
        default:
            break;
        }
    }
    return NULL;
}

static void ask_at_once(struct replay_store *stores[], size_t count)
{
    struct asker askers[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        askers[i].store = stores[i % count];
        cr_assert_eq(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        (void)pthread_join(askers[i].thread, NULL);
    cr_expect_eq(granted, MOST);
    cr_expect_eq(refused, THREADS * ASKED - MOST);
}

ON_BOTH(store_use, threads_together_get_exactly_what_there_is)
{
    struct replay_store *store = open_store();
    ask_at_once(&store, 1);
    store_close(store);
}

TestSuite(redis_use, .init = redis_fixture_start, .fini = store_fixture_stop, .timeout = 90);

Test(redis_use, daemons_together_get_exactly_what_there_is)
{
    struct replay_store *stores[] = {open_store(), open_store()};
    ask_at_once(stores, 2);
    store_close(stores[0]);
    store_close(stores[1]);
}
