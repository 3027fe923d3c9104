#include "mikeyd/keeper.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"

#define RESTART_FIRST_MS 50
/* With the time a start takes, a module that is well again serves within 2 s. */
#define RESTART_MOST_MS 1600
/* One that has served so long did not fail at the start. */
#define SETTLED_MS 10000

/* What a keyholder says on its descriptor 3: keyholder/main.c. */
enum { SAYS_READY = 1, SAYS_FAILED = 2 };

void keeper_make(struct keeper *keeper, uint32_t member)
{
    *keeper = (struct keeper){.member = member,
                              .serving = {.report = -1, .control = -1},
                              .successor = {.report = -1, .control = -1},
                              .restart_at_ms = 1};
}

static void forget(struct keyholder_process *process)
{
    if (process->report >= 0)
        (void)close(process->report);
    if (process->control >= 0)
        (void)close(process->control);
    *process = (struct keyholder_process){.report = -1, .control = -1};
}

static void tell(const struct keeper *keeper, enum channel_kind kind,
                 const struct keyholder_process *process, enum mikeyd_status status,
                 const char *text, int fd)
{
    struct channel_message message = {.kind = kind,
                                      .member = keeper->member,
                                      .instance = process->instance,
                                      .pid = process->pid,
                                      .status = (uint32_t)status};
    (void)snprintf(message.text, sizeof message.text, "%s", text);
    /* A front that is gone is noticed by its death. */
    (void)channel_send(keeper->channel, &message, fd);
}

/* ---- starting */

static enum mikeyd_status start(struct keeper *keeper, struct keyholder_process *process,
                                int64_t now_ms, struct error *err)
{
    int report[2], control[2];
    char index[16];
    (void)snprintf(index, sizeof index, "%u", (unsigned)keeper->member);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, report) != 0)
        return error_set(err, MIKEYD_INTERNAL, "socketpair: %s", strerror(errno));
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) != 0) {
        (void)close(report[0]);
        (void)close(report[1]);
        return error_set(err, MIKEYD_INTERNAL, "socketpair: %s", strerror(errno));
    }
    char *arguments[] = {(char *)(uintptr_t) "mikeyd-keyholder",
                         (char *)(uintptr_t) "--config",
                         (char *)(uintptr_t)keeper->config,
                         (char *)(uintptr_t) "--token",
                         index,
                         keeper->sandbox ? NULL : (char *)(uintptr_t) "--no-sandbox",
                         NULL};
    const int given[] = {report[1], control[1]};
    enum mikeyd_status status =
        child_start(keeper->program, arguments, given, 2, &keeper->user, &process->pid, err);
    (void)close(report[1]);
    (void)close(control[1]);
    process->report = report[0];
    process->control = control[0];
    process->started_ms = now_ms;
    process->instance = ++keeper->instances;
    if (status != MIKEYD_OK)
        forget(process);
    return status;
}

static void plan_restart(struct keeper *keeper, int64_t now_ms)
{
    int64_t pause_ms = RESTART_FIRST_MS;
    for (unsigned i = 0; i < keeper->failures && pause_ms < RESTART_MOST_MS; i++)
        pause_ms *= 2;
    keeper->restart_at_ms = now_ms + (pause_ms < RESTART_MOST_MS ? pause_ms : RESTART_MOST_MS);
}

static void begin(struct keeper *keeper, struct keyholder_process *process, int64_t now_ms)
{
    struct error err = {.text = ""};
    keeper->restart_at_ms = 0;
    if (start(keeper, process, now_ms, &err) == MIKEYD_OK)
        return;
    log_error("keyholder %u: %s", (unsigned)keeper->member, err.text);
    keeper->failures++;
    plan_restart(keeper, now_ms);
}

static bool is_late(const struct keeper *keeper, const struct keyholder_process *process,
                    int64_t now_ms)
{
    return process->pid != 0 && !process->ready && !process->failure_told &&
           now_ms - process->started_ms >= (int64_t)keeper->start_ms;
}

static void check_late(struct keeper *keeper, struct keyholder_process *process, int64_t now_ms)
{
    if (!is_late(keeper, process, now_ms))
        return;
    char text[120];
    (void)snprintf(text, sizeof text,
                   "keyholder %u: not ready within %u s: a call hangs in the "
                   "module",
                   (unsigned)keeper->member, keeper->start_ms / 1000);
    log_error("%s", text);
    process->failure_told = true;
    tell(keeper, CHANNEL_GONE, process, MIKEYD_TOKEN_DOWN, text, -1);
    (void)kill(process->pid, SIGKILL);
}

void keeper_tend(struct keeper *keeper, int64_t now_ms)
{
    check_late(keeper, &keeper->serving, now_ms);
    check_late(keeper, &keeper->successor, now_ms);
    if (keeper->restart_at_ms != 0 && now_ms >= keeper->restart_at_ms && keeper->serving.pid == 0 &&
        !keeper->pin_refused)
        begin(keeper, &keeper->serving, now_ms);
}

int64_t keeper_next(const struct keeper *keeper)
{
    int64_t next = INT64_MAX;
    const struct keyholder_process *const processes[] = {&keeper->serving, &keeper->successor};
    for (size_t i = 0; i < 2; i++) {
        const struct keyholder_process *process = processes[i];
        const int64_t late = process->started_ms + (int64_t)keeper->start_ms;
        if (process->pid != 0 && !process->ready && !process->failure_told && late < next)
            next = late;
    }
    if (keeper->restart_at_ms != 0 && !keeper->pin_refused && keeper->serving.pid == 0 &&
        keeper->restart_at_ms < next)
        next = keeper->restart_at_ms;
    return next;
}

/* ---- what a keyholder says */

