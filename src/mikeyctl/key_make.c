/* mikeyctl key generate, import, unwrap: how a key gets into a token. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "importer/importer.h"
#include "mikeyctl/key.h"

/* ---- output ---- */

static void notes_add(json_t *notes, bool when, const char *text)
{
    if (when)
        (void)json_array_append_new(notes, json_string(text));
}

/* A generation that the policy does not use yet, or no more. */
static void note_generation(json_t *notes, const struct policy_key *key, unsigned generation)
{
    char text[160];
    if (key == NULL || generation == key->generation ||
        (key->previous_generation != 0 && generation == key->previous_generation))
        return;
    (void)snprintf(text, sizeof text,
                   "the policy has generation %u of this key: nothing uses generation %u until it "
                   "names it",
                   key->generation, generation);
    notes_add(notes, true, text);
}

static json_t *notes_of(const struct ceremony *ceremony, const struct provision_spec *spec,
                        const struct provision_result *result)
{
    json_t *notes = json_array();
    const bool main_key =
        result->kind == TOKEN_PSK || result->kind == TOKEN_EPSK || result->kind == TOKEN_EPSKX;
    notes_add(notes,
              result->kind == TOKEN_EPSKX && ceremony->options->kind != NULL &&
                  strcmp(ceremony->options->kind, "epsk") == 0,
              "the token has no HKDF: it holds epskx, the extracted form of the epsk");
    notes_add(
        notes, result->padded,
        "shorter than the token's HMAC minimum: stored zero-padded, true length in the label");
    notes_add(notes, (result->omitted & PROVISION_OMITTED_DATES) != 0,
              "the token does not keep dates: only the policy's hold");
    notes_add(notes, (result->omitted & PROVISION_OMITTED_MECHANISMS) != 0,
              "the token knows no CKA_ALLOWED_MECHANISMS: only the usage flags hold");
    notes_add(notes, spec->for_transport,
              "made for transport: the daemon refuses it; unwrap it at its destination, and here "
              "again, to use it");
    notes_add(notes, spec->modifiable, "CKA_MODIFIABLE is on: `key check` reports it");
    notes_add(notes, main_key && ceremony_policy_key(ceremony, spec->name) == NULL,
              "the policy has no key of this name");
    if (main_key)
        note_generation(notes, ceremony_policy_key(ceremony, spec->name), spec->generation);
    return notes;
}

int key_print_made(const struct ceremony *ceremony, const char *done,
                   const struct provision_spec *spec, const struct provision_result *result,
                   json_t *extra)
{
    json_t *notes = notes_of(ceremony, spec, result);
    if (!ceremony->options->json) {
        size_t index;
        json_t *note;
        (void)printf("%s %s in token %s: %u bits, %u object%s\n", done, result->label,
                     ceremony->facts.label, spec->bits, result->objects,
                     result->objects == 1 ? "" : "s");
        json_array_foreach(notes, index, note)
        {
            (void)printf("note: %s\n", json_string_value(note));
        }
        json_decref(notes);
        json_decref(extra);
        return 0;
    }
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:o}", "token", ceremony->facts.label,
                  "label", result->label, "kind", token_kind_name(result->kind), "name", spec->name,
                  "generation", (json_int_t)spec->generation, "bits", (json_int_t)spec->bits,
                  "objects", (json_int_t)result->objects, "notes", notes);
    if (extra != NULL) {
        (void)json_object_update(object, extra);
        json_decref(extra);
    }
    return ctl_print(object);
}

static enum mikeyd_status kind_of(const struct key_options *options, enum token_kind *out,
                                  struct error *err)
{
    if (token_kind_by_name(options->kind, out) && *out != TOKEN_AUDIT)
        return MIKEYD_OK;
    return error_set(err, MIKEYD_INVALID_ARGUMENT, "--kind %s: not possible here", options->kind);
}

/* ---- generate ---- */

static enum mikeyd_status generate_audit_key(struct ceremony *ceremony, struct error *err)
{
    const struct key_options *options = ceremony->options;
    const struct provision_spec spec = {.kind = TOKEN_AUDIT,
                                        .name = options->name,
                                        .generation =
                                            options->generation == 0 ? 1 : options->generation,
                                        .bits = options->bits == 0 ? 256 : options->bits};
    enum mikeyd_status status =
        provision_generate_audit_key(ceremony->session, spec.name, spec.generation, spec.bits, err);
    status = ceremony_record_made(ceremony, AUDIT_KEY_GENERATE, &spec, status,
                                  spec.bits == 256 ? "EC P-256" : "RSA", err);
    if (status != MIKEYD_OK)
        return status;
    struct provision_result result = {.kind = TOKEN_AUDIT, .objects = 2};
    (void)snprintf(result.label, sizeof result.label, "mikeyd/audit/%s/%u", spec.name,
                   spec.generation);
    (void)key_print_made(ceremony, "generated", &spec, &result, NULL);
    return MIKEYD_OK;
}

