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

struct name {
    uint8_t bytes[POLICY_USE_NAME_MAX];
    size_t len;
};

static struct name name_of(const struct policy *policy, const char *from, const char *to,
                           unsigned generation)
{
    struct name name;
    struct policy_decision decision = decide(policy, from, to);
    name.len = policy_use_name(&decision, generation, name.bytes);
    cr_assert_neq(name.len, 0);
    return name;
}

static bool is_same(struct name a, struct name b)
{
    return a.len == b.len && memcmp(a.bytes, b.bytes, a.len) == 0;
}

Test(policy_budget, exchanges_count_under_the_key_of_their_direction)
{
    struct policy *policy = loaded(limited);
    const struct name there = name_of(policy, A, B, 2);
    cr_expect(is_same(there, name_of(policy, A, B, 2)));
    cr_expect(!is_same(there, name_of(policy, B, A, 2)), "its own pair key");
    cr_expect(!is_same(there, name_of(policy, A, B, 1)), "another generation");
    cr_expect(!is_same(there, name_of(policy, A, C, 2)), "another key");
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
    cr_expect(is_same(name_of(policy, A, B, 1), name_of(policy, B, A, 1)));
    cr_expect(!is_same(name_of(policy, A, B, 1), name_of(policy, A, B, 2)));
    policy_unref(policy);
}

/* Else a reload, or a daemon whose file has another order, would begin a count anew. */
Test(policy_budget, exchanges_count_under_the_same_name_when_things_move_in_the_file)
{
    struct policy *first = loaded(limited), *second = loaded(reordered);
    cr_expect(is_same(name_of(first, A, B, 2), name_of(second, A, B, 2)));
    policy_unref(first);
    policy_unref(second);
}

#define THREADS 4
#define ASKED 50000

struct crowd {
    struct policy_budget *budget;
    struct policy_client client;
    atomic_size_t requests;
};

static void *ask(void *context)
{
    struct crowd *crowd = context;
    for (int i = 0; i < ASKED; i++) {
        if (policy_budget_request(crowd->budget, &crowd->client, 1000, NULL) == MIKEYD_OK)
            atomic_fetch_add(&crowd->requests, 1);
    }
    return NULL;
}

Test(policy_budget, threads_together_get_exactly_what_there_is)
{
    struct crowd crowd = {.budget = policy_budget_make(), .client = client("c", 30000)};
    pthread_t threads[THREADS];
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, ask, &crowd), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    cr_assert_eq(crowd.requests, 30000);
    double ns = (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
    cr_log_info("%.0f ns for a request, 4 threads", ns / (THREADS * ASKED));
    policy_budget_free(crowd.budget);
}
