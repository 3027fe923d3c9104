/* Who may share a key with whom. */
#include <criterion/criterion.h>

#include "tests/unit/policy/support.h"

#define THREE "nodes: [\"" A "\", \"" B "\", \"" C "\"]\n"
#define PSK "keys: [{name: k, kind: psk}]\n"
#define EPSK "keys: [{name: k, kind: epsk}]\n"
#define PAIR(x, y) "  - {initiator: \"" x "\", responder: \"" y "\", key: k}\n"
#define MESH2 "mesh: [{nodes: [\"" A "\", \"" B "\"], key: k}]\n"
#define MESH3 "mesh: [{nodes: [\"" A "\", \"" B "\", \"" C "\"], key: k}]\n"

Test(policy_rules_keys, a_psk_has_128_bits_at_least)
{
    static const char rule[] = "RFC9257-6-1-LENGTH";
    cr_assert_eq(findings_of(rule, HEAD "defaults: {min_psk_bits: 128}\n"), 0);
    cr_assert_eq(findings_of(rule, HEAD), 0);
    cr_assert_eq(findings_of(rule, HEAD "defaults: {min_psk_bits: 127}\n"), 1);
    cr_assert_str_eq(finding_where(), "policy.yaml:2 defaults.min_psk_bits");
}

Test(policy_rules_keys, a_psk_is_as_strong_as_the_keys_it_protects)
{
    static const char rule[] = "RFC3830-9-1-STRENGTH";
    cr_assert_eq(findings_of(rule, HEAD), 0);
    cr_assert_eq(findings_of(rule, HEAD "defaults: {min_psk_bits: 128}\n"), 1);
    cr_assert_eq(findings_of(rule, HEAD "defaults: {min_psk_bits: 128, algorithms: mikey-1, "
                                        "suites: [AEAD_AES_128_GCM]}\n"),
                 0);
    cr_assert_eq(findings_of(rule, HEAD EPSK NODES
                             "defaults: {min_psk_bits: 128, suites: [AEAD_AES_128_GCM]}\n"
                             "mesh: [{nodes: [\"" A "\", \"" B
                             "\"], key: k, suites: [AEAD_AES_256_GCM]}]\n"),
                 1);
}

Test(policy_rules_keys, a_psk_belongs_to_one_pair_of_nodes)
{
    static const char rule[] = "RFC9257-6-2";
    cr_assert_eq(findings_of(rule, HEAD PSK THREE "pairs:\n" PAIR(A, B) PAIR(B, A)), 0);
    cr_assert_eq(findings_of(rule, HEAD PSK THREE "pairs:\n" PAIR(A, B) PAIR(A, C)), 1);
    cr_assert_str_eq(finding_where(), "policy.yaml:6 pairs[1]");
    cr_assert_eq(findings_of(rule, HEAD PSK THREE "pairs:\n" PAIR(A, C) MESH2), 1);
    cr_assert_eq(findings_of(rule, HEAD PSK THREE "pairs:\n" PAIR(A, B) MESH2), 0);
    cr_assert_eq(findings_of(rule, HEAD PSK THREE MESH3), 1);
    cr_assert_eq(findings_of(rule, HEAD EPSK THREE "pairs:\n" PAIR(A, B) PAIR(A, C)), 0);
}

Test(policy_rules_keys, no_node_is_its_own_peer)
{
    static const char rule[] = "RFC9257-4-1-SELFIE";
    cr_assert_eq(findings_of(rule, HEAD EPSK NODES "pairs:\n" PAIR(A, B)), 0);
    cr_assert_eq(findings_of(rule, HEAD EPSK NODES "pairs:\n" PAIR(A, A)), 1);
    cr_assert_eq(findings_of(rule, HEAD EPSK NODES "mesh: [{nodes: [\"" A "\", \"" B "\", \"" A
                                                   "\"], key: k}]\n"),
                 1);
    cr_assert_eq(findings_of(rule, HEAD EPSK NODES MESH2), 0);
}

Test(policy_rules_keys, a_psk_for_both_directions_is_told)
{
    static const char rule[] = "RFC9257-4-1-ROLES";
    cr_assert_eq(findings_of(rule, HEAD PSK NODES "pairs:\n" PAIR(A, B)), 0);
    cr_assert_eq(findings_of(rule, HEAD PSK NODES "pairs:\n" PAIR(A, B) PAIR(B, A)), 1);
    cr_assert_eq(findings_of(rule, HEAD PSK NODES MESH2), 1);
    cr_assert_eq(findings_of(rule, HEAD EPSK NODES MESH2), 0);
}

Test(policy_rules_keys, a_psk_under_both_algorithm_sets_is_told)
{
    static const char rule[] = "PSK-ALGORITHMS";
#define BACK                                                                                       \
    "  - {initiator: \"" B "\", responder: \"" A "\", key: k, algorithms: mikey-1, "               \
    "suites: [AEAD_AES_128_GCM]}\n"
    cr_assert_eq(findings_of(rule, HEAD PSK NODES "pairs:\n" PAIR(A, B) PAIR(B, A)), 0);
    cr_assert_eq(findings_of(rule, HEAD PSK NODES "pairs:\n" PAIR(A, B) BACK), 1);
    cr_assert_str_eq(finding_where(), "policy.yaml:6 pairs[1]");
    cr_assert_eq(findings_of(rule, HEAD PSK NODES "pairs:\n" BACK MESH2), 1);
    cr_assert_eq(findings_of(rule, HEAD EPSK NODES "pairs:\n" PAIR(A, B) BACK), 0);
#undef BACK
}

Test(policy_rules_keys, a_group_needs_the_importer)
{
    static const char rule[] = "RFC9257-6-3-GROUP";
    cr_assert_eq(findings_of(rule, HEAD PSK THREE MESH3), 1);
    cr_assert_str_eq(finding_where(), "policy.yaml:4 mesh[0].key");
    cr_assert_eq(findings_of(rule, HEAD EPSK THREE MESH3), 0);
    cr_assert_eq(findings_of(rule, HEAD PSK THREE MESH2), 0);
}

Test(policy_rules_keys, a_psk_without_the_importer_is_told)
{
    static const char rule[] = "RFC9257-6-3";
    cr_assert_eq(findings_of(rule, HEAD PSK NODES "pairs:\n" PAIR(A, B)), 1);
    cr_assert_eq(findings_of(rule, HEAD PSK NODES), 0); /* serves nothing */
    cr_assert_eq(findings_of(rule, HEAD EPSK NODES "pairs:\n" PAIR(A, B)), 0);
}

Test(policy_rules_keys, the_residual_risk_of_groups_is_told)
{
    static const char rule[] = "RFC9257-5-2-GROUP";
    cr_assert_eq(findings_of(rule, HEAD EPSK THREE MESH3), 1);
    cr_assert_eq(findings_of(rule, HEAD EPSK THREE MESH2), 0);
    cr_assert_eq(findings_of(rule, HEAD EPSK THREE "pairs:\n" PAIR(A, B) PAIR(A, C)), 1);
}

Test(policy_rules_keys, a_main_key_that_stays_is_told)
{
    static const char rule[] = "RFC9257-6-4";
    cr_assert_eq(findings_of(rule, HEAD EPSK), 1);
    cr_assert_eq(findings_of(rule, HEAD KEYS), 0); /* delete_main: true */
    cr_assert_eq(findings_of(rule, HEAD PSK), 0);
}
