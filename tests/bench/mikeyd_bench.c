/*
 * mikeyd-bench: exchanges a second of a running daemon, side by side with the floor (see floor.h),
 * in one run.
 *
 *   mikeyd-bench --config FILE --from ID --to ID [--socket PATH] [--connections N] [--depth N]
 * [--count N] [--json]
 *
 * Each operation runs `count` times: all initiates, then all responds to those messages, then all
 * confirms of those replies, each pipelined over N connections with `depth` requests in flight on
 * each. The policy must let this user act for both ends.
 */
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <mikeyd/client.h>

#include "base/clock.h"
#include "bench/floor.h"
#include "config/config.h"

enum operation { INITIATE, RESPOND, CONFIRM, OPERATIONS };
static const char *const operation_names[OPERATIONS] = {"initiate", "respond", "confirm"};

struct options {
    const char *config, *socket, *from, *to;
    unsigned connections, depth, count;
    bool json;
};

struct blob {
    uint8_t *data;
    size_t len;
};

/* One exchange on its way through the three operations. */
struct call {
    struct bench *bench;
    unsigned connection;
    struct blob message, ticket, reply;
    int64_t begun;
    double latency_us[OPERATIONS];
};

struct bench {
    struct options options;
    mikeyd_client **client;
    unsigned *in_flight;
    struct call *calls;
    enum operation operation;
    unsigned done, failed;
    enum mikeyd_status first_failure;
};

static struct blob blob_copy(const uint8_t *data, size_t len)
{
    struct blob blob = {malloc(len == 0 ? 1 : len), len};
    if (blob.data == NULL)
        abort();
    memcpy(blob.data, data, len);
    return blob;
}

static void finished(void *user, enum mikeyd_status status, mikeyd_exchange *exchange)
{
    struct call *call = user;
    struct bench *bench = call->bench;
    call->latency_us[bench->operation] = (double)(clock_monotonic_us() - call->begun);
    bench->in_flight[call->connection]--;
    bench->done++;
    size_t len = 0;
    const uint8_t *bytes;
    if (status != MIKEYD_OK) {
        if (bench->failed++ == 0)
            bench->first_failure = status;
    } else if (bench->operation == INITIATE) {
        bytes = mikeyd_exchange_message(exchange, &len);
        call->message = blob_copy(bytes, len);
        bytes = mikeyd_exchange_ticket(exchange, &len);
        call->ticket = blob_copy(bytes, len);
    } else if (bench->operation == RESPOND) {
        bytes = mikeyd_exchange_message(exchange, &len);
        call->reply = blob_copy(bytes, len);
    } else if (mikeyd_exchange_keys(exchange, NULL) == 0) {
        bench->failed++;
    }
    mikeyd_exchange_free(exchange);
}

static enum mikeyd_status submit(struct bench *bench, struct call *call)
{
    static const struct mikeyd_stream stream = {.ssrc = 0x11223344, .suite = NULL};
    mikeyd_client *client = bench->client[call->connection];
    call->begun = clock_monotonic_us();
    if (bench->operation == INITIATE) {
        struct mikeyd_offer offer = {.from = bench->options.from,
                                     .to = bench->options.to,
                                     .streams = &stream,
                                     .stream_count = 1,
                                     .verify = true};
        return mikeyd_submit_initiate(client, &offer, finished, call);
    }
    if (bench->operation == RESPOND) {
        struct mikeyd_answer answer = {.as = bench->options.to,
                                       .message = call->message.data,
                                       .message_len = call->message.len};
        return mikeyd_submit_respond(client, &answer, finished, call);
    }
    return mikeyd_submit_confirm(client, call->ticket.data, call->ticket.len, call->reply.data,
                                 call->reply.len, finished, call);
}

