#include "mikeyd/check.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/key_finding.h"
#include "base/random.h"
#include "base/secret.h"
#include "config/config.h"
#include "mikeyd/audit_signer.h"
#include "mikeyd/confinement.h"
#include "mikeyd/front_keys.h"
#include "officers/signed_policy.h"
#include "policy/findings.h"
#include "store/redis_wire.h"

/* Ceremony and check hold few secrets at once. */
#define CHECK_HEAP ((size_t)256 * 1024)
#define ATTRIBUTE_TEXT 512

struct token_view {
    struct policy_token_key *keys;
    char (*texts)[ATTRIBUTE_TEXT];
    size_t count;
};

/* What policy's rules look at, which know no PKCS#11. Views into the inventory. */
static enum mikeyd_status view_keys(const struct keys_inventory *inventory, struct token_view *view,
                                    struct error *err)
{
    const size_t count = keys_inventory_count(inventory);
    view->keys = calloc(count + 1, sizeof *view->keys);
    view->texts = calloc(count + 1, sizeof *view->texts);
    if (view->keys == NULL || view->texts == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    view->count = count;
    for (size_t i = 0; i < count; i++) {
        const struct keys_entry *entry = keys_inventory_at(inventory, i);
        key_findings_text(entry->findings & ~(uint32_t)KEY_FINDING_NOTE, view->texts[i],
                          ATTRIBUTE_TEXT);
        view->keys[i] = (struct policy_token_key){
            .kind = keys_kind_name(entry->kind),
            .name = entry->name,
            .generation = entry->generation,
            .bits = entry->bits,
            .end_date = entry->end_date,
            .attribute_findings = view->texts[i],
            .fatal = (entry->findings & KEY_FINDING_FATAL) != 0,
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
    *refused = policy_findings_have_error(&findings) || *refused;
    policy_findings_free(&findings);
    return MIKEYD_OK;
}

/* The policy's `prf: derive` is refused by the daemon where a token cannot. */
static void check_prf(const struct policy *policy, const struct door_facts *facts, bool *refused)
{
    if (policy_default_prf(policy) != POLICY_PRF_DERIVE || facts->prf_derive)
        return;
    (void)printf("error    %-16s token %s cannot run MIKEY's PRF, which `prf: derive` asks for\n",
                 "TOKEN-PRF", facts->label);
    *refused = true;
}

/* Without one that is fit no ticket can be made, and the daemon does not start. */
static void check_ticket_key(const struct keys_inventory *inventory, bool *refused)
{
    for (size_t i = 0; i < keys_inventory_count(inventory); i++) {
        const struct keys_entry *entry = keys_inventory_at(inventory, i);
        if (entry->kind == KEYS_TICKET && entry->usable)
            return;
    }
    (void)printf("error    %-16s the token has no key of kind ticket that is fit: mikeyctl key "
                 "generate --kind ticket --name tickets\n",
                 "TOKEN-TICKET");
    *refused = true;
}

static enum mikeyd_status check_audit_key(struct daemon *daemon, struct error *err)
{
    struct audit_signer interface;
    struct checkpoint_signer *signer = NULL;
    if (daemon->config->audit_key_name == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = audit_signer_make(daemon->config, &signer, &interface, err);
    if (status == MIKEYD_OK)
        status = audit_signer_attach(signer, daemon->keys, err);
    audit_signer_free(signer);
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

static enum mikeyd_status check_addresses(const struct config *config, const char *const *addresses,
                                          size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        enum mikeyd_status status = redis_address_check(addresses[i], NULL, err);
        if (status != MIKEYD_OK) {
            error_prefix(err, "%s: replay.redis", config->path);
            return status;
        }
    }
    return MIKEYD_OK;
}

static enum mikeyd_status check_replay(const struct config *config, struct error *err)
{
    const struct config_redis *redis = config->replay_redis;
    if (redis == NULL)
        return check_folder(config, config->replay_lmdb, err);
    enum mikeyd_status status = check_addresses(config, redis->servers, redis->server_count, err);
    return status == MIKEYD_OK
               ? check_addresses(config, redis->sentinels, redis->sentinel_count, err)
               : status;
}

static enum mikeyd_status check_config(const struct config *config, struct error *err)
{
    enum mikeyd_status status = check_folder(config, config->audit_file, err);
    if (status == MIKEYD_OK)
        status = check_replay(config, err);
    for (size_t i = 0; i < config->listen_count && status == MIKEYD_OK; i++)
        status = check_folder(config, config->listen[i].unix_path, err);
    return status;
}

/* Each member says what it is; one that is not there, or holds other keys, is an error. */
static void tell_members(struct daemon *daemon, const struct policy *policy, bool *refused)
{
    for (size_t i = 0; i < daemon->config->token_count; i++) {
        struct keys_member_status status;
        keys_group_member_status(daemon->keys, i, &status);
        if (status.state == KEYS_MEMBER_CLOSED) {
            (void)printf("token    %s (%s): %u keys, MIKEY's PRF by %s\n", status.facts.label,
                         status.facts.model, (unsigned)status.facts.key_count,
                         status.facts.prf_derive ? "derivation" : "HMAC calls");
            check_prf(policy, &status.facts, refused);
            continue;
        }
        char said[FRONT_KEYS_WHY];
        front_keys_why(daemon, i, said);
        (void)printf("error    %-16s token %zu: %s\n", "TOKEN-GROUP", i,
                     said[0] != '\0' ? said : status.why);
        *refused = true;
    }
}

static enum mikeyd_status check_keys(struct daemon *daemon, const struct policy *policy,
                                     bool *refused, struct error *err)
{
    struct token_view view = {0};
    enum mikeyd_status status = front_keys_open(daemon, err);
    if (status != MIKEYD_OK || daemon->stopping)
        return status;
    struct keys_inventory *inventory = keys_group_inventory(daemon->keys);
    tell_members(daemon, policy, refused);
    status = view_keys(inventory, &view, err);
    if (status == MIKEYD_OK)
        status = check_policy(policy, &view, refused, err);
    check_ticket_key(inventory, refused);
    if (status == MIKEYD_OK)
        status = check_audit_key(daemon, err);
    free(view.keys);
    free(view.texts);
    keys_inventory_unref(inventory);
    return status;
}

/* As the daemon will, with the mark of the policy that it loaded last. */
static enum mikeyd_status load_policy(const struct config *config, struct policy **out,
                                      struct error *err)
{
    struct officers *officers = NULL;
    struct policy_signers signers;
    struct audit_policy_mark last = {0};
    enum mikeyd_status status = officers_load(config, &officers, err);
    if (status == MIKEYD_OK && officers != NULL)
        status = audit_last_policy(config->audit_file, &last, err);
    if (status == MIKEYD_OK)
        status = signed_policy_load(config, officers, &last, out, &signers, err);
    if (status == MIKEYD_OK && officers != NULL)
        (void)printf("signed   by %s\n", signers.text);
    officers_free(officers);
    return status;
}

int check_run(const char *config_path, bool sandbox, int channel)
{
    struct error err = {.text = ""};
    struct config *config = NULL;
    struct confinement *confinement = NULL;
    struct policy *policy = NULL;
    struct daemon *daemon = calloc(1, sizeof *daemon);
    bool refused = false;
    int exit_status;

    enum mikeyd_status status = config_load(config_path, &config, &err);
    if (status != MIKEYD_OK || daemon == NULL) {
        (void)fprintf(stderr, "mikeyd: %s\n", err.text);
        free(daemon);
        return 1;
    }
    /* Of a daemon, as much as looks at the keys. */
    daemon->config = config;
    daemon->channel = channel;
    daemon->mailbox.fd = -1;
    status = secret_heap_init(CHECK_HEAP, &err);
    if (status == MIKEYD_OK)
        status = random_check(&err);
    /* As the daemon will see its files. */
    if (status == MIKEYD_OK)
        status = confinement_begin(config, sandbox, &confinement, &err);
    if (status != MIKEYD_OK) {
        (void)fprintf(stderr, "mikeyd: %s\n", err.text);
        exit_status = status_exit_code(status);
        goto out;
    }
    status = load_policy(config, &policy, &err);
    if (status != MIKEYD_OK) {
        (void)fprintf(stderr, "mikeyd: %s\n", err.text);
        exit_status = status == MIKEYD_POLICY ? 3 : 1;
        goto out;
    }
    (void)printf("policy   %s: %zu keys, %zu nodes, %zu clients, SHA-256 %s\n", config->policy,
                 policy_key_count(policy), policy_node_count(policy), policy_client_count(policy),
                 policy_sha256(policy));
    status = check_config(config, &err);
    if (status == MIKEYD_OK)
        status = check_keys(daemon, policy, &refused, &err);
    if (status != MIKEYD_OK)
        (void)fprintf(stderr, "mikeyd: %s\n", err.text);
    exit_status = status != MIKEYD_OK ? status_exit_code(status) : refused ? 3 : 0;
out:
    if (daemon->front_keys != NULL)
        front_keys_close(daemon);
    free(daemon);
    policy_unref(policy);
    confinement_free(confinement);
    config_free(config);
    return exit_status;
}
