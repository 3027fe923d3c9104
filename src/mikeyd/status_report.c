#include "mikeyd/status_report.h"

#include <jansson.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "mikeyd/confinement.h"
#include "mikeyd/health.h"
#include "mikeyd/status_keys.h"

static json_t *count_of(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *counter_of(_Atomic uint64_t *counter)
{
    return count_of(atomic_load_explicit(counter, memory_order_relaxed));
}

static json_t *report_refusals(struct daemon *daemon, const struct exchange_stats *stats)
{
    json_t *object = json_object();
    for (int status = 1; status < MIKEYD_STATUS_COUNT; status++) {
        uint64_t count =
            stats->refused[status] +
            atomic_load_explicit(&daemon->counters.refused[status], memory_order_relaxed);
        if (count != 0)
            (void)json_object_set_new(object, status_name((enum mikeyd_status)status),
                                      count_of(count));
    }
    return object;
}

static json_t *report_exchanges(struct daemon *daemon)
{
    struct exchange_stats stats;
    exchange_service_stats(daemon->service, &stats);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "initiated", count_of(stats.initiated),
                     "responded", count_of(stats.responded), "confirmed", count_of(stats.confirmed),
                     "updated", count_of(stats.updated), "keys_released",
                     count_of(stats.keys_released), "refused", report_refusals(daemon, &stats),
                     "pair_cache", status_keys_pair_cache(daemon));
}

static json_t *report_requests(struct daemon *daemon)
{
    struct daemon_counters *counters = &daemon->counters;
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:i}", "connections",
        counter_of(&counters->open), "connections_total", counter_of(&counters->connections),
        "turned_away", counter_of(&counters->turned_away), "frames", counter_of(&counters->frames),
        "malformed", counter_of(&counters->malformed), "stalled", counter_of(&counters->stalled),
        "overloaded", counter_of(&counters->overloaded), "abandoned",
        counter_of(&counters->abandoned), "in_flight", counter_of(&counters->in_flight),
        "waiting_for_disk", count_of(release_gate_waiting(daemon->gate)), "queued",
        (int)worker_pool_waiting(daemon->pool), "queue", (int)daemon->config->queue);
}

static json_t *report_store(struct daemon *daemon)
{
    struct store_stats stats;
    store_get_stats(daemon->store, &stats);
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:I}", "kind", daemon->store->ops->name, "entries",
                     count_of(stats.entries), "inserted", count_of(stats.inserted), "refused",
                     count_of(stats.refused), "expired", count_of(stats.expired), "closed_until",
                     (json_int_t)stats.closed_until);
}

static json_t *report_audit(struct daemon *daemon)
{
    struct audit_stats stats;
    audit_get_stats(daemon->audit, &stats);
    return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "healthy",
                     audit_healthy(daemon->audit), "records", count_of(stats.records), "commits",
                     count_of(stats.commits), "syncs", count_of(stats.syncs), "bytes",
                     count_of(stats.bytes), "failures", count_of(stats.failures), "lost",
                     count_of(stats.lost), "suppressed", count_of(stats.suppressed), "checkpoints",
                     count_of(stats.checkpoints));
}

static json_t *report_policy(struct daemon *daemon)
{
    struct policy *policy = exchange_service_policy(daemon->service);
    json_t *object =
        json_pack("{s:s, s:s, s:o, s:o}", "file", daemon->config->policy, "sha256",
                  policy_sha256(policy), "reloads", counter_of(&daemon->counters.reloads),
                  "reloads_refused", counter_of(&daemon->counters.reloads_refused));
    policy_unref(policy);
    return object;
}

static json_t *report_sandbox(struct daemon *daemon)
{
    return json_pack("{s:s, s:s}", "seccomp", confinement_seccomp(daemon->confinement), "landlock",
                     confinement_landlock(daemon->confinement));
}

/* Each check is "OK" or the sentence that says what is wrong. */
static void put_health(json_t *report, struct daemon *daemon)
{
    struct health health;
    json_t *checks = json_object(), *warnings = json_array();
    health_look(daemon, &health);
    health_ask_token(daemon, &health);
    for (size_t i = 0; i < HEALTH_PARTS; i++) {
        const char *wrong = health.wrong[i];
        (void)json_object_set_new(checks, health_part_name((enum health_part)i),
                                  json_string(wrong[0] == '\0' ? "OK" : wrong));
    }
    for (size_t i = 0; i < health.warning_count; i++)
        (void)json_array_append_new(warnings, json_string(health.warning[i]));
    (void)json_object_set_new(report, "checks", checks);
    (void)json_object_set_new(report, "warnings", warnings);
    (void)json_object_set_new(report, "healthy", json_boolean(health.healthy));
    if (health.good_until != 0)
        (void)json_object_set_new(report, "good_until", json_integer(health.good_until));
}

char *status_report_make(struct daemon *daemon, bool checks)
{
    const int64_t uptime_s = (clock_monotonic_ms() - daemon->started_ms) / 1000;
    json_t *report =
        json_pack("{s:s, s:i, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "version",
                  MIKEYD_VERSION, "pid", (int)getpid(), "uptime_s", (json_int_t)uptime_s, "policy",
                  report_policy(daemon), "token", status_keys_token(daemon), "tokens",
                  status_keys_tokens(daemon), "keys", status_keys_inventory(daemon), "exchanges",
                  report_exchanges(daemon), "requests", report_requests(daemon), "store",
                  report_store(daemon), "audit", report_audit(daemon), "sandbox",
                  report_sandbox(daemon), "log_lines_lost", count_of(log_lost()));
    if (report != NULL)
        (void)json_object_set_new(report, "isolation", json_string(status_keys_isolation(daemon)));
    struct keys_member_status first;
    keys_group_member_status(daemon->keys, 0, &first);
    if (report != NULL)
        (void)json_object_set_new(report, "prf",
                                  json_string(first.facts.prf_derive ? "derive" : "sign"));
    if (report != NULL && checks)
        put_health(report, daemon);
    char *text = report == NULL ? NULL : json_dumps(report, JSON_COMPACT);
    json_decref(report);
    return text;
}
