/* What the loader reads, and its errors: file, line, field. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/policy/support.h"

static void refuses(const char *text, const char *expected)
{
    const char *error = load_error(text);
    cr_assert_str_eq(error, expected);
}

/* The example of the interface description, word for word. */
static const char example[] =
    "policy: 1\n"
    "defaults:\n"
    "  suites: [AEAD_AES_256_GCM, AES_256_CM_HMAC_SHA1_80]\n"
    "  algorithms: mikey-256                   # never mixed\n"
    "  verification: required                  # required | allowed\n"
    "  clock_skew: 60s\n"
    "  min_psk_bits: 256\n"
    "  prf: any\n"
    "  mac: token\n"
    "  tgk: transported\n"
    "  provisioning: wrapped-only\n"
    "keys:\n"
    "  - {name: core, kind: epsk, generation: 1, not_after: 2027-06-01}\n"
    "  - {name: legacy-pbx, kind: psk}\n"
    "nodes:\n"
    "  - sip:sbc-a@carrier.example\n"
    "  - sip:sbc-b@carrier.example\n"
    "pairs:\n"
    "  - {initiator: sip:sbc-a@carrier.example, responder: sip:sbc-b@carrier.example, key: core}\n"
    "mesh:\n"
    "  - {nodes: [\"sip:sbc-a@carrier.example\", \"sip:sbc-b@carrier.example\"], key: core}\n"
    "clients:\n"
    "  - {name: sbc-a, uid: 1001, acts_as: [sip:sbc-a@carrier.example], may: [initiate, respond]}\n"
    "  - {name: sbc-b, tls_san: sbc-b.core.carrier.example, acts_as: [sip:sbc-b@carrier.example], "
    "may: [initiate, respond]}\n"
    "interop:\n"
    "  - {peer: sip:old@pbx.example, reply_timestamp: any, v_covers_ids: false, sdp_ids: "
    "optional}\n";

Test(policy_load, reads_the_example_of_the_interface)
{
    struct policy *policy = loaded(example);
    cr_assert_eq(policy_key_count(policy), 2);
    const struct policy_key *core = policy_key_at(policy, 0);
    cr_assert_str_eq(core->name, "core");
    cr_assert_eq(core->kind, POLICY_KEY_EPSK);
    cr_assert_eq(core->generation, 1);
    cr_assert_eq(core->not_after, 1811808000); /* 2027-06-01 */
    cr_assert_eq(core->line, 13);
    cr_assert_eq(policy_key_at(policy, 1)->kind, POLICY_KEY_PSK);
    cr_assert_eq(policy_node_count(policy), 2);
    cr_assert_str_eq(policy_node_at(policy, 1)->text, "sip:sbc-b@carrier.example");
    cr_assert_eq(policy_client_count(policy), 2);
    cr_assert_eq(policy_client_by_uid(policy, 1001), policy_client_at(policy, 0));
    cr_assert_eq(policy_client_by_san(policy, "sbc-b.core.carrier.example"),
                 policy_client_at(policy, 1));
    cr_assert_eq(policy_client_by_name(policy, "sbc-b"), policy_client_at(policy, 1));
    cr_assert_null(policy_client_by_uid(policy, 1002));
    cr_assert_null(policy_client_by_san(policy, "sbc-b"));
    cr_assert_eq(policy_max_skew_s(policy), 60);
    cr_assert_eq(policy_min_psk_bits(policy), 256);
    cr_assert_eq(policy_get_provisioning(policy), POLICY_WRAPPED_ONLY);
    cr_assert_eq(policy_default_prf(policy), POLICY_PRF_ANY);
    policy_unref(policy);
}

Test(policy_load, hashes_the_bytes_of_the_file)
{
    struct policy *policy = loaded("policy: 1\n");
    /* printf 'policy: 1\n' | sha256sum */
    cr_assert_str_eq(policy_sha256(policy),
                     "7bfce061d02a6ffb35c3d593e759565cd4c880842bc42f82b1f5b70e4db7e876");
    policy_unref(policy);
}

Test(policy_load, gives_careful_defaults)
{
    struct policy *policy = loaded("policy: 1\n");
    cr_assert_eq(policy_min_psk_bits(policy), 256);
    cr_assert_eq(policy_get_provisioning(policy), POLICY_WRAPPED_ONLY);
    cr_assert_eq(policy_max_skew_s(policy), 60);
    cr_assert(policy_session_copies_allowed(policy));
    policy_unref(policy);
}

