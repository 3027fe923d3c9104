/*
 * A policy with the signatures of officers, each in a file beside it: POLICY.NAME.sig. Where the
 * configuration has officers, a policy is loaded only when the number of different officers that
 * policy_signatures says have signed the very bytes that were parsed, and when it is not older than
 * the last one: its serial is higher, or it is that one.
 */
#ifndef OFFICERS_SIGNED_POLICY_H
#define OFFICERS_SIGNED_POLICY_H

#include "audit/audit.h"
#include "officers/officers.h"
#include "policy/policy.h"

#define POLICY_STATEMENT_MAX 256
/* "ada 0123456789abcdef0123456789abcdef, ben ...": as many as fit. */
#define POLICY_SIGNERS_TEXT 1024

enum policy_signature {
    POLICY_SIGNED,
    POLICY_NOT_SIGNED, /* no such file */
    POLICY_SIGNATURE_UNREAD,
    POLICY_SIGNED_WRONGLY /* not by this key, or not this policy */
};

/* "is not there", for people. */
const char *policy_signature_text(enum policy_signature signature);

struct policy_signers {
    unsigned count;                                /* of different officers */
    char text[POLICY_SIGNERS_TEXT];                /* who, for the audit record; "": nobody */
    enum policy_signature by[CONFIG_OFFICERS_MAX]; /* in the configuration's order */
};

/* The text that an officer signs; POLICY when the policy has no serial. */
enum mikeyd_status policy_statement(const struct policy *policy, const char *officer,
                                    char out[POLICY_STATEMENT_MAX], struct error *err);
/* "POLICY.NAME.sig"; INVALID_ARGUMENT when that is too long. */
enum mikeyd_status policy_signature_path(const char *policy, const char *officer, char *out,
                                         size_t size, struct error *err);

/* Whose signature stands beside the file and holds for what was read of it. */
void policy_look_for_signers(const char *path, const struct policy *policy,
                             const struct officers *officers, struct policy_signers *out);
/*
 * The configuration's policy. Without officers any is taken, but one that says "signatures:
 * required". last: the one loaded before, serial 0 for none. POLICY names what lacks and what to do.
 */
enum mikeyd_status signed_policy_load(const struct config *config, const struct officers *officers,
                                      const struct audit_policy_mark *last, struct policy **out,
                                      struct policy_signers *signers, struct error *err);
/* What signed_policy_load() asks of a policy that is loaded already. */
enum mikeyd_status signed_policy_check(const struct config *config, const char *path,
                                       const struct policy *policy,
                                       const struct policy_signers *signers, struct error *err);
/* What the audit log says of it: 0 where nobody signs. */
uint64_t signed_policy_serial(const struct config *config, const struct policy *policy);

#endif
