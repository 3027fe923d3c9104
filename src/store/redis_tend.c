/* What the watch does to the store: closes it after a loss, notes what others reached, discards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "store/redis_internal.h"

#define ATTEMPTS 8
#define DISCARD_AT_ONCE 256
/* So long in each second, at most. */
#define DISCARD_MS 300

static int64_t tend_deadline(const struct redis_store *store)
{
    return clock_monotonic_ms() + store->timeout_ms;
}

static enum mikeyd_status call_probe(struct redis_store *store, const struct redis_call *call,
                                     struct redis_answer *answer, struct error *err)
{
    return redis_call_over(store, store->probe, tend_deadline(store), call, answer, err);
}

static void add_series(struct store_times to[STORE_SERIES_COUNT],
                       const struct store_times more[STORE_SERIES_COUNT])
{
    for (int i = 0; i < STORE_SERIES_COUNT; i++)
        store_times_add_all(&to[i], &more[i]);
}

/* ---- after a loss */

/* All that anybody knows to have been reached is forgotten. */
static enum mikeyd_status lose(struct redis_store *store, struct redis_sets *sets,
                               struct redis_answer *answer, struct error *err)
{
    struct redis_sets own;
    struct redis_packed packed;
    char until[24], stamps[24], identity[REDIS_IDENTITY];
    uint8_t random[(REDIS_IDENTITY - 1) / 2];
    struct redis_call call = {.operation = "lose", .waits = true};
    redis_copy_sets(store, &own);
    add_series(sets->reached, own.reached);
    add_series(sets->forgotten, own.forgotten);
    add_series(sets->forgotten, sets->reached);
    if (RAND_bytes(random, sizeof random) != 1)
        return error_set(err, MIKEYD_INTERNAL, "replay store: no random bytes");
    hex_encode(random, sizeof random, identity);
    (void)snprintf(until, sizeof until, "%" PRId64,
                   store_reopens_at(sets->reached, store->window_s));
    /* Whoever has a second of timestamps has used it up by then, as far as clocks may differ. */
    (void)snprintf(stamps, sizeof stamps, "%" PRId64,
                   clock_unix_ms() + STORE_STAMP_AHEAD_MS + 2 * store->clock_difference_ms);
    redis_call_text(&call, until);
    redis_call_text(&call, store->identity[0] != '\0' ? store->identity : identity);
    redis_call_text(&call, stamps);
    redis_call_sets(&call, sets, &packed);
    return call_probe(store, &call, answer, err);
}

enum mikeyd_status redis_lose(struct redis_store *store, struct error *err)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        struct redis_answer answer;
        struct redis_sets sets;
        const struct redis_call touch = {.operation = "touch", .waits = true};
        enum mikeyd_status status = call_probe(store, &touch, &answer, err);
        if (status == MIKEYD_OK && answer.word == WORD_LOST &&
            !redis_answer_sets(store, answer.reply, &sets))
            status = error_set(err, MIKEYD_STORE_DOWN,
                               "replay store: what Redis holds is not ours, or damaged");
        const bool done = status != MIKEYD_OK || answer.word == WORD_OK;
        redis_answer_free(&answer);
        if (done)
            return status;
        status = lose(store, &sets, &answer, err);
        const enum redis_word word = answer.word;
        redis_answer_free(&answer);
        if (status != MIKEYD_OK || word == WORD_OK)
            return status;
    }
    return error_set(err, MIKEYD_STORE_DOWN, "replay store: others change it all the time");
}

/* What this process knew to be reached when somebody else closed the store. */
static enum mikeyd_status merge_once(struct redis_store *store, bool *done, struct error *err)
{
    struct redis_sets sets, before;
    struct redis_packed packed;
    struct redis_answer answer = {.word = WORD_OK};
    struct redis_call call = {.operation = "sets", .waits = true};
    enum mikeyd_status status = MIKEYD_OK;
    (void)pthread_mutex_lock(&store->lock);
    const uint64_t loss = store->lost_n;
    sets = before = store->sets;
    add_series(sets.forgotten, store->to_merge);
    (void)pthread_mutex_unlock(&store->lock);
    if (memcmp(&sets, &before, sizeof sets) != 0) { /* public */
        redis_call_sets(&call, &sets, &packed);
        status = call_probe(store, &call, &answer, err);
    }
    (void)pthread_mutex_lock(&store->lock);
    *done = status == MIKEYD_OK && answer.word == WORD_OK && loss == store->lost_n;
    if (*done) {
        memset(store->to_merge, 0, sizeof store->to_merge);
        store->merge = false;
    }
    (void)pthread_mutex_unlock(&store->lock);
    redis_answer_free(&answer);
    return status;
}

