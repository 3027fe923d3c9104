/*
 * soak-load: whole exchanges (initiate, respond, confirm) at a steady rate, one line a second.
 *
 *   soak-load --socket PATH --from ID --to ID --seconds S [--rate R] [--threads N] [--tally FILE]
 *   soak-load --make-tally FILE
 *
 * Without --rate: as many as there can be. --tally: the file in which the fault module counts
 * (module/fault_tally.h), made with --make-tally before. A line is
 *   second exchanges failures p50_us p99_us sessions objects signs
 * where signs counts the calls of C_Sign since the daemon began.
 */
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <mikeyd/client.h>

#include "base/clock.h"
#include "module/fault_tally.h"

#define THREADS_MAX 32
#define SAMPLES_MAX 65536

static struct {
    const char *socket, *from, *to, *tally;
    double rate;
    unsigned seconds, threads;
} options = {.seconds = 10, .threads = 4};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int samples[SAMPLES_MAX]; /* microseconds, of the running second */
static size_t sample_count, failures;
static atomic_ulong turn; /* of the next exchange, at the given rate */
static int64_t begun_us;
static atomic_bool ending;

static bool exchange_once(mikeyd_client *client)
{
    const struct mikeyd_stream streams[] = {{.ssrc = 0x11223344, .suite = NULL}};
    const struct mikeyd_offer offer = {.from = options.from,
                                       .to = options.to,
                                       .streams = streams,
                                       .stream_count = 1,
                                       .verify = true};
    mikeyd_exchange *call = NULL, *answered = NULL, *keyed = NULL;
    size_t len = 0, ticket_len = 0;
    bool good = mikeyd_initiate(client, &offer, &call) == MIKEYD_OK;
    if (good) {
        struct mikeyd_answer answer = {.as = options.to};
        answer.message = mikeyd_exchange_message(call, &len);
        answer.message_len = len;
        good = mikeyd_respond(client, &answer, &answered) == MIKEYD_OK;
    }
    if (good) {
        const uint8_t *ticket = mikeyd_exchange_ticket(call, &ticket_len);
        const uint8_t *reply = mikeyd_exchange_message(answered, &len);
        good = mikeyd_confirm(client, ticket, ticket_len, reply, len, &keyed) == MIKEYD_OK;
    }
    mikeyd_exchange_free(call);
    mikeyd_exchange_free(answered);
    mikeyd_exchange_free(keyed);
    return good;
}

static void wait_for_turn(void)
{
    if (options.rate <= 0)
        return;
    const double at = (double)atomic_fetch_add(&turn, 1) * 1e6 / options.rate;
    const int64_t left = begun_us + (int64_t)at - clock_monotonic_us();
    if (left > 0)
        (void)usleep((useconds_t)left);
}

static void *work(void *unused)
{
    mikeyd_client *client = NULL;
    (void)unused;
    if (mikeyd_client_open(options.socket, &client) != MIKEYD_OK) {
        (void)fprintf(stderr, "soak-load: %s\n", mikeyd_client_error(NULL));
        exit(1);
    }
    while (!atomic_load(&ending)) {
        wait_for_turn();
        const int64_t from_us = clock_monotonic_us();
        const bool good = exchange_once(client);
        const int64_t took_us = clock_monotonic_us() - from_us;
        (void)pthread_mutex_lock(&lock);
        failures += !good;
        if (good && sample_count < SAMPLES_MAX)
            samples[sample_count++] = (int)took_us;
        (void)pthread_mutex_unlock(&lock);
    }
    mikeyd_client_close(client);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

static void print_second(unsigned second, const struct fault_tally *tally)
{
    static int sorted[SAMPLES_MAX];
    (void)pthread_mutex_lock(&lock);
    const size_t count = sample_count, failed = failures;
    memcpy(sorted, samples, count * sizeof sorted[0]);
    sample_count = failures = 0;
    (void)pthread_mutex_unlock(&lock);
    qsort(sorted, count, sizeof sorted[0], compare);
    (void)printf("%u %zu %zu %d %d %ld %ld %lu\n", second, count, failed,
                 count == 0 ? 0 : sorted[count / 2], count == 0 ? 0 : sorted[count * 99 / 100],
                 atomic_load(&tally->sessions), atomic_load(&tally->objects),
                 atomic_load(&tally->calls[FAULT_C_Sign]));
    (void)fflush(stdout);
}

static int make_tally(const char *path)
{
    static const struct fault_tally zeros;
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(&zeros, sizeof zeros, 1, file) != 1 || fclose(file) != 0) {
        perror(path);
        return 1;
    }
    return 0;
}

/* Zeros without a file. */
static const struct fault_tally *map_tally(void)
{
    static const struct fault_tally none;
    if (options.tally == NULL)
        return &none;
    int fd = open(options.tally, O_RDONLY | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof none, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        perror(options.tally);
        exit(1);
    }
    (void)close(fd);
    return map;
}

static void read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"socket", 1, NULL, 's'}, {"from", 1, NULL, 'f'},       {"to", 1, NULL, 't'},
        {"rate", 1, NULL, 'r'},   {"seconds", 1, NULL, 'n'},    {"threads", 1, NULL, 'c'},
        {"tally", 1, NULL, 'y'},  {"make-tally", 1, NULL, 'm'}, {NULL, 0, NULL, 0}};
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
        case 'r':
            options.rate = strtod(optarg, NULL);
            break;
        case 'n':
            options.seconds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'c':
            options.threads = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'y':
            options.tally = optarg;
            break;
        case 'm':
            exit(make_tally(optarg));
        default:
            exit(1);
        }
    }
    if (options.socket == NULL || options.from == NULL || options.to == NULL ||
        options.threads == 0 || options.threads > THREADS_MAX) {
        (void)fprintf(stderr, "soak-load: --socket, --from, --to; 1 to 32 threads\n");
        exit(1);
    }
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS_MAX];
    read_options(argc, argv);
    const struct fault_tally *tally = map_tally();
    begun_us = clock_monotonic_us();
    for (unsigned i = 0; i < options.threads; i++) {
        if (pthread_create(&threads[i], NULL, work, NULL) != 0)
            return 1;
    }
    for (unsigned second = 1; second <= options.seconds; second++) {
        (void)sleep(1);
        print_second(second, tally);
    }
    atomic_store(&ending, true);
    for (unsigned i = 0; i < options.threads; i++)
        (void)pthread_join(threads[i], NULL);
    return 0;
}
