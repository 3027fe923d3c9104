#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/yaml.h"
#include "config/config_gate.h"
#include "config/config_replay.h"
#include "pkcs11/token/profile.h"

#define TOKENS_MAX 8
#define LISTEN_MAX 16
#define DEFAULT_SESSIONS 8
#define DEFAULT_CALL_TIMEOUT_MS 2000
#define WORKERS_MAX 512
#define DEFAULT_QUEUE 1024
#define DEFAULT_PAIR_CACHE 4096
#define DEFAULT_SOCKET_MODE 0660

/* What config_load() makes: the public part first, then all that its pointers point to. */
struct config_memory {
    struct config config;
    struct yaml_file *file; /* scalars that need no change stay in the file */
    char *folder;           /* of the file, with the final slash; "" when it has none */
    char **strings;
    size_t string_count;
    struct token_config tokens[TOKENS_MAX];
    struct config_listen listen[LISTEN_MAX];
    struct config_gate gate;
    struct config_redis redis;
};

/* Takes ownership of text (NULL: memory ran out). */
static enum mikeyd_status keep_string(struct config_memory *memory, char *text, const char **out,
                                      struct error *err)
{
    char **larger =
        text == NULL ? NULL : realloc(memory->strings, (memory->string_count + 1) * sizeof *larger);
    if (larger == NULL) {
        free(text);
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    }
    memory->strings = larger;
    memory->strings[memory->string_count++] = text;
    *out = text;
    return MIKEYD_OK;
}

/* ---- typed fields: absent ones leave the default ---- */

static enum mikeyd_status required(const struct yaml_node *map, const char *field,
                                   const struct yaml_node **out, struct error *err)
{
    *out = yaml_map_get(map, field);
    return *out != NULL ? MIKEYD_OK : yaml_fail(map, err, "%s is missing", field);
}

static enum mikeyd_status read_text(const struct yaml_node *map, const char *field,
                                    const char **out, struct error *err)
{
    const struct yaml_node *node = yaml_map_get(map, field);
    return node == NULL ? MIKEYD_OK : yaml_string(node, out, err);
}

static enum mikeyd_status read_number(const struct yaml_node *map, const char *field, unsigned min,
                                      unsigned max, unsigned *out, struct error *err)
{
    const struct yaml_node *node = yaml_map_get(map, field);
    if (node == NULL)
        return MIKEYD_OK;
    uint64_t value;
    enum mikeyd_status status = yaml_unsigned(node, min, max, &value, err);
    if (status == MIKEYD_OK)
        *out = (unsigned)value;
    return status;
}

/* A path relative to the configuration's own folder, so that it means the same from everywhere. */
static enum mikeyd_status read_path(struct config_memory *memory, const struct yaml_node *node,
                                    const char **out, struct error *err)
{
    const char *text;
    enum mikeyd_status status = yaml_string(node, &text, err);
    if (status != MIKEYD_OK)
        return status;
    if (text[0] == '\0')
        return yaml_fail(node, err, "empty path");
    char *path = NULL;
    if (asprintf(&path, "%s%s", text[0] == '/' ? "" : memory->folder, text) < 0)
        path = NULL;
    return keep_string(memory, path, out, err);
}

static enum mikeyd_status required_path(struct config_memory *memory, const struct yaml_node *map,
                                        const char *field, const char **out, struct error *err)
{
    const struct yaml_node *node;
    enum mikeyd_status status = required(map, field, &node, err);
    return status != MIKEYD_OK ? status : read_path(memory, node, out, err);
}

/* ---- sections ---- */

static enum mikeyd_status read_session_copies(const struct yaml_node *map, enum token_copies *out,
                                              struct error *err)
{
    const char *text = "auto";
    enum mikeyd_status status = read_text(map, "session_copies", &text, err);
    if (status != MIKEYD_OK)
        return status;
    if (strcmp(text, "auto") == 0)
        *out = TOKEN_COPIES_AUTO;
    else if (strcmp(text, "on") == 0 || strcmp(text, "true") == 0)
        *out = TOKEN_COPIES_ON;
    else if (strcmp(text, "off") == 0 || strcmp(text, "false") == 0)
        *out = TOKEN_COPIES_OFF;
    else
        return yaml_fail(yaml_map_get(map, "session_copies"), err, "neither auto, on nor off");
    return MIKEYD_OK;
}

