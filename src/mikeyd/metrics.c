#include "mikeyd/metrics.h"

#include <event2/buffer.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "mikeyd/front_keys.h"
#include "mikeyd/metric_label.h"
#include "mikeyd/metrics_latency.h"

static void put_metric(struct evbuffer *out, const char *name, const char *type, const char *help)
{
    (void)evbuffer_add_printf(out, "# HELP mikeyd_%s %s\n# TYPE mikeyd_%s %s\n", name, help, name,
                              type);
}

static void put_value(struct evbuffer *out, const char *name, const char *type, const char *help,
                      uint64_t value)
{
    put_metric(out, name, type, help);
    (void)evbuffer_add_printf(out, "mikeyd_%s %" PRIu64 "\n", name, value);
}

static void put_counter(struct evbuffer *out, const char *name, const char *help,
                        _Atomic uint64_t *counter)
{
    put_value(out, name, "counter", help, atomic_load_explicit(counter, memory_order_relaxed));
}

static void put_labelled(struct evbuffer *out, const char *name, const char *label,
                         const char *value, uint64_t count)
{
    (void)evbuffer_add_printf(out, "mikeyd_%s{", name);
    metric_label_put(out, label, value);
    (void)evbuffer_add_printf(out, "} %" PRIu64 "\n", count);
}

static void put_exchanges(struct evbuffer *out, struct daemon *daemon)
{
    struct exchange_stats stats;
    exchange_service_stats(daemon->service, &stats);
    put_metric(out, "exchanges_total", "counter", "Exchange steps that succeeded.");
    put_labelled(out, "exchanges_total", "operation", "initiate", stats.initiated);
    put_labelled(out, "exchanges_total", "operation", "respond", stats.responded);
    put_labelled(out, "exchanges_total", "operation", "confirm", stats.confirmed);
    put_labelled(out, "exchanges_total", "operation", "update", stats.updated);
    put_value(out, "keys_released_total", "counter", "SRTP session keys handed to clients.",
              stats.keys_released);
    put_metric(out, "refusals_total", "counter", "Requests refused, by status.");
    for (int status = 1; status < MIKEYD_STATUS_COUNT; status++) {
        put_labelled(out, "refusals_total", "status", status_name((enum mikeyd_status)status),
                     stats.refused[status] + atomic_load_explicit(&daemon->counters.refused[status],
                                                                  memory_order_relaxed));
    }
}

static void put_client(struct evbuffer *out, const char *name, const char *outcome, uint64_t count)
{
    (void)evbuffer_add_printf(out, "mikeyd_client_requests_total{");
    metric_label_put(out, "client", name);
    (void)evbuffer_add_printf(out, ",outcome=\"%s\"} %" PRIu64 "\n", outcome, count);
}

/* A thousand names at most, and what all others made. */
static void put_clients(struct evbuffer *out, struct daemon *daemon)
{
    struct exchange_client_stats *client = calloc(EXCHANGE_CLIENTS_COUNTED, sizeof *client);
    if (client == NULL)
        return;
    const size_t count = exchange_service_clients(daemon->service, client);
    put_metric(out, "client_requests_total", "counter", "Requests of a client of the policy.");
    for (size_t i = 0; i < count; i++) {
        put_client(out, client[i].name, "served", client[i].served);
        put_client(out, client[i].name, "refused", client[i].refused);
    }
    free(client);
}

static void put_requests(struct evbuffer *out, struct daemon *daemon)
{
    struct daemon_counters *counters = &daemon->counters;
    put_counter(out, "connections_total", "Connections accepted.", &counters->connections);
    put_value(out, "connections_open", "gauge", "Connections open.", atomic_load(&counters->open));
    put_counter(out, "connections_turned_away_total", "Connections over a bound.",
                &counters->turned_away);
    put_counter(out, "frames_total", "Frames received.", &counters->frames);
    put_counter(out, "frames_malformed_total", "Frames that were no request.",
                &counters->malformed);
    put_counter(out, "connections_stalled_total", "Connections closed for stalling.",
                &counters->stalled);
    put_counter(out, "overloaded_total", "Requests refused because the queue was full.",
                &counters->overloaded);
    put_counter(out, "deadline_exceeded_total", "Requests answered TOKEN_DOWN at the deadline.",
                &counters->abandoned);
    put_value(out, "requests_in_flight", "gauge", "Requests being served.",
              atomic_load(&counters->in_flight));
    put_value(out, "queue_length", "gauge", "Requests waiting for a worker.",
              worker_pool_waiting(daemon->pool));
    put_value(out, "replies_waiting_for_disk", "gauge", "Replies held by the release gate.",
              release_gate_waiting(daemon->gate));
    put_counter(out, "reloads_total", "Policies put in force.", &counters->reloads);
    put_counter(out, "reloads_refused_total", "Policies refused.", &counters->reloads_refused);
}

static void put_member(struct evbuffer *out, const char *name, const char *token, size_t member)
{
    (void)evbuffer_add_printf(out, "mikeyd_%s{", name);
    metric_label_put(out, "token", token);
    (void)evbuffer_add_printf(out, ",member=\"%zu\"} ", member);
}

