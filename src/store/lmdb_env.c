#include "store/lmdb_env.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define STORE_FORMAT 2
/* The map doubles from LMDB's first 1 MiB; 16 GiB hold some 200 million entries. */
#define STORE_MAP_MAX ((size_t)16 << 30)
/* Beyond it: more than a batch of entries, each in leaves of its own, has to copy. */
#define STORE_MAP_BEYOND ((size_t)16 << 20)
/*
 * Pages that a transaction took and gave back are counted in the file's length but perhaps never
 * written, so a sound file may be a little short.
 */
#define STORE_SHORT_PAGES 64

bool store_env_is_damage(int code)
{
    switch (code) {
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_VERSION_MISMATCH:
    case MDB_PAGE_NOTFOUND:
    case MDB_PANIC:
    case MDB_INCOMPATIBLE:
    case MDB_BAD_DBI:
    case MDB_NOTFOUND:
        return true;
    default:
        return false;
    }
}

/* LMDB's values are not const, but it does not write through what it is given. */
#define META_NAME_MAX 16
#define META_VALUE_MAX 256

int store_env_get_meta(struct store_env *env, MDB_txn *txn, const char *name,
                       struct byte_reader *out)
{
    char text[META_NAME_MAX];
    MDB_val key = {strnlen(name, sizeof text), text}, value;
    memcpy(text, name, key.mv_size);
    int rc = mdb_get(txn, env->meta, &key, &value);
    if (rc == 0)
        *out = reader_of(value.mv_data, value.mv_size);
    return rc;
}

int store_env_put_meta(struct store_env *env, MDB_txn *txn, const char *name, const void *data,
                       size_t len)
{
    char text[META_NAME_MAX];
    uint8_t bytes[META_VALUE_MAX];
    struct byte_writer w = writer_of(bytes, sizeof bytes);
    writer_bytes(&w, data, len);
    if (w.failed)
        return MDB_BAD_VALSIZE;
    MDB_val key = {strnlen(name, sizeof text), text}, value = {len, bytes};
    memcpy(text, name, key.mv_size);
    return mdb_put(txn, env->meta, &key, &value, 0);
}

int store_env_get_number(struct store_env *env, MDB_txn *txn, const char *name, uint64_t *out)
{
    struct byte_reader r;
    int rc = store_env_get_meta(env, txn, name, &r);
    if (rc != 0)
        return rc;
    *out = reader_u64(&r);
    return reader_done(&r) ? 0 : MDB_CORRUPTED;
}

int store_env_put_number(struct store_env *env, MDB_txn *txn, const char *name, uint64_t number)
{
    uint8_t bytes[8];
    struct byte_writer w = writer_of(bytes, sizeof bytes);
    writer_u64(&w, number);
    return store_env_put_meta(env, txn, name, bytes, w.len);
}

/* A file cut short would end in SIGBUS on the first access behind its end. */
static int env_check_length(MDB_env *env)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat file;
    int fd;
    int rc = mdb_env_info(env, &info);
    if (rc == 0)
        rc = mdb_env_stat(env, &stat);
    if (rc == 0)
        rc = mdb_env_get_fd(env, &fd);
    if (rc != 0)
        return rc;
    if (fstat(fd, &file) != 0)
        return errno;
    size_t pages = (size_t)file.st_size / stat.ms_psize;
    return info.me_last_pgno < pages + STORE_SHORT_PAGES ? 0 : MDB_CORRUPTED;
}

