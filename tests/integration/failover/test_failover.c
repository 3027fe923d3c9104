/*
 * Two tokens with the same keys, each behind a fault module with a plan of its own, and calls all the
 * while. Whatever becomes of one of them, no request fails, both ends have one key, and the member is
 * back by itself.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "lab.h"

#define CALLERS 3
#define NOTHING "# nothing\n"
/* Back within 2 s of health; the rest is for a busy machine and the module's own start. */
#define BACK_MS 10000

static struct lab lab;
static pthread_t callers[CALLERS];
static atomic_bool calling;
static atomic_uint done, failed, unequal;
static char first_failure[300];

/* ---- two tokens */

static void plan(unsigned token, const char *text)
{
    char path[LAB_PATH + 32], fresh[LAB_PATH + 32];
    (void)snprintf(path, sizeof path, "%s/plan-%u", lab.token.dir, token);
    (void)snprintf(fresh, sizeof fresh, "%s/fresh-%u", lab.token.dir, token);
    lab_write_file(fresh, text);
    cr_assert_eq(rename(fresh, path), 0);
}

/* A copy in a folder of its own: SoftHSM does not bear two processes that open one at the same
 * moment. */
static void copy_token(void)
{
    char command[640];
    (void)snprintf(command, sizeof command,
                   "mkdir '%1$s/copy' && cp -a '%1$s/tokens' '%1$s/copy/' && "
                   "sed 's|%1$s|%1$s/copy|' '%1$s/softhsm2.conf' > '%1$s/copy/softhsm2.conf'",
                   lab.token.dir);
    cr_assert_eq(system(command), 0, "%s", command);
}

static char *entry_of(unsigned token, const char *conf)
{
    char *entry = NULL;
    cr_assert_gt(asprintf(&entry,
                          "    call_timeout: 2s\n"
                          "    environment: {SOFTHSM2_CONF: \"%s/%s\", MIKEYD_FAULT_REAL: \"%s\", "
                          "MIKEYD_FAULT_PLAN: \"%s/plan-%u\"}\n",
                          lab.token.dir, conf, lab.token.module, lab.token.dir, token),
                 0);
    return entry;
}

static void write_config_of_two(void)
{
    char *one = entry_of(0, "softhsm2.conf"), *other = entry_of(1, "copy/softhsm2.conf"), *both;
    cr_assert_gt(
        asprintf(&both, "%s  - module: %s\n    uri: \"%s\"\n    pin_file: %s\n    sessions: 3\n%s",
                 one, FAULT_MODULE, lab.token.uri, lab.token.pin_file, other),
        0);
    lab_write_config(&lab, &(struct lab_config){.module = FAULT_MODULE, .token_extra = both});
    free(one);
    free(other);
    free(both);
}

static bool is_up(mikeyd_client *client, unsigned token)
{
    char *text = NULL;
    cr_assert_eq(mikeyd_client_status(client, false, &text), MIKEYD_OK);
    json_t *status = json_loads(text, 0, NULL);
    const json_t *member = json_array_get(json_object_get(status, "tokens"), token);
    const bool up = json_is_true(json_object_get(member, "up"));
    json_decref(status);
    free(text);
    return up;
}

/* Milliseconds until the token is as wanted. */
static int64_t wait_until(unsigned token, bool up)
{
    mikeyd_client *client = lab_client(&lab);
    const int64_t begun = clock_monotonic_ms();
    while (is_up(client, token) != up) {
        cr_assert_lt(clock_monotonic_ms() - begun, BACK_MS, "token %u is not %s", token,
                     up ? "up" : "down");
        (void)usleep(20000);
    }
    mikeyd_client_close(client);
    return clock_monotonic_ms() - begun;
}

static void make_lab(void)
{
    lab_make_on(&lab, TOKEN_FIXTURE_SOFTHSM, NULL);
    copy_token();
    plan(0, NOTHING);
    plan(1, NOTHING);
    write_config_of_two();
    lab_start(&lab);
    (void)wait_until(0, true);
    (void)wait_until(1, true);
}

static void remove_lab(void)
{
    plan(0, NOTHING);
    plan(1, NOTHING);
    lab_remove(&lab);
}
TestSuite(failover, .init = make_lab, .fini = remove_lab, .timeout = 120);

/* ---- calls */

static bool same_key(const mikeyd_exchange *a, const mikeyd_exchange *b)
{
    const struct mikeyd_srtp_key *theirs, *ours;
    return mikeyd_exchange_keys(a, &theirs) == 1 && mikeyd_exchange_keys(b, &ours) == 1 &&
           memcmp(theirs->key, ours->key, sizeof ours->key) == 0 &&
           memcmp(theirs->salt, ours->salt, sizeof ours->salt) == 0;
}

