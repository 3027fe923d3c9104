/*
 * The release gate: a reply that carries the outcome of an exchange leaves only when its audit
 * record is on disk. Workers hand replies in and go on; the audit log's group commits wake the main
 * loop, which collects the replies they cover.
 *
 * The replay store is not waited for. Its entries are where the death of this process cannot reach
 * them before a worker hands its reply in; after the death of the machine the store does not trust
 * what it finds and accepts nothing for a window (store.h), so a flush would not change what is
 * refused.
 */
#ifndef MIKEYD_RELEASE_GATE_H
#define MIKEYD_RELEASE_GATE_H

#include "audit/audit.h"
#include "mikeyd/mailbox.h"

struct release_gate;

/* The gate exists before the audit log, whose committed callback it provides. */
enum mikeyd_status release_gate_make(struct mailbox *mailbox, struct release_gate **out,
                                     struct error *err);
/* Before the first reply is handed in. */
void release_gate_attach(struct release_gate *gate, struct audit_log *audit);
/* For audit_options.committed; context: the gate. Does not block. */
void release_gate_committed(void *gate);
/* So many more requests (negative: fewer) are queued or served that may yet hand a reply in: the
 * audit log's commits wait a little for company (audit_expect). Any thread. */
void release_gate_expect(struct release_gate *gate, int more);
/* Takes a packed reply with its audit_sequence. Any thread. */
void release_gate_hold(struct release_gate *gate, struct job *job);
/* All that may leave: what the mailbox has, and what was held and is decided now: on disk, or lost
 * (AUDIT_DOWN). Main thread. */
void release_gate_collect(struct release_gate *gate, struct job_list *out);
/* Turns replies held since before deadline (monotonic ms) into AUDIT_DOWN and passes them to the
 * mailbox: a slow disk does not hold clients for ever. */
void release_gate_expire(struct release_gate *gate, int64_t deadline_ms);
size_t release_gate_waiting(struct release_gate *gate);
/* What is still undecided becomes AUDIT_DOWN and is passed to the mailbox. Nobody hands in any
 * more. */
void release_gate_stop(struct release_gate *gate);
void release_gate_free(struct release_gate *gate);

#endif
