/* The policy against a list of the token's objects. */
#include <criterion/criterion.h>

#include "tests/unit/policy/support.h"

/* An imported key whose main object is deleted, one that stays, a psk in rotation. */
static const char text[] =
    "policy: 1\n"
    "keys:\n"
    "  - {name: gone, kind: epsk, delete_main: true, not_after: 2027-06-01}\n"
    "  - {name: core, kind: epsk, generation: 2, not_after: 2027-06-01}\n"
    "  - {name: pbx, kind: psk, generation: 3, previous: {generation: 2, until: 2027-01-01}}\n";

#define OBJECT(k, n, g)                                                                            \
    {                                                                                              \
        .kind = k, .name = n, .generation = g, .bits = 256, .end_date = "",                        \
        .attribute_findings = ""                                                                   \
    }

#define COUNT 6
static const struct policy_token_key good[COUNT] = {
    OBJECT("pair", "gone.0123456789abcdef", 1),
    OBJECT("epskx", "core", 2),
    OBJECT("psk", "pbx", 3),
    OBJECT("psk", "pbx", 2),
    OBJECT("ticket", "t", 1),
    OBJECT("audit", "a", 1),
};

/* The good list with its object at `at` replaced. */
static size_t with(const char *rule, size_t at, struct policy_token_key object)
{
    struct policy_token_key keys[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        keys[i] = i == at ? object : good[i];
    return findings_of_token(rule, text, keys, COUNT);
}

Test(policy_rules_token, a_token_that_fits_has_no_findings)
{
    static const char *const rules[] = {
        "TOKEN-MISSING",    "TOKEN-STRAY", "RFC9257-6-1-TOKEN", "TOKEN-ATTRIBUTES-FATAL",
        "TOKEN-ATTRIBUTES", "TOKEN-DATES", "RFC9257-6-4-TOKEN"};
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        cr_assert_eq(findings_of_token(rules[i], text, good, COUNT), 0, "%s: %s", rules[i],
                     finding_text());
}

Test(policy_rules_token, rules_about_tokens_need_one)
{
    cr_assert_eq(findings_of("TOKEN-MISSING", text), 0);
    cr_assert_eq(findings_of_token("TOKEN-MISSING", text, good, 0), 4);
}

Test(policy_rules_token, missing_objects_are_errors)
{
    struct policy_token_key other = OBJECT("psk", "pbx", 1), wrong_kind = OBJECT("psk", "core", 2);
    cr_assert_eq(with("TOKEN-MISSING", 2, other), 1);
    cr_assert_str_eq(finding_text(), "no object mikeyd/psk/pbx/3 in the token");
    cr_assert_str_eq(finding_where(), "policy.yaml:5 keys[2]");
    cr_assert_eq(with("TOKEN-MISSING", 3, other), 1); /* the previous generation */
    cr_assert_eq(with("TOKEN-MISSING", 1, wrong_kind), 1);
    static const char *const others[] = {"gone2.00", "gone200", "gone.x.00"};
    for (size_t i = 0; i < 3; i++) {
        struct policy_token_key other_pair = OBJECT("pair", others[i], 1);
        cr_assert_eq(with("TOKEN-MISSING", 0, other_pair), 1, "%s", others[i]);
    }
}

Test(policy_rules_token, strays_are_told)
{
    struct policy_token_key stray = OBJECT("psk", "unknown", 1), old = OBJECT("epsk", "core", 1),
                            pair = OBJECT("pair", "unknown.00", 1);
    cr_assert_eq(with("TOKEN-STRAY", 5, stray), 1);
    cr_assert_str_eq(finding_text(), "object mikeyd/psk/unknown/1 is of no key in the policy");
    cr_assert_eq(with("TOKEN-STRAY", 5, old), 1);
    cr_assert_str_eq(finding_text(), "object mikeyd/epsk/core/1 is of no generation in use");
    cr_assert_eq(with("TOKEN-STRAY", 5, pair), 1);
}

Test(policy_rules_token, short_keys_are_errors)
{
    struct policy_token_key weak = OBJECT("psk", "pbx", 3);
    weak.bits = 248;
    cr_assert_eq(with("RFC9257-6-1-TOKEN", 2, weak), 1);
    cr_assert_str_eq(finding_text(), "object mikeyd/psk/pbx/3 has 248 bits, min_psk_bits is 256");
}

Test(policy_rules_token, attributes_that_let_keys_out_are_errors)
{
    struct policy_token_key loose = OBJECT("psk", "pbx", 3);
    loose.attribute_findings = "CKA_EXTRACTABLE is true";
    loose.fatal = true;
    cr_assert_eq(with("TOKEN-ATTRIBUTES-FATAL", 2, loose), 1);
    cr_assert_str_eq(finding_text(), "object mikeyd/psk/pbx/3: CKA_EXTRACTABLE is true");
    cr_assert_eq(with("TOKEN-ATTRIBUTES", 2, loose), 0);
    loose.fatal = false;
    cr_assert_eq(with("TOKEN-ATTRIBUTES", 2, loose), 1);
    cr_assert_eq(with("TOKEN-ATTRIBUTES-FATAL", 2, loose), 0);
}

Test(policy_rules_token, what_no_policy_names_is_a_warning)
{
    struct policy_token_key stray = OBJECT("psk", "old", 1);
    stray.attribute_findings = "CKA_EXTRACTABLE is true";
    stray.fatal = true;
    cr_assert_eq(with("TOKEN-ATTRIBUTES-FATAL", 3, stray), 0);
    cr_assert_eq(with("TOKEN-ATTRIBUTES", 3, stray), 1);
    struct policy_token_key public_object = OBJECT(POLICY_KIND_NONE, "mikeyd/psk/pbx/3", 0);
    public_object.attribute_findings = "CKA_PRIVATE is false";
    public_object.fatal = true;
    cr_assert_eq(with("TOKEN-ATTRIBUTES-FATAL", 4, public_object), 0);
    cr_assert_eq(with("TOKEN-ATTRIBUTES", 4, public_object), 1);
    cr_assert_str_eq(finding_text(), "object mikeyd/psk/pbx/3: CKA_PRIVATE is false");
}

Test(policy_rules_token, dates_agree)
{
    struct policy_token_key dated = OBJECT("epskx", "core", 2);
    dated.end_date = "2027-05-31"; /* its last day; not_after is the day after */
    cr_assert_eq(with("TOKEN-DATES", 1, dated), 0);
    dated.end_date = "2027-05-30";
    cr_assert_eq(with("TOKEN-DATES", 1, dated), 1);
    cr_assert_str_eq(finding_text(), "object mikeyd/epskx/core/2 ends on 2027-05-30, the policy "
                                     "lets it live longer");
    dated.end_date = "2026-11-30";
    cr_assert_eq(with("TOKEN-DATES", 1, dated), 1);
    cr_assert_str_eq(finding_text(), "object mikeyd/epskx/core/2 ended on 2026-11-30");
}

Test(policy_rules_token, main_keys_that_should_be_gone_are_told)
{
    struct policy_token_key main_key = OBJECT("epskx", "gone", 1);
    cr_assert_eq(with("RFC9257-6-4-TOKEN", 5, main_key), 1);
    cr_assert_str_eq(finding_where(), "policy.yaml:3 keys[0].delete_main");
}

Test(policy_rules_token, findings_of_further_tokens_are_added_with_their_name)
{
    struct policy *policy = loaded(text);
    struct policy_findings all, first;
    cr_assert_eq(policy_check(policy, NULL, 0, NOW, &first), MIKEYD_OK);
    cr_assert_eq(policy_check(policy, good, 0, NOW, &all), MIKEYD_OK);
    size_t before = first.count;
    cr_assert_eq(policy_findings_add_token(&first, "pkcs11:token=b", &all), MIKEYD_OK);
    cr_assert_eq(first.count, before + 4);
    cr_assert_str_eq(first.list[before].text,
                     "pkcs11:token=b: no object mikeyd/epsk/gone/1 in the token");
    cr_assert(policy_findings_have_error(&first));
    policy_findings_free(&first);
    policy_findings_free(&all);
    policy_unref(policy);
}