static enum mikeyd_status merge(struct redis_store *store, struct error *err)
{
    bool done = false;
    enum mikeyd_status status = MIKEYD_OK;
    for (int i = 0; i < ATTEMPTS && !done && status == MIKEYD_OK; i++)
        status = merge_once(store, &done, err);
    return status;
}

/* ---- discarding */

struct batch {
    uint8_t digests[DISCARD_AT_ONCE][STORE_DIGEST];
    size_t count;
    struct redis_sets sets; /* with the times of the batch */
};

static bool read_batch(const redisReply *list, struct batch *batch)
{
    if (list->type == REDIS_REPLY_STRING && list->len == 0)
        return true;
    if (list->type != REDIS_REPLY_ARRAY || list->elements > (size_t)2 * DISCARD_AT_ONCE ||
        list->elements % 2 != 0)
        return false;
    for (size_t i = 0; i < list->elements; i += 2) {
        const redisReply *digest = list->element[i], *time = list->element[i + 1];
        if (digest->type != REDIS_REPLY_STRING || digest->len != STORE_DIGEST ||
            time->type != REDIS_REPLY_STRING)
            return false;
        memcpy(batch->digests[batch->count++], digest->str, STORE_DIGEST);
        struct byte_reader r = reader_of(time->str, time->len);
        if (time->len == 0)
            continue;
        const uint8_t series = reader_u8(&r);
        const uint64_t t = reader_u64(&r);
        if (!reader_done(&r) || series >= STORE_SERIES_COUNT)
            return false;
        store_times_add(&batch->sets.forgotten[series], t, t);
    }
    return true;
}

/* Forgets the times and drops the entries in one call, if nobody changed the sets since. */
static enum mikeyd_status drop_batch(struct redis_store *store, struct batch *batch,
                                     struct error *err)
{
    struct redis_packed packed;
    struct redis_answer answer;
    struct redis_call call = {.operation = "discard",
                              .digests = (const uint8_t(*)[STORE_DIGEST])batch->digests,
                              .digest_count = batch->count,
                              .waits = true};
    redis_call_sets(&call, &batch->sets, &packed);
    enum mikeyd_status status = call_probe(store, &call, &answer, err);
    if (status == MIKEYD_OK && answer.word == WORD_OK && answer.extra->type == REDIS_REPLY_STRING)
        atomic_fetch_add(&store->expired, strtoull(answer.extra->str, NULL, 10));
    redis_answer_free(&answer);
    return status;
}

static enum mikeyd_status discard_batch(struct redis_store *store, int64_t cutoff, size_t *count,
                                        struct error *err)
{
    static _Thread_local struct batch batch;
    char until[24], most[16];
    struct redis_answer answer;
    struct redis_call call = {.operation = "expired"};
    (void)snprintf(until, sizeof until, "%" PRId64, cutoff);
    (void)snprintf(most, sizeof most, "%d", DISCARD_AT_ONCE);
    redis_call_text(&call, until);
    redis_call_text(&call, most);
    enum mikeyd_status status = call_probe(store, &call, &answer, err);
    batch.count = 0;
    redis_copy_sets(store, &batch.sets);
    if (status == MIKEYD_OK && answer.word == WORD_OK && !read_batch(answer.extra, &batch))
        status = error_set(err, MIKEYD_STORE_DOWN, "replay store: entries of Redis are damaged");
    redis_answer_free(&answer);
    *count = batch.count;
    return status == MIKEYD_OK && batch.count != 0 ? drop_batch(store, &batch, err) : status;
}

enum mikeyd_status redis_tend(struct redis_store *store, struct error *err)
{
    const int64_t begun_ms = clock_monotonic_ms();
    const int64_t cutoff = store_clock_cutoff(&store->clock, clock_unix_ms(),
                                              store_clock_boottime_ms(), store->window_s);
    size_t count = DISCARD_AT_ONCE;
    enum mikeyd_status status = merge(store, err);
    while (status == MIKEYD_OK && cutoff >= 0 && count == DISCARD_AT_ONCE &&
           clock_monotonic_ms() - begun_ms < DISCARD_MS)
        status = discard_batch(store, cutoff, &count, err);
    return status;
}
