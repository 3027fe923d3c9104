/*
 * mikeyd-bench: exchanges a second of a running daemon, in one run with the floor (see floor.h) or
 * with another daemon, for instance one of another build (see tests/bench/beside).
 *
 *   mikeyd-bench --config FILE --from ID --to ID [--socket PATH] [--connections N] [--depth N]
 *                [--count N] [--method psk|psk-dhe|dhhmac|policy|all] [--call-ms MS] [--json]
 *   mikeyd-bench --beside SOCKET [--rounds N] ...
 *
 * Each operation runs `count` times: all initiates, then all responds to those messages, then all
 * confirms of those replies, each pipelined over N connections with `depth` requests in flight on
 * each. The policy must let this user act for both ends. With --call-ms the token is one whose calls
 * take so long (see tests/bench/slow-token): the floor is sessions / (calls x latency), and "rounds"
 * is how many calls' time the median request waits.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "bench/beside.h"
#include "bench/floor.h"
#include "bench/load.h"
#include "config/config.h"

/* Token counters and the way of the PRF, from the daemon's status. */
struct counters {
    double hmacs, objects, derives;
    bool session_copies;
    char prf[16];
};

static bool read_counters(struct load *load, struct counters *out)
{
    char *text = NULL;
    (void)sleep(2); /* a keyholder's figures in the status are up to a second old */
    if (mikeyd_client_status(load->client[0], false, &text) != MIKEYD_OK) {
        fprintf(stderr, "mikeyd-bench: status: %s\n", mikeyd_client_error(load->client[0]));
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

/* Of a token whose calls all take one time, whatever else the machine does. */
static double floor_of_latency(const struct options *o, const struct token_config *token,
                               double calls)
{
    return calls > 0 ? token->sessions * 1000.0 / (calls * o->call_ms) : 0;
}

static int measure(struct load *load, const char *method, const struct token_config *token,
                   json_t *report)
{
    const struct options *o = load->options;
    if (!o->json)
        printf("%-8s %-9s %12s %9s %9s %7s %7s %6s %8s %12s %6s\n", "method", "operation",
               "per second", "p50 us", "p99 us", "rounds", "HMACs", "MACs", "derives", "floor",
               "ratio");
    const enum operation end =
        load->method == MIKEYD_METHOD_BY_POLICY ? UPDATE : OPERATIONS; /* may be a derived TGK */
    for (enum operation op = INITIATE; op < end; op++) {
        struct counters before, after;
        if (!read_counters(load, &before))
            return 1;
        double rate = load_run(load, op);
        if (rate <= 0 || !read_counters(load, &after))
            return 1;
        /* A responder signs with the object of a message's authentication key twice; with `mac:
         * host` no object is made. */
        double macs = after.objects == before.objects ? 0 : op == RESPOND ? 2 : 1;
        double hmacs = (after.hmacs - before.hmacs) / o->count;
        double derives = (after.derives - before.derives) / o->count, p50, p99, floor = 0;
        load_latency(load, op, &p50, &p99);
        /* The daemon counts the MACs' own HMACs among the HMACs. */
        hmacs -= macs;
        struct floor_mix mix = {.hmacs = (unsigned)(hmacs + 0.5),
                                .macs = (unsigned)(macs + 0.5),
                                .derives = (unsigned)(derives + 0.5),
                                .session_copies = after.session_copies,
                                /* PRF func of the message's header: 0 is mikey-1's. */
                                .hash_bytes = (load_message(load)->data[3] & 0x7f) == 0 ? 20 : 32};
        struct error err = {0};
        const double rounds = o->call_ms == 0 ? 0 : p50 / 1000 / o->call_ms;
        if (o->call_ms != 0) {
            floor = floor_of_latency(o, token, hmacs + macs + derives);
        } else if (floor_measure(token, &mix, o->count, &floor, &err) != MIKEYD_OK) {
            fprintf(stderr, "mikeyd-bench: floor: %s\n", err.text);
            return 1;
        }
        if (o->json) {
            json_array_append_new(
                report, json_pack("{s:s,s:s,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:s,s:f,s:f}", "method",
                                  method, "operation", operation_names[op], "per_second", rate,
                                  "p50_us", p50, "p99_us", p99, "rounds", rounds, "hmacs", hmacs,
                                  "macs", macs, "derives", derives, "prf", after.prf,
                                  "floor_per_second", floor, "ratio", rate / floor));
        } else {
            printf("%-8s %-9s %12.0f %9.0f %9.0f %7.1f %7.2f %6.2f %8.2f %12.0f %6.2f\n", method,
                   operation_names[op], rate, p50, p99, rounds, hmacs, macs, derives, floor,
                   rate / floor);
        }
    }
    return 0;
}

/* With "all" the methods stand side by side; "policy" is what the pair's policy says. */
static int measure_methods(struct load *load, const struct token_config *token)
{
    static const struct {
        const char *name;
        enum mikeyd_method number;
    } methods[] = {{"psk", MIKEYD_PSK},
                   {"psk-dhe", MIKEYD_PSK_DHE},
                   {"dhhmac", MIKEYD_DHHMAC},
                   {"policy", MIKEYD_METHOD_BY_POLICY}};
    const struct options *o = load->options;
    const bool all = strcmp(o->method, "all") == 0;
    json_t *report = json_array();
    int result = 1; /* unless the method is one of these */
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (all ? methods[i].number == MIKEYD_METHOD_BY_POLICY
                : strcmp(o->method, methods[i].name) != 0)
            continue;
        load->method = methods[i].number;
        result = measure(load, methods[i].name, token, report);
        load_forget(load);
        if (result != 0)
            break;
    }
    if (o->json && result == 0) {
        char *text = json_dumps(report, 0);
        puts(text);
        free(text);
    }
    json_decref(report);
    return result;
}

static bool read_options(int argc, char **argv, struct options *o)
{
    static const struct option known[] = {{"config", required_argument, NULL, 'c'},
                                          {"socket", required_argument, NULL, 's'},
                                          {"beside", required_argument, NULL, 'b'},
                                          {"rounds", required_argument, NULL, 'r'},
                                          {"from", required_argument, NULL, 'f'},
                                          {"to", required_argument, NULL, 't'},
                                          {"connections", required_argument, NULL, 'n'},
                                          {"depth", required_argument, NULL, 'd'},
                                          {"count", required_argument, NULL, 'k'},
                                          {"method", required_argument, NULL, 'm'},
                                          {"call-ms", required_argument, NULL, 'l'},
                                          {"json", no_argument, NULL, 'j'},
                                          {NULL, 0, NULL, 0}};
    *o = (struct options){.method = "policy",
                          .config = getenv("MIKEYD_CONFIG"),
                          .socket = getenv("MIKEYD_SOCKET"),
                          .connections = 2,
                          .depth = 64,
                          .count = 5000,
                          .rounds = 5};
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'c':
            o->config = optarg;
            break;
        case 's':
            o->socket = optarg;
            break;
        case 'b':
            o->beside = optarg;
            break;
        case 'r':
            o->rounds = (unsigned)strtoul(optarg, NULL, 10);
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
        case 'm':
            o->method = optarg;
            break;
        case 'l':
            o->call_ms = strtod(optarg, NULL);
            break;
        case 'j':
            o->json = true;
            break;
        default:
            return false;
        }
    }
    return (o->config != NULL || o->beside != NULL) && o->socket != NULL && o->from != NULL &&
           o->to != NULL && o->connections > 0 && o->depth > 0 && o->count > 0 && o->rounds > 0 &&
           optind == argc;
}

