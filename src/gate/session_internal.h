/* What the two files of a session share: its life (session.c), and frames (session_frames.c). */
#ifndef GATE_SESSION_INTERNAL_H
#define GATE_SESSION_INTERNAL_H

#include "gate/session.h"

void session_on_request(struct bufferevent *tls, void *context);
void session_on_answer(struct bufferevent *daemon, void *context);
/* What waited for the client, or for the daemon, has gone. */
void session_on_sent(struct bufferevent *tls, void *context);
void session_on_passed(struct bufferevent *daemon, void *context);
/* An answer of the gate's own; waits for the client within the bounds of the daemon's. */
void session_answer(struct session *session, uint64_t id, enum mikeyd_status status,
                    const char *text);

#endif
