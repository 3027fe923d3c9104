/*
 * kill -9 of each kind of process at random instants under load: the monitor, with which all die, the
 * front, with which the daemon ends, and the keyholder, which is started anew. Afterwards the audit
 * log verifies, chain, signatures and uses of keys; every key that a client got has its record; no
 * message that was accepted before a kill is accepted again; and an offer made before it can be
 * answered and confirmed after it. MIKEYD_KILLS says how many of each.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "lab.h"

#define KILLS_USUAL 20
#define LOADERS 3
#define RELEASED_MAX 400000
#define PATIENCE_MS 30000

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
    atomic_uint calls;
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
            (void)atomic_fetch_add(&loader->calls, 1);
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

static int compare(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Every CSB ID of a released key must stand in a record that released keys. */
static size_t count_unrecorded(const struct lab *lab, const struct released *released)
{
    FILE *log = fopen(lab->audit, "r");
    char line[4096];
    const size_t room = 4 * (size_t)RELEASED_MAX;
    uint32_t *seen = calloc(room, sizeof *seen);
    size_t seen_count = 0, missing = 0;
    cr_assert(log != NULL && seen != NULL);
    while (fgets(line, sizeof line, log) != NULL) {
        const char *csb = strstr(line, "\"csb_id\":\""), *keys = strstr(line, "\"keys\":");
        if (csb != NULL && keys != NULL && strtoul(keys + 7, NULL, 10) > 0 && seen_count < room)
            seen[seen_count++] = (uint32_t)strtoul(csb + 10, NULL, 16);
    }
    (void)fclose(log);
    qsort(seen, seen_count, sizeof *seen, compare);
    for (size_t i = 0; i < released->count; i++)
        missing += bsearch(&released->csb_id[i], seen, seen_count, sizeof *seen, compare) == NULL;
    free(seen);
    return missing;
}

/* ---- an offer that outlives the kill */

static mikeyd_exchange *make_offer(const struct lab *lab)
{
    mikeyd_client *client = lab_client(lab);
    mikeyd_exchange *offered = NULL;
    const int64_t until = clock_monotonic_ms() + PATIENCE_MS;
    while (lab_initiate(client, &offered) != MIKEYD_OK) {
        cr_assert_lt(clock_monotonic_ms(), until, "not served: %s", mikeyd_client_error(client));
        pause_us(10000);
    }
    mikeyd_client_close(client);
    return offered;
}

static void answer_and_confirm(const struct lab *lab, mikeyd_exchange *offered)
{
    mikeyd_client *client = lab_client(lab);
    mikeyd_exchange *answered = NULL, *confirmed = NULL;
    size_t message_len, reply_len, ticket_len;
    const uint8_t *message = mikeyd_exchange_message(offered, &message_len);
    const struct mikeyd_answer answer = {
        .as = LAB_B, .message = message, .message_len = message_len};
    cr_assert_eq(mikeyd_respond(client, &answer, &answered), MIKEYD_OK, "%s",
                 mikeyd_client_error(client));
    const uint8_t *reply = mikeyd_exchange_message(answered, &reply_len);
    const uint8_t *ticket = mikeyd_exchange_ticket(offered, &ticket_len);
    cr_expect_eq(mikeyd_confirm(client, ticket, ticket_len, reply, reply_len, &confirmed),
                 MIKEYD_OK, "a ticket of before the kill: %s", mikeyd_client_error(client));
    mikeyd_exchange_free(offered);
    mikeyd_exchange_free(answered);
    mikeyd_exchange_free(confirmed);
    mikeyd_client_close(client);
}

/* ---- who is killed */

static void kill_monitor(struct lab *lab)
{
    cr_assert(WIFSIGNALED(lab_stop(lab, SIGKILL)));
}

/* The monitor ends with it, and lets the keyholder go. */
static void kill_front(struct lab *lab)
{
    const pid_t front = lab_front(lab);
    cr_assert_gt(front, 0);
    cr_assert_eq(kill(front, SIGKILL), 0);
    cr_assert_eq(waitpid(lab->daemon, NULL, 0), lab->daemon);
    lab->daemon = 0;
}

