/*
 * overload-bench: one client that asks more than can be served, and what becomes of its requests.
 *
 *   overload-bench --socket PATH --from ID --to ID [--seconds S] [--connections N]
 *                  {--rate R | --in-flight N} [--forged]
 *
 * With --rate it asks at that rate, whatever is answered; with --in-flight so many wait on each
 * connection at any time, which gives the rate that can be sustained. Requests are initiates; with
 * --forged they are responds to a message whose MAC is wrong. One line of NAME=VALUE is printed.
 */
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <mikeyd/client.h>

#include "base/clock.h"

#define CONNECTIONS_MAX 64
/* The daemon reads no more of a connection than twice that (DAEMON_IN_FLIGHT_MAX). */
#define IN_FLIGHT_MAX 128
#define SAMPLES 200000

struct options {
    const char *socket, *from, *to;
    double seconds, rate;
    unsigned connections, in_flight;
    bool forged;
};

struct samples {
    double us[SAMPLES]; /* of the first so many */
    size_t count;
};

static struct options options = {.seconds = 5, .connections = 8, .in_flight = IN_FLIGHT_MAX};
static mikeyd_client *client[CONNECTIONS_MAX];
static unsigned in_flight[CONNECTIONS_MAX];
static unsigned long offered, unsent, by_status[MIKEYD_STATUS_COUNT];
static struct samples served, refused;
static unsigned long forgeries; /* found out, also after the time */
static bool counting = true;
static uint8_t *forged;
static size_t forged_len;

struct request {
    unsigned connection;
    int64_t begun;
};

static void keep(struct samples *samples, double us)
{
    if (samples->count < SAMPLES)
        samples->us[samples->count++] = us;
}

static void finished(void *user, enum mikeyd_status status, mikeyd_exchange *exchange)
{
    struct request *request = user;
    const double us = (double)(clock_monotonic_us() - request->begun);
    in_flight[request->connection]--;
    forgeries += status == MIKEYD_AUTH_FAILED;
    if (counting && (unsigned)status < MIKEYD_STATUS_COUNT) {
        by_status[status]++;
        if (status == MIKEYD_OVERLOADED)
            keep(&refused, us);
        else
            keep(&served, us);
    }
    mikeyd_exchange_free(exchange);
    free(request);
}

static const struct mikeyd_stream stream = {.ssrc = 0x11223344};

static bool submit(unsigned c)
{
    struct request *request = malloc(sizeof *request);
    if (request == NULL)
        abort();
    *request = (struct request){c, clock_monotonic_us()};
    const struct mikeyd_offer offer = {.from = options.from,
                                       .to = options.to,
                                       .streams = &stream,
                                       .stream_count = 1,
                                       .verify = true};
    const struct mikeyd_answer answer = {
        .as = options.to, .message = forged, .message_len = forged_len};
    offered++;
    in_flight[c]++;
    return (options.forged
                ? mikeyd_submit_respond(client[c], &answer, finished, request)
                : mikeyd_submit_initiate(client[c], &offer, finished, request)) == MIKEYD_OK;
}

/* A message of our own with another MAC, which is what stands last. */
static bool forge(void)
{
    mikeyd_exchange *exchange = NULL;
    const struct mikeyd_offer offer = {
        .from = options.from, .to = options.to, .streams = &stream, .stream_count = 1};
    if (mikeyd_initiate(client[0], &offer, &exchange) != MIKEYD_OK)
        return false;
    const uint8_t *message = mikeyd_exchange_message(exchange, &forged_len);
    forged = malloc(forged_len);
    if (forged == NULL)
        abort();
    memcpy(forged, message, forged_len);
    forged[forged_len - 1] ^= 1;
    mikeyd_exchange_free(exchange);
    return true;
}

static bool exchange_events(int wait_ms)
{
    struct pollfd fds[CONNECTIONS_MAX];
    for (unsigned c = 0; c < options.connections; c++)
        fds[c] = (struct pollfd){.fd = mikeyd_client_fd(client[c]),
                                 .events = mikeyd_client_events(client[c])};
    if (poll(fds, options.connections, wait_ms) < 0)
        return false;
    for (unsigned c = 0; c < options.connections; c++) {
        if (fds[c].revents != 0 && mikeyd_client_dispatch(client[c]) != MIKEYD_OK)
            return false;
    }
    return true;
}

/* What is due by now, or what there is room for. */
static bool submit_due(int64_t begun)
{
    static unsigned next;
    if (options.rate == 0) {
        for (unsigned c = 0; c < options.connections; c++) {
            while (in_flight[c] < options.in_flight) {
                if (!submit(c))
                    return false;
            }
        }
        return true;
    }
    const double due = (double)(clock_monotonic_us() - begun) / 1e6 * options.rate;
    while ((double)(offered + unsent) < due) {
        const unsigned c = next++ % options.connections;
        if (in_flight[c] >= IN_FLIGHT_MAX)
            unsent++; /* not answered at once, then */
        else if (!submit(c))
            return false;
    }
    return true;
}

