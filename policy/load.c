/* Reading policy.yaml: the frame of the file, its defaults and limits. Sections: load_lists.c. */
#include "policy/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/text.h"
#include "policy/findings.h"

#define DAY_S ((int64_t)24 * 60 * 60)
#define CLOCK_SKEW_MAX_MS ((uint64_t)60 * 60 * 1000)

/* ---- values ---------------------------------------------------------------------------------- */

enum mikeyd_status policy_read_word(const struct yaml_node *node, const char *const words[],
                                    size_t *out, struct error *err)
{
    const char *text;
    enum mikeyd_status status = yaml_string(node, &text, err);
    if (status != MIKEYD_OK)
        return status;
    char all[160] = "";
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i;
            return MIKEYD_OK;
        }
        size_t used = strlen(all);
        (void)snprintf(all + used, sizeof all - used, "%s%s", i == 0 ? "" : " or ", words[i]);
    }
    return yaml_fail(node, err, "expected %s, found \"%.40s\"", all, text);
}

enum mikeyd_status policy_read_suites(const struct yaml_node *node, uint8_t *order, uint8_t *count,
                                      struct error *err)
{
    enum mikeyd_status status = yaml_list_check(node, err);
    if (status != MIKEYD_OK)
        return status;
    if (yaml_list_count(node) == 0)
        return yaml_fail(node, err, "no suite listed");
    uint32_t seen = 0;
    uint8_t used = 0;
    for (size_t i = 0; i < yaml_list_count(node); i++) {
        const struct yaml_node *item = yaml_list_at(node, i);
        const char *name;
        enum srtp_suite suite;
        status = yaml_string(item, &name, err);
        if (status != MIKEYD_OK)
            return status;
        if (!srtp_suite_by_name(name, &suite))
            return yaml_fail(item, err, "\"%.60s\" is no suite that mikeyd knows", name);
        if ((seen & 1u << suite) != 0)
            return yaml_fail(item, err, "%s is listed twice", name);
        seen |= 1u << suite;
        order[used++] = (uint8_t)suite;
    }
    *count = used;
    return MIKEYD_OK;
}

static enum mikeyd_status read_algorithms(const struct yaml_node *node, enum mikey_algorithms *out,
                                          struct error *err)
{
    const char *const words[] = {mikey_algorithms_name(MIKEY_ALGORITHMS_1),
                                 mikey_algorithms_name(MIKEY_ALGORITHMS_256), NULL};
    size_t word = 0;
    enum mikeyd_status status = policy_read_word(node, words, &word, err);
    if (status == MIKEYD_OK)
        (void)mikey_algorithms_by_name(words[word], out);
    return status;
}

/* A field with two words, of which `yes` stands for true. */
static enum mikeyd_status read_choice(const struct yaml_node *node, const char *no, const char *yes,
                                      bool *out, struct error *err)
{
    const char *const words[] = {no, yes, NULL};
    size_t word = 0;
    enum mikeyd_status status = policy_read_word(node, words, &word, err);
    if (status == MIKEYD_OK)
        *out = word == 1;
    return status;
}

/* prf, mac and tgk: how keys are computed. */
static enum mikeyd_status read_computing(const struct yaml_node *map,
                                         struct policy_settings *settings, struct error *err)
{
    const struct yaml_node *node;
    enum mikeyd_status status = MIKEYD_OK;
    bool chosen;
    if ((node = yaml_map_get(map, "prf")) != NULL) {
        status = read_choice(node, "any", "derive", &chosen, err);
        if (status != MIKEYD_OK)
            return status;
        settings->prf = chosen ? POLICY_PRF_DERIVE : POLICY_PRF_ANY;
    }
    if ((node = yaml_map_get(map, "mac")) != NULL) {
        status = read_choice(node, "token", "host", &chosen, err);
        if (status != MIKEYD_OK)
            return status;
        settings->mac = chosen ? POLICY_MAC_HOST : POLICY_MAC_TOKEN;
    }
    if ((node = yaml_map_get(map, "tgk")) != NULL) {
        status = read_choice(node, "transported", "derived", &chosen, err);
        if (status != MIKEYD_OK)
            return status;
        settings->tgk = chosen ? POLICY_TGK_DERIVED : POLICY_TGK_TRANSPORTED;
    }
    return status;
}

