/* A worker's way to the keys: chooses a member, and goes on to the next one while there is time. */
#include "keys/port.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/secret.h"

/* How often a member's keyholder may be replaced under one request. */
#define REPLACED_MAX 3

enum mikeyd_status keys_port_open(struct keys_group *group, struct keys_port **out,
                                  struct error *err)
{
    *out = NULL;
    struct keys_port *port = calloc(1, sizeof *port);
    if (port != NULL)
        port->buffer = secret_alloc(DOOR_MESSAGE_MAX);
    if (port == NULL || port->buffer == NULL) {
        free(port);
        return error_set(err, MIKEYD_INTERNAL, "port to the keys: out of memory");
    }
    port->group = group;
    for (size_t i = 0; i < KEYS_MEMBERS_MAX; i++)
        port->connection[i].fd = -1;
    *out = port;
    return MIKEYD_OK;
}

void keys_port_close(struct keys_port *port)
{
    if (port == NULL)
        return;
    for (size_t i = 0; i < KEYS_MEMBERS_MAX; i++)
        keys_connection_close(&port->connection[i]);
    secret_release(port->buffer, DOOR_MESSAGE_MAX);
    free(port);
}

void keys_port_deadline(struct keys_port *port, int64_t deadline_ms)
{
    port->deadline_ms = deadline_ms;
}

const char *keys_port_prf(const struct keys_port *port)
{
    return port->prf;
}

unsigned keys_port_take_uses(struct keys_port *port)
{
    const unsigned uses = port->uses;
    port->uses = 0;
    return uses;
}

int64_t keys_port_take_wait_us(struct keys_port *port)
{
    const int64_t us = port->wait_us;
    port->wait_us = 0;
    return us;
}

void keys_port_end(struct keys_port *port)
{
    secret_wipe(port->buffer, port->used);
    port->used = 0;
}

/* ---- one attempt at one member */

struct attempt {
    struct keys_member *member;
    struct keys_keyholder *keyholder; /* a reference: whom it was about */
    enum keys_outcome outcome;
    bool sent;
    unsigned limit_ms, share_ms;
    int64_t took_us;
};

static bool is_current(const struct attempt *attempt)
{
    return attempt->keyholder != NULL &&
           attempt->keyholder->number == atomic_load(&attempt->member->serving);
}

/* The member's keyholder of now, with a reference; NULL when it has none. */
static struct keys_keyholder *take_keyholder(struct keys_member *member)
{
    (void)pthread_mutex_lock(&member->group->lock);
    struct keys_keyholder *keyholder = member->keyholder;
    if (keyholder != NULL)
        keys_keyholder_ref(keyholder);
    (void)pthread_mutex_unlock(&member->group->lock);
    return keyholder;
}

/* A connection to the member's keyholder of now, kept from the last request if it can be. */
static enum keys_outcome connect_to(struct keys_connection *connection, struct attempt *attempt,
                                    struct error *err)
{
    const uint64_t serving = atomic_load(&attempt->member->serving);
    if (connection->keyholder != NULL && connection->keyholder->number == serving) {
        attempt->keyholder = connection->keyholder;
        keys_keyholder_ref(attempt->keyholder);
        return KEYS_ANSWERED;
    }
    keys_connection_close(connection);
    attempt->keyholder = take_keyholder(attempt->member);
    if (attempt->keyholder == NULL) {
        (void)error_set(err, MIKEYD_TOKEN_DOWN, "its keyholder is gone");
        return KEYS_LOST;
    }
    return keys_connection_open(connection, attempt->keyholder, err);
}

static void ask_once(struct keys_port *port, struct attempt *attempt, struct error *err)
{
    struct keys_connection *connection = &port->connection[attempt->member->index];
    attempt->sent = false;
    attempt->outcome = connect_to(connection, attempt, err);
    if (attempt->outcome != KEYS_ANSWERED)
        return;
    struct keys_ask ask = {.request = &port->request,
                           .answer = &port->answer,
                           .buffer = port->buffer,
                           .used = port->used,
                           .timeout_ms = (int)attempt->limit_ms};
    const int64_t begun = clock_monotonic_us();
    attempt->outcome = keys_connection_ask(connection, &ask, err);
    attempt->took_us = clock_monotonic_us() - begun;
    port->wait_us += attempt->took_us;
    attempt->sent = attempt->outcome != KEYS_UNSENT && attempt->outcome != KEYS_IMPOSSIBLE;
    port->used = ask.used;
    if (attempt->outcome != KEYS_ANSWERED || port->answer.status != MIKEYD_OK ||
        keys_port_answer_fits(&port->request, &port->answer))
        return;
    (void)error_set(err, MIKEYD_INTERNAL, "an answer of another length than was asked for");
    attempt->outcome = KEYS_MALFORMED;
    keys_connection_close(connection);
}

