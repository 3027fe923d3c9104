/* mikeyctl key list and check: the keys of the tokens, with their flags and what is wrong with
 * them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "mikeyctl/key_pairs.h"
#include "mikeyctl/key_view.h"
#include "policy/findings.h"

/* The length of a secret key, or of the EPSK behind it; the audit key is told by its kind. */
static const char *bits_text(const struct token_key *key, char text[12])
{
    (void)snprintf(text, 12, "%u", key->bits);
    if (key->kind == TOKEN_AUDIT)
        return key->rsa ? "RSA" : "P-256";
    return key->bits == 0 ? "?" : text;
}

/* ends: of a pair key that the policy has, or NULL. */
static void print_key(const struct token_key *key, const struct key_text *text, const json_t *ends)
{
    char bits[12];
    (void)printf("%-6s %-37s %3u %5s %-21s %s | %s%s%s", token_kind_name(key->kind), key->name,
                 key->generation, bits_text(key, bits), text->dates[0] == '\0' ? "-" : text->dates,
                 text->flags, text->mechanisms, text->findings[0] == '\0' ? "" : " | ",
                 text->findings);
    if (ends != NULL)
        (void)printf(" | %s -> %s", json_string_value(json_object_get(ends, "initiator")),
                     json_string_value(json_object_get(ends, "responder")));
    (void)printf("\n");
}

static enum mikeyd_status show_all(struct ceremony *ceremony, json_t *keys,
                                   const struct pair_names *names, struct error *err)
{
    const struct key_options *options = ceremony->options;
    for (size_t i = 0; i < token_key_count(ceremony->token); i++) {
        const struct token_key *key = token_key_at(ceremony->token, i);
        struct key_text text;
        if (!key_is_wanted(options, key))
            continue;
        enum mikeyd_status status = key_texts(ceremony, key, names, &text, err);
        if (status != MIKEYD_OK)
            return status;
        if (options->json)
            (void)json_array_append_new(keys, key_json(ceremony, key, &text));
        else
            print_key(key, &text, text.ends);
    }
    return MIKEYD_OK;
}

/* The table's rows for people, or objects added to `keys`. */
static enum mikeyd_status show_keys(struct ceremony *ceremony, json_t *keys, struct error *err)
{
    if (!ceremony->options->json)
        (void)printf("token %s (%s), HKDF %s, PRF in the token %s\n%-6s %-37s %3s %5s %-21s %s\n",
                     ceremony->facts.label, ceremony->facts.manufacturer,
                     ceremony->facts.hkdf ? "yes" : "no", ceremony->facts.prf_derive ? "yes" : "no",
                     "KIND", "NAME", "GEN", "BITS", "DATES", "FLAGS | MECHANISMS | FINDINGS");
    struct pair_names *names = pair_names_make();
    enum mikeyd_status status = names == NULL ? error_set(err, MIKEYD_INTERNAL, "out of memory")
                                              : pair_names_add_policy(names, ceremony->policy, err);
    if (status == MIKEYD_OK)
        status = show_all(ceremony, keys, names, err);
    pair_names_free(names);
    return status;
}

/* ---- findings ---- */

struct findings {
    json_t *list;
    size_t of_weight;
    bool json;
};

static void find(struct findings *findings, const char *token, const char *rule,
                 enum policy_severity severity, const char *text)
{
    if (severity != POLICY_NOTE)
        findings->of_weight++;
    if (findings->json)
        (void)json_array_append_new(
            findings->list, json_pack("{s:s, s:s, s:s, s:s}", "token", token, "rule", rule,
                                      "severity", policy_severity_name(severity), "text", text));
    else
        (void)printf("%s: %s: %s\n", policy_severity_name(severity), rule, text);
}

/* Rules about the token say so in their names; the others are `policy check`'s. */
static bool is_token_rule(const char *rule)
{
    const size_t len = strlen(rule), suffix = strlen("-TOKEN");
    return strncmp(rule, "TOKEN-", 6) == 0 ||
           (len > suffix && strcmp(rule + len - suffix, "-TOKEN") == 0);
}

struct token_keys {
    struct policy_token_key *list;
    char (*text)[600];
    size_t count;
};

static bool token_keys_make(const struct ceremony *ceremony, struct token_keys *out)
{
    const size_t room = token_key_count(ceremony->token) + 1;
    out->count = 0;
    out->list = calloc(room, sizeof *out->list);
    out->text = calloc(room, sizeof *out->text);
    if (out->list == NULL || out->text == NULL)
        return false;
    for (size_t i = 0; i + 1 < room; i++) {
        const struct token_key *key = token_key_at(ceremony->token, i);
        if (!key->present)
            continue;
        key_findings_text(key->findings & ~KEY_FINDING_NOTE, out->text[out->count],
                          sizeof out->text[0]);
        out->list[out->count] = (struct policy_token_key){
            .kind = token_kind_name(key->kind),
            .name = key->name,
            .generation = key->generation,
            .bits = key->bits,
            .end_date = key->end_date[0] == '\0' ? NULL : key->end_date,
            .attribute_findings = out->text[out->count],
            .fatal = (key->findings & KEY_FINDING_FATAL) != 0,
        };
        out->count++;
    }
    return true;
}

