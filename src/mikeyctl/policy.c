/* mikeyctl policy check: a policy file against the rules, and against the tokens on demand. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "config/config.h"
#include "mikeyctl/policy_command.h"
#include "pkcs11/token/token.h"
#include "policy/findings.h"

static const char synopsis[] =
    "mikeyctl [--config FILE] [--json] policy COMMAND FILE ...\n"
    "  check FILE [--token] [--report]\n"
    "  sign  FILE --officer NAME --key PEM|pkcs11:URI [--pin-file F] [--module M]";

#define EXIT_POLICY 3

/* ---- what the tokens hold */

/* The objects of one token as the rules want them. Owned; the token stays open for their names. */
struct inventory {
    struct token *token;
    struct policy_token_key *keys;
    char (*texts)[240]; /* attribute findings */
    size_t count;
};

static void inventory_clear(struct inventory *inventory)
{
    free(inventory->keys);
    free(inventory->texts);
    token_close(inventory->token);
    *inventory = (struct inventory){0};
}

static void describe_key(const struct token_key *key, struct policy_token_key *out, char *text,
                         size_t text_size)
{
    /* Dates have a rule of their own. */
    key_findings_text(key->findings & ~(uint32_t)(KEY_FINDING_DATES | KEY_FINDING_NOTE), text,
                      text_size);
    *out = (struct policy_token_key){
        .kind = token_kind_name(key->kind),
        .name = key->name,
        .generation = key->generation,
        .bits = key->bits,
        .end_date = key->end_date,
        .attribute_findings = text,
        .fatal = (key->findings & KEY_FINDING_FATAL) != 0,
    };
}

static enum mikeyd_status inventory_open(const struct token_config *config,
                                         struct inventory *inventory, struct error *err)
{
    struct token_config ceremony = *config;
    ceremony.provisioning = true; /* report keys with findings rather than refuse the token */
    enum mikeyd_status status = token_open(&ceremony, &inventory->token, err);
    if (status != MIKEYD_OK)
        return status;
    inventory->count = token_key_count(inventory->token);
    inventory->keys = calloc(inventory->count + 1, sizeof *inventory->keys);
    inventory->texts = calloc(inventory->count + 1, sizeof *inventory->texts);
    if (inventory->keys == NULL || inventory->texts == NULL) {
        inventory_clear(inventory);
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    }
    for (size_t i = 0; i < inventory->count; i++)
        describe_key(token_key_at(inventory->token, i), &inventory->keys[i], inventory->texts[i],
                     sizeof inventory->texts[i]);
    return MIKEYD_OK;
}

/* ---- output */

/* Prints those of one severity; returns how many. */
static size_t print_severity(const struct policy_findings *findings, enum policy_severity severity)
{
    size_t count = 0;
    for (size_t i = 0; i < findings->count; i++) {
        const struct policy_finding *finding = &findings->list[i];
        if (finding->severity != severity)
            continue;
        (void)printf("%-7s  %s  [%s]\n         %s\n", policy_severity_name(severity),
                     finding->where, finding->rule, finding->text);
        count++;
    }
    return count;
}

/* Worst first. */
static void print_findings(const struct policy *policy, const struct policy_findings *findings)
{
    size_t errors = print_severity(findings, POLICY_ERROR);
    size_t warnings = print_severity(findings, POLICY_WARNING);
    size_t notes = print_severity(findings, POLICY_NOTE);
    (void)printf("errors: %zu, warnings: %zu, notes: %zu; sha256 %s\n", errors, warnings, notes,
                 policy_sha256(policy));
}

static void print_coverage(void)
{
    const struct policy_coverage *row;
    (void)printf("\nRequirements of RFC 9257 and RFC 3830\n");
    for (size_t i = 0; (row = policy_coverage_at(i)) != NULL; i++) {
        (void)printf("%-14s  %s  (%s, %s)\n                %s\n                %s\n",
                     policy_coverage_status_name(row->status), row->id, row->section, row->strength,
                     row->requirement, row->reason);
        if (row->rules[0] != '\0')
            (void)printf("                rules: %s\n", row->rules);
    }
}

static int print_json(const struct policy *policy, const struct policy_findings *findings,
                      const struct signature_view *signatures)
{
    json_t *object = policy_findings_json(policy, findings);
    json_t *signed_by = signature_view_json(signatures);
    if (object != NULL && signed_by != NULL)
        (void)json_object_set_new(object, "signatures", signed_by);
    if (object != NULL)
        return ctl_print(object);
    struct error err;
    (void)error_set(&err, MIKEYD_INTERNAL, "out of memory");
    return ctl_fail(true, &err);
}

/* ---- the command */

struct check {
    const char *file;
    bool token;
    bool report;
    bool json;
};

