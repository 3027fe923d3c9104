#include "client/client_internal.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/clock.h"

/* Sleeps until the socket can do something, the deadline, or a wake-up. Gives up the lock. */
static void client_poll(struct mikeyd_client *client, int64_t left_ms)
{
    struct pollfd fds[2] = {{.fd = client->wake_fd, .events = POLLIN},
                            {.fd = client->connection.fd, .events = POLLIN}};
    if (connection_has_output(&client->connection))
        fds[1].events = POLLIN | POLLOUT;
    client->polling = true;
    (void)pthread_mutex_unlock(&client->lock);
    (void)poll(fds, 2, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
    (void)pthread_mutex_lock(&client->lock);
    client->polling = false;
    eventfd_t ignored;
    if (fds[0].revents != 0)
        (void)eventfd_read(client->wake_fd, &ignored);
    client_exchange_bytes(client);
}

static void client_sleep(struct mikeyd_client *client, struct call *call, int64_t deadline_ms)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000),
                             .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
    (void)pthread_cond_timedwait(&call->answered, &client->lock, &until);
}

/* True when answered; false at the deadline. */
static bool client_wait(struct mikeyd_client *client, struct call *call)
{
    int64_t deadline_ms = clock_monotonic_ms() + client->timeout_ms;
    while (!call->finished) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        if (left_ms <= 0)
            return false;
        if (client->polling)
            client_sleep(client, call, deadline_ms);
        else
            client_poll(client, left_ms);
    }
    return true;
}

static enum mikeyd_status client_call_locked(struct mikeyd_client *client, struct request *request,
                                             struct call *call)
{
    enum mikeyd_status status = client_submit(client, request, call, &call->err);
    if (status != MIKEYD_OK)
        return status;
    call_join(&client->waiters, call);
    /* A poller that is asleep does not know that output waits for the socket. */
    client_exchange_bytes(client);
    if (connection_has_output(&client->connection))
        client_wake_poller(client);
    if (client_wait(client, call))
        return call->status;
    call_leave(call);
    /* A gate that hangs breaks no connection: the next call asks another one. */
    const bool deserted = client_is_deserted(client, call);
    const bool kept = client_give_up(client, call);
    if (!kept || deserted)
        client_break(client, kept ? "the gate does not answer" : "out of memory");
    return error_set(&call->err, MIKEYD_UNREACHABLE, "%s: no answer within %u ms",
                     client->address.text, client->timeout_ms);
}

enum mikeyd_status client_call(struct mikeyd_client *client, struct request *request,
                               struct call *call)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&call->answered, &attributes);
    (void)pthread_condattr_destroy(&attributes);

    (void)pthread_mutex_lock(&client->lock);
    client->inside++;
    enum mikeyd_status status = client_call_locked(client, request, call);
    /* Somebody has to go on reading for the others. */
    if (!client->polling && client->waiters != NULL)
        (void)pthread_cond_signal(&client->waiters->answered);
    client->inside--;
    if (client->closing)
        (void)pthread_cond_signal(&client->left);
    (void)pthread_mutex_unlock(&client->lock);
    (void)pthread_cond_destroy(&call->answered);
    return client_report(&call->err, status);
}
