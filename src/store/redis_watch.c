/*
 * The thread that looks after the store once a second, and at once when a request failed: finds the
 * primary, sees whether it is fit, proves it, and so knows whether the next request would succeed.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/rand.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "store/redis_internal.h"

#define LOOK_MS 1000
#define LOOK_DOWN_MS 200
/* Kicks do not make it look more often than this. */
#define LOOK_LEAST_MS 20
/* Another primary may appear beside a good one. */
#define FIND_EVERY 5

/* ---- health */

void redis_set_health(struct redis_store *store, enum mikeyd_status status, const char *text)
{
    store->health = status;
    (void)snprintf(store->health_text, sizeof store->health_text, "%s", text);
}

static void tell_health(struct redis_store *store, enum mikeyd_status status, const char *text)
{
    (void)pthread_mutex_lock(&store->lock);
    const bool changed = store->health != status || strcmp(store->health_text, text) != 0;
    redis_set_health(store, status, text);
    (void)pthread_mutex_unlock(&store->lock);
    if (changed && store->watching)
        log_write(status == MIKEYD_OK ? LOG_LEVEL_NOTICE : LOG_LEVEL_ERROR, "%s",
                  status == MIKEYD_OK ? "replay store: Redis serves again" : text);
}

/* ---- is the server fit? */

static bool info_has(const char *info, const char *line)
{
    return strstr(info, line) != NULL;
}

/* What replication does not promise here; told once for each primary. */
static void tell_replication(struct redis_store *store, const char *info)
{
    const char *count = strstr(info, "\nconnected_slaves:");
    const unsigned long replicas =
        count == NULL ? 0 : strtoul(count + strlen("\nconnected_slaves:"), NULL, 10);
    if (store->lone_told)
        return;
    store->lone_told = true;
    if (store->replicas == 0)
        log_warning("replay store: replicas is 0: what Redis loses in a crash is lost; the store "
                    "then closes for the window");
    else if (replicas > store->replicas)
        log_warning("replay store: Redis %s has %lu replicas, of which %u acknowledge: one without "
                    "the last entries may be promoted; the store then closes for the window",
                    redis_wire_address(store->probe), replicas, store->replicas);
    if (store->replicas != 0 && !info_has(info, "\nmin_slaves_good_slaves:"))
        log_warning("replay store: Redis %s has no min-replicas-to-write: cut off, it goes on "
                    "writing what nobody accepts",
                    redis_wire_address(store->probe));
}

static enum mikeyd_status check_fit(struct redis_store *store, struct error *err)
{
    redisReply *reply = NULL;
    if (!redis_wire_put_words(store->probe, (const char *const[]){"INFO", NULL}))
        return error_set(err, MIKEYD_INTERNAL, "replay store: out of memory");
    enum mikeyd_status status =
        redis_wire_talk(store->probe, clock_monotonic_ms() + store->timeout_ms, &reply, 1, err);
    if (status != MIKEYD_OK)
        return status;
    const char *address = redis_wire_address(store->probe);
    if (reply->type != REDIS_REPLY_STRING)
        status = error_set(err, MIKEYD_STORE_DOWN, "replay store: Redis %s: INFO: %.120s", address,
                           reply->type == REDIS_REPLY_ERROR ? reply->str : "no text");
    else if (!info_has(reply->str, "\nrole:master"))
        status = error_set(err, MIKEYD_STORE_DOWN,
                           "replay store: Redis %s is a replica, not the primary", address);
    else if (!info_has(reply->str, "\nmaxmemory_policy:noeviction"))
        status = error_set(err, MIKEYD_STORE_DOWN,
                           "replay store: Redis %s may evict entries: set maxmemory-policy "
                           "noeviction",
                           address);
    else
        tell_replication(store, reply->str);
    redis_free_all(&reply, 1);
    return status;
}

/* ---- one look */

static enum mikeyd_status reach_primary(struct redis_store *store, bool *certain, struct error *err)
{
    char primary[REDIS_ADDRESS] = "";
    enum mikeyd_status status = redis_find_primary(store, primary, certain, err);
    if (status != MIKEYD_OK)
        return status;
    (void)pthread_mutex_lock(&store->lock);
    const bool moved = strcmp(primary, store->primary) != 0;
    if (moved) {
        (void)snprintf(store->primary, sizeof store->primary, "%s", primary);
        store->generation++;
    }
    (void)pthread_mutex_unlock(&store->lock);
    if (moved) {
        if (store->watching)
            log_warning("replay store: the primary is Redis %s now", primary);
        redis_drop_idle(store);
        redis_wire_close(store->probe);
        store->probe = NULL;
        store->lone_told = false;
    }
    if (store->probe != NULL)
        return MIKEYD_OK;
    return redis_connect(store, primary, true, clock_monotonic_ms() + store->timeout_ms,
                         &store->probe, err);
}

