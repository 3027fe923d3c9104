/*
 * One client on the Unix socket: its bytes become jobs, finished jobs become its bytes. Every
 * buffer is bounded; a client that floods is read no further, one that stalls is closed.
 */
#ifndef MIKEYD_CONNECTION_H
#define MIKEYD_CONNECTION_H

#include "mikeyd/account.h"
#include "mikeyd/daemon.h"

struct connection {
    struct daemon *daemon;
    struct connection *next, *previous;
    struct connection *next_unflushed;
    bool is_unflushed;
    int fd;
    uint64_t id;                    /* no other connection's before or after */
    struct account *account;        /* the user's, for connections; and for requests ... */
    struct account *client_account; /* ... but for those of a client behind the gate; or NULL */
    uint64_t client;                /* which one: policy_client_number(); 0: none */
    bool client_asked;
    uid_t uid;
    pid_t pid;
    bool stranger; /* neither a client of the policy nor an operator: hears NOT_ENTITLED only */
    struct event *readable, *writable;

    uint8_t *input;
    size_t input_len, input_cap;
    int64_t partial_since_ms; /* 0: no half-sent frame */

    unsigned in_flight; /* requests read whose replies have not been sent */
    struct job_list output;
    int64_t blocked_since_ms; /* 0: the client reads */

    bool paused;    /* not read: too many in flight */
    bool closing;   /* nothing more is read; closed when the last reply is sent */
    unsigned holds; /* functions on the stack that still use it */
    bool closed;    /* the descriptor is gone; freed with the last job */
};

/* Takes over fd. Over a bound, or without memory: closes it. */
void connection_open(struct daemon *daemon, int fd);
/* Closes at once; jobs that are still elsewhere find nobody to answer. */
void connection_close(struct connection *connection);
/* Reads no more; closes when everything in flight is answered. */
void connection_drain(struct connection *connection);
/* Queues a finished job's reply. Sent by connection_flush_all() at the end of the turn. */
void connection_reply(struct connection *connection, struct job *job);
void connection_flush_all(struct daemon *daemon);
/* Once a second: closes what stalls. */
void connection_check_stalls(struct daemon *daemon, int64_t now_ms);
/* After a reload: who is a stranger may have changed. */
void connection_policy_changed(struct daemon *daemon);

#endif
