/* A keyholder's life: its parts, and the connections that the front hands it. */
#include "keyholder/keyholder.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "base/clock.h"
#include "base/log.h"
#include "keyholder/holder.h"
#include "pkcs11/token/profile.h"

#define CONNECTIONS_DEFAULT 512
#define PAIR_CACHE_DEFAULT 4096
#define WAIT_MS_DEFAULT 1000
#define RECYCLE_KB_DEFAULT 65536
/* Requests that need no token session, beside those that have one. */
#define DESKS_MORE 8
#define THREAD_STACK ((size_t)1 << 20)
/*
 * For a module that loses some of the heap with every HMAC. What is left when a successor is asked
 * for has to last until it serves, under full load: 30,000 HMACs a second lose 1 MB.
 */
#define LEAK_SPARE ((size_t)6 << 20)
#define LEAK_LEAST ((size_t)9 << 19)
/* How often a call into the module is looked at that may have hung. */
#define TICK_MS 100

size_t keyholder_heap(const struct token_config *token, size_t *least)
{
    const bool leaks = profile_foreseen(token->profile, token->module)->leaks_heap;
    const size_t sessions = token->sessions, spare = leaks ? LEAK_SPARE : HOLDER_HEAP_SPARE;
    /* Desks; the token's sessions and what calls need in passing. */
    const size_t need = (sessions + DESKS_MORE) * DESK_BYTES + sessions * 4096 + spare;
    *least = leaks ? LEAK_LEAST : HOLDER_HEAP_LEAST;
    size_t size = (size_t)1 << 20;
    while (size < need)
        size *= 2;
    return size;
}

static void fill_options(struct keyholder_options *options)
{
    if (options->connections == 0)
        options->connections = CONNECTIONS_DEFAULT;
    if (options->pair_cache == 0)
        options->pair_cache = PAIR_CACHE_DEFAULT;
    if (options->wait_ms == 0)
        options->wait_ms = WAIT_MS_DEFAULT;
    if (options->recycle_kb == 0)
        options->recycle_kb = RECYCLE_KB_DEFAULT;
    if (options->heap_least == 0)
        options->heap_least = HOLDER_HEAP_LEAST;
}

static void make_locks(struct keyholder *holder)
{
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&holder->some_ended, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_mutex_init(&holder->lock, NULL);
    (void)pthread_mutex_init(&holder->looking, NULL);
}

static enum mikeyd_status make_parts(struct keyholder *holder, struct error *err)
{
    struct token_facts facts;
    token_get_facts(holder->token, &facts);
    memcpy(holder->label, facts.label, sizeof holder->label);
    holder->hkdf = facts.hkdf;
    holder->prf_derive = facts.prf_derive;
    holder->session_keys = facts.session_keys;
    holder->spreads = facts.spreads;
    holder->rss_kb = keyholder_rss_kb();
    atomic_init(&holder->era, 1);
    if (RAND_bytes(holder->incarnation, sizeof holder->incarnation) != 1)
        return error_set(err, MIKEYD_INTERNAL, "no random numbers");
    enum mikeyd_status status = inventory_make(holder->token, &holder->inventory, err);
    if (status == MIKEYD_OK)
        status = pair_cache_make(holder->token, holder->options.pair_cache, facts.sessions,
                                 &holder->pairs, err);
    if (status == MIKEYD_OK)
        status = audit_keys_make(holder->token, &holder->audit, err);
    if (status == MIKEYD_OK)
        status = desk_pool_make(facts.sessions + DESKS_MORE, &holder->desks, err);
    return status;
}

