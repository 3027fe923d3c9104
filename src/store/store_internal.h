/* The replay store as its own files see it. */
#ifndef STORE_STORE_INTERNAL_H
#define STORE_STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/store.h"
#include "store/store_clock.h"
#include "store/store_env.h"
#include "store/store_state.h"

/* Timestamps already given out, or set aside in the database to be (store_stamp.c). */
struct store_stamp {
    pthread_mutex_t lock;
    bool known;
    uint64_t last;     /* the latest given out */
    uint64_t reserved; /* the mark in the database: everything up to it counts as given out */
};

struct replay_store {
    int dir, lock;
    unsigned window_s;
    /* What the state file says: narrower than window_s until no entry kept for the narrower window
     * of an earlier run matters any more (store_open.c). */
    _Atomic unsigned kept_s;
    char boot_id[STORE_BOOT_ID];
    bool counters_lost;
    struct store_env env;
    struct store_stamp stamp;

    pthread_mutex_t gate;             /* serialises opening after the closed time */
    _Atomic int64_t closed_until;     /* Unix seconds, 0 when open */
    int64_t closed_until_boottime_ms; /* written before closed_until, as the two below */
    const char *closed_why;
    bool track_lost; /* that is why it is closed: a restart cannot tell how much time was left */
    _Atomic int64_t discarded_until; /* Unix seconds: entries expired by then may be gone */
    struct store_clock clock;        /* under env.writer */
    unsigned inserts_until_discard;  /* under env.writer */
    _Atomic uint64_t inserted, refused, expired;
};

/* To be called when entries were discarded: none that is missing was kept for less than window_s.
 */
void store_raise_window(struct replay_store *store);

/* OK, or why nothing can be judged now: track was lost, or a clock stands wrong. */
enum mikeyd_status store_check_gate(struct replay_store *store, struct error *err);

/* store_env_write(), and once more after discarding when the map is full and may not grow. */
int store_write(struct replay_store *store, store_env_work *work, void *arg);

/* STORE_DOWN with LMDB's words for code. */
enum mikeyd_status store_fail(struct replay_store *store, int code, struct error *err);

enum mikeyd_status store_stamp_open(struct replay_store *store, struct error *err);
/* Gives back what was set aside beyond the last timestamp. */
void store_stamp_close(struct replay_store *store);

#endif
