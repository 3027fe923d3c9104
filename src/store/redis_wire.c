#include "store/redis_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/secret.h"

/* No reply of ours comes near: what is longer is no Redis, or wants our memory. */
#define REPLY_MAX ((size_t)1 << 20)

struct redis_wire {
    int fd;
    struct redis_tls_session *tls;
    redisReader *reader;
    char *out;
    size_t out_len, out_cap;
    char address[REDIS_ADDRESS];
};

/* ---- addresses */

union socket_address {
    struct sockaddr any;
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
    struct sockaddr_un local;
};

static bool split_port(const char *address, char host[INET6_ADDRSTRLEN], uint16_t *port)
{
    const char *colon = strrchr(address, ':');
    char *end;
    if (colon == NULL || colon[1] < '1' || colon[1] > '9')
        return false;
    const unsigned long number = strtoul(colon + 1, &end, 10);
    size_t len = (size_t)(colon - address);
    const bool bracketed = len >= 2 && address[0] == '[' && colon[-1] == ']';
    if (*end != '\0' || number > UINT16_MAX || len - (bracketed ? 2 : 0) >= INET6_ADDRSTRLEN)
        return false;
    if (bracketed)
        (void)snprintf(host, INET6_ADDRSTRLEN, "%.*s", (int)len - 2, address + 1);
    else
        (void)snprintf(host, INET6_ADDRSTRLEN, "%.*s", (int)len, address);
    *port = (uint16_t)number;
    return true;
}

/* host: for TLS. */
static bool read_address(const char *text, char host[INET6_ADDRSTRLEN], union socket_address *out,
                         socklen_t *len)
{
    uint16_t port = 0;
    memset(out, 0, sizeof *out);
    host[0] = '\0';
    if (text[0] == '/') {
        out->local.sun_family = AF_UNIX;
        *len = sizeof out->local;
        const int n = snprintf(out->local.sun_path, sizeof out->local.sun_path, "%s", text);
        return n > 0 && (size_t)n < sizeof out->local.sun_path;
    }
    if (!split_port(text, host, &port))
        return false;
    if (text[0] != '[' && inet_pton(AF_INET, host, &out->ip4.sin_addr) == 1) {
        out->ip4.sin_family = AF_INET;
        out->ip4.sin_port = htons(port);
        *len = sizeof out->ip4;
        return true;
    }
    if (text[0] == '[' && inet_pton(AF_INET6, host, &out->ip6.sin6_addr) == 1) {
        out->ip6.sin6_family = AF_INET6;
        out->ip6.sin6_port = htons(port);
        *len = sizeof out->ip6;
        return true;
    }
    return false;
}

enum mikeyd_status redis_address_check(const char *address, uint16_t *port, struct error *err)
{
    char host[INET6_ADDRSTRLEN];
    union socket_address socket_address;
    socklen_t len = 0;
    uint16_t number = 0;
    if (strlen(address) >= REDIS_ADDRESS || !read_address(address, host, &socket_address, &len))
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "\"%.60s\" is no IP-ADDRESS:PORT, [IPv6-ADDRESS]:PORT or path of a socket",
                         address);
    if (address[0] != '/')
        (void)split_port(address, host, &number);
    if (port != NULL)
        *port = number;
    return MIKEYD_OK;
}

/* ---- connecting */

static enum mikeyd_status wire_fail(const struct redis_wire *wire, const char *why,
                                    struct error *err)
{
    return error_set(err, MIKEYD_STORE_DOWN, "replay store: Redis %s: %s", wire->address, why);
}

bool redis_wait(int fd, short events, int64_t deadline_ms)
{
    for (;;) {
        const int64_t left = deadline_ms - clock_monotonic_ms();
        struct pollfd poll_fd = {.fd = fd, .events = events};
        if (left <= 0)
            return false;
        const int ready = poll(&poll_fd, 1, left > 60000 ? 60000 : (int)left);
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return false;
    }
}

