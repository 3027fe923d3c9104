/* References, duplicates, overlaps, things unused: each rule speaks, and is silent. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/policy/support.h"

#define GOOD HEAD KEYS NODES PAIRS CLIENTS

Test(policy_rules_structure, a_good_policy_has_notes_only)
{
    struct policy *policy;
    struct policy_findings findings;
    struct error err;
    cr_assert_eq(policy_load_text_to_check(GOOD, strlen(GOOD), "f", &policy, &err), MIKEYD_OK);
    cr_assert_eq(policy_check(policy, NULL, 0, NOW, &findings), MIKEYD_OK);
    for (size_t i = 0; i < findings.count; i++)
        cr_assert_eq(findings.list[i].severity, POLICY_NOTE, "%s", findings.list[i].text);
    policy_findings_free(&findings);
    policy_unref(policy);
}

Test(policy_rules_structure, references_lead_somewhere)
{
    cr_assert_eq(findings_of("POLICY-REFERENCE", GOOD), 0);
    cr_assert_eq(findings_of("POLICY-REFERENCE", HEAD KEYS NODES
                             "pairs: [{initiator: \"" A "\", responder: \"" B "\", key: other}]\n"),
                 1);
    cr_assert_str_eq(finding_text(), "other is not among the keys");
    cr_assert_str_eq(finding_where(), "policy.yaml:4 pairs[0].key");
    cr_assert_eq(findings_of("POLICY-REFERENCE", HEAD KEYS NODES "mesh: [{nodes: [\"" A "\", \"" C
                                                                 "\"], key: none}]\n"),
                 2);
    cr_assert_eq(findings_of("POLICY-REFERENCE", HEAD KEYS NODES PAIRS
                             "clients: [{name: c, uid: 1, acts_as: [\"" C "\"], may: []}]\n"),
                 1);
    cr_assert_str_eq(finding_where(), "policy.yaml:5 clients[0].acts_as[0]");
    cr_assert_eq(findings_of("POLICY-REFERENCE", HEAD KEYS NODES PAIRS
                             "clients: [{name: c, uid: 1, acts_as: [\"*\"], may: []}]\n"),
                 1);
}

/* The faults of a file are told all at once. */
Test(policy_rules_structure, every_fault_of_a_file_is_told)
{
    static const char text[] = "policy: 1\n"
                               "defaults: {min_psk_bits: 8, algorithms: mikey-1, suites: "
                               "[AEAD_AES_256_GCM]}\n"
                               "nodes: [nonsense, \"" A "\", \"" A "\"]\n"
                               "pairs: [{initiator: \"" A "\", responder: \"" A "\", key: k}]\n";
    static const char *const rules[] = {"POLICY-REFERENCE",       "POLICY-DUPLICATE",
                                        "RFC9257-6-1-1-IDENTITY", "RFC9257-6-1-LENGTH",
                                        "RFC9257-4-1-SELFIE",     "RFC6043-12-1"};
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        cr_assert_eq(findings_of(rules[i], text), 1, "%s", rules[i]);
}

Test(policy_rules_structure, keys_nodes_pairs_and_relaxations_stand_once)
{
    cr_assert_eq(findings_of("POLICY-DUPLICATE", GOOD), 0);
    cr_assert_eq(findings_of("POLICY-DUPLICATE", HEAD "keys:\n"
                                                      "  - {name: k, kind: psk}\n"
                                                      "  - {name: k, kind: epsk}\n"),
                 1);
    cr_assert_str_eq(finding_text(), "key k is already in line 3");
    cr_assert_str_eq(finding_where(), "policy.yaml:4 keys[1].name");
    cr_assert_eq(findings_of("POLICY-DUPLICATE", HEAD "nodes: [\"" A "\", \"" B "\", \"" A "\"]\n"),
                 1);
    cr_assert_str_eq(finding_where(), "policy.yaml:2 nodes[2]");
    cr_assert_eq(findings_of("POLICY-DUPLICATE", HEAD "nodes: [\"hex:ab\", \"hex:AB\"]\n"), 1);
    cr_assert_eq(findings_of("POLICY-DUPLICATE", HEAD KEYS NODES
                             "pairs:\n"
                             "  - {initiator: \"" A "\", responder: \"" B "\", key: k}\n"
                             "  - {initiator: \"" A "\", responder: \"" B "\", key: k}\n"),
                 1);
    cr_assert_str_eq(finding_text(), "this directed pair is already in line 5");
    cr_assert_eq(findings_of("POLICY-DUPLICATE",
                             HEAD NODES "interop: [{peer: \"" A "\"}, {peer: \"" A "\"}]\n"),
                 1);
}

