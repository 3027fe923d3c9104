/*
 * mikeyctl key inventory: every key of all tokens for a table (CSV) or a program (JSON),
 * with the pair whose it is and its state after SP 800-57. Changes nothing, records nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mikeyctl/key_view.h"

static const char *const columns[] = {"token",     "kind",       "name",      "generation",
                                      "bits",      "initiator",  "responder", "not_before",
                                      "not_after", "state",      "state_why", "usable",
                                      "flags",     "mechanisms", "findings"};
#define COLUMNS (sizeof columns / sizeof columns[0])

/* A table program takes what begins so for a formula. */
static bool looks_like_formula(const char *text)
{
    return text[0] != '\0' && strchr("=+-@\t\r", text[0]) != NULL;
}

static void put_cell(const char *text)
{
    (void)putchar('"');
    if (looks_like_formula(text))
        (void)putchar('\'');
    for (; *text != '\0'; text++) {
        if (*text == '"')
            (void)putchar('"');
        (void)putchar(*text);
    }
    (void)putchar('"');
}

static void put_row(const json_t *key)
{
    for (size_t i = 0; i < COLUMNS; i++) {
        const json_t *value = json_object_get(key, columns[i]);
        if (i > 0)
            (void)putchar(',');
        if (json_is_integer(value))
            (void)printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else if (json_is_boolean(value))
            (void)fputs(json_is_true(value) ? "yes" : "no", stdout);
        else
            put_cell(value == NULL ? "" : json_string_value(value));
    }
    (void)fputs("\n", stdout);
}

static enum mikeyd_status add_keys(struct ceremony *ceremony, const struct pair_names *names,
                                   json_t *keys, struct error *err)
{
    for (size_t i = 0; i < token_key_count(ceremony->token); i++) {
        const struct token_key *key = token_key_at(ceremony->token, i);
        struct key_text text;
        if (!key_is_wanted(ceremony->options, key))
            continue;
        enum mikeyd_status status = key_texts(ceremony, key, names, &text, err);
        if (status != MIKEYD_OK)
            return status;
        if (json_array_append_new(keys, key_json(ceremony, key, &text)) != 0)
            return error_set(err, MIKEYD_INTERNAL, "out of memory");
    }
    return MIKEYD_OK;
}

static enum mikeyd_status add_tokens(struct ceremony *ceremony, json_t *keys, struct error *err)
{
    size_t count = 0, first = 0;
    struct pair_names *names = pair_names_make();
    enum mikeyd_status status = names == NULL ? error_set(err, MIKEYD_INTERNAL, "out of memory")
                                              : pair_names_add_policy(names, ceremony->policy, err);
    if (status == MIKEYD_OK)
        status = ceremony_tokens(ceremony, &count, &first, err);
    for (size_t i = 0; status == MIKEYD_OK && i < count; i++) {
        status = ceremony_open_token(ceremony, first + i, err);
        if (status == MIKEYD_OK)
            status = add_keys(ceremony, names, keys, err);
        ceremony_close_token(ceremony);
    }
    pair_names_free(names);
    return status;
}

int key_inventory(const struct key_options *options)
{
    struct ceremony ceremony;
    struct error err = {0};
    json_t *keys = json_array();
    if (options->json && options->csv) {
        json_decref(keys);
        (void)error_set(&err, MIKEYD_INVALID_ARGUMENT, "--json or --csv, not both");
        return ctl_fail(true, &err);
    }
    enum mikeyd_status status = ceremony_open(options, false, &ceremony, &err);
    ceremony.read_only = true;
    if (status == MIKEYD_OK)
        status = add_tokens(&ceremony, keys, &err);
    char policy[65];
    (void)snprintf(policy, sizeof policy, "%s",
                   ceremony.policy == NULL ? "" : policy_sha256(ceremony.policy));
    ceremony_close(&ceremony);
    if (status != MIKEYD_OK) {
        json_decref(keys);
        return ctl_fail(options->json, &err);
    }
    if (options->json)
        return ctl_print(json_pack("{s:s, s:o}", "policy", policy, "keys", keys));
    for (size_t i = 0; i < COLUMNS; i++)
        (void)printf("%s%s", i == 0 ? "" : ",", columns[i]);
    (void)fputs("\n", stdout);
    size_t index;
    const json_t *key;
    json_array_foreach(keys, index, key)
    {
        put_row(key);
    }
    json_decref(keys);
    return 0;
}
