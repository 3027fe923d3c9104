/* One request from submission to its answer, and the table of those in flight. */
#ifndef CLIENT_CALL_H
#define CLIENT_CALL_H

#include <pthread.h>
#include <stdbool.h>

#include <mikeyd/client.h>

#include "base/error.h"

/* What the answer must carry. */
enum call_kind { CALL_EXCHANGE, CALL_REPORT };

/*
 * Who waits for it. BLOCKING: a thread sleeps on `answered` and owns the call. CALLBACK: goes to
 * the ready list, then to its callback. ABANDONED: its thread gave up; freed when the answer comes.
 */
enum call_owner { CALL_BLOCKING, CALL_CALLBACK, CALL_ABANDONED };

struct call {
    uint64_t id;
    struct call *next; /* in its bucket, or in the ready list */
    enum call_kind kind;
    enum call_owner owner;
    mikeyd_done *done;
    void *user;
    uint64_t received;   /* of the connection, when it was submitted */
    int64_t deadline_ms; /* monotonic; CALLBACK only, 0: none */

    bool takes_error_message; /* a refusal may bring an exchange */
    /* A packed request to initiate, made when a refusal brings suites, once; free() it. */
    uint8_t *again;
    size_t again_len;
    bool offered_again;
    bool finished;
    enum mikeyd_status status;
    struct error err;
    mikeyd_exchange *exchange;
    char *report;

    pthread_cond_t answered;                 /* BLOCKING only */
    struct call *waiter_next, **waiter_link; /* among the threads that could read for the others */
};

#define CALL_BUCKETS 1024
/* More in flight than this on one connection is refused (OVERLOADED). */
#define CALL_MAX 65536

struct call_table {
    struct call *buckets[CALL_BUCKETS];
    size_t count;
};

/* The list of blocking calls that wait: any of their threads can take over the reading. */
void call_join(struct call **waiters, struct call *call);
void call_leave(struct call *call);

/* Frees a call that belongs to nobody any more, with what it has. */
void call_free(struct call *call);

void call_table_add(struct call_table *table, struct call *call);
/* Takes the call out of the table; NULL when id is unknown. */
struct call *call_table_take(struct call_table *table, uint64_t id);
/* Takes any call out; NULL when none is left. */
struct call *call_table_take_any(struct call_table *table);

#endif
