/* Timestamps of a fleet: Redis gives each daemon a lane (store_stamp.h) for one second at a time. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "store/redis_internal.h"

static uint64_t stamp_of_ms(int64_t unix_ms)
{
    return clock_ntp_of_unix(unix_ms / 1000, (uint32_t)(unix_ms % 1000) * 1000000);
}

static enum mikeyd_status stamp_take(struct redis_stamp *stamp, const struct redis_answer *answer,
                                     int64_t from_ms, int64_t until_ms, struct error *err)
{
    if (answer->word == WORD_LATER)
        return error_set(
            err, MIKEYD_STORE_DOWN,
            "replay track was lost: no timestamp before those that may have been given "
            "out have passed");
    if (answer->word != WORD_OK || answer->extra->type != REDIS_REPLY_STRING)
        return error_set(
            err, MIKEYD_STORE_DOWN,
            "replay store: Redis has no timestamps left: all %u lanes lie ahead of this "
            "host's clock",
            STORE_LANES);
    const unsigned lane = (unsigned)strtoul(answer->extra->str, NULL, 10);
    /* In a lane that was another's, or was left by us, begin where it is certain to have ended. */
    if (!stamp->known || lane != stamp->lane)
        stamp->last = stamp_of_ms(from_ms);
    stamp->known = true;
    stamp->lane = lane;
    stamp->mark_ms = until_ms;
    stamp->reserved = stamp_of_ms(until_ms);
    return MIKEYD_OK;
}

/* The second from now on, in our lane when that ends before it, else in one that does. */
static enum mikeyd_status stamp_reserve(struct redis_store *store, struct error *err)
{
    struct redis_stamp *stamp = &store->stamp;
    const int64_t from_ms = clock_unix_ms(), until_ms = from_ms + STORE_STAMP_AHEAD_MS;
    const bool ours = stamp->known && until_ms > stamp->mark_ms;
    char from[24], until[24], lanes[16], lane[16], mark[24];
    struct redis_answer answer;
    struct redis_call call = {.operation = "stamp", .waits = true};
    (void)snprintf(from, sizeof from, "%" PRId64, from_ms);
    (void)snprintf(until, sizeof until, "%" PRId64, until_ms);
    (void)snprintf(lanes, sizeof lanes, "%u", STORE_LANES);
    (void)snprintf(lane, sizeof lane, "%u", stamp->lane);
    (void)snprintf(mark, sizeof mark, "%" PRId64, stamp->mark_ms);
    redis_call_text(&call, from);
    redis_call_text(&call, until);
    redis_call_text(&call, lanes);
    redis_call_text(&call, ours ? lane : "");
    redis_call_text(&call, mark);
    enum mikeyd_status status = redis_call_run(store, &call, &answer, err);
    if (status == MIKEYD_OK)
        status = stamp_take(stamp, &answer, from_ms, until_ms, err);
    redis_answer_free(&answer);
    if (status != MIKEYD_OK)
        stamp->known = false; /* whether it is ours is not known */
    return status;
}

static enum mikeyd_status stamp_next(struct redis_store *store, const uint64_t *after,
                                     uint64_t *out, struct error *err)
{
    struct redis_stamp *stamp = &store->stamp;
    enum mikeyd_status status = store_stamp_check_after(clock_ntp_now(), after, err);
    /* Twice: what was reserved may be used up by the time that it is ours. */
    for (int i = 0; i < 2 && status == MIKEYD_OK; i++) {
        const uint64_t now = clock_ntp_now();
        /* Set back: the second that is ours lies ahead of the clock by more than that. */
        const bool behind =
            stamp->known && store_stamp_is_after(stamp->reserved, now + STORE_STAMP_AHEAD);
        const uint64_t next =
            store_stamp_next(stamp->known ? &stamp->last : NULL, stamp->lane, now, after);
        if (stamp->known && !behind && !store_stamp_is_after(next, stamp->reserved)) {
            stamp->last = *out = next;
            return MIKEYD_OK;
        }
        status = stamp_reserve(store, err);
    }
    return status != MIKEYD_OK
               ? status
               : error_set(err, MIKEYD_STORE_DOWN, "replay store: no timestamp in time");
}

enum mikeyd_status redis_unique_timestamp(struct replay_store *base, const uint64_t *after,
                                          uint64_t *out, struct error *err)
{
    struct redis_store *store = redis_of(base);
    const int64_t deadline_ms = redis_deadline(store);
    const struct timespec deadline = {.tv_sec = deadline_ms / 1000,
                                      .tv_nsec = deadline_ms % 1000 * 1000000};
    *out = 0;
    /* Who holds it may wait for Redis as long as his own request may. */
    if (pthread_mutex_clocklock(&store->stamp.lock, CLOCK_MONOTONIC, &deadline) != 0)
        return error_set(err, MIKEYD_STORE_DOWN, "replay store: no timestamp in time");
    enum mikeyd_status status = stamp_next(store, after, out, err);
    (void)pthread_mutex_unlock(&store->stamp.lock);
    return status;
}
