/* The loaded policy: life time, look-up tables, and what others ask of it. */
#include "policy/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- tables ---------------------------------------------------------------------------------- */

/* FNV-1a, 64 bits. Only what the policy lists is ever stored, so a sender of messages cannot make
 * collisions pile up. */
uint64_t policy_hash_bytes(const void *data, size_t len)
{
    const uint8_t *bytes = data;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash ^ (hash >> 29);
}

static uint64_t hash_text(const char *text)
{
    return policy_hash_bytes(text, strlen(text));
}

static uint64_t hash_identity(const struct identity *identity)
{
    return policy_hash_bytes(identity->data, identity->len);
}

static uint64_t hash_number(uint64_t number)
{
    return policy_hash_bytes(&number, sizeof number);
}

static uint64_t pair_number(size_t initiator, size_t responder)
{
    return (uint64_t)initiator << 32 | (uint64_t)responder;
}

bool policy_index_make(struct policy_index *index, size_t count)
{
    size_t size = 8;
    while (size < count * 2)
        size *= 2;
    index->slots = calloc(size, sizeof *index->slots);
    index->mask = size - 1;
    return index->slots != NULL;
}

size_t policy_index_put(struct policy_index *index, uint64_t hash, size_t position,
                        bool (*same)(const void *context, size_t other), const void *context)
{
    size_t slot = (size_t)hash & index->mask;
    for (; index->slots[slot] != 0; slot = (slot + 1) & index->mask) {
        size_t other = index->slots[slot] - 1;
        if (same(context, other))
            return other;
    }
    index->slots[slot] = (uint32_t)position + 1;
    return position;
}

/* Walks the positions stored under hash: start with *slot = hash, false at the end. */
static bool index_next(const struct policy_index *index, size_t *slot, size_t *position)
{
    if (index->slots == NULL)
        return false;
    uint32_t found = index->slots[*slot & index->mask];
    if (found == 0)
        return false;
    *position = found - 1;
    *slot = (*slot & index->mask) + 1;
    return true;
}

/* ---- look-up --------------------------------------------------------------------------------- */

const struct policy_key *policy_key_by_name(const struct policy *policy, const char *name)
{
    size_t slot = (size_t)hash_text(name);
    for (size_t i; index_next(&policy->by_key, &slot, &i);) {
        if (strcmp(policy->keys[i].key.name, name) == 0)
            return &policy->keys[i].key;
    }
    return NULL;
}

static const struct policy_node_entry *node_entry_find(const struct policy *policy,
                                                       const struct identity *identity)
{
    size_t slot = (size_t)hash_identity(identity);
    for (size_t i; index_next(&policy->by_node, &slot, &i);) {
        if (identity_equal(&policy->nodes[i].node.identity, identity))
            return &policy->nodes[i];
    }
    return NULL;
}

const struct policy_node *policy_node_find(const struct policy *policy,
                                           const struct identity *identity)
{
    const struct policy_node_entry *entry = node_entry_find(policy, identity);
    return entry == NULL ? NULL : &entry->node;
}

const struct policy_node_entry *policy_node_by_text(const struct policy *policy, const char *text)
{
    uint8_t store[IDENTITY_MAX];
    struct identity identity;
    if (identity_parse(text, store, &identity, NULL) != MIKEYD_OK)
        return NULL;
    return node_entry_find(policy, &identity);
}

const struct policy_pair *policy_pair_find(const struct policy *policy, size_t initiator,
                                           size_t responder)
{
    size_t slot = (size_t)hash_number(pair_number(initiator, responder));
    for (size_t i; index_next(&policy->by_pair, &slot, &i);) {
        const struct policy_pair *pair = &policy->pairs[i];
        if (pair->initiator->node.index == initiator && pair->responder->node.index == responder)
            return pair;
    }
    return NULL;
}

const struct policy_mesh *policy_mesh_of(const struct policy *policy,
                                         const struct policy_node_entry *a,
                                         const struct policy_node_entry *b)
{
    /* Both lists rise, so one walk over both finds the first common mesh. */
    for (size_t i = 0, j = 0; i < a->mesh_count && j < b->mesh_count;) {
        if (a->meshes[i] == b->meshes[j])
            return &policy->meshes[a->meshes[i]];
        if (a->meshes[i] < b->meshes[j])
            i++;
        else
            j++;
    }
    return NULL;
}

