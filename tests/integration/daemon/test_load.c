/* Too many requests, and a disk that is full. */
#include <criterion/criterion.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "lab.h"

static struct lab lab;

static void remove_lab(void)
{
    lab_remove(&lab);
}

TestSuite(load, .fini = remove_lab, .timeout = 120);

struct tally {
    size_t done;
    size_t by_status[MIKEYD_STATUS_COUNT];
};

static void count(void *user, enum mikeyd_status status, mikeyd_exchange *exchange)
{
    struct tally *tally = user;
    tally->done++;
    tally->by_status[status]++;
    mikeyd_exchange_free(exchange);
}

/* `requests` initiates, all in flight at once. */
static struct tally burst(size_t requests)
{
    static const struct mikeyd_stream stream = {.ssrc = 0x11223344};
    const struct mikeyd_offer offer = {
        .from = LAB_A, .to = LAB_B, .streams = &stream, .stream_count = 1, .verify = true};
    struct tally tally = {0};
    mikeyd_client *client = lab_client(&lab);
    for (size_t i = 0; i < requests; i++)
        cr_assert_eq(mikeyd_submit_initiate(client, &offer, count, &tally), MIKEYD_OK);
    const int64_t until = clock_monotonic_ms() + 30000;
    while (tally.done < requests) {
        cr_assert_lt(clock_monotonic_ms(), until, "%zu of %zu answered", tally.done, requests);
        struct pollfd wait = {.fd = mikeyd_client_fd(client),
                              .events = mikeyd_client_events(client)};
        (void)poll(&wait, 1, 1000);
        cr_assert_eq(mikeyd_client_dispatch(client), MIKEYD_OK);
    }
    mikeyd_client_close(client);
    return tally;
}

Test(load, queue_that_is_full_says_so_and_serves_the_rest)
{
    lab_make(&lab, "workers: 1\nqueue: 4\n");
    lab_start(&lab);
    struct tally tally = burst(1000);
    cr_assert_gt(tally.by_status[MIKEYD_OK], 0);
    cr_assert_gt(tally.by_status[MIKEYD_OVERLOADED], 0);
    cr_assert_eq(tally.by_status[MIKEYD_OK] + tally.by_status[MIKEYD_OVERLOADED], 1000);
    /* Refusals are told to the auditor, too, though not one by one. */
    cr_assert(lab_file_gets(lab.audit, "\"result\":\"OVERLOADED\""));
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
}

/* ---- one client's crowd ---- */

#define CROWD 8 /* connections */

/* Sends the frame on all connections for as long as they take it, and reads what comes. */
static void crowd(const uint8_t *frame, size_t len)
{
    struct pollfd ends[CROWD];
    size_t sent[CROWD] = {0};
    static uint8_t sink[65536];
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (size_t i = 0; i < CROWD; i++)
        ends[i] = (struct pollfd){.fd = lab_connect(&lab), .events = POLLIN | POLLOUT};
    while (poll(ends, CROWD, -1) > 0) {
        for (size_t i = 0; i < CROWD; i++) {
            if ((ends[i].revents & POLLIN) != 0)
                (void)recv(ends[i].fd, sink, sizeof sink, MSG_DONTWAIT);
            if ((ends[i].revents & POLLOUT) == 0)
                continue;
            ssize_t took =
                send(ends[i].fd, frame + sent[i], len - sent[i], MSG_DONTWAIT | MSG_NOSIGNAL);
            sent[i] = took < 0 ? sent[i] : (sent[i] + (size_t)took) % len;
        }
    }
}

static pid_t start_crowd(const uint8_t *frame, size_t len)
{
    pid_t child = fork();
    if (child == 0) {
        crowd(frame, len);
        _exit(1);
    }
    (void)usleep(500000);
    return child;
}

enum { VICTIM = 12345, CALLS = 20 };

/* How many of the victim's calls, one after the other, succeed. */
static int calls_of_victim(void)
{
    int served = 0;
    if (setgroups(0, NULL) != 0 || setgid(VICTIM) != 0 || setuid(VICTIM) != 0)
        return -1;
    mikeyd_client *client = lab_client(&lab);
    for (int i = 0; i < CALLS; i++) {
        mikeyd_exchange *exchange = NULL;
        served += lab_initiate(client, &exchange) == MIKEYD_OK;
        mikeyd_exchange_free(exchange);
    }
    mikeyd_client_close(client);
    return served;
}

