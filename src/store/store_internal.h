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
    char boot_id[STORE_BOOT_ID];
    struct store_env env;
    struct store_stamp stamp;

    pthread_mutex_t gate;             /* serialises opening after the closed time */
    _Atomic int64_t closed_until;     /* Unix seconds, 0 when open */
    int64_t closed_until_boottime_ms; /* written before closed_until */
    _Atomic int64_t discarded_until;  /* Unix seconds: entries expired by then may be gone */
    struct store_clock clock;         /* under env.writer */
    unsigned inserts_until_discard;   /* under env.writer */
    _Atomic uint64_t inserted, refused, expired;
};

/* STORE_DOWN with LMDB's words for code. */
enum mikeyd_status store_fail(struct replay_store *store, int code, struct error *err);

enum mikeyd_status store_stamp_open(struct replay_store *store, struct error *err);
/* Gives back what was set aside beyond the last timestamp. */
void store_stamp_close(struct replay_store *store);

#endif