static void became_ready(struct keeper *keeper, struct keyholder_process *process)
{
    process->ready = true;
    tell(keeper, CHANNEL_JOIN, process, MIKEYD_OK, "", process->control);
    (void)close(process->control);
    process->control = -1;
    /* The old one ends when the front has let go of it. */
    if (process == &keeper->successor) {
        struct keyholder_process old = keeper->serving;
        keeper->serving = keeper->successor;
        keeper->successor = old;
        keeper->successor.failure_told = true;
        if (keeper->successor.report >= 0)
            (void)shutdown(keeper->successor.report, SHUT_WR);
    }
}

static void failed(struct keeper *keeper, struct keyholder_process *process,
                   struct byte_reader *message)
{
    char text[240];
    const uint16_t number = reader_u16(message);
    const enum mikeyd_status status =
        number < MIKEYD_STATUS_COUNT ? (enum mikeyd_status)number : MIKEYD_INTERNAL;
    const size_t len = reader_left(message) < sizeof text ? reader_left(message) : sizeof text - 1;
    reader_copy(message, text, len);
    text[len] = '\0';
    process->failure_told = true;
    keeper->pin_refused = status == MIKEYD_PIN_REFUSED;
    tell(keeper, CHANNEL_GONE, process, status, text, -1);
}

static void listen_to(struct keeper *keeper, struct keyholder_process *process)
{
    uint8_t bytes[512];
    if (process->report < 0)
        return;
    const ssize_t got = recv(process->report, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (got <= 0) {
        /* Its death says the rest. */
        (void)close(process->report);
        process->report = -1;
        return;
    }
    struct byte_reader message = reader_of(bytes, (size_t)got);
    const uint8_t says = reader_u8(&message);
    if (says == SAYS_READY && !process->ready)
        became_ready(keeper, process);
    else if (says == SAYS_FAILED && !process->failure_told)
        failed(keeper, process, &message);
}

void keeper_listen(struct keeper *keeper, int64_t now_ms)
{
    (void)now_ms;
    listen_to(keeper, &keeper->serving);
    listen_to(keeper, &keeper->successor);
}

/* ---- its end */

static void describe_end(const struct keeper *keeper, int wait_status, char *out, size_t cap)
{
    if (WIFSIGNALED(wait_status))
        (void)snprintf(out, cap, "keyholder %u: ended by signal %d", (unsigned)keeper->member,
                       WTERMSIG(wait_status));
    else
        (void)snprintf(out, cap, "keyholder %u: ended with status %d", (unsigned)keeper->member,
                       WEXITSTATUS(wait_status));
}

bool keeper_reap(struct keeper *keeper, pid_t pid, int wait_status, int64_t now_ms)
{
    struct keyholder_process *process = pid == keeper->serving.pid     ? &keeper->serving
                                        : pid == keeper->successor.pid ? &keeper->successor
                                                                       : NULL;
    if (pid <= 0 || process == NULL)
        return false;
    listen_to(keeper, process); /* its last words come first */
    char text[120];
    describe_end(keeper, wait_status, text, sizeof text);
    /* In order: the front has let go of it. */
    const bool in_order = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
    if (!process->failure_told && !in_order)
        log_error("%s", text);
    if (process->ready || !process->failure_told)
        tell(keeper, CHANNEL_GONE, process, MIKEYD_TOKEN_DOWN, text, -1);
    const bool settled = process->ready && now_ms - process->started_ms >= SETTLED_MS;
    keeper->failures = settled ? 0 : keeper->failures + 1;
    const bool served = process == &keeper->serving;
    forget(process);
    if (served && keeper->successor.pid != 0 && !keeper->successor.failure_told) {
        keeper->serving = keeper->successor;
        keeper->successor = (struct keyholder_process){.report = -1, .control = -1};
    } else if (served) {
        plan_restart(keeper, now_ms);
    }
    return true;
}

void keeper_kill(struct keeper *keeper, uint64_t instance)
{
    const struct keyholder_process *const processes[] = {&keeper->serving, &keeper->successor};
    for (size_t i = 0; i < 2; i++) {
        if (processes[i]->pid != 0 && processes[i]->instance == instance)
            (void)kill(processes[i]->pid, SIGKILL);
    }
}

void keeper_recycle(struct keeper *keeper, uint64_t instance, int64_t now_ms)
{
    if (keeper->serving.instance == instance && keeper->serving.ready &&
        keeper->successor.pid == 0 && !keeper->pin_refused) {
        log_notice("keyholder %u has grown: starting a successor", (unsigned)keeper->member);
        begin(keeper, &keeper->successor, now_ms);
    }
}

void keeper_retry(struct keeper *keeper, int64_t now_ms)
{
    if (!keeper->pin_refused)
        return;
    log_notice("keyholder %u: one more attempt with the PIN", (unsigned)keeper->member);
    keeper->pin_refused = false;
    keeper->restart_at_ms = now_ms;
}

void keeper_let_go(struct keeper *keeper)
{
    keeper->pin_refused = true; /* nothing is started any more */
    struct keyholder_process *const processes[] = {&keeper->serving, &keeper->successor};
    for (size_t i = 0; i < 2; i++) {
        processes[i]->failure_told = true;
        if (processes[i]->report >= 0)
            (void)shutdown(processes[i]->report, SHUT_RDWR);
        if (processes[i]->control >= 0)
            (void)shutdown(processes[i]->control, SHUT_RDWR);
    }
}

bool keeper_is_empty(const struct keeper *keeper)
{
    return keeper->serving.pid == 0 && keeper->successor.pid == 0;
}

void keeper_kill_all(struct keeper *keeper)
{
    if (keeper->serving.pid != 0)
        (void)kill(keeper->serving.pid, SIGKILL);
    if (keeper->successor.pid != 0)
        (void)kill(keeper->successor.pid, SIGKILL);
}