/* Adds what the rules find in one token. */
static enum mikeyd_status check_token(const struct policy *policy,
                                      const struct token_config *config, const char *prefix,
                                      struct policy_findings *findings, struct error *err)
{
    struct inventory inventory = {0};
    enum mikeyd_status status = inventory_open(config, &inventory, err);
    if (status != MIKEYD_OK)
        return status;
    struct policy_findings all;
    status = policy_check(policy, inventory.keys, inventory.count, clock_unix_now(), &all);
    if (status == MIKEYD_OK) {
        status = policy_findings_add_token(findings, prefix, &all);
        policy_findings_free(&all);
    }
    inventory_clear(&inventory);
    return status == MIKEYD_OK ? MIKEYD_OK : error_set(err, status, "out of memory");
}

/* Each token of the configuration in turn: members of a failover group hold the same keys. */
static enum mikeyd_status check_tokens(const struct ctl *ctl, const struct policy *policy,
                                       struct policy_findings *findings, struct error *err)
{
    struct config *config;
    enum mikeyd_status status = config_load(ctl->config, &config, err);
    if (status != MIKEYD_OK)
        return status;
    for (size_t i = 0; i < config->token_count && status == MIKEYD_OK; i++) {
        const struct token_config *token = &config->tokens[i];
        status =
            check_token(policy, token, config->token_count > 1 ? token->uri : NULL, findings, err);
    }
    config_free(config);
    return status;
}

static int print_result(const struct check *check, const struct policy *policy,
                        const struct policy_findings *findings,
                        const struct signature_view *signatures)
{
    if (check->json) {
        int printed = print_json(policy, findings, signatures);
        if (printed != 0)
            return printed;
    } else {
        print_findings(policy, findings);
        signature_view_print(signatures, check->file);
        if (check->report)
            print_coverage();
    }
    return policy_findings_have_error(findings) || signatures->refused ? EXIT_POLICY : 0;
}

static int run_check(const struct ctl *ctl, const struct check *check)
{
    struct error err;
    struct policy *policy;
    enum mikeyd_status status = policy_load_to_check(check->file, &policy, &err);
    if (status != MIKEYD_OK)
        return ctl_fail(check->json, &err);
    struct policy_findings findings;
    struct signature_view signatures = {0};
    status = policy_check(policy, NULL, 0, clock_unix_now(), &findings);
    if (status != MIKEYD_OK)
        (void)error_set(&err, status, "out of memory");
    else if (check->token)
        status = check_tokens(ctl, policy, &findings, &err);
    if (status == MIKEYD_OK)
        status = signature_view_make(ctl->config, check->file, policy, &signatures, &err);
    int result = status == MIKEYD_OK ? print_result(check, policy, &findings, &signatures)
                                     : ctl_fail(check->json, &err);
    signature_view_clear(&signatures);
    policy_findings_free(&findings);
    policy_unref(policy);
    return result;
}

struct policy_arguments {
    struct check check;
    struct officer_options officer;
    bool of_check, of_sign; /* options of these were given */
};

static bool take_option(struct policy_arguments *out, int option, const char *value)
{
    switch (option) {
    case 't':
        out->of_check = out->check.token = true;
        return true;
    case 'r':
        out->of_check = out->check.report = true;
        return true;
    case 'j':
        out->check.json = true;
        return true;
    case 'o':
        out->officer.name = value;
        break;
    case 'k':
        out->officer.key = value;
        break;
    case 'p':
        out->officer.pin_file = value;
        break;
    case 'm':
        out->officer.module = value;
        break;
    default:
        return false;
    }
    out->of_sign = true;
    return true;
}

int ctl_policy(struct ctl *ctl, int argc, char **argv)
{
    static const struct option options[] = {
        {"token", no_argument, NULL, 't'},        {"report", no_argument, NULL, 'r'},
        {"json", no_argument, NULL, 'j'},         {"officer", required_argument, NULL, 'o'},
        {"key", required_argument, NULL, 'k'},    {"pin-file", required_argument, NULL, 'p'},
        {"module", required_argument, NULL, 'm'}, {NULL, 0, NULL, 0},
    };
    struct policy_arguments arguments = {.check.json = ctl->json};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (!take_option(&arguments, option, optarg))
            return ctl_usage(synopsis, "bad option");
    }
    const char *command = argc - optind == 2 ? argv[optind] : "";
    const bool sign = strcmp(command, "sign") == 0;
    if (!sign && strcmp(command, "check") != 0)
        return ctl_usage(synopsis, "expected: check FILE, or sign FILE");
    if (sign ? arguments.of_check : arguments.of_sign)
        return ctl_usage(synopsis, "policy %s does not take this option", command);
    if (sign && (arguments.officer.name == NULL || arguments.officer.key == NULL))
        return ctl_usage(synopsis, "policy sign needs --officer and --key");
    arguments.check.file = argv[optind + 1];
    return sign
               ? policy_command_sign(arguments.check.file, &arguments.officer, arguments.check.json)
               : run_check(ctl, &arguments.check);
}