static int compare(struct load *load, const struct options *o)
{
    struct load other;
    int result = load_open(&other, o, o->beside) ? 0 : 5;
    if (result == 0)
        result = beside_measure(load, &other) ? 0 : 1;
    load_close(&other);
    return result;
}

static int with_floor(struct load *load, const struct options *o)
{
    struct error err = {0};
    struct config *config = NULL;
    if (config_load(o->config, &config, &err) != MIKEYD_OK) {
        fprintf(stderr, "mikeyd-bench: %s\n", err.text);
        return 1;
    }
    int result = measure_methods(load, &config->tokens[0]);
    config_free(config);
    return result;
}

int main(int argc, char **argv)
{
    struct options options;
    struct load load;
    if (!read_options(argc, argv, &options)) {
        fprintf(stderr,
                "usage: mikeyd-bench --socket PATH --from ID --to ID "
                "{--config FILE | --beside PATH [--rounds N]}\n"
                "       [--connections N] [--depth N] [--count N]\n"
                "       [--method psk|psk-dhe|dhhmac|policy|all] [--call-ms MS] [--json]\n");
        return 1;
    }
    int result = load_open(&load, &options, options.socket) ? 0 : 5;
    if (result == 0)
        result = options.beside != NULL ? compare(&load, &options) : with_floor(&load, &options);
    load_close(&load);
    return result;
}