Test(policy_load, reads_every_field_of_a_key)
{
    struct policy *policy = loaded("policy: 1\n"
                                   "keys:\n"
                                   "  - name: k\n"
                                   "    kind: epsk\n"
                                   "    generation: 7\n"
                                   "    not_before: 2026-11-01T12:00:00Z\n"
                                   "    not_after: 2027-01-01\n"
                                   "    max_exchanges: 5\n"
                                   "    delete_main: true\n"
                                   "    transport: true\n"
                                   "    previous: {generation: 6, until: 2026-12-31}\n");
    const struct policy_key *key = policy_key_at(policy, 0);
    cr_assert_eq(key->generation, 7);
    cr_assert_eq(key->not_before, 1793534400);
    cr_assert_eq(key->not_after, 1798761600);
    cr_assert_eq(key->max_exchanges, 5);
    cr_assert(key->delete_main && key->transport);
    cr_assert_eq(key->previous_generation, 6);
    cr_assert_eq(key->previous_until, 1798675200);
    policy_unref(policy);
}

Test(policy_load, the_widest_clock_skew_is_of_any_pair_or_mesh)
{
    struct policy *policy =
        loaded(HEAD KEYS NODES "pairs: [{initiator: \"" A "\", responder: \"" B
                               "\", key: k, clock_skew: 1500ms}]\n"
                               "mesh: [{nodes: [\"" A "\", \"" B "\"], key: k, clock_skew: 90s}]\n"
                               "defaults: {clock_skew: 1s}\n");
    cr_assert_eq(policy_max_skew_s(policy), 90);
    policy_unref(policy);
}

Test(policy_load, names_file_line_and_field_of_an_unknown_field)
{
    refuses("policy: 1\ndefaults:\n  clock_skw: 60s\n",
            "policy.yaml:3: defaults.clock_skw: unknown field");
    refuses("policy: 1\nkyes: []\n", "policy.yaml:2: kyes: unknown field");
    refuses("policy: 1\nkeys:\n  - name: k\n    kind: psk\n    bits: 3\n",
            "policy.yaml:5: keys[0].bits: unknown field");
    refuses("policy: 1\nkeys: [{name: k, kind: psk, previous: {generation: 1, untl: 1}}]\n",
            "policy.yaml:2: keys[0].previous.untl: unknown field");
    refuses(HEAD KEYS NODES "pairs:\n  - initiator: a\n    min_psk_bits: 1\n",
            "policy.yaml:6: pairs[0].min_psk_bits: unknown field");
    refuses(HEAD "mesh: [{node: []}]\n", "policy.yaml:2: mesh[0].node: unknown field");
    refuses(HEAD "clients: [{id: 1}]\n", "policy.yaml:2: clients[0].id: unknown field");
    refuses(HEAD "interop: [{who: x}]\n", "policy.yaml:2: interop[0].who: unknown field");
    refuses(HEAD "limits: {key_life: 1d}\n", "policy.yaml:2: limits.key_life: unknown field");
}

Test(policy_load, names_file_line_and_field_of_a_duplicate)
{
    refuses("policy: 1\ndefaults:\n  prf: any\n  prf: derive\n",
            "policy.yaml:4: defaults.prf: given twice (first in line 3)");
    refuses("policy: 1\nkeys: []\nkeys: []\n",
            "policy.yaml:3: keys: given twice (first in line 2)");
}

Test(policy_load, names_file_line_and_field_of_a_wrong_type)
{
    refuses("policy: \"1\"\n", "policy.yaml:1: policy: expected a number, found \"1\"");
    refuses("policy: 2\n", "policy.yaml:1: policy: expected a number from 1 to 1, found \"2\"");
    refuses("keys: []\n", "policy.yaml:1: policy: the field is missing (expected \"policy: 1\")");
    refuses("- 1\n", "policy.yaml:1: expected a map of fields, found a list");
    refuses("policy: 1\nkeys: {}\n", "policy.yaml:2: keys: expected a list, found a map of fields");
    refuses("policy: 1\nkeys: [k]\n",
            "policy.yaml:2: keys[0]: expected a map of fields, found a single value");
    refuses("policy: 1\ndefaults: {min_psk_bits: many}\n",
            "policy.yaml:2: defaults.min_psk_bits: expected a number, found \"many\"");
    refuses("policy: 1\ndefaults: {clock_skew: 60}\n",
            "policy.yaml:2: defaults.clock_skew: expected a duration such as 60s, found \"60\"");
    refuses("policy: 1\ndefaults: {prf: [any]}\n",
            "policy.yaml:2: defaults.prf: expected text, found a list");
    refuses("policy: 1\nkeys: [{name: k, kind: psk, delete_main: yes}]\n",
            "policy.yaml:2: keys[0].delete_main: expected true or false, found \"yes\"");
    refuses("policy: 1\nkeys: [{name: k, kind: psk, not_after: soon}]\n",
            "policy.yaml:2: keys[0].not_after: expected a date such as 2027-06-01 or "
            "2027-06-01T12:00:00Z, found \"soon\"");
    refuses("policy: 1\nkeys: [{name: 5, kind: psk}]\n",
            "policy.yaml:2: keys[0].name: expected text, found a number (put it in quotes)");
    refuses("policy: 1\nclients: [{name: c, uid: -1, acts_as: [], may: []}]\n",
            "policy.yaml:2: clients[0].uid: expected a number from 0 to 4294967294, found \"-1\"");
}

