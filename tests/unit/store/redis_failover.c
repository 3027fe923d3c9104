/* Primary and replicas: what a server that takes over has to have, and who says which it is. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/fixture.h"
#include "store/redis_internal.h"

#define PATIENCE_MS 60000
#define SENTINELS 3

static struct redis_server other;
static const char *both_servers[2], *sentinel_addresses[SENTINELS];
static char sentinel_text[SENTINELS][32];
static pid_t sentinels[SENTINELS];

static void start_pair(void)
{
    char port[8];
    store_fixture_start();
    redis_server_start(&redis, store_path, "redis", true, NULL);
    (void)snprintf(port, sizeof port, "%u", redis.port);
    redis_server_start(&other, store_path, "other", true,
                       (const char *const[]){"--replicaof", "127.0.0.1", port, NULL});
    redis_server_wait_for(&other, "master_link_status:up");
    both_servers[0] = redis.address;
    both_servers[1] = other.address;
    redis_options.servers = both_servers;
    redis_options.server_count = 2;
    redis_options.replicas = 1;
    redis_options.timeout_ms = 2000;
}

static void stop_pair(void)
{
    for (int i = 0; i < SENTINELS; i++) {
        if (sentinels[i] > 0)
            (void)kill(sentinels[i], SIGKILL);
    }
    redis_server_kill(&other);
    store_fixture_stop();
}

TestSuite(redis_failover, .init = start_pair, .fini = stop_pair, .timeout = 180);

static void kick(struct replay_store *store)
{
    redis_watch_kick((struct redis_store *)store);
    (void)usleep(20000);
}

static void wait_until_taken(struct replay_store *store, uint64_t number)
{
    struct error err = {.text = ""};
    for (int waited = 0; waited < PATIENCE_MS; waited += 20, number += 1000) {
        if (insert_number(store, number, 60, &err) == MIKEYD_OK)
            return;
        kick(store);
    }
    cr_assert_fail("%s", err.text);
}

static void wait_until_said(struct replay_store *store, const char *why)
{
    struct error err = {.text = ""};
    for (int waited = 0; waited < PATIENCE_MS; waited += 20) {
        if (store_check(store, &err) != MIKEYD_OK && strstr(err.text, why) != NULL)
            return;
        kick(store);
    }
    cr_assert_fail("\"%s\" and not \"%s\"", err.text, why);
}

Test(redis_failover, nothing_is_taken_that_the_replica_does_not_have)
{
    struct replay_store *store = open_store();
    struct error err = {.text = ""};
    cr_assert_eq(insert_number(store, 1, 60, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(kill(other.pid, SIGSTOP), 0);
    store_set_deadline(clock_monotonic_ms() + 300);
    cr_expect_eq(insert_number(store, 2, 60, &err), MIKEYD_STORE_DOWN);
    store_set_deadline(0);
    wait_until_said(store, "0 of 1 replicas have the entry");
    cr_assert_eq(kill(other.pid, SIGCONT), 0);
    wait_until_taken(store, 3);
    cr_expect_eq(closed_until(store), 0);
    cr_expect_eq(insert_number(store, 2, 60, NULL), MIKEYD_REPLAY, "written, and refused for good");
    store_close(store);
}

Test(redis_failover, a_replica_that_takes_over_has_the_counts_of_uses)
{
    struct replay_store *store = open_store();
    struct store_use use = {.most = 2};
    memset(use.digest, 7, sizeof use.digest);
    cr_assert_eq(store_insert(store, NULL, NULL, 0, 0, &use, NULL), MIKEYD_OK);
    cr_assert_eq(store_insert(store, NULL, NULL, 0, 0, &use, NULL), MIKEYD_OK);
    store_close(store); /* what it knew is gone with it */
    redis_server_kill(&redis);
    (void)redis_server_say(&other, "REPLICAOF NO ONE");
    redis_server_restart(&redis, (const char *const[]){"--replicaof", "127.0.0.1",
                                                       strrchr(other.address, ':') + 1, NULL});
    store = open_store();
    wait_until_taken(store, 2);
    cr_expect_eq(store_insert(store, NULL, NULL, 0, 0, &use, NULL), MIKEYD_POLICY);
    store_close(store);
}

