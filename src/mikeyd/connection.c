#include "mikeyd/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "mikeyd/request.h"
#include "mikeyd/traffic.h"
#include "rpc/frame.h"

#define INPUT_FIRST ((size_t)16 * 1024)
#define INPUT_STRANGER ((size_t)8 * 1024)
#define SEND_BATCH 64

static void on_readable(evutil_socket_t fd, short events, void *context);
static void on_writable(evutil_socket_t fd, short events, void *context);

/* ---- life
 * ----------------------------------------------------------------------------------------------------
 */

/* The policy's clients, and who could stop the daemon anyway: root and its own user may ask for the
 * status. Exchanges are decided by the exchange service in any case. */
static bool is_stranger(const struct daemon *daemon, uid_t uid)
{
    return uid != 0 && uid != geteuid() && policy_client_by_uid(daemon->policy, uid) == NULL;
}

static size_t connections_of(const struct daemon *daemon, uid_t uid)
{
    size_t count = 0;
    for (const struct connection *at = daemon->connections; at != NULL; at = at->next)
        count += at->uid == uid;
    return count;
}

static bool within_bounds(const struct daemon *daemon, uid_t uid, bool stranger)
{
    if (daemon->connection_count >= DAEMON_CONNECTIONS_MAX)
        return false;
    if (stranger)
        return daemon->stranger_count < DAEMON_CONNECTIONS_STRANGERS;
    return connections_of(daemon, uid) < DAEMON_CONNECTIONS_PER_USER;
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
    atomic_fetch_sub(&daemon->counters.open, 1);
}

static bool make_events(struct connection *connection)
{
    struct event_base *base = connection->daemon->base;
    connection->readable =
        event_new(base, connection->fd, EV_READ | EV_PERSIST, on_readable, connection);
    connection->writable = event_new(base, connection->fd, EV_WRITE, on_writable, connection);
    connection->input_cap = connection->stranger ? INPUT_STRANGER : INPUT_FIRST;
    connection->input = malloc(connection->input_cap);
    return connection->readable != NULL && connection->writable != NULL &&
           connection->input != NULL && event_add(connection->readable, NULL) == 0;
}

static void free_connection(struct connection *connection)
{
    if (connection->readable != NULL)
        event_free(connection->readable);
    if (connection->writable != NULL)
        event_free(connection->writable);
    free(connection->input);
    free(connection);
}

void connection_open(struct daemon *daemon, int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) {
        log_warning("SO_PEERCRED: %s", strerror(errno));
        (void)close(fd);
        return;
    }
    const bool stranger = is_stranger(daemon, peer.uid);
    struct connection *connection =
        within_bounds(daemon, peer.uid, stranger) ? calloc(1, sizeof *connection) : NULL;
    if (connection == NULL) {
        atomic_fetch_add(&daemon->counters.turned_away, 1);
        traffic_audit_refusal(daemon, true, peer.uid, "connect", MIKEYD_OVERLOADED,
                              "too many connections");
        (void)close(fd);
        return;
    }
    connection->daemon = daemon;
    connection->fd = fd;
    connection->uid = peer.uid;
    connection->pid = peer.pid;
    connection->stranger = stranger;
    if (!make_events(connection)) {
        (void)close(fd);
        free_connection(connection);
        return;
    }
    link_connection(daemon, connection);
}

/* Frees what is closed once nothing refers to it. */
static void release_if_done(struct connection *connection)
{
    if (connection->closed && connection->in_flight == 0 && !connection->is_unflushed &&
        connection->holds == 0)
        free_connection(connection);
}

/* Without freeing, for callers that still hold the pointer. */
static void shut(struct connection *connection)
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
        job_recycle(&connection->daemon->spare, job);
    }
    unlink_connection(connection);
}

void connection_close(struct connection *connection)
{
    shut(connection);
    release_if_done(connection);
}

static void stop_reading(struct connection *connection)
{
    connection->closing = true;
    connection->partial_since_ms = 0;
    (void)event_del(connection->readable);
}

void connection_drain(struct connection *connection)
{
    stop_reading(connection);
    if (connection->in_flight == 0)
        connection_close(connection);
}

/* ---- reading
 * -------------------------------------------------------------------------------------------------
 */

