/* mikeyctl key wrap, trust, destroy: how a key leaves a token, or ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mikeyctl/key.h"

#define PEM_MAX 8192

/* The key named by --kind, --name and --generation, whatever its findings: looked up by hand, since
 * token_key_find() refuses keys that could leave, which is what a key for transport is for. */
static enum mikeyd_status find_key(struct ceremony *ceremony, const struct token_key **out,
                                   struct error *err)
{
    const struct key_options *options = ceremony->options;
    const struct policy_key *policy_key = ceremony_policy_key(ceremony, options->name);
    const unsigned generation = options->generation != 0 ? options->generation
                                : policy_key != NULL     ? policy_key->generation
                                                         : 1;
    enum token_kind kind;
    if (!token_kind_by_name(options->kind, &kind))
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "--kind %s: no such kind", options->kind);
    if (kind == TOKEN_EPSK && !ceremony->facts.hkdf)
        kind = TOKEN_EPSKX;
    for (size_t i = 0; i < token_key_count(ceremony->token); i++) {
        const struct token_key *key = token_key_at(ceremony->token, i);
        if (key->present && key->kind == kind && key->generation == generation &&
            strcmp(key->name, options->name) == 0) {
            *out = key;
            return MIKEYD_OK;
        }
    }
    return error_set(err, MIKEYD_INVALID_ARGUMENT,
                     "no object mikeyd/%s/%s/%u in token %s (mikeyctl key list)",
                     token_kind_name(kind), options->name, generation, ceremony->facts.label);
}

/* ---- wrap ---- */

struct wrapped {
    uint8_t data[TOKEN_BLOCKS_MAX][PROVISION_WRAPPED_MAX];
    size_t len[TOKEN_BLOCKS_MAX];
};

static enum mikeyd_status wrap_blocks(struct ceremony *ceremony, const struct token_key *key,
                                      struct wrapped *out, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0; i < key->block_count && status == MIKEYD_OK; i++) {
        out->len[i] = sizeof out->data[i];
        status = provision_wrap(ceremony->session, key, i, &ceremony->options->wrapping,
                                out->data[i], &out->len[i], err);
    }
    return status;
}

/* --out, or --out.1 ... for a key of several blocks. */
static enum mikeyd_status write_blocks(const struct key_options *options, size_t count,
                                       const struct wrapped *wrapped, json_t *files,
                                       struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        char path[4096];
        const int written = count == 1 ? snprintf(path, sizeof path, "%s", options->out)
                                       : snprintf(path, sizeof path, "%s.%zu", options->out, i + 1);
        if (written < 0 || (size_t)written >= sizeof path)
            return error_set(err, MIKEYD_INVALID_ARGUMENT, "--out is too long");
        enum mikeyd_status status = key_file_write(path, wrapped->data[i], wrapped->len[i], err);
        if (status != MIKEYD_OK)
            return status;
        (void)json_array_append_new(files, json_string(path));
    }
    return MIKEYD_OK;
}

static void remove_files(const json_t *files)
{
    size_t index;
    json_t *file;
    json_array_foreach(files, index, file)
    {
        (void)unlink(json_string_value(file));
    }
}

static enum mikeyd_status wrap_allowed(struct ceremony *ceremony, const struct token_key **key,
                                       struct error *err)
{
    const struct key_options *options = ceremony->options;
    const struct policy_key *policy_key = ceremony_policy_key(ceremony, options->name);
    if (policy_key == NULL || !policy_key->transport)
        return error_set(err, MIKEYD_POLICY,
                         "the policy does not let key %s travel (transport: true)", options->name);
    return find_key(ceremony, key, err);
}

static enum mikeyd_status wrap_key(struct ceremony *ceremony, struct error *err)
{
    const struct key_options *options = ceremony->options;
    const struct token_key *key = NULL;
    struct wrapped *wrapped = calloc(1, sizeof *wrapped);
    char name[TOKEN_NAME_MAX + 16], detail[200];
    json_t *files = json_array();
    enum mikeyd_status status = wrap_allowed(ceremony, &key, err);
    if (status == MIKEYD_OK && (wrapped == NULL || files == NULL))
        status = error_set(err, MIKEYD_INTERNAL, "out of memory");
    if (status == MIKEYD_OK)
        status = wrap_blocks(ceremony, key, wrapped, err);

    (void)snprintf(name, sizeof name, "%s/%u", options->name,
                   key != NULL ? key->generation : options->generation);
    (void)snprintf(detail, sizeof detail, "under %.100s, token %s", options->with,
                   ceremony->facts.label);
    if (status == MIKEYD_OK) {
        /* Nothing leaves before its record. */
        status = ceremony_record(ceremony, AUDIT_KEY_WRAP, MIKEYD_OK, name, detail, err);
        if (status == MIKEYD_OK) {
            status = write_blocks(options, key->block_count, wrapped, files, err);
            if (status != MIKEYD_OK)
                (void)ceremony_record(ceremony, AUDIT_KEY_WRAP, status, name, detail, NULL);
        }
    } else {
        (void)ceremony_record(ceremony, AUDIT_KEY_WRAP, status, name, detail, NULL);
    }
    free(wrapped);
    if (status != MIKEYD_OK) {
        remove_files(files);
        json_decref(files);
        return status;
    }
    if (options->json) {
        (void)ctl_print(json_pack("{s:s, s:s, s:s, s:I, s:I, s:o}", "token", ceremony->facts.label,
                                  "kind", token_kind_name(key->kind), "name", key->name,
                                  "generation", (json_int_t)key->generation, "bits",
                                  (json_int_t)key->bits, "files", files));
        return MIKEYD_OK;
    }
    size_t index;
    json_t *file;
    (void)printf("wrapped mikeyd/%s/%s/%u under %s: %u bits in\n", token_kind_name(key->kind),
                 key->name, key->generation, options->with, key->bits);
    json_array_foreach(files, index, file)
    {
        (void)printf("  %s\n", json_string_value(file));
    }
    json_decref(files);
    return MIKEYD_OK;
}

