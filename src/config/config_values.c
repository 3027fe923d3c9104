#include "config/config_values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum mikeyd_status config_keep(struct config_strings *strings, char *text, const char **out,
                               struct error *err)
{
    char **larger =
        text == NULL ? NULL : realloc(strings->list, (strings->count + 1) * sizeof *larger);
    if (larger == NULL) {
        free(text);
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    }
    strings->list = larger;
    strings->list[strings->count++] = text;
    *out = text;
    return MIKEYD_OK;
}

enum mikeyd_status config_required(const struct yaml_node *map, const char *field,
                                   const struct yaml_node **out, struct error *err)
{
    *out = yaml_map_get(map, field);
    return *out != NULL ? MIKEYD_OK : yaml_fail(map, err, "%s is missing", field);
}

enum mikeyd_status config_text(const struct yaml_node *map, const char *field, const char **out,
                               struct error *err)
{
    const struct yaml_node *node = yaml_map_get(map, field);
    return node == NULL ? MIKEYD_OK : yaml_string(node, out, err);
}

enum mikeyd_status config_number(const struct yaml_node *map, const char *field, unsigned min,
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

enum mikeyd_status config_duration(const struct yaml_node *map, const char *field, unsigned min_ms,
                                   unsigned max_ms, unsigned *out_ms, struct error *err)
{
    const struct yaml_node *node = yaml_map_get(map, field);
    if (node == NULL)
        return MIKEYD_OK;
    uint64_t value;
    enum mikeyd_status status = yaml_duration_ms(node, min_ms, max_ms, &value, err);
    if (status == MIKEYD_OK)
        *out_ms = (unsigned)value;
    return status;
}

enum mikeyd_status config_path(struct config_strings *strings, const struct yaml_node *node,
                               const char **out, struct error *err)
{
    const char *text;
    enum mikeyd_status status = yaml_string(node, &text, err);
    if (status != MIKEYD_OK)
        return status;
    if (text[0] == '\0')
        return yaml_fail(node, err, "empty path");
    char *path = NULL;
    if (asprintf(&path, "%s%s", text[0] == '/' ? "" : strings->folder, text) < 0)
        path = NULL;
    return config_keep(strings, path, out, err);
}

enum mikeyd_status config_required_path(struct config_strings *strings, const struct yaml_node *map,
                                        const char *field, const char **out, struct error *err)
{
    const struct yaml_node *node;
    enum mikeyd_status status = config_required(map, field, &node, err);
    return status != MIKEYD_OK ? status : config_path(strings, node, out, err);
}

enum mikeyd_status config_address(struct config_strings *strings, const struct yaml_node *node,
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
    return config_keep(
        strings, bracketed ? strndup(text + 1, host_len - 2) : strndup(text, host_len), host, err);
}

enum mikeyd_status config_optional_path(struct config_strings *strings, const struct yaml_node *map,
                                        const char *field, const char **out, struct error *err)
{
    const struct yaml_node *node = yaml_map_get(map, field);
    return node == NULL ? MIKEYD_OK : config_path(strings, node, out, err);
}

void config_strings_free(struct config_strings *strings)
{
    for (size_t i = 0; i < strings->count; i++)
        free(strings->list[i]);
    free(strings->list);
    free(strings->folder);
}