/* forward_secrecy and dh_group: what an ephemeral exchange is asked for, and in which group. */
static enum mikeyd_status read_secrecy(const struct yaml_node *map,
                                       struct policy_settings *settings, struct error *err)
{
    static const char *const words[] = {"off", "preferred", "required", NULL};
    const struct yaml_node *node;
    size_t word = 0;
    bool oakley;
    if ((node = yaml_map_get(map, "forward_secrecy")) != NULL) {
        enum mikeyd_status status = policy_read_word(node, words, &word, err);
        if (status != MIKEYD_OK)
            return status;
        settings->forward_secrecy = (enum policy_forward_secrecy)word;
    }
    if ((node = yaml_map_get(map, "dh_group")) == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = read_choice(node, "x25519", "oakley-5", &oakley, err);
    if (status == MIKEYD_OK)
        settings->dh_group = oakley ? POLICY_GROUP_OAKLEY_5 : POLICY_GROUP_X25519;
    return status;
}

enum mikeyd_status policy_read_settings(const struct yaml_node *map,
                                        struct policy_settings *settings, struct error *err)
{
    const struct yaml_node *node;
    enum mikeyd_status status = MIKEYD_OK;
    uint64_t number = 0;
    if ((node = yaml_map_get(map, "suites")) != NULL)
        status = policy_read_suites(node, settings->suite_order, &settings->suite_count, err);
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "algorithms")) != NULL)
        status = read_algorithms(node, &settings->algorithms, err);
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "verification")) != NULL)
        status = read_choice(node, "allowed", "required", &settings->verification_required, err);
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "clock_skew")) != NULL) {
        status = yaml_duration_ms(node, 1000, CLOCK_SKEW_MAX_MS, &number, err);
        settings->clock_skew_ms = (uint32_t)number;
    }
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "mki_bytes")) != NULL) {
        status = yaml_unsigned(node, 0, 128, &number, err);
        settings->mki_bytes = (uint8_t)number;
        settings->mki_never = number == 0;
    }
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "error_messages")) != NULL)
        status = read_choice(node, "none", "sent", &settings->error_messages, err);
    if (status == MIKEYD_OK)
        status = read_secrecy(map, settings, err);
    if (status == MIKEYD_OK)
        status = read_computing(map, settings, err);
    return status;
}

/* ---- sections -------------------------------------------------------------------------------- */

/* What holds where the file says nothing: the careful end of each choice. */
static void set_defaults(struct policy *policy)
{
    policy->min_psk_bits = 256;
    policy->provisioning = POLICY_WRAPPED_ONLY;
    policy->limits = (struct policy_limits){
        .key_lifetime_s = 398 * DAY_S, .exchanges_per_pair_key = 10000000, .nodes_per_client = 16};
    policy->defaults = (struct policy_settings){
        .verification_required = true,
        .algorithms = MIKEY_ALGORITHMS_256,
        .prf = POLICY_PRF_ANY,
        .mac = POLICY_MAC_TOKEN,
        .tgk = POLICY_TGK_TRANSPORTED,
        .clock_skew_ms = 60000,
    };
}

/* Suites for a file that lists none: those that its algorithms can carry, authenticated ones first.
 */
static void set_default_suites(struct policy_settings *settings)
{
    bool strong = settings->algorithms == MIKEY_ALGORITHMS_256;
    settings->suite_count = 2;
    settings->suite_order[0] = strong ? SRTP_AEAD_AES_256_GCM : SRTP_AEAD_AES_128_GCM;
    settings->suite_order[1] = strong ? SRTP_AES_256_CM_HMAC_SHA1_80 : SRTP_AES_CM_128_HMAC_SHA1_80;
}

