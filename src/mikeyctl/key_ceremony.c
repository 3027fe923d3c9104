/* The ceremony: configuration, policy, audit log and the token it works on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/random.h"
#include "base/secret.h"
#include "mikeyctl/key.h"

#define SECURE_HEAP (1u << 16)
/* An RSA pair takes seconds in some tokens. */
#define CALL_TIMEOUT_MS 60000
#define SESSION_WAIT_MS 5000

/*
 * The log's closing checkpoint, by the audit key of the token that was worked on. Called while
 * ceremony_close() waits. A command that went through several tokens opens the last one again.
 */
static enum mikeyd_status sign_log(void *context, struct checkpoint_claim *claim,
                                   uint8_t *signature, size_t *len, struct error *err)
{
    struct ceremony *ceremony = context;
    uint8_t digest[32];
    enum mikeyd_status status = checkpoint_digest(claim, digest, err);
    if (ceremony->token_config.module == NULL)
        return error_set(err, MIKEYD_TOKEN_DOWN, "this step is not logged in as the token's user");
    if (status == MIKEYD_OK && ceremony->token == NULL)
        status = token_open(&ceremony->token_config, &ceremony->token, err);
    if (status == MIKEYD_OK && ceremony->signer == NULL)
        status = token_signer_open(ceremony->token, ceremony->config->audit_key_name,
                                   ceremony->config->audit_key_generation, &ceremony->signer, err);
    if (status == MIKEYD_OK)
        status = token_signer_sign(ceremony->signer, digest, signature, len, err);
    return status;
}

/* The daemon holds the lock of its own log while it runs: the ceremony then has a file beside it,
 * with a chain of its own, which the daemon links into its own chain. */
static enum mikeyd_status open_audit(struct ceremony *ceremony, struct error *err)
{
    const struct key_options *options = ceremony->options;
    const struct config *config = ceremony->config;
    const char *path = options->audit != NULL ? options->audit : config->audit_file;
    if (path == NULL)
        return error_set(err, MIKEYD_AUDIT_DOWN,
                         "no audit file: no ceremony (audit.file, --audit)");
    const struct audit_signer signer = {
        .context = ceremony, .sign = sign_log, .key_label = ceremony->signer_label};
    struct audit_options audit = {.path = path,
                                  .synchronous = true,
                                  .signer = config->audit_key_name == NULL ? NULL : &signer,
                                  .sign_at_close = true};
    if (config->audit_key_name != NULL)
        (void)snprintf(ceremony->signer_label, sizeof ceremony->signer_label, "mikeyd/audit/%s/%u",
                       config->audit_key_name, config->audit_key_generation);
    (void)snprintf(ceremony->audit_path, sizeof ceremony->audit_path, "%s", path);
    enum mikeyd_status status = audit_open(&audit, &ceremony->audit, err);
    if (status != MIKEYD_AUDIT_DOWN || options->audit != NULL)
        return status;
    if ((size_t)snprintf(ceremony->audit_path, sizeof ceremony->audit_path,
                         "%s" AUDIT_CEREMONY_SUFFIX, path) >= sizeof ceremony->audit_path)
        return status;
    audit.path = ceremony->audit_path;
    struct error second = {0};
    if (audit_open(&audit, &ceremony->audit, &second) != MIKEYD_OK)
        return status;
    *err = (struct error){0};
    return MIKEYD_OK;
}

/* As the daemon does: what nobody signed says nothing about keys, nor does what is out of date. */
static enum mikeyd_status load_policy(struct ceremony *ceremony, struct error *err)
{
    struct officers *officers = NULL;
    struct audit_policy_mark last = {0};
    const struct config *config = ceremony->config;
    enum mikeyd_status status = officers_load(config, &officers, err);
    if (status == MIKEYD_OK && officers != NULL)
        status = audit_last_policy(config->audit_file, &last, err);
    if (status == MIKEYD_OK)
        status =
            signed_policy_load(config, officers, &last, &ceremony->policy, &ceremony->signers, err);
    officers_free(officers);
    return status;
}

enum mikeyd_status ceremony_open(const struct key_options *options, bool recorded,
                                 struct ceremony *out, struct error *err)
{
    *out = (struct ceremony){.options = options};
    (void)snprintf(out->client, sizeof out->client, "ceremony uid %u", (unsigned)getuid());
    log_open("mikeyctl", LOG_LEVEL_WARNING);
    enum mikeyd_status status = secret_heap_init(SECURE_HEAP, err);
    if (status == MIKEYD_OK)
        status = random_check(err);
    if (status == MIKEYD_OK)
        status = secret_process_harden(err);
    if (status == MIKEYD_OK)
        status = config_load(options->config, &out->config, err);
    if (status == MIKEYD_OK)
        status = load_policy(out, err);
    if (status == MIKEYD_OK && recorded)
        status = open_audit(out, err);
    return status;
}

