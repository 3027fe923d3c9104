/* The front's life: opening in order, the main loop's events, stopping. Requests pass through
 * traffic.c, keyholders come and go through front_keys.c. */
#include "mikeyd/daemon.h"

#include <errno.h>
#include <event2/thread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/secret.h"
#include "config/config_gate.h"
#include "mikeyd/audit_signer.h"
#include "mikeyd/confinement.h"
#include "mikeyd/connection.h"
#include "mikeyd/front_keys.h"
#include "mikeyd/listener.h"
#include "mikeyd/metrics.h"
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
        (size_t)config->queue * 1024 + (size_t)config->workers * 96 * 1024 + (size_t)512 * 1024;
    size_t size = (size_t)1 << 20;
    while (size < need && size < (size_t)64 << 20)
        size *= 2;
    return size;
}

/* Every client may have its connection; systemd's default soft limit would not do. What is left to
 * the connections leaves enough to everything else, so that no client can use up what the audit log
 * and the token need. */
static size_t connections_by_descriptors(size_t wanted)
{
    struct rlimit limit;
    const rlim_t want = wanted + DESCRIPTORS_MORE;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return wanted;
    if (limit.rlim_cur < want) {
        limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= want)
        return wanted;
    const rlim_t left = limit.rlim_cur > 2 * DESCRIPTORS_MORE ? limit.rlim_cur - DESCRIPTORS_MORE
                                                              : limit.rlim_cur / 2;
    log_warning("%u descriptors are allowed (RLIMIT_NOFILE): at most %u connections",
                (unsigned)limit.rlim_cur, (unsigned)left);
    return left;
}

