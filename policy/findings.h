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
    char where[160]; /* "policy.yaml:14 keys[0].generation" */
    char text[320];
};

/* What the token holds, as far as rules care; filled from token_key_at() by the caller so that
 * policy needs no PKCS#11. */
struct policy_token_key {
    const char *kind, *name;
    unsigned generation, bits;
    const char *end_date;
    const char *attribute_findings; /* "" or text */
    bool fatal;
};

struct policy_findings {
    struct policy_finding *list;
    size_t count;
};

/* Runs all rules. token_keys may be NULL (offline). MIKEYD_INTERNAL only when memory runs out. */
enum mikeyd_status policy_check(const struct policy *policy,
                                const struct policy_token_key *token_keys, size_t token_key_count,
                                int64_t now, struct policy_findings *out);
void policy_findings_free(struct policy_findings *findings);
bool policy_findings_have_error(const struct policy_findings *findings);
/* {"policy":file,"sha256":..., "findings":[{rule,severity,where,text}], "rules":[{id, status:
 * enforced|reported|not-applicable, reason}]} */
json_t *policy_findings_json(const struct policy *policy, const struct policy_findings *findings);

#endif
