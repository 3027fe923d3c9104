/* From finished jobs to bytes: replies leave from the secure heap itself, many in one call, and are
 * wiped as soon as they have left. */
#include "mikeyd/connection_parts.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/log.h"
#include "mikeyd/traffic.h"

#define SEND_BATCH 64

void connection_reply(struct connection *connection, struct job *job)
{
    struct daemon *daemon = connection->daemon;
    atomic_fetch_add_explicit(&daemon->counters.replies, 1, memory_order_relaxed);
    if (job->reply == NULL && !connection->closed) {
        static struct log_limit limit;
        log_write_limited(&limit, LOG_LEVEL_WARNING,
                          "no memory for a reply; closing the connection");
        connection_shut(connection);
    }
    if (connection->closed) {
        connection->in_flight--;
        job_recycle(&daemon->spare, job);
        connection_release_if_done(connection);
        return;
    }
    if (job->hang_up)
        connection_stop_reading(connection);
    job_drop_frame(&daemon->spare, job);
    daemon->unsent += job->reply_len;
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
    connection->daemon->unsent -= len;
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
            connection_shut(connection);
        return false;
    }
    connection->blocked_since_ms = 0;
    sent(connection, (size_t)written);
    return (size_t)written == total;
}

/* Replies that nobody reads fill the secure heap, which everybody needs: there is room for them
 * only while it is not. */
static bool no_room_for_unread(struct connection *connection)
{
    struct daemon *daemon = connection->daemon;
    if (daemon->unsent <= daemon->unsent_max)
        return false;
    atomic_fetch_add(&daemon->counters.stalled, 1);
    traffic_audit_refusal(daemon, true, connection->uid, "frame", MIKEYD_OVERLOADED,
                          "replies were not read while memory was short");
    connection_shut(connection);
    return true;
}

static void resume_reading(struct connection *connection)
{
    connection->paused = false;
    (void)event_add(connection->readable, NULL);
    connection_take_frames(connection);
}

static void send_and_resume(struct connection *connection)
{
    while (!connection->closed && connection->output.head != NULL && send_batch(connection)) {
    }
    if (connection->closed)
        return;
    if (connection->output.head != NULL) {
        if (no_room_for_unread(connection))
            return;
        if (connection->blocked_since_ms == 0)
            connection->blocked_since_ms = clock_monotonic_ms();
        (void)event_add(connection->writable, NULL);
    }
    if (connection->closing && connection->in_flight == 0)
        connection_shut(connection);
    else if (connection->paused && !connection->closing &&
             connection->in_flight <= DAEMON_IN_FLIGHT_MAX / 2)
        resume_reading(connection);
}

static void flush(struct connection *connection)
{
    connection->holds++;
    send_and_resume(connection);
    connection->holds--;
    connection_release_if_done(connection);
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

void connection_on_writable(evutil_socket_t fd, short events, void *context)
{
    (void)fd;
    (void)events;
    struct connection *connection = context;
    struct daemon *daemon = connection->daemon;
    flush(connection);
    connection_flush_all(daemon);
}
