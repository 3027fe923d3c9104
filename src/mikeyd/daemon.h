/*
 * What the parts of the daemon share. The main thread owns everything here but the atomics;
 * workers, the release gate and the reloader have handles of their own.
 */
#ifndef MIKEYD_DAEMON_H
#define MIKEYD_DAEMON_H

#include <event2/event.h>
#include <stdatomic.h>

#include "audit/audit.h"
#include "base/clock_watch.h"
#include "config/config.h"
#include "exchange/exchange.h"
#include "keys/keys.h"
#include "mikeyd/channel.h"
#include "mikeyd/health.h"
#include "mikeyd/latency.h"
#include "mikeyd/mailbox.h"
#include "mikeyd/release_gate.h"
#include "mikeyd/worker_pool.h"
#include "officers/signed_policy.h"
#include "policy/policy.h"
#include "store/store.h"

/* ---- bounds: nothing a client does makes the daemon hold more than these */

#define DAEMON_CONNECTIONS_MAX 1024
#define DAEMON_CONNECTIONS_PER_USER 512
#define DAEMON_CONNECTIONS_STRANGERS 16 /* of all users whom the policy does not name */
#define DAEMON_IN_FLIGHT_MAX 256        /* requests of one connection, unread replies included */
#define DAEMON_INPUT_MAX ((size_t)16 << 20) /* half-sent frames that outgrew their buffers, all */
#define DAEMON_STALL_MS 10000               /* a half-sent frame, or replies that nobody reads */
#define DAEMON_GATE_MS 5000                 /* a reply waits this long for the disk */

/* Counted by any thread, read by the status report and the metrics. */
struct daemon_counters {
    _Atomic uint64_t connections; /* accepted since start */
    _Atomic uint64_t open;        /* now */
    _Atomic uint64_t turned_away; /* connections over a bound */
    _Atomic uint64_t frames;
    _Atomic uint64_t malformed; /* frames too long or not a request */
    _Atomic uint64_t stalled;   /* connections closed for stalling */
    _Atomic uint64_t overloaded;
    _Atomic uint64_t abandoned;                    /* calls past the deadline */
    _Atomic uint64_t refused[MIKEYD_STATUS_COUNT]; /* here, before an exchange began */
    _Atomic uint64_t replies;
    _Atomic uint64_t reloads, reloads_refused;
    _Atomic uint64_t in_flight;
};

struct account;
struct connection;
struct listener;
struct reloader;
struct scrape_server;
struct checkpoint_signer;
struct confinement;

struct daemon {
    struct config *config;
    struct confinement *confinement;
    int64_t started_ms; /* monotonic */

    int channel; /* to the monitor; -1: it is gone */
    struct keys_group *keys;
    struct front_keys *front_keys;
    bool of_two_users; /* keyholders are of another user than this process */
    bool has_gate;     /* gate_uid is mikeyd-gate, which asks on behalf of others */
    uid_t gate_uid;
    struct policy_budget *budget;
    struct audit_log *audit;
    struct checkpoint_signer *signer; /* or NULL */
    struct replay_store *store;
    struct exchange_service *service;
    struct mailbox mailbox;
    struct release_gate *gate;
    struct worker_pool *pool;
    struct reloader *reloader;
    struct scrape_server *metrics; /* or NULL */

    struct event_base *base;
    struct event *mail_event, *tick_event, *second_event;
    struct event *channel_event;
    struct listener *listeners;
    size_t listener_count;
    struct connection *connections; /* doubly linked */
    size_t connection_count, connections_max, stranger_count;
    size_t connections_gate;      /* of them at most for the gate */
    uint64_t last_connection;     /* its id */
    struct account *accounts;     /* of who has connections or requests */
    struct connection *unflushed; /* replies to be sent at the end of this turn */

    struct officers *officers;     /* or NULL */
    struct policy_signers signers; /* of the policy at start */
    struct policy *policy;         /* the main thread's reference; refreshed after a reload */
    struct job_spare spare;
    size_t input_bytes;        /* of connections whose buffers grew */
    size_t unsent, unsent_max; /* bytes of replies that wait for their sockets */
    size_t jobs, jobs_max;     /* handed to workers and not yet back */
    unsigned stuck;            /* workers that hang in the token */
    int64_t stuck_since_ms;    /* when the first of them began to */
    bool audit_was_healthy;
    uint64_t log_found;       /* the audit log's last record before this start */
    uint64_t marked_files;    /* of the audit log: each has the replay store's mark in it */
    _Atomic int64_t skew_ms;  /* the widest of the policy in force */
    struct clock_watch clock; /* has it stepped? */
    struct health_answer token_answer;
    int64_t health_told_day;
    const struct policy *health_told_policy; /* compared, never used */
    int64_t tick_ms;                         /* between two deadline checks */
    _Atomic bool policy_changed;             /* set by the reloader */
    bool stopping;
    int64_t stop_deadline_ms;

    struct daemon_counters counters;
    /* Of requests that succeeded: in all, and what each stage took of it. */
    struct latency latency[EXCHANGE_OPERATIONS];
    struct latency stage[EXCHANGE_OPERATIONS][LATENCY_STAGES];
};

/* What the monitor says of itself when it starts the front. */
struct daemon_start {
    bool sandbox;
    bool of_two_users; /* keyholders are of another user than this process */
    int channel;
};

/* Opens everything in the order of reliability: what fails first is what an operator can mend
 * first. */
enum mikeyd_status daemon_open(struct config *config, const struct daemon_start *start,
                               struct daemon **out, struct error *err);
/* Serves until the monitor says stop; then finishes what is in flight. */
enum mikeyd_status daemon_run(struct daemon *daemon, struct error *err);
void daemon_close(struct daemon *daemon);
/* Nothing new is taken; what is in flight has its time. Main thread. */
void daemon_begin_stop(struct daemon *daemon);

/* One record of the daemon's own, on the disk when it returns OK. */
enum mikeyd_status daemon_record(struct daemon *daemon, enum audit_event event,
                                 enum mikeyd_status result, const char *detail, struct error *err);

#endif
