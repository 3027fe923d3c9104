/*
 * A connection to a Redis server or Sentinel: commands out, replies in, every wait bounded by a
 * deadline (clock_monotonic_ms()). hiredis frames and parses; sockets and TLS are handled here,
 * because Debian's hiredis has no TLS and no deadline over several replies.
 */
#ifndef STORE_REDIS_WIRE_H
#define STORE_REDIS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#include "base/error.h"

struct redis_wire;
struct redis_tls;

/* "10.0.0.1:6379", "[::1]:6379" or the path of a Unix socket: no names, which would need a resolver
 * that can hang. */
#define REDIS_ADDRESS 128
/* INVALID_ARGUMENT. port: NULL or where the port goes; 0 for a path. */
enum mikeyd_status redis_address_check(const char *address, uint16_t *port, struct error *err);

/* STORE_DOWN. address is copied. tls: NULL for none. */
enum mikeyd_status redis_wire_open(const char *address, struct redis_tls *tls, int64_t deadline_ms,
                                   struct redis_wire **out, struct error *err);
void redis_wire_close(struct redis_wire *wire);
const char *redis_wire_address(const struct redis_wire *wire);
/* False when the other end has closed, or said something unasked. */
bool redis_wire_is_fresh(struct redis_wire *wire);

/* Puts a command behind those that wait to be sent. False without memory. */
bool redis_wire_put(struct redis_wire *wire, int argc, const char **argv, const size_t *lens);
/* The same for words that are texts; NULL ends them. */
bool redis_wire_put_words(struct redis_wire *wire, const char *const *words);
/*
 * Sends what waits and reads count replies; all are the caller's, to be freed by redis_free_all().
 * On failure (STORE_DOWN) the connection is of no more use. What was sent is wiped.
 */
enum mikeyd_status redis_wire_talk(struct redis_wire *wire, int64_t deadline_ms,
                                   redisReply *replies[], size_t count, struct error *err);
void redis_free_all(redisReply *replies[], size_t count);

/* ---- redis_tls.c */

struct redis_tls_files {
    const char *ca;          /* PEM; whom to believe */
    const char *certificate; /* PEM chain, or NULL: no client certificate */
    const char *key;         /* PEM; no other user can read it */
    const char *server_name; /* the name in the servers' certificates; NULL: their IP address */
};
enum mikeyd_status redis_tls_make(const struct redis_tls_files *files, struct redis_tls **out,
                                  struct error *err);
void redis_tls_free(struct redis_tls *tls);

struct redis_tls_session;
/* Over a connected, non-blocking socket. host: an IP address or a path. */
enum mikeyd_status redis_tls_connect(struct redis_tls *tls, int fd, const char *host,
                                     int64_t deadline_ms, struct redis_tls_session **out,
                                     struct error *err);
void redis_tls_end(struct redis_tls_session *session);
/* As read(2) and write(2) on a non-blocking socket: -1 with EAGAIN, and in *events what to wait for. */
ssize_t redis_tls_read(struct redis_tls_session *session, void *data, size_t len, short *events);
ssize_t redis_tls_write(struct redis_tls_session *session, const void *data, size_t len,
                        short *events);
/* Waits until fd is ready; false when the deadline comes first. */
bool redis_wait(int fd, short events, int64_t deadline_ms);

#endif
