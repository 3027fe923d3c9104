#include "mikeyd/check.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/secret.h"
#include "mikeyd/config.h"
#include "mikeyd/confinement.h"
#include "pkcs11/signer.h"
#include "pkcs11/token.h"
#include "policy/findings.h"

/* Ceremony and check hold few secrets at once. */
#define CHECK_HEAP ((size_t)256 * 1024)
#define ATTRIBUTE_TEXT 512

struct token_view {
    struct policy_token_key *keys;
    char (*texts)[ATTRIBUTE_TEXT];
    size_t count;
};

/* What policy's rules look at, which know no PKCS#11. */
static enum mikeyd_status view_token(const struct token *token, struct token_view *view,
                                     struct error *err)
{
    const size_t count = token_key_count(token);
    view->keys = calloc(count + 1, sizeof *view->keys);
    view->texts = calloc(count + 1, sizeof *view->texts);
    if (view->keys == NULL || view->texts == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    view->count = count;
    for (size_t i = 0; i < count; i++) {
        const struct token_key *key = token_key_at(token, i);
        key_findings_text(key->findings & ~(uint32_t)KEY_FINDING_NOTE, view->texts[i],
                          ATTRIBUTE_TEXT);
        view->keys[i] = (struct policy_token_key){
            .kind = token_kind_name(key->kind),
            .name = key->name,
            .generation = key->generation,
            .bits = key->bits,
            .end_date = key->end_date,
            .attribute_findings = view->texts[i],
            .fatal = (key->findings & KEY_FINDING_FATAL) != 0,
        };
    }
    return MIKEYD_OK;
}

static enum mikeyd_status check_policy(const struct policy *policy, const struct token_view *view,
                                       bool *refused, struct error *err)
{
    struct policy_findings findings = {0};
    enum mikeyd_status status =
        policy_check(policy, view->keys, view->count, clock_unix_now(), &findings);
    if (status != MIKEYD_OK)
        return error_set(err, status, "out of memory");
    for (size_t i = 0; i < findings.count; i++) {
        const struct policy_finding *finding = &findings.list[i];
        (void)printf("%-8s %-16s %s: %s\n", policy_severity_name(finding->severity), finding->rule,
                     finding->where, finding->text);
    }
    *refused = policy_findings_have_error(&findings);
    policy_findings_free(&findings);
    return MIKEYD_OK;
}

/* The policy's `prf: derive` is refused by the daemon where the token cannot. */
static void check_prf(const struct policy *policy, const struct token_facts *facts, bool *refused)
{
    if (policy_default_prf(policy) != POLICY_PRF_DERIVE || facts->prf_derive)
        return;
    (void)printf("error    %-16s token %s cannot run MIKEY's PRF, which `prf: derive` asks for\n",
                 "TOKEN-PRF", facts->label);
    *refused = true;
}

/* Without one that is fit no ticket can be made, and the daemon does not start. */
static void check_ticket_key(const struct token *token, const struct token_facts *facts,
                             bool *refused)
{
    for (size_t i = 0; i < token_key_count(token); i++) {
        const struct token_key *key = token_key_at(token, i);
        if (key->kind == TOKEN_TICKET && (key->findings & KEY_FINDING_FATAL) == 0)
            return;
    }
    (void)printf("error    %-16s token %s has no key of kind ticket that is fit: mikeyctl key "
                 "generate --kind ticket --name tickets\n",
                 "TOKEN-TICKET", facts->label);
    *refused = true;
}

static enum mikeyd_status check_audit_key(const struct config *config, struct token *token,
                                          struct error *err)
{
    struct token_signer *signer = NULL;
    if (config->audit_key_name == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = token_signer_open(token, config->audit_key_name,
                                                  config->audit_key_generation, &signer, err);
    if (status == MIKEYD_OK)
        token_signer_close(signer);
    return status;
}

/* Its files and sockets are made by the daemon, their folders by the operator. */
static enum mikeyd_status check_folder(const struct config *config, const char *path,
                                       struct error *err)
{
    char copy[PATH_MAX];
    struct stat info;
    (void)snprintf(copy, sizeof copy, "%s", path);
    const char *folder = dirname(copy);
    if (stat(folder, &info) != 0)
        return error_set(err, MIKEYD_INTERNAL, "%s: %s: %s", config->path, folder, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return error_set(err, MIKEYD_INTERNAL, "%s: %s is no folder", config->path, folder);
    return MIKEYD_OK;
}

static enum mikeyd_status check_config(const struct config *config, struct error *err)
{
    if (config->token_count != 1) {
        return error_set(err, MIKEYD_UNSUPPORTED,
                         "%s: tokens: this version serves from one token, %zu are listed",
                         config->path, config->token_count);
    }
    enum mikeyd_status status = check_folder(config, config->audit_file, err);
    if (status == MIKEYD_OK)
        status = check_folder(config, config->replay_lmdb, err);
    for (size_t i = 0; i < config->listen_count && status == MIKEYD_OK; i++)
        status = check_folder(config, config->listen[i].unix_path, err);
    return status;
}

static enum mikeyd_status check_token(const struct config *config, const struct policy *policy,
                                      bool *refused, struct error *err)
{
    struct token *token = NULL;
    struct token_view view = {0};
    /* As the ceremony opens it: keys with findings are told, not refused at the door. */
    struct token_config look = config->tokens[0];
    look.provisioning = true;
    enum mikeyd_status status = token_open(&look, &token, err);
    if (status != MIKEYD_OK)
        return status;
    struct token_facts facts;
    token_get_facts(token, &facts);
    (void)printf("token    %s (%s): %zu keys, MIKEY's PRF by %s\n", facts.label, facts.model,
                 facts.keys, facts.prf_derive ? "derivation" : "HMAC calls");
    status = view_token(token, &view, err);
    if (status == MIKEYD_OK)
        status = check_policy(policy, &view, refused, err);
    check_prf(policy, &facts, refused);
    check_ticket_key(token, &facts, refused);
    if (status == MIKEYD_OK)
        status = check_audit_key(config, token, err);
    free(view.keys);
    free(view.texts);
    token_close(token);
    return status;
}

int check_run(const char *config_path, bool sandbox)
{
    struct error err = {.text = ""};
    struct config *config = NULL;
    struct confinement *confinement = NULL;
    struct policy *policy = NULL;
    bool refused = false;
    int exit_status;

    enum mikeyd_status status = config_load(config_path, &config, &err);
    if (status != MIKEYD_OK) {
        (void)fprintf(stderr, "mikeyd: %s\n", err.text);
        return 1;
    }
    /* As the daemon will see the token: what its module may not open is missing here as well. */
    status = confinement_begin(config, sandbox, &confinement, &err);
    if (status != MIKEYD_OK) {
        (void)fprintf(stderr, "mikeyd: %s\n", err.text);
        exit_status = status_exit_code(status);
        goto out;
    }
    status = policy_load(config->policy, &policy, &err);
    if (status != MIKEYD_OK) {
        (void)fprintf(stderr, "mikeyd: %s\n", err.text);
        exit_status = status == MIKEYD_POLICY ? 3 : 1;
        goto out;
    }
    (void)printf("policy   %s: %zu keys, %zu nodes, %zu clients, SHA-256 %s\n", config->policy,
                 policy_key_count(policy), policy_node_count(policy), policy_client_count(policy),
                 policy_sha256(policy));
    status = secret_heap_init(CHECK_HEAP, &err);
    if (status == MIKEYD_OK)
        status = check_config(config, &err);
    if (status == MIKEYD_OK)
        status = check_token(config, policy, &refused, &err);
    if (status != MIKEYD_OK)
        (void)fprintf(stderr, "mikeyd: %s\n", err.text);
    exit_status = status != MIKEYD_OK ? status_exit_code(status) : refused ? 3 : 0;
out:
    policy_unref(policy);
    confinement_free(confinement);
    config_free(config);
    return exit_status;
}
