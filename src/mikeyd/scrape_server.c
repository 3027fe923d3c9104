#include "mikeyd/scrape_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "mikeyd/acceptor.h"

#define BACKLOG 64
#define PEER_TEXT INET6_ADDRSTRLEN

/* Newest first. */
struct scrape {
    struct scrape_server *server;
    struct scrape *next;
    struct bufferevent *stream;
    struct event *deadline;
    char peer[PEER_TEXT];
    bool answered;
};

struct scrape_server {
    struct scrape_server_config config;
    int fd;
    struct acceptor *acceptor;
    struct scrape *scrapes;
    char *text; /* as told last */
    int64_t text_until_ms;
};

/* ---- one connection ---- */

static void end_scrape(struct scrape *scrape)
{
    struct scrape **at = &scrape->server->scrapes;
    while (*at != scrape)
        at = &(*at)->next;
    *at = scrape->next;
    if (scrape->deadline != NULL)
        event_free(scrape->deadline);
    if (scrape->stream != NULL)
        bufferevent_free(scrape->stream);
    free(scrape);
}

static const char *text_now(struct scrape_server *server)
{
    const int64_t now_ms = clock_monotonic_ms();
    if (server->text == NULL || now_ms >= server->text_until_ms) {
        free(server->text);
        server->text = server->config.text(server->config.context);
        server->text_until_ms = now_ms + SCRAPE_TEXT_MS;
    }
    return server->text;
}

static void answer(struct scrape *scrape, const char *line)
{
    const char *status = "404 Not Found", *body = "";
    if (strncmp(line, "GET /metrics ", strlen("GET /metrics ")) == 0) {
        body = text_now(scrape->server);
        status = body == NULL ? "503 Service Unavailable" : "200 OK";
        body = body == NULL ? "" : body;
    } else if (strncmp(line, "GET ", strlen("GET ")) != 0) {
        status = "405 Method Not Allowed\r\nAllow: GET";
    }
    struct evbuffer *out = bufferevent_get_output(scrape->stream);
    (void)evbuffer_add_printf(out,
                              "HTTP/1.1 %s\r\n"
                              "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                              "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                              status, strlen(body));
    (void)evbuffer_add(out, body, strlen(body));
    scrape->answered = true;
}

static void on_input(struct bufferevent *stream, void *context)
{
    struct scrape *scrape = context;
    struct evbuffer *in = bufferevent_get_input(stream);
    if (!scrape->answered) {
        /* The headers say nothing that would change the answer. */
        const struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
        char *line = end.pos < 0 ? NULL : evbuffer_readln(in, NULL, EVBUFFER_EOL_CRLF);
        if (line == NULL) {
            if (evbuffer_get_length(in) >= SCRAPE_REQUEST_MAX)
                end_scrape(scrape);
            return;
        }
        answer(scrape, line);
        free(line);
    }
    (void)evbuffer_drain(in, evbuffer_get_length(in));
}

/* All is sent: the peer is told, and closes when it has read it. */
static void on_sent(struct bufferevent *stream, void *context)
{
    const struct scrape *scrape = context;
    if (scrape->answered)
        (void)shutdown(bufferevent_getfd(stream), SHUT_WR);
}

static void on_end(struct bufferevent *stream, short events, void *context)
{
    (void)stream;
    (void)events;
    end_scrape(context);
}

static void on_deadline(evutil_socket_t fd, short events, void *context)
{
    (void)fd;
    (void)events;
    end_scrape(context);
}

/* ---- bounds ---- */

static void put_peer(const struct sockaddr_storage *peer, char out[PEER_TEXT])
{
    const void *address = peer->ss_family == AF_INET6
                              ? (const void *)&((const struct sockaddr_in6 *)peer)->sin6_addr
                              : (const void *)&((const struct sockaddr_in *)peer)->sin_addr;
    if (inet_ntop(peer->ss_family, address, out, PEER_TEXT) == NULL)
        out[0] = '\0';
}

