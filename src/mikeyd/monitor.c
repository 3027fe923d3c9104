#include "mikeyd/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "keys/keys.h"
#include "mikeyd/keeper.h"
#include "mikeyd/notify.h"

#define KEYHOLDER_PROGRAM "mikeyd-keyholder"
/* A module may take long to be loaded, and to log in; one that takes longer hangs. */
#define START_MS_LEAST 10000
/* What the front needs, over the time-outs of calls and disk, to end in order. */
#define STOP_MORE_MS 10000
#define LET_GO_MS 2000

struct monitor {
    const char *config_path;
    bool check, sandbox;
    struct config *config;
    char self[PATH_MAX], keyholder[PATH_MAX];
    struct child_user front_user, keyholder_user;
    struct keeper keeper[KEYS_MEMBERS_MAX];
    size_t keepers;
    pid_t front;
    int front_status; /* exit status, once front is 0 */
    int channel, signals;
    bool stopping;
    int64_t stop_by_ms;
};

/* ---- making */

/* Both programs stand in one folder when they are built, and the keyholder in libexec when they are
 * installed. */
static enum mikeyd_status find_programs(struct monitor *m, struct error *err)
{
    const ssize_t len = readlink("/proc/self/exe", m->self, sizeof m->self - 1);
    if (len <= 0)
        return error_set(err, MIKEYD_INTERNAL, "/proc/self/exe: %s", strerror(errno));
    m->self[len] = '\0';
    const char *slash = strrchr(m->self, '/');
    int n = snprintf(m->keyholder, sizeof m->keyholder, "%.*s/%s", (int)(slash - m->self), m->self,
                     KEYHOLDER_PROGRAM);
    if (n > 0 && (size_t)n < sizeof m->keyholder && access(m->keyholder, X_OK) == 0)
        return MIKEYD_OK;
    n = snprintf(m->keyholder, sizeof m->keyholder, "%s", MIKEYD_LIBEXECDIR "/" KEYHOLDER_PROGRAM);
    if (n > 0 && (size_t)n < sizeof m->keyholder && access(m->keyholder, X_OK) == 0)
        return MIKEYD_OK;
    return error_set(err, MIKEYD_INTERNAL, "%s: %s", m->keyholder, strerror(errno));
}

static enum mikeyd_status find_users(struct monitor *m, struct error *err)
{
    const struct config *config = m->config;
    if (config->front_user == NULL)
        return MIKEYD_OK;
    if (geteuid() != 0) {
        log_notice("users: not started as root: every process is of user %u", (unsigned)geteuid());
        return MIKEYD_OK;
    }
    enum mikeyd_status status = child_find_user(config->front_user, &m->front_user, err);
    if (status == MIKEYD_OK)
        status = child_find_user(config->keyholder_user, &m->keyholder_user, err);
    if (status == MIKEYD_OK && m->front_user.uid == m->keyholder_user.uid)
        status = error_set(err, MIKEYD_INVALID_ARGUMENT,
                           "users: front and keyholder are the same user: name two");
    return status;
}

