/* The port: each call goes to the store's own. */
#include "store/store.h"

#include "base/clock.h"

static _Thread_local int64_t thread_deadline_ms;
static _Thread_local int64_t thread_wait_us;

void store_set_deadline(int64_t deadline_ms)
{
    thread_deadline_ms = deadline_ms;
}

int64_t store_deadline_ms(void)
{
    return thread_deadline_ms;
}

int64_t store_take_wait_us(void)
{
    const int64_t us = thread_wait_us;
    thread_wait_us = 0;
    return us;
}

static enum mikeyd_status waited_since(int64_t begun_us, enum mikeyd_status status)
{
    thread_wait_us += clock_monotonic_us() - begun_us;
    return status;
}

void store_close(struct replay_store *store)
{
    if (store != NULL)
        store->ops->close(store);
}

void store_get_mark(struct replay_store *store, char out[STORE_MARK])
{
    store->ops->get_mark(store, out);
}

void store_note_log(struct replay_store *store, uint64_t sequence)
{
    store->ops->note_log(store, sequence);
}

const char *store_identity(const struct replay_store *store)
{
    return store->ops->identity(store);
}

enum mikeyd_status store_check(struct replay_store *store, struct error *err)
{
    return store->ops->check(store, err);
}

enum mikeyd_status store_lookup(struct replay_store *store, const struct store_time *time,
                                const uint8_t digest[STORE_DIGEST], struct error *err)
{
    const int64_t begun_us = clock_monotonic_us();
    enum mikeyd_status status = store->ops->lookup(store, time, digest, err);
    return waited_since(begun_us, status);
}

enum mikeyd_status store_insert(struct replay_store *store, const struct store_time *time,
                                const uint8_t digests[][STORE_DIGEST], size_t count,
                                int64_t expires_unix, const struct store_use *use,
                                struct error *err)
{
    const int64_t begun_us = clock_monotonic_us();
    enum mikeyd_status status =
        store->ops->insert(store, time, digests, count, expires_unix, use, err);
    return waited_since(begun_us, status);
}

enum mikeyd_status store_sync(struct replay_store *store, struct error *err)
{
    return store->ops->sync(store, err);
}

enum mikeyd_status store_advance_counter(struct replay_store *store,
                                         const uint8_t digest[STORE_DIGEST], uint64_t value,
                                         struct error *err)
{
    const int64_t begun_us = clock_monotonic_us();
    enum mikeyd_status status = store->ops->advance_counter(store, digest, value, err);
    return waited_since(begun_us, status);
}

enum mikeyd_status store_unique_timestamp(struct replay_store *store, const uint64_t *after,
                                          uint64_t *out, struct error *err)
{
    const int64_t begun_us = clock_monotonic_us();
    enum mikeyd_status status = store->ops->unique_timestamp(store, after, out, err);
    return waited_since(begun_us, status);
}

void store_get_stats(struct replay_store *store, struct store_stats *out)
{
    store->ops->get_stats(store, out);
}
