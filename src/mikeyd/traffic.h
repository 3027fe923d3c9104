/*
 * Requests on their way through the daemon, as the main thread sees them: in from connections, to
 * the workers or refused at once; back from the mailbox, out to connections; and the deadline.
 */
#ifndef MIKEYD_TRAFFIC_H
#define MIKEYD_TRAFFIC_H

#include "mikeyd/daemon.h"

/* Deadline checks in one call time-out. */
#define TRAFFIC_TICKS 10

/* Takes frames from the connection layer: all go to the workers, or are answered at once. */
void traffic_submit(struct daemon *daemon, struct job_list *list);
/* Answers a job with a refusal, in the main thread. It is audited elsewhere. */
void traffic_refuse(struct daemon *daemon, struct job *job, enum mikeyd_status status,
                    const char *text);
/* Audits and counts a refusal that the exchange service did not see. Any thread. */
void traffic_audit_refusal(struct daemon *daemon, bool has_uid, uid_t uid, const char *operation,
                           enum mikeyd_status status, const char *text);

/* The mailbox has something. */
void traffic_deliver(struct daemon *daemon);
/* Answers TOKEN_DOWN where the token, AUDIT_DOWN where the disk takes too long. */
void traffic_check_deadlines(struct daemon *daemon, int64_t now_ms);
/* No more requests; connections close as their replies leave. */
void traffic_drain(struct daemon *daemon);
/* After the threads have ended: closes what is left. */
void traffic_discard(struct daemon *daemon);

/* For the workers. */
char *traffic_report(void *daemon, bool checks);
void traffic_refused(void *daemon, const struct job *job, enum mikeyd_status status,
                     const char *text);

#endif