/* Another one takes its place. */
static void kill_keyholder(struct lab *lab)
{
    const pid_t killed = lab_keyholder(lab, 0);
    const int64_t until = clock_monotonic_ms() + PATIENCE_MS;
    cr_assert_gt(killed, 0);
    cr_assert_eq(kill(killed, SIGKILL), 0);
    pid_t now = 0;
    while ((now = lab_keyholder(lab, 0)) == 0 || now == killed) {
        cr_assert_lt(clock_monotonic_ms(), until, "no other keyholder");
        pause_us(5000);
    }
}

static unsigned kills_wanted(void)
{
    const char *wanted = getenv("MIKEYD_KILLS");
    const unsigned long count = wanted == NULL ? KILLS_USUAL : strtoul(wanted, NULL, 10);
    cr_assert(count >= 1 && count <= 100000, "MIKEYD_KILLS");
    return (unsigned)count;
}

/* Mostly once calls are made; sometimes at the very beginning. */
static void wait_for_the_instant(struct loader *loaders, unsigned round, unsigned *seed)
{
    const int64_t until = clock_monotonic_ms() + PATIENCE_MS;
    while (round % 4 != 0 && atomic_load(&loaders[0].calls) == 0) {
        cr_assert_lt(clock_monotonic_ms(), until, "no call is made");
        pause_us(1000);
    }
    pause_us(rand_r(seed) % 60000);
}

static void run(const char *whom, void (*kill_one)(struct lab *))
{
    static struct released released = {.lock = PTHREAD_MUTEX_INITIALIZER};
    static struct loader loaders[LOADERS];
    struct message accepted[LOADERS] = {{.len = 0}};
    const unsigned kills = kills_wanted();
    struct lab lab;
    unsigned calls = 0, seed = (unsigned)time(NULL);
    printf("seed %u\n", seed);
    lab_make(&lab, NULL);
    lab_sign_audit(&lab, "");
    lab_key_must(&lab, (const char *const[]){"generate", "--kind", "audit", "--name", "lab", NULL});
    lab_start(&lab);
    for (unsigned round = 0; round < kills; round++) {
        pthread_t threads[LOADERS];
        mikeyd_exchange *offered = make_offer(&lab);
        for (int i = 0; i < LOADERS; i++) {
            loaders[i] = (struct loader){.lab = &lab, .released = &released};
            cr_assert_eq(pthread_create(&threads[i], NULL, load, &loaders[i]), 0);
        }
        wait_for_the_instant(loaders, round, &seed);
        kill_one(&lab);
        for (int i = 0; i < LOADERS; i++) {
            cr_assert_eq(pthread_join(threads[i], NULL), 0);
            calls += atomic_load(&loaders[i].calls);
            if (loaders[i].accepted.len > 0)
                accepted[i] = loaders[i].accepted;
        }
        if (lab.daemon == 0)
            lab_start(&lab);
        mikeyd_exchange_free(make_offer(&lab)); /* served again */
        for (int i = 0; i < LOADERS; i++)
            expect_replay(&lab, &accepted[i]);
        answer_and_confirm(&lab, offered);
    }
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    cr_expect_gt(calls, 0, "not under load");
    free(lab_verdict(&lab));
    cr_expect_eq(count_unrecorded(&lab, &released), 0);
    printf("%s: %u kills, %u calls, %zu releases of keys\n", whom, kills, calls, released.count);
    lab_remove(&lab);
}

Test(kill, of_the_monitor_loses_no_record_and_no_ticket_and_accepts_no_replay, .timeout = 7200)
{
    run("monitor", kill_monitor);
}

Test(kill, of_the_front_loses_no_record_and_no_ticket_and_accepts_no_replay, .timeout = 7200)
{
    run("front", kill_front);
}

Test(kill, of_the_keyholder_loses_no_record_and_no_ticket_and_accepts_no_replay, .timeout = 7200)
{
    run("keyholder", kill_keyholder);
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
