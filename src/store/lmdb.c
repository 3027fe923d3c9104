#include "store/lmdb_internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/clock.h"

/* Discarding in batches shares the pages that a transaction has to copy. Twice as many go as come:
 * an accepted message makes two entries. */
#define DISCARD_EVERY 64
#define DISCARD_AT_ONCE 256
#define EXPIRY_KEY (8 + STORE_DIGEST)
#define EXPIRY_TIME (1 + 8)

#define STORE_MARK_FORMAT "%016" PRIx64 "/%" PRIu64

enum mikeyd_status store_fail(struct lmdb_store *store, int code, struct error *err)
{
    return error_set(err, MIKEYD_STORE_DOWN, "replay store %s: %s", store->env.path,
                     mdb_strerror(code));
}

/* ---- may entries be judged now? */

/* RFC 3830 5.4: after losing track, everything is rejected until the skew interval has passed. */
static enum mikeyd_status store_try_to_open_gate(struct lmdb_store *store, int64_t closed_until,
                                                 struct error *err)
{
    /* Both clocks: the wall clock may be set forward while this waits. */
    if (clock_unix_now() < closed_until ||
        store_clock_boottime_ms() < store->closed_until_boottime_ms)
        return store_refuse_until(closed_until, store->closed_why, err);
    enum mikeyd_status status = MIKEYD_OK;
    (void)pthread_mutex_lock(&store->state_lock);
    if (atomic_load(&store->closed_until) != 0) {
        struct store_state open = store->state;
        open.left = STORE_LEFT_OPEN;
        status = store_change_state(store, &open, err);
        if (status == MIKEYD_OK)
            atomic_store(&store->closed_until, 0);
    }
    (void)pthread_mutex_unlock(&store->state_lock);
    return status;
}

enum mikeyd_status store_check_gate(struct lmdb_store *store, struct error *err)
{
    const int64_t closed_until = atomic_load_explicit(&store->closed_until, memory_order_acquire);
    return closed_until == 0 ? MIKEYD_OK : store_try_to_open_gate(store, closed_until, err);
}

enum mikeyd_status lmdb_check(struct replay_store *base, struct error *err)
{
    return store_check_gate(lmdb_of(base), err);
}

/* ---- look-up and insert */

enum mikeyd_status lmdb_lookup(struct replay_store *base, const struct store_time *time,
                               const uint8_t digest[STORE_DIGEST], struct error *err)
{
    struct lmdb_store *store = lmdb_of(base);
    enum mikeyd_status status = store_check_gate(store, err);
    if (status != MIKEYD_OK)
        return status;
    MDB_txn *txn;
    int rc = store_env_read(&store->env, &txn);
    if (rc != 0)
        return store_fail(store, rc, err);
    uint8_t bytes[STORE_DIGEST];
    struct byte_writer w = writer_of(bytes, sizeof bytes);
    writer_bytes(&w, digest, STORE_DIGEST);
    MDB_val key = {sizeof bytes, bytes}, value;
    rc = mdb_get(txn, store->env.entries, &key, &value);
    store_env_read_end(&store->env, txn);
    /* Looked at after the entries: what goes in between is forgotten before it is gone. */
    if (rc == MDB_NOTFOUND)
        return store_is_forgotten(store, time) ? store_refuse_forgotten(time, err) : MIKEYD_OK;
    if (rc != 0)
        return store_fail(store, rc, err);
    atomic_fetch_add(&store->refused, 1);
    return error_set(err, MIKEYD_REPLAY, "seen before");
}

/* What a write transaction discards. The results are set anew by every run. */
struct discard_job {
    struct lmdb_store *store;
    uint64_t discarded;
};

/* One insert, as the write transaction sees it. */
struct store_job {
    struct lmdb_store *store;
    const struct store_time *time;
    const uint8_t (*digests)[STORE_DIGEST];
    size_t count;
    int64_t expires_unix;
    const struct store_use *use;
    uint64_t log_sequence;
    struct discard_job discard;
    bool forgotten, used_up;
};