static int compare_u32(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static bool list_has(const uint32_t *list, size_t count, size_t value)
{
    uint32_t wanted = (uint32_t)value;
    return count > 0 && bsearch(&wanted, list, count, sizeof *list, compare_u32) != NULL;
}

bool policy_mesh_has(const struct policy_mesh *mesh, size_t node)
{
    return list_has(mesh->nodes, mesh->node_count, node);
}

const struct policy_client *policy_client_by_uid(const struct policy *policy, uid_t uid)
{
    size_t slot = (size_t)hash_number(uid);
    for (size_t i; index_next(&policy->by_client_uid, &slot, &i);) {
        if (policy->clients[i].client.uid == uid)
            return &policy->clients[i].client;
    }
    return NULL;
}

const struct policy_client *policy_client_by_san(const struct policy *policy, const char *san)
{
    size_t slot = (size_t)hash_text(san);
    for (size_t i; index_next(&policy->by_client_san, &slot, &i);) {
        if (strcmp(policy->clients[i].client.tls_san, san) == 0)
            return &policy->clients[i].client;
    }
    return NULL;
}

const struct policy_client *policy_client_by_caller(const struct policy *policy,
                                                    const struct caller *caller)
{
    if (caller->san != NULL && caller->by_psk) {
        const struct policy_client *client = policy_client_by_name(policy, caller->san);
        return client != NULL && client->tls_psk ? client : NULL;
    }
    if (caller->san != NULL)
        return policy_client_by_san(policy, caller->san);
    return caller->has_uid ? policy_client_by_uid(policy, caller->uid) : NULL;
}

uint64_t policy_client_number(const struct policy_client *client)
{
    const uint64_t number = hash_text(client->name);
    return number == 0 ? 1 : number;
}

const struct policy_client *policy_client_by_name(const struct policy *policy, const char *name)
{
    size_t slot = (size_t)hash_text(name);
    for (size_t i; index_next(&policy->by_client_name, &slot, &i);) {
        if (strcmp(policy->clients[i].client.name, name) == 0)
            return &policy->clients[i].client;
    }
    return NULL;
}

bool policy_client_acts_as(const struct policy_client *client, const struct policy_node *node)
{
    /* Every policy_client of ours is the first member of an entry. */
    const struct policy_client_entry *entry = (const struct policy_client_entry *)client;
    return list_has(entry->acts_as, entry->acts_as_count, node->index);
}

/* ---- pairs under a key */

typedef bool visit_fn(void *context, const struct policy_node *initiator,
                      const struct policy_node *responder);

/* A mesh's ordered pairs, without those that an explicit pair or an earlier mesh decides. */
static bool each_mesh_pair(const struct policy *policy, const struct policy_mesh *mesh,
                           visit_fn *visit, void *context)
{
    for (size_t i = 0; i < mesh->node_count; i++) {
        for (size_t j = 0; j < mesh->node_count; j++) {
            const struct policy_node_entry *a = &policy->nodes[mesh->nodes[i]];
            const struct policy_node_entry *b = &policy->nodes[mesh->nodes[j]];
            if (i == j || policy_pair_find(policy, a->node.index, b->node.index) != NULL ||
                policy_mesh_of(policy, a, b) != mesh)
                continue;
            if (!visit(context, &a->node, &b->node))
                return false;
        }
    }
    return true;
}

bool policy_each_explicit_pair(const struct policy *policy, const struct policy_key *key,
                               visit_fn *visit, void *context)
{
    for (size_t i = 0; i < policy->pair_count; i++) {
        const struct policy_pair *pair = &policy->pairs[i];
        if (pair->key == key && !visit(context, &pair->initiator->node, &pair->responder->node))
            return false;
    }
    return true;
}

void policy_each_pair(const struct policy *policy, const struct policy_key *key, visit_fn *visit,
                      void *context)
{
    if (!policy_each_explicit_pair(policy, key, visit, context))
        return;
    for (size_t i = 0; i < policy->mesh_count; i++) {
        if (policy->meshes[i].key == key &&
            !each_mesh_pair(policy, &policy->meshes[i], visit, context))
            return;
    }
}

/* ---- settings -------------------------------------------------------------------------------- */

uint32_t policy_suite_bits(const struct policy_settings *settings)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < settings->suite_count; i++)
        bits |= 1u << settings->suite_order[i];
    return bits;
}