static enum mikeyd_status wire_connect(struct redis_wire *wire, struct redis_tls *tls,
                                       int64_t deadline_ms, struct error *err)
{
    char host[INET6_ADDRSTRLEN];
    union socket_address address;
    socklen_t len = 0;
    int failure = 0;
    socklen_t failure_len = sizeof failure;
    const int on = 1;
    if (!read_address(wire->address, host, &address, &len))
        return wire_fail(wire, "no such address", err);
    wire->fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (wire->fd < 0)
        return wire_fail(wire, strerror(errno), err);
    if (address.any.sa_family != AF_UNIX)
        (void)setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(wire->fd, &address.any, len) != 0) {
        if (errno != EINPROGRESS)
            return wire_fail(wire, strerror(errno), err);
        if (!redis_wait(wire->fd, POLLOUT, deadline_ms))
            return wire_fail(wire, "does not take a connection in time", err);
        if (getsockopt(wire->fd, SOL_SOCKET, SO_ERROR, &failure, &failure_len) != 0 || failure != 0)
            return wire_fail(wire, strerror(failure), err);
    }
    return tls == NULL ? MIKEYD_OK
                       : redis_tls_connect(tls, wire->fd, host, deadline_ms, &wire->tls, err);
}

enum mikeyd_status redis_wire_open(const char *address, struct redis_tls *tls, int64_t deadline_ms,
                                   struct redis_wire **out, struct error *err)
{
    struct redis_wire *wire = calloc(1, sizeof *wire);
    *out = NULL;
    if (wire == NULL)
        return error_set(err, MIKEYD_INTERNAL, "replay store: out of memory");
    wire->fd = -1;
    (void)snprintf(wire->address, sizeof wire->address, "%s", address);
    wire->reader = redisReaderCreate();
    enum mikeyd_status status = wire->reader == NULL ? wire_fail(wire, "out of memory", err)
                                                     : wire_connect(wire, tls, deadline_ms, err);
    if (status != MIKEYD_OK) {
        redis_wire_close(wire);
        return status;
    }
    *out = wire;
    return MIKEYD_OK;
}

void redis_wire_close(struct redis_wire *wire)
{
    if (wire == NULL)
        return;
    redis_tls_end(wire->tls);
    if (wire->fd >= 0)
        (void)close(wire->fd);
    if (wire->reader != NULL && wire->reader->buf != NULL)
        secret_wipe(wire->reader->buf, wire->reader->len); /* see redis_connect.c */
    if (wire->reader != NULL)
        redisReaderFree(wire->reader);
    if (wire->out != NULL)
        secret_wipe(wire->out, wire->out_cap);
    free(wire->out);
    free(wire);
}

const char *redis_wire_address(const struct redis_wire *wire)
{
    return wire->address;
}

