/*
 * Rules over a policy. Each is one function with an id, a severity, a title and the fields it looks
 * at, listed in the table at the end of the file it stands in: adding a rule touches that file
 * only.
 */
#ifndef POLICY_RULES_H
#define POLICY_RULES_H

#include "policy/findings.h"
#include "policy/internal.h"

struct rule_run;

enum rule_needs {
    RULE_NEEDS_FILE,  /* the policy alone: errors of these make policy_load() fail */
    RULE_NEEDS_CLOCK, /* and the time of day: a file must not stop loading because time passes */
    RULE_NEEDS_TOKEN  /* and the list of the token's objects */
};

struct policy_rule {
    const char *id;
    enum policy_severity severity;
    enum rule_needs needs;
    const char *title;
    const char *fields;
    void (*check)(struct rule_run *run);
};

/* Tables end with a rule without id. */
extern const struct policy_rule policy_rules_structure[];
extern const struct policy_rule policy_rules_identity[];
extern const struct policy_rule policy_rules_keys[];
extern const struct policy_rule policy_rules_usage[];
extern const struct policy_rule policy_rules_settings[];
extern const struct policy_rule policy_rules_clients[];
extern const struct policy_rule policy_rules_token[];

/* One rule at work. */
struct rule_run {
    const struct policy *policy;
    const struct policy_token_key *token_keys;
    size_t token_key_count;
    int64_t now;
    const struct policy_rule *rule;
    struct policy_findings *out;
    size_t told; /* findings of this rule so far, including those left out */
    bool failed; /* memory ran out */
};

/* Adds a finding of the rule that runs. at: where in the file; NULL: the file as a whole. */
void rule_tell(struct rule_run *run, const struct yaml_node *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, at a field of a map when it is given, else at the map. */
const struct yaml_node *rule_field(const struct yaml_node *map, const char *field);
/* The defaults section, or the root of the file when there is none. */
const struct yaml_node *rule_defaults(const struct rule_run *run, const char *field);

/* Calls visit for the defaults, then for every pair and mesh that sets one of the fields itself. */
struct rule_settings {
    const struct yaml_node *at;
    const struct policy_settings *settings;
};
void rule_each_settings(struct rule_run *run, const char *const fields[],
                        void (*visit)(struct rule_run *run, const struct rule_settings *where));

/* The rule number index of all, NULL after the last. */
const struct policy_rule *policy_rule_at(size_t index);

#endif