Test(redis_failover, a_use_that_the_replica_does_not_have_is_none)
{
    struct replay_store *store = open_store();
    struct store_use use = {.most = 9};
    memset(use.digest, 7, sizeof use.digest);
    cr_assert_eq(store_insert(store, NULL, NULL, 0, 0, &use, NULL), MIKEYD_OK);
    cr_assert_eq(kill(other.pid, SIGSTOP), 0);
    store_set_deadline(clock_monotonic_ms() + 300);
    cr_expect_eq(store_insert(store, NULL, NULL, 0, 0, &use, NULL), MIKEYD_STORE_DOWN);
    store_set_deadline(0);
    cr_assert_eq(kill(other.pid, SIGCONT), 0);
    store_close(store);
}

Test(redis_failover, a_replica_that_has_all_takes_over_without_a_pause)
{
    struct replay_store *store = open_store();
    uint64_t before = 0, after = 0;
    cr_assert_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    cr_assert_eq(store_unique_timestamp(store, NULL, &before, NULL), MIKEYD_OK);
    redis_server_kill(&redis);
    (void)redis_server_say(&other, "REPLICAOF NO ONE");
    redis_server_restart(&redis, (const char *const[]){"--replicaof", "127.0.0.1",
                                                       strrchr(other.address, ':') + 1, NULL});
    wait_until_taken(store, 2);
    cr_expect_eq(closed_until(store), 0);
    cr_expect_eq(insert_number(store, 1, 60, NULL), MIKEYD_REPLAY);
    cr_assert_eq(store_unique_timestamp(store, NULL, &after, NULL), MIKEYD_OK);
    cr_expect(store_stamp_is_after(after, before));
    store_close(store);
}

/* It was cut off while the other had the entry alone: as if WAIT had been answered by a third. */
Test(redis_failover, a_replica_that_lacks_what_was_acknowledged_closes_the_store)
{
    redis_options.replicas = 0;
    redis_options.server_count = 1;
    struct replay_store *store = open_store();
    cr_assert_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    cr_assert_eq(redis_server_count(&redis, "WAIT 1 30000"), 1);
    (void)redis_server_say(&other, "REPLICAOF NO ONE");
    cr_assert_eq(insert_number(store, 2, 60, NULL), MIKEYD_OK);
    char mark[STORE_MARK];
    store_get_mark(store, mark);
    store_close(store);
    redis_server_kill(&redis);
    both_servers[0] = other.address;
    /* Others go on in it, so that its number is beyond. */
    struct replay_store *stranger = open_store();
    cr_expect_eq(insert_number(stranger, 3, 60, NULL), MIKEYD_OK);
    store = open_store_with(WINDOW, mark);
    cr_expect_gt(closed_until(store), clock_unix_now());
    cr_expect_eq(insert_number(store, 2, 60, NULL), MIKEYD_STORE_DOWN);
    wait_until_said(stranger, "it does not have what was acknowledged");
    store_close(stranger);
    store_close(store);
}

Test(redis_failover, two_primaries_are_refused_by_name)
{
    struct replay_store *store = open_store();
    (void)redis_server_say(&other, "REPLICAOF NO ONE");
    wait_until_said(store, "two primaries");
    struct error err = {.text = ""};
    cr_expect_eq(insert_number(store, 1, 60, &err), MIKEYD_STORE_DOWN);
    cr_expect(strstr(err.text, redis.address) != NULL && strstr(err.text, other.address) != NULL,
              "%s", err.text);
    (void)redis_server_say(&other, "REPLICAOF 127.0.0.1 %u", redis.port);
    wait_until_taken(store, 2);
    cr_expect_eq(closed_until(store), 0);
    store_close(store);
}

