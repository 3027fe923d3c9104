/* All rules, in the order in which they run and report. */
#include "policy/rules.h"

static const struct policy_rule *const tables[] = {
    policy_rules_structure, policy_rules_identity, policy_rules_keys,  policy_rules_usage,
    policy_rules_settings,  policy_rules_clients,  policy_rules_token,
};

const struct policy_rule *policy_rule_at(size_t index)
{
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (const struct policy_rule *rule = tables[t]; rule->id != NULL; rule++) {
            if (index-- == 0)
                return rule;
        }
    }
    return NULL;
}