/* Whoever comes last is served: a scraper sends at once, what has stayed longest does not. */
static void make_room(struct scrape_server *server, const char *peer)
{
    struct scrape *oldest = NULL, *oldest_of_peer = NULL;
    size_t all = 0, of_peer = 0;
    for (struct scrape *at = server->scrapes; at != NULL; at = at->next) {
        oldest = at;
        all++;
        if (strcmp(at->peer, peer) != 0)
            continue;
        oldest_of_peer = at;
        of_peer++;
    }
    if (of_peer >= SCRAPE_CONNECTIONS_OF_PEER)
        end_scrape(oldest_of_peer);
    else if (all >= SCRAPE_CONNECTIONS)
        end_scrape(oldest);
}

static void on_accepted(void *context, int fd, const struct sockaddr_storage *peer)
{
    const struct timeval deadline = {.tv_sec = SCRAPE_SECONDS};
    struct scrape_server *server = context;
    char text[PEER_TEXT];
    put_peer(peer, text);
    make_room(server, text);
    struct scrape *scrape = calloc(1, sizeof *scrape);
    if (scrape == NULL) {
        (void)close(fd);
        return;
    }
    scrape->server = server;
    memcpy(scrape->peer, text, sizeof scrape->peer);
    scrape->next = server->scrapes;
    server->scrapes = scrape;
    scrape->deadline = event_new(server->config.base, -1, 0, on_deadline, scrape);
    scrape->stream = bufferevent_socket_new(server->config.base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (scrape->stream == NULL)
        (void)close(fd);
    if (scrape->stream == NULL || scrape->deadline == NULL ||
        event_add(scrape->deadline, &deadline) != 0) {
        end_scrape(scrape);
        return;
    }
    bufferevent_setwatermark(scrape->stream, EV_READ, 0, SCRAPE_REQUEST_MAX);
    bufferevent_setcb(scrape->stream, on_input, on_sent, on_end, scrape);
    (void)bufferevent_enable(scrape->stream, EV_READ | EV_WRITE);
}

/* ---- life ---- */

static int listen_at(const struct addrinfo *address)
{
    const int on = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    const int reason = errno;
    if (fd >= 0)
        (void)close(fd);
    errno = reason;
    return -1;
}

static enum mikeyd_status listen_socket(struct scrape_server *server, struct error *err)
{
    const struct scrape_server_config *config = &server->config;
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo *address = NULL;
    char port[8];
    (void)snprintf(port, sizeof port, "%u", config->port);
    const int result = getaddrinfo(config->address, port, &hints, &address);
    if (result != 0) {
        return error_set(err, MIKEYD_INTERNAL, "metrics: %s: %s", config->address,
                         gai_strerror(result));
    }
    server->fd = listen_at(address);
    freeaddrinfo(address);
    if (server->fd < 0) {
        return error_set(err, MIKEYD_INTERNAL, "metrics: cannot listen on %s port %u: %s",
                         config->address, config->port, strerror(errno));
    }
    return MIKEYD_OK;
}

enum mikeyd_status scrape_server_open(const struct scrape_server_config *config,
                                      struct scrape_server **out, struct error *err)
{
    struct scrape_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    server->config = *config;
    server->fd = -1;
    enum mikeyd_status status = listen_socket(server, err);
    if (status == MIKEYD_OK) {
        const struct acceptor_config accept = {.base = config->base,
                                               .fd = server->fd,
                                               .name = "metrics",
                                               .a_second = SCRAPE_A_SECOND,
                                               .accepted = on_accepted,
                                               .context = server};
        status = acceptor_open(&accept, &server->acceptor, err);
    }
    if (status != MIKEYD_OK) {
        scrape_server_close(server);
        return status;
    }
    *out = server;
    return MIKEYD_OK;
}

void scrape_server_close(struct scrape_server *server)
{
    if (server == NULL)
        return;
    acceptor_close(server->acceptor);
    while (server->scrapes != NULL)
        end_scrape(server->scrapes);
    if (server->fd >= 0)
        (void)close(server->fd);
    free(server->text);
    free(server);
}
