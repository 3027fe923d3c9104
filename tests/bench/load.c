#include "bench/load.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

const char *const operation_names[OPERATIONS] = {"initiate", "respond", "confirm", "update"};

struct call {
    struct load *load;
    unsigned connection;
    struct blob message, ticket, reply;
    int64_t begun;
    double latency_us[OPERATIONS];
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
    struct load *load = call->load;
    call->latency_us[load->operation] = (double)(clock_monotonic_us() - call->begun);
    load->in_flight[call->connection]--;
    load->done++;
    size_t len = 0;
    const uint8_t *bytes;
    if (status != MIKEYD_OK) {
        if (load->failed++ == 0)
            load->first_failure = status;
    } else if (load->operation == INITIATE) {
        bytes = mikeyd_exchange_message(exchange, &len);
        call->message = blob_copy(bytes, len);
        bytes = mikeyd_exchange_ticket(exchange, &len);
        call->ticket = blob_copy(bytes, len);
    } else if (load->operation == RESPOND) {
        bytes = mikeyd_exchange_message(exchange, &len);
        call->reply = blob_copy(bytes, len);
    } else if (load->operation == CONFIRM) {
        bytes = mikeyd_exchange_ticket(exchange, &len);
        free(call->ticket.data);
        call->ticket = blob_copy(bytes, len);
        load->failed += mikeyd_exchange_keys(exchange, NULL) == 0 ? 1 : 0;
    }
    mikeyd_exchange_free(exchange);
}

static enum mikeyd_status submit(struct load *load, struct call *call)
{
    static const struct mikeyd_stream stream = {.ssrc = 0x11223344, .suite = NULL};
    mikeyd_client *client = load->client[call->connection];
    call->begun = clock_monotonic_us();
    if (load->operation == INITIATE) {
        struct mikeyd_offer offer = {.from = load->options->from,
                                     .to = load->options->to,
                                     .streams = &stream,
                                     .stream_count = 1,
                                     .method = load->method,
                                     .verify = true};
        return mikeyd_submit_initiate(client, &offer, finished, call);
    }
    if (load->operation == RESPOND) {
        struct mikeyd_answer answer = {.as = load->options->to,
                                       .message = call->message.data,
                                       .message_len = call->message.len};
        return mikeyd_submit_respond(client, &answer, finished, call);
    }
    if (load->operation == UPDATE)
        return mikeyd_submit_update(client, call->ticket.data, call->ticket.len, NULL, 0, true,
                                    false, finished, call);
    return mikeyd_submit_confirm(client, call->ticket.data, call->ticket.len, call->reply.data,
                                 call->reply.len, finished, call);
}

double load_run(struct load *load, enum operation operation)
{
    const struct options *o = load->options;
    struct pollfd *fds = calloc(o->connections, sizeof *fds);
    if (fds == NULL)
        abort();
    unsigned next = 0;
    load->operation = operation;
    load->done = 0;
    int64_t begin = clock_monotonic_us();
    while (load->done < o->count && load->failed == 0) {
        for (unsigned c = 0; c < o->connections; c++) {
            while (next < o->count && load->in_flight[c] < o->depth) {
                struct call *call = &load->calls[next++];
                call->connection = c;
                load->in_flight[c]++;
                if (submit(load, call) != MIKEYD_OK) {
                    fprintf(stderr, "mikeyd-bench: %s\n", mikeyd_client_error(load->client[c]));
                    free(fds);
                    return 0;
                }
            }
            fds[c] = (struct pollfd){.fd = mikeyd_client_fd(load->client[c]),
                                     .events = mikeyd_client_events(load->client[c])};
        }
        if (poll(fds, o->connections, 10000) <= 0)
            break;
        for (unsigned c = 0; c < o->connections; c++) {
            if (fds[c].revents != 0 && mikeyd_client_dispatch(load->client[c]) != MIKEYD_OK)
                load->failed++;
        }
    }
    double seconds = (double)(clock_monotonic_us() - begin) / 1e6;
    free(fds);
    if (load->failed != 0 || load->done != o->count) {
        fprintf(stderr, "mikeyd-bench: %s: %u of %u done, %u failed (%s)\n",
                operation_names[operation], load->done, o->count, load->failed,
                mikeyd_status_name(load->first_failure));
        return 0;
    }
    return (double)o->count / seconds;
}

int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

void load_latency(const struct load *load, enum operation operation, double *p50, double *p99)
{
    unsigned n = load->options->count;
    double *all = calloc(n, sizeof *all);
    if (all == NULL)
        abort();
    for (unsigned i = 0; i < n; i++)
        all[i] = load->calls[i].latency_us[operation];
    qsort(all, n, sizeof *all, compare_doubles);
    *p50 = all[n / 2];
    *p99 = all[(size_t)n * 99 / 100];
    free(all);
}

const struct blob *load_message(const struct load *load)
{
    return &load->calls[0].message;
}

bool load_open(struct load *load, const struct options *options, const char *socket)
{
    *load = (struct load){.options = options};
    load->client = calloc(options->connections, sizeof(mikeyd_client *));
    load->in_flight = calloc(options->connections, sizeof *load->in_flight);
    load->calls = calloc(options->count, sizeof *load->calls);
    if (load->client == NULL || load->in_flight == NULL || load->calls == NULL)
        abort();
    for (unsigned i = 0; i < options->count; i++)
        load->calls[i].load = load;
    for (unsigned c = 0; c < options->connections; c++) {
        if (mikeyd_client_open(socket, &load->client[c]) != MIKEYD_OK) {
            fprintf(stderr, "mikeyd-bench: %s\n", mikeyd_client_error(NULL));
            return false;
        }
    }
    return true;
}

void load_forget(struct load *load)
{
    for (unsigned i = 0; i < load->options->count; i++) {
        struct call *call = &load->calls[i];
        free(call->message.data);
        free(call->ticket.data);
        free(call->reply.data);
        call->message = call->ticket = call->reply = (struct blob){0};
    }
}

void load_close(struct load *load)
{
    if (load->calls == NULL)
        return;
    load_forget(load);
    for (unsigned c = 0; c < load->options->connections; c++)
        mikeyd_client_close(load->client[c]);
    free(load->calls);
    free(load->in_flight);
    free(load->client);
}
