/* Opening a replay store: can what is found there be trusted? And closing it. */
#include "store/lmdb_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "base/clock.h"
#include "base/log.h"

#define INCARNATION_NAME "incarnation"

/* ---- is replay track lost? */

/* Why, by what stands beside the database; NULL when nothing speaks against it. */
static const char *open_why_lost(const struct store_state *state, bool has_database,
                                 const char *boot_id, const struct store_witness *witness)
{
    bool same_boot = strcmp(state->boot_id, boot_id) == 0;
    if (!has_database && state->left != STORE_LEFT_ABSENT)
        return "the database is gone";
    if (!has_database)
        return witness == NULL || witness->mark[0] == '\0'
                   ? NULL
                   : "the audit log has seen a replay store, which is gone";
    switch (state->left) {
    case STORE_LEFT_CLEAN:
        return NULL;
    case STORE_LEFT_OPEN:
    case STORE_LEFT_CLOSED:
        return same_boot ? NULL : "the machine restarted while the store was in use";
    case STORE_LEFT_ABSENT:
    case STORE_LEFT_UNKNOWN:
        break;
    }
    return "how the store was left is not known";
}

/*
 * Why, by what the audit log holds. The database commits before a record with its mark is written,
 * and remembers only records that are on the disk: a crash in between leaves neither of them
 * behind what the other knows of it.
 */
static const char *open_why_older(const struct lmdb_store *store,
                                  const struct store_witness *witness)
{
    uint64_t incarnation = 0, commits = 0;
    char end;
    if (witness == NULL)
        return NULL;
    if (witness->mark[0] == '\0')
        return "the audit log has never seen this replay store";
    if (sscanf(witness->mark, "%16" SCNx64 "/%20" SCNu64 "%c", &incarnation, &commits, &end) != 2)
        return "the audit log's mark of the replay store is damaged";
    if (incarnation != store->incarnation)
        return "the audit log has seen another replay store since";
    if (commits > atomic_load(&store->env.commits))
        return "the replay store is older than the audit log: it was restored from a copy";
    return witness->log_sequence < store->log_written
               ? "the audit log is older than the replay store: records are missing from its end"
               : NULL;
}

static void open_close_gate(struct lmdb_store *store, const char *why)
{
    store->closed_until_boottime_ms = store_clock_boottime_ms() + (int64_t)store->window_s * 1000;
    store->closed_why = why;
    store->state.left = STORE_LEFT_CLOSED;
    atomic_store(&store->closed_until, store_reopens_at(store->state.reached, store->window_s));
}

static enum mikeyd_status open_lose_track(struct lmdb_store *store, const char *path,
                                          const char *why, struct error *err)
{
    char until[CLOCK_TEXT];
    open_close_gate(store, why);
    clock_format_utc(atomic_load(&store->closed_until) * 1000, until);
    log_warning("replay store %s: %s: nothing is accepted before %s", path, why, until);
    /* Whatever timestamps were given out, they were of an earlier lane. */
    if (store->state.lane < STORE_LANES)
        store->state.lane++;
    store->lost = true;
    /* Before the database goes: a crash in between must not leave the counters merely absent. And
     * the state after it, or one that was lost would look like one that only waits. */
    enum mikeyd_status status = store_state_lose_counters(store->dir, err);
    if (status == MIKEYD_OK)
        status = store_state_move_aside(store->dir, err);
    return status != MIKEYD_OK ? status : store_state_write(store->dir, &store->state, err);
}

/* ---- opening */

/* Opens the database; a damaged one is lost track. */
static enum mikeyd_status open_env(struct lmdb_store *store, const char *path, struct error *err)
{
    int rc = store_env_open(&store->env, path);
    if (rc != 0 && store_env_is_damage(rc)) {
        enum mikeyd_status status = open_lose_track(store, path, mdb_strerror(rc), err);
        if (status != MIKEYD_OK)
            return status;
        rc = store_env_open(&store->env, path);
    }
    if (rc != 0)
        return error_set(err, MIKEYD_STORE_DOWN, "replay store %s: %s", path, mdb_strerror(rc));
    return MIKEYD_OK;
}

static int open_incarnation_work(struct store_env *env, MDB_txn *txn, void *arg)
{
    return store_env_put_number(env, txn, INCARNATION_NAME, *(const uint64_t *)arg);
}

/* Reads which database this is, and what it knows of the log; a new one gets its number. */
static enum mikeyd_status open_incarnation(struct lmdb_store *store, struct error *err)
{
    MDB_txn *txn;
    int rc = store_env_read(&store->env, &txn);
    if (rc != 0)
        return store_fail(store, rc, err);
    uint64_t log = 0;
    rc = store_env_get_number(&store->env, txn, STORE_LOG_NAME, &log);
    atomic_store(&store->log_written, log);
    atomic_store(&store->log_sequence, log);
    if (rc == 0 || rc == MDB_NOTFOUND)
        rc = store_env_get_number(&store->env, txn, INCARNATION_NAME, &store->incarnation);
    store_env_read_end(&store->env, txn);
    if (rc == MDB_NOTFOUND) {
        if (RAND_bytes((unsigned char *)&store->incarnation, sizeof store->incarnation) != 1)
            return error_set(err, MIKEYD_INTERNAL, "replay store: no random bytes");
        rc = store_write(store, open_incarnation_work, &store->incarnation);
    }
    return rc == 0 ? MIKEYD_OK : store_fail(store, rc, err);
}