/* In front of what happened between here and the keyholder; its own texts name the token. */
static void name_member(const struct attempt *attempt, struct error *err)
{
    char title[160];
    (void)pthread_mutex_lock(&attempt->member->group->lock);
    keys_member_title(attempt->member, title, sizeof title);
    (void)pthread_mutex_unlock(&attempt->member->group->lock);
    error_prefix(err, "%s", title);
}

/* Not given the time it should have: its own thread finds out whether it is well. */
static void suspect(struct keys_member *member)
{
    atomic_store(&member->suspect, true);
    keys_group_lock(member->group);
    keys_group_unlock(member->group);
}

static enum mikeyd_status note_no_answer(const struct attempt *attempt, struct error *err)
{
    struct keys_member *member = attempt->member;
    enum mikeyd_status status = MIKEYD_TOKEN_DOWN;
    (void)atomic_fetch_add(&member->failures, 1);
    switch (attempt->outcome) {
    case KEYS_LATE:
        if (attempt->limit_ms < attempt->share_ms)
            suspect(member);
        else
            keys_breaker_overrun(member, attempt->keyholder, attempt->limit_ms);
        break;
    case KEYS_MALFORMED:
        status = MIKEYD_INTERNAL;
        keys_breaker_failed_answer(member, attempt->keyholder, err->text);
        break;
    default:
        if (attempt->keyholder != NULL)
            keys_breaker_lost(member, attempt->keyholder, err->text);
        break;
    }
    err->status = status;
    name_member(attempt, err);
    return status;
}

/* An audit key may be one token's own, and preparing is a favour: neither says that it is down. */
static bool tells_of_the_token(enum door_op op)
{
    return op <= DOOR_TICKET_KEY_OF_DAY;
}

static enum mikeyd_status note_answer(struct keys_port *port, const struct attempt *attempt,
                                      struct error *err)
{
    const struct door_answer *answer = &port->answer;
    switch (answer->status) {
    case MIKEYD_OK:
        if (door_uses_psk(answer->op))
            port->prf = answer->prf;
        keys_breaker_success(attempt->member, attempt->took_us);
        return MIKEYD_OK;
    case MIKEYD_AUTH_FAILED:
        keys_breaker_success(attempt->member, attempt->took_us);
        break;
    case MIKEYD_TOKEN_DOWN:
    case MIKEYD_INTERNAL:
        (void)atomic_fetch_add(&attempt->member->failures, 1);
        if (tells_of_the_token(answer->op))
            keys_breaker_failed_answer(attempt->member, attempt->keyholder, answer->text);
        break;
    case MIKEYD_TOKEN_BUSY:
        (void)atomic_fetch_add(&attempt->member->failures, 1);
        break;
    default:
        break;
    }
    return error_set(err, answer->status, "%s", answer->text);
}

/* What a keyholder counts that reads it, whatever it answers (keyholder_count). */
static void count_use(struct keys_port *port, const struct attempt *attempt)
{
    if (attempt->sent && door_uses_psk(port->request.op))
        port->uses++;
}

/* left_ms: until the request's deadline. last: nobody else could serve it. */
static enum mikeyd_status try_member(struct keys_port *port, struct keys_member *member,
                                     int64_t left_ms, bool last, bool *here, struct error *err)
{
    struct attempt attempt = {.member = member, .share_ms = keys_breaker_share(member)};
    const int64_t most = last ? member->call_timeout_ms : attempt.share_ms;
    enum mikeyd_status status = MIKEYD_TOKEN_DOWN;
    bool again = true;
    attempt.limit_ms = (unsigned)(left_ms < most ? left_ms : most);
    (void)atomic_fetch_add(&member->in_flight, 1);
    (void)atomic_fetch_add(&member->requests, 1);
    for (int i = 0; again && i < REPLACED_MAX; i++) {
        ask_once(port, &attempt, err);
        count_use(port, &attempt);
        again =
            attempt.outcome == KEYS_UNSENT ||
            (attempt.outcome == KEYS_LOST && !is_current(&attempt) && keys_member_serves(member));
        *here = attempt.outcome == KEYS_IMPOSSIBLE;
        if (attempt.outcome == KEYS_ANSWERED)
            status = note_answer(port, &attempt, err);
        else if (*here)
            status = err->status;
        else if (!again)
            status = note_no_answer(&attempt, err);
        keys_keyholder_unref(attempt.keyholder);
        attempt.keyholder = NULL;
    }
    (void)atomic_fetch_sub(&member->in_flight, 1);
    return status;
}

