#include "base/clock.h"
#include "store/store_internal.h"

/* Set aside one second at a time: one write a second at most, and a restart is at most that early.
 */
#define STAMP_AHEAD (1ULL << 32)
#define STAMP_NAME "timestamp"

/* RFC 3830 6.6 timestamps are compared by signed difference, across the wrap of 2036. */
static bool stamp_is_after(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) > 0;
}

static int stamp_write(struct store_env *env, MDB_txn *txn, void *arg)
{
    const uint64_t *mark = arg;
    return store_env_put_number(env, txn, STAMP_NAME, *mark);
}

enum mikeyd_status store_stamp_open(struct replay_store *store, struct error *err)
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
    (void)pthread_mutex_init(&stamp->lock, NULL);
    return MIKEYD_OK;
}

void store_stamp_close(struct replay_store *store)
{
    struct store_stamp *stamp = &store->stamp;
    /* When this fails the mark stays where it is: too far ahead, which is safe. */
    if (stamp->known && stamp->last != stamp->reserved)
        (void)store_write(store, stamp_write, &stamp->last);
    (void)pthread_mutex_destroy(&stamp->lock);
}

static enum mikeyd_status stamp_next(struct replay_store *store, int64_t max_ahead_ms,
                                     uint64_t *out, struct error *err)
{
    struct store_stamp *stamp = &store->stamp;
    uint64_t now = clock_ntp_now();
    uint64_t next = now;
    if (stamp->known && !stamp_is_after(now, stamp->last))
        next = stamp->last + 1;
    int64_t ahead_ms = clock_ntp_difference_ms(next, now);
    if (ahead_ms > max_ahead_ms)
        return error_set(err, MIKEYD_CLOCK_SKEW,
                         "the clock stands %lld ms before the last timestamp that was sent",
                         (long long)ahead_ms);
    if (!stamp->known || stamp_is_after(next, stamp->reserved)) {
        uint64_t mark = next + STAMP_AHEAD;
        int rc = store_write(store, stamp_write, &mark);
        if (rc != 0)
            return store_fail(store, rc, err);
        stamp->reserved = mark;
    }
    stamp->known = true;
    stamp->last = next;
    *out = next;
    return MIKEYD_OK;
}

enum mikeyd_status store_unique_timestamp(struct replay_store *store, int64_t max_ahead_ms,
                                          uint64_t *out, struct error *err)
{
    *out = 0;
    (void)pthread_mutex_lock(&store->stamp.lock);
    enum mikeyd_status status = stamp_next(store, max_ahead_ms, out, err);
    (void)pthread_mutex_unlock(&store->stamp.lock);
    return status;
}
