/* Who may share a key with whom: RFC 9257 4.1, 5.2 and section 6, items 1 to 4. */
#include <stdlib.h>

#include "policy/rules.h"

/* ---- the pairs of each key, without writing meshes out */

/* What a key is used for. first: one unordered pair of it; pairs: how many different ones, where
 * "many" is told apart from one only. */
struct key_use {
    uint32_t low, high; /* the first unordered pair, node indices */
    bool used;
    bool many;
    bool both_directions;
    bool forward, backward;
    unsigned algorithms;                          /* bit per enum mikey_algorithms */
    const struct yaml_node *second_algorithms_at; /* where the second set stands */
    const struct yaml_node *second_at;            /* where the second unordered pair stands */
};

static void use_pair(struct key_use *use, size_t initiator, size_t responder,
                     const struct yaml_node *at)
{
    uint32_t low = (uint32_t)(initiator < responder ? initiator : responder);
    uint32_t high = (uint32_t)(initiator < responder ? responder : initiator);
    if (!use->used) {
        use->used = true;
        use->low = low;
        use->high = high;
    } else if (use->low != low || use->high != high) {
        if (!use->many)
            use->second_at = at;
        use->many = true;
        return;
    }
    if (initiator < responder)
        use->forward = true;
    else
        use->backward = true;
    use->both_directions = use->forward && use->backward;
}

static void use_algorithms(struct key_use *use, enum mikey_algorithms algorithms,
                           const struct yaml_node *at)
{
    const unsigned bit = 1u << algorithms;
    if (use->algorithms != 0 && (use->algorithms & bit) == 0)
        use->second_algorithms_at = at;
    use->algorithms |= bit;
}

/* One entry a key; free() it. NULL when memory runs out. */
static struct key_use *key_uses(struct rule_run *run)
{
    const struct policy *policy = run->policy;
    struct key_use *uses = calloc(policy->key_count + 1, sizeof *uses);
    if (uses == NULL) {
        run->failed = true;
        return NULL;
    }
    for (size_t i = 0; i < policy->pair_count; i++) {
        const struct policy_pair *pair = &policy->pairs[i];
        if (pair->key == NULL || pair->initiator == NULL || pair->responder == NULL)
            continue;
        use_pair(&uses[pair->key->index], pair->initiator->node.index, pair->responder->node.index,
                 pair->at);
        use_algorithms(&uses[pair->key->index], pair->settings.algorithms, pair->at);
    }
    for (size_t i = 0; i < policy->mesh_count; i++) {
        const struct policy_mesh *mesh = &policy->meshes[i];
        if (mesh->key == NULL || mesh->node_count < 2)
            continue;
        struct key_use *use = &uses[mesh->key->index];
        use_algorithms(use, mesh->settings.algorithms, mesh->at);
        use_pair(use, mesh->nodes[0], mesh->nodes[1], mesh->at);
        use_pair(use, mesh->nodes[1], mesh->nodes[0], mesh->at);
        if (mesh->node_count > 2)
            use_pair(use, mesh->nodes[0], mesh->nodes[2], mesh->at);
    }
    return uses;
}

static void each_key_use(struct rule_run *run,
                         void (*visit)(struct rule_run *run, const struct policy_key_entry *entry,
                                       const struct key_use *use))
{
    struct key_use *uses = key_uses(run);
    if (uses == NULL)
        return;
    for (size_t i = 0; i < run->policy->key_count; i++)
        visit(run, &run->policy->keys[i], &uses[i]);
    free(uses);
}

/* ---- rules */

static void psk_shared(struct rule_run *run, const struct policy_key_entry *entry,
                       const struct key_use *use)
{
    if (entry->key.kind == POLICY_KEY_PSK && use->many)
        rule_tell(run, use->second_at,
                  "psk %s already serves %.70s and %.70s: a key used directly belongs to one pair "
                  "of nodes (use kind epsk for more)",
                  entry->key.name, run->policy->nodes[use->low].node.text,
                  run->policy->nodes[use->high].node.text);
}

