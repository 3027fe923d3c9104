#include "exchange/binding.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/key_finding.h"

struct making {
    struct binding *binding;
    struct keys_inventory *inventory;
    bool can_import, can_derive; /* all members */
};

/* ---- what is refused */

static enum mikeyd_status length_unknown(const struct policy_key *key, unsigned generation,
                                         struct error *err)
{
    return error_set(err, MIKEYD_POLICY,
                     "the token does not tell the length of key %s/%u, and its label does not "
                     "either: unwrap it with `mikeyctl key unwrap`",
                     key->name, generation);
}

/* Its attributes would let it out. */
static enum mikeyd_status check_fit(const struct keys_entry *entry, struct error *err)
{
    if (entry == NULL || entry->usable || (entry->findings & KEY_FINDING_FATAL) == 0)
        return MIKEYD_OK;
    char text[160];
    key_findings_text(entry->findings & KEY_FINDING_FATAL, text, sizeof text);
    return error_set(err, MIKEYD_POLICY, "object mikeyd/%s/%s/%u: %s", keys_kind_name(entry->kind),
                     entry->name, entry->generation, text);
}

/* ---- kind psk */

static enum mikeyd_status bind_psk(const struct making *m, const struct policy_key *key,
                                   struct bound_generation *out, struct error *err)
{
    const struct keys_entry *entry =
        keys_inventory_find(m->inventory, KEYS_PSK, key->name, out->generation);
    enum mikeyd_status status = check_fit(entry, err);
    if (status != MIKEYD_OK)
        return status;
    if (entry == NULL || !entry->usable) {
        return error_set(err, MIKEYD_TOKEN_DOWN,
                         "no object mikeyd/psk/%s/%u in the token: make it with `mikeyctl key "
                         "generate --name %s --kind psk`",
                         key->name, out->generation, key->name);
    }
    if (entry->bits == 0)
        return length_unknown(key, out->generation, err);
    out->bits = entry->bits;
    if (entry->block_count == 0 || entry->block_count > MIKEY_PSK_BLOCKS_MAX) {
        return error_set(err, MIKEYD_POLICY, "key %s/%u is longer than %d blocks of 32 bytes",
                         key->name, out->generation, MIKEY_PSK_BLOCKS_MAX);
    }
    if (policy_default_prf(m->binding->policy) == POLICY_PRF_DERIVE && entry->block_count != 1) {
        return error_set(err, MIKEYD_POLICY,
                         "key %s/%u is longer than the 256 bits that `prf: derive` can use",
                         key->name, out->generation);
    }
    return MIKEYD_OK;
}

/* ---- kind epsk: the pair objects made from it, and the key itself where tokens import */

/* Was the pair object made from that key? Their names are "<key>.<hash>". */
static bool is_pair_of(const struct keys_entry *entry, const char *key_name, unsigned generation)
{
    const size_t len = strlen(key_name);
    return entry->kind == KEYS_PAIR && entry->generation == generation &&
           strncmp(entry->name, key_name, len) == 0 && entry->name[len] == '.' &&
           strchr(entry->name + len + 1, '.') == NULL;
}

/* No pair key is stronger than the EPSK it comes from: its label has to say how long that was. */
static enum mikeyd_status take_pair(const struct keys_entry *pair, const struct policy_key *key,
                                    struct bound_generation *out, struct error *err)
{
    enum mikeyd_status status = check_fit(pair, err);
    if (status != MIKEYD_OK)
        return status;
    if (pair->bits == 0) {
        return error_set(
            err, MIKEYD_POLICY,
            "mikeyd/pair/%s/%u has no ~BITS in its label: how long its EPSK is, nobody "
            "knows; destroy it, then `mikeyctl key derive --name %s`",
            pair->name, pair->generation, key->name);
    }
    if (out->bits == 0 || pair->bits < out->bits)
        out->bits = pair->bits;
    return MIKEYD_OK;
}

static enum mikeyd_status take_pairs(const struct making *m, const struct policy_key *key,
                                     struct bound_generation *out, size_t *found, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0; status == MIKEYD_OK && i < keys_inventory_count(m->inventory); i++) {
        const struct keys_entry *entry = keys_inventory_at(m->inventory, i);
        if (!is_pair_of(entry, key->name, out->generation))
            continue;
        status = take_pair(entry, key, out, err);
        (*found)++;
    }
    return status;
}

