#include "tests/unit/policy/support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct policy_finding last;

struct policy *loaded(const char *text)
{
    struct policy *policy;
    struct error err = {0};
    cr_assert_eq(policy_load_text(text, strlen(text), "policy.yaml", &policy, &err), MIKEYD_OK,
                 "%s", err.text);
    return policy;
}

const char *load_error(const char *text)
{
    static struct error err;
    struct policy *policy;
    err.text[0] = '\0';
    cr_assert_neq(policy_load_text(text, strlen(text), "policy.yaml", &policy, &err), MIKEYD_OK,
                  "it loads");
    cr_assert_null(policy);
    return err.text;
}

size_t findings_of_token(const char *rule, const char *text, const struct policy_token_key *keys,
                         size_t count)
{
    struct policy *policy;
    struct error err = {0};
    cr_assert_eq(policy_load_text_to_check(text, strlen(text), "policy.yaml", &policy, &err),
                 MIKEYD_OK, "%s", err.text);
    struct policy_findings findings;
    cr_assert_eq(policy_check(policy, keys, count, NOW, &findings), MIKEYD_OK);
    size_t found = 0;
    for (size_t i = 0; i < findings.count; i++) {
        if (strcmp(findings.list[i].rule, rule) == 0) {
            found++;
            last = findings.list[i];
        }
    }
    policy_findings_free(&findings);
    policy_unref(policy);
    return found;
}

size_t findings_of(const char *rule, const char *text)
{
    return findings_of_token(rule, text, NULL, 0);
}

const char *finding_text(void)
{
    return last.text;
}

const char *finding_where(void)
{
    return last.where;
}
