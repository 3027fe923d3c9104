#include "mikeyd/acceptor.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define WINDOW_MS 100 /* in which a tenth of the second's connections is accepted */
#define BATCH 32      /* in one turn of the main loop */
#define PAUSE_FIRST_MS 100
#define PAUSE_LONGEST_MS 3200

struct acceptor {
    struct acceptor_config config;
    struct event *ready, *again;
    unsigned in_window;
    int64_t window_ends_ms;
    unsigned pause_ms; /* the next one, without descriptors */
    struct log_limit limit;
};

/* Whoever waits keeps the socket ready: look away instead of spinning. */
static void look_away(struct acceptor *acceptor, int64_t ms)
{
    const struct timeval pause = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    (void)event_del(acceptor->ready);
    (void)event_add(acceptor->again, &pause);
}

static bool over_rate(struct acceptor *acceptor)
{
    const int64_t now_ms = clock_monotonic_ms();
    if (now_ms >= acceptor->window_ends_ms) {
        acceptor->window_ends_ms = now_ms + WINDOW_MS;
        acceptor->in_window = 0;
    }
    if (acceptor->in_window++ < acceptor->config.a_second * WINDOW_MS / 1000)
        return false;
    look_away(acceptor, acceptor->window_ends_ms - now_ms);
    return true;
}

/* False when there is nothing more to be accepted now. */
static bool accept_one(struct acceptor *acceptor)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    int fd =
        accept4(acceptor->config.fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        acceptor->pause_ms = PAUSE_FIRST_MS;
        acceptor->config.accepted(acceptor->config.context, fd, &peer);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        log_write_limited(&acceptor->limit, LOG_LEVEL_WARNING, "%s: accept: %s",
                          acceptor->config.name, strerror(errno));
        look_away(acceptor, acceptor->pause_ms);
        if (acceptor->pause_ms < PAUSE_LONGEST_MS)
            acceptor->pause_ms *= 2;
    }
    /* Connections that ended before they were accepted are no reason to stop (accept(2)). */
    return errno == ECONNABORTED || errno == EINTR || errno == EPERM || errno == EPROTO;
}

static void on_ready(evutil_socket_t fd, short events, void *context)
{
    struct acceptor *acceptor = context;
    (void)fd;
    (void)events;
    for (int i = 0; i < BATCH && !over_rate(acceptor) && accept_one(acceptor); i++) {
    }
}

static void on_again(evutil_socket_t fd, short events, void *context)
{
    struct acceptor *acceptor = context;
    (void)fd;
    (void)events;
    (void)event_add(acceptor->ready, NULL);
}

enum mikeyd_status acceptor_open(const struct acceptor_config *config, struct acceptor **out,
                                 struct error *err)
{
    struct acceptor *acceptor = calloc(1, sizeof *acceptor);
    if (acceptor == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    acceptor->config = *config;
    acceptor->pause_ms = PAUSE_FIRST_MS;
    acceptor->ready = event_new(config->base, config->fd, EV_READ | EV_PERSIST, on_ready, acceptor);
    acceptor->again = event_new(config->base, -1, 0, on_again, acceptor);
    if (acceptor->ready == NULL || acceptor->again == NULL ||
        event_add(acceptor->ready, NULL) != 0) {
        acceptor_close(acceptor);
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    }
    *out = acceptor;
    return MIKEYD_OK;
}

void acceptor_close(struct acceptor *acceptor)
{
    if (acceptor == NULL)
        return;
    if (acceptor->ready != NULL)
        event_free(acceptor->ready);
    if (acceptor->again != NULL)
        event_free(acceptor->again);
    free(acceptor);
}
