/* The Unix sockets that clients connect to. */
#ifndef MIKEYD_LISTENER_H
#define MIKEYD_LISTENER_H

#include "mikeyd/daemon.h"

/*
 * Before the sandbox closes: finds the groups that the sockets are to have. INTERNAL naming one that
 * this host does not know.
 */
enum mikeyd_status listener_make_all(struct daemon *daemon, struct error *err);
/*
 * Listens on every configured path (unix_socket.h says what that asks for). INTERNAL naming the
 * path.
 */
enum mikeyd_status listener_open_all(struct daemon *daemon, struct error *err);
/* Stops accepting and removes the sockets. */
void listener_close_all(struct daemon *daemon);

#endif