/* ---- Sentinel */

static void start_sentinel(int i)
{
    char path[128], name[16];
    for (int attempt = 0; attempt < 10; attempt++) {
        const unsigned port = redis_free_port();
        (void)snprintf(name, sizeof name, "sentinel%d", i);
        (void)snprintf(path, sizeof path, "%s/%s.conf", store_path, name);
        (void)snprintf(sentinel_text[i], sizeof sentinel_text[i], "127.0.0.1:%u", port);
        FILE *file = fopen(path, "w");
        cr_assert(file != NULL &&
                  fprintf(file,
                          "port %u\nbind 127.0.0.1\nunixsocket %s/%s.sock\ndir %s\n"
                          "sentinel monitor fleet 127.0.0.1 %u 2\n"
                          "sentinel down-after-milliseconds fleet 500\n"
                          "sentinel failover-timeout fleet 3000\n",
                          port, store_path, name, store_path, redis.port) > 0 &&
                  fclose(file) == 0);
        sentinels[i] = redis_program_start(store_path, name,
                                           (const char *const[]){"redis-sentinel", path, NULL});
        struct redis_server as = {.pid = sentinels[i]};
        (void)snprintf(as.name, sizeof as.name, "%s", name);
        (void)snprintf(as.socket, sizeof as.socket, "%s/%s.sock", store_path, name);
        if (redis_server_is_up(&as))
            break;
        cr_assert_neq(attempt, 9, "no sentinel");
    }
    sentinel_addresses[i] = sentinel_text[i];
}

static void start_sentinels(void)
{
    for (int i = 0; i < SENTINELS; i++)
        start_sentinel(i);
    redis_options.sentinel_service = "fleet";
    redis_options.sentinels = sentinel_addresses;
    redis_options.sentinel_count = SENTINELS;
}

/* Each knows the replica and the two others: before that a failover would not be agreed on. */
static void wait_for_sentinels(void)
{
    for (int i = 0; i < SENTINELS; i++) {
        struct redis_server as = {.pid = sentinels[i]};
        (void)snprintf(as.socket, sizeof as.socket, "%s/sentinel%d.sock", store_path, i);
        (void)snprintf(as.name, sizeof as.name, "sentinel%d", i);
        bool known = false;
        for (int waited = 0; !known && waited < PATIENCE_MS; waited += 50) {
            known = strstr(redis_server_say(&as, "INFO sentinel"), "slaves=1,sentinels=3") != NULL;
            (void)usleep(50000);
        }
        cr_assert(known, "sentinel %d does not know the others", i);
    }
}

Test(redis_failover, sentinel_names_the_one_that_takes_over)
{
    start_sentinels();
    wait_for_sentinels();
    struct replay_store *store = open_store();
    cr_assert_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    redis_server_kill(&redis);
    redis_server_wait_for(&other, "role:master");
    redis_server_restart(&redis, (const char *const[]){"--replicaof", "127.0.0.1",
                                                       strrchr(other.address, ':') + 1, NULL});
    wait_until_taken(store, 2);
    cr_expect_eq(closed_until(store), 0);
    cr_expect_eq(insert_number(store, 1, 60, NULL), MIKEYD_REPLAY);
    store_close(store);
}

Test(redis_failover, a_server_that_nobody_listed_is_refused_though_sentinel_names_it)
{
    start_sentinels();
    struct replay_store *store = NULL;
    struct error err = {.text = ""};
    both_servers[0] = "127.0.0.1:1";
    both_servers[1] = "127.0.0.1:2";
    cr_expect_eq(redis_store_open(&redis_options, WINDOW, NULL, &store, &err), MIKEYD_STORE_DOWN);
    cr_expect_not_null(strstr(err.text, "none of replay.redis.servers"), "%s", err.text);
}