static enum mikeyd_status read_defaults(struct policy *policy, const struct yaml_node *map,
                                        struct error *err)
{
    static const char *const known[] = {"suites",
                                        "algorithms",
                                        "verification",
                                        "clock_skew",
                                        "min_psk_bits",
                                        "prf",
                                        "mac",
                                        "tgk",
                                        "provisioning",
                                        "mki_bytes",
                                        "forward_secrecy",
                                        "dh_group",
                                        "session_copies",
                                        "error_messages",
                                        NULL};
    if (map == NULL)
        return MIKEYD_OK;
    policy->defaults_at = map;
    enum mikeyd_status status = yaml_map_check(map, known, err);
    if (status == MIKEYD_OK)
        status = policy_read_settings(map, &policy->defaults, err);
    const struct yaml_node *node;
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "min_psk_bits")) != NULL) {
        uint64_t bits;
        /* Fewer than 128 are for a rule to refuse, with its reason. */
        status = yaml_unsigned(node, 0, 2048, &bits, err);
        if (status == MIKEYD_OK)
            policy->min_psk_bits = (unsigned)bits;
    }
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "provisioning")) != NULL) {
        bool plaintext;
        status = read_choice(node, "wrapped-only", "plaintext-allowed", &plaintext, err);
        if (status == MIKEYD_OK)
            policy->provisioning = plaintext ? POLICY_PLAINTEXT_ALLOWED : POLICY_WRAPPED_ONLY;
    }
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "session_copies")) != NULL)
        status = read_choice(node, "allowed", "forbidden", &policy->session_copies_forbidden, err);
    return status;
}

static enum mikeyd_status read_limits(struct policy_limits *limits, const struct yaml_node *map,
                                      struct error *err)
{
    static const char *const known[] = {"key_lifetime", "exchanges_per_pair_key",
                                        "nodes_per_client", NULL};
    if (map == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = yaml_map_check(map, known, err);
    const struct yaml_node *node;
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "key_lifetime")) != NULL) {
        uint64_t ms;
        status = yaml_duration_ms(node, DAY_S * 1000, 36525 * DAY_S * 1000, &ms, err);
        if (status == MIKEYD_OK)
            limits->key_lifetime_s = (int64_t)(ms / 1000);
    }
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "exchanges_per_pair_key")) != NULL)
        status = yaml_unsigned(node, 1, UINT64_MAX, &limits->exchanges_per_pair_key, err);
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "nodes_per_client")) != NULL)
        status = yaml_unsigned(node, 1, UINT32_MAX, &limits->nodes_per_client, err);
    return status;
}

static enum mikeyd_status read_version(const struct yaml_node *root, struct error *err)
{
    const struct yaml_node *node = yaml_map_get(root, "policy");
    if (node == NULL)
        return yaml_fail(root, err, "policy: the field is missing (expected \"policy: 1\")");
    uint64_t version;
    return yaml_unsigned(node, 1, 1, &version, err);
}

/* What the policy says of its own signatures (officers/signed_policy.h). */
static enum mikeyd_status read_signing(struct policy *policy, const struct yaml_node *root,
                                       struct error *err)
{
    const struct yaml_node *serial = yaml_map_get(root, "serial");
    const struct yaml_node *signatures = yaml_map_get(root, "signatures");
    enum mikeyd_status status = MIKEYD_OK;
    if (serial != NULL)
        status = yaml_unsigned(serial, 1, INT64_MAX, &policy->serial, err);
    if (status == MIKEYD_OK && signatures != NULL)
        status = read_choice(signatures, "off", "required", &policy->signatures_required, err);
    if (status == MIKEYD_OK && policy->signatures_required && serial == NULL)
        status = yaml_fail(signatures, err,
                           "what is signed needs a serial: add \"serial: 1\", and raise it with "
                           "each change");
    return status;
}

static enum mikeyd_status read_root(struct policy *policy, struct error *err)
{
    static const char *const known[] = {"policy", "serial",  "signatures", "defaults",
                                        "limits", "keys",    "nodes",      "pairs",
                                        "mesh",   "clients", "interop",    NULL};
    static const struct {
        const char *field;
        enum mikeyd_status (*read)(struct policy *, const struct yaml_node *, struct error *);
    } sections[] = {
        /* In this order: pairs, meshes, clients and interop refer to keys and nodes. */
        {"defaults", read_defaults},      {"keys", policy_read_keys},
        {"nodes", policy_read_nodes},     {"pairs", policy_read_pairs},
        {"mesh", policy_read_meshes},     {"clients", policy_read_clients},
        {"interop", policy_read_interop},
    };
    const struct yaml_node *root = yaml_root(policy->file);
    enum mikeyd_status status = yaml_map_check(root, known, err);
    if (status == MIKEYD_OK)
        status = read_version(root, err);
    if (status == MIKEYD_OK)
        status = read_signing(policy, root, err);
    if (status == MIKEYD_OK)
        status = read_limits(&policy->limits, yaml_map_get(root, "limits"), err);
    for (size_t i = 0; status == MIKEYD_OK && i < sizeof sections / sizeof sections[0]; i++) {
        status = sections[i].read(policy, yaml_map_get(root, sections[i].field), err);
        if (i == 0 && policy->defaults.suite_count == 0)
            set_default_suites(&policy->defaults);
    }
    return status;
}