void ceremony_close(struct ceremony *ceremony)
{
    if (ceremony->audit != NULL)
        audit_close(ceremony->audit); /* which signs it */
    ceremony_close_token(ceremony);
    policy_unref(ceremony->policy);
    config_free(ceremony->config);
    *ceremony = (struct ceremony){0};
}

/* ---- tokens ---- */

enum mikeyd_status ceremony_tokens(const struct ceremony *ceremony, size_t *count, size_t *first,
                                   struct error *err)
{
    const struct config *config = ceremony->config;
    const char *wanted = ceremony->options->token;
    *first = 0;
    *count = config->token_count;
    if (wanted == NULL)
        return MIKEYD_OK;
    *count = 1;
    for (size_t i = 0; i < config->token_count; i++) {
        char number[24];
        (void)snprintf(number, sizeof number, "%zu", i + 1);
        *first = i;
        if (strcmp(wanted, number) == 0 || strcmp(wanted, config->tokens[i].uri) == 0)
            return MIKEYD_OK;
    }
    return error_set(err, MIKEYD_INVALID_ARGUMENT,
                     "--token %s: neither 1 to %zu nor a uri of the configuration", wanted,
                     config->token_count);
}

void ceremony_token_config(const struct ceremony *ceremony, size_t index, struct token_config *out)
{
    *out = ceremony->config->tokens[index];
    if (ceremony->options->pin_file != NULL)
        out->pin_file = ceremony->options->pin_file;
    out->sessions = 1;
    out->session_copies = TOKEN_COPIES_OFF; /* the objects themselves are looked at */
    out->call_timeout_ms = CALL_TIMEOUT_MS;
    out->read_write = !ceremony->read_only;
    out->provisioning = true;
}

enum mikeyd_status ceremony_open_token(struct ceremony *ceremony, size_t index, struct error *err)
{
    ceremony_token_config(ceremony, index, &ceremony->token_config);
    enum mikeyd_status status = token_open(&ceremony->token_config, &ceremony->token, err);
    if (status == MIKEYD_OK)
        status = token_session_acquire(ceremony->token, SESSION_WAIT_MS, &ceremony->session, err);
    if (status == MIKEYD_OK)
        token_get_facts(ceremony->token, &ceremony->facts);
    return status;
}

/* For commands that change a token: it has to be clear which. */
static enum mikeyd_status open_only_token(struct ceremony *ceremony, struct error *err)
{
    size_t count = 0, first = 0;
    enum mikeyd_status status = ceremony_tokens(ceremony, &count, &first, err);
    if (status == MIKEYD_OK && count != 1)
        status = error_set(err, MIKEYD_INVALID_ARGUMENT,
                           "the configuration has %zu tokens: say which by --token", count);
    if (status == MIKEYD_OK)
        status = ceremony_open_token(ceremony, first, err);
    return status;
}

void ceremony_close_token(struct ceremony *ceremony)
{
    token_signer_close(ceremony->signer);
    if (ceremony->session != NULL)
        token_session_release(ceremony->session);
    if (ceremony->token != NULL)
        token_close(ceremony->token);
    ceremony->signer = NULL;
    ceremony->session = NULL;
    ceremony->token = NULL;
}

/* ---- records ---- */

enum mikeyd_status ceremony_record(struct ceremony *ceremony, enum audit_event event,
                                   enum mikeyd_status result, const char *key, const char *detail,
                                   struct error *err)
{
    const struct audit_record record = {
        .event = event,
        .status = result,
        .client = ceremony->client,
        .key = key,
        .policy_sha256 = policy_sha256(ceremony->policy),
        .policy_serial = signed_policy_serial(ceremony->config, ceremony->policy),
        .officers = ceremony->signers.text[0] == '\0' ? NULL : ceremony->signers.text,
        .detail = detail,
    };
    uint64_t sequence = 0;
    enum mikeyd_status status = audit_append(ceremony->audit, &record, &sequence, err);
    if (status == MIKEYD_OK)
        status = audit_wait(ceremony->audit, sequence, err);
    return status;
}

