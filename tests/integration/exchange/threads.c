/* Many workers at once, a cache too small for them, and a policy that changes meanwhile. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

#include "lab.h"

TestSuite(threads, .timeout = 120);

#define WORKERS 4
#define CALLS 40

struct thread_calls {
    struct lab *lab;
    struct exchange_worker *worker;
    pthread_t thread;
    bool b_to_a;
    size_t done;
    enum mikeyd_status failed;
    char text[240];
};

/* One call, both ends by this thread's worker. */
static enum mikeyd_status call(struct thread_calls *c, struct lab_result *offer,
                               struct lab_result *answer, struct lab_result *got)
{
    const struct exchange_stream streams[] = {{.ssrc = 1}, {.ssrc = 0}};
    const char *from = c->b_to_a ? LAB_B : LAB_A, *to = c->b_to_a ? LAB_A : LAB_B;
    const uid_t caller = c->b_to_a ? LAB_UID_B : LAB_UID_A;
    const uid_t called = c->b_to_a ? LAB_UID_A : LAB_UID_B;
    struct exchange_request request = {.operation = EXCHANGE_INITIATE,
                                       .from = from,
                                       .to = to,
                                       .streams = streams,
                                       .stream_count = 2,
                                       .verify = true};
    got->err.text[0] = '\0';
    enum mikeyd_status status = lab_serve(c->worker, caller, &request, offer);
    if (status != MIKEYD_OK) {
        got->err = offer->err;
        return status;
    }
    request = (struct exchange_request){.operation = EXCHANGE_RESPOND,
                                        .as = to,
                                        .message = offer->message.data,
                                        .message_len = offer->message.len};
    status = lab_serve(c->worker, called, &request, answer);
    if (status != MIKEYD_OK) {
        got->err = answer->err;
        return status;
    }
    request = (struct exchange_request){.operation = EXCHANGE_CONFIRM,
                                        .message = answer->message.data,
                                        .message_len = answer->message.len,
                                        .ticket = offer->ticket.data,
                                        .ticket_len = offer->ticket.len};
    status = lab_serve(c->worker, caller, &request, got);
    if (status == MIKEYD_OK && !lab_same_keys(answer, got))
        status = MIKEYD_INTERNAL;
    return status;
}

static void *run(void *argument)
{
    struct thread_calls *c = argument;
    struct lab_result *results = calloc(3, sizeof *results);
    for (size_t i = 0; i < CALLS && c->failed == MIKEYD_OK; i++) {
        c->failed = call(c, &results[0], &results[1], &results[2]);
        if (c->failed == MIKEYD_OK)
            c->done++;
        else
            (void)snprintf(c->text, sizeof c->text, "%s", results[2].err.text);
    }
    free(results);
    return NULL;
}

static void calls_in_parallel(enum lab_token need, const char *keys, const char *key)
{
    struct lab lab;
    struct error err = {0};
    struct thread_calls callers[WORKERS] = {0};
    lab_open_token(&lab, need);
    lab_prepare_pairs(&lab, "core", 1);
    lab.options.pair_cache = 1;
    cr_assert_eq(lab_start_service(&lab, lab_policy_text(NULL, keys, key), &err), MIKEYD_OK, "%s",
                 err.text);
    for (size_t i = 0; i < WORKERS; i++) {
        callers[i].lab = &lab;
        callers[i].b_to_a = i % 2 == 1;
        cr_assert_eq(exchange_worker_open(lab.service, &callers[i].worker, &err), MIKEYD_OK, "%s",
                     err.text);
    }
    for (size_t i = 0; i < WORKERS; i++)
        cr_assert_eq(pthread_create(&callers[i].thread, NULL, run, &callers[i]), 0);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(lab_reload(&lab, lab_policy_text(NULL, keys, key), &err), MIKEYD_OK, "%s",
                     err.text);
    }
    for (size_t i = 0; i < WORKERS; i++)
        cr_assert_eq(pthread_join(callers[i].thread, NULL), 0);
    for (size_t i = 0; i < WORKERS; i++) {
        cr_assert_eq(callers[i].done, CALLS, "worker %zu: %zu calls, then %s: %s", i,
                     callers[i].done, status_name(callers[i].failed), callers[i].text);
        exchange_worker_close(callers[i].worker);
    }
    lab_close(&lab);
}

Test(threads, calls_in_parallel_with_a_psk)
{
    calls_in_parallel(LAB_ANY, "  - {name: legacy, kind: psk}", "legacy");
}

Test(threads, calls_in_parallel_with_pair_objects)
{
    calls_in_parallel(LAB_SIGNS, "  - {name: core, kind: epsk}", "core");
}

Test(threads, calls_in_parallel_with_derived_pair_keys)
{
    calls_in_parallel(LAB_DERIVES, "  - {name: core, kind: epsk}", "core");
}
