/* Messages and descriptors over the sockets of the door. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keys/door.h"

static int pair[2];
static uint8_t room[64];
static size_t got;
static struct error err;

static void make_pair(void)
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}
TestSuite(door_socket, .init = make_pair, .timeout = 20);

static enum mikeyd_status send_text(int fd, const char *text)
{
    uint8_t data[64];
    struct byte_writer out = writer_of(data, sizeof data);
    writer_bytes(&out, text, strlen(text));
    return door_send(fd, &out, &err);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

Test(door_socket, a_message_arrives_whole)
{
    cr_assert_eq(send_text(pair[0], "one"), MIKEYD_OK);
    cr_assert_eq(send_text(pair[0], "another"), MIKEYD_OK);
    cr_assert_eq(door_receive(pair[1], 1000, room, sizeof room, &got, &err), MIKEYD_OK);
    cr_assert_eq(got, 3);
    cr_assert_eq(door_receive(pair[1], -1, room, sizeof room, &got, &err), MIKEYD_OK);
    cr_assert_arr_eq(room, "another", 7);
}

Test(door_socket, silence_is_busy_when_the_time_is_over)
{
    cr_assert_eq(door_receive(pair[1], 30, room, sizeof room, &got, &err), MIKEYD_TOKEN_BUSY);
}

Test(door_socket, the_end_of_the_other_side_is_token_down)
{
    (void)close(pair[0]);
    cr_assert_eq(door_receive(pair[1], 1000, room, sizeof room, &got, &err), MIKEYD_TOKEN_DOWN);
    cr_assert_eq(send_text(pair[1], "nobody"), MIKEYD_TOKEN_DOWN);
}

Test(door_socket, a_longer_message_is_refused_and_the_next_one_read)
{
    cr_assert_eq(send_text(pair[0], "longer than four"), MIKEYD_OK);
    cr_assert_eq(send_text(pair[0], "next"), MIKEYD_OK);
    cr_assert_eq(door_receive(pair[1], 1000, room, 4, &got, &err), MIKEYD_SYNTAX);
    cr_assert_eq(door_receive(pair[1], 1000, room, 4, &got, &err), MIKEYD_OK);
    cr_assert_arr_eq(room, "next", 4);
}

Test(door_socket, a_peer_that_does_not_read_never_blocks_the_sender)
{
    enum mikeyd_status status;
    do
        status = send_text(pair[0], "filling the buffer");
    while (status == MIKEYD_OK);
    cr_assert_eq(status, MIKEYD_TOKEN_BUSY);
}

Test(door_socket, a_connection_travels_over_the_control_socket)
{
    int inner[2], taken;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, inner), 0);
    cr_assert_eq(door_attach(pair[0], inner[1], &err), MIKEYD_OK);
    (void)close(inner[1]);
    cr_assert_eq(door_accept(pair[1], &taken, &err), MIKEYD_OK);
    cr_assert(fcntl(taken, F_GETFD) & FD_CLOEXEC);
    cr_assert_eq(send_text(inner[0], "hello"), MIKEYD_OK);
    cr_assert_eq(door_receive(taken, 1000, room, sizeof room, &got, &err), MIKEYD_OK);
}

Test(door_socket, a_control_message_without_a_connection_is_refused)
{
    int taken;
    cr_assert_eq(send_text(pair[0], "c"), MIKEYD_OK);
    cr_assert_eq(door_accept(pair[1], &taken, &err), MIKEYD_SYNTAX);
    cr_assert_eq(taken, -1);
    (void)close(pair[0]);
    cr_assert_eq(door_accept(pair[1], &taken, &err), MIKEYD_TOKEN_DOWN);
}

/* Sends `count` copies of a descriptor along with one byte. */
static void send_descriptors(int fd, int sent, size_t count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control = {.bytes = {0}};
    char byte = 'c';
    struct iovec part = {&byte, 1};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    for (size_t i = 0; i < count; i++)
        memcpy(CMSG_DATA(c) + i * sizeof(int), &sent, sizeof sent);
    cr_assert_eq(sendmsg(fd, &header, 0), 1);
}

static size_t open_descriptors(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += is_open(fd);
    return count;
}

Test(door_socket, descriptors_beyond_one_are_closed)
{
    int taken;
    send_descriptors(pair[0], 1, 5);
    const size_t before = open_descriptors();
    cr_assert_eq(door_accept(pair[1], &taken, &err), MIKEYD_OK);
    cr_assert_eq(open_descriptors(), before + 1);
}

Test(door_socket, descriptors_sent_with_a_message_are_refused)
{
    send_descriptors(pair[0], 1, 1);
    const size_t before = open_descriptors();
    cr_assert_eq(door_receive(pair[1], 1000, room, sizeof room, &got, &err), MIKEYD_SYNTAX);
    cr_assert_eq(open_descriptors(), before);
}