/* A refusal by this layer: audited here, since no exchange sees it. */
static void refuse_frame(struct connection *connection, struct job *job, const char *operation,
                         enum mikeyd_status status, const char *text)
{
    traffic_audit_refusal(connection->daemon, true, connection->uid, operation, status, text);
    job->hang_up = true;
    connection->in_flight++;
    job->connection = connection;
    traffic_refuse(connection->daemon, job, status, text);
}

static struct job *make_job(struct connection *connection, const uint8_t *frame, size_t len)
{
    struct job *job = job_make(&connection->daemon->spare, len);
    if (job == NULL)
        return NULL;
    memcpy(job->frame, frame, len);
    job->has_uid = true;
    job->uid = connection->uid;
    job->queued_ms = clock_monotonic_ms();
    return job;
}

/* One whole frame. False when the connection takes no more. */
static bool take_frame(struct connection *connection, const uint8_t *frame, size_t len,
                       struct job_list *list)
{
    struct daemon *daemon = connection->daemon;
    atomic_fetch_add_explicit(&daemon->counters.frames, 1, memory_order_relaxed);
    struct job *job = make_job(connection, frame, len);
    if (job == NULL) {
        shut(connection);
        return false;
    }
    if (connection->stranger) {
        (void)request_peek_id(frame, len, &job->id);
        refuse_frame(connection, job, "request", MIKEYD_NOT_ENTITLED,
                     "this user is no client of the policy");
        stop_reading(connection);
        return false;
    }
    job->connection = connection;
    connection->in_flight++;
    job_list_append(list, job);
    return true;
}

/* A length that no frame has: what follows cannot be told apart any more. */
static void refuse_length(struct connection *connection)
{
    struct job *job = job_make(&connection->daemon->spare, 0);
    atomic_fetch_add(&connection->daemon->counters.malformed, 1);
    stop_reading(connection);
    if (job == NULL) {
        shut(connection);
        return;
    }
    refuse_frame(connection, job, "frame", MIKEYD_SYNTAX, "the frame is empty or too long");
}

static bool make_room(struct connection *connection, size_t need)
{
    if (need <= connection->input_cap)
        return true;
    uint8_t *larger = realloc(connection->input, need);
    if (larger == NULL)
        return false;
    connection->input = larger;
    connection->input_cap = need;
    return true;
}

static void pause_reading(struct connection *connection)
{
    connection->paused = true;
    (void)event_del(connection->readable);
}

/* Turns whole frames in the buffer into jobs; moves the rest to its front. */
static void take_frames(struct connection *connection)
{
    struct job_list list = {0};
    size_t at = 0;
    bool more = true;
    while (more && connection->input_len - at >= RPC_HEADER) {
        if (connection->in_flight >= DAEMON_IN_FLIGHT_MAX) {
            pause_reading(connection);
            break;
        }
        const size_t len = rpc_frame_length(connection->input + at);
        const size_t limit = connection->stranger ? INPUT_STRANGER - RPC_HEADER : RPC_FRAME_MAX;
        if (len == 0 || len > limit) {
            refuse_length(connection);
            break;
        }
        if (connection->input_len - at < RPC_HEADER + len) {
            if (at == 0 && !make_room(connection, RPC_HEADER + len))
                shut(connection);
            break;
        }
        more = take_frame(connection, connection->input + at + RPC_HEADER, len, &list);
        at += RPC_HEADER + len;
    }
    if (at != 0) {
        connection->input_len -= at;
        memmove(connection->input, connection->input + at, connection->input_len);
        connection->partial_since_ms = 0;
    }
    traffic_submit(connection->daemon, &list);
    if (connection->input_len == 0 || connection->closing || connection->paused)
        connection->partial_since_ms = 0;
    else if (connection->partial_since_ms == 0)
        connection->partial_since_ms = clock_monotonic_ms();
}

/* A buffer that one long frame made large is not kept. */
static void shrink_input(struct connection *connection)
{
    if (connection->input_len != 0 || connection->input_cap <= 4 * INPUT_FIRST)
        return;
    uint8_t *smaller = realloc(connection->input, INPUT_FIRST);
    if (smaller == NULL)
        return;
    connection->input = smaller;
    connection->input_cap = INPUT_FIRST;
}