int key_wrap(const struct key_options *options)
{
    return ceremony_run(options, wrap_key);
}

/* ---- trust: the security officer's step ---- */

static enum mikeyd_status trust_key(struct ceremony *ceremony, struct error *err)
{
    const struct key_options *options = ceremony->options;
    char pem[PEM_MAX + 1], detail[200];
    size_t len = 0, count = 0, index = 0;
    struct token_config config;
    enum mikeyd_status status = ceremony_tokens(ceremony, &count, &index, err);
    if (status == MIKEYD_OK && count != 1)
        status = error_set(err, MIKEYD_INVALID_ARGUMENT,
                           "the configuration has %zu tokens: say which by --token", count);
    if (status == MIKEYD_OK)
        status = key_file_read(options->public_key, (uint8_t *)pem, PEM_MAX, &len, err);
    if (status != MIKEYD_OK)
        return status;
    pem[len] = '\0';
    ceremony_token_config(ceremony, index, &config);
    config.pin_file = options->so_pin_file;
    (void)snprintf(detail, sizeof detail, "wrapping key %.80s trusted, token %.80s", options->with,
                   config.uri);
    status = ceremony_record(ceremony, AUDIT_KEY_IMPORT, MIKEYD_OK, NULL, detail, err);
    if (status != MIKEYD_OK)
        return status;
    status = provision_trust_public_key(&config, options->with, pem, err);
    if (status != MIKEYD_OK) {
        (void)ceremony_record(ceremony, AUDIT_KEY_IMPORT, status, NULL, detail, NULL);
        return status;
    }
    if (options->json)
        (void)ctl_print(json_pack("{s:s, s:b}", "label", options->with, "trusted", 1));
    else
        (void)printf("trusted wrapping key %s\n", options->with);
    return MIKEYD_OK;
}

int key_trust(const struct key_options *options)
{
    struct ceremony ceremony;
    struct error err = {0};
    enum mikeyd_status status = ceremony_open(options, true, &ceremony, &err);
    if (status == MIKEYD_OK)
        status = trust_key(&ceremony, &err);
    ceremony_close(&ceremony);
    return status == MIKEYD_OK ? 0 : ctl_fail(options->json, &err);
}

/* ---- destroy ---- */

/* A person at a terminal types the key's name; scripts say --yes. */
static enum mikeyd_status confirm(const struct key_options *options, struct error *err)
{
    char wanted[TOKEN_NAME_MAX + 16], typed[TOKEN_NAME_MAX + 16];
    if (options->yes)
        return MIKEYD_OK;
    if (isatty(STDIN_FILENO) != 1)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "nobody to ask: say --yes to destroy without a question");
    (void)snprintf(wanted, sizeof wanted, "%s/%u", options->name, options->generation);
    (void)fprintf(stderr, "Destroys mikeyd/%s/%s for ever. Type %s to go on: ", options->kind,
                  wanted, wanted);
    if (fgets(typed, sizeof typed, stdin) == NULL)
        typed[0] = '\0';
    typed[strcspn(typed, "\n")] = '\0';
    if (strcmp(typed, wanted) != 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "not confirmed: nothing destroyed");
    return MIKEYD_OK;
}

static enum mikeyd_status destroy_key(struct ceremony *ceremony, struct error *err)
{
    const struct key_options *options = ceremony->options;
    char name[TOKEN_NAME_MAX + 16], detail[200];
    unsigned objects = 0;
    enum token_kind kind;
    if (!token_kind_by_name(options->kind, &kind))
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "--kind %s: no such kind", options->kind);
    enum mikeyd_status status = confirm(options, err);
    if (status != MIKEYD_OK)
        return status;
    (void)snprintf(name, sizeof name, "%s/%u", options->name, options->generation);
    (void)snprintf(detail, sizeof detail, "kind %s, token %s", token_kind_name(kind),
                   ceremony->facts.label);
    /* What cannot be taken back is recorded before it is done, and once more when it fails. */
    status = ceremony_record(ceremony, AUDIT_KEY_DESTROY, MIKEYD_OK, name, detail, err);
    if (status != MIKEYD_OK)
        return status;
    status = provision_destroy_name(ceremony->session, kind, options->name, options->generation,
                                    &objects, err);
    if (status != MIKEYD_OK) {
        (void)ceremony_record(ceremony, AUDIT_KEY_DESTROY, status, name, detail, NULL);
        return status;
    }
    if (options->json)
        (void)ctl_print(json_pack("{s:s, s:s, s:s, s:I, s:I}", "token", ceremony->facts.label,
                                  "kind", token_kind_name(kind), "name", options->name,
                                  "generation", (json_int_t)options->generation, "objects",
                                  (json_int_t)objects));
    else
        (void)printf("destroyed mikeyd/%s/%s: %u object%s\n", token_kind_name(kind), name, objects,
                     objects == 1 ? "" : "s");
    return MIKEYD_OK;
}

int key_destroy(const struct key_options *options)
{
    return ceremony_run(options, destroy_key);
}
