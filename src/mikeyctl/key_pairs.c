#include "mikeyctl/key_pairs.h"

#include <stdio.h>
#include <string.h>

const struct token_key *pairs_listed(const struct ceremony *ceremony, enum token_kind kind,
                                     const char *name, unsigned generation)
{
    for (size_t i = 0; i < token_key_count(ceremony->token); i++) {
        const struct token_key *key = token_key_at(ceremony->token, i);
        if (key->present && key->kind == kind && key->generation == generation &&
            strcmp(key->name, name) == 0)
            return key;
    }
    return NULL;
}

const struct token_key *pairs_main_key(const struct ceremony *ceremony,
                                       const struct policy_key *key, unsigned generation)
{
    const struct token_key *epsk =
        ceremony->facts.hkdf ? pairs_listed(ceremony, TOKEN_EPSK, key->name, generation) : NULL;
    return epsk != NULL ? epsk : pairs_listed(ceremony, TOKEN_EPSKX, key->name, generation);
}

size_t pairs_generations(const struct policy_key *key, int64_t now, unsigned out[2])
{
    size_t count = 0;
    out[count++] = key->generation;
    if (key->previous_generation != 0 && now < key->previous_until)
        out[count++] = key->previous_generation;
    return count;
}

struct walk {
    struct ceremony *ceremony;
    const struct policy_key *key;
    unsigned generation;
    enum mikeyd_status (*visit)(void *, const struct pair_view *, struct error *);
    void *context;
    struct error *err;
    enum mikeyd_status status;
};

static bool walk_pair(void *context, const struct policy_node *initiator,
                      const struct policy_node *responder)
{
    struct walk *walk = context;
    struct pair_view pair = {.initiator = initiator, .responder = responder};
    enum mikey_algorithms algorithms;
    if (!policy_pair_algorithms(walk->ceremony->policy, initiator, responder, &algorithms)) {
        walk->status = error_set(walk->err, MIKEYD_INTERNAL, "a pair that is no pair");
        return false;
    }
    walk->status = importer_pair(walk->key->name, walk->generation, &initiator->identity,
                                 &responder->identity, algorithms, &pair.importer, walk->err);
    if (walk->status != MIKEYD_OK)
        return false;
    pair.object =
        pairs_listed(walk->ceremony, TOKEN_PAIR, pair.importer.object_name, walk->generation);
    walk->status = walk->visit(walk->context, &pair, walk->err);
    return walk->status == MIKEYD_OK;
}

enum mikeyd_status pairs_each(
    struct ceremony *ceremony, const struct policy_key *key, unsigned generation,
    enum mikeyd_status (*visit)(void *context, const struct pair_view *pair, struct error *err),
    void *context, struct error *err)
{
    struct walk walk = {
        .ceremony = ceremony,
        .key = key,
        .generation = generation,
        .visit = visit,
        .context = context,
        .err = err,
    };
    policy_each_pair(ceremony->policy, key, walk_pair, &walk);
    return walk.status;
}

enum mikeyd_status pairs_verify(struct ceremony *ceremony, const struct token_key *main_key,
                                const struct pair_view *pair, bool *same, struct error *err)
{
    *same = true;
    if (main_key == NULL || (main_key->findings & KEY_FINDING_FATAL) != 0)
        return MIKEYD_OK;
    return provision_verify_pair(ceremony->session, main_key, pair->object, pair->importer.info,
                                 pair->importer.info_len, same, err);
}

struct counting {
    struct ceremony *ceremony;
    const struct token_key *main_key;
    struct pairs_count *count;
};

static void name_first(char *out, size_t cap, const struct pair_view *pair)
{
    if (out[0] == '\0')
        (void)snprintf(out, cap, "%.280s -> %.280s", pair->initiator->text, pair->responder->text);
}

static enum mikeyd_status count_pair(void *context, const struct pair_view *pair, struct error *err)
{
    const struct counting *counting = context;
    struct pairs_count *count = counting->count;
    bool same = true;
    count->pairs++;
    if (pair->object == NULL) {
        name_first(count->first_missing, sizeof count->first_missing, pair);
        return MIKEYD_OK;
    }
    if ((pair->object->findings & KEY_FINDING_FATAL) != 0) {
        count->unfit++;
        return MIKEYD_OK;
    }
    count->present++;
    enum mikeyd_status status =
        pairs_verify(counting->ceremony, counting->main_key, pair, &same, err);
    if (status == MIKEYD_OK && !same) {
        count->foreign++;
        name_first(count->first_foreign, sizeof count->first_foreign, pair);
    }
    return status;
}

enum mikeyd_status pairs_count(struct ceremony *ceremony, const struct policy_key *key,
                               unsigned generation, struct pairs_count *out, struct error *err)
{
    *out = (struct pairs_count){0};
    struct counting counting = {
        .ceremony = ceremony, .main_key = pairs_main_key(ceremony, key, generation), .count = out};
    return pairs_each(ceremony, key, generation, count_pair, &counting, err);
}
