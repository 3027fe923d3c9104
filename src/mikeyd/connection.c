/* A connection's life: bounds at its opening, stalls, its end. */
#include "mikeyd/connection_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/overflow_uid.h"
#include "mikeyd/traffic.h"

/* ---- life ---- */

/* The policy's clients, the gate, and who could stop the daemon anyway: root and its own user may ask for the
 * status. Exchanges are decided by the exchange service in any case. */
static bool is_stranger(const struct daemon *daemon, uid_t uid)
{
    if (uid == overflow_uid())
        return true;
    if (connection_is_of_gate(daemon, uid))
        return false;
    return uid != 0 && uid != geteuid() && policy_client_by_uid(daemon->policy, uid) == NULL;
}

/* The account counts the new one already. */
static bool within_bounds(const struct daemon *daemon, const struct account *account, bool stranger)
{
    if (daemon->connection_count >= daemon->connections_max)
        return false;
    if (stranger)
        return daemon->stranger_count < DAEMON_CONNECTIONS_STRANGERS;
    /* The gate has one connection for each of its clients'. */
    return account->connections <= (connection_is_of_gate(daemon, account->uid)
                                        ? daemon->connections_gate
                                        : DAEMON_CONNECTIONS_PER_USER);
}

static void link_connection(struct daemon *daemon, struct connection *connection)
{
    connection->next = daemon->connections;
    if (connection->next != NULL)
        connection->next->previous = connection;
    daemon->connections = connection;
    daemon->connection_count++;
    daemon->stranger_count += connection->stranger;
    atomic_fetch_add(&daemon->counters.connections, 1);
    atomic_fetch_add(&daemon->counters.open, 1);
}

static void unlink_connection(struct connection *connection)
{
    struct daemon *daemon = connection->daemon;
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        daemon->connections = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    daemon->connection_count--;
    daemon->stranger_count -= connection->stranger;
    connection_forget_client(connection);
    account_close(&daemon->accounts, connection->account);
    connection->account = NULL;
    atomic_fetch_sub(&daemon->counters.open, 1);
}

static bool make_events(struct connection *connection)
{
    struct event_base *base = connection->daemon->base;
    connection->readable =
        event_new(base, connection->fd, EV_READ | EV_PERSIST, connection_on_readable, connection);
    connection->writable =
        event_new(base, connection->fd, EV_WRITE, connection_on_writable, connection);
    return connection->readable != NULL && connection->writable != NULL &&
           connection_resize_input(connection, connection->stranger ? CONNECTION_INPUT_STRANGER
                                                                    : CONNECTION_INPUT_FIRST) &&
           event_add(connection->readable, NULL) == 0;
}

static void free_connection(struct connection *connection)
{
    if (connection->readable != NULL)
        event_free(connection->readable);
    if (connection->writable != NULL)
        event_free(connection->writable);
    connection_resize_input(connection, 0);
    free(connection);
}

void connection_open(struct daemon *daemon, int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) {
        static struct log_limit limit;
        log_write_limited(&limit, LOG_LEVEL_WARNING, "SO_PEERCRED: %s", strerror(errno));
        (void)close(fd);
        return;
    }
    const bool stranger = is_stranger(daemon, peer.uid);
    struct account *account = account_open(&daemon->accounts, peer.uid, 0);
    struct connection *connection = account != NULL && within_bounds(daemon, account, stranger)
                                        ? calloc(1, sizeof *connection)
                                        : NULL;
    if (connection == NULL) {
        if (account != NULL)
            account_close(&daemon->accounts, account);
        atomic_fetch_add(&daemon->counters.turned_away, 1);
        traffic_audit_refusal(daemon, true, peer.uid, "connect", MIKEYD_OVERLOADED,
                              "too many connections");
        (void)close(fd);
        return;
    }
    connection->daemon = daemon;
    connection->account = account;
    connection->id = ++daemon->last_connection;
    connection->fd = fd;
    connection->uid = peer.uid;
    connection->pid = peer.pid;
    connection->stranger = stranger;
    if (!make_events(connection)) {
        account_close(&daemon->accounts, account);
        (void)close(fd);
        free_connection(connection);
        return;
    }
    link_connection(daemon, connection);
}

/* Frees what is closed once nothing refers to it. */
void connection_release_if_done(struct connection *connection)
{
    if (connection->closed && connection->in_flight == 0 && !connection->is_unflushed &&
        connection->holds == 0)
        free_connection(connection);
}

/* Without freeing, for callers that still hold the pointer. */
void connection_shut(struct connection *connection)
{
    struct job *job;
    if (connection->closed)
        return;
    connection->closed = true;
    (void)event_del(connection->readable);
    (void)event_del(connection->writable);
    (void)close(connection->fd);
    connection->fd = -1;
    while ((job = job_list_take(&connection->output)) != NULL) {
        connection->in_flight--;
        connection->daemon->unsent -= job->reply_len - job->reply_sent;
        job_recycle(&connection->daemon->spare, job);
    }
    unlink_connection(connection);
}

void connection_close(struct connection *connection)
{
    connection_shut(connection);
    connection_release_if_done(connection);
}

void connection_stop_reading(struct connection *connection)
{
    connection->closing = true;
    connection->partial_since_ms = 0;
    (void)event_del(connection->readable);
}

void connection_drain(struct connection *connection)
{
    connection_stop_reading(connection);
    if (connection->in_flight == 0)
        connection_close(connection);
}

/* ---- house-keeping ---- */

void connection_check_stalls(struct daemon *daemon, int64_t now_ms)
{
    struct connection *next;
    for (struct connection *at = daemon->connections; at != NULL; at = next) {
        next = at->next;
        const bool half_sent =
            at->partial_since_ms != 0 && now_ms - at->partial_since_ms > DAEMON_STALL_MS;
        const bool unread =
            at->blocked_since_ms != 0 && now_ms - at->blocked_since_ms > DAEMON_STALL_MS;
        if (!half_sent && !unread)
            continue;
        atomic_fetch_add(&daemon->counters.stalled, 1);
        traffic_audit_refusal(daemon, true, at->uid, "frame", MIKEYD_SYNTAX,
                              half_sent ? "a half-sent frame was not finished"
                                        : "replies were not read");
        connection_close(at);
    }
}

void connection_policy_changed(struct daemon *daemon)
{
    daemon->stranger_count = 0;
    for (struct connection *at = daemon->connections; at != NULL; at = at->next) {
        at->stranger = is_stranger(daemon, at->uid);
        daemon->stranger_count += at->stranger;
        connection_forget_client(at);
    }
}
