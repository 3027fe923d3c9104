/* Identities that are none, or look like another. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/policy/support.h"

static size_t between(const char *rule, const char *one, const char *other)
{
    char text[2000];
    (void)snprintf(text, sizeof text, HEAD "nodes:\n  - \"%s\"\n  - \"%s\"\n", one, other);
    return findings_of(rule, text);
}

Test(policy_rules_identity, identities_have_1_to_255_bytes)
{
    static const char rule[] = "RFC9257-6-1-1-IDENTITY";
    char longest[256 + 1];
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "sip:", 4);
    longest[255] = '\0';
    cr_assert_eq(between(rule, longest, A), 0);
    longest[255] = 'x';
    longest[256] = '\0';
    cr_assert_eq(between(rule, longest, A), 1);
    cr_assert_str_eq(finding_text(), "identity has 256 bytes, at most 255 allowed");
    cr_assert_str_eq(finding_where(), "policy.yaml:3 nodes[0]");
    cr_assert_eq(between(rule, "", A), 1);
    cr_assert_str_eq(finding_text(), "identity is empty");
    cr_assert_eq(between(rule, "hex:", A), 1);
    cr_assert_eq(between(rule, "no identity", A), 1);
    cr_assert_eq(between(rule, "user@host", "hex:00ff"), 0);
}

Test(policy_rules_identity, nodes_do_not_differ_by_unicode_form_only)
{
    static const char rule[] = "RFC9257-6-1-1-NORMALISATION";
    cr_assert_eq(between(rule, A, B), 0);
    /* e with acute: composed; letter and combining accent */
    cr_assert_eq(between(rule, "sip:caf\xc3\xa9@x", "sip:cafe\xcc\x81@x"), 1);
    /* the ligature fi; full-width a */
    cr_assert_eq(between(rule, "sip:\xef\xac\x81@x", "sip:fi@x"), 1);
    cr_assert_eq(between(rule, "sip:\xef\xbd\x81@x", "sip:a@x"), 1);
    cr_assert_eq(between(rule, "hex:ff00", "hex:ff01"), 0);
}

/* Which loads: a peer may send our URI as an NAI, and others as a URI. */
Test(policy_rules_identity, nodes_that_differ_by_type_only_are_told)
{
    static const char rule[] = "RFC9257-6-1-1-TYPE";
    cr_assert_eq(between(rule, A, B), 0);
    cr_assert_eq(between(rule, "sip:a", "hex:7369703a61"), 1);
    cr_assert_eq(between(rule, "sip:a@x", "nai:sip:a@x"), 1);
    cr_assert_eq(between("RFC9257-6-1-1-NORMALISATION", "sip:a@x", "nai:sip:a@x"), 0);
    cr_assert_eq(between("RFC9257-6-1-1-CONFUSABLE", "sip:a@x", "nai:sip:a@x"), 0);
}

Test(policy_rules_identity, nodes_do_not_look_alike)
{
    static const char rule[] = "RFC9257-6-1-1-CONFUSABLE";
    cr_assert_eq(between(rule, A, B), 0);
    cr_assert_eq(between(rule, "sip:sbc-1@x", "sip:sbc-2@x"), 0);
    cr_assert_eq(between(rule, "sip:SBC@x", "sip:sbc@x"), 1);
    cr_assert_eq(between(rule, "sip:sbc-0@x", "sip:sbc-O@x"), 1);
    cr_assert_eq(between(rule, "sip:sbc-1@x", "sip:sbc-l@x"), 1);
    cr_assert_eq(between(rule, "sip:modem@x", "sip:modern@x"), 1);
    cr_assert_eq(between(rule, "sip:\xd1\x81@x", "sip:c@x"), 1);         /* Cyrillic es */
    cr_assert_eq(between(rule, "sip:a\xe2\x80\x8b@x", "sip:a@x"), 1);    /* zero-width space */
    cr_assert_eq(between(rule, "sip:a\xe2\x80\x93z@x", "sip:a-z@x"), 1); /* en dash */
}

Test(policy_rules_identity, identities_are_in_normal_form)
{
    static const char rule[] = "RFC9257-6-1-1-FORM";
    cr_assert_eq(between(rule, "sip:caf\xc3\xa9@x", A), 0);
    cr_assert_eq(between(rule, "sip:cafe\xcc\x81@x", A), 1);
    cr_assert_eq(between(rule, "hex:ff", A), 0);
}

Test(policy_rules_identity, that_identities_are_visible_is_told)
{
    cr_assert_eq(findings_of("RFC9257-7-PRIVACY", HEAD NODES), 1);
    cr_assert_eq(findings_of("RFC9257-7-PRIVACY", HEAD), 0);
}
