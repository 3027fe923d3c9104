/*
 * Requests waiting for a worker, so that no client waits for another's crowd: clients take turns,
 * and the connections of one client take turns among themselves. When the queue is full, room for
 * one that has little waiting is made by the newest request of the one that has most. A client whose
 * requests turn out to be forgeries, which its network sends it, pays for each with turns of its own
 * while others wait.
 * Not thread-safe: its owner has a mutex.
 */
#ifndef MIKEYD_FAIR_QUEUE_H
#define MIKEYD_FAIR_QUEUE_H

#include "mikeyd/job.h"

struct fair_queue;

/* capacity: requests waiting at most. NULL without memory. */
struct fair_queue *fair_queue_make(size_t capacity);
/* Also frees the jobs in it. NULL is allowed. */
void fair_queue_free(struct fair_queue *queue);
/* By job->uid, job->client and job->flow. Returns the job that has no room, whose owner is the caller again:
 * NULL (all have), this one, or one that gave way to it. */
struct job *fair_queue_put(struct fair_queue *queue, struct job *job);
/* The next in turn; NULL when nothing waits. */
struct job *fair_queue_take(struct fair_queue *queue);
/* Moves the jobs that were queued before deadline (monotonic ms) to the end of `late`. */
void fair_queue_take_late(struct fair_queue *queue, int64_t deadline_ms, struct job_list *late);
/* This request was a forgery: its client pays. */
void fair_queue_charge_forgery(struct fair_queue *queue, const struct job *job);
size_t fair_queue_count(const struct fair_queue *queue);

#endif
