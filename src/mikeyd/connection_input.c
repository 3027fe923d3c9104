/* From bytes to jobs: frames are cut out of a bounded buffer. */
#include "mikeyd/connection_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "mikeyd/request.h"
#include "mikeyd/traffic.h"
#include "rpc/frame.h"

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
    job->client = connection->client;
    job->flow = connection->id;
    job->queued_us = clock_monotonic_us();
    job->queued_ms = job->queued_us / 1000;
    return job;
}

/* Too many long frames at once: this one is refused, the connection goes on. */
static bool refuse_memory(struct connection *connection, const uint8_t *frame, size_t len)
{
    static const char text[] = "too many long requests are waiting";
    struct daemon *daemon = connection->daemon;
    struct job *job = make_job(connection, frame, 0);
    if (job == NULL) {
        connection_shut(connection);
        return false;
    }
    (void)request_peek_id(frame, len, &job->id);
    atomic_fetch_add_explicit(&daemon->counters.overloaded, 1, memory_order_relaxed);
    traffic_audit_refusal(daemon, true, connection->uid, "request", MIKEYD_OVERLOADED, text);
    connection->in_flight++;
    job->connection = connection;
    traffic_refuse(daemon, job, MIKEYD_OVERLOADED, text);
    return true;
}

/* One whole frame. False when the connection takes no more. */
static bool take_frame(struct connection *connection, const uint8_t *frame, size_t len,
                       struct job_list *list)
{
    struct daemon *daemon = connection->daemon;
    atomic_fetch_add_explicit(&daemon->counters.frames, 1, memory_order_relaxed);
    connection_learn_client(connection, frame, len);
    struct job *job = make_job(connection, frame, len);
    if (job == NULL)
        return refuse_memory(connection, frame, len);
    if (connection->stranger) {
        (void)request_peek_id(frame, len, &job->id);
        refuse_frame(connection, job, "request", MIKEYD_NOT_ENTITLED,
                     "this user is no client of the policy");
        connection_stop_reading(connection);
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
    connection_stop_reading(connection);
    if (job == NULL) {
        connection_shut(connection);
        return;
    }
    refuse_frame(connection, job, "frame", MIKEYD_SYNTAX, "the frame is empty or too long");
}

/* What a buffer counts for in daemon.input_bytes: the first size is everybody's. */
static size_t grown(size_t size)
{
    return size > CONNECTION_INPUT_FIRST ? size : 0;
}

bool connection_resize_input(struct connection *connection, size_t size)
{
    struct daemon *daemon = connection->daemon;
    const size_t others = daemon->input_bytes - grown(connection->input_cap);
    if (grown(size) != 0 && others + size > DAEMON_INPUT_MAX)
        return false;
    uint8_t *input = NULL;
    if (size == 0)
        free(connection->input);
    else if ((input = realloc(connection->input, size)) == NULL)
        return false;
    connection->input = input;
    connection->input_cap = size;
    daemon->input_bytes = others + grown(size);
    return true;
}

static bool make_room(struct connection *connection, size_t need)
{
    return need <= connection->input_cap || connection_resize_input(connection, need);
}

static void pause_reading(struct connection *connection)
{
    connection->paused = true;
    (void)event_del(connection->readable);
}

/* Turns whole frames in the buffer into jobs; moves the rest to its front. */
void connection_take_frames(struct connection *connection)
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
        const size_t limit =
            connection->stranger ? CONNECTION_INPUT_STRANGER - RPC_HEADER : RPC_FRAME_MAX;
        if (len == 0 || len > limit) {
            refuse_length(connection);
            break;
        }
        if (connection->input_len - at < RPC_HEADER + len) {
            if (at == 0 && !make_room(connection, RPC_HEADER + len))
                connection_shut(connection);
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
    if (connection->input_len == 0 && connection->input_cap > CONNECTION_INPUT_FIRST)
        (void)connection_resize_input(connection, CONNECTION_INPUT_FIRST);
}

void connection_on_readable(evutil_socket_t fd, short events, void *context)
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
    connection_take_frames(connection);
    connection->holds--;
    if (!connection->closed)
        shrink_input(connection);
    connection_release_if_done(connection);
    connection_flush_all(daemon);
}
