#include "config/config_replay.h"

#include <string.h>

#define DEFAULT_REPLICAS 1
#define DEFAULT_TIMEOUT_MS 1000

static enum mikeyd_status read_servers(const struct yaml_node *map,
                                       const char *out[CONFIG_REDIS_MAX], size_t *count,
                                       struct error *err)
{
    const struct yaml_node *list = yaml_map_get(map, "servers");
    if (list == NULL)
        return yaml_fail(map, err, "servers is missing");
    if (yaml_kind(list) != YAML_LIST || yaml_list_count(list) == 0 ||
        yaml_list_count(list) > CONFIG_REDIS_MAX)
        return yaml_fail(list, err, "not a list of 1 to %d addresses", CONFIG_REDIS_MAX);
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0; i < yaml_list_count(list) && status == MIKEYD_OK; i++)
        status = yaml_string(yaml_list_at(list, i), &out[i], err);
    *count = yaml_list_count(list);
    return status;
}

static enum mikeyd_status read_sentinel(const struct yaml_node *map, struct config_redis *out,
                                        struct error *err)
{
    static const char *const known[] = {"service", "servers", NULL};
    const struct yaml_node *sentinel = yaml_map_get(map, "sentinel");
    if (sentinel == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = yaml_map_check(sentinel, known, err);
    if (status == MIKEYD_OK)
        status = config_text(sentinel, "service", &out->sentinel_service, err);
    if (status == MIKEYD_OK && out->sentinel_service == NULL)
        status = yaml_fail(sentinel, err, "service is missing");
    return status == MIKEYD_OK ? read_servers(sentinel, out->sentinels, &out->sentinel_count, err)
                               : status;
}

static enum mikeyd_status read_tls(const struct yaml_node *map, struct config_strings *strings,
                                   struct config_redis *out, struct error *err)
{
    static const char *const known[] = {"ca", "certificate", "key", "server_name", NULL};
    const struct yaml_node *tls = yaml_map_get(map, "tls");
    if (tls == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = yaml_map_check(tls, known, err);
    if (status == MIKEYD_OK)
        status = config_optional_path(strings, tls, "ca", &out->tls_ca, err);
    if (status == MIKEYD_OK)
        status = config_optional_path(strings, tls, "certificate", &out->tls_certificate, err);
    if (status == MIKEYD_OK)
        status = config_optional_path(strings, tls, "key", &out->tls_key, err);
    if (status == MIKEYD_OK)
        status = config_text(tls, "server_name", &out->tls_server_name, err);
    if (status == MIKEYD_OK && out->tls_ca == NULL)
        status = yaml_fail(tls, err, "ca is missing");
    if (status == MIKEYD_OK && (out->tls_certificate == NULL) != (out->tls_key == NULL))
        status = yaml_fail(tls, err, "certificate and key belong together");
    return status;
}

static enum mikeyd_status read_numbers(const struct yaml_node *map, struct config_redis *out,
                                       struct error *err)
{
    const struct yaml_node *replicas = yaml_map_get(map, "replicas"),
                           *timeout = yaml_map_get(map, "timeout");
    uint64_t count = DEFAULT_REPLICAS, ms = DEFAULT_TIMEOUT_MS;
    enum mikeyd_status status =
        replicas == NULL ? MIKEYD_OK : yaml_unsigned(replicas, 0, CONFIG_REDIS_MAX, &count, err);
    if (status == MIKEYD_OK && timeout != NULL)
        status = yaml_duration_ms(timeout, 50, 10000, &ms, err);
    out->replicas = (unsigned)count;
    out->timeout_ms = (unsigned)ms;
    if (status == MIKEYD_OK && count == 0 && (out->server_count > 1 || out->sentinel_count != 0))
        status = yaml_fail(replicas, err,
                           "0 beside several servers: the one that takes over would not have what "
                           "was accepted");
    return status;
}

enum mikeyd_status config_replay_read(const struct yaml_node *map, struct config_strings *strings,
                                      struct config_redis *out, struct error *err)
{
    static const char *const known[] = {"servers", "sentinel",      "replicas", "user",
                                        "tls",     "password_file", "timeout",  NULL};
    enum mikeyd_status status = yaml_map_check(map, known, err);
    if (status == MIKEYD_OK)
        status = read_servers(map, out->servers, &out->server_count, err);
    if (status == MIKEYD_OK)
        status = read_sentinel(map, out, err);
    if (status == MIKEYD_OK)
        status = read_numbers(map, out, err);
    if (status == MIKEYD_OK)
        status = config_text(map, "user", &out->user, err);
    if (status == MIKEYD_OK)
        status = config_optional_path(strings, map, "password_file", &out->password_file, err);
    return status == MIKEYD_OK ? read_tls(map, strings, out, err) : status;
}
