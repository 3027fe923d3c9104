#include "client/client_internal.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "rpc/frame.h"

/* Beyond this much unsent output a submission sends by itself, beyond that it is refused. */
#define OUTPUT_SEND (256 * 1024)
#define OUTPUT_MAX (64 * 1024 * 1024)

void client_wake_poller(struct mikeyd_client *client)
{
    if (client->polling)
        (void)eventfd_write(client->wake_fd, 1);
}

static void client_watch(struct mikeyd_client *client, int operation, bool output)
{
    struct epoll_event event = {.events = output ? EPOLLIN | EPOLLOUT : EPOLLIN};
    (void)epoll_ctl(client->loop_fd, operation, client->connection.fd, &event);
    client->output_watched = output;
}

/* Lets sleepers know when output begins or ceases to wait for the socket. */
static void client_watch_output(struct mikeyd_client *client)
{
    bool output = connection_has_output(&client->connection);
    if (client->connection.fd >= 0 && output != client->output_watched)
        client_watch(client, EPOLL_CTL_MOD, output);
}

enum mikeyd_status client_connect(struct mikeyd_client *client, struct error *err)
{
    if (client->connection.fd >= 0 && client->calls.count == 0 &&
        connection_is_stale(&client->connection))
        client_break(client, "the daemon closed the connection");
    if (client->connection.fd >= 0)
        return MIKEYD_OK;
    enum mikeyd_status status =
        connection_open(&client->connection, &client->address, &client->host,
                        clock_monotonic_ms() + client->timeout_ms, err);
    if (status != MIKEYD_OK)
        return status;
    client_watch(client, EPOLL_CTL_ADD, false);
    return MIKEYD_OK;
}

void client_break(struct mikeyd_client *client, const char *why)
{
    /* The next connection is another gate's, if there is one: this one may be gone for good. */
    if (client->connection.fd >= 0 && client->address.host_count != 0)
        client->host = (client->host + 1) % client->address.host_count;
    /* Closing the socket takes it out of the epoll set. */
    connection_close(&client->connection);
    client->output_watched = false;
    struct call *call;
    while ((call = call_table_take_any(&client->calls)) != NULL) {
        call->status =
            error_set(&call->err, MIKEYD_UNREACHABLE, "%s: %s", client->address.text, why);
        client_finish(client, call);
    }
    client_wake_poller(client);
}

static enum mikeyd_status client_queue(struct mikeyd_client *client, const Mikeyd__Request *message,
                                       struct error *err)
{
    size_t len = mikeyd__request__get_packed_size(message);
    if (len > RPC_FRAME_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "the request has %zu bytes, at most %d are possible", len, RPC_FRAME_MAX);
    if (client->calls.count >= CALL_MAX ||
        client->connection.out_len - client->connection.out_at > OUTPUT_MAX)
        return error_set(err, MIKEYD_OVERLOADED, "too many requests wait for their answers");
    uint8_t *body = connection_queue(&client->connection, len);
    if (body == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    (void)mikeyd__request__pack(message, body);
    return MIKEYD_OK;
}

enum mikeyd_status client_resubmit(struct mikeyd_client *client, Mikeyd__Request *message,
                                   struct call *call, struct error *err)
{
    if (client->closing)
        return error_set(err, MIKEYD_UNREACHABLE, "the client is being closed");
    call->id = client->last_id + 1;
    message->id = call->id;
    enum mikeyd_status status = client_queue(client, message, err);
    if (status != MIKEYD_OK)
        return status;
    client->last_id = call->id;
    call->received = client->connection.received;
    call_table_add(&client->calls, call);
    return MIKEYD_OK;
}

enum mikeyd_status client_submit(struct mikeyd_client *client, struct request *request,
                                 struct call *call, struct error *err)
{
    if (client->closing)
        return error_set(err, MIKEYD_UNREACHABLE, "the client is being closed");
    enum mikeyd_status status = client_connect(client, err);
    if (status != MIKEYD_OK)
        return status;
    status = client_resubmit(client, &request->message, call, err);
    if (status != MIKEYD_OK)
        return status;
    if (call->owner == CALL_CALLBACK) {
        client_start_clock(client, call);
        /* Left for dispatch, which sends many at once. */
        if (client->connection.out_len - client->connection.out_at > OUTPUT_SEND &&
            connection_flush(&client->connection) == CONNECTION_BROKEN)
            client_break(client, "sending failed");
        client_watch_output(client);
    }
    return MIKEYD_OK;
}

/* All whole frames in the buffer; false when the stream makes no sense any more. */
static bool client_take_frames(struct mikeyd_client *client)
{
    const uint8_t *body;
    size_t len;
    enum connection_event event;
    while ((event = connection_frame(&client->connection, &body, &len)) == CONNECTION_DONE) {
        bool taken = client_take_answer(client, body, len);
        connection_consume(&client->connection, len);
        if (!taken)
            return false;
    }
    return event == CONNECTION_NOTHING;
}

void client_exchange_bytes(struct mikeyd_client *client)
{
    if (client->connection.fd < 0)
        return;
    if (connection_flush(&client->connection) == CONNECTION_BROKEN) {
        client_break(client, "the daemon closed the connection");
        return;
    }
    enum connection_event event;
    while ((event = connection_fill(&client->connection)) == CONNECTION_DONE) {
        if (!client_take_frames(client)) {
            client_break(client, "the daemon's answer is not understood");
            return;
        }
    }
    if (event == CONNECTION_BROKEN)
        client_break(client, "the daemon closed the connection");
    else
        client_watch_output(client);
}