static enum mikeyd_status take_signals(struct monitor *m, struct error *err)
{
    static const int wanted[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        (void)sigaddset(&set, wanted[i]);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    m->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return m->signals >= 0 ? MIKEYD_OK : error_set(err, MIKEYD_INTERNAL, "signalfd failed");
}

static enum mikeyd_status start_front(struct monitor *m, struct error *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return error_set(err, MIKEYD_INTERNAL, "socketpair: %s", strerror(errno));
    char *arguments[] = {(char *)(uintptr_t) "mikeyd: front",
                         (char *)(uintptr_t) "--config",
                         (char *)(uintptr_t)m->config_path,
                         (char *)(uintptr_t) "--front",
                         NULL,
                         NULL,
                         NULL,
                         NULL};
    size_t count = 4;
    if (m->front_user.name != NULL)
        arguments[count++] = (char *)(uintptr_t) "--two-users";
    if (m->check)
        arguments[count++] = (char *)(uintptr_t) "--check";
    if (!m->sandbox)
        arguments[count] = (char *)(uintptr_t) "--no-sandbox";
    enum mikeyd_status status =
        child_start(m->self, arguments, &ends[1], 1, &m->front_user, &m->front, err);
    (void)close(ends[1]);
    m->channel = ends[0];
    return status;
}

static void make_keepers(struct monitor *m)
{
    m->keepers = m->config->token_count;
    for (size_t i = 0; i < m->keepers; i++) {
        struct keeper *keeper = &m->keeper[i];
        const unsigned call_ms = m->config->tokens[i].call_timeout_ms;
        keeper_make(keeper, (uint32_t)i);
        keeper->program = m->keyholder;
        keeper->config = m->config_path;
        keeper->sandbox = m->sandbox;
        keeper->user = m->keyholder_user;
        keeper->start_ms = 5 * call_ms > START_MS_LEAST ? 5 * call_ms : START_MS_LEAST;
        keeper->channel = m->channel;
    }
}

/* ---- the front's messages */

static void obey(struct monitor *m, const struct channel_message *message, int64_t now_ms)
{
    switch (message->kind) {
    case CHANNEL_READY:
        notify_ready(message->text);
        break;
    case CHANNEL_RELOADING:
        notify_reloading();
        break;
    case CHANNEL_STOPPING:
        notify_stopping();
        break;
    case CHANNEL_ALIVE:
        if (notify_watchdog_us() != 0)
            notify_alive();
        break;
    case CHANNEL_KILL:
        if (message->member < m->keepers)
            keeper_kill(&m->keeper[message->member], message->instance);
        break;
    case CHANNEL_RECYCLE:
        if (message->member < m->keepers)
            keeper_recycle(&m->keeper[message->member], message->instance, now_ms);
        break;
    default:
        log_warning("the front sent a message of kind %u", (unsigned)message->kind);
    }
}

static void hear_front(struct monitor *m, int64_t now_ms)
{
    struct channel_message message;
    int fd, got = 0;
    while (m->channel >= 0 && (got = channel_receive(m->channel, &message, &fd)) > 0) {
        if (fd >= 0)
            (void)close(fd); /* the front has nothing to hand over */
        obey(m, &message, now_ms);
    }
    if (got < 0 && m->front != 0 && !m->stopping) {
        /* Dead, or out of its mind: what is left of it is not to go on. */
        (void)kill(m->front, SIGKILL);
    }
    if (got < 0) {
        (void)close(m->channel);
        m->channel = -1;
    }
}

/* ---- signals */

static void tell_front(struct monitor *m, enum channel_kind kind, const char *text)
{
    struct channel_message message = {.kind = kind};
    (void)snprintf(message.text, sizeof message.text, "%s", text);
    (void)channel_send(m->channel, &message, -1);
}

static void begin_stop(struct monitor *m, int64_t now_ms)
{
    if (m->stopping)
        return;
    unsigned call_ms = 0;
    for (size_t i = 0; i < m->keepers; i++)
        call_ms = m->config->tokens[i].call_timeout_ms > call_ms
                      ? m->config->tokens[i].call_timeout_ms
                      : call_ms;
    m->stopping = true;
    m->stop_by_ms = now_ms + call_ms + STOP_MORE_MS;
    tell_front(m, CHANNEL_STOP, "");
}

/* Who asks for a reload stands in the record of it: the kernel names who sent the signal. */
static void begin_reload(struct monitor *m, const struct signalfd_siginfo *info, int64_t now_ms)
{
    char who[100];
    if (info->ssi_code == SI_KERNEL)
        (void)snprintf(who, sizeof who, "SIGHUP by the kernel");
    else
        (void)snprintf(who, sizeof who, "SIGHUP by uid %u, process %u", (unsigned)info->ssi_uid,
                       (unsigned)info->ssi_pid);
    for (size_t i = 0; i < m->keepers; i++)
        keeper_retry(&m->keeper[i], now_ms);
    tell_front(m, CHANNEL_RELOAD, who);
}

static void front_ended(struct monitor *m, int wait_status)
{
    m->front = 0;
    if (WIFEXITED(wait_status)) {
        m->front_status = WEXITSTATUS(wait_status);
    } else {
        log_error("the front ended by signal %d", WTERMSIG(wait_status));
        m->front_status = status_exit_code(MIKEYD_INTERNAL);
    }
}

static void reap(struct monitor *m, int64_t now_ms)
{
    int wait_status;
    pid_t pid;
    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
        if (pid == m->front) {
            hear_front(m, now_ms);
            front_ended(m, wait_status);
            continue;
        }
        for (size_t i = 0; i < m->keepers; i++) {
            if (keeper_reap(&m->keeper[i], pid, wait_status, now_ms))
                break;
        }
    }
}

static void hear_signals(struct monitor *m, int64_t now_ms)
{
    struct signalfd_siginfo info;
    while (read(m->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP)
            begin_reload(m, &info, now_ms);
        else if (info.ssi_signo != SIGCHLD)
            begin_stop(m, now_ms);
    }
    reap(m, now_ms);
}

