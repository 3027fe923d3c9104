/* A mesh of 1,000 nodes, 999,000 ordered pairs: loaded fast and small, decided fast. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/unit/policy/support.h"

#define MESH_NODES 1000

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static long peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static char *big_mesh(void)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    fputs("policy: 1\nkeys: [{name: k, kind: epsk}]\nnodes:\n", f);
    for (int i = 0; i < MESH_NODES; i++)
        fprintf(f, "  - sip:sbc-%04d@core.carrier.example\n", i);
    fputs("mesh:\n  - key: k\n    nodes:\n", f);
    for (int i = 0; i < MESH_NODES; i++)
        fprintf(f, "      - sip:sbc-%04d@core.carrier.example\n", i);
    fputs("clients: [{name: c, uid: 1, acts_as: [\"sip:sbc-0000@core.carrier.example\"], may: "
          "[initiate]}]\n",
          f);
    fclose(f);
    return text;
}

static bool count_pair(void *context, const struct policy_node *initiator,
                       const struct policy_node *responder)
{
    (void)initiator;
    (void)responder;
    ++*(size_t *)context;
    return true;
}

Test(policy_mesh, of_a_thousand_nodes_loads_in_a_second_and_a_hundred_megabytes)
{
    char *text = big_mesh();
    long before = peak_kib();
    double begin = seconds();
    struct policy *policy = loaded(text);
    double took = seconds() - begin;
    long grown = peak_kib() - before;
    cr_log_info("load: %.1f ms, %ld KiB", took * 1e3, grown);
    cr_assert_lt(took, 1.0);
#ifndef MIKEYD_SANITIZED
    cr_assert_lt(grown, 100 * 1024);
#endif

    struct policy_request request = {.client = policy_client_at(policy, 0),
                                     .role = POLICY_INITIATE,
                                     .initiator = policy_node_at(policy, 0)->identity};
    begin = seconds();
    for (size_t i = 1; i < MESH_NODES; i++) {
        struct policy_decision decision;
        request.responder = policy_node_at(policy, i)->identity;
        cr_assert_eq(policy_decide(policy, &request, NOW, &decision, NULL), MIKEYD_OK);
        cr_assert_eq(decision.pair_id, i);
    }
    cr_log_info("decision: %.0f ns", (seconds() - begin) * 1e9 / (MESH_NODES - 1));

    size_t pairs = 0;
    policy_each_pair(policy, policy_key_at(policy, 0), count_pair, &pairs);
    cr_assert_eq(pairs, 999000);

    struct policy_findings findings;
    begin = seconds();
    cr_assert_eq(policy_check(policy, NULL, 0, NOW, &findings), MIKEYD_OK);
    cr_log_info("check: %.1f ms", (seconds() - begin) * 1e3);
    cr_assert_lt(seconds() - begin, 1.0);
    policy_findings_free(&findings);
    policy_unref(policy);
    free(text);
}
