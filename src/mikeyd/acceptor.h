/*
 * Accepts connections of one listening socket for the main loop: so many a second at most, so that
 * whoever connects in a loop takes no time from the others; and away for a while, longer each time,
 * when the process or the machine has no descriptor left. Says so now and then only.
 */
#ifndef MIKEYD_ACCEPTOR_H
#define MIKEYD_ACCEPTOR_H

#include <event2/event.h>
#include <sys/socket.h>

#include "base/error.h"

struct acceptor;

struct acceptor_config {
    struct event_base *base;
    int fd;            /* listening and non-blocking; stays the caller's */
    const char *name;  /* for the log; must outlive the acceptor */
    unsigned a_second; /* at most */
    /* Takes over the connection, which does not block. */
    void (*accepted)(void *context, int fd, const struct sockaddr_storage *peer);
    void *context;
};

enum mikeyd_status acceptor_open(const struct acceptor_config *config, struct acceptor **out,
                                 struct error *err);
void acceptor_close(struct acceptor *acceptor);

#endif
