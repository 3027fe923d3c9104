#include "client/client_internal.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define CLIENT_TIMEOUT_MS 30000

static _Thread_local char client_last_error[sizeof((struct error *)0)->text];

enum mikeyd_status client_report(const struct error *err, enum mikeyd_status status)
{
    if (status != MIKEYD_OK)
        memcpy(client_last_error, err->text, sizeof client_last_error);
    return status;
}

const char *mikeyd_client_error(const mikeyd_client *client)
{
    (void)client;
    return client_last_error;
}

const char *mikeyd_status_name(enum mikeyd_status status)
{
    return status_name(status);
}

static void client_release(struct mikeyd_client *client)
{
    connection_close(&client->connection);
    private_buffer_free(&client->arena);
    const int fds[] = {client->loop_fd, client->ready_fd, client->wake_fd, client->timer_fd};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (fds[i] >= 0)
            (void)close(fds[i]);
    }
    (void)pthread_cond_destroy(&client->left);
    (void)pthread_mutex_destroy(&client->lock);
    address_clear(&client->address);
    free(client);
}

/* Takes the address over. NULL without memory or descriptors. */
static struct mikeyd_client *client_make(struct address *address)
{
    struct mikeyd_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        address_clear(address);
        return NULL;
    }
    client->address = *address;
    client->timeout_ms = CLIENT_TIMEOUT_MS;
    client->ready_end = &client->ready;
    connection_init(&client->connection);
    (void)pthread_mutex_init(&client->lock, NULL);
    (void)pthread_cond_init(&client->left, NULL);
    client->loop_fd = epoll_create1(EPOLL_CLOEXEC);
    client->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    client->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    client->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN};
    if (client->timer_fd < 0 || client->loop_fd < 0 || client->ready_fd < 0 ||
        client->wake_fd < 0 ||
        epoll_ctl(client->loop_fd, EPOLL_CTL_ADD, client->ready_fd, &event) != 0 ||
        epoll_ctl(client->loop_fd, EPOLL_CTL_ADD, client->timer_fd, &event) != 0) {
        client_release(client);
        return NULL;
    }
    return client;
}

static enum mikeyd_status client_open(const char *address, mikeyd_client **out, struct error *err)
{
    if (out == NULL)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "the result is missing");
    *out = NULL;
    struct address parsed;
    enum mikeyd_status status = address_parse(address == NULL ? "" : address, &parsed, err);
    if (status != MIKEYD_OK) {
        address_clear(&parsed);
        return status;
    }
    struct mikeyd_client *client = client_make(&parsed);
    if (client == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory or descriptors");
    (void)pthread_mutex_lock(&client->lock);
    status = client_connect(client, err);
    (void)pthread_mutex_unlock(&client->lock);
    if (status == MIKEYD_OK)
        *out = client;
    else
        client_release(client);
    return status;
}

enum mikeyd_status mikeyd_client_open(const char *address, mikeyd_client **out)
{
    struct error err = {0};
    return client_report(&err, client_open(address, out, &err));
}

void mikeyd_client_set_timeout(mikeyd_client *client, unsigned milliseconds)
{
    (void)pthread_mutex_lock(&client->lock);
    client->timeout_ms = milliseconds == 0 ? CLIENT_TIMEOUT_MS : milliseconds;
    (void)pthread_mutex_unlock(&client->lock);
}

int mikeyd_client_fd(const mikeyd_client *client)
{
    return client->loop_fd;
}

short mikeyd_client_events(const mikeyd_client *client)
{
    /* The epoll descriptor is readable also when the socket takes output that waits. */
    (void)client;
    return POLLIN;
}

static void client_take_ready(struct mikeyd_client *client)
{
    eventfd_t ignored;
    if (client->ready == NULL)
        return;
    client->running = client->ready;
    client->ready = NULL;
    client->ready_end = &client->ready;
    (void)eventfd_read(client->ready_fd, &ignored);
}

static struct call *client_next_running(struct mikeyd_client *client)
{
    (void)pthread_mutex_lock(&client->lock);
    struct call *call = client->running;
    if (call != NULL)
        client->running = call->next;
    (void)pthread_mutex_unlock(&client->lock);
    return call;
}

/* Without the lock: a callback may submit, cancel what comes after it, and free what it was given. */
static void client_run_callbacks(struct mikeyd_client *client)
{
    struct call *call;
    while ((call = client_next_running(client)) != NULL) {
        (void)client_report(&call->err, call->status);
        call->done(call->user, call->status, call->exchange);
        call_free(call);
    }
}

enum mikeyd_status mikeyd_client_dispatch(mikeyd_client *client)
{
    struct error err = {0};
    (void)pthread_mutex_lock(&client->lock);
    client_exchange_bytes(client);
    client_expire(client);
    bool connected = client->connection.fd >= 0;
    client_take_ready(client);
    (void)pthread_mutex_unlock(&client->lock);
    client_run_callbacks(client);
    if (connected)
        return MIKEYD_OK;
    return client_report(
        &err, error_set(&err, MIKEYD_UNREACHABLE, "%s: not connected", client->address.text));
}

void mikeyd_client_close(mikeyd_client *client)
{
    if (client == NULL)
        return;
    (void)pthread_mutex_lock(&client->lock);
    client->closing = true;
    client_break(client, "the client was closed");
    while (client->inside != 0)
        (void)pthread_cond_wait(&client->left, &client->lock);
    client_take_ready(client);
    (void)pthread_mutex_unlock(&client->lock);
    client_run_callbacks(client);
    client_release(client);
}