static enum mikeyd_status read_call_timeout(const struct yaml_node *map, unsigned *out_ms,
                                            struct error *err)
{
    const struct yaml_node *node = yaml_map_get(map, "call_timeout");
    uint64_t milliseconds = DEFAULT_CALL_TIMEOUT_MS;
    enum mikeyd_status status =
        node == NULL ? MIKEYD_OK : yaml_duration_ms(node, 10, 60000, &milliseconds, err);
    if (status == MIKEYD_OK)
        *out_ms = (unsigned)milliseconds;
    return status;
}

/* Names as a shell takes them; not those by which the dynamic linker would load other code. */
static bool is_variable(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    return name[0] != '\0' && strspn(name, allowed) == strlen(name) &&
           (name[0] < '0' || name[0] > '9') && strncmp(name, "LD_", 3) != 0;
}

static enum mikeyd_status read_environment(const struct yaml_node *map, struct token_config *token,
                                           struct error *err)
{
    const struct yaml_node *node = yaml_map_get(map, "environment"), *value;
    const char *name;
    if (node == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = MIKEYD_OK;
    if (yaml_map_at(node, 0, &name) == NULL)
        return yaml_fail(node, err, "not a map of variables, such as {SOFTHSM2_CONF: /etc/a.conf}");
    for (size_t i = 0; status == MIKEYD_OK && (value = yaml_map_at(node, i, &name)) != NULL; i++) {
        if (i == TOKEN_ENVIRONMENT_MAX)
            return yaml_fail(node, err, "more than %d variables", TOKEN_ENVIRONMENT_MAX);
        if (!is_variable(name))
            return yaml_fail(value, err, "not the name of a variable that a module may read");
        token->environment[i].name = name;
        status = yaml_string(value, &token->environment[i].value, err);
        token->environment_count = (unsigned)i + 1;
    }
    return status;
}

static enum mikeyd_status read_profile(const struct yaml_node *map, const char **out,
                                       struct error *err)
{
    char names[256] = "auto";
    *out = "auto";
    enum mikeyd_status status = read_text(map, "profile", out, err);
    if (status != MIKEYD_OK || strcmp(*out, "auto") == 0 || profile_named(*out) != NULL)
        return status;
    for (size_t i = 0; profile_at(i) != NULL; i++) {
        const size_t len = strlen(names);
        (void)snprintf(names + len, sizeof names - len, ", %s", profile_at(i)->name);
    }
    return yaml_fail(yaml_map_get(map, "profile"), err, "is none of %s", names);
}

const char *config_token_switch(const struct token_config *token, size_t n)
{
    const char *name;
    for (size_t i = 0; (name = profile_switch_at(i)) != NULL; i++) {
        if ((token->switches & UINT32_C(1) << i) != 0 && n-- == 0)
            return name;
    }
    return NULL;
}

static enum mikeyd_status read_switches(const struct yaml_node *map, uint32_t *out,
                                        struct error *err)
{
    char names[256] = "";
    const struct yaml_node *list = yaml_map_get(map, "switches");
    if (list == NULL)
        return MIKEYD_OK;
    for (size_t i = 0; profile_switch_at(i) != NULL; i++) {
        const size_t len = strlen(names);
        (void)snprintf(names + len, sizeof names - len, "%s%s", i == 0 ? "" : ", ",
                       profile_switch_at(i));
    }
    if (yaml_kind(list) != YAML_LIST)
        return yaml_fail(list, err, "not a list of some of %s", names);
    for (size_t i = 0; i < yaml_list_count(list); i++) {
        const char *name;
        uint32_t bit = 0;
        enum mikeyd_status status = yaml_string(yaml_list_at(list, i), &name, err);
        if (status != MIKEYD_OK)
            return status;
        if (!profile_switch_named(name, &bit))
            return yaml_fail(yaml_list_at(list, i), err, "is none of %s", names);
        *out |= bit;
    }
    return MIKEYD_OK;
}

static enum mikeyd_status read_token(struct config_memory *memory, const struct yaml_node *map,
                                     struct token_config *token, struct error *err)
{
    static const char *const known[] = {
        "module",    "uri",          "pin_file",    "sessions", "session_copies",
        "init_args", "call_timeout", "environment", "profile",  "switches",
        NULL};
    const struct yaml_node *uri;
    *token = (struct token_config){.sessions = DEFAULT_SESSIONS};
    enum mikeyd_status status = yaml_map_check(map, known, err);
    if (status == MIKEYD_OK)
        status = required_path(memory, map, "module", &token->module, err);
    if (status == MIKEYD_OK)
        status = required(map, "uri", &uri, err);
    if (status == MIKEYD_OK)
        status = yaml_string(uri, &token->uri, err);
    /* The PIN comes from a private file only; the message must not repeat it. */
    if (status == MIKEYD_OK && strstr(token->uri, "pin-value") != NULL)
        status = yaml_fail(uri, err, "pin-value is refused: use pin_file");
    if (status == MIKEYD_OK)
        status = required_path(memory, map, "pin_file", &token->pin_file, err);
    if (status == MIKEYD_OK)
        status = read_text(map, "init_args", &token->init_args, err);
    if (status == MIKEYD_OK)
        status = read_number(map, "sessions", 1, 256, &token->sessions, err);
    if (status == MIKEYD_OK)
        status = read_session_copies(map, &token->session_copies, err);
    if (status == MIKEYD_OK)
        status = read_call_timeout(map, &token->call_timeout_ms, err);
    if (status == MIKEYD_OK)
        status = read_environment(map, token, err);
    if (status == MIKEYD_OK)
        status = read_profile(map, &token->profile, err);
    if (status == MIKEYD_OK)
        status = read_switches(map, &token->switches, err);
    return status;
}

static enum mikeyd_status read_tokens(struct config_memory *memory, const struct yaml_node *root,
                                      struct error *err)
{
    const struct yaml_node *list;
    enum mikeyd_status status = required(root, "tokens", &list, err);
    if (status != MIKEYD_OK)
        return status;
    if (yaml_kind(list) != YAML_LIST || yaml_list_count(list) == 0 ||
        yaml_list_count(list) > TOKENS_MAX)
        return yaml_fail(list, err, "not a list of 1 to %d tokens", TOKENS_MAX);
    for (size_t i = 0; i < yaml_list_count(list) && status == MIKEYD_OK; i++)
        status = read_token(memory, yaml_list_at(list, i), &memory->tokens[i], err);
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
    enum mikeyd_status status = required(root, "listen", &list, err);
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
            status = required_path(memory, item, "unix", &listen->unix_path, err);
        if (status == MIKEYD_OK)
            status = read_mode(item, &listen->mode, err);
        if (status == MIKEYD_OK)
            status = read_text(item, "group", &listen->group, err);
        config->listen_count = i + 1;
    }
    return status;
}

