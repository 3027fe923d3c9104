/* The replay store on Redis: the port's functions, and opening. */
#include "store/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/clock.h"
#include "base/text.h"
#include "store/redis_internal.h"
#include "store/redis_script.h"

#define CLOCK_DIFFERENCE_MS (STORE_GRACE_S * 1000 / 2)
#define MARK_FORMAT "%s/%" PRIu64

/* ---- digests this process met: a replay of one costs no round trip and no token */

static size_t met_place(const uint8_t digest[STORE_DIGEST])
{
    return ((size_t)digest[0] << 8 | digest[1]) % REDIS_MET;
}

static void remember(struct redis_store *store, const uint8_t digests[][STORE_DIGEST], size_t count)
{
    (void)pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < count; i++)
        memcpy(store->met[met_place(digests[i])], digests[i], STORE_DIGEST);
    (void)pthread_mutex_unlock(&store->lock);
}

static bool have_met(struct redis_store *store, const uint8_t digest[STORE_DIGEST])
{
    (void)pthread_mutex_lock(&store->lock);
    const bool met = memcmp(store->met[met_place(digest)], digest, STORE_DIGEST) == 0; /* public */
    (void)pthread_mutex_unlock(&store->lock);
    return met;
}

/* ---- the port */

static enum mikeyd_status redis_lookup(struct replay_store *base, const struct store_time *time,
                                       const uint8_t digest[STORE_DIGEST], struct error *err)
{
    struct redis_store *store = redis_of(base);
    enum mikeyd_status status = redis_check_gate(store, err);
    if (status != MIKEYD_OK)
        return status;
    if (redis_is_forgotten(store, time))
        return store_refuse_forgotten(time, err);
    if (!have_met(store, digest))
        return MIKEYD_OK;
    atomic_fetch_add(&store->refused, 1);
    return error_set(err, MIKEYD_REPLAY, "seen before");
}

static enum mikeyd_status insert_judge(struct redis_store *store, const struct store_time *time,
                                       const struct redis_call *call, enum redis_word word,
                                       struct error *err)
{
    if (word == WORD_USED)
        return error_set(err, MIKEYD_POLICY, "its uses are used up");
    if (word == WORD_CLOSED)
        return error_set(err, MIKEYD_STORE_DOWN, "replay track was lost: the store is closed");
    if (word != WORD_OK && word != WORD_REPLAY)
        return error_set(err, MIKEYD_STORE_DOWN, "replay store: Redis gave a strange answer");
    if (word == WORD_REPLAY) {
        /* Of several it may be one that was there: the first of one is it for certain. */
        if (call->digest_count == 1)
            remember(store, call->digests, 1);
        atomic_fetch_add(&store->refused, 1);
        return error_set(err, MIKEYD_REPLAY, "seen before");
    }
    /*
     * Another daemon may have discarded the entry of this time since it was last looked at; the
     * answer brought the sets as they were when the script ran. Then what was put is an entry of a
     * message that is refused, which does no harm.
     */
    if (redis_is_forgotten(store, time))
        return store_refuse_forgotten(time, err);
    remember(store, call->digests, call->digest_count);
    atomic_fetch_add(&store->inserted, call->digest_count);
    return MIKEYD_OK;
}

static enum mikeyd_status redis_insert(struct replay_store *base, const struct store_time *time,
                                       const uint8_t digests[][STORE_DIGEST], size_t count,
                                       int64_t expires_unix, const struct store_use *use,
                                       struct error *err)
{
    struct redis_store *store = redis_of(base);
    char expires[24], most[24], known[24];
    uint8_t of[1 + 8];
    struct byte_writer w = writer_of(of, sizeof of);
    struct redis_answer answer;
    struct redis_call call = {
        .operation = "insert", .digests = digests, .digest_count = count, .waits = true};
    enum mikeyd_status status = redis_check_gate(store, err);
    if (status == MIKEYD_OK && redis_is_forgotten(store, time))
        status = store_refuse_forgotten(time, err);
    if (status == MIKEYD_OK && time != NULL)
        status = redis_reach(store, time, err);
    if (status != MIKEYD_OK)
        return status;
    if (time != NULL) {
        writer_u8(&w, (uint8_t)time->series);
        writer_u64(&w, time->t);
    }
    (void)snprintf(expires, sizeof expires, "%" PRId64, expires_unix < 0 ? 0 : expires_unix);
    redis_call_text(&call, expires);
    redis_call_bytes(&call, of, w.len);
    (void)snprintf(most, sizeof most, "%" PRIu64, use == NULL ? 0 : use->most);
    (void)snprintf(known, sizeof known, "%" PRIu64,
                   use == NULL ? 0 : redis_use_known(store, use->digest));
    redis_call_bytes(&call, use == NULL ? "" : (const char *)use->digest,
                     use == NULL ? 0 : STORE_DIGEST);
    redis_call_text(&call, most);
    redis_call_text(&call, known);
    status = redis_call_run(store, &call, &answer, err);
    if (status == MIKEYD_OK && use != NULL && answer.word == WORD_OK)
        status = redis_use_take(store, use->digest, answer.extra, err);
    if (status == MIKEYD_OK)
        status = insert_judge(store, time, &call, answer.word, err);
    redis_answer_free(&answer);
    return status;
}