static enum mikeyd_status hash_file(struct policy *policy, struct error *err)
{
    size_t len;
    const char *text = yaml_text(policy->file, &len);
    uint8_t digest[EVP_MAX_MD_SIZE];
    if (!EVP_Digest(text, len, digest, NULL, EVP_sha256(), NULL))
        return error_set(err, MIKEYD_INTERNAL, "SHA-256 of the policy failed");
    hex_encode(digest, 32, policy->sha256);
    return MIKEYD_OK;
}

/* ---- loading --------------------------------------------------------------------------------- */

enum mikeyd_status policy_build(struct yaml_file *file, struct policy **out, struct error *err)
{
    *out = NULL;
    struct policy *policy = calloc(1, sizeof *policy);
    if (policy == NULL) {
        yaml_file_free(file);
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    }
    policy->file = file;
    atomic_init(&policy->references, 1);
    set_defaults(policy);
    enum mikeyd_status status = hash_file(policy, err);
    if (status == MIKEYD_OK)
        status = read_root(policy, err);
    if (status != MIKEYD_OK) {
        policy_unref(policy);
        return status;
    }
    *out = policy;
    return MIKEYD_OK;
}

/* Refuses a model in which a rule finds an error; the first one is reported. */
static enum mikeyd_status refuse_errors(const struct policy *policy, struct error *err)
{
    struct policy_findings findings;
    enum mikeyd_status status = policy_check_errors(policy, &findings);
    if (status != MIKEYD_OK)
        return error_set(err, status, "out of memory");
    for (size_t i = 0; i < findings.count && status == MIKEYD_OK; i++) {
        const struct policy_finding *finding = &findings.list[i];
        if (finding->severity == POLICY_ERROR)
            status = error_set(err, MIKEYD_POLICY, "%s: %s (%s)", finding->where, finding->text,
                               finding->rule);
    }
    policy_findings_free(&findings);
    return status;
}

static enum mikeyd_status load_strictly(struct yaml_file *file, struct policy **out,
                                        struct error *err)
{
    enum mikeyd_status status = policy_build(file, out, err);
    if (status != MIKEYD_OK)
        return status;
    status = refuse_errors(*out, err);
    if (status != MIKEYD_OK) {
        policy_unref(*out);
        *out = NULL;
    }
    return status;
}

enum mikeyd_status policy_load(const char *path, struct policy **out, struct error *err)
{
    *out = NULL;
    struct yaml_file *file;
    enum mikeyd_status status = yaml_file_load(path, &file, err);
    return status == MIKEYD_OK ? load_strictly(file, out, err) : status;
}

enum mikeyd_status policy_load_text(const char *text, size_t len, const char *name,
                                    struct policy **out, struct error *err)
{
    *out = NULL;
    struct yaml_file *file;
    enum mikeyd_status status = yaml_file_parse(text, len, name, &file, err);
    return status == MIKEYD_OK ? load_strictly(file, out, err) : status;
}

enum mikeyd_status policy_load_to_check(const char *path, struct policy **out, struct error *err)
{
    *out = NULL;
    struct yaml_file *file;
    enum mikeyd_status status = yaml_file_load(path, &file, err);
    return status == MIKEYD_OK ? policy_build(file, out, err) : status;
}

enum mikeyd_status policy_load_text_to_check(const char *text, size_t len, const char *name,
                                             struct policy **out, struct error *err)
{
    *out = NULL;
    struct yaml_file *file;
    enum mikeyd_status status = yaml_file_parse(text, len, name, &file, err);
    return status == MIKEYD_OK ? policy_build(file, out, err) : status;
}