/* Makes the store where there is none, and a caller that knows of none. */
static enum mikeyd_status prove(struct redis_store *store, bool *lost, struct error *err)
{
    struct redis_answer answer;
    char identity[REDIS_IDENTITY];
    uint8_t random[(REDIS_IDENTITY - 1) / 2];
    const bool opening = store->identity[0] == '\0';
    struct redis_call call = {.operation = opening ? "open" : "touch", .waits = true};
    if (opening) {
        if (RAND_bytes(random, sizeof random) != 1)
            return error_set(err, MIKEYD_INTERNAL, "replay store: no random bytes");
        hex_encode(random, sizeof random, identity);
        redis_call_text(&call, identity);
    }
    enum mikeyd_status status = redis_call_over(
        store, store->probe, clock_monotonic_ms() + store->timeout_ms, &call, &answer, err);
    *lost = status == MIKEYD_OK && answer.word == WORD_LOST;
    const bool tells = status == MIKEYD_OK && answer.extra->type == REDIS_REPLY_STRING;
    if (*lost)
        status =
            error_set(err, MIKEYD_STORE_DOWN, "replay store: Redis %s may have lost track: %s",
                      redis_wire_address(store->probe), tells ? redis_why(answer.extra->str) : "");
    else if (tells)
        atomic_store(&store->entries, strtoull(answer.extra->str, NULL, 10));
    redis_answer_free(&answer);
    return status;
}

/* A server that lost track is closed when it is the primary for certain; else it may be one that was
 * left behind, and another one has all. */
static enum mikeyd_status prove_or_lose(struct redis_store *store, bool found, bool certain,
                                        struct error *err)
{
    bool lost = false;
    enum mikeyd_status status = prove(store, &lost, err);
    if (!lost)
        return status;
    if (!found) {
        status = reach_primary(store, &certain, err);
        if (status == MIKEYD_OK)
            status = prove(store, &lost, err);
    }
    return lost && certain ? redis_lose(store, err) : status;
}

static enum mikeyd_status look(struct redis_store *store, bool find, struct error *err)
{
    bool certain = false;
    enum mikeyd_status status = MIKEYD_OK;
    if (store->probe != NULL && !redis_wire_is_fresh(store->probe)) {
        redis_wire_close(store->probe);
        store->probe = NULL;
    }
    find = find || store->probe == NULL;
    if (find)
        status = reach_primary(store, &certain, err);
    if (status == MIKEYD_OK)
        status = check_fit(store, err);
    if (status == MIKEYD_OK)
        status = prove_or_lose(store, find, certain, err);
    if (status == MIKEYD_OK)
        status = redis_tend(store, err);
    if (status != MIKEYD_OK) {
        redis_wire_close(store->probe);
        store->probe = NULL;
    }
    return status;
}

static void look_and_tell(struct redis_store *store, bool find)
{
    struct error err = {.text = ""};
    const enum mikeyd_status status = look(store, find, &err);
    tell_health(store, status == MIKEYD_OK ? MIKEYD_OK : MIKEYD_STORE_DOWN, err.text);
    if (status != MIKEYD_OK)
        redis_drop_idle(store);
}

/* ---- the thread */

/* True when it was kicked. */
static bool wait_for_turn(struct redis_store *store, int64_t looked_ms, bool *stop)
{
    (void)pthread_mutex_lock(&store->lock);
    for (;;) {
        const int64_t pause = store->kicked                ? LOOK_LEAST_MS
                              : store->health == MIKEYD_OK ? LOOK_MS
                                                           : LOOK_DOWN_MS;
        const int64_t until = looked_ms + pause;
        const struct timespec at = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
        if (store->stop || clock_monotonic_ms() >= until)
            break;
        (void)pthread_cond_timedwait(&store->wake, &store->lock, &at);
    }
    const bool kicked = store->kicked;
    store->kicked = false;
    *stop = store->stop;
    (void)pthread_mutex_unlock(&store->lock);
    return kicked;
}

static void *watch(void *context)
{
    struct redis_store *store = context;
    bool stop = false;
    for (unsigned turn = 1; !stop; turn++) {
        const bool kicked = wait_for_turn(store, clock_monotonic_ms(), &stop);
        if (!stop)
            look_and_tell(store, kicked || turn % FIND_EVERY == 0);
    }
    return NULL;
}

enum mikeyd_status redis_watch_start(struct redis_store *store, struct error *err)
{
    enum mikeyd_status status = look(store, true, err);
    if (status != MIKEYD_OK)
        return status;
    /* Signals are the main thread's. */
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    store->watching = pthread_create(&store->thread, NULL, watch, store) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return store->watching ? MIKEYD_OK : error_set(err, MIKEYD_INTERNAL, "replay store: no thread");
}

void redis_watch_stop(struct redis_store *store)
{
    if (!store->watching)
        return;
    (void)pthread_mutex_lock(&store->lock);
    store->stop = true;
    (void)pthread_cond_signal(&store->wake);
    (void)pthread_mutex_unlock(&store->lock);
    (void)pthread_join(store->thread, NULL);
}

void redis_watch_kick(struct redis_store *store)
{
    (void)pthread_mutex_lock(&store->lock);
    store->kicked = true;
    (void)pthread_cond_signal(&store->wake);
    (void)pthread_mutex_unlock(&store->lock);
}
