/* The policy against what the token holds. The caller lists the objects: no PKCS#11 here. */
#include <string.h>
#include <time.h>

#include "policy/rules.h"

/* ---- which objects belong to which key */

static bool is_kind(const struct policy_token_key *object, const char *kind)
{
    return strcmp(object->kind, kind) == 0;
}

/* Does the object hold this key itself? An epsk may be there as its extracted form, epskx. */
static bool is_main_object(const struct policy_token_key *object, const struct policy_key *key)
{
    if (strcmp(object->name, key->name) != 0)
        return false;
    if (key->kind == POLICY_KEY_PSK)
        return is_kind(object, "psk");
    return is_kind(object, "epsk") || is_kind(object, "epskx");
}

static bool accepts_previous(const struct rule_run *run, const struct policy_key *key)
{
    return key->previous_generation != 0 && run->now < key->previous_until;
}

static bool is_generation_in_use(const struct rule_run *run, const struct policy_key *key,
                                 unsigned generation)
{
    return generation == key->generation ||
           (accepts_previous(run, key) && generation == key->previous_generation);
}

static const struct policy_token_key *main_object(const struct rule_run *run,
                                                  const struct policy_key *key, unsigned generation)
{
    for (size_t i = 0; i < run->token_key_count; i++) {
        const struct policy_token_key *object = &run->token_keys[i];
        if (object->generation == generation && is_main_object(object, key))
            return object;
    }
    return NULL;
}

/* Pair keys are named KEY.HASH, the hash standing for the two identities. */
static bool is_pair_object_of(const struct policy_token_key *object, const struct policy_key *key)
{
    size_t len = strlen(key->name);
    return key->kind == POLICY_KEY_EPSK && is_kind(object, "pair") &&
           strncmp(object->name, key->name, len) == 0 && object->name[len] == '.' &&
           strchr(object->name + len + 1, '.') == NULL;
}

static bool has_pair_objects(const struct rule_run *run, const struct policy_key *key,
                             unsigned generation)
{
    for (size_t i = 0; i < run->token_key_count; i++) {
        if (run->token_keys[i].generation == generation &&
            is_pair_object_of(&run->token_keys[i], key))
            return true;
    }
    return false;
}

/* The policy's key that an object of kind psk, epsk, epskx or pair is for, or NULL. */
static const struct policy_key_entry *owner(const struct rule_run *run,
                                            const struct policy_token_key *object)
{
    for (size_t i = 0; i < run->policy->key_count; i++) {
        const struct policy_key_entry *entry = &run->policy->keys[i];
        if (is_main_object(object, &entry->key) || is_pair_object_of(object, &entry->key))
            return entry;
    }
    return NULL;
}

/* Tickets and audit signatures have keys of their own, which no policy lists. */
static bool is_policy_kind(const struct policy_token_key *object)
{
    return is_kind(object, "psk") || is_kind(object, "epsk") || is_kind(object, "epskx") ||
           is_kind(object, "pair");
}

/* ---- rules */

static void need_generation(struct rule_run *run, const struct policy_key_entry *entry,
                            unsigned generation)
{
    const struct policy_key *key = &entry->key;
    if (main_object(run, key, generation) != NULL)
        return;
    /* RFC 9257 6 (4): with delete_main the pair keys are what must be there; the daemon names each
     * one that is not. */
    if (key->kind == POLICY_KEY_EPSK && key->delete_main && has_pair_objects(run, key, generation))
        return;
    rule_tell(run, entry->at, "no object mikeyd/%s/%s/%u in the token",
              key->kind == POLICY_KEY_PSK ? "psk" : "epsk", key->name, generation);
}

static void check_missing(struct rule_run *run)
{
    for (size_t i = 0; i < run->policy->key_count; i++) {
        const struct policy_key_entry *entry = &run->policy->keys[i];
        need_generation(run, entry, entry->key.generation);
        if (accepts_previous(run, &entry->key))
            need_generation(run, entry, entry->key.previous_generation);
    }
}

static void check_strays(struct rule_run *run)
{
    for (size_t i = 0; i < run->token_key_count; i++) {
        const struct policy_token_key *object = &run->token_keys[i];
        if (!is_policy_kind(object))
            continue;
        const struct policy_key_entry *entry = owner(run, object);
        if (entry == NULL)
            rule_tell(run, NULL, "object mikeyd/%s/%.64s/%u is of no key in the policy",
                      object->kind, object->name, object->generation);
        else if (!is_generation_in_use(run, &entry->key, object->generation))
            rule_tell(run, entry->at, "object mikeyd/%s/%.64s/%u is of no generation in use",
                      object->kind, object->name, object->generation);
    }
}

