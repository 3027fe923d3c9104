/* The replay store on LMDB as its own files see it. */
#ifndef STORE_LMDB_INTERNAL_H
#define STORE_LMDB_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/lmdb_env.h"
#include "store/lmdb_state.h"
#include "store/store.h"
#include "store/store_clock.h"
#include "store/store_stamp.h"
#include "store/store_times.h"
#include "store/store_window.h"

/* Timestamps already given out, or set aside in the database to be (lmdb_stamp.c). */
struct store_stamp {
    pthread_mutex_t lock;
    bool known;
    uint64_t last;     /* the latest given out */
    uint64_t reserved; /* the mark in the database: everything up to it counts as given out */
    unsigned lane;     /* the state file's */
};

struct lmdb_store {
    struct replay_store base; /* first: the port's pointer is this one's */
    int dir, lock;
    unsigned window_s;
    bool lost; /* as it was opened */
    bool counters_lost;
    uint64_t incarnation; /* of the database: random */
    struct store_env env;
    struct store_stamp stamp;
    MDB_env *aside; /* lmdb_use.c; under env.writer */
    MDB_dbi aside_table;

    pthread_mutex_t state_lock; /* serialises writing the state file */
    struct store_state state;   /* written under both locks: what the file says */
    pthread_mutex_t times_lock; /* held for no more than a look */
    struct store_times forgotten[STORE_SERIES_COUNT];

    _Atomic int64_t closed_until;     /* Unix seconds, 0 when open */
    int64_t closed_until_boottime_ms; /* written before closed_until, as the one below */
    const char *closed_why;
    struct store_clock clock;       /* under env.writer */
    unsigned inserts_until_discard; /* under env.writer */
    _Atomic uint64_t log_sequence;  /* of the audit log, last told ... */
    uint64_t log_written;           /* ... and in the database; under env.writer */
    _Atomic uint64_t inserted, refused, expired;
};

/* ---- replay_ops of this store (store.h) */
void lmdb_close(struct replay_store *base);
void lmdb_get_mark(struct replay_store *base, char out[STORE_MARK]);
void lmdb_note_log(struct replay_store *base, uint64_t sequence);
const char *lmdb_identity(const struct replay_store *base);
enum mikeyd_status lmdb_check(struct replay_store *base, struct error *err);
enum mikeyd_status lmdb_lookup(struct replay_store *base, const struct store_time *time,
                               const uint8_t digest[STORE_DIGEST], struct error *err);
enum mikeyd_status lmdb_insert(struct replay_store *base, const struct store_time *time,
                               const uint8_t digests[][STORE_DIGEST], size_t count,
                               int64_t expires_unix, const struct store_use *use,
                               struct error *err);
enum mikeyd_status lmdb_sync(struct replay_store *base, struct error *err);
enum mikeyd_status lmdb_advance_counter(struct replay_store *base,
                                        const uint8_t digest[STORE_DIGEST], uint64_t value,
                                        struct error *err);
enum mikeyd_status lmdb_unique_timestamp(struct replay_store *base, const uint64_t *after,
                                         uint64_t *out, struct error *err);
void lmdb_get_stats(struct replay_store *base, struct store_stats *out);

static inline struct lmdb_store *lmdb_of(struct replay_store *base)
{
    return (struct lmdb_store *)base;
}

/* OK, or why nothing can be judged now: track was lost. */
enum mikeyd_status store_check_gate(struct lmdb_store *store, struct error *err);

/* The last record of the audit log that was on the disk; absent until it is first told. */
#define STORE_LOG_NAME "log"

/* store_env_write(), and once more after discarding when the map is full and may not grow. */
int store_write(struct lmdb_store *store, store_env_work *work, void *arg);

/* STORE_DOWN with LMDB's words for code. */
enum mikeyd_status store_fail(struct lmdb_store *store, int code, struct error *err);

/* ---- lmdb_reach.c */

/* Writes the state and, once it is on the disk, takes it as the store's. Under state_lock. */
enum mikeyd_status store_change_state(struct lmdb_store *store, const struct store_state *next,
                                      struct error *err);
/* Makes sure, before time is accepted, that the disk knows that it may have been. */
enum mikeyd_status store_reach(struct lmdb_store *store, const struct store_time *time,
                               struct error *err);
/* May the entry of that time be gone? */
bool store_is_forgotten(struct lmdb_store *store, const struct store_time *time);
/* Reads which times are forgotten; after a loss: all that were ever reached. */
enum mikeyd_status store_load_forgotten(struct lmdb_store *store, bool lost, struct error *err);
/* Within a transaction that discards: from its commit on these are forgotten. */
int store_put_forgotten(struct lmdb_store *store, MDB_txn *txn,
                        const struct store_times forgotten[STORE_SERIES_COUNT]);
void store_copy_forgotten(struct lmdb_store *store, struct store_times out[STORE_SERIES_COUNT]);

/* ---- lmdb_use.c */

/* What is set aside, in uses.mdb beside the database: not lost with it. A code of LMDB. */
int store_uses_open(struct lmdb_store *store);
void store_uses_close(struct lmdb_store *store);
/* Within a transaction that writes: counts one. MDB_KEYEXIST and *used_up when there is none left. */
int store_count_use(struct lmdb_store *store, MDB_txn *txn, const struct store_use *use,
                    bool *used_up);

/* ---- lmdb_stamp.c */
enum mikeyd_status store_stamp_open(struct lmdb_store *store, struct error *err);
/* Gives back what was set aside beyond the last timestamp. */
void store_stamp_close(struct lmdb_store *store);

#endif
