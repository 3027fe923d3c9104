#include "client/connection.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/secret.h"
#include "rpc/frame.h"
#include "rpc/mikeyd.pb-c.h"

#define CONNECTION_FIRST_BUFFER (16 * 1024)
/* A gate that has not greeted by then is passed over for the next. */
#define CONNECTION_HOST_MS 3000

void connection_init(struct connection *connection)
{
    *connection = (struct connection){.fd = -1};
}

static enum mikeyd_status connection_connect(int fd, const char *path, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof address.sun_path)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: longer than a socket path may be",
                         path);
    memcpy(address.sun_path, path, len + 1);
    /* On a Unix socket this is done at once or not at all. */
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return MIKEYD_OK;
    if (errno == EAGAIN)
        return error_set(err, MIKEYD_OVERLOADED, "%s: the daemon's queue of connections is full",
                         path);
    return error_set(err, MIKEYD_UNREACHABLE, "%s: %s", path, strerror(errno));
}

static enum mikeyd_status connection_open_unix(struct connection *connection, const char *path,
                                               struct error *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(err, MIKEYD_UNREACHABLE, "socket: %s", strerror(errno));
    enum mikeyd_status status = connection_connect(fd, path, err);
    if (status != MIKEYD_OK)
        (void)close(fd);
    else
        connection->fd = fd;
    return status;
}

/* The gate speaks first: a response with id 0 says whether it serves this client. */
static enum mikeyd_status connection_take_greeting(const uint8_t *body, size_t len,
                                                   struct error *err)
{
    Mikeyd__Response *greeting = mikeyd__response__unpack(NULL, len, body);
    enum mikeyd_status status = MIKEYD_OK;
    if (greeting == NULL || greeting->id != 0 || greeting->status >= MIKEYD_STATUS_COUNT)
        status = error_set(err, MIKEYD_UNREACHABLE, "what answers is no gate of mikeyd");
    else if (greeting->status != MIKEYD_OK)
        status = error_set(err, (enum mikeyd_status)greeting->status, "%s", greeting->error);
    if (greeting != NULL)
        mikeyd__response__free_unpacked(greeting, NULL);
    return status;
}

static enum mikeyd_status connection_greet(struct connection *connection, int64_t deadline_ms,
                                           struct error *err)
{
    const uint8_t *body;
    size_t len;
    char why[200];
    while (connection_frame(connection, &body, &len) != CONNECTION_DONE) {
        const enum connection_event event = connection_fill(connection);
        if (event == CONNECTION_BROKEN)
            return error_set(err, MIKEYD_UNREACHABLE, "TLS: %s",
                             tls_reason(connection->tls, why, sizeof why));
        if (event == CONNECTION_NOTHING && !tls_wait(connection->tls, connection->fd, deadline_ms))
            return error_set(err, MIKEYD_UNREACHABLE, "the gate does not greet in time");
    }
    enum mikeyd_status status = connection_take_greeting(body, len, err);
    connection_consume(connection, len);
    return status;
}

static enum mikeyd_status connection_open_tls(struct connection *connection,
                                              const struct address *address,
                                              const struct address_host *host, int64_t deadline_ms,
                                              struct error *err)
{
    enum mikeyd_status status =
        tls_connect(address, host, deadline_ms, &connection->tls, &connection->fd, err);
    if (status != MIKEYD_OK)
        return status;
    struct error why = {0};
    status = connection_greet(connection, deadline_ms, &why);
    if (status != MIKEYD_OK) {
        connection_close(connection);
        (void)error_set(err, status, "%s:%s: %s", host->host, host->port, why.text);
    }
    return status;
}

enum mikeyd_status connection_open(struct connection *connection, const struct address *address,
                                   size_t *host, int64_t deadline_ms, struct error *err)
{
    if (address->path != NULL)
        return connection_open_unix(connection, address->path, err);
    enum mikeyd_status status = MIKEYD_UNREACHABLE;
    for (size_t i = 0; i < address->host_count; i++) {
        const size_t at = (*host + i) % address->host_count;
        const int64_t own_ms = clock_monotonic_ms() + CONNECTION_HOST_MS;
        status = connection_open_tls(connection, address, &address->hosts[at],
                                     own_ms < deadline_ms ? own_ms : deadline_ms, err);
        if (status == MIKEYD_OK)
            *host = at;
        if (status == MIKEYD_OK || status == MIKEYD_INVALID_ARGUMENT)
            break;
    }
    return status;
}