/* The gate's come on top of everybody else's; where there are too few for all, a quarter stays. */
static void bound_connections(struct daemon *daemon)
{
    const struct config_gate *gate = daemon->config->gate;
    const size_t gates = gate == NULL ? 0 : gate->connections;
    daemon->connections_max = connections_by_descriptors(DAEMON_CONNECTIONS_MAX + gates);
    const size_t most = daemon->connections_max - daemon->connections_max / 4;
    daemon->connections_gate = gates < most ? gates : most;
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
        .workers = event == AUDIT_START ? daemon->config->workers : 0,
        .policy_sha256 = policy_sha256(daemon->policy),
        .policy_serial = signed_policy_serial(daemon->config, daemon->policy),
        .officers = event == AUDIT_START && daemon->officers != NULL ? daemon->signers.text : NULL,
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

static enum mikeyd_status open_keys(struct daemon *daemon, struct error *err)
{
    enum mikeyd_status status = front_keys_open(daemon, err);
    if (status == MIKEYD_OK && daemon->signer != NULL && !daemon->stopping)
        status = audit_signer_attach(daemon->signer, daemon->keys, err);
    return status;
}

/* A request has to be answered within the time-out that the operator configured: the longest of any
 * token, less what the way back takes. */
static unsigned request_ms(const struct config *config)
{
    unsigned longest = 0;
    for (size_t i = 0; i < config->token_count; i++)
        longest = config->tokens[i].call_timeout_ms > longest ? config->tokens[i].call_timeout_ms
                                                              : longest;
    return longest - longest / 10;
}

static enum mikeyd_status open_service(struct daemon *daemon, struct error *err)
{
    daemon->budget = policy_budget_make();
    if (daemon->budget == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    const struct exchange_service_config service = {
        .keys = daemon->keys,
        .store = daemon->store,
        .audit = daemon->audit,
        .budget = daemon->budget,
        .prewarm = daemon->config->pair_cache,
        .request_ms = request_ms(daemon->config),
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
        .has_gate = daemon->has_gate,
        .gate_uid = daemon->gate_uid,
        .report = traffic_report,
        .refused = traffic_refused,
        .context = daemon,
    };
    release_gate_attach(daemon->gate, daemon->audit);
    enum mikeyd_status status = worker_pool_start(&pool, &daemon->pool, err);
    if (status == MIKEYD_OK)
        status = reloader_start(daemon, &daemon->reloader, err);
    return status;
}

static enum mikeyd_status open_parts(struct daemon *daemon, struct error *err)
{
    struct config *config = daemon->config;
    struct audit_policy_mark last = {0};
    enum mikeyd_status status = officers_load(config, &daemon->officers, err);
    if (status == MIKEYD_OK && daemon->officers != NULL)
        status = audit_last_policy(config->audit_file, &last, err);
    if (status == MIKEYD_OK)
        status = signed_policy_load(config, daemon->officers, &last, &daemon->policy,
                                    &daemon->signers, err);
    if (status == MIKEYD_OK)
        status = mailbox_open(&daemon->mailbox, err);
    if (status == MIKEYD_OK)
        status = release_gate_make(&daemon->mailbox, &daemon->gate, err);
    if (status == MIKEYD_OK)
        status = open_audit(daemon, err);
    if (status == MIKEYD_OK)
        status = store_watch_open(daemon, err);
    if (status == MIKEYD_OK)
        status = open_keys(daemon, err);
    if (status != MIKEYD_OK || daemon->stopping)
        return status;
    status = open_service(daemon, err);
    if (status == MIKEYD_OK)
        status = start_threads(daemon, err);
    return status;
}

enum mikeyd_status daemon_open(struct config *config, const struct daemon_start *start,
                               struct daemon **out, struct error *err)
{
    struct daemon *daemon = calloc(1, sizeof *daemon);
    if (daemon == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    daemon->config = config;
    (void)pthread_mutex_init(&daemon->token_answer.mutex, NULL);
    daemon->mailbox.fd = -1;
    daemon->channel = start->channel;
    daemon->of_two_users = start->of_two_users;
    daemon->started_ms = clock_monotonic_ms();
    daemon->audit_was_healthy = true;
    /* All that may be at a worker or at the gate, of which one client gets half; the queue alone is
     * bounded by config.queue. */
    daemon->jobs_max = 4 * (size_t)config->queue + 2 * (size_t)config->workers;
    /* Heap blocks are powers of two: a quarter in bytes is half the heap at worst. */
    daemon->unsent_max = heap_size(config) / 4;
    bound_connections(daemon);
    event_set_log_callback(log_event);
    *out = daemon;
    /* The users of this host are known before the sandbox closes. */
    if (config->gate != NULL && config_gate_uid(config->gate, &daemon->gate_uid, err) != MIKEYD_OK)
        return err->status;
    daemon->has_gate = config->gate != NULL;
    if (listener_make_all(daemon, err) != MIKEYD_OK)
        return err->status;
    /* The store would make it; for a rule of the sandbox it has to be there. The store tells of a
     * failure. */
    if (config->replay_lmdb != NULL)
        (void)mkdir(config->replay_lmdb, 0700);
    enum mikeyd_status status = secret_heap_init(heap_size(config), err);
    /* Here OpenSSL reads its configuration and loads what that names: before the sandbox closes. */
    if (status == MIKEYD_OK)
        status = random_check(err);
    if (status == MIKEYD_OK)
        status = confinement_begin(config, start->sandbox, &daemon->confinement, err);
    return status != MIKEYD_OK ? status : open_parts(daemon, err);
}

/* ---- events ---- */

static void on_mail(evutil_socket_t fd, short events, void *context)
{
    (void)fd;
    (void)events;
    traffic_deliver(context);
    front_keys_tell(context);
}

void daemon_begin_stop(struct daemon *daemon)
{
    if (daemon->stopping)
        return;
    daemon->stopping = true;
    daemon->stop_deadline_ms =
        clock_monotonic_ms() + daemon->config->tokens[0].call_timeout_ms + DAEMON_GATE_MS;
    log_notice("stopping");
    front_tell_monitor(daemon, CHANNEL_STOPPING, "");
    listener_close_all(daemon);
    traffic_drain(daemon);
}

static void on_channel(evutil_socket_t fd, short events, void *context)
{
    (void)fd;
    (void)events;
    struct daemon *daemon = context;
    front_keys_hear(daemon);
    if (daemon->channel < 0 && daemon->channel_event != NULL)
        (void)event_del(daemon->channel_event);
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
    front_keys_tell(daemon);
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
    if (!hangs_for_good(daemon, now_ms))
        front_tell_monitor(daemon, CHANNEL_ALIVE, "");
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

static enum mikeyd_status make_events(struct daemon *daemon, struct error *err)
{
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
    daemon->channel_event = add_event(daemon, daemon->channel, EV_READ, on_channel, 0);
    if (daemon->mail_event == NULL || daemon->tick_event == NULL || daemon->second_event == NULL ||
        daemon->channel_event == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    return MIKEYD_OK;
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
    if (daemon->stopping)
        return MIKEYD_OK; /* before it began */
    enum mikeyd_status status = make_events(daemon, err);
    if (status == MIKEYD_OK)
        status = listener_open_all(daemon, err);
    if (status == MIKEYD_OK && daemon->config->metrics_address != NULL)
        status = open_metrics(daemon, err);
    if (status == MIKEYD_OK)
        status = confinement_enter(daemon->confinement, err);
    if (status != MIKEYD_OK)
        return status;
    log_notice("serving with %u workers", daemon->config->workers);
    front_tell_monitor(daemon, CHANNEL_READY, "serving");
    if (event_base_dispatch(daemon->base) < 0)
        return error_set(err, MIKEYD_INTERNAL, "the event loop failed");
    return MIKEYD_OK;
}

/* ---- closing ---- */

static void free_events(struct daemon *daemon)
{
    struct event *const events[] = {
        daemon->mail_event,
        daemon->tick_event,
        daemon->second_event,
        daemon->channel_event,
    };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (events[i] != NULL)
            event_free(events[i]);
    }
    scrape_server_close(daemon->metrics);
    if (daemon->base != NULL)
        event_base_free(daemon->base);
}

/* The last record, whatever becomes of the rest. whole: no request is left behind whose uses of keys
 * are not recorded. */
static void close_audit(struct daemon *daemon, bool whole)
{
    struct error err = {.text = ""};
    if (daemon->audit == NULL)
        return;
    if (daemon_record(daemon, AUDIT_STOP, whole ? MIKEYD_OK : MIKEYD_TOKEN_DOWN,
                      whole ? NULL : "a request that hangs is left behind", &err) != MIKEYD_OK)
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
    close_audit(daemon, whole);
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
    if (daemon->front_keys != NULL)
        front_keys_close(daemon);
    store_close(daemon->store);
    policy_unref(daemon->policy);
    officers_free(daemon->officers);
    confinement_free(daemon->confinement);
    (void)pthread_mutex_destroy(&daemon->token_answer.mutex);
    free(daemon);
}
