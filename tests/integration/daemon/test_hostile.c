/* Clients that stall, vanish, flood and send garbage: the daemon serves everybody else as before.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "lab.h"
#include "rpc/frame.h"

static struct lab lab;

static void make_lab(void)
{
    lab_make(&lab, NULL);
    lab_start(&lab);
}

/* Whatever the test did: the daemon still runs, as the same process, and makes a whole exchange. */
static void check_unmoved(void)
{
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
    cr_assert_eq(waitpid(lab.daemon, NULL, WNOHANG), 0);
    lab_remove(&lab);
}

TestSuite(hostile, .init = make_lab, .fini = check_unmoved, .timeout = 120);

static void send_all(int fd, const void *data, size_t len)
{
    cr_assert_eq(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len, "%s", strerror(errno));
}

Test(hostile, garbage_frame_is_refused_and_ends_the_connection)
{
    const uint8_t garbage[] = {0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0xff};
    int fd = lab_connect(&lab);
    send_all(fd, garbage, sizeof garbage);
    cr_assert_eq(lab_read_response(fd, 5000, NULL), MIKEYD_SYNTAX);
    cr_assert_eq(lab_read_response(fd, 5000, NULL), -1);
    (void)close(fd);
    cr_assert(lab_file_gets(lab.audit, "the frame is not a request"));
}

Test(hostile, oversized_frame_is_refused_before_it_is_read)
{
    uint8_t header[RPC_HEADER];
    rpc_frame_put_length(header, RPC_FRAME_MAX + 1);
    int fd = lab_connect(&lab);
    send_all(fd, header, sizeof header);
    cr_assert_eq(lab_read_response(fd, 5000, NULL), MIKEYD_SYNTAX);
    cr_assert_eq(lab_read_response(fd, 5000, NULL), -1);
    (void)close(fd);
    cr_assert(lab_file_gets(lab.audit, "the frame is empty or too long"));
}

Test(hostile, empty_frame_is_refused)
{
    const uint8_t empty[RPC_HEADER] = {0};
    int fd = lab_connect(&lab);
    send_all(fd, empty, sizeof empty);
    cr_assert_eq(lab_read_response(fd, 5000, NULL), MIKEYD_SYNTAX);
    (void)close(fd);
}

Test(hostile, frame_of_countless_empty_streams_is_refused)
{
    /* Each stream costs two bytes here and a structure there. */
    static uint8_t frame[RPC_FRAME_MAX];
    const size_t inner = RPC_FRAME_MAX - 64;
    size_t at = RPC_HEADER;
    frame[at++] = 2 << 3 | 2; /* initiate */
    frame[at++] = (uint8_t)(inner | 0x80);
    frame[at++] = (uint8_t)(inner >> 7 | 0x80);
    frame[at++] = (uint8_t)(inner >> 14);
    for (size_t i = 0; i < inner / 2; i++) {
        frame[at++] = 3 << 3 | 2; /* a stream */
        frame[at++] = 0;
    }
    rpc_frame_put_length(frame, (uint32_t)(at - RPC_HEADER));
    int fd = lab_connect(&lab);
    send_all(fd, frame, at);
    cr_assert_eq(lab_read_response(fd, 5000, NULL), MIKEYD_SYNTAX);
    (void)close(fd);
}

Test(hostile, slow_sender_is_served)
{
    uint8_t frame[512];
    uint64_t id = 0;
    size_t len = lab_frame_initiate(7, NULL, frame, sizeof frame);
    int fd = lab_connect(&lab);
    for (size_t i = 0; i < len; i++) {
        const struct timespec pause = {.tv_nsec = 3000000};
        send_all(fd, frame + i, 1);
        (void)nanosleep(&pause, NULL);
    }
    cr_assert_eq(lab_read_response(fd, 5000, &id), MIKEYD_OK);
    cr_assert_eq(id, 7);
    (void)close(fd);
}

