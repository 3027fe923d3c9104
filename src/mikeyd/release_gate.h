/*
 * The release gate: a reply that carries the outcome of an exchange leaves only when its audit
 * record is on disk. Workers hand replies in and go on; one thread waits for the audit log's group
 * commits and passes the replies they cover to the main thread.
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

/* The gate exists before the audit log, whose committed callback it provides; its thread starts
 * when the log is there. */
enum mikeyd_status release_gate_make(struct mailbox *mailbox, struct release_gate **out,
                                     struct error *err);
/* For audit_options.committed; context: the gate. Does not block. */
void release_gate_committed(void *gate);
enum mikeyd_status release_gate_start(struct release_gate *gate, struct audit_log *audit,
                                      struct error *err);
/* Takes a packed reply with its audit_sequence. Any thread. */
void release_gate_hold(struct release_gate *gate, struct job *job);
/* Turns replies held since before deadline (monotonic ms) into AUDIT_DOWN and passes them on: a
 * slow disk does not hold clients for ever. */
void release_gate_expire(struct release_gate *gate, int64_t deadline_ms);
size_t release_gate_waiting(struct release_gate *gate);
/* Ends the thread (what it still holds becomes AUDIT_DOWN). Call audit_close() only after. */
void release_gate_stop(struct release_gate *gate);
void release_gate_free(struct release_gate *gate);

#endif