static int store_put(struct store_env *env, MDB_txn *txn, const struct store_job *job,
                     const uint8_t digest[STORE_DIGEST])
{
    uint8_t bytes[EXPIRY_KEY], time[EXPIRY_TIME];
    struct byte_writer w = writer_of(bytes, sizeof bytes), t = writer_of(time, sizeof time);
    writer_u64(&w, job->expires_unix < 0 ? 0 : (uint64_t)job->expires_unix);
    writer_bytes(&w, digest, STORE_DIGEST);
    if (job->time != NULL) {
        writer_u8(&t, (uint8_t)job->time->series);
        writer_u64(&t, job->time->t);
    }
    MDB_val nothing = {0, bytes}, key = {STORE_DIGEST, bytes + 8}, order = {EXPIRY_KEY, bytes};
    int rc = mdb_put(txn, env->entries, &key, &nothing, MDB_NOOVERWRITE);
    if (rc != 0)
        return rc;
    MDB_val of = {t.len, time};
    return mdb_put(txn, env->expiry, &order, &of, 0);
}

/* Adds the time that the value of an entry in the order of expiry names, if any. */
static bool store_forget(const MDB_val *value, struct store_times forgotten[STORE_SERIES_COUNT])
{
    struct byte_reader r = reader_of(value->mv_data, value->mv_size);
    if (value->mv_size == 0)
        return true;
    const uint8_t series = reader_u8(&r);
    const uint64_t t = reader_u64(&r);
    if (!reader_done(&r) || series >= STORE_SERIES_COUNT)
        return false;
    store_times_add(&forgotten[series], t, t);
    return true;
}

/* The first entry by expiry, when it expired at or before cutoff: 0; MDB_NOTFOUND when none. */
static int store_discard_one(struct store_env *env, MDB_txn *txn, MDB_cursor *cursor,
                             int64_t cutoff, struct store_times forgotten[STORE_SERIES_COUNT])
{
    MDB_val order, time;
    int rc = mdb_cursor_get(cursor, &order, &time, MDB_FIRST);
    if (rc != 0)
        return rc;
    struct byte_reader r = reader_of(order.mv_data, order.mv_size);
    uint64_t expires = reader_u64(&r);
    uint8_t digest[STORE_DIGEST];
    reader_copy(&r, digest, sizeof digest);
    if (!reader_done(&r))
        return MDB_CORRUPTED;
    if (expires > (uint64_t)cutoff)
        return MDB_NOTFOUND;
    if (!store_forget(&time, forgotten))
        return MDB_CORRUPTED;
    MDB_val key = {sizeof digest, digest};
    rc = mdb_cursor_del(cursor, 0);
    if (rc == 0)
        rc = mdb_del(txn, env->entries, &key, NULL);
    return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
}

static int store_discard(struct store_env *env, MDB_txn *txn, void *arg)
{
    struct discard_job *job = arg;
    struct lmdb_store *store = job->store;
    struct store_times forgotten[STORE_SERIES_COUNT];
    job->discarded = 0;
    const int64_t cutoff = store_clock_cutoff(&store->clock, clock_unix_ms(),
                                              store_clock_boottime_ms(), store->window_s);
    if (cutoff < 0)
        return 0;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, env->expiry, &cursor);
    if (rc != 0)
        return rc;
    store_copy_forgotten(store, forgotten);
    while (rc == 0 && job->discarded < DISCARD_AT_ONCE) {
        rc = store_discard_one(env, txn, cursor, cutoff, forgotten);
        if (rc == 0)
            job->discarded++;
    }
    mdb_cursor_close(cursor);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return rc;
    return job->discarded == 0 ? 0 : store_put_forgotten(store, txn, forgotten);
}

static int store_insert_work(struct store_env *env, MDB_txn *txn, void *arg)
{
    struct store_job *job = arg;
    struct lmdb_store *store = job->store;
    int rc = 0;
    job->discard = (struct discard_job){.store = store};
    job->used_up = false;
    /* Only transactions forget, one at a time: the answer holds until the commit. */
    job->forgotten = store_is_forgotten(store, job->time);
    if (job->forgotten)
        return MDB_KEYEXIST;
    for (size_t i = 0; rc == 0 && i < job->count; i++)
        rc = store_put(env, txn, job, job->digests[i]);
    if (rc == 0 && job->use != NULL)
        rc = store_count_use(store, txn, job->use, &job->used_up);
    if (rc == 0 && job->log_sequence != atomic_load(&store->log_written))
        rc = store_env_put_number(env, txn, STORE_LOG_NAME, job->log_sequence);
    if (rc == 0 && store->inserts_until_discard-- == 0) {
        store->inserts_until_discard = DISCARD_EVERY - 1;
        rc = store_discard(env, txn, &job->discard);
    }
    return rc;
}

