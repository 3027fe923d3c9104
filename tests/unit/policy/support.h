/* What the policy tests share: policies from text, and questions to their findings. */
#ifndef TEST_POLICY_SUPPORT_H
#define TEST_POLICY_SUPPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/findings.h"
#include "policy/policy.h"

#define A "sip:a@x.example"
#define B "sip:b@x.example"
#define C "sip:c@x.example"

/* 2026-12-01 00:00 UTC: the day on which the tests live. */
#define NOW ((int64_t)1796083200)

/* Parts of a policy without a finding above note: two nodes, an imported key, a client. */
#define HEAD "policy: 1\n"
#define KEYS                                                                                       \
    "keys: [{name: k, kind: epsk, not_before: 2026-11-01, not_after: 2027-11-01, "                 \
    "max_exchanges: 1000, delete_main: true}]\n"
#define NODES "nodes: [\"" A "\", \"" B "\"]\n"
#define PAIRS "pairs: [{initiator: \"" A "\", responder: \"" B "\", key: k}]\n"
#define CLIENTS                                                                                    \
    "clients: [{name: c, uid: 1000, acts_as: [\"" A "\"], may: [initiate, respond], rate: 10}]\n"

/* Loads; fails the test with the error when it does not. Release with policy_unref(). */
struct policy *loaded(const char *text);
/* The error of a policy that must not load, in a buffer that the next call reuses. */
const char *load_error(const char *text);

/* How many findings of that rule; the text of the last in finding_text(), its place in
 * finding_where(). */
size_t findings_of(const char *rule, const char *text);
size_t findings_of_token(const char *rule, const char *text, const struct policy_token_key *keys,
                         size_t count);
const char *finding_text(void);
const char *finding_where(void);

#endif
