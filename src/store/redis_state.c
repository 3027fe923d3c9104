/* What this process knows of the store, and takes from each answer of the script. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/redis_internal.h"

/* The script's reply: see redis_script.lua. */
enum reply_field {
    FIELD_WORD,
    FIELD_BRANCH,
    FIELD_N,
    FIELD_NOW,
    FIELD_LOST_N,
    FIELD_CLOSED_UNTIL,
    FIELD_VERSION,
    FIELD_EXTRA,
    FIELD_COUNT,
    FIELD_IDENTITY = FIELD_COUNT,
    FIELD_WHY,
    FIELD_SETS,
    FIELD_COUNT_WITH_SETS = FIELD_SETS + 2 * STORE_SERIES_COUNT
};

struct state {
    char branch[REDIS_BRANCH];
    uint64_t n, now_us, lost_n, closed_until;
    struct redis_sets sets; /* version "": none came */
    const redisReply *identity, *why;
};

const char *redis_why(const char *word)
{
    static const char *const why[][2] = {
        {"EMPTY", "the database is empty"},
        {"ENTRIES", "entries are missing"},
        {"HISTORY", "it does not have what was acknowledged: an older copy, or another history"}};
    for (size_t i = 0; i < sizeof why / sizeof why[0]; i++) {
        if (strcmp(why[i][0], word) == 0)
            return why[i][1];
    }
    return "somebody lost track";
}

/* ---- reading an answer */

static bool read_number(const redisReply *reply, uint64_t *out)
{
    char *end;
    *out = strtoull(reply->str, &end, 10);
    return reply->str[0] >= '0' && reply->str[0] <= '9' && *end == '\0';
}

static bool read_sets(const redisReply *reply, struct redis_sets *out)
{
    for (int i = 0; i < 2 * STORE_SERIES_COUNT; i++) {
        const redisReply *element = reply->element[FIELD_SETS + i];
        struct byte_reader r = reader_of(element->str, element->len);
        if (!store_times_read(&r, i < STORE_SERIES_COUNT ? &out->forgotten[i]
                                                         : &out->reached[i - STORE_SERIES_COUNT]))
            return false;
    }
    const redisReply *version = reply->element[FIELD_VERSION];
    const int len = snprintf(out->version, sizeof out->version, "%s", version->str);
    return len >= 0 && (size_t)len < sizeof out->version;
}

static bool read_state(const redisReply *reply, struct state *out)
{
    *out = (struct state){.identity = NULL};
    if (reply->type != REDIS_REPLY_ARRAY ||
        (reply->elements != FIELD_COUNT && reply->elements != FIELD_COUNT_WITH_SETS))
        return false;
    for (size_t i = 0; i < reply->elements; i++) {
        if (i != FIELD_EXTRA && reply->element[i]->type != REDIS_REPLY_STRING)
            return false;
    }
    const redisReply *branch = reply->element[FIELD_BRANCH];
    if (branch->len >= REDIS_BRANCH || !read_number(reply->element[FIELD_N], &out->n) ||
        !read_number(reply->element[FIELD_NOW], &out->now_us) ||
        !read_number(reply->element[FIELD_LOST_N], &out->lost_n) ||
        !read_number(reply->element[FIELD_CLOSED_UNTIL], &out->closed_until))
        return false;
    memcpy(out->branch, branch->str, branch->len + 1);
    if (reply->elements == FIELD_COUNT)
        return true;
    out->identity = reply->element[FIELD_IDENTITY];
    out->why = reply->element[FIELD_WHY];
    return read_sets(reply, &out->sets);
}

/* ---- taking it */

/* Any two daemons that are each this close to Redis are closer to each other than entries outlive
 * their expiry. */