static void check_size(struct rule_run *run)
{
    for (size_t i = 0; i < run->token_key_count; i++) {
        const struct policy_token_key *object = &run->token_keys[i];
        const struct policy_key_entry *entry = owner(run, object);
        if (entry == NULL || !is_generation_in_use(run, &entry->key, object->generation) ||
            object->bits >= run->policy->min_psk_bits)
            continue;
        if (object->bits == 0)
            rule_tell(run, entry->at,
                      "how long the key of object mikeyd/%s/%.64s/%u is, neither the token nor its "
                      "label (~BITS) tells: min_psk_bits is %u",
                      object->kind, object->name, object->generation, run->policy->min_psk_bits);
        else
            rule_tell(run, entry->at, "object mikeyd/%s/%.64s/%u has %u bits, min_psk_bits is %u",
                      object->kind, object->name, object->generation, object->bits,
                      run->policy->min_psk_bits);
    }
}

/* Does the policy put the object to use? */
static bool is_in_use(const struct rule_run *run, const struct policy_token_key *object)
{
    const struct policy_key_entry *entry = owner(run, object);
    return entry != NULL && is_generation_in_use(run, &entry->key, object->generation);
}

/* What no policy names is not used, whatever its attributes: it stops nobody. */
static void tell_attributes(struct rule_run *run, bool fatal)
{
    for (size_t i = 0; i < run->token_key_count; i++) {
        const struct policy_token_key *object = &run->token_keys[i];
        const char *text = object->attribute_findings;
        if (text == NULL || text[0] == '\0' || (object->fatal && is_in_use(run, object)) != fatal)
            continue;
        if (is_kind(object, POLICY_KIND_NONE))
            rule_tell(run, NULL, "object %.95s: %.200s", object->name, text);
        else
            rule_tell(run, NULL, "object mikeyd/%s/%.64s/%u: %.200s", object->kind, object->name,
                      object->generation, text);
    }
}

static void check_attributes_fatal(struct rule_run *run)
{
    tell_attributes(run, true);
}

static void check_attributes(struct rule_run *run)
{
    tell_attributes(run, false);
}

static void check_end_dates(struct rule_run *run)
{
    for (size_t i = 0; i < run->token_key_count; i++) {
        const struct policy_token_key *object = &run->token_keys[i];
        const struct policy_key_entry *entry = owner(run, object);
        struct tm tm = {0};
        if (entry == NULL || object->end_date == NULL ||
            strptime(object->end_date, "%Y-%m-%d", &tm) == NULL)
            continue;
        /* CKA_END_DATE is the last day of use, not_after the first instant without. */
        int64_t end = (int64_t)timegm(&tm) + (int64_t)24 * 60 * 60;
        int64_t not_after = entry->key.not_after;
        if (run->now >= end)
            rule_tell(run, entry->at, "object mikeyd/%s/%.64s/%u ended on %s", object->kind,
                      object->name, object->generation, object->end_date);
        else if (not_after == 0 || not_after > end)
            rule_tell(run, rule_field(entry->at, "not_after"),
                      "object mikeyd/%s/%.64s/%u ends on %s, the policy lets it live longer",
                      object->kind, object->name, object->generation, object->end_date);
    }
}

static void check_main_gone(struct rule_run *run)
{
    for (size_t i = 0; i < run->policy->key_count; i++) {
        const struct policy_key_entry *entry = &run->policy->keys[i];
        if (!entry->key.delete_main || entry->key.kind != POLICY_KEY_EPSK)
            continue;
        const struct policy_token_key *object =
            main_object(run, &entry->key, entry->key.generation);
        if (object != NULL)
            rule_tell(run, yaml_map_get(entry->at, "delete_main"),
                      "object mikeyd/%s/%.64s/%u is still in the token (mikeyctl key derive "
                      "--delete-main)",
                      object->kind, object->name, object->generation);
    }
}

const struct policy_rule policy_rules_token[] = {
    {"TOKEN-MISSING", POLICY_ERROR, RULE_NEEDS_TOKEN, "Every key of the policy is in the token",
     "keys", check_missing},
    {"TOKEN-STRAY", POLICY_WARNING, RULE_NEEDS_TOKEN, "The token holds no keys but the policy's",
     "keys", check_strays},
    {"RFC9257-6-1-TOKEN", POLICY_ERROR, RULE_NEEDS_TOKEN,
     "Keys in the token have min_psk_bits or more", "defaults.min_psk_bits keys", check_size},
    {"TOKEN-ATTRIBUTES-FATAL", POLICY_ERROR, RULE_NEEDS_TOKEN,
     "No attributes of a key in use would let it out", "keys", check_attributes_fatal},
    {"TOKEN-ATTRIBUTES", POLICY_WARNING, RULE_NEEDS_TOKEN,
     "Objects' attributes are no wider than needed", "keys", check_attributes},
    {"TOKEN-DATES", POLICY_WARNING, RULE_NEEDS_TOKEN,
     "Dates of objects and policy agree, and are not over", "keys.not_after", check_end_dates},
    {"RFC9257-6-4-TOKEN", POLICY_WARNING, RULE_NEEDS_TOKEN,
     "Main keys are gone from the token where delete_main asks for it", "keys.delete_main",
     check_main_gone},
    {0},
};
