/* Dates, lifetimes, exchanges, forward secrecy. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/unit/policy/support.h"

static size_t of_key(const char *rule, const char *fields)
{
    char text[500];
    (void)snprintf(text, sizeof text, HEAD "keys: [{name: k, kind: epsk, generation: 5, %s}]\n",
                   fields);
    return findings_of(rule, text);
}

Test(policy_rules_usage, dates_and_generations_are_in_order)
{
    static const char rule[] = "KEY-DATES";
    cr_assert_eq(of_key(rule, "not_before: 2027-01-01, not_after: 2027-01-02"), 0);
    cr_assert_eq(of_key(rule, "not_before: 2027-01-01, not_after: 2027-01-01"), 1);
    cr_assert_eq(of_key(rule, "previous: {generation: 4, until: 2027-01-01}"), 0);
    cr_assert_eq(of_key(rule, "previous: {generation: 5, until: 2027-01-01}"), 1);
    cr_assert_str_eq(finding_where(), "policy.yaml:2 keys[0].previous.generation");
}

Test(policy_rules_usage, keys_end_within_the_limit)
{
    static const char rule[] = "KEY-LIFETIME";
    cr_assert_eq(of_key(rule, "not_before: 2026-11-01, not_after: 2027-11-01"), 0);
    cr_assert_eq(of_key(rule, "max_exchanges: 1"), 1);
    cr_assert_str_eq(finding_text(), "key k has no not_after: it never ends");
    cr_assert_eq(of_key(rule, "not_before: 2026-11-01, not_after: 2028-11-01"), 1);
    cr_assert_str_eq(finding_text(), "key k lives 731 days from not_before, the limit is 398");
    cr_assert_eq(of_key(rule, "not_after: 2027-11-01"), 0); /* counted from now */
    cr_assert_eq(of_key(rule, "not_after: 2029-11-01"), 1);
    cr_assert_eq(findings_of(rule, HEAD "limits: {key_lifetime: 30d}\n" KEYS), 1);
}

Test(policy_rules_usage, keys_are_in_date)
{
    static const char rule[] = "KEY-IN-DATE";
    cr_assert_eq(of_key(rule, "not_before: 2026-11-01, not_after: 2027-11-01"), 0);
    cr_assert_eq(of_key(rule, "not_after: 2026-12-01"), 1);
    cr_assert_str_eq(finding_text(), "key k ended on 2026-12-01: its exchanges are refused");
    cr_assert_eq(of_key(rule, "not_before: 2026-12-02"), 1);
}

/* Time passing must not stop a file from loading: the daemon refuses per request. */
Test(policy_rules_usage, a_policy_with_an_ended_key_loads)
{
    policy_unref(loaded(HEAD "keys: [{name: k, kind: epsk, not_after: 2020-01-01}]\n"));
}

Test(policy_rules_usage, previous_generations_are_told)
{
    static const char rule[] = "KEY-PREVIOUS";
    cr_assert_eq(of_key(rule, "max_exchanges: 1"), 0);
    cr_assert_eq(of_key(rule, "previous: {generation: 4, until: 2027-01-01}"), 1);
    cr_assert_str_eq(finding_text(), "responders accept generation 4 of key k until 2027-01-01");
    cr_assert_eq(of_key(rule, "previous: {generation: 4, until: 2026-11-30}"), 1);
    cr_assert_str_eq(finding_text(), "generation 4 of key k is no longer accepted (since "
                                     "2026-11-30): take it out of the policy and the token");
}

Test(policy_rules_usage, exchanges_are_bounded_within_the_limit)
{
    static const char rule[] = "KEY-EXCHANGES";
    cr_assert_eq(of_key(rule, "max_exchanges: 10000000"), 0);
    cr_assert_eq(of_key(rule, "max_exchanges: 10000001"), 1);
    cr_assert_eq(of_key(rule, "not_after: 2027-01-01"), 1);
    cr_assert_eq(findings_of(rule, HEAD "limits: {exchanges_per_pair_key: 999}\n" KEYS), 1);
    cr_assert_str_eq(finding_text(), "key k allows 1000 exchanges a pair, the limit is 999");
}

Test(policy_rules_usage, keys_that_travel_are_told)
{
    cr_assert_eq(of_key("KEY-TRANSPORT", "transport: true"), 1);
    cr_assert_eq(of_key("KEY-TRANSPORT", "transport: false"), 0);
}

Test(policy_rules_usage, the_lack_of_an_ephemeral_exchange_is_told)
{
    static const char rule[] = "RFC9257-6-1-EPHEMERAL";
    cr_assert_eq(findings_of(rule, HEAD KEYS), 1);
    cr_assert_eq(findings_of(rule, HEAD "defaults: {forward_secrecy: off}\n"), 1);
    cr_assert_eq(findings_of(rule, HEAD "defaults: {forward_secrecy: preferred}\n"), 1);
    cr_assert_not_null(strstr(finding_text(), "served by psk"));
    cr_assert_eq(findings_of(rule, HEAD "defaults: {forward_secrecy: required}\n"), 0);
    cr_assert_eq(findings_of(rule, HEAD "defaults: {forward_secrecy: required}\n" KEYS NODES
                                        "pairs: [{initiator: \"" A "\", responder: \"" B
                                        "\", key: k, forward_secrecy: off}]\n"),
                 1);
    cr_assert_str_eq(finding_where(), "policy.yaml:5 pairs[0].forward_secrecy");
}

Test(policy_rules_usage, a_group_of_less_than_112_bits_is_told)
{
    cr_assert_eq(findings_of("DH-GROUP", HEAD "defaults: {dh_group: x25519}\n"), 0);
    cr_assert_eq(findings_of("DH-GROUP", HEAD "defaults: {dh_group: oakley-5}\n"), 1);
}