static enum mikeyd_status check_clock(const struct redis_store *store, uint64_t redis_us,
                                      struct error *err)
{
    const int64_t difference_ms = (int64_t)(redis_us / 1000) - clock_unix_ms();
    if (llabs(difference_ms) <= store->clock_difference_ms)
        return MIKEYD_OK;
    return error_set(err, MIKEYD_STORE_DOWN,
                     "replay store: the clock of Redis stands %" PRId64
                     " ms %s this host's: at most %" PRId64
                     " are allowed; mend the synchronisation of both "
                     "(chronyc tracking)",
                     (int64_t)llabs(difference_ms), difference_ms < 0 ? "behind" : "ahead of",
                     store->clock_difference_ms);
}

/* Under lock. Somebody lost track: what he closed the store for, this process waits out, too. */
static void adopt_loss(struct redis_store *store, const struct state *state)
{
    const int64_t until = (int64_t)state->closed_until, wait_s = until - clock_unix_now();
    char text[CLOCK_TEXT];
    store->lost_n = state->lost_n;
    if (state->lost_n == 0 || wait_s <= 0)
        return;
    store->closed_why = redis_why(state->why == NULL ? "" : state->why->str);
    store->closed_until = until;
    store->closed_until_boottime_ms = store_clock_boottime_ms() + wait_s * 1000;
    clock_format_utc(until * 1000, text);
    log_warning("replay store: track was lost (%s): nothing is accepted before %s",
                store->closed_why, text);
}

/* Under lock. What was reached before the loss is to be forgotten by all. */
static void take_sets(struct redis_store *store, const struct state *state)
{
    const uint64_t had = strtoull(store->sets.version, NULL, 10);
    if (state->sets.version[0] == '\0' || strtoull(state->sets.version, NULL, 10) < had)
        return; /* an answer that was overtaken */
    if (state->lost_n != store->lost_n && had != 0) {
        for (int i = 0; i < STORE_SERIES_COUNT; i++)
            store_times_add_all(&store->to_merge[i], &store->sets.reached[i]);
        store->merge = true;
    }
    store->sets = state->sets;
}

enum mikeyd_status redis_take_state(struct redis_store *store, const redisReply *reply,
                                    struct error *err)
{
    struct state state;
    if (!read_state(reply, &state))
        return error_set(err, MIKEYD_STORE_DOWN, "replay store: Redis gave a strange answer");
    enum mikeyd_status status = check_clock(store, state.now_us, err);
    if (status != MIKEYD_OK)
        return status;
    /* Of a server that lost track only the sets are of use, to close it. */
    if (strcmp(reply->element[FIELD_WORD]->str, "LOST") == 0)
        return MIKEYD_OK;
    if (state.identity != NULL && store->identity[0] != '\0' &&
        strcmp(state.identity->str, store->identity) != 0)
        return error_set(err, MIKEYD_STORE_DOWN,
                         "replay store: Redis holds the store %.32s, which is another fleet's",
                         state.identity->str);
    (void)pthread_mutex_lock(&store->lock);
    /* At the opening, before there is another thread. */
    if (state.identity != NULL && store->identity[0] == '\0')
        (void)snprintf(store->identity, sizeof store->identity, "%.32s", state.identity->str);
    if (state.n >= store->n) {
        take_sets(store, &state);
        if (state.lost_n != store->lost_n)
            adopt_loss(store, &state);
    }
    (void)pthread_mutex_unlock(&store->lock);
    return MIKEYD_OK;
}

void redis_take_mark(struct redis_store *store, const redisReply *reply)
{
    struct state state;
    if (!read_state(reply, &state))
        return;
    (void)pthread_mutex_lock(&store->lock);
    if (state.n > store->n) {
        store->n = state.n;
        memcpy(store->branch, state.branch, sizeof store->branch);
    }
    (void)pthread_mutex_unlock(&store->lock);
}

bool redis_answer_sets(struct redis_store *store, const redisReply *reply, struct redis_sets *out)
{
    redis_copy_sets(store, out);
    if (reply->elements == FIELD_COUNT)
        return true; /* they are ours */
    *out = (struct redis_sets){.version = ""};
    return reply->elements == FIELD_COUNT_WITH_SETS && read_sets(reply, out);
}

