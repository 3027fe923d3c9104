/* Several threads on one token, through recoveries; and the memory of a token that leaks. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <openssl/evp.h>

#include "base/secret.h"
#include "pkcs11/internal.h"
#include "support/token_fixture.h"

#define THREADS 4
#define KEYS 4
#ifdef MIKEYD_SANITIZED
#define ROUNDS 150
#else
#define ROUNDS 1000
#endif

static struct token_fixture fixture;
static struct token_config config;
static struct token *token;
static char plan_path[128];
static uint8_t psk[KEYS][32];
static uint8_t expected[KEYS][HMAC_TAG_MAX];
static const uint8_t message[] = "what every thread signs";

static void plan(const char *text)
{
    char fresh[160];
    (void)snprintf(fresh, sizeof fresh, "%s.new", plan_path);
    FILE *file = fopen(fresh, "we");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(rename(fresh, plan_path), 0);
}

static void stage(void)
{
    (void)snprintf(plan_path, sizeof plan_path, "%s/plan", fixture.dir);
    plan("# nothing\n");
    cr_assert_eq(setenv("MIKEYD_FAULT_PLAN", plan_path, 1), 0);
    cr_assert_eq(setenv("MIKEYD_FAULT_REAL", fixture.module, 1), 0);
    for (uint8_t i = 0; i < KEYS; i++) {
        char name[8];
        size_t len = 0;
        memset(psk[i], 0x41 + i, sizeof psk[i]);
        (void)snprintf(name, sizeof name, "k%u", i);
        cr_assert(token_fixture_psk(&fixture, name, psk[i], sizeof psk[i]));
        cr_assert_not_null(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, psk[i], 32, message,
                                     sizeof message, expected[i], HMAC_TAG_MAX, &len));
    }
    config = token_fixture_config(&fixture);
    config.call_timeout_ms = 5000;
}

static void with_softhsm(void)
{
    cr_assert_eq(secret_heap_init(1 << 17, NULL), MIKEYD_OK);
    cr_assert(token_fixture_softhsm(&fixture, "unit"));
    stage();
}

static void with_nss(void)
{
    cr_assert_eq(secret_heap_init(1 << 17, NULL), MIKEYD_OK);
    cr_assert(token_fixture_nss(&fixture));
    stage();
}

static void teardown(void)
{
    token_close(token);
    token_fixture_remove(&fixture);
}

TestSuite(threads, .init = with_softhsm, .fini = teardown, .timeout = 120);
TestSuite(threads_nss, .init = with_nss, .fini = teardown, .timeout = 120);

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
        if (memcmp(tags[i], expected[i], HMAC_TAG_MAX) == 0)
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

static void run_threads(const char *faults_planned)
{
    struct worker workers[THREADS] = {0};
    struct error err = {0};
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    plan(faults_planned);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].index = i;
        cr_assert_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_join(workers[i].thread, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        cr_expect_eq(workers[i].wrong, 0, "%u tags of another key", workers[i].wrong);
        cr_expect_eq(workers[i].failed, 0, "%u failed: %s", workers[i].failed, workers[i].err.text);
        cr_expect_eq(workers[i].right, ROUNDS * KEYS);
    }
}

Test(threads, sessions_side_by_side)
{
    run_threads("# nothing\n");
}

Test(threads_nss, sessions_side_by_side)
{
    run_threads("# nothing\n");
}

/* No C_Finalize behind our back: that frees the module's memory under the other threads, and
 * modules crash. Our own comes after all calls have ended, which is what is tried here. */
static const char faults[] = "any 1 shuffle\nC_Sign 100 rv 0x30\nC_SignInit 300 rv 0x32\n"
                             "C_Sign 420 rv 0x30\nC_SignInit 540 rv 0xb3\n";

Test(threads, recoveries_under_load_sign_with_no_other_key)
{
    config.module = FAULT_MODULE;
    plan("any 1 shuffle\n");
    run_threads(faults);
    /* Two faults at the same time are one recovery. */
    cr_expect_geq(token_generation(token), 3);
}

Test(threads_nss, recoveries_under_load_sign_with_no_other_key)
{
    config.module = FAULT_MODULE;
    plan("any 1 shuffle\n");
    run_threads(faults);
    /* Two faults at the same time are one recovery. */
    cr_expect_geq(token_generation(token), 3);
}

Test(threads, rescans_under_load)
{
    struct worker workers[2] = {{.index = 0}, {.index = 1}};
    struct error err = {0};
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    for (unsigned i = 0; i < 20; i++)
        cr_expect_eq(token_rescan(token, &err), MIKEYD_OK, "%s", err.text);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(pthread_join(workers[i].thread, NULL), 0);
        cr_expect_eq(workers[i].right, ROUNDS * KEYS, "%s", workers[i].err.text);
    }
}

/* ---- memory */

static long resident_kib(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    cr_assert_not_null(file);
    cr_assert_eq(fscanf(file, "%ld %ld", &pages, &resident), 2);
    cr_assert_eq(fclose(file), 0);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void sign_in_clear(struct token_session *session, unsigned count)
{
    const uint8_t *const data[1] = {message};
    const size_t len[1] = {sizeof message};
    uint8_t tag[HMAC_TAG_MAX];
    struct error err = {0};
    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(token_hmac_bytes(session, HMAC_SHA256, psk[0], 32, data, len, 1, tag, &err),
                     MIKEYD_OK, "%s", err.text);
    cr_expect_arr_eq(tag, expected[0], HMAC_TAG_MAX);
}

Test(threads, leak_of_session_objects_is_bounded)
{
#ifdef MIKEYD_SANITIZED
    cr_skip_test("sizes mean nothing under a sanitizer");
#endif
    struct token_session *session = NULL;
    struct error err = {0};
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_session_acquire(token, 100, &session, &err), MIKEYD_OK);
    sign_in_clear(session, TOKEN_LEAK_OBJECTS_MAX + 100);
    cr_expect_eq(token_generation(token), 2);
    const long before = resident_kib();
    sign_in_clear(session, 2 * TOKEN_LEAK_OBJECTS_MAX);
    cr_expect_eq(token_generation(token), 4);
    cr_expect_lt(resident_kib() - before, 4096, "grew by %ld KiB", resident_kib() - before);
    token_session_release(session);
}
