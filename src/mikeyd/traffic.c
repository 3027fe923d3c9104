#include "mikeyd/traffic.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "mikeyd/connection.h"
#include "mikeyd/request.h"
#include "mikeyd/status_report.h"

/* ---- in ---- */

void traffic_audit_refusal(struct daemon *daemon, bool has_uid, uid_t uid, const char *operation,
                           enum mikeyd_status status, const char *text)
{
    char name[32];
    struct policy *policy = exchange_service_policy(daemon->service);
    const struct policy_client *client = has_uid ? policy_client_by_uid(policy, uid) : NULL;
    (void)snprintf(name, sizeof name, "uid:%u", has_uid ? (unsigned)uid : 0);
    const struct audit_record record = {
        .event = AUDIT_REFUSED,
        .status = status,
        .client = client != NULL ? client->name
                  : has_uid      ? name
                                 : NULL,
        .operation = operation,
        .policy_sha256 = policy_sha256(policy),
        .detail = text,
    };
    audit_refusal(daemon->audit, &record);
    atomic_fetch_add_explicit(&daemon->counters.refused[status], 1, memory_order_relaxed);
    policy_unref(policy);
}

void traffic_refuse(struct daemon *daemon, struct job *job, enum mikeyd_status status,
                    const char *text)
{
    (void)daemon;
    job_set_failure(job, status, text);
    connection_reply(job->connection, job);
}

/* A request that never reaches a worker. */
static void turn_down(struct daemon *daemon, struct job *job, enum mikeyd_status status,
                      const char *text)
{
    (void)request_peek_id(job->frame, job->frame_len, &job->id);
    traffic_audit_refusal(daemon, job->has_uid, job->uid, "request", status, text);
    traffic_refuse(daemon, job, status, text);
}

/* Whom a request of this connection counts for. */
static struct account *account_of(const struct connection *connection)
{
    return connection->client_account != NULL ? connection->client_account : connection->account;
}

static void begin_job(struct daemon *daemon, struct job *job)
{
    job->account = account_of(job->connection);
    account_begin_job(job->account);
    daemon->jobs++;
    atomic_store_explicit(&daemon->counters.in_flight, daemon->jobs, memory_order_relaxed);
}

static void end_job(struct daemon *daemon, struct job *job)
{
    account_end_job(&daemon->accounts, job->account);
    job->account = NULL;
    daemon->jobs--;
    atomic_store_explicit(&daemon->counters.in_flight, daemon->jobs, memory_order_relaxed);
}

/* A client may have as much in work as is left for all others: so each has room, however many
 * requests of one wait for a slow disk. */
static bool has_room(const struct daemon *daemon, const struct account *account)
{
    return daemon->jobs < daemon->jobs_max && account->jobs < daemon->jobs_max - daemon->jobs;
}

void traffic_submit(struct daemon *daemon, struct job_list *list)
{
    struct job_list accepted = {0};
    struct job *job;
    if (list->head == NULL)
        return;
    if (daemon->stuck > 0) {
        /* What is known to hang is not waited for again, and takes no further worker. */
        while ((job = job_list_take(list)) != NULL)
            turn_down(daemon, job, MIKEYD_TOKEN_DOWN, "the token does not answer");
        return;
    }
    while (list->head != NULL && has_room(daemon, account_of(list->head->connection))) {
        begin_job(daemon, list->head);
        job_list_append(&accepted, job_list_take(list));
    }
    /* What comes back found no room, or gave way to one that did. */
    worker_pool_submit(daemon->pool, &accepted);
    while ((job = job_list_take(&accepted)) != NULL) {
        end_job(daemon, job);
        job_list_append(list, job);
    }
    while ((job = job_list_take(list)) != NULL) {
        atomic_fetch_add_explicit(&daemon->counters.overloaded, 1, memory_order_relaxed);
        turn_down(daemon, job, MIKEYD_OVERLOADED, "too many requests are waiting");
    }
}

/* ---- out ---- */

static void refresh_policy(struct daemon *daemon)
{
    struct policy *policy = exchange_service_policy(daemon->service);
    if (policy == daemon->policy) {
        policy_unref(policy);
        return;
    }
    policy_unref(daemon->policy);
    daemon->policy = policy;
    connection_policy_changed(daemon);
}

