/* Every use of a key stands in the log, however the request ended: the log of a daemon that is told the
 * truth by its keyholder balances to the last use. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lab.h"

#define CALLS 5
#define FORGED 40

static struct lab lab;

static void enter(void)
{
    lab_make(&lab, NULL);
    lab_sign_audit(&lab, ", rotate_bytes: 100000");
    lab_key_must(&lab, (const char *const[]){"generate", "--kind", "audit", "--name", "lab", NULL});
    lab_start(&lab);
}

static void leave(void)
{
    lab_remove(&lab);
}
TestSuite(accounting, .init = enter, .fini = leave, .timeout = 120);

struct bytes {
    uint8_t data[2048];
    size_t len;
};

static struct bytes copy(const uint8_t *data, size_t len)
{
    struct bytes out = {.len = len};
    cr_assert_leq(len, sizeof out.data);
    memcpy(out.data, data, len);
    return out;
}

static enum mikeyd_status respond(mikeyd_client *client, const struct bytes *message,
                                  mikeyd_exchange **out)
{
    const struct mikeyd_answer answer = {
        .as = LAB_B, .message = message->data, .message_len = message->len};
    return mikeyd_respond(client, &answer, out);
}

/* One initiate; many messages with a MAC that is none, so that most of their records are held back;
 * and one that is answered. */
static void send_forged(mikeyd_client *client)
{
    mikeyd_exchange *initiated = NULL, *responded = NULL;
    size_t len;
    cr_assert_eq(lab_initiate(client, &initiated), MIKEYD_OK, "%s", mikeyd_client_error(client));
    const uint8_t *message = mikeyd_exchange_message(initiated, &len);
    struct bytes forged = copy(message, len);
    forged.data[forged.len - 1] ^= 1;
    for (int i = 0; i < FORGED; i++) {
        cr_assert_eq(respond(client, &forged, &responded), MIKEYD_AUTH_FAILED);
        mikeyd_exchange_free(responded);
    }
    mikeyd_exchange_free(initiated);
}

/* One initiate, one respond; and replies whose V is wrong. */
static void guess_replies(mikeyd_client *client)
{
    mikeyd_exchange *initiated = NULL, *responded = NULL, *confirmed = NULL;
    size_t len, ticket_len;
    cr_assert_eq(lab_initiate(client, &initiated), MIKEYD_OK, "%s", mikeyd_client_error(client));
    const uint8_t *data = mikeyd_exchange_message(initiated, &len);
    const struct bytes message = copy(data, len);
    cr_assert_eq(respond(client, &message, &responded), MIKEYD_OK, "%s",
                 mikeyd_client_error(client));
    data = mikeyd_exchange_message(responded, &len);
    struct bytes reply = copy(data, len);
    reply.data[reply.len - 1] ^= 1;
    const uint8_t *ticket = mikeyd_exchange_ticket(initiated, &ticket_len);
    for (int i = 0; i < FORGED; i++) {
        cr_assert_eq(mikeyd_confirm(client, ticket, ticket_len, reply.data, reply.len, &confirmed),
                     MIKEYD_AUTH_FAILED);
        mikeyd_exchange_free(confirmed);
    }
    mikeyd_exchange_free(initiated);
    mikeyd_exchange_free(responded);
}

/* Each use is recorded, and counted. A keyholder that grew and was replaced meanwhile has not signed
 * what it did last, and was perhaps asked once more. */
static void expect_uses(json_int_t expected)
{
    char *verdict = lab_verdict(&lab);
    json_t *object = json_loads(verdict, 0, NULL);
    const json_t *uses = json_object_get(object, "psk_uses");
    const json_int_t recorded = json_integer_value(json_object_get(uses, "recorded"));
    const json_int_t counted = json_integer_value(json_object_get(uses, "counted"));
    cr_assert_geq(recorded, expected, "%s", verdict);
    if (json_integer_value(json_object_get(uses, "keyholders")) == 1) {
        cr_assert_eq(recorded, expected, "%s", verdict);
        cr_assert_eq(counted, expected, "%s", verdict);
    }
    json_decref(object);
    free(verdict);
}