/* ---- the loop */

static int wait_ms(const struct monitor *m, int64_t now_ms)
{
    int64_t next = m->stopping ? m->stop_by_ms : INT64_MAX;
    for (size_t i = 0; i < m->keepers; i++) {
        const int64_t due = keeper_next(&m->keeper[i]);
        next = due < next ? due : next;
    }
    if (next == INT64_MAX)
        return -1;
    if (next <= now_ms)
        return 0;
    return next - now_ms > 60000 ? 60000 : (int)(next - now_ms);
}

static void wait_for_something(const struct monitor *m, int timeout_ms)
{
    struct pollfd fds[2 + 2 * KEYS_MEMBERS_MAX];
    size_t count = 0;
    fds[count++] = (struct pollfd){.fd = m->signals, .events = POLLIN};
    fds[count++] = (struct pollfd){.fd = m->channel, .events = POLLIN};
    for (size_t i = 0; i < m->keepers; i++) {
        const struct keeper *keeper = &m->keeper[i];
        fds[count++] = (struct pollfd){.fd = keeper->serving.report, .events = POLLIN};
        fds[count++] = (struct pollfd){.fd = keeper->successor.report, .events = POLLIN};
    }
    (void)poll(fds, (nfds_t)count, timeout_ms);
}

static void watch(struct monitor *m)
{
    while (m->front != 0) {
        const int64_t now_ms = clock_monotonic_ms();
        for (size_t i = 0; i < m->keepers && !m->stopping; i++)
            keeper_tend(&m->keeper[i], now_ms);
        wait_for_something(m, wait_ms(m, now_ms));
        const int64_t then_ms = clock_monotonic_ms();
        hear_signals(m, then_ms);
        if (m->channel >= 0)
            hear_front(m, then_ms);
        for (size_t i = 0; i < m->keepers; i++)
            keeper_listen(&m->keeper[i], then_ms);
        if (m->stopping && m->front != 0 && then_ms >= m->stop_by_ms) {
            log_error("the front does not end: killed");
            (void)kill(m->front, SIGKILL);
            m->stop_by_ms = then_ms + STOP_MORE_MS;
        }
    }
}

/* Their tokens are logged out of by the end of their processes, in order or not. */
static void let_keyholders_go(struct monitor *m)
{
    const int64_t by_ms = clock_monotonic_ms() + LET_GO_MS;
    bool killed = false;
    for (size_t i = 0; i < m->keepers; i++)
        keeper_let_go(&m->keeper[i]);
    for (;;) {
        bool empty = true;
        for (size_t i = 0; i < m->keepers; i++)
            empty = keeper_is_empty(&m->keeper[i]) && empty;
        if (empty)
            return;
        const int64_t now_ms = clock_monotonic_ms();
        if (now_ms >= by_ms && !killed) {
            killed = true;
            for (size_t i = 0; i < m->keepers; i++)
                keeper_kill_all(&m->keeper[i]);
        }
        struct pollfd signals = {.fd = m->signals, .events = POLLIN};
        (void)poll(&signals, 1, 50);
        hear_signals(m, now_ms);
    }
}

static enum mikeyd_status prepare(struct monitor *m, struct error *err)
{
    enum mikeyd_status status = config_load(m->config_path, &m->config, err);
    if (status != MIKEYD_OK)
        return status;
    if (m->config->token_count > KEYS_MEMBERS_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: tokens: at most %d", m->config_path,
                         KEYS_MEMBERS_MAX);
    status = find_programs(m, err);
    if (status == MIKEYD_OK)
        status = find_users(m, err);
    if (status == MIKEYD_OK)
        status = take_signals(m, err);
    if (status == MIKEYD_OK)
        status = start_front(m, err);
    return status;
}

int monitor_run(const char *config_path, bool check, bool sandbox)
{
    static struct monitor m;
    struct error err = {.text = ""};
    m = (struct monitor){.config_path = config_path,
                         .check = check,
                         .sandbox = sandbox,
                         .channel = -1,
                         .signals = -1};
    const enum mikeyd_status status = prepare(&m, &err);
    if (status != MIKEYD_OK) {
        log_error("%s", err.text);
        m.front_status = m.config == NULL ? 1 : status_exit_code(status);
    } else {
        make_keepers(&m);
        watch(&m);
        let_keyholders_go(&m);
    }
    config_free(m.config);
    return m.front_status;
}