static void note_latency(struct daemon *daemon, const struct job *job)
{
    const int64_t now_us = clock_monotonic_us();
    struct latency *stage = daemon->stage[job->operation];
    latency_add(&daemon->latency[job->operation], now_us - job->queued_us);
    latency_add(&stage[LATENCY_QUEUE], job->waited_us);
    latency_add(&stage[LATENCY_TOKEN], job->keys_us);
    latency_add(&stage[LATENCY_STORE], job->store_us);
    latency_add(&stage[LATENCY_DISK], now_us - job->done_us);
}

static void deliver(struct daemon *daemon, struct job *job)
{
    end_job(daemon, job);
    if (atomic_load(&job->state) == JOB_ABANDONED) {
        /* The token let go of a worker at last; its client has been answered. */
        daemon->stuck--;
        job_recycle(&daemon->spare, job);
        return;
    }
    if (job->is_exchange && job->status == MIKEYD_OK)
        note_latency(daemon, job);
    connection_reply(job->connection, job);
}

void traffic_deliver(struct daemon *daemon)
{
    struct job_list ready;
    struct job *job;
    release_gate_collect(daemon->gate, &ready);
    while ((job = job_list_take(&ready)) != NULL)
        deliver(daemon, job);
    if (atomic_exchange(&daemon->policy_changed, false))
        refresh_policy(daemon);
    connection_flush_all(daemon);
}

/* ---- the deadline ---- */

/* The worker keeps the job; another one carries the answer in its place. */
static void answer_abandoned(void *context, struct job *job)
{
    struct daemon *daemon = context;
    struct connection *connection = job->connection;
    static const char text[] = "the token did not answer in time";
    job->connection = NULL;
    if (daemon->stuck++ == 0) {
        daemon->stuck_since_ms = clock_monotonic_ms();
        log_error("a call of the token is overdue");
    }
    atomic_fetch_add(&daemon->counters.abandoned, 1);
    traffic_audit_refusal(daemon, job->has_uid, job->uid, "request", MIKEYD_TOKEN_DOWN, text);

    struct job *answer = job_make(&daemon->spare, 0);
    if (answer == NULL) {
        connection->in_flight--;
        connection_close(connection);
        return;
    }
    answer->id = job->id;
    answer->connection = connection;
    traffic_refuse(daemon, answer, MIKEYD_TOKEN_DOWN, text);
}

void traffic_check_deadlines(struct daemon *daemon, int64_t now_ms)
{
    struct job_list late = {0};
    struct job *job;
    const int64_t timeout_ms = daemon->config->tokens[0].call_timeout_ms;
    /* Checked at ticks: a little early is within the deadline, a little late is not. */
    worker_pool_overdue(daemon->pool, now_ms - timeout_ms + daemon->tick_ms, answer_abandoned,
                        daemon, &late);
    while ((job = job_list_take(&late)) != NULL) {
        end_job(daemon, job);
        turn_down(daemon, job, MIKEYD_TOKEN_DOWN, "no worker was free in time");
    }
    release_gate_expire(daemon->gate, now_ms - DAEMON_GATE_MS);
    connection_flush_all(daemon);
}

/* ---- the end ---- */

void traffic_drain(struct daemon *daemon)
{
    struct connection *next;
    for (struct connection *at = daemon->connections; at != NULL; at = next) {
        next = at->next;
        connection_drain(at);
    }
}

void traffic_discard(struct daemon *daemon)
{
    struct job_list ready;
    struct job *job;
    if (daemon->mailbox.fd >= 0) {
        mailbox_collect(&daemon->mailbox, &ready);
        while ((job = job_list_take(&ready)) != NULL)
            deliver(daemon, job);
        connection_flush_all(daemon);
    }
    struct connection *next;
    for (struct connection *at = daemon->connections; at != NULL; at = next) {
        next = at->next;
        connection_close(at);
    }
}

/* ---- for the workers ---- */

char *traffic_report(void *daemon, bool checks)
{
    return status_report_make(daemon, checks);
}

void traffic_refused(void *daemon, const struct job *job, enum mikeyd_status status,
                     const char *text)
{
    struct daemon *self = daemon;
    if (status == MIKEYD_SYNTAX)
        atomic_fetch_add(&self->counters.malformed, 1);
    traffic_audit_refusal(self, job->has_uid, job->uid, "request", status, text);
}
