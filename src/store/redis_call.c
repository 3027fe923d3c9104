/* One call of the script: connection, arguments, acknowledgement by the replicas. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/redis_internal.h"
#include "store/redis_script.h"

#define ARGV_MAX (24 + 512)
/* WAIT ends so much before the deadline, so that its answer comes in time: Redis looks at its
 * time-outs ten times a second. */
#define WAIT_MARGIN_MS 150

static const char *const keys[] = {"mikeyd:meta",          "mikeyd:entries", "mikeyd:expiry",
                                   "mikeyd:counters",      "mikeyd:lanes",   "mikeyd:ends",
                                   "mikeyd:counters-lost", "mikeyd:uses"};
#define KEY_COUNT (sizeof keys / sizeof keys[0])

void redis_call_bytes(struct redis_call *call, const void *data, size_t len)
{
    call->argv[call->argc] = data;
    call->len[call->argc++] = len;
}

void redis_call_text(struct redis_call *call, const char *text)
{
    redis_call_bytes(call, text, strlen(text));
}

void redis_answer_free(struct redis_answer *answer)
{
    redis_free_all(&answer->reply, 1);
    answer->extra = NULL;
}

int64_t redis_deadline(const struct redis_store *store)
{
    const int64_t set = store_deadline_ms();
    return set != 0 ? set : clock_monotonic_ms() + store->timeout_ms;
}

/* ---- connections */

void redis_drop_idle(struct redis_store *store)
{
    for (;;) {
        (void)pthread_mutex_lock(&store->lock);
        struct redis_wire *wire = store->idle_count == 0 ? NULL : store->idle[--store->idle_count];
        (void)pthread_mutex_unlock(&store->lock);
        if (wire == NULL)
            return;
        redis_wire_close(wire);
    }
}

/* One that nobody uses, or a new one: each worker has one in effect, and none waits for another's. */
static enum mikeyd_status take_wire(struct redis_store *store, int64_t deadline_ms,
                                    unsigned *generation, struct redis_wire **out,
                                    struct error *err)
{
    char primary[REDIS_ADDRESS];
    for (;;) {
        *out = NULL;
        (void)pthread_mutex_lock(&store->lock);
        const enum mikeyd_status health = store->health;
        if (health != MIKEYD_OK)
            (void)error_set(err, health, "%s", store->health_text);
        memcpy(primary, store->primary, sizeof primary);
        *generation = store->generation;
        if (health == MIKEYD_OK && store->idle_count != 0)
            *out = store->idle[--store->idle_count];
        (void)pthread_mutex_unlock(&store->lock);
        if (health != MIKEYD_OK)
            return health;
        if (*out == NULL)
            return redis_connect(store, primary, true, deadline_ms, out, err);
        if (redis_wire_is_fresh(*out))
            return MIKEYD_OK;
        redis_wire_close(*out);
    }
}

static void give_back(struct redis_store *store, struct redis_wire *wire, unsigned generation)
{
    (void)pthread_mutex_lock(&store->lock);
    const bool kept = generation == store->generation && store->idle_count < REDIS_IDLE_MAX;
    if (kept)
        store->idle[store->idle_count++] = wire;
    (void)pthread_mutex_unlock(&store->lock);
    if (!kept)
        redis_wire_close(wire);
}

/* ---- the call */

