/* What the three files of a connection share: life (connection.c), input and output. */
#ifndef MIKEYD_CONNECTION_PARTS_H
#define MIKEYD_CONNECTION_PARTS_H

#include "mikeyd/connection.h"

/* The input buffer at first, and all that a stranger ever gets. */
#define CONNECTION_INPUT_FIRST ((size_t)16 * 1024)
#define CONNECTION_INPUT_STRANGER ((size_t)8 * 1024)

void connection_on_readable(evutil_socket_t fd, short events, void *context);
void connection_on_writable(evutil_socket_t fd, short events, void *context);
/* Turns whole frames in the buffer into jobs; moves the rest to its front. */
void connection_take_frames(struct connection *connection);
/* connection_client.c: whom a connection of the gate's is for, by its first frame, until the policy
 * changes. */
bool connection_is_of_gate(const struct daemon *daemon, uid_t uid);
void connection_learn_client(struct connection *connection, const uint8_t *frame, size_t len);
void connection_forget_client(struct connection *connection);
/* The input buffer at another size, 0: none. False without memory, or over DAEMON_INPUT_MAX. */
bool connection_resize_input(struct connection *connection, size_t size);
/* Reads no more. */
void connection_stop_reading(struct connection *connection);
/* Closes without freeing, for callers that still hold the pointer. */
void connection_shut(struct connection *connection);
/* Frees what is closed once nothing refers to it. */
void connection_release_if_done(struct connection *connection);

#endif