Test(policy_rules_structure, clients_are_told_apart)
{
    cr_assert_eq(findings_of("POLICY-DUPLICATE",
                             HEAD "clients:\n"
                                  "  - {name: a, uid: 1, acts_as: [], may: []}\n"
                                  "  - {name: b, uid: 1, acts_as: [], may: []}\n"),
                 1);
    cr_assert_str_eq(finding_text(), "uid 1 is already client a (line 3)");
    cr_assert_eq(findings_of("POLICY-DUPLICATE",
                             HEAD "clients:\n"
                                  "  - {name: a, tls_san: x, acts_as: [], may: []}\n"
                                  "  - {name: b, tls_san: x, acts_as: [], may: []}\n"),
                 1);
    cr_assert_str_eq(finding_text(), "x is already client a (line 3)");
    cr_assert_eq(findings_of("POLICY-DUPLICATE",
                             HEAD "clients:\n"
                                  "  - {name: a, uid: 1, acts_as: [], may: []}\n"
                                  "  - {name: a, uid: 2, acts_as: [], may: []}\n"),
                 1);
    cr_assert_eq(findings_of("POLICY-DUPLICATE",
                             HEAD "clients:\n"
                                  "  - {name: a, uid: 1, acts_as: [], may: []}\n"
                                  "  - {name: b, uid: 2, tls_san: x, acts_as: [], may: []}\n"),
                 0);
}

#define THREE "nodes: [\"" A "\", \"" B "\", \"" C "\"]\n"
#define TWO_KEYS "keys: [{name: k, kind: epsk}, {name: l, kind: epsk}]\n"

Test(policy_rules_structure, a_pair_in_two_meshes_has_one_key)
{
    cr_assert_eq(findings_of("POLICY-MESH-OVERLAP", HEAD TWO_KEYS THREE
                             "mesh:\n"
                             "  - {nodes: [\"" A "\", \"" B "\", \"" C "\"], key: k}\n"
                             "  - {nodes: [\"" A "\", \"" C "\"], key: l}\n"),
                 1);
    cr_assert_str_eq(finding_where(), "policy.yaml:6 mesh[1]");
    /* One shared node makes no shared pair. */
    cr_assert_eq(findings_of("POLICY-MESH-OVERLAP",
                             HEAD TWO_KEYS THREE "mesh:\n"
                                                 "  - {nodes: [\"" A "\", \"" B "\"], key: k}\n"
                                                 "  - {nodes: [\"" A "\", \"" C "\"], key: l}\n"),
                 0);
    cr_assert_eq(findings_of("POLICY-MESH-OVERLAP", HEAD TWO_KEYS THREE
                             "mesh:\n"
                             "  - {nodes: [\"" A "\", \"" B "\", \"" C "\"], key: k}\n"
                             "  - {nodes: [\"" A "\", \"" C "\"], key: k}\n"),
                 0);
    cr_assert_eq(findings_of("POLICY-MESH-OVERLAP", HEAD TWO_KEYS THREE
                             "mesh:\n"
                             "  - {nodes: [\"" A "\", \"" B "\", \"" C "\"], key: k}\n"
                             "  - {nodes: [\"" A "\", \"" C "\"], key: k, clock_skew: 5s}\n"),
                 1);
}

/* The first one is what is offered: the order is a part of the settings. */
Test(policy_rules_structure, a_pair_in_two_meshes_has_its_suites_in_one_order)
{
    static const char first[] = "AEAD_AES_256_GCM", second[] = "AES_256_CM_HMAC_SHA1_80";
    for (size_t turned = 0; turned < 2; turned++) {
        char text[1024];
        (void)snprintf(text, sizeof text,
                       HEAD TWO_KEYS THREE
                       "mesh:\n"
                       "  - {nodes: [\"" A "\", \"" B "\", \"" C "\"], key: k, suites: [%s, %s]}\n"
                       "  - {nodes: [\"" A "\", \"" C "\"], key: k, suites: [%s, %s]}\n",
                       first, second, turned == 0 ? first : second, turned == 0 ? second : first);
        cr_assert_eq(findings_of("POLICY-MESH-OVERLAP", text), turned);
    }
}

Test(policy_rules_structure, what_serves_nothing_is_told)
{
    cr_assert_eq(findings_of("POLICY-UNUSED", GOOD), 0);
    cr_assert_eq(findings_of("POLICY-UNUSED", HEAD KEYS THREE PAIRS CLIENTS), 1);
    cr_assert_str_eq(finding_text(), "node " C " is in no pair and no mesh");
    cr_assert_eq(findings_of("POLICY-UNUSED", HEAD TWO_KEYS NODES PAIRS CLIENTS), 1);
    cr_assert_str_eq(finding_text(), "key l serves no pair");
    cr_assert_eq(findings_of("POLICY-UNUSED", GOOD "interop: [{peer: \"" C "\"}]\n"), 1);
    cr_assert_eq(findings_of("POLICY-UNUSED", GOOD "mesh: [{nodes: [\"" A "\"], key: k}]\n"), 1);
    cr_assert_eq(findings_of("POLICY-UNUSED", HEAD), 2); /* no pairs, no clients */
}

Test(policy_rules_structure, one_fault_many_times_is_told_a_few_times)
{
    char text[8000] = HEAD "nodes: [";
    for (int i = 0; i < 200; i++)
        strcat(text, "x, ");
    strcat(text, "x]\n");
    cr_assert_eq(findings_of("RFC9257-6-1-1-IDENTITY", text), 41);
    cr_assert_str_eq(finding_text(), "and 161 more findings of this rule");
}
