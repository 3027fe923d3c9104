#include "mikeyd/metrics_latency.h"

#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>

static const char *const operations[EXCHANGE_OPERATIONS] = {"initiate", "respond", "confirm",
                                                            "update"};
static const char *const stages[LATENCY_STAGES] = {"queue", "token", "store", "disk"};

static void put_head(struct evbuffer *out, const char *name, const char *help)
{
    (void)evbuffer_add_printf(out, "# HELP mikeyd_%s %s\n# TYPE mikeyd_%s histogram\n", name, help,
                              name);
}

static void put_histogram(struct evbuffer *out, const char *name, const char *labels,
                          const struct latency *latency)
{
    uint64_t count = 0;
    for (size_t b = 0; b < LATENCY_BOUNDS; b++) {
        count += latency->bucket[b];
        (void)evbuffer_add_printf(out, "mikeyd_%s_bucket{%s,le=\"%g\"} %" PRIu64 "\n", name, labels,
                                  latency_bound_us[b] / 1e6, count);
    }
    count += latency->bucket[LATENCY_BOUNDS];
    (void)evbuffer_add_printf(out,
                              "mikeyd_%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n"
                              "mikeyd_%s_sum{%s} %" PRIu64 ".%06" PRIu64 "\n"
                              "mikeyd_%s_count{%s} %" PRIu64 "\n",
                              name, labels, count, name, labels, latency->sum_us / 1000000,
                              latency->sum_us % 1000000, name, labels, count);
}

void metrics_latency_put(struct evbuffer *out, const struct daemon *daemon)
{
    char labels[80];
    put_head(out, "request_duration_seconds",
             "From the whole frame to its reply, of requests that succeeded.");
    for (size_t i = 0; i < EXCHANGE_OPERATIONS; i++) {
        (void)snprintf(labels, sizeof labels, "operation=\"%s\"", operations[i]);
        put_histogram(out, "request_duration_seconds", labels, &daemon->latency[i]);
    }
    put_head(out, "request_stage_duration_seconds",
             "What each stage took of it: waiting for a worker, the token, the replay store, the "
             "disk of the audit log.");
    for (size_t i = 0; i < EXCHANGE_OPERATIONS; i++) {
        for (size_t s = 0; s < LATENCY_STAGES; s++) {
            (void)snprintf(labels, sizeof labels, "operation=\"%s\",stage=\"%s\"", operations[i],
                           stages[s]);
            put_histogram(out, "request_stage_duration_seconds", labels, &daemon->stage[i][s]);
        }
    }
}
