/* The policies that ship, and the table of requirements. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "policy/rules.h"
#include "tests/unit/policy/support.h"

/* The rules that warn about a shipped policy, in order, each once. */
static void warnings_are(const char *file, const char *const expected[])
{
    struct policy *policy;
    struct policy_findings findings;
    struct error err = {0};
    cr_assert_eq(policy_load(file, &policy, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(policy_check(policy, NULL, 0, NOW, &findings), MIKEYD_OK);
    cr_assert_not(policy_findings_have_error(&findings));
    size_t next = 0;
    const char *last = "";
    for (size_t i = 0; i < findings.count; i++) {
        if (findings.list[i].severity != POLICY_WARNING || strcmp(findings.list[i].rule, last) == 0)
            continue;
        last = findings.list[i].rule;
        cr_assert_not_null(expected[next], "%s: %s", last, findings.list[i].text);
        cr_assert_str_eq(last, expected[next]);
        next++;
    }
    cr_assert_null(expected[next], "%s", expected[next]);
    policy_findings_free(&findings);
    policy_unref(policy);
}

Test(policy_shipped, strict_has_no_warnings)
{
    warnings_are(POLICIES "/strict.yaml", (const char *const[]){NULL});
}

Test(policy_shipped, strict_means_it)
{
    struct policy *policy;
    struct policy_decision d;
    cr_assert_eq(policy_load(POLICIES "/strict.yaml", &policy, NULL), MIKEYD_OK);
    struct policy_request request = {.client = policy_client_by_uid(policy, 1001),
                                     .role = POLICY_INITIATE,
                                     .initiator = policy_node_at(policy, 0)->identity,
                                     .responder = policy_node_at(policy, 1)->identity};
    cr_assert_eq(policy_decide(policy, &request, NOW, &d, NULL), MIKEYD_OK);
    cr_assert(d.verification_required && d.prf == POLICY_PRF_DERIVE && d.mac == POLICY_MAC_TOKEN);
    cr_assert_eq(d.algorithms, MIKEY_ALGORITHMS_256);
    cr_assert_eq(d.suites, 1u << SRTP_AEAD_AES_256_GCM);
    cr_assert_leq(policy_max_skew_s(policy), 10);
    cr_assert_eq(policy_get_provisioning(policy), POLICY_WRAPPED_ONLY);
    cr_assert_not(policy_session_copies_allowed(policy));
    policy_unref(policy);
}

Test(policy_shipped, carrier_has_the_residual_risk_of_groups_only)
{
    warnings_are(POLICIES "/carrier.yaml", (const char *const[]){"RFC9257-5-2-GROUP", NULL});
}

static bool count_pair(void *context, const struct policy_node *initiator,
                       const struct policy_node *responder)
{
    (void)initiator;
    (void)responder;
    ++*(size_t *)context;
    return true;
}

Test(policy_shipped, carrier_is_a_full_mesh_in_rotation)
{
    struct policy *policy;
    cr_assert_eq(policy_load(POLICIES "/carrier.yaml", &policy, NULL), MIKEYD_OK);
    size_t pairs = 0;
    policy_each_pair(policy, policy_key_at(policy, 0), count_pair, &pairs);
    cr_assert_eq(pairs, 12);
    cr_assert_eq(policy_key_at(policy, 0)->previous_generation, 1);
    policy_unref(policy);
}

Test(policy_shipped, laboratory_warns_of_what_makes_it_one)
{
    warnings_are(POLICIES "/laboratory.yaml",
                 (const char *const[]){"RFC3830-9-1-STRENGTH", "RFC9257-6-3", "KEY-EXCHANGES",
                                       "SUITE-SHORT-TAG", "VERIFICATION", "PROVISIONING", "INTEROP",
                                       "CLIENT-SCOPE", "CLIENT-BOTH-ENDS", NULL});
}

Test(policy_shipped, laboratory_serves_both_kinds_of_keys)
{
    struct policy *policy;
    cr_assert_eq(policy_load(POLICIES "/laboratory.yaml", &policy, NULL), MIKEYD_OK);
    for (size_t i = 0; i < policy_key_count(policy); i++) {
        size_t pairs = 0;
        policy_each_pair(policy, policy_key_at(policy, i), count_pair, &pairs);
        cr_assert_eq(pairs, 2);
    }
    cr_assert_eq(policy_key_at(policy, 0)->kind, POLICY_KEY_EPSK);
    cr_assert_eq(policy_key_at(policy, 1)->kind, POLICY_KEY_PSK);
    policy_unref(policy);
}

/* ---- the table */

static bool is_rule(const char *id)
{
    const struct policy_rule *rule;
    for (size_t i = 0; (rule = policy_rule_at(i)) != NULL; i++) {
        if (strcmp(rule->id, id) == 0)
            return true;
    }
    return false;
}

static void each_word(const char *words, void (*check)(const char *word, const char *row),
                      const char *row)
{
    char copy[512];
    char *rest = NULL;
    (void)snprintf(copy, sizeof copy, "%s", words);
    for (char *w = strtok_r(copy, " ", &rest); w != NULL; w = strtok_r(NULL, " ", &rest))
        check(w, row);
}

static void must_be_rule(const char *word, const char *row)
{
    cr_assert(is_rule(word), "%s: no rule %s", row, word);
}

static void must_be_file(const char *word, const char *row)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", SOURCES, word);
    cr_assert_eq(access(path, F_OK), 0, "%s: no file %s", row, word);
}

Test(policy_shipped, every_requirement_names_rules_code_and_tests_that_exist)
{
    const struct policy_coverage *row;
    size_t rfc9257 = 0;
    for (size_t i = 0; (row = policy_coverage_at(i)) != NULL; i++) {
        rfc9257 += strncmp(row->section, "RFC 9257", 8) == 0 ? 1 : 0;
        cr_assert_gt(strlen(row->reason), 20, "%s", row->id);
        each_word(row->rules, must_be_rule, row->id);
        each_word(row->code, must_be_file, row->id);
        each_word(row->test, must_be_file, row->id);
        if (row->status != POLICY_NOT_APPLICABLE)
            cr_assert(row->code[0] != '\0' && row->test[0] != '\0', "%s", row->id);
        if (row->status == POLICY_REPORTED)
            cr_assert_neq(row->rules[0], '\0', "%s", row->id);
    }
    cr_assert_eq(rfc9257, 25);
}

/* "a b" as "`a` `b`", nothing as "-". */
static void put_words(FILE *out, const char *words)
{
    if (words[0] == '\0')
        (void)fputs("-", out);
    for (const char *at = words; *at != '\0';) {
        const size_t len = strcspn(at, " ");
        (void)fprintf(out, "%s`%.*s`", at == words ? "" : " ", (int)len, at);
        at += len + (at[len] == ' ');
    }
}

/* The row as SECURITY.md has it; free() it. */
static char *row_text(const struct policy_coverage *row)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    cr_assert_not_null(out);
    (void)fprintf(out, "| %s | %s | %s | %s | %s | %s | ", row->id, row->section, row->strength,
                  row->requirement, policy_coverage_status_name(row->status), row->reason);
    put_words(out, row->rules);
    (void)fputs(" | ", out);
    put_words(out, row->code);
    (void)fputs(" | ", out);
    put_words(out, row->test);
    (void)fputs(" |\n", out);
    cr_assert_eq(fclose(out), 0);
    return text;
}

