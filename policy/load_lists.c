/* Reading the lists of policy.yaml: keys, nodes, pairs, meshes. Clients: load_clients.c. */
#include "policy/internal.h"

#include <stdlib.h>
#include <string.h>

/* In names of keys, which become object labels mikeyd/KIND/NAME/GENERATION. */
#define KEY_NAME_MAX 64
#define GENERATION_MAX 1000000000

/* ---- shared ---------------------------------------------------------------------------------- */

enum mikeyd_status policy_out_of_memory(struct error *err)
{
    return error_set(err, MIKEYD_INTERNAL, "out of memory");
}

enum mikeyd_status policy_section_count(const struct yaml_node *list, size_t *count,
                                        struct error *err)
{
    *count = 0;
    if (list == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = yaml_list_check(list, err);
    if (status == MIKEYD_OK)
        *count = yaml_list_count(list);
    return status;
}

void *policy_section_room(size_t count, size_t item_size)
{
    return calloc(count == 0 ? 1 : count, item_size);
}

enum mikeyd_status policy_require(const struct yaml_node *map, const char *field,
                                  const struct yaml_node **out, struct error *err)
{
    *out = yaml_map_get(map, field);
    if (*out == NULL)
        return yaml_fail(map, err, "the field \"%s\" is missing", field);
    return MIKEYD_OK;
}

enum mikeyd_status policy_require_string(const struct yaml_node *map, const char *field,
                                         const char **out, struct error *err)
{
    const struct yaml_node *node;
    enum mikeyd_status status = policy_require(map, field, &node, err);
    return status == MIKEYD_OK ? yaml_string(node, out, err) : status;
}

enum mikeyd_status policy_require_name(const struct yaml_node *map, const char **out,
                                       struct error *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._-";
    enum mikeyd_status status = policy_require_string(map, "name", out, err);
    if (status != MIKEYD_OK)
        return status;
    size_t len = strlen(*out);
    if (len == 0 || len > KEY_NAME_MAX || strspn(*out, allowed) != len)
        return yaml_fail(yaml_map_get(map, "name"), err,
                         "a name has 1 to %d letters, digits, \".\", \"_\" or \"-\"", KEY_NAME_MAX);
    return MIKEYD_OK;
}

static int compare_u32(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

enum mikeyd_status policy_read_node_set(const struct policy *policy, const struct yaml_node *list,
                                        uint32_t **out, size_t *out_count, struct error *err)
{
    enum mikeyd_status status = yaml_list_check(list, err);
    if (status != MIKEYD_OK)
        return status;
    size_t count = yaml_list_count(list);
    uint32_t *set = calloc(count == 0 ? 1 : count, sizeof *set);
    if (set == NULL)
        return policy_out_of_memory(err);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const char *text;
        status = yaml_string(yaml_list_at(list, i), &text, err);
        if (status != MIKEYD_OK) {
            free(set);
            return status;
        }
        const struct policy_node_entry *node = policy_node_by_text(policy, text);
        if (node != NULL)
            set[used++] = (uint32_t)node->node.index;
    }
    qsort(set, used, sizeof *set, compare_u32);
    size_t kept = 0;
    for (size_t i = 0; i < used; i++) {
        if (kept == 0 || set[kept - 1] != set[i])
            set[kept++] = set[i];
    }
    *out = set;
    *out_count = kept;
    return MIKEYD_OK;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static bool same_key_name(const void *context, size_t other)
{
    const struct policy *policy = context;
    /* The key being added is the one after the last that is counted. */
    return strcmp(policy->keys[other].key.name, policy->keys[policy->key_count].key.name) == 0;
}

static enum mikeyd_status read_previous(struct policy_key *key, const struct yaml_node *map,
                                        struct error *err)
{
    static const char *const known[] = {"generation", "until", NULL};
    enum mikeyd_status status = yaml_map_check(map, known, err);
    const struct yaml_node *generation, *until;
    if (status == MIKEYD_OK)
        status = policy_require(map, "generation", &generation, err);
    if (status == MIKEYD_OK)
        status = policy_require(map, "until", &until, err);
    uint64_t number = 0;
    if (status == MIKEYD_OK)
        status = yaml_unsigned(generation, 1, GENERATION_MAX, &number, err);
    if (status == MIKEYD_OK)
        status = yaml_date(until, &key->previous_until, err);
    key->previous_generation = (unsigned)number;
    return status;
}

static enum mikeyd_status read_key_dates(struct policy_key *key, const struct yaml_node *map,
                                         struct error *err)
{
    const struct yaml_node *node;
    enum mikeyd_status status = MIKEYD_OK;
    if ((node = yaml_map_get(map, "not_before")) != NULL)
        status = yaml_date(node, &key->not_before, err);
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "not_after")) != NULL)
        status = yaml_date(node, &key->not_after, err);
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "previous")) != NULL)
        status = read_previous(key, node, err);
    return status;
}

