/*
 * Several threads on one token, through recoveries and rescans. A plain program, because the thread
 * sanitizer does not get along with Criterion's sandbox.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include "base/clock.h"
#include "base/secret.h"
#include "pkcs11/token/internal.h"
#include "support/token_fixture.h"

#define THREADS 4
#define KEYS 4
#ifdef MIKEYD_SANITIZED
#define ROUNDS 150u
#else
#define ROUNDS 1000u
#endif

static struct token_fixture fixture;
static struct token_config config;
static struct token *token;
static char plan_path[128];
static uint8_t psk[KEYS][32];
static uint8_t expected[KEYS][HMAC_TAG_MAX];
static const uint8_t message[] = "what every thread signs";
static unsigned failures;

static void check(bool holds, const char *what, const char *why)
{
    if (holds)
        return;
    failures++;
    (void)fprintf(stderr, "FAILED: %s: %s\n", what, why);
}

/* ---- the stage */

static void plan(const char *text)
{
    char fresh[160];
    (void)snprintf(fresh, sizeof fresh, "%s.new", plan_path);
    FILE *file = fopen(fresh, "we");
    bool written = file != NULL && fputs(text, file) >= 0;
    written = file != NULL && fclose(file) == 0 && written;
    check(written && rename(fresh, plan_path) == 0, "plan", "cannot be written");
}

static void make_keys(void)
{
    for (uint8_t i = 0; i < KEYS; i++) {
        char name[8];
        size_t len = 0;
        memset(psk[i], 0x41 + i, sizeof psk[i]);
        (void)snprintf(name, sizeof name, "k%u", i);
        check(token_fixture_psk(&fixture, name, psk[i], sizeof psk[i]), "key", name);
        check(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, psk[i], 32, message, sizeof message,
                        expected[i], HMAC_TAG_MAX, &len) != NULL,
              "host HMAC", name);
    }
}

static void stage(bool nss)
{
    check(nss ? token_fixture_nss(&fixture) : token_fixture_softhsm(&fixture, "unit"), "token",
          "cannot be made");
    (void)snprintf(plan_path, sizeof plan_path, "%s/plan", fixture.dir);
    plan("# nothing\n");
    check(setenv("MIKEYD_FAULT_PLAN", plan_path, 1) == 0, "environment", plan_path);
    check(setenv("MIKEYD_FAULT_REAL", fixture.module, 1) == 0, "environment", fixture.module);
    make_keys();
    config = token_fixture_config(&fixture);
    config.call_timeout_ms = 5000;
}

/* ---- threads */

struct worker {
    pthread_t thread;
    unsigned index;
    unsigned right, wrong, failed;
    struct error err;
};

static const struct token_key *find(unsigned index)
{
    const struct token_key *key = NULL;
    char name[8];
    (void)snprintf(name, sizeof name, "k%u", index);
    return token_key_find(token, TOKEN_PSK, name, 1, &key, NULL) == MIKEYD_OK ? key : NULL;
}

static void one_round(struct worker *worker, struct token_session *session,
                      const struct token_key *const key[KEYS])
{
    uint8_t tags[KEYS][HMAC_TAG_MAX];
    struct hmac_job jobs[KEYS];
    for (unsigned i = 0; i < KEYS; i++)
        jobs[i] = (struct hmac_job){.key = &key[i]->block[0],
                                    .hash = HMAC_SHA256,
                                    .data = {message, NULL},
                                    .len = {sizeof message, 0},
                                    .tag = tags[i]};
    if (token_hmac_batch(session, jobs, KEYS, &worker->err) != MIKEYD_OK) {
        worker->failed++;
        return;
    }
    for (unsigned i = 0; i < KEYS; i++) {
        if (secret_equal(tags[i], expected[i], HMAC_TAG_MAX))
            worker->right++;
        else
            worker->wrong++;
    }
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct token_session *session = NULL;
    const struct token_key *key[KEYS];
    if (token_session_acquire(token, 1000, &session, &worker->err) != MIKEYD_OK)
        return NULL;
    for (unsigned i = 0; i < KEYS; i++)
        key[i] = find(i);
    (void)token_key_warm(session, key[worker->index], &worker->err);
    for (unsigned round = 0; round < ROUNDS; round++)
        one_round(worker, session, key);
    token_session_release(session);
    return NULL;
}