enum mikeyd_status keyholder_make(struct token *token, const struct keyholder_options *options,
                                  struct keyholder **out, struct error *err)
{
    struct keyholder *holder = calloc(1, sizeof *holder);
    if (holder == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    holder->token = token;
    holder->options = *options;
    fill_options(&holder->options);
    make_locks(holder);
    enum mikeyd_status status = make_parts(holder, err);
    if (status != MIKEYD_OK) {
        keyholder_free(holder);
        return status;
    }
    *out = holder;
    return MIKEYD_OK;
}

void keyholder_free(struct keyholder *holder)
{
    if (holder == NULL)
        return;
    /* Derived pair keys are session objects: without a free session they go with the token's. */
    struct token_session *session = NULL;
    if (token_session_acquire(holder->token, 0, &session, NULL) != MIKEYD_OK)
        session = NULL;
    pair_cache_free(holder->pairs, session);
    if (session != NULL)
        token_session_release(session);
    inventory_free(holder->inventory);
    audit_keys_free(holder->audit);
    desk_pool_free(holder->desks);
    (void)pthread_cond_destroy(&holder->some_ended);
    (void)pthread_mutex_destroy(&holder->lock);
    (void)pthread_mutex_destroy(&holder->looking);
    free(holder);
}

/* ---- connections */

struct connection {
    struct connection *next; /* of those that have ended */
    struct keyholder *holder;
    int fd;
    pthread_t thread;
};

static void *connection_main(void *argument)
{
    struct connection *connection = argument;
    struct keyholder *holder = connection->holder;
    keyholder_serve_connection(holder, connection->fd);
    (void)pthread_mutex_lock(&holder->lock);
    holder->open--;
    connection->next = holder->ended;
    holder->ended = connection;
    (void)pthread_cond_broadcast(&holder->some_ended);
    (void)pthread_mutex_unlock(&holder->lock);
    return NULL;
}

/* By the thread that started them: what libraries keep of a thread goes with it. */
static void join_ended(struct keyholder *holder)
{
    (void)pthread_mutex_lock(&holder->lock);
    struct connection *connection = holder->ended;
    holder->ended = NULL;
    (void)pthread_mutex_unlock(&holder->lock);
    while (connection != NULL) {
        struct connection *next = connection->next;
        (void)pthread_join(connection->thread, NULL);
        free(connection);
        connection = next;
    }
}

static bool start_thread(struct connection *connection)
{
    pthread_attr_t attributes;
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, THREAD_STACK);
    const int failed =
        pthread_create(&connection->thread, &attributes, connection_main, connection);
    (void)pthread_attr_destroy(&attributes);
    return failed == 0;
}

static bool take_place(struct keyholder *holder)
{
    (void)pthread_mutex_lock(&holder->lock);
    const bool room = holder->open < holder->options.connections;
    holder->open += room ? 1 : 0;
    (void)pthread_mutex_unlock(&holder->lock);
    return room;
}

static void give_place(struct keyholder *holder)
{
    (void)pthread_mutex_lock(&holder->lock);
    holder->open--;
    (void)pthread_mutex_unlock(&holder->lock);
}

/* One that cannot be served is closed: its front sees that at once. */
static void start_connection(struct keyholder *holder, int fd)
{
    const bool room = take_place(holder);
    struct connection *connection = room ? malloc(sizeof *connection) : NULL;
    if (connection != NULL) {
        *connection = (struct connection){.holder = holder, .fd = fd};
        if (start_thread(connection))
            return;
    }
    log_warning("a connection is refused: %s",
                room ? "no memory for its thread" : "too many are open");
    free(connection);
    (void)close(fd);
    if (room)
        give_place(holder);
}

/* False at the end of the control socket. */
static bool accept_one(struct keyholder *holder, int control)
{
    struct pollfd waiting = {.fd = control, .events = POLLIN};
    struct error err = {0};
    int connection = -1;
    const int ready = poll(&waiting, 1, TICK_MS);
    if (ready < 0 && errno != EINTR)
        return false;
    if (ready <= 0)
        return true;
    enum mikeyd_status status = door_accept(control, &connection, &err);
    if (status == MIKEYD_OK)
        start_connection(holder, connection);
    else if (status != MIKEYD_TOKEN_DOWN)
        log_warning("no connection: %s", err.text);
    return status != MIKEYD_TOKEN_DOWN;
}

/* True when the last connection has ended within the time of one look. */
static bool wait_ended(struct keyholder *holder)
{
    const int64_t until_ms = clock_monotonic_ms() + TICK_MS;
    const struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                                   .tv_nsec = (long)(until_ms % 1000) * 1000000L};
    (void)pthread_mutex_lock(&holder->lock);
    if (holder->open != 0)
        (void)pthread_cond_timedwait(&holder->some_ended, &holder->lock, &until);
    const bool ended = holder->open == 0;
    (void)pthread_mutex_unlock(&holder->lock);
    return ended;
}

/* While a call hangs, requests that would wait for it are refused at once. */
static void look_around(struct keyholder *holder)
{
    (void)token_overdue(holder->token, clock_monotonic_ms());
    join_ended(holder);
}

void keyholder_serve(struct keyholder *holder, int control)
{
    while (accept_one(holder, control))
        look_around(holder);
    while (!wait_ended(holder))
        look_around(holder);
    join_ended(holder);
}
