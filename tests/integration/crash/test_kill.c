/*
 * kill -9 at 200 random instants under load. Afterwards the audit log verifies, chain, signatures and
 * uses of keys; every key that a client got has its record, and no message that was accepted before
 * a kill is accepted again.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lab.h"

#define ROUNDS 200
#define LOADERS 3
#define RELEASED_MAX 100000

struct released {
    pthread_mutex_t lock;
    uint32_t csb_id[RELEASED_MAX];
    size_t count;
};

struct message {
    uint8_t bytes[1024];
    size_t len;
};

/* One client's load: what it was given before its connection broke. */
struct loader {
    const struct lab *lab;
    struct released *released;
    struct message accepted; /* the last I_MESSAGE that was answered */
    unsigned calls;
};

static void remember(struct released *released, const mikeyd_exchange *exchange)
{
    if (mikeyd_exchange_keys(exchange, NULL) == 0)
        return;
    (void)pthread_mutex_lock(&released->lock);
    cr_assert_lt(released->count, RELEASED_MAX);
    released->csb_id[released->count++] = mikeyd_exchange_csb_id(exchange);
    (void)pthread_mutex_unlock(&released->lock);
}

static void *load(void *argument)
{
    struct loader *loader = argument;
    static const struct mikeyd_stream stream = {.ssrc = 0x11223344};
    const struct mikeyd_offer offer = {
        .from = LAB_A, .to = LAB_B, .streams = &stream, .stream_count = 1, .verify = false};
    mikeyd_client *client = NULL;
    if (mikeyd_client_open(loader->lab->address, &client) != MIKEYD_OK)
        return NULL;
    for (;;) {
        mikeyd_exchange *offered = NULL, *answered = NULL;
        if (mikeyd_initiate(client, &offer, &offered) != MIKEYD_OK)
            break;
        remember(loader->released, offered);
        size_t len;
        const uint8_t *message = mikeyd_exchange_message(offered, &len);
        const struct mikeyd_answer answer = {.as = LAB_B, .message = message, .message_len = len};
        enum mikeyd_status status = mikeyd_respond(client, &answer, &answered);
        if (status == MIKEYD_OK && len <= sizeof loader->accepted.bytes) {
            remember(loader->released, answered);
            memcpy(loader->accepted.bytes, message, len);
            loader->accepted.len = len;
            loader->calls++;
        }
        mikeyd_exchange_free(offered);
        mikeyd_exchange_free(answered);
        if (status != MIKEYD_OK)
            break;
    }
    mikeyd_client_close(client);
    return NULL;
}

static void pause_us(long microseconds)
{
    const struct timespec pause = {.tv_nsec = microseconds * 1000};
    (void)nanosleep(&pause, NULL);
}

static void expect_replay(const struct lab *lab, const struct message *accepted)
{
    if (accepted->len == 0)
        return;
    mikeyd_client *client = lab_client(lab);
    const struct mikeyd_answer answer = {
        .as = LAB_B, .message = accepted->bytes, .message_len = accepted->len};
    mikeyd_exchange *exchange = NULL;
    enum mikeyd_status status = mikeyd_respond(client, &answer, &exchange);
    cr_expect_eq(status, MIKEYD_REPLAY, "a message accepted before the kill: %s",
                 mikeyd_status_name(status));
    mikeyd_exchange_free(exchange);
    mikeyd_client_close(client);
}

/* Every CSB ID of a released key must stand in a record that released keys. */
static size_t count_unrecorded(const struct lab *lab, const struct released *released)
{
    FILE *log = fopen(lab->audit, "r");
    char line[4096];
    uint32_t *seen = calloc(4 * (size_t)RELEASED_MAX, sizeof *seen);
    size_t seen_count = 0;
    cr_assert(log != NULL && seen != NULL);
    while (fgets(line, sizeof line, log) != NULL) {
        const char *csb = strstr(line, "\"csb_id\":\""), *keys = strstr(line, "\"keys\":");
        if (csb != NULL && keys != NULL && strtoul(keys + 7, NULL, 10) > 0 &&
            seen_count < 4 * (size_t)RELEASED_MAX)
            seen[seen_count++] = (uint32_t)strtoul(csb + 10, NULL, 16);
    }
    (void)fclose(log);
    size_t missing = 0;
    for (size_t i = 0; i < released->count; i++) {
        size_t k = 0;
        while (k < seen_count && seen[k] != released->csb_id[i])
            k++;
        missing += k == seen_count;
    }
    free(seen);
    return missing;
}

Test(kill, at_200_random_instants_loses_no_record_and_accepts_no_replay, .timeout = 280)
{
    static struct released released = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct lab lab;
    struct message accepted = {.len = 0};
    unsigned calls = 0, seed = (unsigned)time(NULL);
    printf("seed %u\n", seed);
    lab_make(&lab, NULL);
    lab_sign_audit(&lab, "");
    lab_key_must(&lab, (const char *const[]){"generate", "--kind", "audit", "--name", "lab", NULL});
    for (int round = 0; round < ROUNDS; round++) {
        struct loader loaders[LOADERS];
        pthread_t threads[LOADERS];
        lab_start(&lab);
        expect_replay(&lab, &accepted);
        for (int i = 0; i < LOADERS; i++) {
            loaders[i] = (struct loader){.lab = &lab, .released = &released};
            cr_assert_eq(pthread_create(&threads[i], NULL, load, &loaders[i]), 0);
        }
        pause_us(rand_r(&seed) % 60000);
        int status = lab_stop(&lab, SIGKILL);
        cr_assert(WIFSIGNALED(status));
        for (int i = 0; i < LOADERS; i++) {
            cr_assert_eq(pthread_join(threads[i], NULL), 0);
            calls += loaders[i].calls;
            if (loaders[i].accepted.len > 0)
                accepted = loaders[i].accepted;
        }
    }
    lab_start(&lab);
    expect_replay(&lab, &accepted);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    cr_expect_gt(calls, ROUNDS, "only %u calls were made: not under load", calls);
    free(lab_verdict(&lab));
    cr_expect_eq(count_unrecorded(&lab, &released), 0);
    printf("%u calls, %zu releases of keys, %d kills\n", calls, released.count, ROUNDS);
    lab_remove(&lab);
}

Test(kill, the_count_of_unrecorded_releases_notices_one, .timeout = 60)
{
    static struct released released = {
        .lock = PTHREAD_MUTEX_INITIALIZER, .csb_id = {1}, .count = 1};
    struct lab lab;
    lab_make(&lab, NULL);
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    cr_expect_eq(count_unrecorded(&lab, &released), 1);
    lab_remove(&lab);
}