static atomic_bool timer_stops;

/* What the daemon does beside its workers: the deadline, and now and then a rescan and a check. */
static void *timer(void *argument)
{
    (void)argument;
    struct error err = {0};
    for (unsigned tick = 0; !atomic_load(&timer_stops); tick++) {
        const struct timespec pause = {.tv_nsec = 1000000};
        struct token_facts facts;
        (void)nanosleep(&pause, NULL);
        (void)token_overdue(token, clock_monotonic_ms());
        token_get_facts(token, &facts);
        if (tick % 20 == 5)
            check(token_rescan(token, &err) == MIKEYD_OK, "rescan", err.text);
        if (tick % 20 == 15)
            check(token_check_health(token, &err) == MIKEYD_OK, "health", err.text);
    }
    return NULL;
}

static void expect_right(const char *story, const struct worker *worker)
{
    char counts[320];
    (void)snprintf(counts, sizeof counts, "%u right, %u of another key, %u failed: %s",
                   worker->right, worker->wrong, worker->failed, worker->err.text);
    check(worker->wrong == 0 && worker->failed == 0 && worker->right == ROUNDS * KEYS, story,
          counts);
}

static void run_threads(const char *story, const char *faults)
{
    struct worker workers[THREADS] = {0};
    struct error err = {0};
    pthread_t timer_thread;
    if (token_open(&config, &token, &err) != MIKEYD_OK) {
        check(false, story, err.text);
        return;
    }
    plan(faults);
    atomic_store(&timer_stops, false);
    check(pthread_create(&timer_thread, NULL, timer, NULL) == 0, story, "no thread");
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].index = i;
        check(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0, story, "no thread");
    }
    for (unsigned i = 0; i < THREADS; i++)
        (void)pthread_join(workers[i].thread, NULL);
    atomic_store(&timer_stops, true);
    (void)pthread_join(timer_thread, NULL);
    for (unsigned i = 0; i < THREADS; i++)
        expect_right(story, &workers[i]);
    (void)fprintf(stderr, "%s: %u exchanges, generation %lu\n", story, THREADS * ROUNDS,
                  (unsigned long)token_generation(token));
}

/*
 * No C_Finalize behind our back: that frees the module's memory under the other threads, and
 * modules crash. Our own comes after all calls have ended, which is what is tried here. Two faults
 * at the same time are one recovery. They are so far apart that the tests of a recovery do not meet
 * the next one, also when its thread has to wait for the processor.
 */
static void recoveries(const char *story)
{
    config.module = FAULT_MODULE;
    plan("any 1 shuffle\n");
    const unsigned part = THREADS * ROUNDS * KEYS / 16;
    char faults[160];
    (void)snprintf(faults, sizeof faults,
                   "any 1 shuffle\nC_Sign %u rv 0x30\nC_SignInit %u rv 0x32\n"
                   "C_Sign %u rv 0x30\nC_SignInit %u rv 0xb3\n",
                   part, 4 * part, 7 * part, 10 * part);
    run_threads(story, faults);
    check(token != NULL && token_generation(token) > 1, story, "no recovery took place");
}

static void close_token(void)
{
    token_close(token);
    token = NULL;
}

static void run_on(bool nss)
{
    stage(nss);
    run_threads(nss ? "nss: side by side" : "softhsm: side by side", "# nothing\n");
    close_token();
    recoveries(nss ? "nss: recoveries under load" : "softhsm: recoveries under load");
    close_token();
    token_fixture_remove(&fixture);
}

int main(void)
{
    struct error err = {0};
    check(secret_heap_init(1 << 17, &err) == MIKEYD_OK, "secure heap", err.text);
    run_on(false);
    run_on(true);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
