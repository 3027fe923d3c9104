/*
 * The client as its own files see it. One lock guards everything but the sleep in poll().
 *
 * Whoever waits for an answer, waits in one of two ways: one thread (the poller) sleeps in poll()
 * and reads for all; the others sleep on their call's condition. When the poller has its answer it
 * hands the role to another waiting thread. An event loop sleeps on loop_fd, an epoll descriptor
 * that stays the same over reconnections; it watches the socket and ready_fd.
 */
#ifndef CLIENT_CLIENT_INTERNAL_H
#define CLIENT_CLIENT_INTERNAL_H

#include <pthread.h>

#include <mikeyd/client.h>

#include "client/address.h"
#include "client/call.h"
#include "client/connection.h"
#include "client/request.h"

struct mikeyd_client {
    struct address address;
    size_t host; /* of the address: the one that is connected, or to be tried first */
    unsigned timeout_ms;

    pthread_mutex_t lock;
    struct connection connection;
    bool output_watched; /* loop_fd reports when the socket takes output */
    uint64_t last_id;
    struct call_table calls;
    struct call *ready, **ready_end; /* answered, callbacks not yet run */
    struct call *running;            /* of those, whose callbacks are being run */
    struct private_buffer arena;     /* where answers are unpacked */

    struct call *waiters; /* blocking calls without an answer */
    bool polling;         /* one of their threads is the poller */
    unsigned inside;      /* blocking calls that have not returned yet */
    bool closing;
    pthread_cond_t left; /* a thread has left while closing */

    unsigned pipelined_ms;    /* for the next pipelined requests; 0: no limit */
    int64_t next_deadline_ms; /* of all in flight; 0: none */

    int timer_fd; /* timerfd: next_deadline_ms has come */
    int loop_fd;  /* for event loops: epoll of the socket, ready_fd and timer_fd */
    int ready_fd; /* eventfd: callbacks wait for mikeyd_client_dispatch() */
    int wake_fd;  /* eventfd: the poller shall look again */
};

/* The text of mikeyd_client_error() in this thread. */
enum mikeyd_status client_report(const struct error *err, enum mikeyd_status status);

/* ---- client_io.c; all with the lock held */

/* Connects when there is no connection, or the daemon has hung up since. */
enum mikeyd_status client_connect(struct mikeyd_client *client, struct error *err);
/* Queues the request under a new id and enters the call in the table. */
enum mikeyd_status client_submit(struct mikeyd_client *client, struct request *request,
                                 struct call *call, struct error *err);
/* Queues a further request of a call that is out of the table, on the connection that brought its
 * answer. Nothing is sent: not to break a connection that is being read from. */
enum mikeyd_status client_resubmit(struct mikeyd_client *client, Mikeyd__Request *message,
                                   struct call *call, struct error *err);
/* Sends and receives what is possible now; ends all calls when the connection breaks. */
void client_exchange_bytes(struct mikeyd_client *client);
/* Closes the connection and ends every call in flight with UNREACHABLE and this text. */
void client_break(struct mikeyd_client *client, const char *why);
/* Makes the poller return from poll(). */
void client_wake_poller(struct mikeyd_client *client);

/* ---- client_answer.c */

/* Handles one frame's body; false when it is no answer to anything in flight. */
bool client_take_answer(struct mikeyd_client *client, const uint8_t *body, size_t len);
/* Gives a call that is out of the table its result: wakes its thread or queues its callback. */
void client_finish(struct mikeyd_client *client, struct call *call);

/* ---- client_deadline.c */

/* The pipelined request begins: its time runs. */
void client_start_clock(struct mikeyd_client *client, struct call *call);
/* Ends the pipelined requests whose time is up. */
void client_expire(struct mikeyd_client *client);
/* The call's time is up: has the gate been silent all the while, and is there another one? */
bool client_is_deserted(const struct mikeyd_client *client, const struct call *call);
/* Takes a call out of the table; what stays there takes its late answer for no wrong one. False
 * without memory. */
bool client_give_up(struct mikeyd_client *client, struct call *call);

/* ---- client_again.c */

/* The offer of that request, should the peer's error say what else it would take (RFC 3830 5.1.1):
 * kept in the call. */
enum mikeyd_status client_keep_offer(struct call *call, const struct request *offer,
                                     struct error *err);
/* After each answer: true when the call goes on with another offer and is not finished. */
bool client_offer_again(struct mikeyd_client *client, struct call *call,
                        const Mikeyd__Response *response);

/* ---- client_wait.c */

/* Submits and waits; afterwards call holds the result. Takes the lock itself. */
enum mikeyd_status client_call(struct mikeyd_client *client, struct request *request,
                               struct call *call);

#endif
