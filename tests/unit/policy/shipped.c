/* The policies that ship, and the table of requirements. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/rules.h"
#include "tests/unit/policy/requirements.h"
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

/* What the text of the requirements must have next, in the order of the table's fields. */
static const char *rest_of_text;

static void follows_in_text(const char *words, const char *row)
{
    const char *at = strstr(rest_of_text, words);
    cr_assert_not_null(at, "%s: %s", row, words);
    rest_of_text = at + strlen(words);
}

static void name_follows_in_text(const char *word, const char *row)
{
    char quoted[512];
    (void)snprintf(quoted, sizeof quoted, "`%s`", word);
    follows_in_text(quoted, row);
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

/* The whole of a file, with a 0 behind it; free() it. */
static char *file_text(const char *path)
{
    char *text = NULL;
    size_t len = 0;
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    cr_assert_geq(getdelim(&text, &len, '\0', file), 0, "%s", path);
    (void)fclose(file);
    return text;
}

/* Where a line stands that must be there once. */
static char *only_line(char *text, const char *line)
{
    char *at = strstr(text, line);
    cr_assert_not_null(at, "SECURITY.md lacks the line %s", line);
    cr_assert_null(strstr(at + 1, line), "SECURITY.md has twice the line %s", line);
    cr_assert(at == text || at[-1] == '\n');
    return at;
}

Test(policy_shipped, security_md_has_the_requirements_as_the_report_has_them)
{
    char *document = file_text(SOURCES "/SECURITY.md");
    char *expected = requirements_text();
    cr_assert_not_null(expected);
    char *end = only_line(document, REQUIREMENTS_END);
    const char *begin = only_line(document, REQUIREMENTS_BEGIN) + strlen(REQUIREMENTS_BEGIN);
    cr_assert_leq(begin, end);
    *end = '\0';
    cr_assert_str_eq(begin, expected, "run tests/requirements");
    free(expected);
    free(document);
}

Test(policy_shipped, requirements_text_has_every_field_of_every_row)
{
    const struct policy_coverage *row;
    char *text = requirements_text();
    cr_assert_not_null(text);
    for (char *at = text; (at = strpbrk(at, "\n")) != NULL;)
        *at = ' ';
    /* Wrapped lines in one piece: any run of spaces as one. */
    size_t len = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at != ' ' || (len > 0 && text[len - 1] != ' '))
            text[len++] = *at;
    }
    text[len] = '\0';
    rest_of_text = text;
    for (size_t i = 0; (row = policy_coverage_at(i)) != NULL; i++) {
        const char *before = rest_of_text;
        follows_in_text(row->id, row->id);
        follows_in_text(row->section, row->id);
        follows_in_text(row->strength, row->id);
        follows_in_text(row->requirement, row->id);
        follows_in_text(policy_coverage_status_name(row->status), row->id);
        follows_in_text(row->reason, row->id);
        each_word(row->rules, name_follows_in_text, row->id);
        each_word(row->code, name_follows_in_text, row->id);
        each_word(row->test, name_follows_in_text, row->id);
        /* All of it stood in the row's own block. */
        const char *block = strstr(before, "* **");
        const char *next = block == NULL ? NULL : strstr(block + 1, "* **");
        cr_assert(next == NULL || rest_of_text <= next, "%s", row->id);
    }
    free(text);
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
