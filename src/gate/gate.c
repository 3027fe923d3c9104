/* The gate's life: opening, the main loop's events, reload, stop. */
#include "gate/gate.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "gate/confinement.h"
#include "gate/session.h"
#include "gate/tls.h"
#include "mikeyd/acceptor.h"
#include "mikeyd/notify.h"
#include "tls/token_key.h"

#define BACKLOG 512
#define ACCEPT_A_SECOND 1000
#define TICK_MS 50
#define DESCRIPTORS_MORE 64

/* ---- opening */

/* Two for each connection: the client's, and the daemon's. */
static enum mikeyd_status claim_descriptors(const struct config_gate *settings, struct error *err)
{
    struct rlimit limit;
    const rlim_t want = 2 * (rlim_t)settings->connections + settings->handshakes + DESCRIPTORS_MORE;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= want)
        return MIKEYD_OK;
    if (limit.rlim_max < want)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "gate: limits: %u connections and %u handshakes need %u descriptors, "
                         "%u are allowed (RLIMIT_NOFILE)",
                         settings->connections, settings->handshakes, (unsigned)want,
                         (unsigned)limit.rlim_max);
    limit.rlim_cur = want;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0
               ? MIKEYD_OK
               : error_set(err, MIKEYD_INTERNAL, "setrlimit: %s", strerror(errno));
}

/* The port may be the kernel's choice: said in the log. */
static void tell_address(const struct gate *gate)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    char host[64] = "?", port[8] = "?";
    (void)getsockname(gate->listen_fd, (struct sockaddr *)&address, &len);
    (void)getnameinfo((const struct sockaddr *)&address, len, host, sizeof host, port, sizeof port,
                      NI_NUMERICHOST | NI_NUMERICSERV);
    log_notice("listening at %s port %s", host, port);
}

static int listen_at(const struct addrinfo *at)
{
    const int on = 1;
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    const int why = errno;
    (void)close(fd);
    errno = why;
    return -1;
}

static enum mikeyd_status open_port(struct gate *gate, struct error *err)
{
    const struct config_gate *settings = gate->settings;
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char port[8];
    (void)snprintf(port, sizeof port, "%u", settings->port);
    int result = getaddrinfo(settings->address, port, &hints, &found);
    if (result != 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "gate: listen: %.100s: %s",
                         settings->address, gai_strerror(result));
    gate->listen_fd = listen_at(found);
    freeaddrinfo(found);
    return gate->listen_fd >= 0
               ? MIKEYD_OK
               : error_set(err, MIKEYD_INTERNAL, "gate: listen: %.100s port %u: %s",
                           settings->address, settings->port, strerror(errno));
}

