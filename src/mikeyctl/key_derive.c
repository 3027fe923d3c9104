/* mikeyctl key derive: the pair objects of the policy, and the end of the main key (RFC 9257 6 item
 * 4). */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "mikeyctl/key_pairs.h"
#include "mikeyctl/progress.h"

struct derivation {
    struct ceremony *ceremony;
    const struct policy_key *key;
    const struct token_key *source;
    unsigned generation;
    size_t made, present;
    size_t seen; /* made, present or missing */
    struct progress progress;
    json_t *pairs; /* what was done, one object a pair */
};

static void derivation_tell(struct derivation *derivation, const struct pair_view *pair,
                            const char *done)
{
    const struct key_options *options = derivation->ceremony->options;
    progress_set(&derivation->progress, ++derivation->seen);
    if (options->json) {
        (void)json_array_append_new(
            derivation->pairs,
            json_pack("{s:s, s:s, s:s, s:I, s:s}", "initiator", pair->initiator->text, "responder",
                      pair->responder->text, "object", pair->importer.object_name, "generation",
                      (json_int_t)derivation->generation, "done", done));
        return;
    }
    (void)printf("%-8s mikeyd/pair/%s/%u  %s -> %s\n", done, pair->importer.object_name,
                 derivation->generation, pair->initiator->text, pair->responder->text);
}

/* One record a pair, with both identities. */
static enum mikeyd_status record_pair(struct derivation *derivation, const struct pair_view *pair,
                                      enum mikeyd_status result, struct error *err)
{
    struct ceremony *ceremony = derivation->ceremony;
    char key[TOKEN_NAME_MAX + 16], detail[300];
    (void)snprintf(key, sizeof key, "%s/%u", derivation->key->name, derivation->generation);
    (void)snprintf(detail, sizeof detail, "object mikeyd/pair/%s/%u, %s, token %s",
                   pair->importer.object_name, derivation->generation,
                   derivation->source->kind == TOKEN_EPSK ? "in the token" : "by one HMAC",
                   ceremony->facts.label);
    const struct audit_record record = {
        .event = AUDIT_KEY_DERIVE,
        .status = result,
        .client = ceremony->client,
        .from = pair->initiator->identity,
        .to = pair->responder->identity,
        .key = key,
        .policy_sha256 = policy_sha256(ceremony->policy),
        .detail = detail,
    };
    uint64_t sequence = 0;
    enum mikeyd_status status = audit_append(ceremony->audit, &record, &sequence, err);
    return status == MIKEYD_OK ? audit_wait(ceremony->audit, sequence, err) : status;
}

static enum mikeyd_status derive_pair(void *context, const struct pair_view *pair,
                                      struct error *err)
{
    struct derivation *derivation = context;
    struct ceremony *ceremony = derivation->ceremony;
    if (pair->object != NULL) {
        if ((pair->object->findings & KEY_FINDING_FATAL) != 0)
            return error_set(err, MIKEYD_POLICY,
                             "mikeyd/pair/%s/%u is there with attributes that let it out: destroy "
                             "it first",
                             pair->importer.object_name, derivation->generation);
        bool same = true;
        enum mikeyd_status status = pairs_verify(ceremony, derivation->source, pair, &same, err);
        if (status != MIKEYD_OK)
            return status;
        if (!same)
            return error_set(err, MIKEYD_POLICY,
                             "mikeyd/pair/%s/%u is of another main key than the %s/%u there is: "
                             "destroy it first",
                             pair->importer.object_name, derivation->generation,
                             derivation->key->name, derivation->generation);
        derivation->present++;
        derivation_tell(derivation, pair, "present");
        return MIKEYD_OK;
    }
    if (ceremony->options->dry_run) {
        derivation_tell(derivation, pair, "missing");
        return MIKEYD_OK;
    }
    char not_before[11], not_after[11];
    ceremony_date(derivation->key->not_before, false, not_before);
    ceremony_date(derivation->key->not_after, true, not_after);
    const struct provision_spec spec = {
        .name = pair->importer.object_name,
        .not_before = not_before,
        .not_after = not_after,
        .modifiable = ceremony->options->modifiable,
    };
    enum mikeyd_status status =
        provision_derive_pair_as(ceremony->session, derivation->source, &spec, pair->importer.info,
                                 pair->importer.info_len, err);
    if (status != MIKEYD_OK) {
        (void)record_pair(derivation, pair, status, NULL);
        return status;
    }
    status = record_pair(derivation, pair, MIKEYD_OK, err);
    if (status != MIKEYD_OK) {
        unsigned objects = 0;
        (void)provision_destroy_name(ceremony->session, TOKEN_PAIR, spec.name,
                                     derivation->generation, &objects, NULL);
        return status;
    }
    derivation->made++;
    derivation_tell(derivation, pair, "derived");
    return MIKEYD_OK;
}