bool policy_settings_equal(const struct policy_settings *a, const struct policy_settings *b)
{
    if (a->suite_count != b->suite_count)
        return false;
    for (size_t i = 0; i < a->suite_count; i++) {
        if (a->suite_order[i] != b->suite_order[i])
            return false;
    }
    return a->mki_bytes == b->mki_bytes && a->mki_never == b->mki_never &&
           a->error_messages == b->error_messages &&
           a->verification_required == b->verification_required &&
           a->forward_secrecy == b->forward_secrecy && a->dh_group == b->dh_group &&
           a->algorithms == b->algorithms && a->prf == b->prf && a->mac == b->mac &&
           a->tgk == b->tgk && a->clock_skew_ms == b->clock_skew_ms;
}

/* ---- life time and facts */

struct policy *policy_ref(struct policy *policy)
{
    atomic_fetch_add_explicit(&policy->references, 1, memory_order_relaxed);
    return policy;
}

static void policy_free(struct policy *policy)
{
    for (size_t i = 0; i < policy->node_count; i++) {
        free(policy->nodes[i].store);
        free(policy->nodes[i].meshes);
    }
    for (size_t i = 0; i < policy->mesh_count; i++)
        free(policy->meshes[i].nodes);
    for (size_t i = 0; i < policy->client_count; i++)
        free(policy->clients[i].acts_as);
    free(policy->keys);
    free(policy->nodes);
    free(policy->pairs);
    free(policy->meshes);
    free(policy->clients);
    free(policy->interops);
    free(policy->by_key.slots);
    free(policy->by_node.slots);
    free(policy->by_pair.slots);
    free(policy->by_client_name.slots);
    free(policy->by_client_uid.slots);
    free(policy->by_client_san.slots);
    yaml_file_free(policy->file);
    free(policy);
}

void policy_unref(struct policy *policy)
{
    if (policy != NULL &&
        atomic_fetch_sub_explicit(&policy->references, 1, memory_order_acq_rel) == 1)
        policy_free(policy);
}

const char *policy_sha256(const struct policy *policy)
{
    return policy->sha256;
}

uint64_t policy_serial(const struct policy *policy)
{
    return policy->serial;
}

bool policy_signatures_required(const struct policy *policy)
{
    return policy->signatures_required;
}

unsigned policy_max_skew_s(const struct policy *policy)
{
    uint32_t widest = policy->defaults.clock_skew_ms;
    for (size_t i = 0; i < policy->pair_count; i++) {
        if (policy->pairs[i].settings.clock_skew_ms > widest)
            widest = policy->pairs[i].settings.clock_skew_ms;
    }
    for (size_t i = 0; i < policy->mesh_count; i++) {
        if (policy->meshes[i].settings.clock_skew_ms > widest)
            widest = policy->meshes[i].settings.clock_skew_ms;
    }
    return (widest + 999) / 1000;
}

enum policy_provisioning policy_get_provisioning(const struct policy *policy)
{
    return policy->provisioning;
}

bool policy_session_copies_allowed(const struct policy *policy)
{
    return !policy->session_copies_forbidden;
}

unsigned policy_min_psk_bits(const struct policy *policy)
{
    return policy->min_psk_bits;
}

enum policy_prf policy_default_prf(const struct policy *policy)
{
    return policy->defaults.prf;
}

size_t policy_key_count(const struct policy *policy)
{
    return policy->key_count;
}

const struct policy_key *policy_key_at(const struct policy *policy, size_t index)
{
    return index < policy->key_count ? &policy->keys[index].key : NULL;
}

size_t policy_node_count(const struct policy *policy)
{
    return policy->node_count;
}

const struct policy_node *policy_node_at(const struct policy *policy, size_t index)
{
    return index < policy->node_count ? &policy->nodes[index].node : NULL;
}

size_t policy_client_count(const struct policy *policy)
{
    return policy->client_count;
}

const struct policy_client *policy_client_at(const struct policy *policy, size_t index)
{
    return index < policy->client_count ? &policy->clients[index].client : NULL;
}
