/* Pipelined requests that are given up: by their deadline, or by who made them. */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "base/clock.h"
#include "client/client_internal.h"

bool client_is_deserted(const struct mikeyd_client *client, const struct call *call)
{
    return client->address.host_count > 1 && client->connection.fd >= 0 &&
           client->connection.received == call->received;
}

bool client_give_up(struct mikeyd_client *client, struct call *call)
{
    struct call *ghost = malloc(sizeof *ghost);
    (void)call_table_take(&client->calls, call->id);
    if (ghost == NULL)
        return false;
    *ghost = (struct call){.id = call->id, .kind = call->kind, .owner = CALL_ABANDONED};
    call_table_add(&client->calls, ghost);
    return true;
}

/* Wakes the event loop then; 0: never. */
static void client_set_timer(struct mikeyd_client *client, int64_t deadline_ms)
{
    const struct itimerspec when = {.it_value = {.tv_sec = (time_t)(deadline_ms / 1000),
                                                 .tv_nsec = (long)(deadline_ms % 1000) * 1000000}};
    client->next_deadline_ms = deadline_ms;
    (void)timerfd_settime(client->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void client_start_clock(struct mikeyd_client *client, struct call *call)
{
    if (client->pipelined_ms == 0)
        return;
    call->deadline_ms = clock_monotonic_ms() + client->pipelined_ms;
    if (client->next_deadline_ms == 0 || call->deadline_ms < client->next_deadline_ms)
        client_set_timer(client, call->deadline_ms);
}

/* The first call that is overdue; else NULL, and *next: the earliest deadline there is. */
static struct call *client_overdue(const struct mikeyd_client *client, int64_t now_ms,
                                   int64_t *next)
{
    *next = 0;
    for (size_t i = 0; i < CALL_BUCKETS; i++) {
        for (struct call *at = client->calls.buckets[i]; at != NULL; at = at->next) {
            if (at->owner != CALL_CALLBACK || at->deadline_ms == 0)
                continue;
            if (at->deadline_ms <= now_ms)
                return at;
            if (*next == 0 || at->deadline_ms < *next)
                *next = at->deadline_ms;
        }
    }
    return NULL;
}

void client_expire(struct mikeyd_client *client)
{
    const int64_t now_ms = clock_monotonic_ms();
    struct call *call;
    int64_t next = 0;
    if (client->next_deadline_ms == 0 || now_ms < client->next_deadline_ms)
        return;
    while ((call = client_overdue(client, now_ms, &next)) != NULL) {
        const bool deserted = client_is_deserted(client, call);
        const bool kept = client_give_up(client, call);
        call->status = error_set(&call->err, MIKEYD_UNREACHABLE,
                                 "%s: no answer within the deadline", client->address.text);
        client_finish(client, call);
        if (!kept || deserted)
            client_break(client, kept ? "the gate does not answer" : "out of memory");
    }
    client_set_timer(client, next);
}

void mikeyd_client_set_deadline(mikeyd_client *client, unsigned milliseconds)
{
    (void)pthread_mutex_lock(&client->lock);
    client->pipelined_ms = milliseconds;
    (void)pthread_mutex_unlock(&client->lock);
}

static bool is_of(const struct call *call, mikeyd_done *done, const void *user)
{
    return call->owner == CALL_CALLBACK && call->done == done && call->user == user;
}

/* Answered, but their callbacks have not run. *end: the list's last link. */
static size_t drop_answered(struct call **link, struct call ***end, mikeyd_done *done,
                            const void *user)
{
    size_t count = 0;
    while (*link != NULL) {
        struct call *call = *link;
        if (!is_of(call, done, user)) {
            link = &call->next;
            continue;
        }
        *link = call->next;
        mikeyd_exchange_free(call->exchange);
        call_free(call);
        count++;
    }
    *end = link;
    return count;
}

static size_t client_drop_ready(struct mikeyd_client *client, mikeyd_done *done, const void *user)
{
    struct call **end;
    eventfd_t ignored;
    const bool waited = client->ready != NULL;
    size_t count = drop_answered(&client->running, &end, done, user);
    count += drop_answered(&client->ready, &client->ready_end, done, user);
    /* Nothing is left to wake an event loop for. */
    if (waited && client->ready == NULL)
        (void)eventfd_read(client->ready_fd, &ignored);
    return count;
}

size_t mikeyd_cancel(mikeyd_client *client, mikeyd_done *done, void *user)
{
    (void)pthread_mutex_lock(&client->lock);
    size_t count = client_drop_ready(client, done, user);
    for (size_t i = 0; i < CALL_BUCKETS; i++) {
        for (struct call *at = client->calls.buckets[i]; at != NULL; at = at->next) {
            if (!is_of(at, done, user))
                continue;
            at->owner = CALL_ABANDONED;
            count++;
        }
    }
    (void)pthread_mutex_unlock(&client->lock);
    return count;
}