/* ---- the request */

/* The cheapest; but who signs is chosen by whose turn it is. */
static struct keys_member *choose(const struct keys_port *port, unsigned tried)
{
    struct keys_group *group = port->group;
    if (port->request.op == DOOR_CHECKPOINT && port->preferred < group->members &&
        (tried & 1u << port->preferred) == 0 && keys_member_serves(&group->member[port->preferred]))
        return &group->member[port->preferred];
    return keys_breaker_choose(group, tried);
}

/* Could another member do what this one could not? */
static bool worth_repeating(enum mikeyd_status status)
{
    return status == MIKEYD_TOKEN_DOWN || status == MIKEYD_TOKEN_BUSY || status == MIKEYD_INTERNAL;
}

/* "Busy" says most of when to come again; otherwise the latest. */
static void keep(struct error *kept, const struct error *failed)
{
    if (kept->status != MIKEYD_TOKEN_BUSY || failed->status == MIKEYD_TOKEN_BUSY)
        *kept = *failed;
}

static enum mikeyd_status nobody(struct keys_port *port, const struct error *kept,
                                 struct error *err)
{
    if (kept->status != MIKEYD_OK)
        return error_set(err, kept->status, "%s", kept->text);
    (void)pthread_mutex_lock(&port->group->lock);
    enum mikeyd_status status = keys_group_first_reason(port->group, err);
    (void)pthread_mutex_unlock(&port->group->lock);
    return status;
}

static int64_t deadline_of(const struct keys_port *port, const struct keys_member *member,
                           int64_t begun_ms)
{
    const int64_t own = begun_ms + member->call_timeout_ms;
    return port->deadline_ms != 0 ? port->deadline_ms : own;
}

enum mikeyd_status keys_port_request(struct keys_port *port, struct error *err)
{
    const int64_t begun = clock_monotonic_ms();
    struct error kept = {0};
    unsigned tried = 0;
    struct keys_member *member = choose(port, tried);
    while (member != NULL) {
        tried |= 1u << member->index;
        const int64_t left = deadline_of(port, member, begun) - clock_monotonic_ms();
        if (left <= 0) {
            if (kept.status == MIKEYD_OK)
                (void)error_set(&kept, MIKEYD_TOKEN_DOWN, "the deadline of the request has passed");
            break;
        }
        struct error failed = {0};
        bool here = false;
        const bool last = choose(port, tried) == NULL;
        enum mikeyd_status status = try_member(port, member, left, last, &here, &failed);
        if (status == MIKEYD_OK)
            return MIKEYD_OK;
        failed.status = status;
        keep(&kept, &failed);
        if (here || !worth_repeating(status))
            return error_set(err, status, "%s", failed.text);
        struct keys_member *next = choose(port, tried);
        if (next != NULL)
            (void)atomic_fetch_add(&member->retried_elsewhere, 1);
        member = next;
    }
    return nobody(port, &kept, err);
}

enum mikeyd_status keys_port_request_everywhere(struct keys_port *port, struct error *err)
{
    const int64_t begun = clock_monotonic_ms();
    struct error kept = {0};
    bool done = false;
    for (size_t i = 0; i < port->group->members; i++) {
        struct keys_member *member = &port->group->member[i];
        const int64_t left = deadline_of(port, member, begun) - clock_monotonic_ms();
        if (!keys_member_serves(member) || left <= 0)
            continue;
        struct error failed = {0};
        bool here = false;
        failed.status = try_member(port, member, left, true, &here, &failed);
        if (failed.status == MIKEYD_OK)
            done = true;
        else
            keep(&kept, &failed);
    }
    return done ? MIKEYD_OK : nobody(port, &kept, err);
}
