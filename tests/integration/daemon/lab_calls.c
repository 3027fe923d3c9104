/* Calls by several clients at once, for tests in which none may fail. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/clock.h"
#include "lab.h"

#define CALLERS 3

static const struct lab *of;
static pthread_t callers[CALLERS];
static atomic_bool calling;
static atomic_uint done, failed, unequal;
static char first_failure[300];

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
    mikeyd_client *client = lab_client(of);
    while (atomic_load(&calling))
        call(client);
    mikeyd_client_close(client);
    return unused;
}

void lab_calls_wait(unsigned more)
{
    const unsigned until = atomic_load(&done) + more;
    const int64_t begun = clock_monotonic_ms();
    while (atomic_load(&done) < until) {
        cr_assert_lt(clock_monotonic_ms() - begun, 30000, "the calls have come to a halt");
        (void)usleep(5000);
    }
}

void lab_calls_begin(const struct lab *lab)
{
    of = lab;
    atomic_store(&calling, true);
    for (size_t i = 0; i < CALLERS; i++)
        cr_assert_eq(pthread_create(&callers[i], NULL, caller, NULL), 0);
    lab_calls_wait(20);
}

void lab_calls_end(void)
{
    lab_calls_wait(20);
    atomic_store(&calling, false);
    for (size_t i = 0; i < CALLERS; i++)
        (void)pthread_join(callers[i], NULL);
    cr_assert_eq(atomic_load(&failed), 0, "%u of %u calls: %s", atomic_load(&failed),
                 atomic_load(&done), first_failure);
    cr_assert_eq(atomic_load(&unequal), 0);
}
