/* What defaults, pairs and meshes ask of an exchange. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/unit/policy/support.h"

static size_t of_defaults(const char *rule, const char *fields)
{
    char text[500];
    (void)snprintf(text, sizeof text, HEAD "defaults: {%s}\n", fields);
    return findings_of(rule, text);
}

/* The same field in a pair of its own, under good defaults. */
static size_t of_pair(const char *rule, const char *fields)
{
    char text[900];
    (void)snprintf(text, sizeof text,
                   HEAD KEYS NODES "pairs: [{initiator: \"" A "\", responder: \"" B
                                   "\", key: k, %s}]\n",
                   fields);
    return findings_of(rule, text);
}

/* Speaks of the field in defaults and in a pair; is silent about the other. */
static void speaks(const char *rule, const char *bad, const char *good)
{
    cr_assert_eq(of_defaults(rule, bad), 1, "%s: %s", rule, bad);
    cr_assert_eq(of_defaults(rule, good), 0, "%s: %s", rule, good);
    cr_assert_eq(of_pair(rule, good), 0, "%s: %s", rule, good);
    cr_assert_geq(of_pair(rule, bad), 1, "%s: %s", rule, bad);
}

Test(policy_rules_settings, session_keys_of_256_bits_do_not_travel_under_128)
{
    speaks("RFC6043-12-1", "algorithms: mikey-1, suites: [AES_256_CM_HMAC_SHA1_80]",
           "algorithms: mikey-1, suites: [AES_CM_128_HMAC_SHA1_80]");
    cr_assert_eq(of_defaults("RFC6043-12-1", "algorithms: mikey-1"), 0); /* other default suites */
    cr_assert_eq(of_pair("RFC6043-12-1", "algorithms: mikey-1"), 2);     /* both inherited suites */
    cr_assert_str_eq(finding_where(), "policy.yaml:4 pairs[0].algorithms");
    cr_assert_eq(of_defaults("RFC6043-12-1", "suites: [AEAD_AES_128_GCM]"), 0);
}

Test(policy_rules_settings, sha1_is_told)
{
    cr_assert_eq(of_defaults("RFC6043-12-1-SHA1", "algorithms: mikey-1"), 1);
    cr_assert_eq(of_defaults("RFC6043-12-1-SHA1", "algorithms: mikey-256"), 0);
}

Test(policy_rules_settings, short_tags_are_told)
{
    speaks("SUITE-SHORT-TAG", "suites: [AES_256_CM_HMAC_SHA1_32]",
           "suites: [AES_256_CM_HMAC_SHA1_80, AEAD_AES_256_GCM]");
}

Test(policy_rules_settings, exchanges_without_verification_are_told)
{
    speaks("VERIFICATION", "verification: allowed", "verification: required");
}

Test(policy_rules_settings, wide_clock_skews_are_told)
{
    speaks("CLOCK-SKEW", "clock_skew: 301s", "clock_skew: 300s");
}

Test(policy_rules_settings, macs_in_the_host_are_told)
{
    speaks("MAC-HOST", "mac: host", "mac: token");
}

Test(policy_rules_settings, macs_in_the_host_contradict_derivation_in_the_token)
{
    speaks("MAC-HOST-DERIVE", "mac: host, prf: derive", "mac: token, prf: derive");
    cr_assert_eq(of_defaults("MAC-HOST-DERIVE", "mac: host, prf: any"), 0);
}

Test(policy_rules_settings, message_keys_in_the_host_are_told)
{
    cr_assert_eq(of_defaults("PRF-HOST", "prf: any"), 1);
    cr_assert_eq(of_defaults("PRF-HOST", "prf: derive"), 0);
}

Test(policy_rules_settings, derived_tgks_are_told)
{
    speaks("TGK-DERIVED", "tgk: derived", "tgk: transported");
}

Test(policy_rules_settings, plaintext_provisioning_is_told)
{
    cr_assert_eq(of_defaults("PROVISIONING", "provisioning: plaintext-allowed"), 1);
    cr_assert_str_eq(finding_where(), "policy.yaml:2 defaults.provisioning");
    cr_assert_eq(of_defaults("PROVISIONING", "provisioning: wrapped-only"), 0);
}

Test(policy_rules_settings, session_copies_are_told)
{
    cr_assert_eq(of_defaults("SESSION-COPIES", "session_copies: allowed"), 1);
    cr_assert_eq(of_defaults("SESSION-COPIES", "session_copies: forbidden"), 0);
}

Test(policy_rules_settings, each_relaxation_is_told)
{
    static const char rule[] = "INTEROP";
    cr_assert_eq(findings_of(rule, HEAD NODES "interop: [{peer: \"" A
                                              "\", reply_timestamp: any, v_covers_ids: false, "
                                              "sdp_ids: optional, counter_timestamps: allowed, "
                                              "ids: optional, sp: optional}]\n"),
                 6);
    cr_assert_eq(findings_of(rule, HEAD NODES "interop: [{peer: \"" A
                                              "\", reply_timestamp: same, v_covers_ids: true, "
                                              "sdp_ids: required, counter_timestamps: refused, "
                                              "ids: required, sp: required}]\n"),
                 0);
}