enum mikeyd_status ceremony_record_made(struct ceremony *ceremony, enum audit_event event,
                                        const struct provision_spec *spec,
                                        enum mikeyd_status status, const char *detail,
                                        struct error *err)
{
    char key[TOKEN_NAME_MAX + 16], text[400];
    const enum token_kind kind = spec->result != NULL ? spec->result->kind : spec->kind;
    if (status == MIKEYD_OK)
        status = provision_confirm(ceremony->session, spec, kind, err);
    (void)snprintf(key, sizeof key, "%s/%u", spec->name, spec->generation);
    (void)snprintf(text, sizeof text, "kind %s, %u bits, token %s%s%s", token_kind_name(spec->kind),
                   spec->bits, ceremony->facts.label, detail[0] == '\0' ? "" : ", ", detail);
    if (status != MIKEYD_OK) {
        /* Already failing: the record is made if it can be, the first error stays. */
        (void)ceremony_record(ceremony, event, status, key, text, NULL);
        return status;
    }
    status = ceremony_record(ceremony, event, MIKEYD_OK, key, text, err);
    if (status == MIKEYD_OK)
        return MIKEYD_OK;
    unsigned objects = 0;
    struct error second = {0};
    if (provision_destroy_name(ceremony->session, kind, spec->name, spec->generation, &objects,
                               &second) == MIKEYD_OK)
        error_prefix(err, "no record, so the key was destroyed again");
    else
        error_prefix(err, "no record, and the key could NOT be destroyed");
    return status;
}

/* ---- policy ---- */

const struct policy_key *ceremony_policy_key(const struct ceremony *ceremony, const char *name)
{
    for (size_t i = 0; i < policy_key_count(ceremony->policy); i++) {
        const struct policy_key *key = policy_key_at(ceremony->policy, i);
        if (strcmp(key->name, name) == 0)
            return key;
    }
    return NULL;
}

void ceremony_date(int64_t unix_seconds, bool last_day, char out[11])
{
    out[0] = '\0';
    if (unix_seconds <= 0)
        return;
    /* CKA_END_DATE is the last day of use, the policy's not_after the first instant without. */
    const time_t when = (time_t)(last_day ? unix_seconds - 1 : unix_seconds);
    struct tm tm;
    if (gmtime_r(&when, &tm) == NULL || strftime(out, 11, "%Y-%m-%d", &tm) != 10)
        out[0] = '\0';
}

static bool kinds_agree(enum token_kind kind, const struct policy_key *key)
{
    if (kind == TOKEN_PSK)
        return key->kind == POLICY_KEY_PSK;
    return (kind == TOKEN_EPSK || kind == TOKEN_EPSKX) && key->kind == POLICY_KEY_EPSK;
}

enum mikeyd_status ceremony_spec(const struct ceremony *ceremony, enum token_kind kind,
                                 unsigned bits, struct provision_spec *out, char not_before[11],
                                 char not_after[11], struct error *err)
{
    const struct key_options *options = ceremony->options;
    const bool governed = kind == TOKEN_PSK || kind == TOKEN_EPSK || kind == TOKEN_EPSKX;
    const struct policy_key *key = governed ? ceremony_policy_key(ceremony, options->name) : NULL;
    not_before[0] = not_after[0] = '\0';
    if (key != NULL && !kinds_agree(kind, key))
        return error_set(err, MIKEYD_POLICY, "the policy's key %s is of another kind than %s",
                         options->name, token_kind_name(kind));
    if (governed && bits < policy_min_psk_bits(ceremony->policy))
        return error_set(err, MIKEYD_POLICY, "%u bits: min_psk_bits is %u", bits,
                         policy_min_psk_bits(ceremony->policy));
    if (key != NULL) {
        ceremony_date(key->not_before, false, not_before);
        ceremony_date(key->not_after, true, not_after);
    }
    *out = (struct provision_spec){
        .kind = kind,
        .name = options->name,
        .generation = options->generation != 0 ? options->generation
                      : key != NULL            ? key->generation
                                               : 1,
        .bits = bits,
        .not_before = options->not_before != NULL ? options->not_before : not_before,
        .not_after = options->not_after != NULL ? options->not_after : not_after,
        .modifiable = options->modifiable,
    };
    return MIKEYD_OK;
}

int ceremony_run(const struct key_options *options,
                 enum mikeyd_status (*step)(struct ceremony *, struct error *))
{
    struct ceremony ceremony;
    struct error err = {0};
    enum mikeyd_status status = ceremony_open(options, true, &ceremony, &err);
    if (status == MIKEYD_OK)
        status = open_only_token(&ceremony, &err);
    if (status == MIKEYD_OK)
        status = step(&ceremony, &err);
    ceremony_close(&ceremony);
    return status == MIKEYD_OK ? 0 : ctl_fail(options->json, &err);
}
