#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/yaml.h"
#include "config/config_gate.h"
#include "config/config_officers.h"
#include "config/config_replay.h"
#include "config/config_token.h"
#include "config/config_values.h"

#define TOKENS_MAX 8
#define LISTEN_MAX 16
#define WORKERS_MAX 512
#define DEFAULT_QUEUE 1024
#define DEFAULT_PAIR_CACHE 4096
#define DEFAULT_SOCKET_MODE 0660

/* What config_load() makes: the public part first, then all that its pointers point to. */
struct config_memory {
    struct config config;
    struct yaml_file *file; /* scalars that need no change stay in the file */
    struct config_strings strings;
    struct token_config tokens[TOKENS_MAX];
    struct config_listen listen[LISTEN_MAX];
    struct config_gate gate;
    struct config_officer officers[CONFIG_OFFICERS_MAX];
    struct config_redis redis;
};

/* ---- sections ---- */

static enum mikeyd_status read_tokens(struct config_memory *memory, const struct yaml_node *root,
                                      struct error *err)
{
    const struct yaml_node *list;
    enum mikeyd_status status = config_required(root, "tokens", &list, err);
    if (status != MIKEYD_OK)
        return status;
    if (yaml_kind(list) != YAML_LIST || yaml_list_count(list) == 0 ||
        yaml_list_count(list) > TOKENS_MAX)
        return yaml_fail(list, err, "not a list of 1 to %d tokens", TOKENS_MAX);
    for (size_t i = 0; i < yaml_list_count(list) && status == MIKEYD_OK; i++)
        status =
            config_token_read(&memory->strings, yaml_list_at(list, i), &memory->tokens[i], err);
    memory->config.tokens = memory->tokens;
    memory->config.token_count = yaml_list_count(list);
    return status;
}

/* File permissions as people write them: "0660". Whoever connects, the policy decides by uid. */
static enum mikeyd_status read_mode(const struct yaml_node *map, unsigned *out, struct error *err)
{
    const struct yaml_node *node = yaml_map_get(map, "mode");
    const char *text;
    if (node == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = yaml_string(node, &text, err);
    if (status != MIKEYD_OK)
        return status;
    char *end = NULL;
    unsigned long mode = strtoul(text, &end, 8);
    if (text[0] < '0' || text[0] > '7' || *end != '\0' || mode > 0777)
        return yaml_fail(node, err, "not an octal mode such as \"0660\"");
    *out = (unsigned)mode;
    return MIKEYD_OK;
}

static enum mikeyd_status read_listen(struct config_memory *memory, const struct yaml_node *root,
                                      struct error *err)
{
    static const char *const known[] = {"unix", "mode", "group", NULL};
    struct config *config = &memory->config;
    const struct yaml_node *list;
    enum mikeyd_status status = config_required(root, "listen", &list, err);
    if (status != MIKEYD_OK)
        return status;
    if (yaml_kind(list) != YAML_LIST || yaml_list_count(list) == 0 ||
        yaml_list_count(list) > LISTEN_MAX)
        return yaml_fail(list, err, "not a list of 1 to %d addresses", LISTEN_MAX);
    config->listen = memory->listen;
    for (size_t i = 0; i < yaml_list_count(list) && status == MIKEYD_OK; i++) {
        const struct yaml_node *item = yaml_list_at(list, i);
        struct config_listen *listen = &memory->listen[i];
        listen->mode = DEFAULT_SOCKET_MODE;
        status = yaml_map_check(item, known, err);
        if (status == MIKEYD_OK)
            status = config_required_path(&memory->strings, item, "unix", &listen->unix_path, err);
        if (status == MIKEYD_OK)
            status = read_mode(item, &listen->mode, err);
        if (status == MIKEYD_OK)
            status = config_text(item, "group", &listen->group, err);
        config->listen_count = i + 1;
    }
    return status;
}

static enum mikeyd_status read_replay(struct config_memory *memory, const struct yaml_node *root,
                                      struct error *err)
{
    static const char *const known[] = {"lmdb", "redis", NULL};
    const struct yaml_node *map, *redis;
    enum mikeyd_status status = config_required(root, "replay", &map, err);
    if (status == MIKEYD_OK)
        status = yaml_map_check(map, known, err);
    if (status != MIKEYD_OK)
        return status;
    redis = yaml_map_get(map, "redis");
    if (redis == NULL)
        return config_required_path(&memory->strings, map, "lmdb", &memory->config.replay_lmdb,
                                    err);
    if (yaml_map_get(map, "lmdb") != NULL)
        return yaml_fail(map, err, "lmdb or redis, not both");
    memory->config.replay_redis = &memory->redis;
    return config_replay_read(redis, &memory->strings, &memory->redis, err);
}

static enum mikeyd_status read_audit_sign(struct config *config, const struct yaml_node *map,
                                          struct error *err)
{
    static const char *const known[] = {"key", "generation", "records", "seconds", NULL};
    const struct yaml_node *key;
    config->audit_key_generation = 1;
    enum mikeyd_status status = yaml_map_check(map, known, err);
    if (status == MIKEYD_OK)
        status = config_required(map, "key", &key, err);
    if (status == MIKEYD_OK)
        status = yaml_string(key, &config->audit_key_name, err);
    if (status == MIKEYD_OK)
        status = config_number(map, "generation", 1, 1000000, &config->audit_key_generation, err);
    if (status == MIKEYD_OK)
        status = config_number(map, "records", 1, 1000000, &config->audit_checkpoint_records, err);
    if (status == MIKEYD_OK)
        status = config_number(map, "seconds", 1, 86400, &config->audit_checkpoint_seconds, err);
    return status;
}

static enum mikeyd_status read_audit(struct config_memory *memory, const struct yaml_node *root,
                                     struct error *err)
{
    static const char *const known[] = {"file", "sign", "rotate_bytes", "insecure-no-sync", NULL};
    struct config *config = &memory->config;
    const struct yaml_node *map, *node;
    enum mikeyd_status status = config_required(root, "audit", &map, err);
    if (status == MIKEYD_OK)
        status = yaml_map_check(map, known, err);
    if (status == MIKEYD_OK)
        status = config_required_path(&memory->strings, map, "file", &config->audit_file, err);
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "sign")) != NULL)
        status = read_audit_sign(config, node, err);
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "rotate_bytes")) != NULL)
        status = yaml_unsigned(node, 4096, UINT64_MAX / 2, &config->audit_rotate_bytes, err);
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "insecure-no-sync")) != NULL)
        status = yaml_bool(node, &config->audit_insecure_no_sync, err);
    return status;
}

