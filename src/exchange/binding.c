#include "exchange/binding.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* ---- index of pair objects */

static size_t pair_hash(const char *name, unsigned generation)
{
    /* FNV-1a: names end in a hash already. */
    uint64_t h = 0xcbf29ce484222325ULL ^ generation;
    for (; *name != '\0'; name++)
        h = (h ^ (uint8_t)*name) * 0x100000001b3ULL;
    return (size_t)(h ^ (h >> 32));
}

static bool is_pair(const struct token_key *key)
{
    return key->kind == TOKEN_PAIR && key->present;
}

static void index_pair(struct binding *b, const struct token_key *key)
{
    struct bound_pair *pair = &b->pairs[b->pair_count++];
    memcpy(pair->name, key->name, sizeof pair->name);
    pair->generation = key->generation;
    pair->key = key;
    size_t at = pair_hash(pair->name, pair->generation) & b->pair_mask;
    while (b->pair_slots[at] != 0)
        at = (at + 1) & b->pair_mask;
    b->pair_slots[at] = (uint32_t)b->pair_count;
}

static bool index_pairs(struct binding *b)
{
    size_t total = token_key_count(b->token), pairs = 0, size = 16;
    for (size_t i = 0; i < total; i++)
        pairs += is_pair(token_key_at(b->token, i));
    while (size < 2 * pairs)
        size *= 2;
    b->pairs = calloc(pairs + 1, sizeof *b->pairs);
    b->pair_slots = calloc(size, sizeof *b->pair_slots);
    b->pair_mask = size - 1;
    if (b->pairs == NULL || b->pair_slots == NULL)
        return false;
    for (size_t i = 0; i < total && b->pair_count < pairs; i++) {
        const struct token_key *key = token_key_at(b->token, i);
        if (is_pair(key))
            index_pair(b, key);
    }
    return true;
}

const struct token_key *binding_find_pair(const struct binding *binding, const char *object_name,
                                          unsigned generation)
{
    size_t at = pair_hash(object_name, generation) & binding->pair_mask;
    for (; binding->pair_slots[at] != 0; at = (at + 1) & binding->pair_mask) {
        const struct bound_pair *pair = &binding->pairs[binding->pair_slots[at] - 1];
        if (pair->generation == generation && strcmp(pair->name, object_name) == 0)
            return pair->key;
    }
    return NULL;
}

/* Was the pair object made from that key? Their names are "<key>.<hash>". */
static bool is_pair_of(const struct bound_pair *pair, const char *key_name, unsigned generation)
{
    const size_t len = strlen(key_name);
    return pair->generation == generation && strncmp(pair->name, key_name, len) == 0 &&
           pair->name[len] == '.' && strchr(pair->name + len + 1, '.') == NULL;
}

static bool has_pairs_of(const struct binding *b, const char *key_name, unsigned generation)
{
    for (size_t i = 0; i < b->pair_count; i++) {
        if (is_pair_of(&b->pairs[i], key_name, generation))
            return true;
    }
    return false;
}

/* ---- keys */

static enum mikeyd_status length_unknown(const struct binding *b, const struct policy_key *key,
                                         unsigned generation, struct error *err)
{
    return error_set(err, MIKEYD_POLICY,
                     "token %s does not tell the length of key %s/%u, and its label does not "
                     "either: unwrap it with `mikeyctl key unwrap`",
                     b->facts.label, key->name, generation);
}