static enum mikeyd_status replay_path(void *memory, const struct yaml_node *node, const char **out,
                                      struct error *err)
{
    return read_path(memory, node, out, err);
}

static enum mikeyd_status read_replay(struct config_memory *memory, const struct yaml_node *root,
                                      struct error *err)
{
    static const char *const known[] = {"lmdb", "redis", NULL};
    const struct config_replay_reader reader = {.path = replay_path, .memory = memory};
    const struct yaml_node *map, *redis;
    enum mikeyd_status status = required(root, "replay", &map, err);
    if (status == MIKEYD_OK)
        status = yaml_map_check(map, known, err);
    if (status != MIKEYD_OK)
        return status;
    redis = yaml_map_get(map, "redis");
    if (redis == NULL)
        return required_path(memory, map, "lmdb", &memory->config.replay_lmdb, err);
    if (yaml_map_get(map, "lmdb") != NULL)
        return yaml_fail(map, err, "lmdb or redis, not both");
    memory->config.replay_redis = &memory->redis;
    return config_replay_read(redis, &reader, &memory->redis, err);
}

static enum mikeyd_status read_audit_sign(struct config *config, const struct yaml_node *map,
                                          struct error *err)
{
    static const char *const known[] = {"key", "generation", "records", "seconds", NULL};
    const struct yaml_node *key;
    config->audit_key_generation = 1;
    enum mikeyd_status status = yaml_map_check(map, known, err);
    if (status == MIKEYD_OK)
        status = required(map, "key", &key, err);
    if (status == MIKEYD_OK)
        status = yaml_string(key, &config->audit_key_name, err);
    if (status == MIKEYD_OK)
        status = read_number(map, "generation", 1, 1000000, &config->audit_key_generation, err);
    if (status == MIKEYD_OK)
        status = read_number(map, "records", 1, 1000000, &config->audit_checkpoint_records, err);
    if (status == MIKEYD_OK)
        status = read_number(map, "seconds", 1, 86400, &config->audit_checkpoint_seconds, err);
    return status;
}