static enum mikeyd_status redis_advance_counter(struct replay_store *base,
                                                const uint8_t digest[STORE_DIGEST], uint64_t value,
                                                struct error *err)
{
    struct redis_store *store = redis_of(base);
    uint8_t bytes[8];
    struct byte_writer w = writer_of(bytes, sizeof bytes);
    struct redis_answer answer;
    struct redis_call call = {.operation = "counter", .waits = true};
    enum mikeyd_status status = redis_check_gate(store, err);
    if (status != MIKEYD_OK)
        return status;
    writer_u64(&w, value);
    redis_call_bytes(&call, digest, STORE_DIGEST);
    redis_call_bytes(&call, bytes, w.len);
    status = redis_call_run(store, &call, &answer, err);
    const enum redis_word word = answer.word;
    redis_answer_free(&answer);
    if (status != MIKEYD_OK || word == WORD_OK)
        return status;
    if (word == WORD_REPLAY) {
        atomic_fetch_add(&store->refused, 1);
        return error_set(err, MIKEYD_REPLAY, "the counter is not greater than the highest seen");
    }
    if (word == WORD_CLOSED)
        return error_set(err, MIKEYD_STORE_DOWN, "replay track was lost: the store is closed");
    return error_set(
        err, MIKEYD_STORE_DOWN,
        "COUNTER is refused, its highest values were lost: give keys used with it a new "
        "generation, then: redis-cli DEL mikeyd:counters-lost");
}

static enum mikeyd_status redis_sync(struct replay_store *base, struct error *err)
{
    struct redis_answer answer;
    const struct redis_call call = {.operation = "touch", .waits = true};
    enum mikeyd_status status = redis_call_run(redis_of(base), &call, &answer, err);
    redis_answer_free(&answer);
    return status;
}

static void redis_get_mark(struct replay_store *base, char out[STORE_MARK])
{
    struct redis_store *store = redis_of(base);
    (void)pthread_mutex_lock(&store->lock);
    (void)snprintf(out, STORE_MARK, MARK_FORMAT, store->branch, store->n);
    (void)pthread_mutex_unlock(&store->lock);
}

static void redis_note_log(struct replay_store *base, uint64_t sequence)
{
    (void)base;
    (void)sequence;
}

static const char *redis_identity(const struct replay_store *base)
{
    return ((const struct redis_store *)base)->identity;
}

static enum mikeyd_status redis_check(struct replay_store *base, struct error *err)
{
    return redis_check_gate(redis_of(base), err);
}

static void redis_get_stats(struct replay_store *base, struct store_stats *out)
{
    struct redis_store *store = redis_of(base);
    (void)redis_check_gate(store, NULL);
    *out = (struct store_stats){.entries = atomic_load(&store->entries),
                                .inserted = atomic_load(&store->inserted),
                                .refused = atomic_load(&store->refused),
                                .expired = atomic_load(&store->expired)};
    (void)pthread_mutex_lock(&store->lock);
    out->closed_until = store->closed_until;
    out->closed_why = store->closed_why;
    (void)pthread_mutex_unlock(&store->lock);
}

/* ---- opening and closing */

static void redis_free(struct redis_store *store)
{
    redis_drop_idle(store);
    redis_wire_close(store->probe);
    redis_tls_free(store->tls);
    (void)pthread_mutex_destroy(&store->lock);
    (void)pthread_mutex_destroy(&store->stamp.lock);
    (void)pthread_cond_destroy(&store->wake);
    free(store->uses.places);
    free(store->service);
    free(store->user);
    free(store->password_file);
    free(store);
}

static void redis_close(struct replay_store *base)
{
    struct redis_store *store = redis_of(base);
    redis_watch_stop(store);
    redis_free(store);
}

static const struct replay_ops redis_ops = {
    .name = "redis",
    .close = redis_close,
    .get_mark = redis_get_mark,
    .note_log = redis_note_log,
    .identity = redis_identity,
    .check = redis_check,
    .lookup = redis_lookup,
    .insert = redis_insert,
    .sync = redis_sync,
    .advance_counter = redis_advance_counter,
    .unique_timestamp = redis_unique_timestamp,
    .get_stats = redis_get_stats,
};