Test(policy_shipped, security_md_has_the_requirements_as_the_report_has_them)
{
    static char line[8192];
    size_t index = 0;
    FILE *file = fopen(SOURCES "/SECURITY.md", "r");
    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "| RFC", 5) != 0)
            continue;
        const struct policy_coverage *row = policy_coverage_at(index++);
        cr_assert_not_null(row, "one row too many: %s", line);
        char *text = row_text(row);
        cr_expect_str_eq(line, text, "SECURITY.md should say: %s", text);
        free(text);
    }
    (void)fclose(file);
    cr_assert_null(policy_coverage_at(index), "%s is missing", policy_coverage_at(index)->id);
}

Test(policy_shipped, rules_have_ids_of_their_own)
{
    const struct policy_rule *rule, *other;
    for (size_t i = 0; (rule = policy_rule_at(i)) != NULL; i++) {
        cr_assert(rule->title[0] != '\0' && rule->fields[0] != '\0', "%s", rule->id);
        for (size_t j = i + 1; (other = policy_rule_at(j)) != NULL; j++)
            cr_assert_str_neq(rule->id, other->id);
    }
}

Test(policy_shipped, findings_are_one_json_object)
{
    struct policy *policy = loaded(HEAD KEYS NODES PAIRS CLIENTS);
    struct policy_findings findings;
    cr_assert_eq(policy_check(policy, NULL, 0, NOW, &findings), MIKEYD_OK);
    json_t *json = policy_findings_json(policy, &findings);
    cr_assert_str_eq(json_string_value(json_object_get(json, "policy")), "policy.yaml");
    cr_assert_str_eq(json_string_value(json_object_get(json, "sha256")), policy_sha256(policy));
    json_t *list = json_object_get(json, "findings");
    cr_assert_eq(json_array_size(list), findings.count);
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(list, 0), "severity")),
                     "note");
    json_t *rules = json_object_get(json, "rules");
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(rules, 5), "status")),
                     "not-applicable");
    json_decref(json);
    policy_findings_free(&findings);
    policy_unref(policy);
}
