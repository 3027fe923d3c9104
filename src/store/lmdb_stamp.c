/*
 * The sender's timestamps (store_stamp.h). When the clock stands before what its lane has reached,
 * another lane begins at the clock's time, so that a clock that was wrong once, for a minute or for
 * a year, blocks nothing.
 */
#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/lmdb_internal.h"

#define STAMP_NAME "timestamp"

static int stamp_write(struct store_env *env, MDB_txn *txn, void *arg)
{
    const uint64_t *mark = arg;
    return store_env_put_number(env, txn, STAMP_NAME, *mark);
}

enum mikeyd_status store_stamp_open(struct lmdb_store *store, struct error *err)
{
    struct store_stamp *stamp = &store->stamp;
    MDB_txn *txn;
    int rc = store_env_read(&store->env, &txn);
    if (rc != 0)
        return store_fail(store, rc, err);
    rc = store_env_get_number(&store->env, txn, STAMP_NAME, &stamp->reserved);
    store_env_read_end(&store->env, txn);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return store_fail(store, rc, err);
    stamp->known = rc == 0;
    stamp->last = stamp->reserved;
    stamp->lane = store->state.lane;
    return MIKEYD_OK;
}

void store_stamp_close(struct lmdb_store *store)
{
    struct store_stamp *stamp = &store->stamp;
    /* When this fails the mark stays where it is: too far ahead, which is safe. */
    if (stamp->known && stamp->last != stamp->reserved)
        (void)store_write(store, stamp_write, &stamp->last);
}

/* On the disk before it is used: what is in the database alone would be lost with it. */
static enum mikeyd_status stamp_change_lane(struct lmdb_store *store, uint64_t now,
                                            struct error *err)
{
    struct store_stamp *stamp = &store->stamp;
    const int64_t behind_ms = clock_ntp_difference_ms(stamp->last, now);
    if (stamp->lane + 1 >= STORE_LANES)
        return error_set(err, MIKEYD_CLOCK_SKEW,
                         "the clock was set back %u times and stands %" PRId64
                         " ms before the last timestamp that was sent",
                         STORE_LANES, behind_ms);
    (void)pthread_mutex_lock(&store->state_lock);
    struct store_state next = store->state;
    next.lane = stamp->lane + 1;
    enum mikeyd_status status = store_change_state(store, &next, err);
    (void)pthread_mutex_unlock(&store->state_lock);
    if (status != MIKEYD_OK)
        return status;
    log_warning("the clock stands %" PRId64 " ms before the last timestamp that was sent: it was "
                "set back; timestamps follow it",
                behind_ms);
    stamp->lane = next.lane;
    stamp->known = false;
    return MIKEYD_OK;
}

static enum mikeyd_status stamp_reserve(struct lmdb_store *store, uint64_t next, struct error *err)
{
    uint64_t mark = next + STORE_STAMP_AHEAD;
    int rc = store_write(store, stamp_write, &mark);
    if (rc != 0)
        return store_fail(store, rc, err);
    store->stamp.reserved = mark;
    return MIKEYD_OK;
}

static enum mikeyd_status stamp_next(struct lmdb_store *store, const uint64_t *after, uint64_t *out,
                                     struct error *err)
{
    struct store_stamp *stamp = &store->stamp;
    const uint64_t now = clock_ntp_now(), ahead = now + STORE_STAMP_AHEAD;
    enum mikeyd_status status = MIKEYD_OK;
    if (stamp->lane >= STORE_LANES)
        return error_set(
            err, MIKEYD_STORE_DOWN,
            "replay store %s: timestamps are used up, replay track was lost too often: "
            "start with an empty folder",
            store->env.path);
    status = store_stamp_check_after(now, after, err);
    if (status != MIKEYD_OK)
        return status;
    if (stamp->known && store_stamp_is_after(stamp->last, ahead))
        status = stamp_change_lane(store, now, err);
    if (status != MIKEYD_OK)
        return status;
    const uint64_t next =
        store_stamp_next(stamp->known ? &stamp->last : NULL, stamp->lane, now, after);
    if (!stamp->known || store_stamp_is_after(next, stamp->reserved))
        status = stamp_reserve(store, next, err);
    if (status != MIKEYD_OK)
        return status;
    stamp->known = true;
    stamp->last = next;
    *out = next;
    return MIKEYD_OK;
}

enum mikeyd_status lmdb_unique_timestamp(struct replay_store *base, const uint64_t *after,
                                         uint64_t *out, struct error *err)
{
    struct lmdb_store *store = lmdb_of(base);
    *out = 0;
    (void)pthread_mutex_lock(&store->stamp.lock);
    enum mikeyd_status status = stamp_next(store, after, out, err);
    (void)pthread_mutex_unlock(&store->stamp.lock);
    return status;
}