/* What the token said that it made, it must show again. */
static enum mikeyd_status confirm_pairs(const struct derivation *derivation, struct error *err)
{
    struct ceremony *ceremony = derivation->ceremony;
    struct pairs_count count = {0};
    enum mikeyd_status status = token_rescan(ceremony->token, err);
    if (status == MIKEYD_OK)
        status = pairs_count(ceremony, derivation->key, derivation->generation, &count, err);
    if (status == MIKEYD_OK && (count.present != count.pairs || count.foreign != 0))
        status =
            error_set(err, MIKEYD_TOKEN_DOWN,
                      "token %s said that it made all pair keys of %s/%u, but shows %zu of %zu",
                      ceremony->facts.label, derivation->key->name, derivation->generation,
                      count.present - count.foreign, count.pairs);
    return status;
}

/* The main key goes only when every pair key of the policy is there and fit, looked at anew. */
static enum mikeyd_status delete_main(struct derivation *derivation, struct error *err)
{
    struct ceremony *ceremony = derivation->ceremony;
    const struct policy_key *key = derivation->key;
    const enum token_kind kind = derivation->source->kind;
    struct pairs_count count;
    enum mikeyd_status status = token_rescan(ceremony->token, err);
    if (status == MIKEYD_OK)
        status = pairs_count(ceremony, key, derivation->generation, &count, err);
    if (status != MIKEYD_OK)
        return status;
    if (count.pairs == 0 || count.present != count.pairs || count.foreign != 0)
        return error_set(
            err, MIKEYD_TOKEN_DOWN,
            "%zu of %zu pair keys of %s/%u are there and its own: main key not destroyed",
            count.present - count.foreign, count.pairs, key->name, derivation->generation);
    unsigned objects = 0;
    char name[TOKEN_NAME_MAX + 16], detail[200];
    (void)snprintf(name, sizeof name, "%s/%u", key->name, derivation->generation);
    (void)snprintf(detail, sizeof detail, "main key of %zu pairs, kind %s, token %s", count.pairs,
                   token_kind_name(kind), ceremony->facts.label);
    status = ceremony_record(ceremony, AUDIT_KEY_DESTROY, MIKEYD_OK, name, detail, err);
    if (status != MIKEYD_OK)
        return status;
    status = provision_destroy_name(ceremony->session, kind, key->name, derivation->generation,
                                    &objects, err);
    if (status == MIKEYD_OK)
        status = token_rescan(ceremony->token, err);
    if (status == MIKEYD_OK && pairs_main_key(ceremony, key, derivation->generation) != NULL)
        status = error_set(err, MIKEYD_TOKEN_DOWN, "main key %s/%u is still in the token",
                           key->name, derivation->generation);
    if (status != MIKEYD_OK)
        (void)ceremony_record(ceremony, AUDIT_KEY_DESTROY, status, name, detail, NULL);
    if (status == MIKEYD_OK && !ceremony->options->json)
        (void)printf("deleted  mikeyd/%s/%s\n", token_kind_name(kind), name);
    return status;
}

