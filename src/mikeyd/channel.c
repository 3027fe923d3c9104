#include "mikeyd/channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union ancillary {
    struct cmsghdr header;
    uint8_t room[CMSG_SPACE(sizeof(int))];
};

bool channel_send(int channel, const struct channel_message *message, int fd)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = sizeof *message};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    union ancillary ancillary = {.room = {0}};
    if (fd >= 0) {
        header.msg_control = ancillary.room;
        header.msg_controllen = sizeof ancillary.room;
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    }
    ssize_t sent;
    do
        sent = sendmsg(channel, &header, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)sizeof *message;
}

/* At most one descriptor comes with a message; the kernel closes what found no room. */
static int take_descriptor(struct msghdr *header)
{
    int fd = -1;
    const struct cmsghdr *rights = CMSG_FIRSTHDR(header);
    if (rights != NULL && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS &&
        rights->cmsg_len == CMSG_LEN(sizeof fd))
        memcpy(&fd, CMSG_DATA(rights), sizeof fd);
    return fd;
}

int channel_receive(int channel, struct channel_message *out, int *fd)
{
    struct iovec part = {.iov_base = out, .iov_len = sizeof *out};
    union ancillary ancillary;
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = ancillary.room,
                            .msg_controllen = sizeof ancillary.room};
    *fd = -1;
    ssize_t got;
    do
        got = recvmsg(channel, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    if (got <= 0)
        return -1;
    *fd = take_descriptor(&header);
    if (got != (ssize_t)sizeof *out || (header.msg_flags & MSG_TRUNC) != 0) {
        if (*fd >= 0)
            (void)close(*fd);
        *fd = -1;
        return -1;
    }
    out->text[sizeof out->text - 1] = '\0';
    return 1;
}