/* ---- may entries be judged? */

enum mikeyd_status redis_check_gate(struct redis_store *store, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    (void)pthread_mutex_lock(&store->lock);
    /* Both clocks: the wall clock may be set forward while this waits. */
    if (store->closed_until != 0 && clock_unix_now() >= store->closed_until &&
        store_clock_boottime_ms() >= store->closed_until_boottime_ms)
        store->closed_until = 0;
    const int64_t until = store->closed_until;
    const char *why = store->closed_why;
    if (store->health != MIKEYD_OK)
        status = error_set(err, store->health, "%s", store->health_text);
    else if (store->merge)
        status = error_set(err, MIKEYD_STORE_DOWN,
                           "replay track was lost: what may have been accepted before is being "
                           "noted");
    (void)pthread_mutex_unlock(&store->lock);
    return until == 0 ? status : store_refuse_until(until, why, err);
}

/* ---- the sets of times */

bool redis_is_forgotten(struct redis_store *store, const struct store_time *time)
{
    if (time == NULL)
        return false;
    (void)pthread_mutex_lock(&store->lock);
    const bool forgotten = store_times_have(&store->sets.forgotten[time->series], time->t);
    (void)pthread_mutex_unlock(&store->lock);
    return forgotten;
}

void redis_copy_sets(struct redis_store *store, struct redis_sets *out)
{
    (void)pthread_mutex_lock(&store->lock);
    *out = store->sets;
    (void)pthread_mutex_unlock(&store->lock);
}

void redis_call_sets(struct redis_call *call, const struct redis_sets *sets,
                     struct redis_packed *packed)
{
    redis_call_text(call, sets->version);
    for (int i = 0; i < 2 * STORE_SERIES_COUNT; i++) {
        const struct store_times *times =
            i < STORE_SERIES_COUNT ? &sets->forgotten[i] : &sets->reached[i - STORE_SERIES_COUNT];
        struct byte_writer w = writer_of(packed->bytes[i], STORE_TIMES_BYTES);
        store_times_write(times, &w);
        redis_call_bytes(call, packed->bytes[i], w.len);
    }
}

/* True when it is this thread's to write the set; *must: t is not in it yet. */
static bool is_to_extend(struct redis_store *store, const struct store_time *time, bool *must)
{
    uint64_t left = 0;
    (void)pthread_mutex_lock(&store->lock);
    *must = !store_reach_left(&store->sets.reached[time->series], time->t, &left);
    const bool ours = *must || (left < STORE_REACH_LITTLE && !store->extending);
    store->extending = store->extending || ours;
    (void)pthread_mutex_unlock(&store->lock);
    return ours;
}

static enum mikeyd_status extend(struct redis_store *store, const struct store_time *time,
                                 struct error *err)
{
    struct redis_sets sets;
    struct redis_packed packed = {0};
    struct redis_answer answer;
    struct redis_call call = {.operation = "sets", .waits = true};
    redis_copy_sets(store, &sets);
    store_reach_extend(&sets.reached[time->series], time->t);
    redis_call_sets(&call, &sets, &packed);
    enum mikeyd_status status = redis_call_run(store, &call, &answer, err);
    redis_answer_free(&answer);
    return status;
}

enum mikeyd_status redis_reach(struct redis_store *store, const struct store_time *time,
                               struct error *err)
{
    bool must = false;
    enum mikeyd_status status = MIKEYD_OK;
    /* Whoever loses to another thread, here or elsewhere, looks again: it may be in by now. */
    while (status == MIKEYD_OK && is_to_extend(store, time, &must)) {
        status = extend(store, time, err);
        (void)pthread_mutex_lock(&store->lock);
        store->extending = false;
        (void)pthread_mutex_unlock(&store->lock);
        if (!must)
            return MIKEYD_OK;
    }
    return status;
}
