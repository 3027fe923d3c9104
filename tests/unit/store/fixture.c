#include "store/fixture.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/redis_internal.h"
#include "store/store_clock.h"

char store_path[64];
int64_t wall_offset_ms;
int64_t boottime_offset_ms;
uint64_t log_sequence;

int64_t __real_clock_unix_ms(void);
int64_t __real_store_clock_boottime_ms(void);
int64_t __wrap_clock_unix_ms(void);
int64_t __wrap_clock_unix_now(void);
uint64_t __wrap_clock_ntp_now(void);
int64_t __wrap_store_clock_boottime_ms(void);

int64_t __wrap_clock_unix_ms(void)
{
    return __real_clock_unix_ms() + wall_offset_ms;
}

int64_t __wrap_clock_unix_now(void)
{
    return __wrap_clock_unix_ms() / 1000;
}

uint64_t __wrap_clock_ntp_now(void)
{
    int64_t now = __wrap_clock_unix_ms();
    return clock_ntp_of_unix(now / 1000, (uint32_t)(now % 1000) * 1000000);
}

int64_t __wrap_store_clock_boottime_ms(void)
{
    return __real_store_clock_boottime_ms() + boottime_offset_ms;
}

void time_passes(int64_t seconds)
{
    wall_offset_ms += seconds * 1000;
    boottime_offset_ms += seconds * 1000;
}

void store_fixture_start(void)
{
    (void)snprintf(store_path, sizeof store_path, "/tmp/mikeyd-store-XXXXXX");
    cr_assert_not_null(mkdtemp(store_path));
}

struct redis_server redis;
static const char *redis_servers[1];
/* Tests move the clock of the daemon, not that of Redis. */
struct redis_options redis_options = {.servers = redis_servers,
                                      .server_count = 1,
                                      .timeout_ms = 5000,
                                      .clock_difference_ms = INT64_MAX / 4};

static bool on_redis(void)
{
    return redis.folder[0] != '\0';
}

void redis_fixture_start(void)
{
    store_fixture_start();
    redis_server_start(&redis, store_path, "redis", false, NULL);
    redis_servers[0] = redis.address;
}

void store_fixture_stop(void)
{
    redis_server_kill(&redis);
    DIR *directory = opendir(store_path);
    struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL)
        (void)unlinkat(dirfd(directory), entry->d_name, 0);
    if (directory != NULL)
        (void)closedir(directory);
    (void)rmdir(store_path);
}

struct replay_store *open_store(void)
{
    return open_store_with(WINDOW, NULL);
}

struct replay_store *open_store_with(unsigned window_s, const char *witness)
{
    struct replay_store *store = NULL;
    struct error err = {0};
    struct store_witness seen = {.log_sequence = log_sequence};
    if (witness != NULL)
        (void)snprintf(seen.mark, sizeof seen.mark, "%s", witness);
    if (on_redis()) {
        cr_assert_eq(redis_store_open(&redis_options, window_s, witness == NULL ? NULL : &seen,
                                      &store, &err),
                     MIKEYD_OK, "%s", err.text);
        return store;
    }
    cr_assert_eq(
        lmdb_store_open(store_path, window_s, witness == NULL ? NULL : &seen, &store, &err),
        MIKEYD_OK, "%s", err.text);
    return store;
}

void digest_of(uint64_t number, uint8_t out[STORE_DIGEST])
{
    const void *data[] = {&number};
    const size_t len[] = {sizeof number};
    store_digest(STORE_MESSAGE, data, len, 1, out);
}

enum mikeyd_status insert_number(struct replay_store *store, uint64_t number, int64_t life_s,
                                 struct error *err)
{
    uint8_t digests[1][STORE_DIGEST];
    digest_of(number, digests[0]);
    return store_insert(store, NULL, (const uint8_t(*)[STORE_DIGEST])digests, 1,
                        clock_unix_now() + life_s, NULL, err);
}

struct store_time time_from_now(enum store_series series, int64_t seconds)
{
    return (struct store_time){series, clock_ntp_now() + ((uint64_t)seconds << 32)};
}

enum mikeyd_status insert_of(struct replay_store *store, const struct store_time *time,
                             int64_t life_s, struct error *err)
{
    uint8_t digests[1][STORE_DIGEST];
    digest_of(time->t, digests[0]);
    return store_insert(store, time, (const uint8_t(*)[STORE_DIGEST])digests, 1,
                        clock_unix_now() + life_s, NULL, err);
}

enum mikeyd_status lookup_of(struct replay_store *store, const struct store_time *time,
                             struct error *err)
{
    uint8_t digest[STORE_DIGEST];
    digest_of(time->t, digest);
    return store_lookup(store, time, digest, err);
}

void make_store_discard(struct replay_store *store)
{
    static uint64_t filler = 1000000;
    struct store_stats before, after;
    store_get_stats(store, &before);
    /* Redis: its watch does it, once a second. */
    for (int waited = 0; on_redis() && waited < 30000; waited += 10) {
        redis_watch_kick((struct redis_store *)store);
        (void)usleep(10000);
        store_get_stats(store, &after);
        if (after.expired > before.expired)
            return;
    }
    for (int i = 0; i < 200; i++)
        cr_assert_eq(insert_number(store, filler++, 10000, NULL), MIKEYD_OK);
    store_get_stats(store, &after);
    cr_assert_gt(after.expired, before.expired, "nothing was discarded");
}

enum mikeyd_status lookup_number(struct replay_store *store, uint64_t number, struct error *err)
{
    uint8_t digest[STORE_DIGEST];
    digest_of(number, digest);
    return store_lookup(store, NULL, digest, err);
}

enum mikeyd_status meet_number(struct replay_store *store, uint64_t number)
{
    return !on_redis() ? lookup_number(store, number, NULL)
                       : insert_number(store, number, 60, NULL);
}

int64_t closed_until(struct replay_store *store)
{
    struct store_stats stats;
    store_get_stats(store, &stats);
    return stats.closed_until;
}

void edit_store_file(const char *name, const char *old, const char *new)
{
    char path[128];
    static char text[65536];
    (void)snprintf(path, sizeof path, "%s/%s", store_path, name);
    FILE *file = fopen(path, "r+");
    cr_assert_not_null(file);
    size_t len = fread(text, 1, sizeof text, file);
    char *at = memmem(text, len, old, strlen(old));
    cr_assert_not_null(at, "%s has no \"%s\"", name, old);
    cr_assert_eq(fseek(file, at - text, SEEK_SET), 0);
    cr_assert_eq(fwrite(new, 1, strlen(new), file), strlen(new));
    (void)fclose(file);
}

void leave_as_if_killed(void)
{
    if (!on_redis())
        edit_store_file("state", "clean", "open\n");
}

void pretend_another_boot(void)
{
    edit_store_file("state", "boot ", "boot Z");
}