static void check_psk_shared(struct rule_run *run)
{
    each_key_use(run, psk_shared);
}

/* A mesh whose nodes are listed twice would be a pair of a node with itself. */
static void check_selfie(struct rule_run *run)
{
    const struct policy *policy = run->policy;
    for (size_t i = 0; i < policy->pair_count; i++) {
        const struct policy_pair *pair = &policy->pairs[i];
        if (pair->initiator != NULL && pair->initiator == pair->responder)
            rule_tell(run, pair->at, "%.120s cannot be initiator and responder of one pair",
                      pair->initiator->node.text);
    }
    for (size_t i = 0; i < policy->mesh_count; i++) {
        const struct yaml_node *list = yaml_map_get(policy->meshes[i].at, "nodes");
        size_t known = 0;
        for (size_t j = 0; j < yaml_list_count(list); j++) {
            bool plain;
            const char *text = yaml_scalar(yaml_list_at(list, j), &plain);
            known += policy_node_by_text(policy, text) != NULL ? 1 : 0;
        }
        if (known > policy->meshes[i].node_count)
            rule_tell(run, list, "a node stands in this mesh twice: it would be its own peer");
    }
}

static void psk_roles(struct rule_run *run, const struct policy_key_entry *entry,
                      const struct key_use *use)
{
    if (entry->key.kind == POLICY_KEY_PSK && use->both_directions)
        rule_tell(run, entry->at,
                  "psk %s serves both directions between two nodes: both identities are under each "
                  "MAC and reflected messages are refused, but one key per direction is cleaner",
                  entry->key.name);
}

static void check_psk_roles(struct rule_run *run)
{
    each_key_use(run, psk_roles);
}

/* A mesh between the nodes of explicit pairs in both directions decides nothing, but a policy that
 * says it twice and differently deserves the question. */
static void psk_algorithms(struct rule_run *run, const struct policy_key_entry *entry,
                           const struct key_use *use)
{
    if (entry->key.kind == POLICY_KEY_PSK && use->second_algorithms_at != NULL)
        rule_tell(
            run, use->second_algorithms_at,
            "psk %s is used under %s and %s: a key serves one hash and PRF only (an epsk gets "
            "another key for each)",
            entry->key.name, mikey_algorithms_name(MIKEY_ALGORITHMS_1),
            mikey_algorithms_name(MIKEY_ALGORITHMS_256));
}

static void check_psk_algorithms(struct rule_run *run)
{
    each_key_use(run, psk_algorithms);
}

static void check_group_importer(struct rule_run *run)
{
    const struct policy *policy = run->policy;
    for (size_t i = 0; i < policy->mesh_count; i++) {
        const struct policy_mesh *mesh = &policy->meshes[i];
        if (mesh->key != NULL && mesh->key->kind == POLICY_KEY_PSK && mesh->node_count > 2)
            rule_tell(run, yaml_map_get(mesh->at, "key"),
                      "%zu nodes share psk %s without an importer: make it kind epsk",
                      mesh->node_count, mesh->key->name);
    }
}

static void psk_direct(struct rule_run *run, const struct policy_key_entry *entry,
                       const struct key_use *use)
{
    if (entry->key.kind == POLICY_KEY_PSK && use->used)
        rule_tell(run, rule_field(entry->at, "kind"),
                  "psk %s is used directly, without the importer: right for peers that cannot "
                  "import, else prefer kind epsk",
                  entry->key.name);
}

static void check_psk_direct(struct rule_run *run)
{
    each_key_use(run, psk_direct);
}

static void epsk_group(struct rule_run *run, const struct policy_key_entry *entry,
                       const struct key_use *use)
{
    if (entry->key.kind == POLICY_KEY_EPSK && use->many)
        rule_tell(run, entry->at,
                  "residual risk: whoever holds epsk %s itself can compute the pair key of any two "
                  "of its nodes and impersonate them; give nodes only their pair keys, or one epsk "
                  "a pair",
                  entry->key.name);
}

