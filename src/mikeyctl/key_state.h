/*
 * The state of a key after NIST SP 800-57 Part 1, section 7, as far as policy, dates and the token
 * tell: pre-activation, active, deactivated. That a key is suspended or compromised only people
 * know; destroyed ones are in the audit log, not in the token.
 */
#ifndef MIKEYCTL_KEY_STATE_H
#define MIKEYCTL_KEY_STATE_H

#include "pkcs11/token/token.h"
#include "policy/policy.h"

struct key_state {
    const char *name; /* "pre-activation", "active", "deactivated", or "unknown" */
    char why[160];
    char not_before[11], not_after[11]; /* the policy's where it has them, else the token's; "" */
};

/* in_policy: a pair key is one of the policy's pairs; not looked at for other kinds. now: Unix
 * seconds. */
void key_state_of(const struct policy *policy, const struct token_key *key, bool in_policy,
                  int64_t now, struct key_state *out);

#endif
