/* A TLS 1.3 connection to a gate: made, and its bytes. */
#ifndef CLIENT_TLS_H
#define CLIENT_TLS_H

#include <openssl/ssl.h>
#include <sys/types.h>

#include "client/address.h"

/*
 * Connects to that host and shakes hands, all by the deadline (monotonic ms). The files are read
 * each time, so that a renewed certificate serves from the next connection on. UNREACHABLE when the
 * host does not answer or is not the gate that the address names; INVALID_ARGUMENT for files.
 */
enum mikeyd_status tls_connect(const struct address *address, const struct address_host *host,
                               int64_t deadline_ms, SSL **out, int *fd, struct error *err);
/* As send() and recv() on a non-blocking socket: -1 with EAGAIN when not now. */
ssize_t tls_send(SSL *tls, const void *data, size_t len);
ssize_t tls_receive(SSL *tls, void *data, size_t cap);
/* Has the gate hung up? Told without sending anything. */
bool tls_is_stale(SSL *tls);
/* Why the last call failed, for people. */
const char *tls_reason(SSL *tls, char *text, size_t cap);
/* Waits for the socket, as the last call on it needs; false when the deadline has come. */
bool tls_wait(SSL *tls, int fd, int64_t deadline_ms);

#endif
