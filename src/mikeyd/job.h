/*
 * One request on its way: the frame as it came, and the reply as it will leave. Made and recycled
 * by the main thread only; between that, exactly one place owns it: the queue, a worker, the
 * release gate or the mailbox back to the main thread.
 */
#ifndef MIKEYD_JOB_H
#define MIKEYD_JOB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "exchange/exchange.h"

struct account;
struct connection;

/*
 * A job changes hands between a worker and the main thread's deadline check by one atomic step:
 * from RUNNING either to DONE (the worker finished in time, its reply counts) or to ABANDONED (the
 * client has been answered TOKEN_DOWN; what the worker brings is wiped unseen).
 */
enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_DONE, JOB_ABANDONED };

#define JOB_FRAME_INLINE 1536
/* Frames that do not fit into their jobs, all together; and jobs kept for the next requests. */
#define JOB_FRAMES_MAX ((size_t)16 << 20)
#define JOB_SPARE_MAX 2048

struct job {
    struct job *next, *previous;   /* previous: of all but a list's first */
    struct connection *connection; /* main thread only; NULL once abandoned */
    _Atomic int state;
    bool has_uid;
    uid_t uid;
    uint64_t client;         /* of the gate's user: for which of its clients; 0: none or unknown */
    uint64_t flow;           /* which connection of the client's it came on */
    struct account *account; /* main thread only: whom it counts for */
    uint64_t id;             /* the client's, valid once RUNNING */
    int64_t queued_ms;       /* monotonic */
    int64_t queued_us;       /* the same moment */
    _Atomic int64_t started_ms;
    int64_t done_ms;
    int64_t done_us;                      /* the same moment */
    int64_t waited_us, keys_us, store_us; /* in the queue, for keyholders, for the replay store */
    bool hang_up; /* close the connection after this reply: what follows cannot be trusted */

    /* The outcome. */
    bool is_exchange; /* `operation` is said */
    enum exchange_operation operation;
    enum mikeyd_status status;
    uint64_t audit_sequence; /* 0: nothing to wait for */
    uint8_t *reply;          /* frame with its header; a success lies in the secure heap */
    size_t reply_len, reply_sent;

    uint8_t *frame; /* without the header */
    size_t frame_len;
    uint8_t frame_inline[JOB_FRAME_INLINE];
};

/* A singly linked queue; tail is valid when head is not NULL. */
struct job_list {
    struct job *head, *tail;
    size_t count;
};

void job_list_append(struct job_list *list, struct job *job);
struct job *job_list_take(struct job_list *list);
/* The one appended last. */
struct job *job_list_take_last(struct job_list *list);
/* Moves all of `from` to the end of `to`. */
void job_list_join(struct job_list *to, struct job_list *from);

/* Jobs to be used again, and what the long frames of those in use take. Main thread only. */
struct job_spare {
    struct job_list list;
    size_t frame_bytes;
};

/* A job with room for a frame of frame_len bytes; NULL when memory runs out, or JOB_FRAMES_MAX. */
struct job *job_make(struct job_spare *spare, size_t frame_len);
/* The frame is not needed any more, although the reply still is. */
void job_drop_frame(struct job_spare *spare, struct job *job);
/* Wipes and drops the reply, and puts the job among the spare ones. */
void job_recycle(struct job_spare *spare, struct job *job);
void job_list_free(struct job_list *list);

/* Wipes and drops the reply, if any. */
void job_drop_reply(struct job *job);
/* Packs a failure as the reply, in common memory: a secure heap that is full must not keep anybody
 * from hearing so. Drops the earlier reply. The text is for people and holds no secret. */
void job_set_failure(struct job *job, enum mikeyd_status status, const char *text);
/* The same with the error message for the peer (RFC 3830 5.1.2) and the suites of the result, no
 * secrets either; NULL: none. */
void job_set_refusal(struct job *job, enum mikeyd_status status, const char *text,
                     const struct exchange_result *result);
/*
 * Packs a result. INTERNAL when it does not fit a frame, OVERLOADED when the secure heap is full.
 */
enum mikeyd_status job_set_result(struct job *job, const struct exchange_result *result,
                                  struct error *err);
/* Packs a status report (JSON text). */
enum mikeyd_status job_set_report(struct job *job, char *report, struct error *err);

#endif