static void check_epsk_group(struct rule_run *run)
{
    each_key_use(run, epsk_group);
}

static void check_main_key(struct rule_run *run)
{
    for (size_t i = 0; i < run->policy->key_count; i++) {
        const struct policy_key_entry *entry = &run->policy->keys[i];
        if (entry->key.kind == POLICY_KEY_EPSK && !entry->key.delete_main)
            rule_tell(run, rule_field(entry->at, "delete_main"),
                      "epsk %s stays in the token after its pair keys are derived (set delete_main "
                      "where the pairs are known beforehand)",
                      entry->key.name);
    }
}

static void check_length(struct rule_run *run)
{
    if (run->policy->min_psk_bits < 128)
        rule_tell(run, rule_defaults(run, "min_psk_bits"),
                  "min_psk_bits is %u: a PSK has at least 128 bits", run->policy->min_psk_bits);
}

/* RFC 3830 9.1: what protects a key in transport is at least as strong as the key. */
static void weaker_than_suites(struct rule_run *run, const struct rule_settings *where)
{
    for (size_t i = 0; i < where->settings->suite_count; i++) {
        const struct srtp_suite_info *info =
            srtp_suite_info((enum srtp_suite)where->settings->suite_order[i]);
        if (info->key_len * 8u > run->policy->min_psk_bits) {
            rule_tell(run, where->at,
                      "min_psk_bits is %u, but %s has keys of %u bits: they are only as strong as "
                      "the PSK",
                      run->policy->min_psk_bits, info->name, info->key_len * 8u);
            return;
        }
    }
}

static void check_strength(struct rule_run *run)
{
    static const char *const fields[] = {"suites", NULL};
    rule_each_settings(run, fields, weaker_than_suites);
}

const struct policy_rule policy_rules_keys[] = {
    {"RFC9257-6-1-LENGTH", POLICY_ERROR, RULE_NEEDS_FILE, "A PSK is at least 128 bits long",
     "defaults.min_psk_bits", check_length},
    {"RFC3830-9-1-STRENGTH", POLICY_WARNING, RULE_NEEDS_FILE,
     "A PSK is at least as strong as the session keys it protects",
     "defaults.min_psk_bits defaults.suites pairs.suites mesh.suites", check_strength},
    {"RFC9257-6-2", POLICY_ERROR, RULE_NEEDS_FILE, "A psk belongs to one unordered pair of nodes",
     "keys.kind pairs mesh", check_psk_shared},
    {"RFC9257-4-1-SELFIE", POLICY_ERROR, RULE_NEEDS_FILE, "No node is its own peer", "pairs mesh",
     check_selfie},
    {"RFC9257-4-1-ROLES", POLICY_NOTE, RULE_NEEDS_FILE,
     "A psk serves one direction: initiator and responder never switch roles",
     "keys.kind pairs mesh", check_psk_roles},
    {"PSK-ALGORITHMS", POLICY_WARNING, RULE_NEEDS_FILE,
     "A psk is used under one algorithm set only", "keys.kind pairs mesh: algorithms",
     check_psk_algorithms},
    {"RFC9257-6-3-GROUP", POLICY_ERROR, RULE_NEEDS_FILE, "A group's key goes through the importer",
     "keys.kind mesh", check_group_importer},
    {"RFC9257-6-3", POLICY_WARNING, RULE_NEEDS_FILE, "Pairs get their keys through the importer",
     "keys.kind pairs mesh", check_psk_direct},
    {"RFC9257-5-2-GROUP", POLICY_WARNING, RULE_NEEDS_FILE,
     "Members of a group that hold its EPSK can impersonate each other (residual risk)",
     "keys.kind pairs mesh", check_epsk_group},
    {"RFC9257-6-4", POLICY_NOTE, RULE_NEEDS_FILE,
     "The main key is deleted once its pair keys are derived", "keys.delete_main", check_main_key},
    {0},
};
