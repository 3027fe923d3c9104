/*
 * The LMDB environment under the replay store: five tables, a pool of read transactions, and
 * write transactions that grow the map or reopen the environment when LMDB asks for it.
 *
 *   entries   digest (16)                     -> nothing
 *   expiry    expires (8, big endian) digest  -> series, time (1, 8) or nothing
 *                                                             the order in which entries go
 *   counters  digest (16)                     -> 8 bytes      highest COUNTER of a sender, for good
 *   uses      digest (16)                     -> made, set aside (8, 8)  of a key's uses (lmdb_use.c)
 *   meta      name                            -> bytes
 *
 * Commits are not flushed (MDB_NOSYNC): they live in the kernel's page cache, where the death of
 * this process cannot reach them. Codes are LMDB's: 0, MDB_* or errno.
 */
#ifndef STORE_LMDB_ENV_H
#define STORE_LMDB_ENV_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <lmdb.h>

#include "base/bytes.h"

/* More threads than this wait for one another for the length of a look-up. */
#define STORE_READERS 16

struct store_env {
    char *path;
    size_t map_max; /* bytes: the map does not grow beyond */
    MDB_env *env;
    MDB_dbi entries, expiry, counters, uses, meta;
    pthread_mutex_t writer;
    pthread_mutex_t readers_lock;
    pthread_cond_t readers_changed;
    MDB_txn *idle[STORE_READERS];
    unsigned idle_count;
    bool quiescing;
    _Atomic uint64_t commits; /* the number of the latest commit: rises for good */
};

/* Opens or creates the files in directory path. env is usable only when the result is 0. */
int store_env_open(struct store_env *env, const char *path);
/* Flushes nothing. */
void store_env_close(struct store_env *env);
/* True for the codes that mean that the files themselves are damaged or not ours. */
bool store_env_is_damage(int code);

/* A read transaction of this moment; give it back after a few microseconds. */
int store_env_read(struct store_env *env, MDB_txn **out);
void store_env_read_end(struct store_env *env, MDB_txn *txn);

/* Writes every commit so far to the disk. Writers and readers go on meanwhile. */
int store_env_sync(struct store_env *env);

/*
 * Runs work in a write transaction: commits when it returns 0, else aborts and returns its code.
 * work may run again from the start when the map had to grow, so it must not keep state of a run.
 */
typedef int store_env_work(struct store_env *env, MDB_txn *txn, void *arg);
int store_env_write(struct store_env *env, store_env_work *work, void *arg);
/* Once, for work that gives pages back: it may take pages beyond the map's limit for those that it
 * changes, which nothing else can. */
int store_env_write_beyond(struct store_env *env, store_env_work *work, void *arg);

/*
 * The meta table. Reading: MDB_NOTFOUND when absent; a view that lasts as long as the transaction.
 */
int store_env_get_meta(struct store_env *env, MDB_txn *txn, const char *name,
                       struct byte_reader *out);
int store_env_put_meta(struct store_env *env, MDB_txn *txn, const char *name, const void *data,
                       size_t len);
int store_env_get_number(struct store_env *env, MDB_txn *txn, const char *name, uint64_t *out);
int store_env_put_number(struct store_env *env, MDB_txn *txn, const char *name, uint64_t value);

#endif