void connection_close(struct connection *connection)
{
    if (connection->tls != NULL) {
        (void)SSL_shutdown(connection->tls);
        SSL_free(connection->tls);
    }
    if (connection->fd >= 0)
        (void)close(connection->fd);
    private_buffer_free(&connection->in);
    private_buffer_free(&connection->out);
    connection_init(connection);
}

bool connection_is_stale(const struct connection *connection)
{
    uint8_t byte;
    if (connection->tls != NULL)
        return tls_is_stale(connection->tls);
    ssize_t got = recv(connection->fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

uint8_t *connection_queue(struct connection *connection, size_t body_len)
{
    size_t need = RPC_HEADER + body_len;
    size_t waiting = connection->out_len - connection->out_at;
    if (connection->out_at != 0 && connection->out_len + need > connection->out.cap) {
        memmove(connection->out.data, connection->out.data + connection->out_at, waiting);
        connection->out_at = 0;
        connection->out_len = waiting;
    }
    size_t cap = connection->out_len + need;
    if (cap < CONNECTION_FIRST_BUFFER)
        cap = CONNECTION_FIRST_BUFFER;
    if (private_buffer_reserve(&connection->out, cap, connection->out_len) != 0)
        return NULL;
    uint8_t *frame = connection->out.data + connection->out_len;
    rpc_frame_put_length(frame, (uint32_t)body_len);
    connection->out_len += need;
    return frame + RPC_HEADER;
}

bool connection_has_output(const struct connection *connection)
{
    return connection->out_at != connection->out_len;
}

static ssize_t connection_send(struct connection *connection, const void *data, size_t len)
{
    return connection->tls != NULL ? tls_send(connection->tls, data, len)
                                   : send(connection->fd, data, len, MSG_NOSIGNAL);
}

static ssize_t connection_receive(struct connection *connection, void *data, size_t cap)
{
    return connection->tls != NULL ? tls_receive(connection->tls, data, cap)
                                   : recv(connection->fd, data, cap, 0);
}

enum connection_event connection_flush(struct connection *connection)
{
    while (connection_has_output(connection)) {
        ssize_t sent = connection_send(connection, connection->out.data + connection->out_at,
                                       connection->out_len - connection->out_at);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN ? CONNECTION_NOTHING : CONNECTION_BROKEN;
        connection->out_at += (size_t)sent;
    }
    connection->out_at = connection->out_len = 0;
    return CONNECTION_DONE;
}

/* The length that the frame at in_at has with its header, or what is known to be needed so far. */
static size_t connection_need(const struct connection *connection)
{
    if (connection->in_len - connection->in_at < RPC_HEADER)
        return RPC_HEADER;
    return RPC_HEADER + rpc_frame_length(connection->in.data + connection->in_at);
}

enum connection_event connection_fill(struct connection *connection)
{
    size_t kept = connection->in_len - connection->in_at;
    if (connection->in_at != 0 && kept != 0) {
        memmove(connection->in.data, connection->in.data + connection->in_at, kept);
        secret_wipe(connection->in.data + kept, connection->in_at);
    }
    connection->in_at = 0;
    connection->in_len = kept;
    size_t need = connection_need(connection);
    if (need > RPC_HEADER + RPC_FRAME_MAX)
        return CONNECTION_BROKEN;
    if (need < CONNECTION_FIRST_BUFFER)
        need = CONNECTION_FIRST_BUFFER;
    if (private_buffer_reserve(&connection->in, need, kept) != 0)
        return CONNECTION_BROKEN;
    ssize_t got;
    do {
        got = connection_receive(connection, connection->in.data + kept, connection->in.cap - kept);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN ? CONNECTION_NOTHING : CONNECTION_BROKEN;
    if (got == 0)
        return CONNECTION_BROKEN;
    connection->in_len += (size_t)got;
    connection->received++;
    return CONNECTION_DONE;
}

enum connection_event connection_frame(struct connection *connection, const uint8_t **body,
                                       size_t *len)
{
    size_t have = connection->in_len - connection->in_at;
    if (have < RPC_HEADER)
        return CONNECTION_NOTHING;
    size_t need = connection_need(connection);
    if (need > RPC_HEADER + RPC_FRAME_MAX)
        return CONNECTION_BROKEN;
    if (have < need)
        return CONNECTION_NOTHING;
    *body = connection->in.data + connection->in_at + RPC_HEADER;
    *len = need - RPC_HEADER;
    return CONNECTION_DONE;
}

void connection_consume(struct connection *connection, size_t body_len)
{
    /* Answers carry keys: they do not stay in the buffer until it is used again. */
    size_t len = RPC_HEADER + body_len;
    secret_wipe(connection->in.data + connection->in_at, len);
    connection->in_at += len;
}