static int env_open_tables(struct store_env *env)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(env->env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    MDB_stat before;
    uint64_t format;
    rc = mdb_env_stat(env->env, &before); /* of the table of tables */
    if (rc == 0)
        rc = mdb_dbi_open(txn, "entries", MDB_CREATE, &env->entries);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "expiry", MDB_CREATE, &env->expiry);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "counters", MDB_CREATE, &env->counters);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "uses", MDB_CREATE, &env->uses);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &env->meta);
    if (rc == 0 && before.ms_entries == 0)
        rc = store_env_put_number(env, txn, "format", STORE_FORMAT);
    if (rc == 0)
        rc = store_env_get_number(env, txn, "format", &format);
    if (rc == 0 && format != STORE_FORMAT)
        rc = MDB_VERSION_MISMATCH;
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static void env_close_readers(struct store_env *env)
{
    while (env->idle_count > 0)
        mdb_txn_abort(env->idle[--env->idle_count]);
}

static int env_open_readers(struct store_env *env)
{
    while (env->idle_count < STORE_READERS) {
        MDB_txn *txn;
        int rc = mdb_txn_begin(env->env, NULL, MDB_RDONLY, &txn);
        if (rc != 0)
            return rc;
        mdb_txn_reset(txn);
        env->idle[env->idle_count++] = txn;
    }
    return 0;
}

static void env_close_files(struct store_env *env)
{
    if (env->env == NULL)
        return;
    env_close_readers(env);
    mdb_env_close(env->env);
    env->env = NULL;
}

static int env_open_files(struct store_env *env)
{
    int rc = mdb_env_create(&env->env);
    if (rc != 0) {
        env->env = NULL;
        return rc;
    }
    rc = mdb_env_set_maxdbs(env->env, 5);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(env->env, STORE_READERS + 4);
    /* MDB_NOTLS: a read transaction belongs to the pool, not to a thread. */
    if (rc == 0)
        rc = mdb_env_open(env->env, env->path, MDB_NOSYNC | MDB_NOTLS, 0600);
    if (rc == 0)
        rc = env_check_length(env->env);
    if (rc == 0)
        rc = env_open_tables(env);
    if (rc == 0)
        rc = env_open_readers(env);
    MDB_envinfo info;
    if (rc == 0)
        rc = mdb_env_info(env->env, &info);
    if (rc == 0)
        atomic_store(&env->commits, info.me_last_txnid);
    if (rc != 0)
        env_close_files(env);
    return rc;
}

int store_env_open(struct store_env *env, const char *path)
{
    *env = (struct store_env){.path = strdup(path), .map_max = STORE_MAP_MAX};
    if (env->path == NULL)
        return ENOMEM;
    int rc = env_open_files(env);
    if (rc != 0) {
        free(env->path);
        return rc;
    }
    (void)pthread_mutex_init(&env->writer, NULL);
    (void)pthread_mutex_init(&env->readers_lock, NULL);
    (void)pthread_cond_init(&env->readers_changed, NULL);
    return 0;
}

void store_env_close(struct store_env *env)
{
    env_close_files(env);
    (void)pthread_cond_destroy(&env->readers_changed);
    (void)pthread_mutex_destroy(&env->readers_lock);
    (void)pthread_mutex_destroy(&env->writer);
    free(env->path);
}

static void env_return_reader(struct store_env *env, MDB_txn *txn)
{
    (void)pthread_mutex_lock(&env->readers_lock);
    env->idle[env->idle_count++] = txn;
    (void)pthread_cond_broadcast(&env->readers_changed);
    (void)pthread_mutex_unlock(&env->readers_lock);
}

/* NULL when the environment could not be reopened. */
static MDB_txn *env_take_reader(struct store_env *env)
{
    (void)pthread_mutex_lock(&env->readers_lock);
    while (env->env != NULL && (env->quiescing || env->idle_count == 0))
        (void)pthread_cond_wait(&env->readers_changed, &env->readers_lock);
    MDB_txn *txn = env->env == NULL ? NULL : env->idle[--env->idle_count];
    (void)pthread_mutex_unlock(&env->readers_lock);
    return txn;
}

int store_env_read(struct store_env *env, MDB_txn **out)
{
    *out = NULL;
    MDB_txn *txn = env_take_reader(env);
    if (txn == NULL)
        return MDB_PANIC;
    int rc = mdb_txn_renew(txn);
    if (rc != 0)
        env_return_reader(env, txn);
    else
        *out = txn;
    return rc;
}

