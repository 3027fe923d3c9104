/* The daemon's life: opening in order, the main loop's events, stopping. Requests pass through
 * traffic.c. */
#include "mikeyd/daemon.h"

#include <errno.h>
#include <event2/thread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "mikeyd/audit_signer.h"
#include "mikeyd/confinement.h"
#include "mikeyd/connection.h"
#include "mikeyd/listener.h"
#include "mikeyd/metrics.h"
#include "mikeyd/notify.h"
#include "mikeyd/reloader.h"
#include "mikeyd/scrape_server.h"
#include "mikeyd/status_report.h"
#include "mikeyd/store_watch.h"
#include "mikeyd/traffic.h"

/* Descriptors besides connections: token, store, audit, metrics, libraries. */
#define DESCRIPTORS_MORE 512

/* ---- opening ---- */

/* Replies waiting to leave (about 1 KiB each), and what the workers hold at once. */
static size_t heap_size(const struct config *config)
{
    size_t need =
        (size_t)config->queue * 1024 + (size_t)config->workers * 64 * 1024 + (size_t)512 * 1024;
    size_t size = (size_t)1 << 20;
    while (size < need && size < (size_t)64 << 20)
        size *= 2;
    return size;
}

/* Every client may have its connection; systemd's default soft limit would not do. What is left to
 * the connections leaves enough to everything else, so that no client can use up what the audit log
 * and the token need. */
static size_t connections_by_descriptors(void)
{
    struct rlimit limit;
    const rlim_t want = DAEMON_CONNECTIONS_MAX + DESCRIPTORS_MORE;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return DAEMON_CONNECTIONS_MAX;
    if (limit.rlim_cur < want) {
        limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= want)
        return DAEMON_CONNECTIONS_MAX;
    const rlim_t left = limit.rlim_cur > 2 * DESCRIPTORS_MORE ? limit.rlim_cur - DESCRIPTORS_MORE
                                                              : limit.rlim_cur / 2;
    log_warning("%u descriptors are allowed (RLIMIT_NOFILE): at most %u connections",
                (unsigned)limit.rlim_cur, (unsigned)left);
    return left;
}

/* libevent's own complaints, which others can cause. */
static void log_event(int severity, const char *text)
{
    static struct log_limit limit;
    if (severity >= EVENT_LOG_WARN)
        log_write_limited(&limit, LOG_LEVEL_WARNING, "libevent: %s", text);
}

enum mikeyd_status daemon_record(struct daemon *daemon, enum audit_event event,
                                 enum mikeyd_status result, const char *detail, struct error *err)
{
    uint64_t sequence;
    char mark[STORE_MARK] = "";
    if (daemon->store != NULL)
        store_get_mark(daemon->store, mark);
    const struct audit_record record = {
        .event = event,
        .status = result,
        .policy_sha256 = policy_sha256(daemon->policy),
        .store = daemon->store == NULL ? NULL : mark,
        .detail = detail,
    };
    enum mikeyd_status status = audit_append(daemon->audit, &record, &sequence, err);
    return status != MIKEYD_OK ? status : audit_wait(daemon->audit, sequence, err);
}

static enum mikeyd_status open_audit(struct daemon *daemon, struct error *err)
{
    const struct config *config = daemon->config;
    struct audit_signer signer = {0};
    enum mikeyd_status status = MIKEYD_OK;
    if (config->audit_key_name != NULL)
        status = audit_signer_make(config, &daemon->signer, &signer, err);
    if (status != MIKEYD_OK)
        return status;
    const struct audit_options options = {
        .path = config->audit_file,
        .signer = daemon->signer == NULL ? NULL : &signer,
        .checkpoint_records = config->audit_checkpoint_records,
        .checkpoint_seconds = config->audit_checkpoint_seconds,
        .rotate_bytes = config->audit_rotate_bytes,
        .insecure_no_sync = config->audit_insecure_no_sync,
        .committed = release_gate_committed,
        .committed_context = daemon->gate,
    };
    status = audit_open(&options, &daemon->audit, err);
    if (status == MIKEYD_OK)
        daemon->log_found = audit_durable(daemon->audit);
    if (status == MIKEYD_OK)
        status = daemon_record(daemon, AUDIT_START, MIKEYD_OK, "mikeyd " MIKEYD_VERSION, err);
    if (status == MIKEYD_OK)
        status = audit_link_ceremony(daemon->audit, err);
    return status;
}

