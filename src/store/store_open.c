#include "store/store_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

/* Why replay track is lost, or NULL when the database can be trusted. */
static const char *store_why_lost(const struct store_state *state, bool has_database,
                                  const char *boot_id)
{
    bool same_boot = strcmp(state->boot_id, boot_id) == 0;
    if (!has_database)
        return state->left == STORE_LEFT_ABSENT ? NULL : "the database is gone";
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

static void store_close_gate(struct replay_store *store)
{
    store->closed_until_boottime_ms = store_clock_boottime_ms() + (int64_t)store->window_s * 1000;
    atomic_store(&store->closed_until, clock_unix_now() + store->window_s);
}

static enum mikeyd_status store_lose_track(struct replay_store *store, const char *path,
                                           const char *why, struct error *err)
{
    log_warning("replay store %s: %s: nothing is accepted for %u s", path, why, store->window_s);
    store_close_gate(store);
    return store_state_move_aside(store->dir, err);
}

static enum mikeyd_status store_open_env(struct replay_store *store, const char *path,
                                         struct error *err)
{
    int rc = store_env_open(&store->env, path);
    if (rc != 0 && store_env_is_damage(rc)) {
        enum mikeyd_status status = store_lose_track(store, path, mdb_strerror(rc), err);
        if (status != MIKEYD_OK)
            return status;
        rc = store_env_open(&store->env, path);
    }
    if (rc != 0)
        return error_set(err, MIKEYD_STORE_DOWN, "replay store %s: %s", path, mdb_strerror(rc));
    return MIKEYD_OK;
}

/* What the database itself remembers. */
static enum mikeyd_status store_load(struct replay_store *store, struct error *err)
{
    MDB_txn *txn;
    uint64_t discarded = 0;
    int rc = store_env_read(&store->env, &txn);
    if (rc != 0)
        return store_fail(store, rc, err);
    rc = store_env_get_number(&store->env, txn, "discarded", &discarded);
    store_env_read_end(&store->env, txn);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return store_fail(store, rc, err);
    atomic_store(&store->discarded_until, (int64_t)discarded);
    store_clock_start(&store->clock, clock_unix_ms(), store_clock_boottime_ms());
    return store_stamp_open(store, err);
}

static enum mikeyd_status store_open_files(struct replay_store *store, const char *path,
                                           struct error *err)
{
    struct store_state state;
    store_state_read(store->dir, &state);
    const char *why = store_why_lost(&state, store_state_has_database(store->dir), store->boot_id);
    enum mikeyd_status status = MIKEYD_OK;
    if (why != NULL)
        status = store_lose_track(store, path, why, err);
    else if (state.left == STORE_LEFT_CLOSED)
        /* The closed time had not passed: it begins again, since nobody knows how much was left. */
        store_close_gate(store);
    if (status == MIKEYD_OK)
        status = store_open_env(store, path, err);
    if (status != MIKEYD_OK)
        return status;
    /* On disk before the first insert can be, or a crash would look like a store left clean. */
    enum store_left left =
        atomic_load(&store->closed_until) == 0 ? STORE_LEFT_OPEN : STORE_LEFT_CLOSED;
    status = store_state_write(store->dir, left, store->boot_id, err);
    if (status == MIKEYD_OK)
        status = store_load(store, err);
    if (status != MIKEYD_OK)
        store_env_close(&store->env);
    return status;
}

enum mikeyd_status store_open(const char *path, unsigned window_s, struct replay_store **out,
                              struct error *err)
{
    *out = NULL;
    struct replay_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return error_set(err, MIKEYD_INTERNAL, "replay store: out of memory");
    store->window_s = window_s;
    enum mikeyd_status status = store_state_boot_id(store->boot_id, err);
    if (status == MIKEYD_OK)
        status = store_state_lock(path, &store->dir, &store->lock, err);
    if (status != MIKEYD_OK) {
        free(store);
        return status;
    }
    status = store_open_files(store, path, err);
    if (status != MIKEYD_OK) {
        (void)close(store->dir);
        (void)close(store->lock);
        free(store);
        return status;
    }
    (void)pthread_mutex_init(&store->gate, NULL);
    *out = store;
    return MIKEYD_OK;
}

void store_close(struct replay_store *store)
{
    if (store == NULL)
        return;
    struct error err = {0};
    enum store_left left =
        atomic_load(&store->closed_until) == 0 ? STORE_LEFT_CLEAN : STORE_LEFT_CLOSED;
    store_stamp_close(store);
    /* The word "clean" only over a database that is on the disk. */
    bool flushed = store_sync(store, &err) == MIKEYD_OK;
    store_env_close(&store->env);
    if (flushed)
        flushed = store_state_write(store->dir, left, store->boot_id, &err) == MIKEYD_OK;
    if (!flushed)
        log_warning("%s", err.text);
    (void)pthread_mutex_destroy(&store->gate);
    (void)close(store->dir);
    (void)close(store->lock);
    free(store);
}
