/*
 * A policy bound to the keys that the group of tokens holds: for every key of the policy its
 * current and previous generation, and what is known of them. Built as a whole before a policy
 * comes into force; immutable and reference-counted, so a request ends under the binding it began
 * with.
 */
#ifndef EXCHANGE_BINDING_H
#define EXCHANGE_BINDING_H

#include <stdatomic.h>

#include "exchange/tally.h"
#include "keys/keys.h"
#include "policy/policy.h"

/* One generation of a policy key. */
struct bound_generation {
    unsigned generation;
    unsigned bits; /* true length of what was provisioned */
    bool derives;  /* of kind epsk: pair keys are derived in the tokens where no object is */
};

struct bound_key {
    const struct policy_key *key;
    struct bound_generation current, previous;
    bool has_previous;
};

struct binding {
    atomic_uint references;
    uint64_t serial;
    struct policy *policy;
    struct bound_key *keys;     /* by policy_key.index */
    struct tally_place **tally; /* by policy_client.index */
};

/*
 * Takes a reference on policy; its clients have their places in tally. TOKEN_DOWN naming the missing object and the command that makes it,
 * POLICY when an object is weaker than the policy demands, would let its key out, or when the
 * tokens cannot do `prf: derive`.
 */
enum mikeyd_status binding_make(struct keys_group *keys, struct tally *tally, struct policy *policy,
                                uint64_t serial, struct binding **out, struct error *err);
struct binding *binding_ref(struct binding *binding);
void binding_unref(struct binding *binding);

#endif
