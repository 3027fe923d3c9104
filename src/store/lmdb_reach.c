/*
 * The two sets of times of a store (store.h): those that may have been accepted, in the state file,
 * and those whose entries may be gone, in the database.
 */
#include "store/lmdb_internal.h"

static const char *const forgotten_names[STORE_SERIES_COUNT] = {
    [STORE_SERIES_MESSAGES] = "forgot-messages",
    [STORE_SERIES_TICKETS] = "forgot-tickets",
};

enum mikeyd_status store_change_state(struct lmdb_store *store, const struct store_state *next,
                                      struct error *err)
{
    enum mikeyd_status status = store_state_write(store->dir, next, err);
    if (status != MIKEYD_OK)
        return status;
    (void)pthread_mutex_lock(&store->times_lock);
    store->state = *next;
    (void)pthread_mutex_unlock(&store->times_lock);
    return MIKEYD_OK;
}

/* ---- times that may have been accepted */

static bool reach_left(struct lmdb_store *store, const struct store_time *time, uint64_t *left)
{
    (void)pthread_mutex_lock(&store->times_lock);
    const bool reached = store_reach_left(&store->state.reached[time->series], time->t, left);
    (void)pthread_mutex_unlock(&store->times_lock);
    return reached;
}

/* Under state_lock. */
static enum mikeyd_status reach_extend(struct lmdb_store *store, const struct store_time *time,
                                       struct error *err)
{
    uint64_t left;
    if (reach_left(store, time, &left) && left >= STORE_REACH_LITTLE)
        return MIKEYD_OK; /* another thread was faster */
    struct store_state next = store->state;
    store_reach_extend(&next.reached[time->series], time->t);
    return store_change_state(store, &next, err);
}

enum mikeyd_status store_reach(struct lmdb_store *store, const struct store_time *time,
                               struct error *err)
{
    uint64_t left;
    const bool reached = reach_left(store, time, &left);
    if (reached && left >= STORE_REACH_LITTLE)
        return MIKEYD_OK;
    /* Well before the end one thread writes and the others go on. */
    if (reached && pthread_mutex_trylock(&store->state_lock) != 0)
        return MIKEYD_OK;
    if (!reached)
        (void)pthread_mutex_lock(&store->state_lock);
    enum mikeyd_status status = reach_extend(store, time, reached ? NULL : err);
    (void)pthread_mutex_unlock(&store->state_lock);
    return reached ? MIKEYD_OK : status;
}

/* ---- times whose entries may be gone */

bool store_is_forgotten(struct lmdb_store *store, const struct store_time *time)
{
    if (time == NULL)
        return false;
    (void)pthread_mutex_lock(&store->times_lock);
    const bool forgotten = store_times_have(&store->forgotten[time->series], time->t);
    (void)pthread_mutex_unlock(&store->times_lock);
    return forgotten;
}

void store_copy_forgotten(struct lmdb_store *store, struct store_times out[STORE_SERIES_COUNT])
{
    (void)pthread_mutex_lock(&store->times_lock);
    for (int i = 0; i < STORE_SERIES_COUNT; i++)
        out[i] = store->forgotten[i];
    (void)pthread_mutex_unlock(&store->times_lock);
}

int store_put_forgotten(struct lmdb_store *store, MDB_txn *txn,
                        const struct store_times forgotten[STORE_SERIES_COUNT])
{
    /* Before the commit: from then on a look-up may miss the entries. */
    (void)pthread_mutex_lock(&store->times_lock);
    for (int i = 0; i < STORE_SERIES_COUNT; i++)
        store->forgotten[i] = forgotten[i];
    (void)pthread_mutex_unlock(&store->times_lock);
    int rc = 0;
    for (int i = 0; i < STORE_SERIES_COUNT && rc == 0; i++) {
        uint8_t bytes[STORE_TIMES_BYTES];
        struct byte_writer w = writer_of(bytes, sizeof bytes);
        store_times_write(&forgotten[i], &w);
        rc = store_env_put_meta(&store->env, txn, forgotten_names[i], bytes, w.len);
    }
    return rc;
}

static int reach_read_forgotten(struct lmdb_store *store, MDB_txn *txn, int series)
{
    struct byte_reader r;
    int rc = store_env_get_meta(&store->env, txn, forgotten_names[series], &r);
    if (rc != 0)
        return rc == MDB_NOTFOUND ? 0 : rc;
    return store_times_read(&r, &store->forgotten[series]) ? 0 : MDB_CORRUPTED;
}

static int reach_lose_work(struct store_env *env, MDB_txn *txn, void *arg)
{
    struct lmdb_store *store = arg;
    struct store_times forgotten[STORE_SERIES_COUNT];
    (void)env;
    store_copy_forgotten(store, forgotten);
    for (int i = 0; i < STORE_SERIES_COUNT; i++)
        store_times_add_all(&forgotten[i], &store->state.reached[i]);
    return store_put_forgotten(store, txn, forgotten);
}

enum mikeyd_status store_load_forgotten(struct lmdb_store *store, bool lost, struct error *err)
{
    MDB_txn *txn;
    int rc = store_env_read(&store->env, &txn);
    if (rc != 0)
        return store_fail(store, rc, err);
    for (int i = 0; i < STORE_SERIES_COUNT && rc == 0; i++)
        rc = reach_read_forgotten(store, txn, i);
    store_env_read_end(&store->env, txn);
    if (rc == 0 && lost)
        rc = store_write(store, reach_lose_work, store);
    return rc == 0 ? MIKEYD_OK : store_fail(store, rc, err);
}