Test(policy_load, names_the_words_that_a_field_takes)
{
    refuses("policy: 1\ndefaults: {algorithms: mikey-2}\n",
            "policy.yaml:2: defaults.algorithms: expected mikey-1 or mikey-256, found \"mikey-2\"");
    refuses("policy: 1\ndefaults: {provisioning: any}\n",
            "policy.yaml:2: defaults.provisioning: expected wrapped-only or plaintext-allowed, "
            "found \"any\"");
    refuses("policy: 1\nkeys: [{name: k, kind: pair}]\n",
            "policy.yaml:2: keys[0].kind: expected psk or epsk, found \"pair\"");
    refuses("policy: 1\nclients: [{name: c, uid: 1, acts_as: [], may: [confirm]}]\n",
            "policy.yaml:2: clients[0].may[0]: expected initiate or respond, found \"confirm\"");
}

Test(policy_load, refuses_suites_that_are_unknown_repeated_or_none)
{
    refuses("policy: 1\ndefaults: {suites: [F8_128_HMAC_SHA1_80]}\n",
            "policy.yaml:2: defaults.suites[0]: \"F8_128_HMAC_SHA1_80\" is no suite that mikeyd "
            "knows");
    refuses("policy: 1\ndefaults: {suites: []}\n",
            "policy.yaml:2: defaults.suites: no suite listed");
    refuses("policy: 1\ndefaults: {suites: [AEAD_AES_256_GCM, AEAD_AES_256_GCM]}\n",
            "policy.yaml:2: defaults.suites[1]: AEAD_AES_256_GCM is listed twice");
}

Test(policy_load, names_missing_fields)
{
    refuses("policy: 1\nkeys: [{name: k}]\n",
            "policy.yaml:2: keys[0]: the field \"kind\" is missing");
    refuses("policy: 1\nclients: [{name: c, acts_as: [], may: []}]\n",
            "policy.yaml:2: clients[0]: one of \"uid\", \"tls_san\" and \"tls_psk\" is needed");
    refuses("policy: 1\nkeys: [{name: k, kind: psk, previous: {generation: 1}}]\n",
            "policy.yaml:2: keys[0].previous: the field \"until\" is missing");
}

Test(policy_load, names_become_labels_so_they_are_plain)
{
    refuses("policy: 1\nkeys: [{name: a/b, kind: psk}]\n",
            "policy.yaml:2: keys[0].name: a name has 1 to 64 letters, digits, \".\", \"_\" or "
            "\"-\"");
    refuses("policy: 1\nkeys: [{name: \"\", kind: psk}]\n",
            "policy.yaml:2: keys[0].name: a name has 1 to 64 letters, digits, \".\", \"_\" or "
            "\"-\"");
}

/* A rule of severity error stops the load too, and is named. */
Test(policy_load, fails_by_the_first_rule_that_finds_an_error)
{
    refuses(HEAD KEYS NODES "pairs:\n"
                            "  - {initiator: \"" A "\", responder: \"" C "\", key: k}\n",
            "policy.yaml:5 pairs[0].responder: " C " is not among the nodes (POLICY-REFERENCE)");
    struct policy *policy;
    struct error err;
    const char text[] = "policy: 1\ndefaults: {min_psk_bits: 64}\n";
    cr_assert_eq(policy_load_text(text, strlen(text), "f", &policy, &err), MIKEYD_POLICY);
}

Test(policy_load, a_missing_file_is_named)
{
    struct policy *policy;
    struct error err;
    cr_assert_eq(policy_load("/nonexistent/policy.yaml", &policy, &err), MIKEYD_SYNTAX);
    cr_assert_str_eq(err.text, "/nonexistent/policy.yaml: No such file or directory");
    cr_assert_null(policy);
}

Test(policy_load, a_second_reference_keeps_it_alive)
{
    struct policy *policy = loaded(example);
    struct policy *second = policy_ref(policy);
    policy_unref(policy);
    cr_assert_eq(policy_node_count(second), 2);
    policy_unref(second);
}