static enum mikeyd_status bind_epsk(const struct making *m, const struct policy_key *key,
                                    struct bound_generation *out, struct error *err)
{
    const struct keys_entry *epsk =
        keys_inventory_find(m->inventory, KEYS_EPSK, key->name, out->generation);
    size_t pairs = 0;
    enum mikeyd_status status = check_fit(epsk, err);
    if (status == MIKEYD_OK)
        status = check_fit(
            keys_inventory_find(m->inventory, KEYS_EPSKX, key->name, out->generation), err);
    out->derives = m->can_import && epsk != NULL && epsk->usable;
    if (status == MIKEYD_OK && out->derives && epsk->bits == 0)
        status = length_unknown(key, out->generation, err);
    if (status == MIKEYD_OK && out->derives)
        out->bits = epsk->bits;
    if (status == MIKEYD_OK)
        status = take_pairs(m, key, out, &pairs, err);
    if (status != MIKEYD_OK || out->derives || pairs != 0)
        return status;
    return error_set(err, MIKEYD_TOKEN_DOWN,
                     "the token has no pair key of %s/%u%s: make them with `mikeyctl key derive "
                     "--name %s`",
                     key->name, out->generation,
                     m->can_import ? " and no object of kind epsk to derive them from" : "",
                     key->name);
}

/* ---- all keys */

static enum mikeyd_status bind_generation(const struct making *m, const struct policy_key *key,
                                          unsigned generation, struct bound_generation *out,
                                          struct error *err)
{
    const unsigned least = policy_min_psk_bits(m->binding->policy);
    *out = (struct bound_generation){.generation = generation};
    enum mikeyd_status status =
        key->kind == POLICY_KEY_PSK ? bind_psk(m, key, out, err) : bind_epsk(m, key, out, err);
    if (status == MIKEYD_OK && out->bits < least) {
        status = error_set(err, MIKEYD_POLICY,
                           "key %s/%u has %u bits, the policy asks for %u (min_psk_bits)",
                           key->name, generation, out->bits, least);
    }
    return status;
}

static enum mikeyd_status bind_keys(const struct making *m, struct error *err)
{
    struct binding *b = m->binding;
    size_t count = policy_key_count(b->policy);
    int64_t now = clock_unix_now();
    b->keys = calloc(count == 0 ? 1 : count, sizeof *b->keys);
    if (b->keys == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const struct policy_key *key = policy_key_at(b->policy, i);
        struct bound_key *bound = &b->keys[key->index];
        bound->key = key;
        enum mikeyd_status status = bind_generation(m, key, key->generation, &bound->current, err);
        /* A previous generation whose window has closed may be gone from the token. */
        if (status == MIKEYD_OK && key->previous_generation != 0 && now <= key->previous_until) {
            bound->has_previous = true;
            status = bind_generation(m, key, key->previous_generation, &bound->previous, err);
        }
        if (status != MIKEYD_OK)
            return status;
    }
    return MIKEYD_OK;
}

/* ---- life */

static enum mikeyd_status bind(const struct making *m, struct error *err)
{
    if (m->inventory == NULL)
        return error_set(err, MIKEYD_TOKEN_DOWN, "no token has told yet what it holds");
    if (policy_default_prf(m->binding->policy) == POLICY_PRF_DERIVE && !m->can_derive) {
        return error_set(err, MIKEYD_POLICY,
                         "the policy says `prf: derive`, but the token cannot run MIKEY's PRF "
                         "(CKM_SP800_108_DOUBLE_PIPELINE_KDF)");
    }
    return bind_keys(m, err);
}

enum mikeyd_status binding_make(struct keys_group *keys, struct tally *tally, struct policy *policy,
                                uint64_t serial, struct binding **out, struct error *err)
{
    struct binding *b = calloc(1, sizeof *b);
    if (b == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    atomic_init(&b->references, 1);
    b->serial = serial;
    b->policy = policy_ref(policy);
    const struct making making = {.binding = b,
                                  .inventory = keys_group_inventory(keys),
                                  .can_import = keys_group_can_import(keys),
                                  .can_derive = keys_group_can_derive(keys)};
    enum mikeyd_status status = bind(&making, err);
    keys_inventory_unref(making.inventory);
    if (status == MIKEYD_OK && (b->tally = tally_places(tally, policy)) == NULL)
        status = error_set(err, MIKEYD_INTERNAL, "out of memory");
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
    free(binding->tally);
    free(binding->keys);
    free(binding);
}
