/* What the sandbox lets through and what it does not. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mikeyd/sandbox.h"

#ifndef MIKEYD_SANITIZED /* whose runtime cannot live in it */

/* In a process of its own: how it ended. */
static int inside(int (*work)(void))
{
    int status = -1;
    pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        struct error err = {0};
        _exit(sandbox_enter(&err) == MIKEYD_OK ? work() : 99);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    return status;
}

static int send_as_the_resolver(void)
{
    char byte = 1;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    /* Not connected: refused by the socket, not by the sandbox. */
    return fd >= 0 && sendmmsg(fd, &message, 1, 0) == -1 && errno == ENOTCONN ? 0 : 1;
}

Test(sandbox, names_can_be_resolved)
{
    cr_assert_eq(inside(send_as_the_resolver), 0);
}

static int read_and_set_a_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1;
    return setrlimit(RLIMIT_NOFILE, &limit) == -1 && errno == EPERM ? 0 : 2;
}

Test(sandbox, limits_can_be_read_but_not_set)
{
    cr_assert_eq(inside(read_and_set_a_limit), 0);
}

static int change_a_mode(void)
{
    return chmod("/nonexistent", 0777) == -1 && errno == EPERM ? 0 : 1;
}

Test(sandbox, other_calls_fail)
{
    cr_assert_eq(inside(change_a_mode), 0);
}

static int run_a_program(void)
{
    char name[] = "true";
    char *argv[] = {name, NULL};
    (void)execv("/bin/true", argv);
    return 1;
}

Test(sandbox, running_a_program_ends_the_process)
{
    int status = inside(run_a_program);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%d", status);
}

#endif
