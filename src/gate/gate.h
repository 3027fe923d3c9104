/*
 * mikeyd-gate: TLS 1.3 for clients on other hosts. It finds out who a client is, says so in each of
 * its requests, and passes them to the daemon on this host. It has neither token nor policy; session
 * keys pass through it on their way to the client and are kept nowhere. One thread, one event loop.
 */
#ifndef GATE_GATE_H
#define GATE_GATE_H

#include <event2/event.h>
#include <openssl/ssl.h>
#include <stdbool.h>

#include "config/config.h"
#include "gate/rewrite.h"

/* Answers that a client does not read, or requests that the daemon does not: no more is taken. */
#define GATE_OUTPUT_MAX ((size_t)1 << 20)
/* At a stop, what is in flight has this long. */
#define GATE_STOP_MS 5000

struct acceptor;
struct client;
struct session;

struct gate {
    const struct config *config;
    const struct config_gate *settings;
    EVP_PKEY *token_key; /* or NULL: the key is in a file */
    SSL_CTX *tls;        /* for new connections; those that exist keep theirs */

    struct event_base *base;
    int listen_fd;
    struct acceptor *acceptor;
    struct event *tick, *reload, *terminate, *interrupt;
    int64_t watchdog_ms, alive_ms; /* between two signs of life, 0: none are wanted; the last */

    struct session *sessions; /* doubly linked */
    size_t session_count, handshake_count;
    struct client *clients; /* of whom there are sessions */
    size_t in_flight;
    bool stopping;
    int64_t stop_deadline_ms;

    struct rewriter rewriter;
};

struct gate_start {
    bool sandbox;
};

enum mikeyd_status gate_open(const struct config *config, const struct gate_start *start,
                             struct gate **out, struct error *err);
/* Serves until SIGTERM or SIGINT; SIGHUP reads certificates, keys and lists again. */
enum mikeyd_status gate_run(struct gate *gate, struct error *err);
void gate_close(struct gate *gate);

#endif
