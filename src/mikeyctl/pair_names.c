#include "mikeyctl/pair_names.h"

#include <stdlib.h>
#include <string.h>

#include "importer/importer.h"
#include "policy/findings.h"

#define LABEL_PREFIX "mikeyd/pair/"

struct pair_names {
    json_t *ends; /* object name -> {"initiator", "responder"} */
};

struct pair_names *pair_names_make(void)
{
    struct pair_names *names = calloc(1, sizeof *names);
    if (names == NULL)
        return NULL;
    names->ends = json_object();
    if (names->ends != NULL)
        return names;
    free(names);
    return NULL;
}

void pair_names_free(struct pair_names *names)
{
    if (names == NULL)
        return;
    json_decref(names->ends);
    free(names);
}

struct walk {
    struct pair_names *names;
    const struct policy *policy;
    const struct policy_key *key;
    unsigned generation;
    struct error *err;
    enum mikeyd_status status;
};

static bool add_pair(void *context, const struct policy_node *initiator,
                     const struct policy_node *responder)
{
    struct walk *walk = context;
    struct importer_pair pair;
    enum mikey_algorithms algorithms;
    if (!policy_pair_algorithms(walk->policy, initiator, responder, &algorithms))
        return true;
    walk->status = importer_pair(walk->key->name, walk->generation, &initiator->identity,
                                 &responder->identity, algorithms, &pair, walk->err);
    if (walk->status == MIKEYD_OK &&
        json_object_set_new(walk->names->ends, pair.object_name,
                            json_pack("{s:s, s:s}", "initiator", initiator->text, "responder",
                                      responder->text)) != 0)
        walk->status = error_set(walk->err, MIKEYD_INTERNAL, "out of memory");
    return walk->status == MIKEYD_OK;
}

enum mikeyd_status pair_names_add_policy(struct pair_names *names, const struct policy *policy,
                                         struct error *err)
{
    struct walk walk = {.names = names, .policy = policy, .err = err};
    for (size_t i = 0; i < policy_key_count(policy); i++) {
        walk.key = policy_key_at(policy, i);
        if (walk.key->kind != POLICY_KEY_EPSK)
            continue;
        /* Older records are of the generation before, whether or not it is still accepted. */
        const unsigned last = walk.key->generation;
        const unsigned first = last > 1 ? last - 1 : last;
        for (walk.generation = first; walk.generation <= last; walk.generation++) {
            policy_each_pair(policy, walk.key, add_pair, &walk);
            if (walk.status != MIKEYD_OK)
                return walk.status;
        }
    }
    return MIKEYD_OK;
}

enum mikeyd_status pair_names_add_policy_file(struct pair_names *names, const char *path,
                                              struct error *err)
{
    struct policy *policy = NULL;
    enum mikeyd_status status = policy_load_to_check(path, &policy, err);
    if (status == MIKEYD_OK)
        status = pair_names_add_policy(names, policy, err);
    policy_unref(policy);
    return status;
}

void pair_names_add_listing(struct pair_names *names, const json_t *keys)
{
    size_t index;
    const json_t *key;
    json_array_foreach(keys, index, key)
    {
        const char *name = json_string_value(json_object_get(key, "name"));
        json_t *initiator = json_object_get(key, "initiator");
        json_t *responder = json_object_get(key, "responder");
        if (name != NULL && json_is_string(initiator) && json_is_string(responder))
            (void)json_object_set_new(
                names->ends, name,
                json_pack("{s:O, s:O}", "initiator", initiator, "responder", responder));
    }
}

enum mikeyd_status pair_names_add_listing_file(struct pair_names *names, const char *path,
                                               struct error *err)
{
    json_error_t where;
    json_t *listing = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
    if (listing == NULL)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s:%d: %s", path, where.line, where.text);
    pair_names_add_listing(names, json_object_get(listing, "keys"));
    json_decref(listing);
    return MIKEYD_OK;
}

const json_t *pair_names_find(const struct pair_names *names, const char *key)
{
    char name[128];
    if (strncmp(key, LABEL_PREFIX, strlen(LABEL_PREFIX)) == 0)
        key += strlen(LABEL_PREFIX);
    const size_t len = strcspn(key, "/");
    if (len >= sizeof name)
        return NULL;
    memcpy(name, key, len);
    name[len] = '\0';
    return json_object_get(names->ends, name);
}
