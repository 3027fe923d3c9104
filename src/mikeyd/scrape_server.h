/*
 * The port that Prometheus asks: one short GET a connection, one answer, closed. Open to whoever
 * reaches it, so bounded in all it takes: connections in all and of one address (the oldest of
 * which gives way to a new one), seconds for the whole of it, bytes of the request; and the text is
 * made a few times a second at most, however many ask.
 */
#ifndef MIKEYD_SCRAPE_SERVER_H
#define MIKEYD_SCRAPE_SERVER_H

#include <event2/event.h>
#include <stdint.h>

#include "base/error.h"

#define SCRAPE_CONNECTIONS 32
#define SCRAPE_CONNECTIONS_OF_PEER 8
#define SCRAPE_SECONDS 3
#define SCRAPE_REQUEST_MAX 8192
#define SCRAPE_A_SECOND 100
#define SCRAPE_TEXT_MS 250 /* a text is told again for that long */

struct scrape_server;

struct scrape_server_config {
    struct event_base *base;
    const char *address; /* host */
    uint16_t port;
    /* The text for GET /metrics, to be freed with free(); NULL without memory. */
    char *(*text)(void *context);
    void *context;
};

enum mikeyd_status scrape_server_open(const struct scrape_server_config *config,
                                      struct scrape_server **out, struct error *err);
void scrape_server_close(struct scrape_server *server);

#endif