static enum mikeyd_status derive_generation(struct ceremony *ceremony, const struct policy_key *key,
                                            unsigned generation, json_t *results, struct error *err)
{
    const struct key_options *options = ceremony->options;
    struct derivation derivation = {
        .ceremony = ceremony,
        .key = key,
        .source = pairs_main_key(ceremony, key, generation),
        .generation = generation,
        .progress = {.what = "deriving pair keys", .unit = "", .scale = 1, .prints_lines = true},
    };
    struct pairs_count count;
    enum mikeyd_status status = pairs_count(ceremony, key, generation, &count, err);
    if (status != MIKEYD_OK)
        return status;
    if (derivation.source == NULL && (count.pairs == 0 || count.present != count.pairs))
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "no main key mikeyd/%s/%s/%u in token %s: key generate, import or unwrap "
                         "it first",
                         ceremony->facts.hkdf ? "epsk" : "epskx", key->name, generation,
                         ceremony->facts.label);
    if (derivation.source != NULL && (derivation.source->findings & KEY_FINDING_FATAL) != 0)
        return error_set(err, MIKEYD_POLICY,
                         "main key %s/%u is refused for its attributes: key "
                         "check",
                         key->name, generation);
    if (options->delete_main && !key->delete_main)
        return error_set(err, MIKEYD_POLICY, "the policy does not say delete_main: true for key %s",
                         key->name);
    derivation.pairs = json_array();
    derivation.progress.total = count.pairs;
    progress_set(&derivation.progress, 0);
    status = pairs_each(ceremony, key, generation, derive_pair, &derivation, err);
    progress_end(&derivation.progress);
    if (status == MIKEYD_OK && derivation.made != 0)
        status = confirm_pairs(&derivation, err);
    const bool delete_it = options->delete_main && !options->dry_run && derivation.source != NULL;
    if (status == MIKEYD_OK && delete_it)
        status = delete_main(&derivation, err);
    else if (status == MIKEYD_OK && key->delete_main && derivation.source != NULL && !options->json)
        (void)printf("note: the policy wants main key %s/%u gone: --delete-main\n", key->name,
                     generation);
    (void)json_array_append_new(
        results,
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:b, s:o}", "token", ceremony->facts.label, "name",
                  key->name, "generation", (json_int_t)generation, "derived",
                  (json_int_t)derivation.made, "present", (json_int_t)derivation.present,
                  "main_deleted", status == MIKEYD_OK && delete_it, "pairs", derivation.pairs));
    return status;
}

static enum mikeyd_status derive_all(struct ceremony *ceremony, json_t *results, struct error *err)
{
    const struct key_options *options = ceremony->options;
    bool any = false;
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0; status == MIKEYD_OK && i < policy_key_count(ceremony->policy); i++) {
        const struct policy_key *key = policy_key_at(ceremony->policy, i);
        unsigned generations[2];
        if (key->kind != POLICY_KEY_EPSK ||
            (options->name != NULL && strcmp(options->name, key->name) != 0))
            continue;
        any = true;
        size_t count = pairs_generations(key, clock_unix_now(), generations);
        if (options->generation != 0) {
            generations[0] = options->generation;
            count = 1;
        }
        for (size_t g = 0; status == MIKEYD_OK && g < count; g++)
            status = derive_generation(ceremony, key, generations[g], results, err);
    }
    if (!any)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "the policy has no epsk%s%s",
                         options->name == NULL ? "" : " ",
                         options->name == NULL ? "" : options->name);
    return status;
}

int key_derive(const struct key_options *options)
{
    struct ceremony ceremony;
    struct error err = {0};
    size_t count = 0, first = 0;
    json_t *results = json_array();
    enum mikeyd_status status = ceremony_open(options, true, &ceremony, &err);
    if (status == MIKEYD_OK)
        status = ceremony_tokens(&ceremony, &count, &first, &err);
    for (size_t i = 0; status == MIKEYD_OK && i < count; i++) {
        status = ceremony_open_token(&ceremony, first + i, &err);
        if (status == MIKEYD_OK)
            status = derive_all(&ceremony, results, &err);
        ceremony_close_token(&ceremony);
    }
    ceremony_close(&ceremony);
    if (status != MIKEYD_OK) {
        json_decref(results);
        return ctl_fail(options->json, &err);
    }
    if (options->json)
        return ctl_print(json_pack("{s:o}", "derived", results));
    json_decref(results);
    return 0;
}
