/* The pairs of the policy and their keys in a token: shared by derive and check. */
#ifndef MIKEYCTL_KEY_PAIRS_H
#define MIKEYCTL_KEY_PAIRS_H

#include "importer/importer.h"
#include "mikeyctl/key.h"

/* The key of that kind, name and generation as listed, whatever its findings; NULL when absent. */
const struct token_key *pairs_listed(const struct ceremony *ceremony, enum token_kind kind,
                                     const char *name, unsigned generation);
/* The main key (epsk, or epskx) of a policy key's generation; NULL when absent. */
const struct token_key *pairs_main_key(const struct ceremony *ceremony,
                                       const struct policy_key *key, unsigned generation);

/* One directed pair: its importer values, and its object if there is one. */
struct pair_view {
    const struct policy_node *initiator, *responder;
    struct importer_pair importer;
    const struct token_key *object;
};
/*
 * Calls visit for every pair of an epsk's generation until it returns something else than OK, which
 * is then returned.
 */
enum mikeyd_status pairs_each(
    struct ceremony *ceremony, const struct policy_key *key, unsigned generation,
    enum mikeyd_status (*visit)(void *context, const struct pair_view *pair, struct error *err),
    void *context, struct error *err);

/* Counts of a generation's pairs, and the first that is not there. */
struct pairs_count {
    size_t pairs, present, unfit; /* unfit: there, but refused for its attributes */
    size_t foreign;               /* present, but not of the main key that is there */
    char first_missing[600], first_foreign[600];
};
/* Whether a pair's object is of this main key; true when there is no main key to ask. */
enum mikeyd_status pairs_verify(struct ceremony *ceremony, const struct token_key *main_key,
                                const struct pair_view *pair, bool *same, struct error *err);
enum mikeyd_status pairs_count(struct ceremony *ceremony, const struct policy_key *key,
                               unsigned generation, struct pairs_count *out, struct error *err);

/* Generations that matter now: the current one, and the previous one while it is accepted. */
size_t pairs_generations(const struct policy_key *key, int64_t now, unsigned out[2]);

#endif