/* The map is full: before anything can come something must go. True when something went. */
static bool store_make_room(struct lmdb_store *store)
{
    struct discard_job job = {.store = store};
    if (store_env_write_beyond(&store->env, store_discard, &job) != 0)
        return false;
    atomic_fetch_add(&store->expired, job.discarded);
    return job.discarded != 0;
}

int store_write(struct lmdb_store *store, store_env_work *work, void *arg)
{
    int rc = store_env_write(&store->env, work, arg);
    if (rc == MDB_MAP_FULL && store_make_room(store))
        rc = store_env_write(&store->env, work, arg);
    return rc;
}

enum mikeyd_status lmdb_insert(struct replay_store *base, const struct store_time *time,
                               const uint8_t digests[][STORE_DIGEST], size_t count,
                               int64_t expires_unix, const struct store_use *use, struct error *err)
{
    struct lmdb_store *store = lmdb_of(base);
    enum mikeyd_status status = store_check_gate(store, err);
    if (status == MIKEYD_OK && time != NULL)
        status = store_reach(store, time, err);
    if (status != MIKEYD_OK)
        return status;
    struct store_job job = {.store = store,
                            .time = time,
                            .digests = digests,
                            .count = count,
                            .expires_unix = expires_unix,
                            .use = use,
                            .log_sequence = atomic_load(&store->log_sequence)};
    int rc = store_write(store, store_insert_work, &job);
    if (rc == MDB_KEYEXIST && job.forgotten)
        return store_refuse_forgotten(time, err);
    if (rc == MDB_KEYEXIST && job.used_up)
        return error_set(err, MIKEYD_POLICY, "its uses are used up");
    if (rc == MDB_KEYEXIST) {
        atomic_fetch_add(&store->refused, 1);
        return error_set(err, MIKEYD_REPLAY, "seen before");
    }
    if (rc != 0)
        return store_fail(store, rc, err);
    atomic_store(&store->log_written, job.log_sequence);
    atomic_fetch_add(&store->inserted, count);
    atomic_fetch_add(&store->expired, job.discard.discarded);
    return MIKEYD_OK;
}

enum mikeyd_status lmdb_sync(struct replay_store *base, struct error *err)
{
    struct lmdb_store *store = lmdb_of(base);
    int rc = store_env_sync(&store->env);
    return rc == 0 ? MIKEYD_OK : store_fail(store, rc, err);
}

void lmdb_get_mark(struct replay_store *base, char out[STORE_MARK])
{
    struct lmdb_store *store = lmdb_of(base);
    (void)snprintf(out, STORE_MARK, STORE_MARK_FORMAT, store->incarnation,
                   atomic_load(&store->env.commits));
}

void lmdb_note_log(struct replay_store *base, uint64_t sequence)
{
    struct lmdb_store *store = lmdb_of(base);
    atomic_store(&store->log_sequence, sequence);
}

const char *lmdb_identity(const struct replay_store *base)
{
    const struct lmdb_store *store = (const struct lmdb_store *)base;
    return store->state.identity;
}

void lmdb_get_stats(struct replay_store *base, struct store_stats *out)
{
    struct lmdb_store *store = lmdb_of(base);
    *out = (struct store_stats){.inserted = atomic_load(&store->inserted),
                                .refused = atomic_load(&store->refused),
                                .expired = atomic_load(&store->expired),
                                .closed_until = atomic_load(&store->closed_until),
                                .closed_why = store->closed_why};
    MDB_txn *txn;
    MDB_stat stat;
    if (store_env_read(&store->env, &txn) != 0)
        return;
    if (mdb_stat(txn, store->env.entries, &stat) == 0)
        out->entries = stat.ms_entries;
    store_env_read_end(&store->env, txn);
}
