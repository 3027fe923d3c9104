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

static void store_close_gate(struct replay_store *store, int64_t until, unsigned seconds,
                             const char *why)
{
    store->closed_until_boottime_ms = store_clock_boottime_ms() + (int64_t)seconds * 1000;
    store->closed_why = why;
    atomic_store(&store->closed_until, until);
}

static void store_close_for_a_window(struct replay_store *store)
{
    store->track_lost = true;
    store_close_gate(store, clock_unix_now() + store->window_s, store->window_s,
                     "replay track was lost");
}

/*
 * ---- a wider window than before
 *
 * Entries were kept for the window W of then, in which a message could pass for twice the clock
 * skew at most. With a wider skew, W' for W, it passes longer: by half of the difference, since its
 * T was still held against the old skew. So nothing is accepted before the last entry that has been
 * discarded would have mattered no more. The entries that are left are safe: nothing is discarded
 * in the first window W' of a run (store_clock.h). Until then the state file goes on saying W, for
 * an opening in between.
 */

static void store_miss_discarded(struct replay_store *store)
{
    const unsigned kept_s = atomic_load(&store->kept_s);
    const unsigned longer_s = (store->window_s - kept_s + 1) / 2;
    const int64_t until = atomic_load(&store->discarded_until) + longer_s;
    const int64_t left_s = until - clock_unix_now();
    if (longer_s == 0 || atomic_load(&store->closed_until) != 0 || left_s <= 0)
        return;
    log_notice("replay store %s: its window grew from %u s to %u s: nothing is accepted for at "
               "most %u s",
               store->env.path, kept_s, store->window_s, longer_s);
    /* More is left only while the clock stands before what was discarded: refused for that anyway.
     */
    store_close_gate(store, until, left_s < longer_s ? (unsigned)left_s : longer_s,
                     "the clock skew was widened and older replay entries are gone");
}

void store_raise_window(struct replay_store *store)
{
    if (atomic_load(&store->kept_s) == store->window_s)
        return;
    struct error err = {0};
    (void)pthread_mutex_lock(&store->gate);
    if (atomic_load(&store->kept_s) != store->window_s) {
        if (store_state_write(store->dir, STORE_LEFT_OPEN, store->window_s, store->boot_id, &err) ==
            MIKEYD_OK)
            atomic_store(&store->kept_s, store->window_s);
        else
            log_warning("%s", err.text); /* the narrower one is the careful one */
    }
    (void)pthread_mutex_unlock(&store->gate);
}

/* ---- opening */

static enum mikeyd_status store_lose_track(struct replay_store *store, const char *path,
                                           const char *why, struct error *err)
{
    log_warning("replay store %s: %s: nothing is accepted for %u s", path, why, store->window_s);
    store_close_for_a_window(store);
    atomic_store(&store->kept_s, store->window_s); /* of the entries to come */
    /* Before the database goes: a crash in between must not leave the counters merely absent. */
    enum mikeyd_status status = store_state_lose_counters(store->dir, err);
    if (status != MIKEYD_OK)
        return status;
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
    store_miss_discarded(store);
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
    bool narrower = state.left != STORE_LEFT_ABSENT && state.window_s < store->window_s;
    atomic_store(&store->kept_s, narrower ? state.window_s : store->window_s);
    if (why != NULL)
        status = store_lose_track(store, path, why, err);
    else if (state.left == STORE_LEFT_CLOSED)
        /* The closed time had not passed: it begins again, since nobody knows how much was left. */
        store_close_for_a_window(store);
    if (status == MIKEYD_OK)
        status = store_open_env(store, path, err);
    if (status != MIKEYD_OK)
        return status;
    store->counters_lost = store_state_counters_lost(store->dir);
    /* On disk before the first insert can be, or a crash would look like a store left clean. */
    enum store_left left =
        atomic_load(&store->closed_until) == 0 ? STORE_LEFT_OPEN : STORE_LEFT_CLOSED;
    status = store_state_write(store->dir, left, store->kept_s, store->boot_id, err);
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
    /* A store closed for a wider window is left clean: the next opening finds that out itself. */
    enum store_left left = atomic_load(&store->closed_until) != 0 && store->track_lost
                               ? STORE_LEFT_CLOSED
                               : STORE_LEFT_CLEAN;
    store_stamp_close(store);
    /* The word "clean" only over a database that is on the disk. */
    bool flushed = store_sync(store, &err) == MIKEYD_OK;
    store_env_close(&store->env);
    if (flushed)
        flushed =
            store_state_write(store->dir, left, store->kept_s, store->boot_id, &err) == MIKEYD_OK;
    if (!flushed)
        log_warning("%s", err.text);
    (void)pthread_mutex_destroy(&store->gate);
    (void)close(store->dir);
    (void)close(store->lock);
    free(store);
}
