/*
 * Findings of a policy against RFC 9257 (and RFC 3830, 6043 where they ask for the same): one
 * function a rule, each with an id, severity and the fields it looked at. policy/rules.c lists
 * them; adding a rule touches that file only.
 */
#ifndef POLICY_FINDINGS_H
#define POLICY_FINDINGS_H

#include <jansson.h>

#include "policy/policy.h"

enum policy_severity { POLICY_NOTE, POLICY_WARNING, POLICY_ERROR };
const char *policy_severity_name(enum policy_severity severity); /* "note", "warning", "error" */

struct policy_finding {
    const char *rule; /* "RFC9257-6-2" */
    enum policy_severity severity;
    bool about_token; /* found by comparing with the token's objects */
    char where[160];  /* "policy.yaml:14 keys[0].generation" */
    char text[320];
};

/* What the token holds, as far as rules care; filled from token_key_at() by the caller so that
 * policy needs no PKCS#11. */
#define POLICY_KIND_NONE "unknown" /* kind of what is no key: name is its whole label */
struct policy_token_key {
    const char *kind, *name;
    unsigned generation, bits; /* bits of a pair or epskx: of their epsk; 0: unknown */
    const char *end_date;
    const char *attribute_findings; /* "" or text */
    bool fatal;
};

struct policy_findings {
    struct policy_finding *list;
    size_t count;
};

/*
 * Loads a policy for policy_check() and policy_difference() only: SYNTAX for what cannot be read,
 * but what policy_load() would refuse by a rule is kept for the rules to report, all of it. Never
 * to be decided by.
 */
enum mikeyd_status policy_load_to_check(const char *path, struct policy **out, struct error *err);
enum mikeyd_status policy_load_text_to_check(const char *text, size_t len, const char *name,
                                             struct policy **out, struct error *err);

/*
 * Runs the rules of severity error that need neither token nor clock: what policy_load() refuses.
 */
enum mikeyd_status policy_check_errors(const struct policy *policy, struct policy_findings *out);

/* Runs all rules. token_keys may be NULL (offline). MIKEYD_INTERNAL only when memory runs out. */
enum mikeyd_status policy_check(const struct policy *policy,
                                const struct policy_token_key *token_keys, size_t token_key_count,
                                int64_t now, struct policy_findings *out);
/* Adds copies of those of `from` that are about a token, with "prefix: " before their text when it
 * is given: for the second and later tokens of a failover group. */
enum mikeyd_status policy_findings_add_token(struct policy_findings *findings, const char *prefix,
                                             const struct policy_findings *from);
void policy_findings_free(struct policy_findings *findings);
bool policy_findings_have_error(const struct policy_findings *findings);
/* {"policy":file,"sha256":..., "findings":[{rule,severity,where,text}], "rules":[{id, status:
 * enforced|reported|not-applicable, reason}]} */
json_t *policy_findings_json(const struct policy *policy, const struct policy_findings *findings);

/*
 * What a reload changes, for its audit record: {"sha256":{"old","new"}, "defaults":{...}, "limits",
 * "keys", "nodes", "pairs", "mesh", "clients", "interop"}, each section {"added":[name],
 * "removed":[name], "changed":[name]} and absent when nothing changed. At most 32 names a list,
 * then "and N more". NULL when memory runs out; the caller drops the reference.
 */
json_t *policy_difference(const struct policy *old, const struct policy *new);

/* How one requirement of RFC 9257 or RFC 3830 is met; NULL after the last. */
enum policy_coverage_status {
    POLICY_ENFORCED,      /* refused by the loader, the daemon or by construction */
    POLICY_REPORTED,      /* the operator decides; a finding tells */
    POLICY_NOT_APPLICABLE /* with the reason */
};
struct policy_coverage {
    const char *id;          /* "RFC9257-6-1-3": the row */
    const char *section;     /* "RFC 9257 6 (1)" */
    const char *strength;    /* "MUST" ... */
    const char *requirement; /* in our words */
    enum policy_coverage_status status;
    const char *reason; /* how, or why not */
    const char *rules;  /* ids of rules that speak of it, or "" */
    const char *code;   /* files that do it, or "" */
    const char *test;   /* files that prove it, or "" */
};
const struct policy_coverage *policy_coverage_at(size_t index);
const char *policy_coverage_status_name(enum policy_coverage_status status);

#endif