static enum mikeyd_status read_audit(struct config_memory *memory, const struct yaml_node *root,
                                     struct error *err)
{
    static const char *const known[] = {"file", "sign", "rotate_bytes", "insecure-no-sync", NULL};
    struct config *config = &memory->config;
    const struct yaml_node *map, *node;
    enum mikeyd_status status = required(root, "audit", &map, err);
    if (status == MIKEYD_OK)
        status = yaml_map_check(map, known, err);
    if (status == MIKEYD_OK)
        status = required_path(memory, map, "file", &config->audit_file, err);
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "sign")) != NULL)
        status = read_audit_sign(config, node, err);
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "rotate_bytes")) != NULL)
        status = yaml_unsigned(node, 4096, UINT64_MAX / 2, &config->audit_rotate_bytes, err);
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "insecure-no-sync")) != NULL)
        status = yaml_bool(node, &config->audit_insecure_no_sync, err);
    return status;
}

/* "HOST:PORT" or "[HOST]:PORT". */
static enum mikeyd_status read_address(struct config_memory *memory, const struct yaml_node *node,
                                       const char **host, uint16_t *out, struct error *err)
{
    const char *text;
    enum mikeyd_status status = yaml_string(node, &text, err);
    if (status != MIKEYD_OK)
        return status;
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    unsigned long port = colon == NULL ? 0 : strtoul(colon + 1, &end, 10);
    if (colon == NULL || colon == text || colon[1] < '0' || colon[1] > '9' || *end != '\0' ||
        port > 65535)
        return yaml_fail(node, err, "not HOST:PORT");
    size_t host_len = (size_t)(colon - text);
    const bool bracketed = text[0] == '[' && colon[-1] == ']' && host_len > 2;
    *out = (uint16_t)port;
    return keep_string(
        memory, bracketed ? strndup(text + 1, host_len - 2) : strndup(text, host_len), host, err);
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
        status = required(map, "listen", &node, err);
    if (status == MIKEYD_OK)
        status = read_address(memory, node, &config->metrics_address, &config->metrics_port, err);
    return status;
}

static enum mikeyd_status gate_path(void *memory, const struct yaml_node *node, const char **out,
                                    struct error *err)
{
    return read_path(memory, node, out, err);
}

static enum mikeyd_status gate_address(void *memory, const struct yaml_node *node,
                                       const char **host, uint16_t *port, struct error *err)
{
    return read_address(memory, node, host, port, err);
}

static enum mikeyd_status read_gate(struct config_memory *memory, const struct yaml_node *root,
                                    struct error *err)
{
    const struct yaml_node *map = yaml_map_get(root, "gate");
    const struct config_gate_reader reader = {
        .path = gate_path, .address = gate_address, .memory = memory};
    if (map == NULL)
        return MIKEYD_OK;
    memory->config.gate = &memory->gate;
    return config_gate_read(map, &reader, &memory->gate, err);
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
        status = read_path(memory, yaml_list_at(list, i), &paths[i], err);
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
        status = required(map, "front", &front, err);
    if (status == MIKEYD_OK)
        status = required(map, "keyholder", &keyholder, err);
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
    static const char *const known[] = {"tokens",  "policy",  "listen", "replay",     "audit",
                                        "metrics", "workers", "queue",  "pair_cache", "sandbox",
                                        "users",   "gate",    NULL};
    struct config *config = &memory->config;
    const struct yaml_node *root = yaml_root(memory->file);
    enum mikeyd_status status = yaml_map_check(root, known, err);
    if (status == MIKEYD_OK)
        status = read_tokens(memory, root, err);
    if (status == MIKEYD_OK)
        status = required_path(memory, root, "policy", &config->policy, err);
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
    if (status != MIKEYD_OK)
        return status;

    const unsigned sessions = all_sessions(config);
    config->workers = sessions;
    config->queue = DEFAULT_QUEUE;
    config->pair_cache = DEFAULT_PAIR_CACHE;
    status = read_number(root, "workers", 1, WORKERS_MAX, &config->workers, err);
    if (status == MIKEYD_OK)
        status = read_number(root, "queue", 1, 65536, &config->queue, err);
    if (status == MIKEYD_OK)
        status = read_number(root, "pair_cache", 16, 1000000, &config->pair_cache, err);
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
    memory->folder = strndup(path, slash == NULL ? 0 : (size_t)(slash - path) + 1);
    enum mikeyd_status status = memory->folder == NULL
                                    ? error_set(err, MIKEYD_INTERNAL, "out of memory")
                                    : keep_string(memory, strdup(path), &memory->config.path, err);
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
    for (size_t i = 0; i < memory->string_count; i++)
        free(memory->strings[i]);
    free(memory->strings);
    free(memory->folder);
    yaml_file_free(memory->file);
    free(memory);
}
