/* The Unix sockets that clients connect to. */
#ifndef MIKEYD_LISTENER_H
#define MIKEYD_LISTENER_H

#include "mikeyd/daemon.h"

/*
 * Listens on every configured path (unix_socket.h says what that asks for). INTERNAL naming the
 * path.
 */
enum mikeyd_status listener_open_all(struct daemon *daemon, struct error *err);
/* Stops accepting and removes the sockets. */
void listener_close_all(struct daemon *daemon);

#endif
