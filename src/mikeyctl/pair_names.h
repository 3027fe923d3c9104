/*
 * Whose a pair key is: its object's name is a hash, from which nobody reads the two ends. Known
 * from a policy (the hash is computed again) or from what `key list --json` or `key inventory
 * --json` printed.
 */
#ifndef MIKEYCTL_PAIR_NAMES_H
#define MIKEYCTL_PAIR_NAMES_H

#include <jansson.h>

#include "policy/policy.h"

struct pair_names;
/* NULL when memory runs out. */
struct pair_names *pair_names_make(void);
void pair_names_free(struct pair_names *names);

/* The pairs of the policy, for the generations that it accepts now and all before. */
enum mikeyd_status pair_names_add_policy(struct pair_names *names, const struct policy *policy,
                                         struct error *err);
/* The same of the policy in a file, whatever its findings are. */
enum mikeyd_status pair_names_add_policy_file(struct pair_names *names, const char *path,
                                              struct error *err);
/* Objects with "name", "initiator" and "responder"; others are passed over. */
void pair_names_add_listing(struct pair_names *names, const json_t *keys);
/* The same of a file whose object has them as "keys". */
enum mikeyd_status pair_names_add_listing_file(struct pair_names *names, const char *path,
                                               struct error *err);

/* {"initiator", "responder"} of an object's name, with or without "/GENERATION" at its end and
 * "mikeyd/pair/" in front; NULL when unknown. Borrowed. */
const json_t *pair_names_find(const struct pair_names *names, const char *key);

#endif
