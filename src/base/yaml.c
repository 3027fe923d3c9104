/* Reading the tree of a YAML file, and wording errors that name its places. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/yaml_tree.h"

/* ---- messages */

void yaml_clean_controls(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
    }
}

static void path_append(const struct yaml_node *node, char *out, size_t size)
{
    if (node->parent == NULL)
        return;
    path_append(node->parent, out, size); /* no deeper than DEPTH_MAX */
    size_t at = strlen(out);
    if (node->parent->kind == YAML_LIST)
        (void)snprintf(out + at, size - at, "[%zu]", node->position);
    else
        (void)snprintf(out + at, size - at, "%s%s", at == 0 ? "" : ".", node->field);
}

void yaml_path(const struct yaml_node *node, char *out, size_t size)
{
    if (size == 0)
        return;
    out[0] = '\0';
    path_append(node, out, size);
    yaml_clean_controls(out);
}

static enum mikeyd_status fail_at(const struct yaml_file *file, int line, const char *path,
                                  struct error *err, const char *format, va_list args)
    __attribute__((format(printf, 5, 0)));
static enum mikeyd_status fail_at(const struct yaml_file *file, int line, const char *path,
                                  struct error *err, const char *format, va_list args)
{
    char what[200];
    (void)vsnprintf(what, sizeof what, format, args);
    yaml_clean_controls(what);
    if (path[0] == '\0')
        return error_set(err, MIKEYD_SYNTAX, "%s:%d: %s", file->name, line, what);
    return error_set(err, MIKEYD_SYNTAX, "%s:%d: %s: %s", file->name, line, path, what);
}

enum mikeyd_status yaml_fail(const struct yaml_node *node, struct error *err, const char *format,
                             ...)
{
    char path[128];
    yaml_path(node, path, sizeof path);
    va_list args;
    va_start(args, format);
    enum mikeyd_status status = fail_at(node->file, node->line, path, err, format, args);
    va_end(args);
    return status;
}

enum mikeyd_status yaml_fail_line(const struct yaml_file *file, int line, struct error *err,
                                  const char *format, ...)
{
    va_list args;
    va_start(args, format);
    enum mikeyd_status status = fail_at(file, line, "", err, format, args);
    va_end(args);
    return status;
}

/* ---- the file and its tree ---- */

const struct yaml_node *yaml_root(const struct yaml_file *file)
{
    return file->root;
}

const char *yaml_text(const struct yaml_file *file, size_t *len)
{
    *len = file->len;
    return file->text;
}

const char *yaml_name(const struct yaml_file *file)
{
    return file->name;
}

enum yaml_kind yaml_kind(const struct yaml_node *node)
{
    return node->kind;
}

int yaml_line(const struct yaml_node *node)
{
    return node->line;
}

static enum mikeyd_status need_kind(const struct yaml_node *node, enum yaml_kind kind,
                                    struct error *err)
{
    static const char *const words[] = {"a single value", "a list", "a map of fields"};
    if (node->kind == kind)
        return MIKEYD_OK;
    return yaml_fail(node, err, "expected %s, found %s", words[kind], words[node->kind]);
}

static bool is_known(const char *field, const char *const known[])
{
    for (size_t i = 0; known[i] != NULL; i++) {
        if (strcmp(field, known[i]) == 0)
            return true;
    }
    return false;
}

enum mikeyd_status yaml_map_check(const struct yaml_node *map, const char *const known[],
                                  struct error *err)
{
    enum mikeyd_status status = need_kind(map, YAML_MAP, err);
    if (status != MIKEYD_OK)
        return status;
    /* Ends soon however long the map: every field is one of the known, so the first repeats come
     * early. */
    for (size_t i = 0; i < map->count; i++) {
        const struct yaml_node *child = map->children[i];
        if (!is_known(child->field, known))
            return yaml_fail(child, err, "unknown field");
        for (size_t j = 0; j < i; j++) {
            if (strcmp(child->field, map->children[j]->field) == 0)
                return yaml_fail(child, err, "given twice (first in line %d)",
                                 map->children[j]->line);
        }
    }
    return MIKEYD_OK;
}

const struct yaml_node *yaml_map_get(const struct yaml_node *map, const char *field)
{
    if (map->kind != YAML_MAP)
        return NULL;
    for (size_t i = 0; i < map->count; i++) {
        if (strcmp(map->children[i]->field, field) == 0)
            return map->children[i];
    }
    return NULL;
}

const struct yaml_node *yaml_map_at(const struct yaml_node *map, size_t index, const char **field)
{
    if (map->kind != YAML_MAP || index >= map->count)
        return NULL;
    *field = map->children[index]->field;
    return map->children[index];
}

enum mikeyd_status yaml_list_check(const struct yaml_node *list, struct error *err)
{
    return need_kind(list, YAML_LIST, err);
}

size_t yaml_list_count(const struct yaml_node *list)
{
    return list->kind == YAML_LIST ? list->count : 0;
}

const struct yaml_node *yaml_list_at(const struct yaml_node *list, size_t index)
{
    return index < yaml_list_count(list) ? list->children[index] : NULL;
}

const char *yaml_scalar(const struct yaml_node *node, bool *plain)
{
    *plain = node->plain;
    return node->kind == YAML_SCALAR ? node->text : NULL;
}