Test(hostile, half_sent_frame_ends_the_connection)
{
    uint8_t frame[512];
    size_t len = lab_frame_initiate(1, NULL, frame, sizeof frame);
    int fd = lab_connect(&lab);
    send_all(fd, frame, len / 2);
    cr_assert_eq(lab_read_response(fd, 20000, NULL), -1);
    (void)close(fd);
    cr_assert(lab_file_gets(lab.audit, "a half-sent frame was not finished"));
}

Test(hostile, half_closed_client_gets_its_answers)
{
    uint8_t frame[512];
    int fd = lab_connect(&lab);
    for (uint64_t id = 1; id <= 3; id++)
        send_all(fd, frame, lab_frame_initiate(id, NULL, frame, sizeof frame));
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(lab_read_response(fd, 5000, NULL), MIKEYD_OK);
    cr_assert_eq(lab_read_response(fd, 5000, NULL), -1);
    (void)close(fd);
}

Test(hostile, clients_that_vanish_with_requests_pending)
{
    uint8_t frame[512];
    for (int i = 0; i < 50; i++) {
        int fd = lab_connect(&lab);
        for (uint64_t id = 1; id <= 5; id++)
            send_all(fd, frame, lab_frame_initiate(id, NULL, frame, sizeof frame));
        (void)close(fd);
    }
}

static long daemon_kib(const char *what)
{
    char path[64], line[256];
    long kib = -1;
    const size_t what_len = strlen(what);
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)lab_front(&lab));
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, what, what_len) == 0)
            kib = strtol(line + what_len, NULL, 10);
    (void)fclose(file);
    return kib;
}

Test(hostile, flood_that_is_never_read_is_held_back)
{
    uint8_t frame[512];
    size_t len = lab_frame_initiate(1, NULL, frame, sizeof frame);
    int fd = lab_connect(&lab);
    cr_assert_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    size_t sent = 0;
    const int64_t until = clock_monotonic_ms() + 3000;
    /* Until the daemon reads no further for a whole half second. */
    int64_t progress = clock_monotonic_ms();
    while (clock_monotonic_ms() < until && clock_monotonic_ms() - progress < 500) {
        if (send(fd, frame, len, MSG_NOSIGNAL) == (ssize_t)len) {
            sent++;
            progress = clock_monotonic_ms();
        }
    }
    cr_assert_gt(sent, 256);
    cr_assert_lt(sent, 20000, "the daemon read on and on");
    /* Others are served meanwhile. */
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
    if (!lab_daemon_is_sanitized())
        cr_assert_lt(daemon_kib("VmRSS:"), 40 * 1024);
    (void)close(fd);
}

/* Sends the frame until the daemon has not taken any for 100 ms, count times at most; whether it
 * went out each time. */
static bool flood(int fd, const uint8_t *frame, size_t len, size_t count)
{
    size_t at = 0;
    while (count > 0) {
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        if (poll(&wait, 1, 100) != 1 || (wait.revents & POLLOUT) == 0)
            return false;
        ssize_t sent = send(fd, frame + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN)
            return false;
        at += sent < 0 ? 0 : (size_t)sent;
        if (at == len) {
            at = 0;
            count--;
        }
    }
    return true;
}

/* Until all that was asked has its reply: what waits in the queue is refused when it is full, and a
 * refusal takes little memory. */
static void wait_until_served(mikeyd_client *client)
{
    for (int i = 0; i < 500; i++) {
        char *text = NULL;
        cr_assert_eq(mikeyd_client_status(client, false, &text), MIKEYD_OK);
        const bool served = strstr(text, "\"queued\":0,") != NULL;
        free(text);
        if (served)
            return;
        (void)usleep(10000);
    }
}

Test(hostile, replies_that_nobody_reads_do_not_take_the_memory_of_others)
{
    uint8_t frame[512];
    int fds[48];
    size_t len = lab_frame_initiate(1, NULL, frame, sizeof frame);
    mikeyd_client *client = lab_client(&lab);
    for (size_t i = 0; i < 48; i++) {
        fds[i] = lab_connect(&lab);
        (void)flood(fds[i], frame, len, 1000);
        wait_until_served(client);
        lab_exchange(client);
    }
    mikeyd_client_close(client);
    for (size_t i = 0; i < 48; i++)
        (void)close(fds[i]);
    cr_assert(lab_file_gets(lab.audit, "replies were not read while memory was short"));
}