static enum mikeyd_status read_metrics(struct config_memory *memory, const struct yaml_node *root,
                                       struct error *err)
{
    static const char *const known[] = {"listen", NULL};
    const struct yaml_node *map = yaml_map_get(root, "metrics"), *node;
    struct config *config = &memory->config;
    if (map == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = yaml_map_check(map, known, err);
    if (status == MIKEYD_OK)
        status = config_required(map, "listen", &node, err);
    if (status == MIKEYD_OK)
        status = config_address(&memory->strings, node, &config->metrics_address,
                                &config->metrics_port, err);
    return status;
}

static enum mikeyd_status read_gate(struct config_memory *memory, const struct yaml_node *root,
                                    struct error *err)
{
    const struct yaml_node *map = yaml_map_get(root, "gate");
    if (map == NULL)
        return MIKEYD_OK;
    memory->config.gate = &memory->gate;
    return config_gate_read(map, &memory->strings, &memory->gate, err);
}

static enum mikeyd_status sandbox_list(const struct yaml_node *list, struct error *err)
{
    if (yaml_kind(list) != YAML_LIST || yaml_list_count(list) > CONFIG_SANDBOX_MAX)
        return yaml_fail(list, err, "not a list of at most %d", CONFIG_SANDBOX_MAX);
    return MIKEYD_OK;
}

static enum mikeyd_status read_paths(struct config_memory *memory, const struct yaml_node *map,
                                     const char *field, const char **paths, size_t *count,
                                     struct error *err)
{
    const struct yaml_node *list = yaml_map_get(map, field);
    if (list == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = sandbox_list(list, err);
    for (size_t i = 0; status == MIKEYD_OK && i < yaml_list_count(list); i++) {
        status = config_path(&memory->strings, yaml_list_at(list, i), &paths[i], err);
        *count = i + 1;
    }
    return status;
}

static enum mikeyd_status read_connect(struct config_sandbox *sandbox, const struct yaml_node *map,
                                       struct error *err)
{
    const struct yaml_node *list = yaml_map_get(map, "connect");
    if (list == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = sandbox_list(list, err);
    for (size_t i = 0; status == MIKEYD_OK && i < yaml_list_count(list); i++) {
        uint64_t port = 0;
        status = yaml_unsigned(yaml_list_at(list, i), 1, UINT16_MAX, &port, err);
        sandbox->connect[i] = (uint16_t)port;
        sandbox->connect_count = i + 1;
    }
    return status;
}

static enum mikeyd_status read_sandbox(struct config_memory *memory, const struct yaml_node *root,
                                       struct error *err)
{
    static const char *const known[] = {"readable", "writable", "connect", "late_code", NULL};
    struct config_sandbox *sandbox = &memory->config.sandbox;
    const struct yaml_node *map = yaml_map_get(root, "sandbox"), *node;
    if (map == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = yaml_map_check(map, known, err);
    if (status == MIKEYD_OK)
        status =
            read_paths(memory, map, "readable", sandbox->readable, &sandbox->readable_count, err);
    if (status == MIKEYD_OK)
        status =
            read_paths(memory, map, "writable", sandbox->writable, &sandbox->writable_count, err);
    if (status == MIKEYD_OK)
        status = read_connect(sandbox, map, err);
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "late_code")) != NULL)
        status = yaml_bool(node, &sandbox->late_code, err);
    return status;
}

static enum mikeyd_status read_users(const struct yaml_node *root, struct config *config,
                                     struct error *err)
{
    static const char *const known[] = {"front", "keyholder", NULL};
    const struct yaml_node *map = yaml_map_get(root, "users");
    if (map == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = yaml_map_check(map, known, err);
    const struct yaml_node *front = NULL, *keyholder = NULL;
    if (status == MIKEYD_OK)
        status = config_required(map, "front", &front, err);
    if (status == MIKEYD_OK)
        status = config_required(map, "keyholder", &keyholder, err);
    if (status == MIKEYD_OK)
        status = yaml_string(front, &config->front_user, err);
    if (status == MIKEYD_OK)
        status = yaml_string(keyholder, &config->keyholder_user, err);
    return status;
}

static unsigned all_sessions(const struct config *config)
{
    unsigned sessions = 0;
    for (size_t i = 0; i < config->token_count; i++)
        sessions += config->tokens[i].sessions;
    return sessions > WORKERS_MAX ? WORKERS_MAX : sessions;
}

static enum mikeyd_status read_root(struct config_memory *memory, struct error *err)
{
    static const char *const known[] = {
        "tokens", "policy",     "listen",  "replay", "audit", "metrics",  "workers",
        "queue",  "pair_cache", "sandbox", "users",  "gate",  "officers", "policy_signatures",
        NULL};
    struct config *config = &memory->config;
    const struct yaml_node *root = yaml_root(memory->file);
    enum mikeyd_status status = yaml_map_check(root, known, err);
    if (status == MIKEYD_OK)
        status = read_tokens(memory, root, err);
    if (status == MIKEYD_OK)
        status = config_required_path(&memory->strings, root, "policy", &config->policy, err);
    if (status == MIKEYD_OK)
        status = read_listen(memory, root, err);
    if (status == MIKEYD_OK)
        status = read_replay(memory, root, err);
    if (status == MIKEYD_OK)
        status = read_audit(memory, root, err);
    if (status == MIKEYD_OK)
        status = read_metrics(memory, root, err);
    if (status == MIKEYD_OK)
        status = read_sandbox(memory, root, err);
    if (status == MIKEYD_OK)
        status = read_users(root, config, err);
    if (status == MIKEYD_OK)
        status = read_gate(memory, root, err);
    if (status == MIKEYD_OK)
        status =
            config_officers_read(root, &memory->strings, memory->officers, &memory->config, err);
    if (status != MIKEYD_OK)
        return status;

