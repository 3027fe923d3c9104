#include "mikeyd/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "mikeyd/connection.h"
#include "mikeyd/unix_socket.h"

#define ACCEPT_BATCH 32

struct listener {
    struct daemon *daemon;
    struct unix_socket socket;
    struct event *event;
    struct event *retry; /* after the process ran out of descriptors */
};

static void on_connection(evutil_socket_t fd, short events, void *context)
{
    (void)events;
    struct listener *listener = context;
    const struct timeval pause = {.tv_usec = 200000};
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client >= 0) {
            connection_open(listener->daemon, client);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            /* The waiting connection keeps the descriptor readable: look away for a while. */
            log_warning("accept: %s", strerror(errno));
            (void)event_del(listener->event);
            (void)event_add(listener->retry, &pause);
        }
        return;
    }
}

static void on_retry(evutil_socket_t fd, short events, void *context)
{
    (void)fd;
    (void)events;
    struct listener *listener = context;
    (void)event_add(listener->event, NULL);
}

static enum mikeyd_status listener_open(struct listener *listener, struct daemon *daemon,
                                        const struct config_listen *config, struct error *err)
{
    listener->daemon = daemon;
    enum mikeyd_status status =
        unix_socket_listen(&listener->socket, config->unix_path, config->mode, config->group, err);
    if (status != MIKEYD_OK)
        return status;
    listener->event =
        event_new(daemon->base, listener->socket.fd, EV_READ | EV_PERSIST, on_connection, listener);
    listener->retry = event_new(daemon->base, -1, 0, on_retry, listener);
    if (listener->event == NULL || listener->retry == NULL || event_add(listener->event, NULL) != 0)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    return MIKEYD_OK;
}

enum mikeyd_status listener_open_all(struct daemon *daemon, struct error *err)
{
    const struct config *config = daemon->config;
    daemon->listeners = calloc(config->listen_count, sizeof *daemon->listeners);
    if (daemon->listeners == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    daemon->listener_count = config->listen_count;
    for (size_t i = 0; i < config->listen_count; i++)
        daemon->listeners[i].socket = (struct unix_socket){.fd = -1, .lock_fd = -1};
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0; i < config->listen_count && status == MIKEYD_OK; i++)
        status = listener_open(&daemon->listeners[i], daemon, &config->listen[i], err);
    return status;
}

void listener_close_all(struct daemon *daemon)
{
    for (size_t i = 0; i < daemon->listener_count; i++) {
        struct listener *listener = &daemon->listeners[i];
        if (listener->event != NULL)
            event_free(listener->event);
        if (listener->retry != NULL)
            event_free(listener->retry);
        unix_socket_close(&listener->socket);
    }
    free(daemon->listeners);
    daemon->listeners = NULL;
    daemon->listener_count = 0;
}
