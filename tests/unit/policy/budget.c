/* Counters: requests a second of a client, exchanges under a pair's key. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "tests/unit/policy/support.h"

static struct policy_client client(const char *name, unsigned rate)
{
    return (struct policy_client){.name = name, .rate = rate};
}

static size_t granted(struct policy_budget *budget, const struct policy_client *who, int64_t ms,
                      size_t asked)
{
    size_t count = 0;
    for (size_t i = 0; i < asked; i++)
        count += policy_budget_request(budget, who, ms, NULL) == MIKEYD_OK ? 1 : 0;
    return count;
}

Test(policy_budget, a_client_gets_its_rate_and_no_more)
{
    struct policy_budget *budget = policy_budget_make();
    struct policy_client c = client("c", 5);
    struct error err;
    cr_assert_eq(granted(budget, &c, 1000, 20), 5);
    cr_assert_eq(policy_budget_request(budget, &c, 1000, &err), MIKEYD_OVERLOADED);
    cr_assert_str_eq(err.text, "client c is over its 5 requests a second");
    cr_assert_eq(granted(budget, &c, 1199, 20), 0);
    cr_assert_eq(granted(budget, &c, 1200, 20), 1);
    cr_assert_eq(granted(budget, &c, 1800, 20), 3);
    cr_assert_eq(granted(budget, &c, 60000, 20), 5); /* never more than one second's worth */
    cr_assert_eq(granted(budget, &c, 50000, 20), 0); /* a clock that steps back gives nothing */
    policy_budget_free(budget);
}

Test(policy_budget, clients_do_not_share_their_rates)
{
    struct policy_budget *budget = policy_budget_make();
    struct policy_client a = client("a", 2), b = client("b", 3), free = client("free", 0);
    cr_assert_eq(granted(budget, &a, 0, 9), 2);
    cr_assert_eq(granted(budget, &b, 0, 9), 3);
    cr_assert_eq(granted(budget, &free, 0, 9), 9);
    policy_budget_free(budget);
}

static const char limited[] =
    "policy: 1\n"
    "keys: [{name: k, kind: epsk, generation: 2, max_exchanges: 3}, {name: u, kind: epsk}]\n"
    "nodes: [\"" A "\", \"" B "\", \"" C "\"]\n"
    "mesh: [{nodes: [\"" A "\", \"" B "\"], key: k}, {nodes: [\"" A "\", \"" C "\"], key: u}]\n"
    "clients: [{name: c, uid: 1, acts_as: [\"" A "\"], may: [initiate, respond]}]\n";
/* The same, with other positions in the file. */
static const char reordered[] =
    "policy: 1\n"
    "keys: [{name: u, kind: epsk}, {name: k, kind: epsk, generation: 2, max_exchanges: 3}]\n"
    "nodes: [\"" C "\", \"" B "\", \"" A "\"]\n"
    "mesh: [{nodes: [\"" A "\", \"" B "\"], key: k}, {nodes: [\"" A "\", \"" C "\"], key: u}]\n"
    "clients: [{name: c, uid: 1, acts_as: [\"" A "\"], may: [initiate, respond]}]\n";

static struct policy_decision decide(const struct policy *policy, const char *from, const char *to)
{
    struct policy_request request = {
        .client = policy_client_at(policy, 0),
        .role = strcmp(from, A) == 0 ? POLICY_INITIATE : POLICY_RESPOND,
        .initiator = {IDENTITY_URI, strlen(from), (const uint8_t *)from},
        .responder = {IDENTITY_URI, strlen(to), (const uint8_t *)to},
    };
    struct policy_decision decision;
    struct error err = {0};
    cr_assert_eq(policy_decide(policy, &request, NOW, &decision, &err), MIKEYD_OK, "%s", err.text);
    return decision;
}

Test(policy_budget, exchanges_under_a_pair_key_are_bounded)
{
    struct policy *policy = loaded(limited);
    struct policy_budget *budget = policy_budget_make();
    struct policy_decision d = decide(policy, A, B), back = decide(policy, B, A),
                           free = decide(policy, A, C);
    struct error err;
    for (int i = 0; i < 3; i++)
        cr_assert_eq(policy_budget_exchange(budget, &d, 2, &err), MIKEYD_OK);
    cr_assert_eq(policy_budget_exchange(budget, &d, 2, &err), MIKEYD_POLICY);
    cr_assert_str_eq(err.text, "key k generation 2: its 3 exchanges are used up");
    cr_assert_eq(policy_budget_exchange(budget, &back, 2, &err), MIKEYD_OK); /* its own pair key */
    cr_assert_eq(policy_budget_exchange(budget, &d, 1, &err), MIKEYD_OK); /* another generation */
    for (int i = 0; i < 9; i++)
        cr_assert_eq(policy_budget_exchange(budget, &free, 1, &err), MIKEYD_OK);
    policy_budget_free(budget);
    policy_unref(policy);
}