static bool put_script(struct redis_store *store, struct redis_wire *wire,
                       const struct redis_call *call)
{
    const char *argv[ARGV_MAX];
    size_t len[ARGV_MAX];
    int argc = 0;
    char branch[REDIS_BRANCH], version[REDIS_NUMBER], n[REDIS_NUMBER], gate[REDIS_NUMBER];
    (void)pthread_mutex_lock(&store->lock);
    (void)snprintf(branch, sizeof branch, "%s", call->as_fresh ? "" : store->branch);
    (void)snprintf(version, sizeof version, "%s", call->as_fresh ? "" : store->sets.version);
    (void)snprintf(n, sizeof n, "%" PRIu64, store->n);
    (void)snprintf(gate, sizeof gate, "%" PRIu64, store->lost_n);
    (void)pthread_mutex_unlock(&store->lock);
    argv[argc++] = "EVALSHA";
    argv[argc++] = store->script_sha;
    argv[argc++] = "8";
    for (size_t i = 0; i < KEY_COUNT; i++)
        argv[argc++] = keys[i];
    argv[argc++] = call->operation;
    argv[argc++] = branch;
    argv[argc++] = n;
    argv[argc++] = gate;
    argv[argc++] = version;
    for (int i = 0; i < argc; i++)
        len[i] = strlen(argv[i]);
    for (int i = 0; i < call->argc; i++, argc++) {
        argv[argc] = call->argv[i];
        len[argc] = call->len[i];
    }
    for (size_t i = 0; i < call->digest_count; i++, argc++) {
        argv[argc] = (const char *)call->digests[i];
        len[argc] = STORE_DIGEST;
    }
    return redis_wire_put(wire, argc, argv, len);
}

static bool put_wait(const struct redis_store *store, struct redis_wire *wire, int64_t deadline_ms)
{
    char count[16], patience[24];
    const int64_t left = deadline_ms - clock_monotonic_ms();
    const int64_t waits = left < 2 * WAIT_MARGIN_MS ? left / 2 : left - WAIT_MARGIN_MS;
    (void)snprintf(count, sizeof count, "%u", store->replicas);
    /* 0 would be for ever. */
    (void)snprintf(patience, sizeof patience, "%" PRId64, waits < 1 ? 1 : waits);
    return redis_wire_put_words(wire, (const char *const[]){"WAIT", count, patience, NULL});
}

/* replies[0]: the script's, [1]: of WAIT. */
static enum mikeyd_status talk(struct redis_store *store, struct redis_wire *wire,
                               int64_t deadline_ms, const struct redis_call *call,
                               redisReply *replies[2], struct error *err)
{
    const bool waits = call->waits && store->replicas != 0;
    if (!put_script(store, wire, call) || (waits && !put_wait(store, wire, deadline_ms)))
        return error_set(err, MIKEYD_INTERNAL, "replay store: out of memory");
    return redis_wire_talk(wire, deadline_ms, replies, waits ? 2 : 1, err);
}

static enum mikeyd_status load_script(struct redis_wire *wire, int64_t deadline_ms,
                                      struct error *err)
{
    redisReply *reply = NULL;
    const char *argv[] = {"SCRIPT", "LOAD", redis_script};
    const size_t len[] = {6, 4, redis_script_len};
    if (!redis_wire_put(wire, 3, argv, len))
        return error_set(err, MIKEYD_INTERNAL, "replay store: out of memory");
    enum mikeyd_status status = redis_wire_talk(wire, deadline_ms, &reply, 1, err);
    if (status == MIKEYD_OK && reply->type == REDIS_REPLY_ERROR)
        status = error_set(err, MIKEYD_STORE_DOWN, "replay store: Redis %s: %.120s",
                           redis_wire_address(wire), reply->str);
    redis_free_all(&reply, 1);
    return status;
}

static bool find_word(const redisReply *reply, enum redis_word *out)
{
    static const char *const words[] = {
        [WORD_OK] = "OK",       [WORD_REPLAY] = "REPLAY", [WORD_CLOSED] = "CLOSED",
        [WORD_LOST] = "LOST",   [WORD_STALE] = "STALE",   [WORD_COUNTERS] = "COUNTERS",
        [WORD_LATER] = "LATER", [WORD_FULL] = "FULL",     [WORD_USED] = "USED"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(reply->element[0]->str, words[i]) == 0) {
            *out = (enum redis_word)i;
            return true;
        }
    }
    return false;
}

