/* Clients that may do too much, or nothing. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/policy/support.h"

#define THREE "nodes: [\"" A "\", \"" B "\", \"" C "\"]\n"

static size_t of_client(const char *rule, const char *client)
{
    char text[1200];
    (void)snprintf(text, sizeof text, HEAD KEYS THREE PAIRS "clients: [{name: c, %s}]\n", client);
    return findings_of(rule, text);
}

Test(policy_rules_clients, root_is_told)
{
    cr_assert_eq(of_client("CLIENT-ROOT", "uid: 0, acts_as: [], may: []"), 1);
    cr_assert_eq(of_client("CLIENT-ROOT", "uid: 1, acts_as: [], may: []"), 0);
    cr_assert_eq(of_client("CLIENT-ROOT", "tls_san: x, acts_as: [], may: []"), 0);
}

/* Every user whom this user namespace does not know appears as this one. */
Test(policy_rules_clients, user_that_stands_for_unknown_ones_is_refused)
{
    char client[96], text[1200], overflow[16] = "";
    struct policy *policy = NULL;
    struct error err = {.text = ""};
    FILE *file = fopen("/proc/sys/kernel/overflowuid", "r");
    cr_assert(file != NULL && fscanf(file, "%15[0-9]", overflow) == 1);
    (void)fclose(file);
    (void)snprintf(client, sizeof client, "uid: %s, acts_as: [], may: []", overflow);
    cr_assert_eq(of_client("CLIENT-OVERFLOW-UID", client), 1);
    cr_assert_eq(of_client("CLIENT-OVERFLOW-UID", "uid: 65533, acts_as: [], may: []"), 0);
    cr_assert_eq(of_client("CLIENT-OVERFLOW-UID", "tls_san: x, acts_as: [], may: []"), 0);
    const int len =
        snprintf(text, sizeof text, HEAD KEYS THREE PAIRS "clients: [{name: c, %s}]\n", client);
    cr_assert_eq(policy_load_text(text, (size_t)len, "p.yaml", &policy, &err), MIKEYD_POLICY);
    cr_assert_not_null(strstr(err.text, "CLIENT-OVERFLOW-UID"), "%s", err.text);
}

Test(policy_rules_clients, too_many_nodes_are_told)
{
    static const char rule[] = "CLIENT-SCOPE";
    cr_assert_eq(of_client(rule, "uid: 1, acts_as: [\"" A "\", \"" B "\"], may: []"), 0);
    cr_assert_eq(of_client(rule, "uid: 1, acts_as: [\"" A "\", \"" B "\", \"" C "\"], may: []"), 1);
    cr_assert_str_eq(finding_text(), "client c acts as every node");
    cr_assert_eq(findings_of(rule, HEAD THREE "limits: {nodes_per_client: 1}\n"
                                              "clients: [{name: c, uid: 1, acts_as: [\"" A
                                              "\", \"" B "\"], may: []}]\n"),
                 1);
    cr_assert_str_eq(finding_text(), "client c acts as 2 nodes, the limit is 1");
}

Test(policy_rules_clients, both_ends_of_a_pair_are_told)
{
    static const char rule[] = "CLIENT-BOTH-ENDS";
    cr_assert_eq(of_client(rule, "uid: 1, acts_as: [\"" A "\", \"" C "\"], may: []"), 0);
    cr_assert_eq(of_client(rule, "uid: 1, acts_as: [\"" A "\", \"" B "\"], may: []"), 1);
    cr_assert_eq(findings_of(rule,
                             HEAD KEYS THREE "mesh: [{nodes: [\"" B "\", \"" C "\"], key: k}]\n"
                                             "clients: [{name: c, uid: 1, acts_as: [\"" B "\", \"" C
                                             "\"], may: []}]\n"),
                 1);
}

Test(policy_rules_clients, clients_without_a_rate_are_told)
{
    cr_assert_eq(of_client("CLIENT-RATE", "uid: 1, acts_as: [], may: []"), 1);
    cr_assert_eq(of_client("CLIENT-RATE", "uid: 1, acts_as: [], may: [], rate: 5"), 0);
}

Test(policy_rules_clients, clients_that_may_do_nothing_are_told)
{
    static const char rule[] = "CLIENT-IDLE";
    cr_assert_eq(of_client(rule, "uid: 1, acts_as: [\"" A "\"], may: [respond]"), 0);
    cr_assert_eq(of_client(rule, "uid: 1, acts_as: [\"" A "\"], may: []"), 1);
    cr_assert_eq(of_client(rule, "uid: 1, acts_as: [], may: [respond]"), 1);
    cr_assert_eq(of_client(rule, "uid: 1, acts_as: [\"" A "\"], may: [respond], methods: []"), 1);
}