static enum mikeyd_status read_key(struct policy_key *key, const struct yaml_node *map,
                                   struct error *err)
{
    static const char *const known[] = {
        "name",          "kind",        "generation", "not_before", "not_after",
        "max_exchanges", "delete_main", "transport",  "previous",   NULL};
    static const char *const kinds[] = {"psk", "epsk", NULL};
    enum mikeyd_status status = yaml_map_check(map, known, err);
    if (status == MIKEYD_OK)
        status = policy_require_name(map, &key->name, err);
    const struct yaml_node *node;
    size_t kind = 0;
    if (status == MIKEYD_OK)
        status = policy_require(map, "kind", &node, err);
    if (status == MIKEYD_OK)
        status = policy_read_word(node, kinds, &kind, err);
    key->kind = kind == 0 ? POLICY_KEY_PSK : POLICY_KEY_EPSK;
    uint64_t generation = 1;
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "generation")) != NULL)
        status = yaml_unsigned(node, 1, GENERATION_MAX, &generation, err);
    key->generation = (unsigned)generation;
    if (status == MIKEYD_OK)
        status = read_key_dates(key, map, err);
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "max_exchanges")) != NULL)
        status = yaml_unsigned(node, 1, UINT64_MAX, &key->max_exchanges, err);
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "delete_main")) != NULL)
        status = yaml_bool(node, &key->delete_main, err);
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "transport")) != NULL)
        status = yaml_bool(node, &key->transport, err);
    key->line = yaml_line(map);
    return status;
}