static enum mikeyd_status bind_psk(const struct binding *b, const struct policy_key *key,
                                   struct bound_generation *out, struct error *err)
{
    enum mikeyd_status status =
        token_key_find(b->token, TOKEN_PSK, key->name, out->generation, &out->psk, err);
    if (status == MIKEYD_TOKEN_DOWN) {
        return error_set(err, MIKEYD_TOKEN_DOWN,
                         "no object mikeyd/psk/%s/%u in token %s: make it with `mikeyctl key "
                         "generate --name %s --kind psk`",
                         key->name, out->generation, b->facts.label, key->name);
    }
    if (status != MIKEYD_OK)
        return status;
    out->bits = out->psk->bits;
    if (out->bits == 0)
        return length_unknown(b, key, out->generation, err);
    out->block_count = out->psk->block_count;
    if (out->block_count == 0 || out->block_count > MIKEY_PSK_BLOCKS_MAX) {
        return error_set(err, MIKEYD_POLICY, "key %s/%u is longer than %d blocks of 32 bytes",
                         key->name, out->generation, MIKEY_PSK_BLOCKS_MAX);
    }
    if (policy_default_prf(b->policy) == POLICY_PRF_DERIVE && out->block_count != 1) {
        return error_set(err, MIKEYD_POLICY,
                         "key %s/%u is longer than the 256 bits that `prf: derive` can use",
                         key->name, out->generation);
    }
    return MIKEYD_OK;
}

/* Its attributes would let it out: refused also where only its pair keys are used. */
static enum mikeyd_status refuse_unfit(const struct binding *b, enum token_kind kind,
                                       const char *name, unsigned generation, struct error *err)
{
    const struct token_key *key = NULL;
    struct error found = {0};
    if (token_key_find(b->token, kind, name, generation, &key, &found) != MIKEYD_POLICY)
        return MIKEYD_OK;
    return error_set(err, MIKEYD_POLICY, "%s", found.text);
}

/* Pair objects of a generation in use are named by the policy through their key. */
static enum mikeyd_status refuse_unfit_pairs(const struct binding *b, const char *key_name,
                                             unsigned generation, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0; status == MIKEYD_OK && i < b->pair_count; i++) {
        if (is_pair_of(&b->pairs[i], key_name, generation) &&
            (b->pairs[i].key->findings & KEY_FINDING_FATAL) != 0)
            status = refuse_unfit(b, TOKEN_PAIR, b->pairs[i].name, generation, err);
    }
    return status;
}

/* No pair key is stronger than the EPSK it comes from: its label has to say how long that was. */
static enum mikeyd_status bound_by_pairs(const struct binding *b, const struct policy_key *key,
                                         struct bound_generation *out, struct error *err)
{
    for (size_t i = 0; i < b->pair_count; i++) {
        const struct bound_pair *pair = &b->pairs[i];
        if (!is_pair_of(pair, key->name, out->generation))
            continue;
        if (pair->key->bits == 0)
            return error_set(err, MIKEYD_POLICY,
                             "mikeyd/pair/%s/%u has no ~BITS in its label: how long its EPSK is, "
                             "nobody knows; destroy it, then `mikeyctl key derive --name %s`",
                             pair->name, pair->generation, key->name);
        if (out->bits == 0 || pair->key->bits < out->bits)
            out->bits = pair->key->bits;
    }
    return MIKEYD_OK;
}

static enum mikeyd_status bind_epsk(const struct binding *b, const struct policy_key *key,
                                    struct bound_generation *out, struct error *err)
{
    bool pairs = has_pairs_of(b, key->name, out->generation);
    enum mikeyd_status status = refuse_unfit(b, TOKEN_EPSKX, key->name, out->generation, err);
    if (status == MIKEYD_OK)
        status = refuse_unfit(b, TOKEN_EPSK, key->name, out->generation, err);
    if (status == MIKEYD_OK)
        status = refuse_unfit_pairs(b, key->name, out->generation, err);
    if (status != MIKEYD_OK)
        return status;
    status = MIKEYD_TOKEN_DOWN;
    if (b->facts.hkdf) {
        status = token_key_find(b->token, TOKEN_EPSK, key->name, out->generation, &out->epsk, NULL);
        if (status == MIKEYD_OK)
            out->bits = out->epsk->bits;
    }
    /* Some tokens forget CKA_VALUE_LEN of an object that other tools unwrapped: it may be any. */
    if (status == MIKEYD_OK && out->bits == 0)
        return length_unknown(b, key, out->generation, err);
    if (status == MIKEYD_OK || pairs)
        return bound_by_pairs(b, key, out, err);
    return error_set(err, MIKEYD_TOKEN_DOWN,
                     "token %s has no pair key of %s/%u%s: make them with `mikeyctl key derive "
                     "--name %s`",
                     b->facts.label, key->name, out->generation,
                     b->facts.hkdf ? " and no object of kind epsk to derive them from" : "",
                     key->name);
}