static void call(mikeyd_client *client)
{
    mikeyd_exchange *initiated = NULL, *responded = NULL, *confirmed = NULL;
    size_t message_len, reply_len, ticket_len;
    enum mikeyd_status status = lab_initiate(client, &initiated);
    if (status == MIKEYD_OK) {
        const uint8_t *message = mikeyd_exchange_message(initiated, &message_len);
        const struct mikeyd_answer answer = {
            .as = LAB_B, .message = message, .message_len = message_len};
        status = mikeyd_respond(client, &answer, &responded);
    }
    if (status == MIKEYD_OK) {
        const uint8_t *reply = mikeyd_exchange_message(responded, &reply_len);
        const uint8_t *ticket = mikeyd_exchange_ticket(initiated, &ticket_len);
        status = mikeyd_confirm(client, ticket, ticket_len, reply, reply_len, &confirmed);
    }
    if (status != MIKEYD_OK && atomic_fetch_add(&failed, 1) == 0)
        (void)snprintf(first_failure, sizeof first_failure, "%s", mikeyd_client_error(client));
    if (status == MIKEYD_OK && !same_key(responded, confirmed))
        (void)atomic_fetch_add(&unequal, 1);
    (void)atomic_fetch_add(&done, 1);
    mikeyd_exchange_free(initiated);
    mikeyd_exchange_free(responded);
    mikeyd_exchange_free(confirmed);
}

static void *caller(void *unused)
{
    mikeyd_client *client = lab_client(&lab);
    while (atomic_load(&calling))
        call(client);
    mikeyd_client_close(client);
    return unused;
}

static void wait_for_calls(unsigned more)
{
    const unsigned until = atomic_load(&done) + more;
    const int64_t begun = clock_monotonic_ms();
    while (atomic_load(&done) < until) {
        cr_assert_lt(clock_monotonic_ms() - begun, 30000, "the calls have come to a halt");
        (void)usleep(5000);
    }
}

static void begin_calls(void)
{
    atomic_store(&calling, true);
    for (size_t i = 0; i < CALLERS; i++)
        cr_assert_eq(pthread_create(&callers[i], NULL, caller, NULL), 0);
    wait_for_calls(20);
}

static void end_calls(void)
{
    wait_for_calls(20);
    atomic_store(&calling, false);
    for (size_t i = 0; i < CALLERS; i++)
        (void)pthread_join(callers[i], NULL);
    cr_assert_eq(atomic_load(&failed), 0, "%u of %u calls: %s", atomic_load(&failed),
                 atomic_load(&done), first_failure);
    cr_assert_eq(atomic_load(&unequal), 0);
}

static void assert_failure_is_survived(const char *fault)
{
    begin_calls();
    plan(0, fault);
    (void)wait_until(0, false);
    wait_for_calls(20);
    plan(0, NOTHING);
    (void)wait_until(0, true);
    end_calls();
}

/* ---- what becomes of a token */

Test(failover, a_keyholder_that_is_killed)
{
    begin_calls();
    for (unsigned token = 0; token < 2; token++) {
        const pid_t killed = lab_keyholder(&lab, token);
        cr_assert_gt(killed, 0);
        cr_assert_eq(kill(killed, SIGKILL), 0);
        wait_for_calls(20);
        const int64_t begun = clock_monotonic_ms();
        while (lab_keyholder(&lab, token) == 0 || lab_keyholder(&lab, token) == killed) {
            cr_assert_lt(clock_monotonic_ms() - begun, BACK_MS);
            (void)usleep(20000);
        }
        (void)wait_until(token, true);
    }
    end_calls();
}

Test(failover, a_keyholder_that_is_stopped)
{
    begin_calls();
    const pid_t stopped = lab_keyholder(&lab, 0);
    cr_assert_eq(kill(stopped, SIGSTOP), 0);
    (void)wait_until(0, false);
    wait_for_calls(20);
    (void)kill(stopped, SIGCONT); /* unless it was replaced */
    (void)wait_until(0, true);
    end_calls();
}

Test(failover, a_module_that_hangs_in_every_call)
{
    assert_failure_is_survived("* 1+ hang\n");
}

Test(failover, a_token_that_fails_every_call)
{
    assert_failure_is_survived("* 1+ rv 0x30\n");
}

Test(failover, a_module_that_dies_in_every_signature)
{
    assert_failure_is_survived("C_Sign 1+ die\n");
}

Test(failover, a_module_that_says_a_wrong_length)
{
    assert_failure_is_survived("C_Sign 1+ short\n");
}

/* Replaced by a successor that is logged in already: the member is never down. */
Test(failover, a_module_that_leaks)
{
    begin_calls();
    const pid_t leaking = lab_keyholder(&lab, 0);
    plan(0, "C_Sign 1+ leak 262144\n");
    mikeyd_client *client = lab_client(&lab);
    const int64_t begun = clock_monotonic_ms();
    while (kill(leaking, 0) == 0) {
        cr_assert_lt(clock_monotonic_ms() - begun, 6 * BACK_MS, "it was not replaced");
        cr_assert(is_up(client, 0));
        (void)usleep(20000);
    }
    plan(0, NOTHING);
    cr_assert(is_up(client, 0));
    mikeyd_client_close(client);
    end_calls();
}