Test(hostile, long_frames_behind_unread_replies_are_not_kept)
{
    static uint8_t longest[RPC_HEADER + RPC_FRAME_MAX];
    uint8_t frame[512];
    int fds[6];
    if (lab_daemon_is_sanitized())
        cr_skip_test("the sanitizer's memory counts too");
    size_t len = lab_frame_initiate(1, NULL, frame, sizeof frame);
    rpc_frame_put_length(longest, RPC_FRAME_MAX);
    /* A request with an empty field 100 all the way: understood, and refused. */
    longest[RPC_HEADER] = 1 << 3 | 1;
    longest[RPC_HEADER + 9] = 0xa2; /* field 100, bytes */
    longest[RPC_HEADER + 10] = 0x06;
    const size_t inner = RPC_FRAME_MAX - 14;
    longest[RPC_HEADER + 11] = (uint8_t)(inner | 0x80);
    longest[RPC_HEADER + 12] = (uint8_t)(inner >> 7 | 0x80);
    longest[RPC_HEADER + 13] = (uint8_t)(inner >> 14);
    for (size_t i = 0; i < 6; i++) {
        fds[i] = lab_connect(&lab);
        /* As many replies as the socket holds, then the long ones behind them. */
        (void)flood(fds[i], frame, len, 360);
        (void)flood(fds[i], longest, sizeof longest, 200);
    }
    cr_assert_lt(daemon_kib("VmHWM:"), 96 * 1024, "%ld KiB", daemon_kib("VmHWM:"));
    for (size_t i = 0; i < 6; i++)
        (void)close(fds[i]);
}

Test(hostile, connections_over_the_bound_are_turned_away)
{
    int fds[600];
    size_t closed = 0;
    for (size_t i = 0; i < 600; i++)
        fds[i] = lab_connect(&lab);
    for (size_t i = 0; i < 600; i++) {
        struct pollfd wait = {.fd = fds[i], .events = POLLIN};
        closed += poll(&wait, 1, i == 0 ? 1000 : 0) == 1;
    }
    cr_assert_eq(closed, 600 - 512, "%zu", closed);
    for (size_t i = 0; i < 600; i++)
        (void)close(fds[i]);
}

Test(hostile, nobody_speaks_for_another)
{
    uint8_t frame[512];
    int fd = lab_connect(&lab);
    send_all(fd, frame, lab_frame_initiate(1, "sbc-b.core.example", frame, sizeof frame));
    cr_assert_eq(lab_read_response(fd, 5000, NULL), MIKEYD_NOT_ENTITLED);
    (void)close(fd);
    cr_assert(lab_file_gets(lab.audit, "this client may not speak for another"));
}

/* In a child that has become another user: the status of an initiate and of a status request. */
static int ask_as_stranger(void)
{
    uint8_t frame[512];
    if (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
        return 1;
    int fd = lab_connect(&lab);
    if (send(fd, frame, lab_frame_initiate(3, NULL, frame, sizeof frame), MSG_NOSIGNAL) <= 0)
        return 2;
    uint64_t id = 0;
    if (lab_read_response(fd, 5000, &id) != MIKEYD_NOT_ENTITLED || id != 3)
        return 3;
    if (lab_read_response(fd, 5000, NULL) != -1)
        return 4;
    fd = lab_connect(&lab);
    if (send(fd, frame, lab_frame_status(4, frame, sizeof frame), MSG_NOSIGNAL) <= 0)
        return 5;
    return lab_read_response(fd, 5000, NULL) == MIKEYD_NOT_ENTITLED ? 0 : 6;
}

Test(hostile, user_that_the_policy_does_not_name_gets_nothing)
{
    if (geteuid() != 0)
        cr_skip_test("only root can become another user");
    pid_t child = fork();
    if (child == 0)
        _exit(ask_as_stranger());
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 0, "step %d", WEXITSTATUS(status));
    cr_assert(lab_file_gets(lab.audit, "\"client\":\"uid:65534\""));
}
