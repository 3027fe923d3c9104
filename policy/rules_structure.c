/* What a policy must be before anything else is asked: references that lead somewhere, each thing
 * once. */
#include <stdlib.h>
#include <string.h>

#include "policy/rules.h"

/* ---- POLICY-REFERENCE ------------------------------------------------------------------------ */

static void need_node(struct rule_run *run, const struct yaml_node *at)
{
    bool plain;
    const char *text = yaml_scalar(at, &plain);
    if (policy_node_by_text(run->policy, text) == NULL)
        rule_tell(run, at, "%.120s is not among the nodes", text);
}

static void need_nodes(struct rule_run *run, const struct yaml_node *list)
{
    for (size_t i = 0; i < yaml_list_count(list); i++)
        need_node(run, yaml_list_at(list, i));
}

static void need_key(struct rule_run *run, const struct yaml_node *at)
{
    bool plain;
    const char *name = yaml_scalar(at, &plain);
    if (policy_key_by_name(run->policy, name) == NULL)
        rule_tell(run, at, "%.64s is not among the keys", name);
}

static void check_references(struct rule_run *run)
{
    const struct policy *policy = run->policy;
    for (size_t i = 0; i < policy->pair_count; i++) {
        const struct yaml_node *at = policy->pairs[i].at;
        need_node(run, yaml_map_get(at, "initiator"));
        need_node(run, yaml_map_get(at, "responder"));
        need_key(run, yaml_map_get(at, "key"));
    }
    for (size_t i = 0; i < policy->mesh_count; i++) {
        need_nodes(run, yaml_map_get(policy->meshes[i].at, "nodes"));
        need_key(run, yaml_map_get(policy->meshes[i].at, "key"));
    }
    for (size_t i = 0; i < policy->client_count; i++)
        need_nodes(run, yaml_map_get(policy->clients[i].at, "acts_as"));
}

/* ---- POLICY-DUPLICATE ------------------------------------------------------------------------ */

static void duplicate_keys_and_nodes(struct rule_run *run)
{
    const struct policy *policy = run->policy;
    for (size_t i = 0; i < policy->key_count; i++) {
        const struct policy_key *key = &policy->keys[i].key;
        const struct policy_key *first = policy_key_by_name(policy, key->name);
        if (first != key)
            rule_tell(run, yaml_map_get(policy->keys[i].at, "name"), "key %s is already in line %d",
                      key->name, first->line);
    }
    for (size_t i = 0; i < policy->node_count; i++) {
        const struct policy_node_entry *entry = &policy->nodes[i];
        if (entry->duplicate_of != i)
            rule_tell(run, entry->at, "node %.120s is already in line %d", entry->node.text,
                      policy->nodes[entry->duplicate_of].node.line);
    }
}

static void duplicate_pairs(struct rule_run *run)
{
    const struct policy *policy = run->policy;
    for (size_t i = 0; i < policy->pair_count; i++) {
        const struct policy_pair *pair = &policy->pairs[i];
        if (pair->initiator == NULL || pair->responder == NULL)
            continue;
        const struct policy_pair *first =
            policy_pair_find(policy, pair->initiator->node.index, pair->responder->node.index);
        if (first != pair)
            rule_tell(run, pair->at, "this directed pair is already in line %d",
                      yaml_line(first->at));
    }
}

static void duplicate_clients(struct rule_run *run)
{
    const struct policy *policy = run->policy;
    for (size_t i = 0; i < policy->client_count; i++) {
        const struct policy_client *client = &policy->clients[i].client, *first;
        const struct yaml_node *at = policy->clients[i].at;
        first = policy_client_by_name(policy, client->name);
        if (first != client)
            rule_tell(run, yaml_map_get(at, "name"), "client %s is already in line %d",
                      client->name, first->line);
        if (client->has_uid && (first = policy_client_by_uid(policy, client->uid)) != client)
            rule_tell(run, yaml_map_get(at, "uid"), "uid %u is already client %s (line %d)",
                      (unsigned)client->uid, first->name, first->line);
        if (client->tls_san != NULL &&
            (first = policy_client_by_san(policy, client->tls_san)) != client)
            rule_tell(run, yaml_map_get(at, "tls_san"), "%.120s is already client %s (line %d)",
                      client->tls_san, first->name, first->line);
    }
}

static void duplicate_interop(struct rule_run *run)
{
    const struct policy *policy = run->policy;
    bool *seen = calloc(policy->node_count + 1, sizeof *seen);
    if (seen == NULL) {
        run->failed = true;
        return;
    }
    for (size_t i = 0; i < policy->interop_count; i++) {
        const struct policy_node_entry *peer = policy->interops[i].peer;
        if (peer == NULL)
            continue;
        if (seen[peer->node.index])
            rule_tell(run, yaml_map_get(policy->interops[i].at, "peer"),
                      "%.120s has its relaxations already", peer->node.text);
        seen[peer->node.index] = true;
    }
    free(seen);
}

static void check_duplicates(struct rule_run *run)
{
    duplicate_keys_and_nodes(run);
    duplicate_pairs(run);
    duplicate_clients(run);
    duplicate_interop(run);
}