static enum mikeyd_status open_token(struct daemon *daemon, struct error *err)
{
    const struct config *config = daemon->config;
    if (config->token_count != 1) {
        return error_set(err, MIKEYD_UNSUPPORTED,
                         "%s: tokens: this version serves from one token, %zu are listed",
                         config->path, config->token_count);
    }
    enum mikeyd_status status = token_open(&config->tokens[0], &daemon->token, err);
    if (status != MIKEYD_OK)
        return status;
    struct token_facts facts;
    char detail[128];
    token_get_facts(daemon->token, &facts);
    (void)snprintf(detail, sizeof detail, "token %s, serial %s, PRF by %s", facts.label,
                   facts.serial, facts.prf_derive ? "derivation" : "HMAC calls");
    log_notice("%s, %zu keys", detail, facts.keys);
    daemon->token_was_up = true;
    status = daemon_record(daemon, AUDIT_LOGIN, MIKEYD_OK, detail, err);
    if (status == MIKEYD_OK && daemon->signer != NULL)
        status = audit_signer_attach(daemon->signer, daemon->token, err);
    return status;
}

static enum mikeyd_status open_service(struct daemon *daemon, struct error *err)
{
    daemon->budget = policy_budget_make();
    if (daemon->budget == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    const struct exchange_service_config service = {
        .token = daemon->token,
        .store = daemon->store,
        .audit = daemon->audit,
        .budget = daemon->budget,
        .pair_cache = daemon->config->pair_cache,
    };
    return exchange_service_open(&service, daemon->policy, &daemon->service, err);
}

static enum mikeyd_status start_threads(struct daemon *daemon, struct error *err)
{
    const struct worker_pool_config pool = {
        .service = daemon->service,
        .gate = daemon->gate,
        .mailbox = &daemon->mailbox,
        .workers = daemon->config->workers,
        .queue = daemon->config->queue,
        .report = traffic_report,
        .refused = traffic_refused,
        .context = daemon,
    };
    enum mikeyd_status status = release_gate_start(daemon->gate, daemon->audit, err);
    if (status == MIKEYD_OK)
        status = worker_pool_start(&pool, &daemon->pool, err);
    if (status == MIKEYD_OK)
        status = reloader_start(daemon, &daemon->reloader, err);
    return status;
}

static enum mikeyd_status open_parts(struct daemon *daemon, struct error *err)
{
    struct config *config = daemon->config;
    enum mikeyd_status status = secret_heap_init(heap_size(config), err);
    if (status == MIKEYD_OK)
        status = policy_load(config->policy, &daemon->policy, err);
    if (status == MIKEYD_OK)
        status = mailbox_open(&daemon->mailbox, err);
    if (status == MIKEYD_OK)
        status = release_gate_make(&daemon->mailbox, &daemon->gate, err);
    if (status == MIKEYD_OK)
        status = open_audit(daemon, err);
    if (status == MIKEYD_OK)
        status = store_watch_open(daemon, err);
    if (status == MIKEYD_OK)
        status = open_token(daemon, err);
    if (status == MIKEYD_OK)
        status = store_watch_claim_token(daemon, err);
    if (status == MIKEYD_OK)
        status = open_service(daemon, err);
    if (status == MIKEYD_OK)
        status = start_threads(daemon, err);
    return status;
}

enum mikeyd_status daemon_open(struct config *config, bool sandbox, struct daemon **out,
                               struct error *err)
{
    struct daemon *daemon = calloc(1, sizeof *daemon);
    if (daemon == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    daemon->config = config;
    (void)pthread_mutex_init(&daemon->token_answer.mutex, NULL);
    daemon->mailbox.fd = -1;
    daemon->hangup_fd = -1;
    daemon->started_ms = clock_monotonic_ms();
    daemon->audit_was_healthy = true;
    /* All that may be at a worker or at the gate, of which one client gets half; the queue alone is
     * bounded by config.queue. */
    daemon->jobs_max = 4 * (size_t)config->queue + 2 * (size_t)config->workers;
    /* Heap blocks are powers of two: a quarter in bytes is half the heap at worst. */
    daemon->unsent_max = heap_size(config) / 4;
    daemon->connections_max = connections_by_descriptors();
    event_set_log_callback(log_event);
    *out = daemon;
    /* The store would make it; for a rule of the sandbox it has to be there. The store tells of a
     * failure. */
    (void)mkdir(config->replay_lmdb, 0700);
    enum mikeyd_status status = confinement_begin(config, sandbox, &daemon->confinement, err);
    return status != MIKEYD_OK ? status : open_parts(daemon, err);
}

/* ---- events ---- */

static void on_mail(evutil_socket_t fd, short events, void *context)
{
    (void)fd;
    (void)events;
    traffic_deliver(context);
}

static void begin_stop(struct daemon *daemon)
{
    if (daemon->stopping)
        return;
    daemon->stopping = true;
    daemon->stop_deadline_ms =
        clock_monotonic_ms() + daemon->config->tokens[0].call_timeout_ms + DAEMON_GATE_MS;
    log_notice("stopping");
    notify_stopping();
    listener_close_all(daemon);
    traffic_drain(daemon);
}

static void on_signal(evutil_socket_t number, short events, void *context)
{
    (void)number;
    (void)events;
    begin_stop(context);
}

/* Who asks for a reload stands in the record of it: the kernel names who sent the signal. */
static void on_hangup(evutil_socket_t fd, short events, void *context)
{
    (void)events;
    struct daemon *daemon = context;
    struct signalfd_siginfo info;
    char who[RELOADER_WHO];
    if (read(fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (info.ssi_code == SI_KERNEL)
        (void)snprintf(who, sizeof who, "SIGHUP by the kernel");
    else
        (void)snprintf(who, sizeof who, "SIGHUP by uid %u, process %u", (unsigned)info.ssi_uid,
                       (unsigned)info.ssi_pid);
    log_notice("%s: reloading", who);
    reloader_request(daemon->reloader, who);
}

static void on_tick(evutil_socket_t fd, short events, void *context)
{
    (void)fd;
    (void)events;
    struct daemon *daemon = context;
    const int64_t now_ms = clock_monotonic_ms();
    traffic_check_deadlines(daemon, now_ms);
    if (daemon->stopping && (daemon->connections == NULL || now_ms >= daemon->stop_deadline_ms))
        (void)event_base_loopbreak(daemon->base);
}

/* What changed since the last second, for the operator and the auditor. */
static void tell_changes(struct daemon *daemon)
{
    struct error err = {.text = ""};
    struct token_facts facts;
    token_get_facts(daemon->token, &facts);
    const bool up = facts.up && !token_overdue(daemon->token, clock_monotonic_ms());
    if (up != daemon->token_was_up) {
        daemon->token_was_up = up;
        const struct audit_record record = {
            .event = up ? AUDIT_TOKEN_UP : AUDIT_TOKEN_DOWN,
            .status = up ? MIKEYD_OK : MIKEYD_TOKEN_DOWN,
            .policy_sha256 = policy_sha256(daemon->policy),
            .detail = facts.label,
        };
        uint64_t sequence;
        log_write(up ? LOG_LEVEL_NOTICE : LOG_LEVEL_ERROR, "token %s is %s", facts.label,
                  up ? "up again" : "down");
        (void)audit_append(daemon->audit, &record, &sequence, &err);
    }
    const bool healthy = audit_healthy(daemon->audit);
    if (healthy != daemon->audit_was_healthy) {
        daemon->audit_was_healthy = healthy;
        log_write(healthy ? LOG_LEVEL_NOTICE : LOG_LEVEL_ERROR, "audit log %s",
                  healthy ? "can be written again" : "cannot be written: no key leaves");
    }
}

/*
 * A token that has not let go of a worker for ten deadlines will not come back in this process:
 * systemd restarts a daemon that gives no sign of life.
 */
static bool hangs_for_good(const struct daemon *daemon, int64_t now_ms)
{
    return daemon->stuck > 0 && now_ms - daemon->stuck_since_ms >
                                    10 * (int64_t)daemon->config->tokens[0].call_timeout_ms;
}

static void on_second(evutil_socket_t fd, short events, void *context)
{
    (void)fd;
    (void)events;
    struct daemon *daemon = context;
    const int64_t now_ms = clock_monotonic_ms();
    connection_check_stalls(daemon, now_ms);
    tell_changes(daemon);
    store_watch_look(daemon);
    health_tell(daemon);
    exchange_service_tick(daemon->service, clock_unix_now());
    if (daemon->watchdog && !hangs_for_good(daemon, now_ms))
        notify_alive();
}

static struct event *add_event(struct daemon *daemon, evutil_socket_t fd, short what,
                               event_callback_fn callback, long period_ms)
{
    struct timeval period = {.tv_sec = period_ms / 1000, .tv_usec = period_ms % 1000 * 1000};
    struct event *event = event_new(daemon->base, fd, (short)(what | EV_PERSIST), callback, daemon);
    if (event != NULL && event_add(event, period_ms == 0 ? NULL : &period) != 0) {
        event_free(event);
        return NULL;
    }
    return event;
}

/* Blocked in every thread, and read in the main loop. */
static enum mikeyd_status add_hangup_event(struct daemon *daemon, struct error *err)
{
    sigset_t hangup;
    (void)sigemptyset(&hangup);
    (void)sigaddset(&hangup, SIGHUP);
    daemon->hangup_fd = signalfd(-1, &hangup, SFD_CLOEXEC | SFD_NONBLOCK);
    if (daemon->hangup_fd >= 0)
        daemon->hangup_event = add_event(daemon, daemon->hangup_fd, EV_READ, on_hangup, 0);
    return daemon->hangup_event != NULL ? MIKEYD_OK
                                        : error_set(err, MIKEYD_INTERNAL, "signalfd failed");
}

static enum mikeyd_status make_events(struct daemon *daemon, struct error *err)
{
    static const int signals[2] = {SIGTERM, SIGINT};
    bool all = true;
    daemon->base = event_base_new();
    if (daemon->base == NULL)
        return error_set(err, MIKEYD_INTERNAL, "event_base_new failed");
    /* Fine enough that a caller hears of a hanging token within the time-out it configured. */
    long tick_ms = (long)daemon->config->tokens[0].call_timeout_ms / TRAFFIC_TICKS;
    tick_ms = tick_ms < 5 ? 5 : tick_ms > 100 ? 100 : tick_ms;
    daemon->tick_ms = tick_ms;
    daemon->mail_event = add_event(daemon, daemon->mailbox.fd, EV_READ, on_mail, 0);
    daemon->tick_event = add_event(daemon, -1, 0, on_tick, tick_ms);
    daemon->second_event = add_event(daemon, -1, 0, on_second, 1000);
    for (size_t i = 0; i < 2; i++) {
        daemon->signal_events[i] = add_event(daemon, signals[i], EV_SIGNAL, on_signal, 0);
        all = all && daemon->signal_events[i] != NULL;
    }
    if (!all || daemon->mail_event == NULL || daemon->tick_event == NULL ||
        daemon->second_event == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    return add_hangup_event(daemon, err);
}

static void unblock_signals(void)
{
    sigset_t stopping;
    (void)sigemptyset(&stopping);
    (void)sigaddset(&stopping, SIGTERM);
    (void)sigaddset(&stopping, SIGINT);
    (void)pthread_sigmask(SIG_UNBLOCK, &stopping, NULL);
}

static char *text_of_metrics(void *daemon)
{
    return metrics_text(daemon);
}

static enum mikeyd_status open_metrics(struct daemon *daemon, struct error *err)
{
    const struct scrape_server_config config = {.base = daemon->base,
                                                .address = daemon->config->metrics_address,
                                                .port = daemon->config->metrics_port,
                                                .text = text_of_metrics,
                                                .context = daemon};
    return scrape_server_open(&config, &daemon->metrics, err);
}

enum mikeyd_status daemon_run(struct daemon *daemon, struct error *err)
{
    enum mikeyd_status status = make_events(daemon, err);
    if (status == MIKEYD_OK)
        status = listener_open_all(daemon, err);
    if (status == MIKEYD_OK && daemon->config->metrics_address != NULL)
        status = open_metrics(daemon, err);
    if (status == MIKEYD_OK)
        status = confinement_enter(daemon->confinement, err);
    if (status != MIKEYD_OK)
        return status;
    daemon->watchdog = notify_watchdog_us() != 0;
    unblock_signals();
    log_notice("serving with %u workers", daemon->config->workers);
    notify_ready("serving");
    if (event_base_dispatch(daemon->base) < 0)
        return error_set(err, MIKEYD_INTERNAL, "the event loop failed");
    return MIKEYD_OK;
}

/* ---- closing ---- */

static void free_events(struct daemon *daemon)
{
    struct event *const events[] = {
        daemon->mail_event,       daemon->tick_event,       daemon->second_event,
        daemon->signal_events[0], daemon->signal_events[1], daemon->hangup_event,
    };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (events[i] != NULL)
            event_free(events[i]);
    }
    if (daemon->hangup_fd >= 0)
        (void)close(daemon->hangup_fd);
    scrape_server_close(daemon->metrics);
    if (daemon->base != NULL)
        event_base_free(daemon->base);
}

/* The last record, whatever becomes of the rest. */
static void close_audit(struct daemon *daemon)
{
    struct error err = {.text = ""};
    if (daemon->audit == NULL)
        return;
    if (daemon_record(daemon, AUDIT_STOP, MIKEYD_OK, NULL, &err) != MIKEYD_OK)
        log_error("audit: %s", err.text);
    audit_close(daemon->audit);
    daemon->audit = NULL;
}

void daemon_close(struct daemon *daemon)
{
    if (daemon == NULL)
        return;
    const unsigned patience_ms = daemon->config->tokens[0].call_timeout_ms;
    bool whole = daemon->pool == NULL || worker_pool_stop(daemon->pool, patience_ms);
    whole = (daemon->reloader == NULL || reloader_stop(daemon->reloader, patience_ms)) && whole;
    if (daemon->gate != NULL)
        release_gate_stop(daemon->gate);
    traffic_discard(daemon);
    listener_close_all(daemon);
    close_audit(daemon);
    if (!whole) {
        /* A thread hangs in the module: neither it nor what it uses can be taken down in order. */
        log_error("stopped while the token hangs");
        store_close(daemon->store);
        _exit(status_exit_code(MIKEYD_TOKEN_DOWN));
    }
    free_events(daemon);
    worker_pool_free(daemon->pool);
    release_gate_free(daemon->gate);
    mailbox_close(&daemon->mailbox);
    job_list_free(&daemon->spare.list);
    exchange_service_close(daemon->service);
    policy_budget_free(daemon->budget);
    audit_signer_free(daemon->signer);
    token_close(daemon->token);
    store_close(daemon->store);
    policy_unref(daemon->policy);
    confinement_free(daemon->confinement);
    (void)pthread_mutex_destroy(&daemon->token_answer.mutex);
    free(daemon);
}