static enum mikeyd_status check_acknowledged(const struct redis_store *store,
                                             const struct redis_wire *wire, const redisReply *wait,
                                             struct error *err)
{
    if (wait == NULL)
        return MIKEYD_OK;
    if (wait->type != REDIS_REPLY_INTEGER)
        return error_set(err, MIKEYD_STORE_DOWN, "replay store: Redis %s: WAIT: %.120s",
                         redis_wire_address(wire),
                         wait->type == REDIS_REPLY_ERROR ? wait->str : "no number");
    if (wait->integer >= (long long)store->replicas)
        return MIKEYD_OK;
    return error_set(err, MIKEYD_STORE_DOWN,
                     "replay store: Redis %s: %lld of %u replicas have the entry in time",
                     redis_wire_address(wire), wait->integer, store->replicas);
}

static enum mikeyd_status judge(struct redis_store *store, const struct redis_wire *wire,
                                redisReply *replies[2], struct redis_answer *answer,
                                struct error *err)
{
    redisReply *script = replies[0];
    if (script->type == REDIS_REPLY_ERROR)
        return error_set(err, MIKEYD_STORE_DOWN, "replay store: Redis %s: %.160s",
                         redis_wire_address(wire), script->str);
    enum mikeyd_status status = redis_take_state(store, script, err);
    if (status != MIKEYD_OK)
        return status;
    if (!find_word(script, &answer->word))
        return error_set(err, MIKEYD_STORE_DOWN, "replay store: Redis %s: a strange answer",
                         redis_wire_address(wire));
    if (answer->word == WORD_OK)
        status = check_acknowledged(store, wire, replies[1], err);
    if (status == MIKEYD_OK && answer->word == WORD_OK)
        redis_take_mark(store, script);
    return status;
}

enum mikeyd_status redis_call_over(struct redis_store *store, struct redis_wire *wire,
                                   int64_t deadline_ms, const struct redis_call *call,
                                   struct redis_answer *answer, struct error *err)
{
    redisReply *replies[2] = {NULL, NULL};
    *answer = (struct redis_answer){.word = WORD_LOST};
    enum mikeyd_status status = talk(store, wire, deadline_ms, call, replies, err);
    if (status == MIKEYD_OK && replies[0]->type == REDIS_REPLY_ERROR &&
        strncmp(replies[0]->str, "NOSCRIPT", 8) == 0) {
        redis_free_all(replies, 2);
        status = load_script(wire, deadline_ms, err);
        if (status == MIKEYD_OK)
            status = talk(store, wire, deadline_ms, call, replies, err);
    }
    if (status == MIKEYD_OK)
        status = judge(store, wire, replies, answer, err);
    if (status == MIKEYD_OK) {
        answer->reply = replies[0];
        answer->extra = replies[0]->element[7];
        replies[0] = NULL;
    }
    redis_free_all(replies, 2);
    return status;
}

enum mikeyd_status redis_call_run(struct redis_store *store, const struct redis_call *call,
                                  struct redis_answer *answer, struct error *err)
{
    const int64_t deadline_ms = redis_deadline(store);
    struct redis_wire *wire = NULL;
    struct error why = {.text = ""};
    unsigned generation = 0;
    *answer = (struct redis_answer){.word = WORD_LOST};
    enum mikeyd_status status = take_wire(store, deadline_ms, &generation, &wire, &why);
    if (status == MIKEYD_OK)
        status = redis_call_over(store, wire, deadline_ms, call, answer, &why);
    if (status == MIKEYD_OK) {
        give_back(store, wire, generation);
        if (answer->word != WORD_LOST)
            return MIKEYD_OK;
        /* The watch asks again, makes sure that this is the primary, and closes the store. */
        status = error_set(&why, MIKEYD_STORE_DOWN, "replay store: Redis may have lost track: %s",
                           answer->extra->type == REDIS_REPLY_STRING ? redis_why(answer->extra->str)
                                                                     : "");
        redis_answer_free(answer);
    } else {
        redis_wire_close(wire);
    }
    redis_watch_kick(store);
    return error_set(err, status, "%s", why.text);
}