/* A psk is one key, whoever begins. */
Test(policy_budget, exchanges_under_a_psk_are_counted_in_both_directions_together)
{
    struct policy *policy =
        loaded("policy: 1\n"
               "keys: [{name: k, kind: psk, max_exchanges: 3}]\n"
               "nodes: [\"" A "\", \"" B "\"]\n"
               "mesh: [{nodes: [\"" A "\", \"" B "\"], key: k}]\n"
               "clients: [{name: c, uid: 1, acts_as: [\"" A "\"], may: [initiate, respond]}]\n");
    struct policy_budget *budget = policy_budget_make();
    struct policy_decision there = decide(policy, A, B), back = decide(policy, B, A);
    cr_assert_eq(policy_budget_exchange(budget, &there, 1, NULL), MIKEYD_OK);
    cr_assert_eq(policy_budget_exchange(budget, &back, 1, NULL), MIKEYD_OK);
    cr_assert_eq(policy_budget_exchange(budget, &there, 1, NULL), MIKEYD_OK);
    cr_assert_eq(policy_budget_exchange(budget, &back, 1, NULL), MIKEYD_POLICY);
    cr_assert_eq(policy_budget_exchange(budget, &there, 1, NULL), MIKEYD_POLICY);
    policy_budget_free(budget);
    policy_unref(policy);
}

Test(policy_budget, counts_survive_a_reload_that_moves_things_in_the_file)
{
    struct policy_budget *budget = policy_budget_make();
    struct policy *first = loaded(limited);
    struct policy_decision d = decide(first, A, B);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(policy_budget_exchange(budget, &d, 2, NULL), MIKEYD_OK);
    policy_unref(first);

    struct policy *second = loaded(reordered);
    d = decide(second, A, B);
    cr_assert_eq(policy_budget_exchange(budget, &d, 2, NULL), MIKEYD_POLICY);
    policy_unref(second);
    policy_budget_free(budget);
}

#define THREADS 4
#define ASKED 50000

struct crowd {
    struct policy_budget *budget;
    struct policy_client client;
    struct policy_decision decision;
    atomic_size_t requests, exchanges;
};

static void *ask(void *context)
{
    struct crowd *crowd = context;
    for (int i = 0; i < ASKED; i++) {
        if (policy_budget_request(crowd->budget, &crowd->client, 1000, NULL) == MIKEYD_OK)
            atomic_fetch_add(&crowd->requests, 1);
        if (policy_budget_exchange(crowd->budget, &crowd->decision, 1, NULL) == MIKEYD_OK)
            atomic_fetch_add(&crowd->exchanges, 1);
    }
    return NULL;
}

Test(policy_budget, threads_together_get_exactly_what_there_is)
{
    struct policy_key key = {.name = "k", .max_exchanges = 70000};
    struct policy_node a = {.identity = {IDENTITY_URI, 3, (const uint8_t *)"a:a"}};
    struct policy_node b = {.identity = {IDENTITY_URI, 3, (const uint8_t *)"a:b"}};
    struct crowd crowd = {.budget = policy_budget_make(),
                          .client = client("c", 30000),
                          .decision = {.initiator = &a, .responder = &b, .key = &key}};
    pthread_t threads[THREADS];
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, ask, &crowd), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    cr_assert_eq(crowd.requests, 30000);
    cr_assert_eq(crowd.exchanges, 70000);
    double ns = (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
    cr_log_info("%.0f ns for a request and an exchange, 4 threads", ns / (THREADS * ASKED));
    policy_budget_free(crowd.budget);
}

Test(policy_budget, many_pairs_have_counters_of_their_own)
{
    struct policy_budget *budget = policy_budget_make();
    struct policy_key key = {.name = "k", .kind = POLICY_KEY_EPSK, .max_exchanges = 1};
    for (uint32_t i = 0; i < 20000; i++) {
        struct policy_node a = {.identity = {IDENTITY_BYTES, sizeof i, (const uint8_t *)&i}};
        struct policy_decision d = {.initiator = &a, .responder = &a, .key = &key};
        cr_assert_eq(policy_budget_exchange(budget, &d, 1, NULL), MIKEYD_OK);
        cr_assert_eq(policy_budget_exchange(budget, &d, 1, NULL), MIKEYD_POLICY);
    }
    policy_budget_free(budget);
}
