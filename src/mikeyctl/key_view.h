/* One key of a token as people and scripts see it: shared by list, check and inventory. */
#ifndef MIKEYCTL_KEY_VIEW_H
#define MIKEYCTL_KEY_VIEW_H

#include "mikeyctl/key.h"
#include "mikeyctl/key_state.h"
#include "mikeyctl/pair_names.h"

struct key_text {
    char flags[200], mechanisms[200], findings[600], dates[32];
    const json_t *ends; /* of a pair key that the policy has: "initiator", "responder"; borrowed */
    struct key_state state;
};
enum mikeyd_status key_texts(struct ceremony *ceremony, const struct token_key *key,
                             const struct pair_names *names, struct key_text *out,
                             struct error *err);
/* Whether --kind and --name mean it. */
bool key_is_wanted(const struct key_options *options, const struct token_key *key);
json_t *key_json(const struct ceremony *ceremony, const struct token_key *key,
                 const struct key_text *text);

#endif