enum mikeyd_status gate_open(const struct config *config, const struct gate_start *start,
                             struct gate **out, struct error *err)
{
    struct gate *gate = calloc(1, sizeof *gate);
    if (gate == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    *out = gate;
    gate->config = config;
    gate->settings = config->gate;
    gate->listen_fd = -1;
    rewriter_init(&gate->rewriter);
    enum mikeyd_status status = claim_descriptors(gate->settings, err);
    if (status == MIKEYD_OK)
        status = confinement_begin(config, start->sandbox, err);
    if (status == MIKEYD_OK && token_key_is_uri(gate->settings->key))
        status = tls_open_token_key(gate->settings, &gate->token_key, err);
    if (status == MIKEYD_OK)
        status = tls_make(gate->settings, gate->token_key, &gate->tls, err);
    if (status == MIKEYD_OK)
        status = open_port(gate, err);
    return status != MIKEYD_OK ? status : confinement_enter(config, start->sandbox, err);
}

/* ---- events */

static void begin_stop(struct gate *gate)
{
    struct session *next;
    if (gate->stopping)
        return;
    gate->stopping = true;
    gate->stop_deadline_ms = clock_monotonic_ms() + GATE_STOP_MS;
    log_notice("stopping");
    notify_stopping();
    acceptor_close(gate->acceptor);
    gate->acceptor = NULL;
    for (struct session *at = gate->sessions; at != NULL; at = next) {
        next = at->next;
        session_drain(at);
    }
}

static void on_terminate(evutil_socket_t signal, short events, void *context)
{
    (void)signal;
    (void)events;
    begin_stop(context);
}

/* All of it, or nothing: what was in force stays when a file is not as it should be. */
static void on_reload(evutil_socket_t signal, short events, void *context)
{
    struct gate *gate = context;
    struct error err = {0};
    struct session *next;
    SSL_CTX *tls = NULL;
    (void)signal;
    (void)events;
    notify_reloading();
    if (tls_make(gate->settings, gate->token_key, &tls, &err) != MIKEYD_OK) {
        log_error("reload refused, everything stays as it was: %s", err.text);
    } else {
        SSL_CTX_free(gate->tls);
        gate->tls = tls;
        for (struct session *at = gate->sessions; at != NULL; at = next) {
            next = at->next;
            session_check_again(at);
        }
        log_notice("reloaded: certificates, key and lists");
    }
    notify_ready("serving");
}

static void on_tick(evutil_socket_t fd, short events, void *context)
{
    struct gate *gate = context;
    const int64_t now_ms = clock_monotonic_ms(), now = clock_unix_now();
    struct session *next;
    (void)fd;
    (void)events;
    for (struct session *at = gate->sessions; at != NULL; at = next) {
        next = at->next;
        session_check(at, now_ms, now);
    }
    if (gate->stopping && (gate->sessions == NULL || now_ms >= gate->stop_deadline_ms))
        (void)event_base_loopbreak(gate->base);
    if (gate->watchdog_ms != 0 && now_ms - gate->alive_ms >= gate->watchdog_ms / 3) {
        gate->alive_ms = now_ms;
        notify_alive();
    }
}

static void on_accepted(void *context, int fd, const struct sockaddr_storage *peer)
{
    session_open(context, fd, peer);
}

/* libevent's own complaints, which others can cause. */
static void log_event(int severity, const char *text)
{
    static struct log_limit limit;
    if (severity >= EVENT_LOG_WARN)
        log_write_limited(&limit, LOG_LEVEL_WARNING, "libevent: %s", text);
}

static struct event *add_event(struct gate *gate, int fd, short what, event_callback_fn callback,
                               long period_ms)
{
    const struct timeval period = {.tv_sec = period_ms / 1000, .tv_usec = period_ms % 1000 * 1000};
    struct event *event = event_new(gate->base, fd, (short)(what | EV_PERSIST), callback, gate);
    if (event != NULL && event_add(event, period_ms == 0 ? NULL : &period) != 0) {
        event_free(event);
        return NULL;
    }
    return event;
}

static enum mikeyd_status make_events(struct gate *gate, struct error *err)
{
    event_set_log_callback(log_event);
    gate->base = event_base_new();
    if (gate->base == NULL)
        return error_set(err, MIKEYD_INTERNAL, "event_base_new failed");
    gate->tick = add_event(gate, -1, 0, on_tick, TICK_MS);
    gate->reload = add_event(gate, SIGHUP, EV_SIGNAL, on_reload, 0);
    gate->terminate = add_event(gate, SIGTERM, EV_SIGNAL, on_terminate, 0);
    gate->interrupt = add_event(gate, SIGINT, EV_SIGNAL, on_terminate, 0);
    if (gate->tick == NULL || gate->reload == NULL || gate->terminate == NULL ||
        gate->interrupt == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    const struct acceptor_config accept = {.base = gate->base,
                                           .fd = gate->listen_fd,
                                           .name = "gate: listen",
                                           .a_second = ACCEPT_A_SECOND,
                                           .accepted = on_accepted,
                                           .context = gate};
    return acceptor_open(&accept, &gate->acceptor, err);
}

enum mikeyd_status gate_run(struct gate *gate, struct error *err)
{
    enum mikeyd_status status = make_events(gate, err);
    if (status != MIKEYD_OK)
        return status;
    gate->watchdog_ms = (int64_t)(notify_watchdog_us() / 1000);
    tell_address(gate);
    notify_ready("serving");
    if (event_base_dispatch(gate->base) < 0)
        return error_set(err, MIKEYD_INTERNAL, "the event loop failed");
    return MIKEYD_OK;
}

/* ---- closing */

void gate_close(struct gate *gate)
{
    if (gate == NULL)
        return;
    while (gate->sessions != NULL)
        session_close(gate->sessions);
    acceptor_close(gate->acceptor);
    struct event *const events[] = {gate->tick, gate->reload, gate->terminate, gate->interrupt};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (events[i] != NULL)
            event_free(events[i]);
    }
    if (gate->listen_fd >= 0)
        (void)close(gate->listen_fd);
    if (gate->base != NULL)
        event_base_free(gate->base);
    SSL_CTX_free(gate->tls);
    free(gate);
}
