/*
 * Worker threads, one token session each, fed by one bounded, fair queue. A worker unpacks a frame
 * into its own arena, serves it in straight-line code and hands the packed reply to the release
 * gate (a success) or straight to the mailbox (a refusal).
 */
#ifndef MIKEYD_WORKER_POOL_H
#define MIKEYD_WORKER_POOL_H

#include "exchange/exchange.h"
#include "mikeyd/mailbox.h"
#include "mikeyd/release_gate.h"

struct worker_pool;

struct worker_pool_config {
    struct exchange_service *service;
    struct release_gate *gate;
    struct mailbox *mailbox;
    unsigned workers;
    unsigned queue; /* requests waiting at most */
    bool has_gate;  /* gate_uid may ask on behalf of others */
    uid_t gate_uid;
    /* Makes the status report (JSON, to be freed with free()), in a worker's thread. */
    char *(*report)(void *context, bool checks);
    /* Audits a refusal that exchange_serve() never saw. Any worker's thread. */
    void (*refused)(void *context, const struct job *job, enum mikeyd_status status,
                    const char *text);
    void *context; /* of both */
};

enum mikeyd_status worker_pool_start(const struct worker_pool_config *config,
                                     struct worker_pool **out, struct error *err);
/*
 * Has the first worker without a job fetch or derive the keys of explicit pairs into the cache, so
 * that their first requests need not. Done once by worker_pool_start(); to be asked for after the
 * policy has changed, because pair keys belong to a policy. Any thread.
 */
void worker_pool_prewarm(struct worker_pool *pool);
/* Queues jobs, each in its client's turn (fair_queue.h). What is in list then found no room: of
 * these jobs, or of others that gave way to them. */
void worker_pool_submit(struct worker_pool *pool, struct job_list *list);
/*
 * The deadline (promise: a caller hears TOKEN_DOWN within the call time-out). Jobs that a worker
 * has had since before `deadline_ms` become ABANDONED and visit is called for each: the worker
 * keeps the job and will post it when the token lets go of it. Jobs still waiting in the queue
 * since before then are moved to `late`.
 */
void worker_pool_overdue(struct worker_pool *pool, int64_t deadline_ms,
                         void (*visit)(void *context, struct job *job), void *context,
                         struct job_list *late);
size_t worker_pool_waiting(struct worker_pool *pool);
/* Lets the workers finish what is queued and ends them. False when one hangs in the token: its
 * thread and all it uses must be left alone. */
bool worker_pool_stop(struct worker_pool *pool, unsigned timeout_ms);
void worker_pool_free(struct worker_pool *pool);

#endif