Test(accounting, of_calls_forged_messages_and_guesses_the_log_has_each_use)
{
    mikeyd_client *client = lab_client(&lab);
    for (int i = 0; i < CALLS; i++)
        lab_exchange(client);
    send_forged(client);
    guess_replies(client);
    mikeyd_client_close(client);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    cr_assert_geq(lab_count_in_file(lab.audit, "\"event\":\"suppressed\""), 1);
    cr_assert_eq(lab_count_in_file(lab.audit, "\"workers\":3"), 1);
    expect_uses(3 * CALLS + (1 + FORGED) + (2 + FORGED));
}

/* The log is changed by somebody else, and something that is no file stands in its place. */
static void spoil_log(const char *away)
{
    cr_assert_eq(rename(lab.audit, away), 0);
    cr_assert_eq(mkdir(lab.audit, 0700), 0);
    FILE *log = fopen(away, "ae");
    cr_assert_not_null(log);
    cr_assert_geq(fputc('x', log), 0);
    cr_assert_eq(fclose(log), 0);
}

/* What an exchange used whose record the log does not take is in a later record. */
Test(accounting, what_was_used_while_the_log_was_down_is_recorded_afterwards)
{
    char away[LAB_PATH + 8];
    mikeyd_exchange *exchange = NULL;
    json_int_t uses = 3;
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    (void)snprintf(away, sizeof away, "%s.away", lab.audit);
    spoil_log(away);
    for (int i = 0; i < 10; i++, uses++)
        cr_assert_eq(lab_initiate(client, &exchange), MIKEYD_AUDIT_DOWN, "%s",
                     mikeyd_client_error(client));
    cr_assert_eq(rmdir(lab.audit), 0);
    cr_assert_eq(rename(away, lab.audit), 0);
    enum mikeyd_status status = MIKEYD_AUDIT_DOWN;
    for (int i = 0; i < 300 && status == MIKEYD_AUDIT_DOWN; i++, uses++) {
        (void)usleep(100000);
        status = lab_initiate(client, &exchange);
    }
    cr_assert_eq(status, MIKEYD_OK, "%s", mikeyd_client_error(client));
    mikeyd_exchange_free(exchange);
    mikeyd_client_close(client);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    expect_uses(uses);
}

/* Each start has keyholders of its own, whose counts begin anew. */
Test(accounting, goes_on_over_restarts_and_kills)
{
    for (int i = 0; i < 3; i++) {
        mikeyd_client *client = lab_client(&lab);
        lab_exchange(client);
        mikeyd_client_close(client);
        if (i == 1)
            lab_kill(&lab);
        else
            cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
        if (i < 2)
            lab_start(&lab);
    }
    free(lab_verdict(&lab));
    cr_assert_geq(lab_count_in_file(lab.audit, "\"event\":\"login\""), 3);
    cr_assert_geq(lab_count_in_file(lab.audit, "\"holder\":\""), 5);
}

/* ---- load */

#define CALLERS 3
#define ROUNDS 100

static atomic_uint failures;

static void *call_often(void *unused)
{
    mikeyd_client *client = lab_client(&lab);
    for (int i = 0; i < ROUNDS; i++) {
        mikeyd_exchange *initiated = NULL, *responded = NULL;
        enum mikeyd_status status = lab_initiate(client, &initiated);
        if (status == MIKEYD_OK) {
            size_t len;
            const uint8_t *data = mikeyd_exchange_message(initiated, &len);
            const struct bytes message = copy(data, len);
            status = respond(client, &message, &responded);
        }
        (void)atomic_fetch_add(&failures, status != MIKEYD_OK);
        mikeyd_exchange_free(initiated);
        mikeyd_exchange_free(responded);
    }
    mikeyd_client_close(client);
    return unused;
}

/* Checkpoints are signed all the while, and the log goes on in new files. */
Test(accounting, balances_under_load_and_over_rotation)
{
    pthread_t callers[CALLERS];
    for (size_t i = 0; i < CALLERS; i++)
        cr_assert_eq(pthread_create(&callers[i], NULL, call_often, NULL), 0);
    for (size_t i = 0; i < CALLERS; i++)
        (void)pthread_join(callers[i], NULL);
    cr_assert_eq(atomic_load(&failures), 0);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    cr_assert_geq(lab_count_in_file(lab.audit, "\"event\":\"rotate\""), 1);
    expect_uses(2 * CALLERS * ROUNDS);
}