bool redis_wire_is_fresh(struct redis_wire *wire)
{
    struct pollfd poll_fd = {.fd = wire->fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 0;
}

/* ---- commands */

/* Room for so many bytes more; what stood before is wiped where it was. */
static bool reserve_out(struct redis_wire *wire, size_t len)
{
    if (wire->out_cap - wire->out_len >= len)
        return true;
    const size_t cap = 2 * wire->out_cap + len;
    char *grown = malloc(cap);
    if (grown == NULL)
        return false;
    if (wire->out != NULL) {
        memcpy(grown, wire->out, wire->out_len);
        secret_wipe(wire->out, wire->out_cap);
        free(wire->out);
    }
    wire->out = grown;
    wire->out_cap = cap;
    return true;
}

bool redis_wire_put(struct redis_wire *wire, int argc, const char **argv, const size_t *lens)
{
    char *command = NULL;
    const long long made = redisFormatCommandArgv(&command, argc, argv, lens);
    if (made < 0 || command == NULL)
        return false;
    const size_t len = (size_t)made;
    const bool done = reserve_out(wire, len);
    if (done) {
        memcpy(wire->out + wire->out_len, command, len);
        wire->out_len += len;
    }
    secret_wipe(command, len);
    redisFreeCommand(command);
    return done;
}

#define WORDS_MAX 16

bool redis_wire_put_words(struct redis_wire *wire, const char *const *words)
{
    const char *argv[WORDS_MAX];
    size_t lens[WORDS_MAX];
    int argc = 0;
    for (; argc < WORDS_MAX && words[argc] != NULL; argc++) {
        argv[argc] = words[argc];
        lens[argc] = strlen(words[argc]);
    }
    return redis_wire_put(wire, argc, argv, lens);
}

static ssize_t wire_write(struct redis_wire *wire, const char *data, size_t len, short *events)
{
    *events = POLLOUT;
    if (wire->tls != NULL)
        return redis_tls_write(wire->tls, data, len, events);
    return send(wire->fd, data, len, MSG_NOSIGNAL);
}

static ssize_t wire_read(struct redis_wire *wire, char *data, size_t len, short *events)
{
    *events = POLLIN;
    if (wire->tls != NULL)
        return redis_tls_read(wire->tls, data, len, events);
    return recv(wire->fd, data, len, 0);
}

/* EAGAIN waits; 0: go on. */
static enum mikeyd_status wire_pause(struct redis_wire *wire, short events, int64_t deadline_ms,
                                     struct error *err)
{
    if (errno == EINTR)
        return MIKEYD_OK;
    if (errno != EAGAIN && errno != EWOULDBLOCK)
        return wire_fail(wire, strerror(errno), err);
    return redis_wait(wire->fd, events, deadline_ms) ? MIKEYD_OK
                                                     : wire_fail(wire, "no answer in time", err);
}

static enum mikeyd_status wire_send(struct redis_wire *wire, int64_t deadline_ms, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t at = 0; at < wire->out_len && status == MIKEYD_OK;) {
        short events;
        const ssize_t sent = wire_write(wire, wire->out + at, wire->out_len - at, &events);
        if (sent > 0)
            at += (size_t)sent;
        else
            status = wire_pause(wire, events, deadline_ms, err);
    }
    if (wire->out != NULL)
        secret_wipe(wire->out, wire->out_len);
    wire->out_len = 0;
    return status;
}

static enum mikeyd_status wire_reply(struct redis_wire *wire, int64_t deadline_ms, size_t *read,
                                     redisReply **out, struct error *err)
{
    char bytes[16384];
    void *reply = NULL;
    for (;;) {
        /* hiredis' own text has a byte of the answer, which may be one of the password. */
        if (redisReaderGetReply(wire->reader, &reply) != REDIS_OK)
            return wire_fail(wire,
                             wire->reader->err == REDIS_ERR_OOM ? "out of memory"
                                                                : "an answer that is none of Redis",
                             err);
        *out = reply;
        if (reply != NULL)
            return MIKEYD_OK;
        short events;
        const ssize_t got = wire_read(wire, bytes, sizeof bytes, &events);
        if (got == 0)
            return wire_fail(wire, "closed the connection", err);
        if (got < 0) {
            enum mikeyd_status status = wire_pause(wire, events, deadline_ms, err);
            if (status != MIKEYD_OK)
                return status;
            continue;
        }
        *read += (size_t)got;
        const bool fed = redisReaderFeed(wire->reader, bytes, (size_t)got) == REDIS_OK;
        secret_wipe(bytes, (size_t)got);
        if (*read > REPLY_MAX || !fed)
            return wire_fail(wire, "an answer that is too long", err);
    }
}

enum mikeyd_status redis_wire_talk(struct redis_wire *wire, int64_t deadline_ms,
                                   redisReply *replies[], size_t count, struct error *err)
{
    size_t read = 0;
    for (size_t i = 0; i < count; i++)
        replies[i] = NULL;
    enum mikeyd_status status = wire_send(wire, deadline_ms, err);
    for (size_t i = 0; i < count && status == MIKEYD_OK; i++)
        status = wire_reply(wire, deadline_ms, &read, &replies[i], err);
    if (status != MIKEYD_OK)
        redis_free_all(replies, count);
    return status;
}

void redis_free_all(redisReply *replies[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (replies[i] != NULL)
            freeReplyObject(replies[i]);
        replies[i] = NULL;
    }
}