/* ---- POLICY-MESH-OVERLAP --------------------------------------------------------------------- */

/* Two meshes that share two nodes both decide that pair: they must say the same. Found through
 * the nodes' lists of meshes, without writing a pair out. */
static void check_mesh_overlap(struct rule_run *run)
{
    const struct policy *policy = run->policy;
    uint32_t *shared = calloc(policy->mesh_count + 1, sizeof *shared);
    if (shared == NULL) {
        run->failed = true;
        return;
    }
    for (size_t m = 0; m < policy->mesh_count; m++) {
        const struct policy_mesh *mesh = &policy->meshes[m];
        memset(shared, 0, policy->mesh_count * sizeof *shared);
        for (size_t i = 0; i < mesh->node_count; i++) {
            const struct policy_node_entry *node = &policy->nodes[mesh->nodes[i]];
            for (size_t j = 0; j < node->mesh_count && node->meshes[j] < m; j++) {
                const struct policy_mesh *earlier = &policy->meshes[node->meshes[j]];
                if (++shared[node->meshes[j]] == 2 &&
                    (earlier->key != mesh->key ||
                     !policy_settings_equal(&earlier->settings, &mesh->settings)))
                    rule_tell(run, mesh->at,
                              "shares two nodes or more (one is %.80s) with the mesh in line %d, "
                              "but not its key and settings: write such pairs under pairs",
                              node->node.text, yaml_line(earlier->at));
            }
        }
    }
    free(shared);
}

/* ---- POLICY-UNUSED --------------------------------------------------------------------------- */

static void unused_nodes(struct rule_run *run)
{
    const struct policy *policy = run->policy;
    bool *used = calloc(policy->node_count + 1, sizeof *used);
    if (used == NULL) {
        run->failed = true;
        return;
    }
    for (size_t i = 0; i < policy->pair_count; i++) {
        const struct policy_pair *pair = &policy->pairs[i];
        if (pair->initiator != NULL)
            used[pair->initiator->node.index] = true;
        if (pair->responder != NULL)
            used[pair->responder->node.index] = true;
    }
    for (size_t i = 0; i < policy->node_count; i++) {
        const struct policy_node_entry *node = &policy->nodes[i];
        if (!used[i] && node->mesh_count == 0 && node->duplicate_of == i && node->problem == NULL)
            rule_tell(run, node->at, "node %.120s is in no pair and no mesh", node->node.text);
    }
    free(used);
}

static void unused_keys(struct rule_run *run)
{
    const struct policy *policy = run->policy;
    bool *used = calloc(policy->key_count + 1, sizeof *used);
    if (used == NULL) {
        run->failed = true;
        return;
    }
    for (size_t i = 0; i < policy->pair_count; i++) {
        if (policy->pairs[i].key != NULL)
            used[policy->pairs[i].key->index] = true;
    }
    for (size_t i = 0; i < policy->mesh_count; i++) {
        const struct policy_mesh *mesh = &policy->meshes[i];
        if (mesh->key != NULL && mesh->node_count > 1)
            used[mesh->key->index] = true;
        if (mesh->node_count < 2)
            rule_tell(run, mesh->at, "a mesh of fewer than two nodes has no pair");
    }
    for (size_t i = 0; i < policy->key_count; i++) {
        if (!used[i])
            rule_tell(run, policy->keys[i].at, "key %s serves no pair", policy->keys[i].key.name);
    }
    free(used);
}

static void check_unused(struct rule_run *run)
{
    const struct policy *policy = run->policy;
    unused_nodes(run);
    unused_keys(run);
    for (size_t i = 0; i < policy->interop_count; i++) {
        if (policy->interops[i].peer == NULL)
            rule_tell(run, yaml_map_get(policy->interops[i].at, "peer"),
                      "this peer is not among the nodes: nothing is relaxed");
    }
    if (policy->pair_count == 0 && policy->mesh_count == 0)
        rule_tell(run, NULL, "no pairs and no mesh: every exchange is refused");
    if (policy->client_count == 0)
        rule_tell(run, NULL, "no clients: every request is refused");
}

const struct policy_rule policy_rules_structure[] = {
    {"POLICY-REFERENCE", POLICY_ERROR, RULE_NEEDS_FILE,
     "Nodes and keys that pairs, meshes and clients name exist",
     "pairs mesh.nodes mesh.key clients.acts_as", check_references},
    {"POLICY-DUPLICATE", POLICY_ERROR, RULE_NEEDS_FILE,
     "Keys, nodes, directed pairs, clients and relaxations stand once",
     "keys.name nodes pairs clients.name clients.uid clients.tls_san interop.peer",
     check_duplicates},
    {"POLICY-MESH-OVERLAP", POLICY_ERROR, RULE_NEEDS_FILE,
     "A pair that lies in two meshes has one key and one set of settings", "mesh",
     check_mesh_overlap},
    {"POLICY-UNUSED", POLICY_NOTE, RULE_NEEDS_FILE, "Everything listed is used",
     "keys nodes pairs mesh clients interop", check_unused},
    {0},
};
