#include "store/store_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"

/* Discarding in batches shares the pages that a transaction has to copy. Twice as many go as come:
 * an accepted message makes two entries. */
#define DISCARD_EVERY 64
#define DISCARD_AT_ONCE 256
#define DISCARDED_NAME "discarded"
#define EXPIRY_KEY (8 + STORE_DIGEST)

enum mikeyd_status store_fail(struct replay_store *store, int code, struct error *err)
{
    return error_set(err, MIKEYD_STORE_DOWN, "replay store %s: %s", store->env.path,
                     mdb_strerror(code));
}

/* ---- may entries be judged now? */

static enum mikeyd_status store_refuse_until(int64_t until, const char *why, struct error *err)
{
    char text[CLOCK_TEXT];
    clock_format_utc(until * 1000, text);
    return error_set(err, MIKEYD_STORE_DOWN, "%s: nothing is accepted before %s", why, text);
}

/* RFC 3830 5.4: after losing track, everything is rejected until the skew interval has passed. */
static enum mikeyd_status store_try_to_open_gate(struct replay_store *store, int64_t now,
                                                 struct error *err)
{
    int64_t closed_until = atomic_load(&store->closed_until);
    /* Both clocks: the wall clock may be set forward while this waits. */
    if (now < closed_until || store_clock_boottime_ms() < store->closed_until_boottime_ms)
        return store_refuse_until(closed_until, store->closed_why, err);
    enum mikeyd_status status = MIKEYD_OK;
    (void)pthread_mutex_lock(&store->gate);
    if (atomic_load(&store->closed_until) != 0) {
        status = store_state_write(store->dir, STORE_LEFT_OPEN, store->kept_s, store->boot_id, err);
        if (status == MIKEYD_OK)
            atomic_store(&store->closed_until, 0);
    }
    (void)pthread_mutex_unlock(&store->gate);
    return status;
}

enum mikeyd_status store_check_gate(struct replay_store *store, struct error *err)
{
    int64_t now = clock_unix_now();
    if (atomic_load_explicit(&store->closed_until, memory_order_acquire) != 0) {
        enum mikeyd_status status = store_try_to_open_gate(store, now, err);
        if (status != MIKEYD_OK)
            return status;
    }
    int64_t discarded = atomic_load_explicit(&store->discarded_until, memory_order_acquire);
    if (now < discarded)
        return store_refuse_until(discarded,
                                  "the clock was set back and older replay entries are gone", err);
    return MIKEYD_OK;
}

/* ---- look-up and insert */

enum mikeyd_status store_lookup(struct replay_store *store, const uint8_t digest[STORE_DIGEST],
                                struct error *err)
{
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
    if (rc == MDB_NOTFOUND)
        return MIKEYD_OK;
    if (rc != 0)
        return store_fail(store, rc, err);
    atomic_fetch_add(&store->refused, 1);
    return error_set(err, MIKEYD_REPLAY, "seen before");
}

/* What a write transaction discards. The results are set anew by every run. */
struct discard_job {
    struct replay_store *store;
    uint64_t discarded;
    int64_t cutoff;
};

/* One insert, as the write transaction sees it. */
struct store_job {
    struct replay_store *store;
    const uint8_t (*digests)[STORE_DIGEST];
    size_t count;
    int64_t expires_unix;
    struct discard_job discard;
};

static int store_put(struct store_env *env, MDB_txn *txn, const uint8_t digest[STORE_DIGEST],
                     int64_t expires_unix)
{
    uint8_t bytes[EXPIRY_KEY];
    struct byte_writer w = writer_of(bytes, sizeof bytes);
    writer_u64(&w, expires_unix < 0 ? 0 : (uint64_t)expires_unix);
    writer_bytes(&w, digest, STORE_DIGEST);
    MDB_val nothing = {0, bytes}, key = {STORE_DIGEST, bytes + 8}, order = {EXPIRY_KEY, bytes};
    int rc = mdb_put(txn, env->entries, &key, &nothing, MDB_NOOVERWRITE);
    if (rc != 0)
        return rc;
    nothing = (MDB_val){0, bytes};
    return mdb_put(txn, env->expiry, &order, &nothing, 0);
}