static void on_readable(evutil_socket_t fd, short events, void *context)
{
    (void)events;
    struct connection *connection = context;
    struct daemon *daemon = connection->daemon;
    /* The buffer always has room: a frame that fills it has been taken, or the buffer grown. */
    ssize_t got = recv(fd, connection->input + connection->input_len,
                       connection->input_cap - connection->input_len, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got < 0) {
        connection_close(connection);
        return;
    }
    if (got == 0) {
        /* Half-closed: it sends no more, but may still read what it asked for. */
        connection_drain(connection);
        return;
    }
    connection->input_len += (size_t)got;
    connection->holds++;
    take_frames(connection);
    connection->holds--;
    if (!connection->closed)
        shrink_input(connection);
    release_if_done(connection);
    connection_flush_all(daemon);
}

/* ---- writing
 * -------------------------------------------------------------------------------------------------
 */

void connection_reply(struct connection *connection, struct job *job)
{
    struct daemon *daemon = connection->daemon;
    atomic_fetch_add_explicit(&daemon->counters.replies, 1, memory_order_relaxed);
    if (job->reply == NULL && !connection->closed) {
        log_warning("no memory for a reply; closing the connection");
        shut(connection);
    }
    if (connection->closed) {
        connection->in_flight--;
        job_recycle(&daemon->spare, job);
        release_if_done(connection);
        return;
    }
    if (job->hang_up)
        stop_reading(connection);
    job_list_append(&connection->output, job);
    if (!connection->is_unflushed) {
        connection->is_unflushed = true;
        connection->next_unflushed = daemon->unflushed;
        daemon->unflushed = connection;
    }
}

/* Drops what has been sent. */
static void sent(struct connection *connection, size_t len)
{
    while (len > 0) {
        struct job *job = connection->output.head;
        size_t left = job->reply_len - job->reply_sent;
        if (len < left) {
            job->reply_sent += len;
            return;
        }
        len -= left;
        connection->in_flight--;
        job_recycle(&connection->daemon->spare, job_list_take(&connection->output));
    }
}

/* As many replies as one call takes. False when the socket takes no more now, or broke. */
static bool send_batch(struct connection *connection)
{
    struct iovec parts[SEND_BATCH];
    size_t count = 0, total = 0;
    for (struct job *job = connection->output.head; job != NULL && count < SEND_BATCH;
         job = job->next) {
        parts[count].iov_base = job->reply + job->reply_sent;
        parts[count].iov_len = job->reply_len - job->reply_sent;
        total += parts[count++].iov_len;
    }
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t written = sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (written < 0) {
        if (errno == EINTR)
            return true;
        if (errno != EAGAIN)
            shut(connection);
        return false;
    }
    connection->blocked_since_ms = 0;
    sent(connection, (size_t)written);
    return (size_t)written == total;
}

static void resume_reading(struct connection *connection)
{
    connection->paused = false;
    (void)event_add(connection->readable, NULL);
    take_frames(connection);
}

static void send_and_resume(struct connection *connection)
{
    while (!connection->closed && connection->output.head != NULL && send_batch(connection)) {
    }
    if (connection->closed)
        return;
    if (connection->output.head != NULL) {
        if (connection->blocked_since_ms == 0)
            connection->blocked_since_ms = clock_monotonic_ms();
        (void)event_add(connection->writable, NULL);
    }
    if (connection->closing && connection->in_flight == 0)
        shut(connection);
    else if (connection->paused && !connection->closing &&
             connection->in_flight <= DAEMON_IN_FLIGHT_MAX / 2)
        resume_reading(connection);
}

static void flush(struct connection *connection)
{
    connection->holds++;
    send_and_resume(connection);
    connection->holds--;
    release_if_done(connection);
}

void connection_flush_all(struct daemon *daemon)
{
    struct connection *connection;
    while ((connection = daemon->unflushed) != NULL) {
        daemon->unflushed = connection->next_unflushed;
        connection->is_unflushed = false;
        flush(connection);
    }
}

static void on_writable(evutil_socket_t fd, short events, void *context)
{
    (void)fd;
    (void)events;
    struct connection *connection = context;
    struct daemon *daemon = connection->daemon;
    flush(connection);
    connection_flush_all(daemon);
}

/* ---- house-keeping
 * -------------------------------------------------------------------------------------------
 */

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
    }
}