static enum mikeyd_status generate_wrapping_pair(struct ceremony *ceremony, struct error *err)
{
    const struct key_options *options = ceremony->options;
    char *pem = NULL, detail[300];
    if (options->out == NULL)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "--kind wrapping needs --out for the PEM");
    const unsigned bits = options->bits == 0 ? 3072 : options->bits;
    enum mikeyd_status status =
        provision_generate_wrapping_pair(ceremony->session, options->name, bits, &pem, err);
    if (status == MIKEYD_OK)
        status = key_file_write(options->out, pem, strlen(pem), err);
    free(pem);
    (void)snprintf(detail, sizeof detail, "RSA wrapping pair %.150s, %u bits, token %s",
                   options->name, bits, ceremony->facts.label);
    const enum mikeyd_status recorded = ceremony_record(ceremony, AUDIT_KEY_GENERATE, status, NULL,
                                                        detail, status == MIKEYD_OK ? err : NULL);
    if (status == MIKEYD_OK)
        status = recorded;
    if (status != MIKEYD_OK)
        return status;
    if (options->json)
        (void)ctl_print(json_pack("{s:s, s:s, s:s, s:I}", "token", ceremony->facts.label, "label",
                                  options->name, "public_key", options->out, "bits",
                                  (json_int_t)bits));
    else
        (void)printf("generated wrapping pair %s in token %s, public key in %s\n", options->name,
                     ceremony->facts.label, options->out);
    return MIKEYD_OK;
}

static enum mikeyd_status generate_key(struct ceremony *ceremony, struct error *err)
{
    const struct key_options *options = ceremony->options;
    enum token_kind kind;
    struct provision_spec spec;
    struct provision_result result = {0};
    char not_before[11], not_after[11];
    enum mikeyd_status status = kind_of(options, &kind, err);
    if (status == MIKEYD_OK && kind == TOKEN_PAIR)
        status = error_set(err, MIKEYD_INVALID_ARGUMENT, "pair keys are derived: key derive");
    if (status != MIKEYD_OK)
        return status;
    /* A random epsk and the epskx of a random epsk are as good: uniformly random 256 bits. */
    if (kind == TOKEN_EPSK && !ceremony->facts.hkdf)
        kind = TOKEN_EPSKX;
    status = ceremony_spec(ceremony, kind, options->bits == 0 ? 256 : options->bits, &spec,
                           not_before, not_after, err);
    const struct policy_key *key = ceremony_policy_key(ceremony, options->name);
    if (status == MIKEYD_OK && options->for_transport && (key == NULL || !key->transport))
        status =
            error_set(err, MIKEYD_POLICY, "the policy does not let key %s travel (transport: true)",
                      options->name);
    if (status != MIKEYD_OK)
        return status;
    spec.for_transport = options->for_transport;
    spec.result = &result;
    status = provision_generate(ceremony->session, &spec, err);
    status = ceremony_record_made(ceremony, AUDIT_KEY_GENERATE, &spec, status,
                                  spec.for_transport ? "for transport" : "", err);
    if (status == MIKEYD_OK)
        (void)key_print_made(ceremony, "generated", &spec, &result, NULL);
    return status;
}

int key_generate(const struct key_options *options)
{
    if (strcmp(options->kind, "audit") == 0)
        return ceremony_run(options, generate_audit_key);
    if (strcmp(options->kind, "wrapping") == 0)
        return ceremony_run(options, generate_wrapping_pair);
    return ceremony_run(options, generate_key);
}

/* ---- import: laboratory only ---- */

/* The file shows how long a psk or epsk is; of an epskx only its maker knows the EPSK's length. */
static enum mikeyd_status import_bits(const struct key_options *options, enum token_kind kind,
                                      size_t len, unsigned *bits, struct error *err)
{
    *bits = kind == TOKEN_EPSKX ? options->bits : (unsigned)len * 8;
    if (kind == TOKEN_EPSKX && options->bits == 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "--kind epskx needs --bits: the length of the epsk it was extracted from");
    if (kind != TOKEN_EPSKX && options->bits != 0 && options->bits != *bits)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "--bits %u: the file holds %u",
                         options->bits, *bits);
    return MIKEYD_OK;
}