static enum mikeyd_status copy_addresses(const char *const *from, size_t count,
                                         char to[][REDIS_ADDRESS], size_t *copied,
                                         struct error *err)
{
    if (count > REDIS_SERVERS_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "more than %d servers", REDIS_SERVERS_MAX);
    for (size_t i = 0; i < count; i++) {
        enum mikeyd_status status = redis_address_check(from[i], NULL, err);
        if (status != MIKEYD_OK)
            return status;
        (void)snprintf(to[i], REDIS_ADDRESS, "%s", from[i]);
    }
    *copied = count;
    return MIKEYD_OK;
}

static enum mikeyd_status copy_text(const char *from, char **to, struct error *err)
{
    *to = from == NULL ? NULL : strdup(from);
    return from == NULL || *to != NULL
               ? MIKEYD_OK
               : error_set(err, MIKEYD_INTERNAL, "replay store: out of memory");
}

static enum mikeyd_status copy_options(struct redis_store *store,
                                       const struct redis_options *options, struct error *err)
{
    store->replicas = options->replicas;
    store->timeout_ms = options->timeout_ms;
    store->clock_difference_ms =
        options->clock_difference_ms == 0 ? CLOCK_DIFFERENCE_MS : options->clock_difference_ms;
    enum mikeyd_status status = copy_addresses(options->servers, options->server_count,
                                               store->servers, &store->server_count, err);
    if (status == MIKEYD_OK && options->sentinel_service != NULL)
        status = copy_addresses(options->sentinels, options->sentinel_count, store->sentinels,
                                &store->sentinel_count, err);
    if (status == MIKEYD_OK)
        status = copy_text(options->sentinel_service, &store->service, err);
    if (status == MIKEYD_OK)
        status = copy_text(options->user, &store->user, err);
    if (status == MIKEYD_OK)
        status = copy_text(options->password_file, &store->password_file, err);
    if (status == MIKEYD_OK && options->tls != NULL)
        status = redis_tls_make(options->tls, &store->tls, err);
    if (status != MIKEYD_OK)
        return status;
    if (store->server_count == 0 || (store->service != NULL && store->sentinel_count == 0))
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "no server is named");
    if (store->replicas == 0 && (store->server_count > 1 || store->service != NULL))
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "replicas is 0 beside several servers: the one that takes over would not "
                         "have what was accepted");
    return MIKEYD_OK;
}

/* SHA-1 is how Redis names scripts. */
static enum mikeyd_status name_script(struct redis_store *store, struct error *err)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (EVP_Digest(redis_script, redis_script_len, hash, &len, EVP_sha1(), NULL) != 1 || len != 20)
        return error_set(err, MIKEYD_INTERNAL, "replay store: SHA-1 is not available");
    hex_encode(hash, len, store->script_sha);
    return MIKEYD_OK;
}

static enum mikeyd_status take_witness(struct redis_store *store,
                                       const struct store_witness *witness, struct error *err)
{
    char branch[REDIS_BRANCH] = "", end;
    uint64_t n = 0;
    if (witness == NULL || witness->mark[0] == '\0')
        return MIKEYD_OK;
    if (sscanf(witness->mark, "%16[0-9a-f]/%20" SCNu64 "%c", branch, &n, &end) != 2 || n == 0)
        return error_set(err, MIKEYD_STORE_DOWN,
                         "the audit log's mark of the replay store is damaged");
    memcpy(store->branch, branch, sizeof branch);
    store->n = n;
    return MIKEYD_OK;
}

static enum mikeyd_status init_locks(struct redis_store *store, struct error *err)
{
    pthread_condattr_t attr;
    bool done = pthread_condattr_init(&attr) == 0;
    done = done && pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 &&
           pthread_cond_init(&store->wake, &attr) == 0;
    (void)pthread_condattr_destroy(&attr);
    done = done && pthread_mutex_init(&store->lock, NULL) == 0 &&
           pthread_mutex_init(&store->stamp.lock, NULL) == 0;
    return done ? MIKEYD_OK : error_set(err, MIKEYD_INTERNAL, "replay store: out of memory");
}

enum mikeyd_status redis_store_open(const struct redis_options *options, unsigned window_s,
                                    const struct store_witness *witness, struct replay_store **out,
                                    struct error *err)
{
    struct redis_store *store = calloc(1, sizeof *store);
    *out = NULL;
    if (store == NULL || init_locks(store, err) != MIKEYD_OK) {
        free(store);
        return error_set(err, MIKEYD_INTERNAL, "replay store: out of memory");
    }
    store->base.ops = &redis_ops;
    store->window_s = window_s;
    store_clock_start(&store->clock, clock_unix_ms(), store_clock_boottime_ms());
    enum mikeyd_status status = copy_options(store, options, err);
    if (status == MIKEYD_OK)
        status = name_script(store, err);
    if (status == MIKEYD_OK)
        status = take_witness(store, witness, err);
    if (status == MIKEYD_OK)
        status = redis_watch_start(store, err);
    if (status != MIKEYD_OK) {
        redis_free(store);
        return status;
    }
    *out = &store->base;
    return MIKEYD_OK;
}
