/* The log never waits: what its reader does not take is dropped and counted. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

enum { LINES = 3000 }; /* more than any pipe or socket holds */

static void read_all(int fd, char *out, size_t cap)
{
    size_t len = 0;
    ssize_t got;
    while (len < cap - 1 && (got = read(fd, out + len, cap - 1 - len)) > 0)
        len += (size_t)got;
    out[len] = '\0';
}

static bool take_some(int fd)
{
    char sink[4096];
    return read(fd, sink, sizeof sink) > 0;
}

/* In a child whose stderr is `end`: fills it, has the parent take all, and says one line more. */
static void flood(int reader, int end, int full, int emptied)
{
    char byte;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a log that waits does not outlive the test */
    (void)close(reader);
    (void)dup2(end, STDERR_FILENO);
    (void)signal(SIGPIPE, SIG_IGN);
    log_open("test", LOG_LEVEL_INFO);
    for (int i = 0; i < LINES; i++)
        log_info("line %d, which is about as long as the lines of this log usually are", i);
    const bool counted = log_lost() > 0;
    (void)!write(full, "", 1);
    (void)!read(emptied, &byte, 1);
    log_info("the reader is back");
    _exit(counted ? 0 : 1);
}

/* `ends`: what the reader and the log have; the log must get through all its lines in time. */
static void check_never_waits(int reader, int writer)
{
    int full[2], emptied[2];
    cr_assert(pipe2(full, O_CLOEXEC) == 0 && pipe2(emptied, O_CLOEXEC) == 0);
    const pid_t child = fork();
    if (child == 0)
        flood(reader, writer, full[1], emptied[0]);
    (void)close(writer);
    char byte;
    cr_assert_eq(read(full[0], &byte, 1), 1);
    cr_assert_eq(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
    while (take_some(reader)) {
    }
    cr_assert_eq(fcntl(reader, F_SETFL, 0), 0);
    cr_assert_eq(write(emptied[1], "", 1), 1);
    static char rest[65536];
    read_all(reader, rest, sizeof rest);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", (unsigned)status);
    unsigned long lost = 0;
    cr_assert_eq(sscanf(rest, "test: %lu lines of this log were lost", &lost), 1, "%s", rest);
    cr_assert(lost > 0 && lost < LINES, "%lu", lost);
    cr_assert_not_null(strstr(rest, "\ntest: the reader is back\n"), "%s", rest);
}

TestSuite(log, .timeout = 20);

Test(log, pipe_that_nobody_reads_does_not_stop_it)
{
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    check_never_waits(ends[0], ends[1]);
}

/* As in a container whose pipes belong to root: it cannot be opened anew. */
Test(log, pipe_of_another_user_does_not_stop_it)
{
    int ends[2];
    if (geteuid() != 0)
        cr_skip_test("only root can become another user");
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    cr_assert_eq(fchmod(ends[1], 0600), 0);
    cr_assert_eq(seteuid(1), 0);
    check_never_waits(ends[0], ends[1]);
}

Test(log, socket_that_nobody_reads_does_not_stop_it)
{
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    check_never_waits(ends[0], ends[1]);
}

/* What the function logs, as a file would get it. */
static char *logged(void (*speak)(void))
{
    static char text[8192];
    char path[] = "/tmp/mikeyd-log-XXXXXX";
    const int file = mkstemp(path);
    cr_assert(file >= 0);
    (void)unlink(path);
    const pid_t child = fork();
    if (child == 0) {
        (void)dup2(file, STDERR_FILENO);
        (void)unsetenv("JOURNAL_STREAM");
        log_open("test", LOG_LEVEL_INFO);
        speak();
        _exit(0);
    }
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_assert_eq(lseek(file, 0, SEEK_SET), 0);
    read_all(file, text, sizeof text);
    (void)close(file);
    return text;
}

static void say_with_controls(void)
{
    log_info("token %s is up", "evil\nmikeyd: forged\x1b[2J\x7f");
    log_debug("not asked for");
}

Test(log, name_from_outside_makes_no_line_of_its_own)
{
    cr_assert_str_eq(logged(say_with_controls),
                     "test: token evil\\u{a}mikeyd: forged\\u{1b}[2J\\u{7f} is up\n");
}

static void say_too_much(void)
{
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_info("%s", text);
    log_info("next");
}

Test(log, overlong_line_is_cut_and_ended)
{
    const char *text = logged(say_too_much);
    const char *end = strstr(text, "\ntest: next\n");
    cr_assert_not_null(end);
    cr_assert(end - text > 1000 && end - text < 1024, "%zd", end - text);
}

static void say_often(void)
{
    static struct log_limit limit;
    for (int i = 0; i < 1000; i++)
        log_write_limited(&limit, LOG_LEVEL_WARNING, "accept: no descriptors");
    atomic_store(&limit.until_ms, 0); /* the time is over */
    log_write_limited(&limit, LOG_LEVEL_WARNING, "accept: no descriptors");
}

Test(log, what_others_cause_is_told_once_in_a_while_with_its_number)
{
    cr_assert_str_eq(logged(say_often), "test: accept: no descriptors\n"
                                        "test: accept: no descriptors (and 999 times more since "
                                        "the last such line)\n");
}