void store_env_read_end(struct store_env *env, MDB_txn *txn)
{
    mdb_txn_reset(txn);
    env_return_reader(env, txn);
}

int store_env_sync(struct store_env *env)
{
    /* Holding a reader, not renewed, keeps the environment from being closed under the flush. */
    MDB_txn *txn = env_take_reader(env);
    if (txn == NULL)
        return MDB_PANIC;
    int rc = mdb_env_sync(mdb_txn_env(txn), 1);
    env_return_reader(env, txn);
    return rc;
}

/* The map may only move while no transaction looks at it. */
static void env_readers_stop(struct store_env *env)
{
    (void)pthread_mutex_lock(&env->readers_lock);
    env->quiescing = true;
    while (env->env != NULL && env->idle_count < STORE_READERS)
        (void)pthread_cond_wait(&env->readers_changed, &env->readers_lock);
    (void)pthread_mutex_unlock(&env->readers_lock);
}

static void env_readers_go(struct store_env *env)
{
    (void)pthread_mutex_lock(&env->readers_lock);
    env->quiescing = false;
    (void)pthread_cond_broadcast(&env->readers_changed);
    (void)pthread_mutex_unlock(&env->readers_lock);
}

static int env_set_size(struct store_env *env, size_t size)
{
    env_readers_stop(env);
    int rc = mdb_env_set_mapsize(env->env, size);
    env_readers_go(env);
    return rc;
}

static int env_grow(struct store_env *env)
{
    MDB_envinfo info;
    int rc = mdb_env_info(env->env, &info);
    if (rc != 0)
        return rc;
    if (info.me_mapsize >= env->map_max)
        return MDB_MAP_FULL;
    return env_set_size(env, info.me_mapsize * 2);
}

/*
 * After a failed write of its root page LMDB refuses every further call on the environment; the
 * files are still those of the last commit. Opening them again is the way back without a restart.
 */
static int env_reopen(struct store_env *env)
{
    env_readers_stop(env);
    (void)pthread_mutex_lock(&env->readers_lock);
    env_close_files(env);
    int rc = env_open_files(env);
    (void)pthread_mutex_unlock(&env->readers_lock);
    env_readers_go(env);
    return rc;
}

static int env_write_once(struct store_env *env, store_env_work *work, void *arg)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(env->env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    const uint64_t number = mdb_txn_id(txn);
    rc = work(env, txn, arg);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    rc = mdb_txn_commit(txn);
    if (rc == 0)
        atomic_store(&env->commits, number);
    return rc;
}

int store_env_write(struct store_env *env, store_env_work *work, void *arg)
{
    (void)pthread_mutex_lock(&env->writer);
    int rc = env->env == NULL ? env_reopen(env) : 0;
    bool reopened = false;
    while (rc == 0) {
        rc = env_write_once(env, work, arg);
        if (rc == MDB_MAP_FULL) {
            rc = env_grow(env);
        } else if (rc == MDB_PANIC && !reopened) {
            reopened = true;
            rc = env_reopen(env);
        } else {
            break;
        }
    }
    (void)pthread_mutex_unlock(&env->writer);
    return rc;
}

int store_env_write_beyond(struct store_env *env, store_env_work *work, void *arg)
{
    MDB_envinfo info;
    (void)pthread_mutex_lock(&env->writer);
    int rc = env->env == NULL ? MDB_PANIC : mdb_env_info(env->env, &info);
    if (rc == 0)
        rc = env_set_size(env, info.me_mapsize + STORE_MAP_BEYOND);
    if (rc == 0) {
        rc = env_write_once(env, work, arg);
        /* Shrinks no further than to the last page in use. */
        int back = env_set_size(env, info.me_mapsize);
        rc = rc == 0 ? back : rc;
    }
    (void)pthread_mutex_unlock(&env->writer);
    return rc;
}
