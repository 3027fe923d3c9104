/*
 * The file `state` beside the database: what is known about how the store was left. It is written
 * and flushed before the database may change, because a database in the page cache survives the
 * death of the process but not the death of the machine.
 */
#ifndef STORE_LMDB_STATE_H
#define STORE_LMDB_STATE_H

#include <stdbool.h>

#include "base/error.h"
#include "store/store.h"
#include "store/store_times.h"

enum store_left {
    STORE_LEFT_ABSENT,  /* no such file */
    STORE_LEFT_UNKNOWN, /* a file that cannot be read as one of ours */
    STORE_LEFT_CLEAN,   /* closed in order, flushed */
    STORE_LEFT_OPEN,    /* in use, not flushed: sound only under the same boot id */
    STORE_LEFT_CLOSED   /* as OPEN, and refusing entries because track was lost */
};

#define STORE_BOOT_ID 40
#define STORE_IDENTITY 33 /* 32 hexadecimal digits and the terminator */

struct store_state {
    enum store_left left;
    char boot_id[STORE_BOOT_ID];
    char identity[STORE_IDENTITY]; /* of the store, for good: its databases may be lost */
    unsigned lane;                 /* of the timestamps given out; STORE_LANES: none is left */
    /* By enum store_series: every time of it that may have been accepted so far. */
    struct store_times reached[STORE_SERIES_COUNT];
};

/* The kernel's id of this boot (proc(5), /proc/sys/kernel/random/boot_id). */
enum mikeyd_status store_state_boot_id(char out[STORE_BOOT_ID], struct error *err);

/*
 * Makes the directory if need be, mode 0700, and takes the one lock on it. *dir and *lock are
 * descriptors to close; closing the lock gives it back. STORE_DOWN when another process (or this
 * one) has it, or the directory is another user's.
 */
enum mikeyd_status store_state_lock(const char *path, int *dir, int *lock, struct error *err);

void store_state_read(int dir, struct store_state *out);
/* Atomic and flushed. */
enum mikeyd_status store_state_write(int dir, const struct store_state *state, struct error *err);
/* A new identity. */
enum mikeyd_status store_state_identify(char out[STORE_IDENTITY], struct error *err);

bool store_state_has_database(int dir);

/*
 * The file `counters-lost`: counters were lost with a database. It stays until the operator removes
 * it, whatever becomes of the databases after.
 */
#define STORE_COUNTERS_LOST "counters-lost"
/* Makes the file; flushed. */
enum mikeyd_status store_state_lose_counters(int dir, struct error *err);
/* True also when that cannot be told. */
bool store_state_counters_lost(int dir);

/* Renames the database to data.mdb.lost (replacing an earlier one) and removes LMDB's lock file. */
enum mikeyd_status store_state_move_aside(int dir, struct error *err);

#endif