static enum mikeyd_status bind_generation(const struct binding *b, const struct policy_key *key,
                                          unsigned generation, struct bound_generation *out,
                                          struct error *err)
{
    out->generation = generation;
    enum mikeyd_status status =
        key->kind == POLICY_KEY_PSK ? bind_psk(b, key, out, err) : bind_epsk(b, key, out, err);
    if (status != MIKEYD_OK)
        return status;
    if (out->bits < policy_min_psk_bits(b->policy)) {
        return error_set(err, MIKEYD_POLICY,
                         "key %s/%u has %u bits, the policy asks for %u (min_psk_bits)", key->name,
                         generation, out->bits, policy_min_psk_bits(b->policy));
    }
    return MIKEYD_OK;
}

static enum mikeyd_status bind_keys(struct binding *b, struct error *err)
{
    size_t count = policy_key_count(b->policy);
    int64_t now = clock_unix_now();
    b->keys = calloc(count == 0 ? 1 : count, sizeof *b->keys);
    if (b->keys == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const struct policy_key *key = policy_key_at(b->policy, i);
        struct bound_key *bound = &b->keys[key->index];
        bound->key = key;
        bound->current.warmed = &bound->warmed[0];
        bound->previous.warmed = &bound->warmed[1];
        for (size_t j = 0; j < 2; j++)
            atomic_init(&bound->warmed[j], false);
        enum mikeyd_status status = bind_generation(b, key, key->generation, &bound->current, err);
        /* A previous generation whose window has closed may be gone from the token. */
        if (status == MIKEYD_OK && key->previous_generation != 0 && now <= key->previous_until) {
            bound->has_previous = true;
            status = bind_generation(b, key, key->previous_generation, &bound->previous, err);
        }
        if (status != MIKEYD_OK)
            return status;
    }
    return MIKEYD_OK;
}

/* ---- life */

enum mikeyd_status binding_make(struct token *token, struct policy *policy, uint64_t serial,
                                struct binding **out, struct error *err)
{
    struct binding *b = calloc(1, sizeof *b);
    if (b == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    atomic_init(&b->references, 1);
    b->serial = serial;
    b->policy = policy_ref(policy);
    b->token = token;
    token_get_facts(token, &b->facts);
    enum mikeyd_status status = MIKEYD_OK;
    if (policy_default_prf(policy) == POLICY_PRF_DERIVE && !b->facts.prf_derive) {
        status = error_set(err, MIKEYD_POLICY,
                           "the policy says `prf: derive`, but token %s cannot run MIKEY's PRF "
                           "(CKM_SP800_108_DOUBLE_PIPELINE_KDF)",
                           b->facts.label);
    }
    if (status == MIKEYD_OK && !index_pairs(b))
        status = error_set(err, MIKEYD_INTERNAL, "out of memory");
    if (status == MIKEYD_OK)
        status = bind_keys(b, err);
    if (status != MIKEYD_OK) {
        binding_unref(b);
        return status;
    }
    *out = b;
    return MIKEYD_OK;
}

struct binding *binding_ref(struct binding *binding)
{
    atomic_fetch_add(&binding->references, 1);
    return binding;
}

void binding_unref(struct binding *binding)
{
    if (binding == NULL || atomic_fetch_sub(&binding->references, 1) != 1)
        return;
    policy_unref(binding->policy);
    free(binding->keys);
    free(binding->pairs);
    free(binding->pair_slots);
    free(binding);
}
