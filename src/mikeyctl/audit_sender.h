/*
 * Where followed records go: a datagram or a stream, connected anew when it breaks. One message at
 * a time, nothing is queued here: the log itself is the queue.
 */
#ifndef MIKEYCTL_AUDIT_SENDER_H
#define MIKEYCTL_AUDIT_SENDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct audit_sender;

struct audit_sender_options {
    const char *to; /* stdout, udp:HOST:PORT, tcp:HOST:PORT, tls:HOST:PORT, unix:PATH */
    const char *ca; /* tls: PEM; NULL: the system's */
    const char *certificate, *key; /* tls: our own, PEM; NULL: none */
    bool octet_counting;           /* on streams each message has its length in front (RFC 6587
                                      3.4.1, RFC 5425 4.3), instead of a newline behind it */
};

/* INVALID_ARGUMENT when the address does not read or a file is not there. Connects to nothing. */
enum mikeyd_status audit_sender_make(const struct audit_sender_options *options,
                                     struct audit_sender **out, struct error *err);
void audit_sender_free(struct audit_sender *sender);

/*
 * Sends one message, connecting first where needed; blocks at most some seconds. OVERLOADED when
 * it is too long for a datagram and never goes. Anything else than OK: nothing that was not settled
 * may be thought to have arrived.
 */
enum mikeyd_status audit_sender_send(struct audit_sender *sender, const char *message, size_t len,
                                     struct error *err);
/*
 * Waits until the receiver's system has acknowledged all that was sent (streams), and the
 * connection still stands. A datagram settles at once: nobody acknowledges it.
 */
enum mikeyd_status audit_sender_settle(struct audit_sender *sender, struct error *err);

#endif