static void check_victim_is_served(const uint8_t *frame, size_t len)
{
    int status;
    if (geteuid() != 0)
        cr_skip_test("only root can become another user");
    lab_make(&lab, "workers: 1\nqueue: 64\n");
    lab_write_policy(&lab,
                     "  - {name: victim, uid: 12345, acts_as: [\"" LAB_A "\"], may: [initiate]}\n");
    lab_start(&lab);
    pid_t flooder = start_crowd(frame, len);
    pid_t victim = fork();
    if (victim == 0)
        _exit(calls_of_victim());
    cr_assert_eq(waitpid(victim, &status, 0), victim);
    cr_assert_eq(kill(flooder, SIGKILL), 0);
    cr_assert_eq(waitpid(flooder, NULL, 0), flooder);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), CALLS, "%d of %d calls", WEXITSTATUS(status), CALLS);
}

Test(load, crowd_of_one_client_does_not_keep_another_from_its_calls)
{
    uint8_t frame[512];
    check_victim_is_served(frame, lab_frame_initiate(1, NULL, frame, sizeof frame));
    /* Who is many hears that it is too many. */
    cr_assert(lab_file_gets(lab.audit, "\"result\":\"OVERLOADED\""));
}

Test(load, crowd_that_asks_for_health_does_not_keep_others_from_their_calls)
{
    uint8_t frame[64];
    check_victim_is_served(frame, lab_frame_status(1, frame, sizeof frame));
}

Test(load, many_requests_on_one_connection_are_all_served)
{
    lab_make(&lab, NULL);
    lab_start(&lab);
    struct tally tally = burst(2000);
    cr_assert_eq(tally.by_status[MIKEYD_OK], 2000);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    cr_assert_eq(lab_count_in_file(lab.audit, "\"event\":\"initiate\""), 2000);
    cr_assert_eq(lab_verify_audit(&lab), 0);
}

/* A machine that allows few descriptors: connections get a part of them, and the rest of the daemon
 * the other. */
Test(load, connections_leave_descriptors_to_the_rest)
{
    int fds[300];
    const struct rlimit few = {.rlim_cur = 128, .rlim_max = 400};
    lab_make(&lab, NULL);
    struct rlimit before;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    lab_start(&lab);
    cr_assert_eq(prlimit(0, RLIMIT_NOFILE, &(struct rlimit){400, 400}, NULL), 0);
    mikeyd_client *client = lab_client(&lab);
    for (size_t i = 0; i < 300; i++)
        fds[i] = lab_connect(&lab);
    lab_exchange(client);
    size_t turned_away = 0;
    for (size_t i = 0; i < 300; i++) {
        struct pollfd ended = {.fd = fds[i], .events = POLLIN};
        turned_away += poll(&ended, 1, i == 0 ? 500 : 0) == 1;
    }
    cr_assert_geq(turned_away, 300 - 200, "%zu", turned_away);
    /* A reload opens files. */
    cr_assert_eq(kill(lab.daemon, SIGHUP), 0);
    cr_assert(lab_file_gets(lab.audit, "\"event\":\"reload\""));
    cr_assert_eq(lab_count_in_file(lab.log, "Too many open files"), 0);
    for (size_t i = 0; i < 300; i++)
        (void)close(fds[i]);
    lab_exchange(client);
    mikeyd_client_close(client);
}

/* The daemon's own limit on the size of files stands for the full disk: the audit log is the
 * largest file, so that it alone meets the limit. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    cr_assert_eq(prlimit(lab_front(&lab), RLIMIT_FSIZE, NULL, &limit), 0);
    limit.rlim_cur = bytes;
    cr_assert_eq(prlimit(lab_front(&lab), RLIMIT_FSIZE, &limit, NULL), 0);
}

Test(load, full_disk_means_no_key_and_no_restart)
{
    struct stat info;
    lab_make(&lab, NULL);
    lab_start(&lab);
    (void)burst(2000);
    cr_assert_eq(stat(lab.audit, &info), 0);
    limit_files((rlim_t)info.st_size + 10);
    mikeyd_client *client = lab_client(&lab);
    mikeyd_exchange *exchange = NULL;
    for (int i = 0; i < 3; i++) {
        const int64_t begin = clock_monotonic_ms();
        cr_assert_eq(lab_initiate(client, &exchange), MIKEYD_AUDIT_DOWN, "%s",
                     mikeyd_client_error(client));
        cr_assert_null(exchange);
        /* At once: not when the disk has been waited for in vain. */
        cr_assert_lt(clock_monotonic_ms() - begin, 2000);
    }
    limit_files(RLIM_INFINITY);
    enum mikeyd_status status = MIKEYD_AUDIT_DOWN;
    for (int i = 0; i < 100 && status == MIKEYD_AUDIT_DOWN; i++) {
        (void)usleep(100000);
        status = lab_initiate(client, &exchange);
        mikeyd_exchange_free(exchange);
        exchange = NULL;
    }
    cr_assert_eq(status, MIKEYD_OK);
    lab_exchange(client);
    mikeyd_client_close(client);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    cr_assert_eq(lab_verify_audit(&lab), 0);
}