/* One line a member for each of these. */
static void put_tokens(struct evbuffer *out, struct daemon *daemon)
{
    static const struct {
        const char *name, *type, *help;
        bool in_us; /* counted in microseconds, told in seconds */
    } metrics[] = {
        {"token_up", "gauge", "1 while the token serves.", false},
        {"token_sessions", "gauge", "Sessions of the pool.", false},
        {"token_generation", "gauge", "Initialisations of the module by this keyholder.", false},
        {"token_hmac_seconds", "gauge", "One HMAC, measured at the keyholder's start.", true},
        {"token_calls_total", "counter", "Operations asked of the token.", false},
        {"token_hmacs_total", "counter", "HMACs computed by the token.", false},
        {"token_derives_total", "counter", "Keys derived in the token.", false},
        {"token_requests_total", "counter", "Requests of the front to the keyholder.", false},
        {"token_failures_total", "counter", "Requests that failed there.", false},
        {"token_latency_seconds", "gauge", "Moving mean of a request to the keyholder.", true},
        {"keyholder_starts_total", "counter", "Keyholders that joined since the start.", false},
        {"keyholder_resident_bytes", "gauge", "Memory of the keyholder's process.", false},
    };
    struct keys_member_status status[KEYS_MEMBERS_MAX];
    const size_t members = daemon->config->token_count;
    for (size_t i = 0; i < members; i++)
        keys_group_member_status(daemon->keys, i, &status[i]);
    for (size_t m = 0; m < sizeof metrics / sizeof metrics[0]; m++) {
        put_metric(out, metrics[m].name, metrics[m].type, metrics[m].help);
        for (size_t i = 0; i < members; i++) {
            const struct door_facts *facts = &status[i].facts;
            const uint64_t values[] = {status[i].state == KEYS_MEMBER_CLOSED,
                                       facts->sessions,
                                       facts->generation,
                                       facts->hmac_us,
                                       facts->calls,
                                       facts->hmacs,
                                       facts->derives,
                                       status[i].requests,
                                       status[i].failures,
                                       status[i].latency_us,
                                       front_keys_joined(daemon, i),
                                       (uint64_t)facts->rss_kb * 1024};
            put_member(out, metrics[m].name, facts->label, i);
            if (metrics[m].in_us)
                (void)evbuffer_add_printf(out, "%" PRIu64 ".%06" PRIu64 "\n", values[m] / 1000000,
                                          values[m] % 1000000);
            else
                (void)evbuffer_add_printf(out, "%" PRIu64 "\n", values[m]);
        }
    }
}

static void put_disk(struct evbuffer *out, struct daemon *daemon)
{
    struct store_stats store;
    struct audit_stats audit;
    store_get_stats(daemon->store, &store);
    audit_get_stats(daemon->audit, &audit);
    put_value(out, "replay_entries", "gauge", "Entries of the replay store.", store.entries);
    put_value(out, "replay_refused_total", "counter", "Replays found.", store.refused);
    put_value(out, "audit_healthy", "gauge", "1 while the audit log can be written.",
              audit_healthy(daemon->audit));
    put_value(out, "audit_records_total", "counter", "Audit records on disk.", audit.records);
    put_value(out, "audit_commits_total", "counter", "Group commits.", audit.commits);
    put_value(out, "audit_lost_total", "counter", "Audit records a failing disk refused.",
              audit.lost);
    put_value(out, "audit_suppressed_total", "counter", "Refusals counted, not written singly.",
              audit.suppressed);
}

static void put_health(struct evbuffer *out, struct daemon *daemon)
{
    struct health health;
    health_look(daemon, &health);
    put_value(out, "healthy", "gauge", "1 while the next request would succeed.", health.healthy);
    put_metric(out, "check", "gauge", "1 while this part of it is as it should be.");
    for (size_t i = 0; i < HEALTH_PARTS; i++) {
        put_labelled(out, "check", "part", health_part_name((enum health_part)i),
                     health.wrong[i][0] == '\0');
    }
    put_value(out, "warnings", "gauge", "What will be wrong later (mikeyctl status tells).",
              health.warning_count);
}

static void put_key_dates(struct evbuffer *out, struct daemon *daemon)
{
    struct policy *policy = exchange_service_policy(daemon->service);
    put_metric(out, "key_expires_timestamp_seconds", "gauge", "not_after of a key of the policy.");
    for (size_t i = 0; i < policy_key_count(policy); i++) {
        const struct policy_key *key = policy_key_at(policy, i);
        if (key->not_after > 0)
            put_labelled(out, "key_expires_timestamp_seconds", "key", key->name,
                         (uint64_t)key->not_after);
    }
    policy_unref(policy);
}

char *metrics_text(struct daemon *daemon)
{
    struct evbuffer *out = evbuffer_new();
    if (out == NULL)
        return NULL;
    put_metric(out, "build_info", "gauge", "The version, as a label.");
    put_labelled(out, "build_info", "version", MIKEYD_VERSION, 1);
    put_value(out, "uptime_seconds", "gauge", "Seconds since start.",
              (uint64_t)(clock_monotonic_ms() - daemon->started_ms) / 1000);
    put_value(out, "log_lines_lost_total", "counter", "Lines that the log's reader did not take.",
              log_lost());
    put_health(out, daemon);
    put_key_dates(out, daemon);
    put_requests(out, daemon);
    put_exchanges(out, daemon);
    put_clients(out, daemon);
    metrics_latency_put(out, daemon);
    put_tokens(out, daemon);
    put_disk(out, daemon);
    const size_t len = evbuffer_get_length(out);
    char *text = malloc(len + 1);
    if (text != NULL) {
        (void)evbuffer_remove(out, text, len);
        text[len] = '\0';
    }
    evbuffer_free(out);
    return text;
}