/* Runs one operation over all calls; returns operations a second, 0 when something failed. */
static double run_operation(struct bench *bench, enum operation operation)
{
    const struct options *o = &bench->options;
    struct pollfd *fds = calloc(o->connections, sizeof *fds);
    if (fds == NULL)
        abort();
    unsigned next = 0;
    bench->operation = operation;
    bench->done = 0;
    int64_t begin = clock_monotonic_us();
    while (bench->done < o->count && bench->failed == 0) {
        for (unsigned c = 0; c < o->connections; c++) {
            while (next < o->count && bench->in_flight[c] < o->depth) {
                struct call *call = &bench->calls[next++];
                call->connection = c;
                bench->in_flight[c]++;
                if (submit(bench, call) != MIKEYD_OK) {
                    fprintf(stderr, "mikeyd-bench: %s\n", mikeyd_client_error(bench->client[c]));
                    free(fds);
                    return 0;
                }
            }
            fds[c] = (struct pollfd){.fd = mikeyd_client_fd(bench->client[c]),
                                     .events = mikeyd_client_events(bench->client[c])};
        }
        if (poll(fds, o->connections, 10000) <= 0)
            break;
        for (unsigned c = 0; c < o->connections; c++) {
            if (fds[c].revents != 0 && mikeyd_client_dispatch(bench->client[c]) != MIKEYD_OK)
                bench->failed++;
        }
    }
    double seconds = (double)(clock_monotonic_us() - begin) / 1e6;
    free(fds);
    if (bench->failed != 0 || bench->done != o->count) {
        fprintf(stderr, "mikeyd-bench: %s: %u of %u done, %u failed (%s)\n",
                operation_names[operation], bench->done, o->count, bench->failed,
                mikeyd_status_name(bench->first_failure));
        return 0;
    }
    return (double)o->count / seconds;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void latency(const struct bench *bench, enum operation operation, double *p50, double *p99)
{
    unsigned n = bench->options.count;
    double *all = calloc(n, sizeof *all);
    if (all == NULL)
        abort();
    for (unsigned i = 0; i < n; i++)
        all[i] = bench->calls[i].latency_us[operation];
    qsort(all, n, sizeof *all, compare_doubles);
    *p50 = all[n / 2];
    *p99 = all[(size_t)n * 99 / 100];
    free(all);
}

/* Token counters and the way of the PRF, from the daemon's status. */
struct counters {
    double hmacs, objects, derives;
    bool session_copies;
    char prf[16];
};

static bool read_counters(struct bench *bench, struct counters *out)
{
    char *text = NULL;
    if (mikeyd_client_status(bench->client[0], false, &text) != MIKEYD_OK) {
        fprintf(stderr, "mikeyd-bench: status: %s\n", mikeyd_client_error(bench->client[0]));
        return false;
    }
    json_t *status = json_loads(text, 0, NULL);
    free(text);
    json_t *token = json_object_get(status, "token");
    *out = (struct counters){
        .hmacs = (double)json_integer_value(json_object_get(token, "hmacs")),
        .objects = (double)json_integer_value(json_object_get(token, "objects_created")),
        .derives = (double)json_integer_value(json_object_get(token, "derives")),
    };
    out->session_copies = json_is_true(json_object_get(token, "session_copies"));
    const char *prf = json_string_value(json_object_get(token, "prf"));
    (void)snprintf(out->prf, sizeof out->prf, "%s", prf == NULL ? "sign" : prf);
    json_decref(status);
    return token != NULL;
}

static int measure(struct bench *bench, const struct token_config *token)
{
    const struct options *o = &bench->options;
    json_t *report = json_array();
    if (!o->json)
        printf("%-9s %12s %9s %9s %7s %6s %8s %12s %6s\n", "operation", "per second", "p50 us",
               "p99 us", "HMACs", "MACs", "derives", "floor", "ratio");
    for (enum operation op = INITIATE; op < OPERATIONS; op++) {
        struct counters before, after;
        if (!read_counters(bench, &before))
            return 1;
        double rate = run_operation(bench, op);
        if (rate <= 0 || !read_counters(bench, &after))
            return 1;
        /* A responder signs with the object of a message's authentication key twice; with `mac:
         * host` no object is made. */
        double macs = after.objects == before.objects ? 0 : op == RESPOND ? 2 : 1;
        double hmacs = (after.hmacs - before.hmacs) / o->count;
        double derives = (after.derives - before.derives) / o->count, p50, p99, floor = 0;
        latency(bench, op, &p50, &p99);
        /* The daemon counts the MACs' own HMACs among the HMACs. */
        hmacs -= macs;
        struct floor_mix mix = {.hmacs = (unsigned)(hmacs + 0.5),
                                .macs = (unsigned)(macs + 0.5),
                                .derives = (unsigned)(derives + 0.5),
                                .session_copies = after.session_copies,
                                /* PRF func of the message's header: 0 is mikey-1's. */
                                .hash_bytes =
                                    (bench->calls[0].message.data[3] & 0x7f) == 0 ? 20 : 32};
        struct error err = {0};
        if (floor_measure(token, &mix, o->count, &floor, &err) != MIKEYD_OK) {
            fprintf(stderr, "mikeyd-bench: floor: %s\n", err.text);
            return 1;
        }
        if (o->json) {
            json_array_append_new(
                report, json_pack("{s:s,s:f,s:f,s:f,s:f,s:f,s:f,s:s,s:f,s:f}", "operation",
                                  operation_names[op], "per_second", rate, "p50_us", p50, "p99_us",
                                  p99, "hmacs", hmacs, "macs", macs, "derives", derives, "prf",
                                  after.prf, "floor_per_second", floor, "ratio", rate / floor));
        } else {
            printf("%-9s %12.0f %9.0f %9.0f %7.2f %6.2f %8.2f %12.0f %6.2f\n", operation_names[op],
                   rate, p50, p99, hmacs, macs, derives, floor, rate / floor);
        }
    }
    if (o->json) {
        char *text = json_dumps(report, 0);
        puts(text);
        free(text);
    }
    json_decref(report);
    return 0;
}

static bool read_options(int argc, char **argv, struct options *o)
{
    static const struct option known[] = {{"config", required_argument, NULL, 'c'},
                                          {"socket", required_argument, NULL, 's'},
                                          {"from", required_argument, NULL, 'f'},
                                          {"to", required_argument, NULL, 't'},
                                          {"connections", required_argument, NULL, 'n'},
                                          {"depth", required_argument, NULL, 'd'},
                                          {"count", required_argument, NULL, 'k'},
                                          {"json", no_argument, NULL, 'j'},
                                          {NULL, 0, NULL, 0}};
    *o = (struct options){.config = getenv("MIKEYD_CONFIG"),
                          .socket = getenv("MIKEYD_SOCKET"),
                          .connections = 2,
                          .depth = 64,
                          .count = 5000};
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'c':
            o->config = optarg;
            break;
        case 's':
            o->socket = optarg;
            break;
        case 'f':
            o->from = optarg;
            break;
        case 't':
            o->to = optarg;
            break;
        case 'n':
            o->connections = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'd':
            o->depth = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'k':
            o->count = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'j':
            o->json = true;
            break;
        default:
            return false;
        }
    }
    return o->config != NULL && o->socket != NULL && o->from != NULL && o->to != NULL &&
           o->connections > 0 && o->depth > 0 && o->count > 0 && optind == argc;
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    struct error err = {0};
    struct config *config = NULL;
    if (!read_options(argc, argv, &bench.options)) {
        fprintf(stderr, "usage: mikeyd-bench --config FILE --socket PATH --from ID --to ID "
                        "[--connections N] [--depth N]"
                        " [--count N] [--json]\n");
        return 1;
    }
    const struct options *o = &bench.options;
    if (config_load(o->config, &config, &err) != MIKEYD_OK) {
        fprintf(stderr, "mikeyd-bench: %s\n", err.text);
        return 1;
    }
    bench.client = calloc(o->connections, sizeof(mikeyd_client *));
    bench.in_flight = calloc(o->connections, sizeof *bench.in_flight);
    bench.calls = calloc(o->count, sizeof *bench.calls);
    if (bench.client == NULL || bench.in_flight == NULL || bench.calls == NULL)
        abort();
    for (unsigned i = 0; i < o->count; i++)
        bench.calls[i].bench = &bench;
    int result = 0;
    for (unsigned c = 0; c < o->connections && result == 0; c++) {
        if (mikeyd_client_open(o->socket, &bench.client[c]) != MIKEYD_OK) {
            fprintf(stderr, "mikeyd-bench: %s\n", mikeyd_client_error(NULL));
            result = 5;
        }
    }
    if (result == 0)
        result = measure(&bench, &config->tokens[0]);
    for (unsigned c = 0; c < o->connections; c++)
        mikeyd_client_close(bench.client[c]);
    for (unsigned i = 0; i < o->count; i++) {
        free(bench.calls[i].message.data);
        free(bench.calls[i].ticket.data);
        free(bench.calls[i].reply.data);
    }
    free(bench.calls);
    free(bench.in_flight);
    free(bench.client);
    config_free(config);
    return result;
}
