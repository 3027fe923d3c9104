/*
 * One connection of a client: the handshake, its name, a connection of its own to the daemon, and
 * frames both ways. Every wait has an end and every buffer a bound; whatever goes wrong on either
 * side closes both.
 *
 * The gate speaks first: a response with id 0, which says that the client is served (OK) or why it
 * is not. In TLS 1.3 a client could not know otherwise whether its certificate was taken.
 */
#ifndef GATE_SESSION_H
#define GATE_SESSION_H

#include <event2/bufferevent.h>
#include <sys/socket.h>

#include "gate/client.h"
#include "gate/gate.h"

struct session {
    struct gate *gate;
    struct session *next, *previous;
    struct sockaddr_storage address;
    char peer[64]; /* the address, for the log */

    struct bufferevent *tls;    /* to the client */
    struct bufferevent *daemon; /* NULL during the handshake, and when the daemon has gone */
    struct client *client;      /* NULL during the handshake */
    unsigned bits;              /* of the negotiated suite's key */
    bool by_psk;
    int64_t expires; /* the client's certificate, Unix seconds; of a PSK client: never */
    size_t in_flight;

    int64_t since_ms;   /* connected */
    int64_t partial_ms; /* a frame began and is not whole; 0: none */
    int64_t blocked_ms; /* answers began to wait for the client; 0: none do */
    int64_t last_ms;    /* the last frame either way */
    bool ending;        /* nothing more is read; closed when the last answer is sent */
};

/* Takes over fd. Over a bound: closes it. */
void session_open(struct gate *gate, int fd, const struct sockaddr_storage *peer);
void session_close(struct session *session);
/* Reads no more; closes when everything in flight is answered. */
void session_drain(struct session *session);
/* Several times a second: closes what took too long, or whose certificate has expired. */
void session_check(struct session *session, int64_t now_ms, int64_t now);
/* After a reload: closes it when its client would no longer be let in. */
void session_check_again(struct session *session);

#endif