    const unsigned sessions = all_sessions(config);
    config->workers = sessions;
    config->queue = DEFAULT_QUEUE;
    config->pair_cache = DEFAULT_PAIR_CACHE;
    status = config_number(root, "workers", 1, WORKERS_MAX, &config->workers, err);
    if (status == MIKEYD_OK)
        status = config_number(root, "queue", 1, 65536, &config->queue, err);
    if (status == MIKEYD_OK)
        status = config_number(root, "pair_cache", 16, 1000000, &config->pair_cache, err);
    /* More would only wait for each other's sessions. */
    if (status == MIKEYD_OK && config->workers > sessions) {
        status = yaml_fail(yaml_map_get(root, "workers"), err,
                           "more workers than the tokens have sessions (%u)", sessions);
    }
    return status;
}

enum mikeyd_status config_load(const char *path, struct config **out, struct error *err)
{
    struct config_memory *memory = calloc(1, sizeof *memory);
    if (memory == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    const char *slash = strrchr(path, '/');
    memory->strings.folder = strndup(path, slash == NULL ? 0 : (size_t)(slash - path) + 1);
    enum mikeyd_status status =
        memory->strings.folder == NULL
            ? error_set(err, MIKEYD_INTERNAL, "out of memory")
            : config_keep(&memory->strings, strdup(path), &memory->config.path, err);
    if (status == MIKEYD_OK)
        status = yaml_file_load(path, &memory->file, err);
    if (status == MIKEYD_OK)
        status = read_root(memory, err);
    if (status != MIKEYD_OK) {
        config_free(&memory->config);
        return status;
    }
    *out = &memory->config;
    return MIKEYD_OK;
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    struct config_memory *memory = (struct config_memory *)config; /* its first member */
    config_strings_free(&memory->strings);
    yaml_file_free(memory->file);
    free(memory);
}