enum mikeyd_status policy_read_keys(struct policy *policy, const struct yaml_node *list,
                                    struct error *err)
{
    size_t count;
    enum mikeyd_status status = policy_section_count(list, &count, err);
    if (status != MIKEYD_OK)
        return status;
    policy->keys = policy_section_room(count, sizeof *policy->keys);
    if (policy->keys == NULL || !policy_index_make(&policy->by_key, count))
        return policy_out_of_memory(err);
    for (size_t i = 0; status == MIKEYD_OK && i < count; i++) {
        struct policy_key_entry *entry = &policy->keys[i];
        entry->at = yaml_list_at(list, i);
        entry->key.index = i;
        status = read_key(&entry->key, entry->at, err);
        if (status != MIKEYD_OK)
            break;
        (void)policy_index_put(&policy->by_key,
                               policy_hash_bytes(entry->key.name, strlen(entry->key.name)), i,
                               same_key_name, policy);
        policy->key_count = i + 1;
    }
    return status;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static bool same_identity(const void *context, size_t other)
{
    const struct policy *policy = context;
    return identity_equal(&policy->nodes[other].node.identity,
                          &policy->nodes[policy->node_count].node.identity);
}

/* Only hex: identities need memory of their own; the others are views of the file's text. */
static enum mikeyd_status read_identity(struct policy_node_entry *entry, struct error *err)
{
    uint8_t store[IDENTITY_MAX];
    struct error why;
    struct identity *identity = &entry->node.identity;
    if (identity_parse(entry->node.text, store, identity, &why) != MIKEYD_OK) {
        *identity = (struct identity){0};
        entry->problem = entry->node.text;
        return MIKEYD_OK;
    }
    if (identity->data == store) {
        entry->store = malloc(identity->len);
        if (entry->store == NULL)
            return policy_out_of_memory(err);
        memcpy(entry->store, store, identity->len);
        identity->data = entry->store;
    }
    return MIKEYD_OK;
}

enum mikeyd_status policy_read_nodes(struct policy *policy, const struct yaml_node *list,
                                     struct error *err)
{
    size_t count;
    enum mikeyd_status status = policy_section_count(list, &count, err);
    if (status != MIKEYD_OK)
        return status;
    policy->nodes = policy_section_room(count, sizeof *policy->nodes);
    if (policy->nodes == NULL || !policy_index_make(&policy->by_node, count))
        return policy_out_of_memory(err);
    for (size_t i = 0; status == MIKEYD_OK && i < count; i++) {
        struct policy_node_entry *entry = &policy->nodes[i];
        entry->at = yaml_list_at(list, i);
        entry->duplicate_of = i;
        entry->node.index = i;
        entry->node.line = yaml_line(entry->at);
        status = yaml_string(entry->at, &entry->node.text, err);
        if (status == MIKEYD_OK)
            status = read_identity(entry, err);
        if (status == MIKEYD_OK && entry->problem == NULL) {
            const struct identity *identity = &entry->node.identity;
            entry->duplicate_of =
                policy_index_put(&policy->by_node, policy_hash_bytes(identity->data, identity->len),
                                 i, same_identity, policy);
        }
        /* Counted also on failure, so that its store is freed. */
        policy->node_count = i + 1;
    }
    return status;
}

/* ---- pairs and meshes ------------------------------------------------------------------------ */

#define SETTINGS_FIELDS                                                                            \
    "suites", "algorithms", "verification", "clock_skew", "prf", "mac", "tgk", "forward_secrecy",  \
        "dh_group", "mki_bytes", "error_messages"

static bool same_pair(const void *context, size_t other)
{
    const struct policy *policy = context;
    const struct policy_pair *a = &policy->pairs[other], *b = &policy->pairs[policy->pair_count];
    return a->initiator == b->initiator && a->responder == b->responder;
}

static enum mikeyd_status read_pair(struct policy *policy, struct policy_pair *pair,
                                    struct error *err)
{
    static const char *const known[] = {"initiator", "responder", "key", SETTINGS_FIELDS, NULL};
    const char *initiator, *responder, *key;
    enum mikeyd_status status = yaml_map_check(pair->at, known, err);
    if (status == MIKEYD_OK)
        status = policy_require_string(pair->at, "initiator", &initiator, err);
    if (status == MIKEYD_OK)
        status = policy_require_string(pair->at, "responder", &responder, err);
    if (status == MIKEYD_OK)
        status = policy_require_string(pair->at, "key", &key, err);
    if (status != MIKEYD_OK)
        return status;
    pair->initiator = policy_node_by_text(policy, initiator);
    pair->responder = policy_node_by_text(policy, responder);
    pair->key = policy_key_by_name(policy, key);
    pair->settings = policy->defaults;
    return policy_read_settings(pair->at, &pair->settings, err);
}

enum mikeyd_status policy_read_pairs(struct policy *policy, const struct yaml_node *list,
                                     struct error *err)
{
    size_t count;
    enum mikeyd_status status = policy_section_count(list, &count, err);
    if (status != MIKEYD_OK)
        return status;
    policy->pairs = policy_section_room(count, sizeof *policy->pairs);
    if (policy->pairs == NULL || !policy_index_make(&policy->by_pair, count))
        return policy_out_of_memory(err);
    for (size_t i = 0; status == MIKEYD_OK && i < count; i++) {
        struct policy_pair *pair = &policy->pairs[i];
        pair->at = yaml_list_at(list, i);
        status = read_pair(policy, pair, err);
        if (status == MIKEYD_OK && pair->initiator != NULL && pair->responder != NULL) {
            uint64_t number =
                (uint64_t)pair->initiator->node.index << 32 | (uint64_t)pair->responder->node.index;
            (void)policy_index_put(&policy->by_pair, policy_hash_bytes(&number, sizeof number), i,
                                   same_pair, policy);
        }
        policy->pair_count = i + 1;
    }
    return status;
}

static enum mikeyd_status read_mesh(struct policy *policy, struct policy_mesh *mesh,
                                    struct error *err)
{
    static const char *const known[] = {"nodes", "key", SETTINGS_FIELDS, NULL};
    const char *key;
    const struct yaml_node *nodes;
    enum mikeyd_status status = yaml_map_check(mesh->at, known, err);
    if (status == MIKEYD_OK)
        status = policy_require(mesh->at, "nodes", &nodes, err);
    if (status == MIKEYD_OK)
        status = policy_require_string(mesh->at, "key", &key, err);
    if (status == MIKEYD_OK)
        status = policy_read_node_set(policy, nodes, &mesh->nodes, &mesh->node_count, err);
    if (status != MIKEYD_OK)
        return status;
    mesh->key = policy_key_by_name(policy, key);
    mesh->settings = policy->defaults;
    return policy_read_settings(mesh->at, &mesh->settings, err);
}

/* The other direction of mesh.nodes: for each node its meshes. The pairs are never written out. */
static enum mikeyd_status index_meshes(struct policy *policy, struct error *err)
{
    for (size_t m = 0; m < policy->mesh_count; m++) {
        for (size_t i = 0; i < policy->meshes[m].node_count; i++)
            policy->nodes[policy->meshes[m].nodes[i]].mesh_count++;
    }
    for (size_t i = 0; i < policy->node_count; i++) {
        struct policy_node_entry *node = &policy->nodes[i];
        if (node->mesh_count == 0)
            continue;
        node->meshes = calloc(node->mesh_count, sizeof *node->meshes);
        if (node->meshes == NULL)
            return policy_out_of_memory(err);
        node->mesh_count = 0;
    }
    for (size_t m = 0; m < policy->mesh_count; m++) {
        for (size_t i = 0; i < policy->meshes[m].node_count; i++) {
            struct policy_node_entry *node = &policy->nodes[policy->meshes[m].nodes[i]];
            node->meshes[node->mesh_count++] = (uint32_t)m;
        }
    }
    return MIKEYD_OK;
}

enum mikeyd_status policy_read_meshes(struct policy *policy, const struct yaml_node *list,
                                      struct error *err)
{
    size_t count;
    enum mikeyd_status status = policy_section_count(list, &count, err);
    if (status != MIKEYD_OK)
        return status;
    policy->meshes = policy_section_room(count, sizeof *policy->meshes);
    if (policy->meshes == NULL)
        return policy_out_of_memory(err);
    for (size_t i = 0; status == MIKEYD_OK && i < count; i++) {
        policy->meshes[i].at = yaml_list_at(list, i);
        status = read_mesh(policy, &policy->meshes[i], err);
        policy->mesh_count = i + 1;
    }
    return status == MIKEYD_OK ? index_meshes(policy, err) : status;
}