static enum mikeyd_status import_key(struct ceremony *ceremony, struct error *err)
{
    const struct key_options *options = ceremony->options;
    struct secret SECRET_CLEANUP key = {0};
    struct secret SECRET_CLEANUP extracted = {0};
    struct provision_spec spec;
    struct provision_result result = {0};
    enum token_kind kind;
    unsigned bits = 0;
    char not_before[11], not_after[11];
    enum mikeyd_status status = kind_of(options, &kind, err);
    if (status == MIKEYD_OK && kind != TOKEN_PSK && kind != TOKEN_EPSK && kind != TOKEN_EPSKX)
        status =
            error_set(err, MIKEYD_INVALID_ARGUMENT, "--kind %s is never imported", options->kind);
    if (status == MIKEYD_OK)
        status = key_file_read_hex(options->hex_file, &key, err);
    if (status == MIKEYD_OK)
        status = import_bits(options, kind, key.len, &bits, err);
    if (status == MIKEYD_OK)
        status = ceremony_spec(ceremony, kind, bits, &spec, not_before, not_after, err);
    if (status != MIKEYD_OK)
        return status;
    const struct secret *stored = &key;
    const bool extract = kind == TOKEN_EPSK && !ceremony->facts.hkdf;
    if (extract) {
        /* RFC 9258 4.1: epskx = HKDF-Extract(0, epsk), here because the token cannot. */
        if (!secret_make(&extracted, 32))
            return error_set(err, MIKEYD_INTERNAL, "secure heap exhausted");
        status = importer_extract(IMPORTER_SHA256, key.data, key.len, extracted.data, err);
        if (status != MIKEYD_OK)
            return status;
        spec.kind = TOKEN_EPSKX;
        stored = &extracted;
    }
    spec.result = &result;
    status = provision_import(ceremony->session, &spec, stored->data, stored->len, err);
    status = ceremony_record_made(
        ceremony, AUDIT_KEY_IMPORT, &spec, status,
        extract ? "from clear text, epsk extracted on the host" : "from clear text", err);
    if (status == MIKEYD_OK)
        (void)key_print_made(ceremony, "imported", &spec, &result, NULL);
    return status;
}

static enum mikeyd_status import_if_allowed(struct ceremony *ceremony, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    if (policy_get_provisioning(ceremony->policy) != POLICY_PLAINTEXT_ALLOWED)
        status = error_set(err, MIKEYD_POLICY,
                           "the policy says provisioning: wrapped-only: keys in clear are refused");
    else if (!ceremony->options->insecure_plaintext)
        status = error_set(err, MIKEYD_POLICY,
                           "a key in clear is for laboratories: say --insecure-plaintext");
    if (status != MIKEYD_OK) {
        (void)ceremony_record(ceremony, AUDIT_KEY_IMPORT, status, ceremony->options->name,
                              "refused before the key file was opened", NULL);
        return status;
    }
    return import_key(ceremony, err);
}

int key_import(const struct key_options *options)
{
    return ceremony_run(options, import_if_allowed);
}

/* ---- unwrap ---- */

static enum mikeyd_status unwrap_key(struct ceremony *ceremony, struct error *err)
{
    const struct key_options *options = ceremony->options;
    static uint8_t wrapped[TOKEN_BLOCKS_MAX][PROVISION_WRAPPED_MAX];
    struct provision_blob blobs[TOKEN_BLOCKS_MAX];
    struct provision_spec spec;
    struct provision_result result = {0};
    enum token_kind kind;
    char not_before[11], not_after[11], detail[200];
    enum mikeyd_status status = kind_of(options, &kind, err);
    if (status == MIKEYD_OK)
        status = ceremony_spec(ceremony, kind, options->bits, &spec, not_before, not_after, err);
    for (size_t i = 0; status == MIKEYD_OK && i < options->in_count; i++) {
        blobs[i].data = wrapped[i];
        status = key_file_read(options->in[i], wrapped[i], sizeof wrapped[i], &blobs[i].len, err);
    }
    if (status != MIKEYD_OK)
        return status;
    spec.result = &result;
    status = provision_unwrap(ceremony->session, &spec, &options->wrapping, blobs,
                              options->in_count, err);
    (void)snprintf(detail, sizeof detail, "under %.100s%s", options->with,
                   kind == TOKEN_EPSK && !ceremony->facts.hkdf
                       ? ", epsk extracted over a session object, stored as epskx"
                       : "");
    status = ceremony_record_made(ceremony, AUDIT_KEY_UNWRAP, &spec, status, detail, err);
    if (status == MIKEYD_OK)
        (void)key_print_made(ceremony, "unwrapped", &spec, &result, NULL);
    return status;
}

int key_unwrap(const struct key_options *options)
{
    return ceremony_run(options, unwrap_key);
}
