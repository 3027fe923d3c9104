/* Messages and descriptors over Unix sockets of type SOCK_SEQPACKET. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "keys/door.h"

/* What a control message says; the descriptor is the point. */
#define ATTACH_BYTE 'c'
/* An array of int would not be aligned for struct cmsghdr. */
union control_room {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static enum mikeyd_status lost(struct error *err)
{
    return error_set(err, MIKEYD_TOKEN_DOWN, "the keyholder's connection is closed");
}

static enum mikeyd_status failed(const char *call, struct error *err)
{
    switch (errno) {
    case EPIPE:
    case ECONNRESET:
    case ECONNREFUSED:
    case ENOTCONN:
        return lost(err);
    case EAGAIN:
        return error_set(err, MIKEYD_TOKEN_BUSY, "the keyholder does not read its messages");
    default:
        return error_set(err, MIKEYD_INTERNAL, "keyholder's connection: %s: %s", call,
                         strerror(errno));
    }
}

/* Never waits: with one request at a time a full buffer is a peer that has stopped. */
static enum mikeyd_status send_message(int fd, const struct msghdr *message, struct error *err)
{
    ssize_t sent;
    do
        sent = sendmsg(fd, message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? failed("sendmsg", err) : MIKEYD_OK;
}

enum mikeyd_status door_send(int fd, const struct byte_writer *message, struct error *err)
{
    if (message->failed || message->len == 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "keyholder's connection: no message");
    struct iovec part = {.iov_base = message->data, .iov_len = message->len};
    const struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    return send_message(fd, &header, err);
}

static enum mikeyd_status no_answer(int timeout_ms, struct error *err)
{
    return error_set(err, MIKEYD_TOKEN_BUSY, "no answer of the keyholder within %d ms", timeout_ms);
}

/* OK when there is something to receive, be it the end. */
static enum mikeyd_status wait_readable(int fd, int timeout_ms, struct error *err)
{
    const int64_t until = clock_monotonic_ms() + timeout_ms;
    int wait_ms = timeout_ms;
    for (;;) {
        struct pollfd one = {.fd = fd, .events = POLLIN};
        int ready = poll(&one, 1, wait_ms);
        if (ready > 0)
            return MIKEYD_OK;
        if (ready < 0 && errno != EINTR)
            return failed("poll", err);
        if (ready == 0)
            return no_answer(timeout_ms, err);
        const int64_t left = until - clock_monotonic_ms();
        wait_ms = left < 0 ? 0 : (int)left;
    }
}

static ssize_t receive_message(int fd, struct msghdr *header, int flags)
{
    ssize_t received;
    do
        received = recvmsg(fd, header, MSG_CMSG_CLOEXEC | flags);
    while (received < 0 && errno == EINTR);
    return received;
}

enum mikeyd_status door_receive(int fd, int timeout_ms, uint8_t *buffer, size_t cap, size_t *len,
                                struct error *err)
{
    *len = 0;
    if (timeout_ms > 0) {
        enum mikeyd_status status = wait_readable(fd, timeout_ms, err);
        if (status != MIKEYD_OK)
            return status;
    }
    struct iovec part = {.iov_base = buffer, .iov_len = cap};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t received = receive_message(fd, &header, timeout_ms == 0 ? MSG_DONTWAIT : 0);
    if (received < 0 && errno == EAGAIN)
        return no_answer(timeout_ms, err);
    if (received < 0)
        return failed("recvmsg", err);
    if (received == 0)
        return lost(err);
    *len = (size_t)received;
    /* No room for descriptors was given: the kernel has closed any that came along. */
    if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
        return error_set(err, MIKEYD_SYNTAX,
                         "keyholder's connection: a message of more than %zu bytes, or with "
                         "descriptors",
                         cap);
    return MIKEYD_OK;
}

enum mikeyd_status door_attach(int control, int connection, struct error *err)
{
    char byte = ATTACH_BYTE;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    union control_room room = {.bytes = {0}};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = room.bytes,
                            .msg_controllen = sizeof room.bytes};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof connection);
    memcpy(CMSG_DATA(rights), &connection, sizeof connection);
    return send_message(control, &header, err);
}

/* The first descriptor that came along, or -1. Alignment leaves room for a second: closed. */
static int take_descriptor(struct msghdr *header)
{
    int taken = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (taken < 0)
                taken = fd;
            else
                (void)close(fd);
        }
    }
    return taken;
}

enum mikeyd_status door_accept(int control, int *connection, struct error *err)
{
    *connection = -1;
    char byte = 0;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    union control_room room = {.bytes = {0}};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = room.bytes,
                            .msg_controllen = sizeof room.bytes};
    ssize_t received = receive_message(control, &header, 0);
    if (received < 0)
        return failed("recvmsg", err);
    if (received == 0)
        return lost(err);
    int fd = take_descriptor(&header);
    if (fd < 0 || byte != ATTACH_BYTE) {
        if (fd >= 0)
            (void)close(fd);
        return error_set(err, MIKEYD_SYNTAX, "control socket: a message that brings no connection");
    }
    *connection = fd;
    return MIKEYD_OK;
}