static bool run(double *seconds)
{
    const int64_t begun = clock_monotonic_us();
    const int64_t end = begun + (int64_t)(options.seconds * 1e6);
    while (clock_monotonic_us() < end) {
        if (!submit_due(begun) || !exchange_events(options.rate == 0 ? 100 : 1))
            return false;
    }
    *seconds = (double)(clock_monotonic_us() - begun) / 1e6;
    counting = false;
    const int64_t patience = clock_monotonic_ms() + 10000;
    for (unsigned c = 0; c < options.connections; c++) {
        while (in_flight[c] > 0 && clock_monotonic_ms() < patience) {
            if (!exchange_events(100))
                return false;
        }
    }
    return true;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double quantile_ms(struct samples *samples, double q)
{
    if (samples->count == 0)
        return 0;
    qsort(samples->us, samples->count, sizeof samples->us[0], compare);
    return samples->us[(size_t)((double)(samples->count - 1) * q)] / 1000;
}

/* HMACs of the token until now: a keyholder's figures in the status are up to a second old. */
static double read_hmacs(void)
{
    char *text = NULL;
    (void)sleep(2);
    if (mikeyd_client_status(client[0], false, &text) != MIKEYD_OK)
        return 0;
    json_t *status = json_loads(text, 0, NULL);
    const double hmacs =
        (double)json_integer_value(json_object_get(json_object_get(status, "token"), "hmacs"));
    json_decref(status);
    free(text);
    return hmacs;
}

static void report(double seconds, double hmacs)
{
    const unsigned long ok = by_status[options.forged ? MIKEYD_AUTH_FAILED : MIKEYD_OK];
    unsigned long answered = 0;
    for (size_t i = 0; i < MIKEYD_STATUS_COUNT; i++)
        answered += by_status[i];
    printf("offered=%.1f served=%.1f refused=%.1f other=%.1f unsent=%.1f served_p50_ms=%.1f "
           "served_p99_ms=%.1f served_max_ms=%.1f refused_p50_ms=%.1f refused_p99_ms=%.1f "
           "hmacs=%.2f\n",
           (double)(offered + unsent) / seconds, (double)ok / seconds,
           (double)by_status[MIKEYD_OVERLOADED] / seconds,
           (double)(answered - ok - by_status[MIKEYD_OVERLOADED]) / seconds,
           (double)unsent / seconds, quantile_ms(&served, 0.5), quantile_ms(&served, 0.99),
           quantile_ms(&served, 1), quantile_ms(&refused, 0.5), quantile_ms(&refused, 0.99),
           forgeries == 0 ? 0 : hmacs / (double)forgeries);
}

static bool read_options(int argc, char **argv)
{
    static const struct option known[] = {{"socket", required_argument, NULL, 's'},
                                          {"from", required_argument, NULL, 'f'},
                                          {"to", required_argument, NULL, 't'},
                                          {"seconds", required_argument, NULL, 'd'},
                                          {"connections", required_argument, NULL, 'n'},
                                          {"rate", required_argument, NULL, 'r'},
                                          {"in-flight", required_argument, NULL, 'i'},
                                          {"forged", no_argument, NULL, 'x'},
                                          {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 's':
            options.socket = optarg;
            break;
        case 'f':
            options.from = optarg;
            break;
        case 't':
            options.to = optarg;
            break;
        case 'd':
            options.seconds = strtod(optarg, NULL);
            break;
        case 'n':
            options.connections = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'r':
            options.rate = strtod(optarg, NULL);
            break;
        case 'i':
            options.in_flight = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'x':
            options.forged = true;
            break;
        default:
            return false;
        }
    }
    return options.socket != NULL && options.from != NULL && options.to != NULL &&
           options.seconds > 0 && options.rate >= 0 && options.connections > 0 &&
           options.connections <= CONNECTIONS_MAX && options.in_flight > 0 &&
           options.in_flight <= IN_FLIGHT_MAX && optind == argc;
}

int main(int argc, char **argv)
{
    if (!read_options(argc, argv)) {
        fprintf(stderr,
                "usage: overload-bench --socket PATH --from ID --to ID [--seconds S]\n"
                "       [--connections 1..64] {--rate R | --in-flight 1..128} [--forged]\n");
        return 1;
    }
    for (unsigned c = 0; c < options.connections; c++) {
        if (mikeyd_client_open(options.socket, &client[c]) != MIKEYD_OK) {
            fprintf(stderr, "overload-bench: %s\n", mikeyd_client_error(NULL));
            return 5;
        }
    }
    if (options.forged && !forge()) {
        fprintf(stderr, "overload-bench: %s\n", mikeyd_client_error(client[0]));
        return 1;
    }
    double seconds = 0;
    const double before = options.forged ? read_hmacs() : 0;
    if (!run(&seconds)) {
        fprintf(stderr, "overload-bench: a connection failed\n");
        return 1;
    }
    report(seconds, options.forged ? read_hmacs() - before : 0);
    for (unsigned c = 0; c < options.connections; c++)
        mikeyd_client_close(client[c]);
    free(forged);
    return 0;
}
