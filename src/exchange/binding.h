/*
 * A policy bound to the token: for every key of the policy the token objects of its current and
 * previous generation, and an index of the pair objects. Built as a whole before a policy comes
 * into force; immutable and reference-counted, so a request ends under the binding it began with.
 */
#ifndef EXCHANGE_BINDING_H
#define EXCHANGE_BINDING_H

#include <stdatomic.h>

#include "keyholder/pair_cache.h"
#include "mikey/psk.h"
#include "pkcs11/token.h"
#include "policy/policy.h"

/*
 * What is taken from a token's keys is taken while binding: a later rescan may be rewriting them,
 * though never their place, while a request runs.
 */

/* One generation of a policy key. */
struct bound_generation {
    unsigned generation;
    size_t block_count;           /* of psk */
    const struct token_key *psk;  /* kind psk: used directly */
    const struct token_key *epsk; /* kind epsk on a token with HKDF: pair keys come from it */
    unsigned bits;                /* true length of what was provisioned */
    atomic_bool *warmed;          /* of a psk: its copies have been asked for */
};

struct bound_key {
    const struct policy_key *key;
    struct bound_generation current, previous;
    bool has_previous;
    atomic_bool warmed[2];
};

/* A token object of kind pair. */
struct bound_pair {
    char name[TOKEN_NAME_MAX];
    unsigned generation;
    const struct token_key *key;
};

struct binding {
    atomic_uint references;
    uint64_t serial;
    struct policy *policy;
    struct token *token;
    struct token_facts facts; /* as of binding: hkdf and prf_derive do not change */
    struct bound_key *keys;   /* by policy_key.index */
    struct bound_pair *pairs;
    size_t pair_count;
    uint32_t *pair_slots; /* open addressing by name and generation: index + 1 of pairs, 0: free */
    size_t pair_mask;
};

/*
 * Takes a reference on policy. TOKEN_DOWN naming the missing object and the command that makes it,
 * POLICY when an object is weaker than the policy demands or the token cannot do `prf: derive`.
 */
enum mikeyd_status binding_make(struct token *token, struct policy *policy, uint64_t serial,
                                struct binding **out, struct error *err);
struct binding *binding_ref(struct binding *binding);
void binding_unref(struct binding *binding);

/* The pair object of that name, or NULL. */
const struct token_key *binding_find_pair(const struct binding *binding, const char *object_name,
                                          unsigned generation);

#endif
