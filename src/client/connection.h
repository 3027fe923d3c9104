/*
 * One non-blocking stream to the daemon and the frames on it (rpc/frame.h). Knows nothing of what
 * the frames mean. Not thread-safe: the client's lock is held around every call.
 */
#ifndef CLIENT_CONNECTION_H
#define CLIENT_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "client/address.h"
#include "client/private_memory.h"
#include "client/tls.h"

struct connection {
    int fd;   /* -1: not connected */
    SSL *tls; /* NULL: a Unix socket */
    /* Frames not sent yet: bytes out_at .. out_len of out. */
    struct private_buffer out;
    size_t out_at, out_len;
    /* Received, not consumed: bytes in_at .. in_len of in. */
    struct private_buffer in;
    size_t in_at, in_len;
    uint64_t received; /* how often something came */
};

enum connection_event {
    CONNECTION_BROKEN = -1, /* end of stream, error, or a frame that is too long */
    CONNECTION_NOTHING = 0, /* not now */
    CONNECTION_DONE = 1
};

void connection_init(struct connection *connection);
/*
 * UNREACHABLE when nobody listens there, OVERLOADED when the listener's queue is full. By TLS: tries
 * the hosts one after the other, beginning with number *host, which becomes the one that serves;
 * blocks until then, at most until the deadline (monotonic ms).
 */
enum mikeyd_status connection_open(struct connection *connection, const struct address *address,
                                   size_t *host, int64_t deadline_ms, struct error *err);
/* Drops what was not sent or not consumed, wiped. */
void connection_close(struct connection *connection);

/* True when the peer has hung up already: told without sending anything. */
bool connection_is_stale(const struct connection *connection);

/* Room for the body of one frame at the end of what is to be sent, or NULL without memory. */
uint8_t *connection_queue(struct connection *connection, size_t body_len);
bool connection_has_output(const struct connection *connection);
/* DONE when nothing is left to send. */
enum connection_event connection_flush(struct connection *connection);
/* Reads once. */
enum connection_event connection_fill(struct connection *connection);
/* The next whole frame's body, in place until connection_consume(). */
enum connection_event connection_frame(struct connection *connection, const uint8_t **body,
                                       size_t *len);
void connection_consume(struct connection *connection, size_t body_len);

#endif
