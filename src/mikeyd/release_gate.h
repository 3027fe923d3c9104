/*
 * The release gate: a reply that carries the outcome of an exchange leaves only when its audit
 * record and its replay entries are on disk. Workers hand replies in and go on; one thread waits
 * for the audit log's group commits, syncs the replay store once for all of them, and passes them
 * to the main thread.
 */
#ifndef MIKEYD_RELEASE_GATE_H
#define MIKEYD_RELEASE_GATE_H

#include "audit/audit.h"
#include "mikeyd/mailbox.h"
#include "store/store.h"

struct release_gate;

/* The gate exists before the audit log, whose committed callback it provides; its thread starts
 * when the log and the store are there. */
enum mikeyd_status release_gate_make(struct mailbox *mailbox, struct release_gate **out,
                                     struct error *err);
/* For audit_options.committed; context: the gate. Does not block. */
void release_gate_committed(void *gate);
enum mikeyd_status release_gate_start(struct release_gate *gate, struct audit_log *audit,
                                      struct replay_store *store, struct error *err);
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