/* The first entry by expiry, when it expired at or before cutoff: 0; MDB_NOTFOUND when none. */
static int store_discard_one(struct store_env *env, MDB_txn *txn, MDB_cursor *cursor,
                             int64_t cutoff)
{
    MDB_val order, nothing;
    int rc = mdb_cursor_get(cursor, &order, &nothing, MDB_FIRST);
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
    MDB_val key = {sizeof digest, digest};
    rc = mdb_cursor_del(cursor, 0);
    if (rc == 0)
        rc = mdb_del(txn, env->entries, &key, NULL);
    return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
}

static int store_discard(struct store_env *env, MDB_txn *txn, void *arg)
{
    struct discard_job *job = arg;
    struct replay_store *store = job->store;
    job->discarded = 0;
    job->cutoff = store_clock_cutoff(&store->clock, clock_unix_ms(), store_clock_boottime_ms(),
                                     store->window_s);
    if (job->cutoff < 0 || job->cutoff < atomic_load(&store->discarded_until))
        return 0;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, env->expiry, &cursor);
    if (rc != 0)
        return rc;
    while (rc == 0 && job->discarded < DISCARD_AT_ONCE) {
        rc = store_discard_one(env, txn, cursor, job->cutoff);
        if (rc == 0)
            job->discarded++;
    }
    mdb_cursor_close(cursor);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return rc;
    if (job->discarded == 0)
        return 0;
    /* Before the commit: from then on a look-up may miss them. */
    atomic_store(&store->discarded_until, job->cutoff);
    /* Kept with the deletion itself: whoever finds the entries gone finds why. */
    return store_env_put_number(env, txn, DISCARDED_NAME, (uint64_t)job->cutoff);
}

static int store_insert_work(struct store_env *env, MDB_txn *txn, void *arg)
{
    struct store_job *job = arg;
    int rc = 0;
    job->discard = (struct discard_job){.store = job->store};
    for (size_t i = 0; rc == 0 && i < job->count; i++)
        rc = store_put(env, txn, job->digests[i], job->expires_unix);
    struct replay_store *store = job->store;
    if (rc == 0 && store->inserts_until_discard-- == 0) {
        store->inserts_until_discard = DISCARD_EVERY - 1;
        rc = store_discard(env, txn, &job->discard);
    }
    return rc;
}

static void store_discard_done(struct replay_store *store, uint64_t discarded)
{
    atomic_fetch_add(&store->expired, discarded);
    if (discarded != 0)
        store_raise_window(store);
}

/* The map is full: before anything can come something must go. True when something went. */
static bool store_make_room(struct replay_store *store)
{
    struct discard_job job = {.store = store};
    if (store_env_write_beyond(&store->env, store_discard, &job) != 0)
        return false;
    store_discard_done(store, job.discarded);
    return job.discarded != 0;
}

int store_write(struct replay_store *store, store_env_work *work, void *arg)
{
    int rc = store_env_write(&store->env, work, arg);
    if (rc == MDB_MAP_FULL && store_make_room(store))
        rc = store_env_write(&store->env, work, arg);
    return rc;
}

enum mikeyd_status store_insert(struct replay_store *store, const uint8_t digests[][STORE_DIGEST],
                                size_t count, int64_t expires_unix, struct error *err)
{
    enum mikeyd_status status = store_check_gate(store, err);
    if (status != MIKEYD_OK)
        return status;
    struct store_job job = {
        .store = store, .digests = digests, .count = count, .expires_unix = expires_unix};
    int rc = store_write(store, store_insert_work, &job);
    if (rc == MDB_KEYEXIST) {
        atomic_fetch_add(&store->refused, 1);
        return error_set(err, MIKEYD_REPLAY, "seen before");
    }
    if (rc != 0)
        return store_fail(store, rc, err);
    atomic_fetch_add(&store->inserted, count);
    store_discard_done(store, job.discard.discarded);
    return MIKEYD_OK;
}

enum mikeyd_status store_sync(struct replay_store *store, struct error *err)
{
    int rc = store_env_sync(&store->env);
    return rc == 0 ? MIKEYD_OK : store_fail(store, rc, err);
}

void store_get_stats(struct replay_store *store, struct store_stats *out)
{
    *out = (struct store_stats){.inserted = atomic_load(&store->inserted),
                                .refused = atomic_load(&store->refused),
                                .expired = atomic_load(&store->expired),
                                .closed_until = atomic_load(&store->closed_until)};
    MDB_txn *txn;
    MDB_stat stat;
    if (store_env_read(&store->env, &txn) != 0)
        return;
    if (mdb_stat(txn, store->env.entries, &stat) == 0)
        out->entries = stat.ms_entries;
    store_env_read_end(&store->env, txn);
}
