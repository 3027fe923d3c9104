/*
 * A listening Unix socket that is ours alone. A lock beside it ("PATH.lock", kept for good) says
 * who serves the path: what lies there while we hold the lock was left by a process that died. A
 * socket that somebody may still serve without that lock is never removed.
 */
#ifndef MIKEYD_UNIX_SOCKET_H
#define MIKEYD_UNIX_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct unix_socket {
    const char *path;
    int fd, lock_fd; /* -1: none */
    bool bound;
    dev_t device; /* of the socket we bound */
    ino_t inode;
};

/*
 * path must outlive the socket. The folder must belong to this user or root and be closed to
 * others' writing. group: (gid_t)-1 for this process's own. INTERNAL naming the path. What was opened so
 * far is closed by unix_socket_close(), also after a failure.
 */
enum mikeyd_status unix_socket_listen(struct unix_socket *socket, const char *path, mode_t mode,
                                      gid_t group, struct error *err);
/* Stops listening; removes the socket only if it is still the one we bound. */
void unix_socket_close(struct unix_socket *socket);

#endif