static enum mikeyd_status check_policy(struct ceremony *ceremony, struct findings *findings,
                                       struct error *err)
{
    struct token_keys keys = {0};
    struct policy_findings found = {0};
    enum mikeyd_status status = MIKEYD_OK;
    if (!token_keys_make(ceremony, &keys))
        status = error_set(err, MIKEYD_INTERNAL, "out of memory");
    if (status == MIKEYD_OK)
        status = policy_check(ceremony->policy, keys.list, keys.count, clock_unix_now(), &found);
    for (size_t i = 0; status == MIKEYD_OK && i < found.count; i++) {
        if (is_token_rule(found.list[i].rule))
            find(findings, ceremony->facts.label, found.list[i].rule, found.list[i].severity,
                 found.list[i].text);
    }
    policy_findings_free(&found);
    free(keys.list);
    free(keys.text);
    return status;
}

/* Pair objects: needed where the token cannot import, and where the main key is to be gone. */
static enum mikeyd_status check_pairs(struct ceremony *ceremony, const struct policy_key *key,
                                      unsigned generation, struct findings *findings,
                                      struct error *err)
{
    struct pairs_count count;
    char text[900];
    if (key->kind != POLICY_KEY_EPSK)
        return MIKEYD_OK;
    enum mikeyd_status status = pairs_count(ceremony, key, generation, &count, err);
    if (status != MIKEYD_OK)
        return status;
    const bool needed =
        pairs_listed(ceremony, TOKEN_EPSK, key->name, generation) == NULL || key->delete_main;
    const size_t missing = count.pairs - count.present - count.unfit;
    if (needed && missing != 0) {
        (void)snprintf(text, sizeof text,
                       "%zu of %zu pair keys of %s/%u are missing, the first %s: mikeyctl key "
                       "derive --name %s",
                       missing, count.pairs, key->name, generation, count.first_missing, key->name);
        find(findings, ceremony->facts.label, "TOKEN-PAIRS", POLICY_ERROR, text);
    }
    if (count.foreign != 0) {
        (void)snprintf(text, sizeof text,
                       "%zu of %zu pair keys of %s/%u are of another main key than the one there "
                       "is, the first %s: destroy them, and key derive again",
                       count.foreign, count.pairs, key->name, generation, count.first_foreign);
        find(findings, ceremony->facts.label, "TOKEN-PAIRS-FOREIGN", POLICY_ERROR, text);
    }
    return MIKEYD_OK;
}

static enum mikeyd_status check_token(struct ceremony *ceremony, json_t *keys,
                                      struct findings *findings, struct error *err)
{
    enum mikeyd_status status = show_keys(ceremony, keys, err);
    if (status == MIKEYD_OK)
        status = check_policy(ceremony, findings, err);
    for (size_t i = 0; status == MIKEYD_OK && i < policy_key_count(ceremony->policy); i++) {
        const struct policy_key *key = policy_key_at(ceremony->policy, i);
        unsigned generations[2];
        const size_t count = pairs_generations(key, clock_unix_now(), generations);
        for (size_t g = 0; status == MIKEYD_OK && g < count; g++)
            status = check_pairs(ceremony, key, generations[g], findings, err);
    }
    return status;
}

static enum mikeyd_status check_all(struct ceremony *ceremony, json_t *keys,
                                    struct findings *findings, struct error *err)
{
    size_t count = 0, first = 0;
    enum mikeyd_status status = ceremony_tokens(ceremony, &count, &first, err);
    for (size_t i = 0; status == MIKEYD_OK && i < count; i++) {
        status = ceremony_open_token(ceremony, first + i, err);
        if (status == MIKEYD_OK && findings != NULL)
            status = check_token(ceremony, keys, findings, err);
        else if (status == MIKEYD_OK)
            status = show_keys(ceremony, keys, err);
        ceremony_close_token(ceremony);
    }
    return status;
}

int key_check(const struct key_options *options)
{
    struct ceremony ceremony;
    struct error err = {0};
    struct findings findings = {.list = json_array(), .json = options->json};
    json_t *keys = json_array();
    char detail[100];
    enum mikeyd_status status = ceremony_open(options, true, &ceremony, &err);
    ceremony.read_only = true;
    if (status == MIKEYD_OK)
        status = check_all(&ceremony, keys, &findings, &err);
    if (status == MIKEYD_OK) {
        (void)snprintf(detail, sizeof detail, "%zu findings of weight", findings.of_weight);
        status = ceremony_record(&ceremony, AUDIT_KEY_CHECK,
                                 findings.of_weight == 0 ? MIKEYD_OK : MIKEYD_POLICY, NULL, detail,
                                 &err);
    }
    ceremony_close(&ceremony);
    const bool clean = findings.of_weight == 0;
    if (status != MIKEYD_OK) {
        json_decref(keys);
        json_decref(findings.list);
        return ctl_fail(options->json, &err);
    }
    if (options->json) {
        int printed = ctl_print(
            json_pack("{s:b, s:o, s:o}", "clean", clean, "keys", keys, "findings", findings.list));
        return printed != 0 ? printed : clean ? 0 : status_exit_code(MIKEYD_POLICY);
    }
    json_decref(keys);
    json_decref(findings.list);
    (void)printf("%s\n", clean ? "clean" : "NOT clean");
    return clean ? 0 : status_exit_code(MIKEYD_POLICY);
}

int key_list(const struct key_options *options)
{
    struct ceremony ceremony;
    struct error err = {0};
    json_t *keys = json_array();
    enum mikeyd_status status = ceremony_open(options, false, &ceremony, &err);
    ceremony.read_only = true;
    if (status == MIKEYD_OK)
        status = check_all(&ceremony, keys, NULL, &err);
    ceremony_close(&ceremony);
    if (status != MIKEYD_OK) {
        json_decref(keys);
        return ctl_fail(options->json, &err);
    }
    if (options->json)
        return ctl_print(json_pack("{s:o}", "keys", keys));
    json_decref(keys);
    return 0;
}
