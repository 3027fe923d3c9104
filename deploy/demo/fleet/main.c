/*
 * fleet-load: calls through the gates of two sites, all the time, while deploy/fleet breaks things.
 *
 *   fleet-load --site-1 HOST:PORT --site-2 HOST:PORT --proofs 'ca=FILE&cert=FILE&key=FILE' [--threads N]
 *
 * A call is an offer made at one site, answered at the other and confirmed at either, by libmikeyd
 * alone. What a client may try again is tried again, for as long as SIP waits for an answer; a call
 * that was not completed then is lost. All the while messages and tickets that were accepted are
 * brought a second time. Commands come on standard input, one a line, and give one line each:
 *
 *   window      what was counted since the last "window": lost and slowest of the calls that began in it
 *   ask 1|2     the status of an exchange at this site alone: "OK", "STORE_DOWN" ...
 *   race COUNT  so many messages, and so many tickets, to both sites at the same moment
 *
 * It ends with its input. Exit status 0; 1 when it could not begin.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

#define THREADS_MAX 64
#define ADDRESS_MAX 2048
#define ANSWER_MS 3000
#define PAUSE_MS 20

struct options {
    const char *site[SITES], *proofs;
    size_t threads;
};

struct caller {
    pthread_t thread;
    struct load *load;
    size_t site;
    atomic_uint window; /* of its call */
};

/* ---- threads */

static void *make_calls(void *user)
{
    struct caller *caller = user;
    while (!atomic_load(&caller->load->ended)) {
        const unsigned window = atomic_load(&caller->load->window);
        atomic_store(&caller->window, window);
        load_call(caller->load, window, caller->site);
        load_pause_ms(PAUSE_MS);
    }
    return NULL;
}

static void *replay(void *user)
{
    struct load *load = user;
    for (unsigned number = 0; !atomic_load(&load->ended); number++) {
        load_replay(load, number);
        load_pause_ms(PAUSE_MS);
    }
    return NULL;
}

/* ---- commands */

/* Begins a window, and tells of the one before when its last call has ended. */
static bool end_window(struct load *load, struct caller *callers, size_t count)
{
    (void)pthread_mutex_lock(&load->lock);
    const unsigned ended = atomic_fetch_add(&load->window, 1);
    const int64_t now_ms = load_now_ms();
    for (size_t i = 0; i < SITES; i++) {
        if (now_ms - load->completed_ms[i] > load->windows[ended].silence_ms)
            load->windows[ended].silence_ms = now_ms - load->completed_ms[i];
        load->completed_ms[i] = now_ms; /* the new window has its own */
    }
    (void)pthread_mutex_unlock(&load->lock);
    for (size_t i = 0; i < count; i++) {
        while (atomic_load(&callers[i].window) <= ended)
            load_pause_ms(5);
    }
    (void)pthread_mutex_lock(&load->lock);
    const struct window *w = &load->windows[ended];
    (void)printf(
        "calls=%u lost=%u again=%u refused=%u accepted=%u silence_ms=%lld slowest_ms=%lld\n",
        w->calls, w->lost, w->offered_again, w->replays_refused, w->replays_accepted,
        (long long)w->silence_ms, (long long)w->slowest_ms);
    (void)pthread_mutex_unlock(&load->lock);
    return ended + 2 < WINDOWS;
}

static bool do_command(struct load *load, struct caller *callers, size_t count, const char *line)
{
    unsigned number;
    bool going = true;
    if (strcmp(line, "window\n") == 0)
        going = end_window(load, callers, count);
    else if (sscanf(line, "ask %u", &number) == 1 && number >= 1 && number <= SITES)
        (void)puts(mikeyd_status_name(load_ask(load, number - 1)));
    else if (sscanf(line, "race %u", &number) == 1)
        (void)load_race(load, number);
    else
        (void)printf("unknown command: %s", line);
    return fflush(stdout) == 0 && going;
}

static void run(struct load *load, size_t threads)
{
    struct caller callers[THREADS_MAX] = {0};
    pthread_t replayer;
    char line[64];
    for (size_t i = 0; i < SITES; i++)
        load->completed_ms[i] = load_now_ms();
    for (size_t i = 0; i < threads; i++) {
        callers[i].load = load;
        callers[i].site = i % SITES;
        if (pthread_create(&callers[i].thread, NULL, make_calls, &callers[i]) != 0)
            abort();
    }
    if (pthread_create(&replayer, NULL, replay, load) != 0)
        abort();
    while (fgets(line, sizeof line, stdin) != NULL && do_command(load, callers, threads, line))
        ;
    atomic_store(&load->ended, true);
    for (size_t i = 0; i < threads; i++)
        (void)pthread_join(callers[i].thread, NULL);
    (void)pthread_join(replayer, NULL);
}

/* ---- the beginning */

static bool open_client(const char *hosts, const char *proofs, mikeyd_client **out)
{
    char address[ADDRESS_MAX];
    const int len = snprintf(address, sizeof address, "tls://%s?%s", hosts, proofs);
    if (len < 0 || (size_t)len >= sizeof address || mikeyd_client_open(address, out) != MIKEYD_OK) {
        (void)fprintf(stderr, "fleet-load: %s: %s\n", hosts, mikeyd_client_error(NULL));
        return false;
    }
    mikeyd_client_set_timeout(*out, ANSWER_MS);
    return true;
}

static bool open_clients(struct load *load, const struct options *options)
{
    for (size_t i = 0; i < SITES; i++) {
        char both[ADDRESS_MAX / 2];
        (void)snprintf(both, sizeof both, "%s,%s", options->site[i],
                       options->site[(i + 1) % SITES]);
        if (!open_client(both, options->proofs, &load->prefers[i]) ||
            !open_client(options->site[i], options->proofs, &load->alone[i]))
            return false;
    }
    return true;
}

static bool read_options(int argc, char **argv, struct options *out)
{
    static const struct option known[] = {{"site-1", required_argument, NULL, '1'},
                                          {"site-2", required_argument, NULL, '2'},
                                          {"proofs", required_argument, NULL, 'p'},
                                          {"threads", required_argument, NULL, 't'},
                                          {0}};
    int option;
    *out = (struct options){.threads = 4};
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == '1' || option == '2')
            out->site[option - '1'] = optarg;
        else if (option == 'p')
            out->proofs = optarg;
        else if (option == 't')
            out->threads = strtoul(optarg, NULL, 10);
        else
            return false;
    }
    return out->site[0] != NULL && out->site[1] != NULL && out->proofs != NULL &&
           out->threads >= SITES && out->threads <= THREADS_MAX;
}

int main(int argc, char **argv)
{
    static struct load load = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct options options;
    if (!read_options(argc, argv, &options)) {
        (void)fprintf(stderr, "usage: fleet-load --site-1 HOST:PORT --site-2 HOST:PORT "
                              "--proofs 'ca=FILE&cert=FILE&key=FILE' [--threads 2..64]\n");
        return 1;
    }
    const bool opened = open_clients(&load, &options);
    if (opened)
        run(&load, options.threads);
    for (size_t i = 0; i < SITES; i++) {
        mikeyd_client_close(load.prefers[i]);
        mikeyd_client_close(load.alone[i]);
    }
    for (size_t i = 0; i < SAMPLES; i++) {
        free(load.samples[i].message);
        free(load.samples[i].ticket);
        free(load.samples[i].reply);
    }
    return opened ? 0 : 1;
}