/* A database that is older than the audit log is opened only to be put aside. */
static enum mikeyd_status open_database(struct lmdb_store *store, const char *path, bool is_new,
                                        const struct store_witness *witness, struct error *err)
{
    enum mikeyd_status status = open_env(store, path, err);
    if (status != MIKEYD_OK)
        return status;
    status = open_incarnation(store, err);
    const bool found = status == MIKEYD_OK && !is_new && !store->lost;
    const char *why = found ? open_why_older(store, witness) : NULL;
    if (why != NULL) {
        store_env_close(&store->env);
        status = open_lose_track(store, path, why, err);
        if (status == MIKEYD_OK)
            status = open_env(store, path, err);
        if (status != MIKEYD_OK)
            return status;
        status = open_incarnation(store, err);
    }
    if (status != MIKEYD_OK)
        store_env_close(&store->env);
    return status;
}

/* What the database itself remembers. */
static enum mikeyd_status open_load(struct lmdb_store *store, struct error *err)
{
    const bool lost = atomic_load(&store->closed_until) != 0;
    enum mikeyd_status status = store_load_forgotten(store, lost, err);
    store_clock_start(&store->clock, clock_unix_ms(), store_clock_boottime_ms());
    if (status == MIKEYD_OK)
        status = store_stamp_open(store, err);
    /* On disk before the first insert can be, or a crash would look like a store left clean. */
    store->state.left = lost ? STORE_LEFT_CLOSED : STORE_LEFT_OPEN;
    if (status == MIKEYD_OK)
        status = store_state_write(store->dir, &store->state, err);
    return status;
}

static enum mikeyd_status open_files(struct lmdb_store *store, const char *path,
                                     const struct store_witness *witness, struct error *err)
{
    struct store_state *state = &store->state;
    char boot_id[STORE_BOOT_ID];
    enum mikeyd_status status = store_state_boot_id(boot_id, err);
    if (status != MIKEYD_OK)
        return status;
    store_state_read(store->dir, state);
    const bool has_database = store_state_has_database(store->dir);
    const char *why = open_why_lost(state, has_database, boot_id, witness);
    memcpy(state->boot_id, boot_id, sizeof boot_id);
    if (state->identity[0] == '\0')
        status = store_state_identify(state->identity, err);
    if (status == MIKEYD_OK && why != NULL)
        status = open_lose_track(store, path, why, err);
    else if (status == MIKEYD_OK && state->left == STORE_LEFT_CLOSED)
        /* The closed time had not passed: it begins again, since nobody knows how much was left. */
        open_close_gate(store, "the last start did not wait for its end");
    if (status == MIKEYD_OK)
        status = open_database(store, path, !has_database, witness, err);
    if (status != MIKEYD_OK)
        return status;
    store->counters_lost = store_state_counters_lost(store->dir);
    const int rc = store_uses_open(store);
    if (rc == 0)
        status = open_load(store, err);
    else
        /* Not moved aside: every count would begin at 0. */
        status = error_set(err, MIKEYD_STORE_DOWN,
                           "replay store %s: uses.mdb: %s: give keys with max_exchanges a new "
                           "generation, then remove that file",
                           path, mdb_strerror(rc));
    if (status != MIKEYD_OK) {
        store_uses_close(store);
        store_env_close(&store->env);
    }
    return status;
}

static void open_init_locks(struct lmdb_store *store)
{
    (void)pthread_mutex_init(&store->state_lock, NULL);
    (void)pthread_mutex_init(&store->times_lock, NULL);
    (void)pthread_mutex_init(&store->stamp.lock, NULL);
}

static void open_free(struct lmdb_store *store)
{
    (void)pthread_mutex_destroy(&store->state_lock);
    (void)pthread_mutex_destroy(&store->times_lock);
    (void)pthread_mutex_destroy(&store->stamp.lock);
    if (store->dir >= 0)
        (void)close(store->dir);
    if (store->lock >= 0)
        (void)close(store->lock);
    free(store);
}

static const struct replay_ops lmdb_ops = {
    .name = "lmdb",
    .close = lmdb_close,
    .get_mark = lmdb_get_mark,
    .note_log = lmdb_note_log,
    .identity = lmdb_identity,
    .check = lmdb_check,
    .lookup = lmdb_lookup,
    .insert = lmdb_insert,
    .sync = lmdb_sync,
    .advance_counter = lmdb_advance_counter,
    .unique_timestamp = lmdb_unique_timestamp,
    .get_stats = lmdb_get_stats,
};

enum mikeyd_status lmdb_store_open(const char *path, unsigned window_s,
                                   const struct store_witness *witness, struct replay_store **out,
                                   struct error *err)
{
    *out = NULL;
    struct lmdb_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return error_set(err, MIKEYD_INTERNAL, "replay store: out of memory");
    store->base.ops = &lmdb_ops;
    store->window_s = window_s;
    open_init_locks(store);
    enum mikeyd_status status = store_state_lock(path, &store->dir, &store->lock, err);
    if (status == MIKEYD_OK)
        status = open_files(store, path, witness, err);
    if (status != MIKEYD_OK) {
        open_free(store);
        return status;
    }
    *out = &store->base;
    return MIKEYD_OK;
}

void lmdb_close(struct replay_store *base)
{
    struct lmdb_store *store = lmdb_of(base);
    struct error err = {0};
    const bool closed = atomic_load(&store->closed_until) != 0;
    store_stamp_close(store);
    /* The word "clean" only over a database that is on the disk. */
    bool flushed = lmdb_sync(base, &err) == MIKEYD_OK;
    store_uses_close(store);
    store_env_close(&store->env);
    if (flushed) {
        store->state.left = closed ? STORE_LEFT_CLOSED : STORE_LEFT_CLEAN;
        flushed = store_state_write(store->dir, &store->state, &err) == MIKEYD_OK;
    }
    if (!flushed)
        log_warning("%s", err.text);
    open_free(store);
}
