/*
 * YAML files read strictly (libyaml): the tree with line numbers, and checks that every field is
 * known, given once and of the right type. Errors read "FILE:LINE: path.to.field: what is wrong".
 * No anchors, aliases or tags; at most 16 MiB.
 */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct yaml_file;
struct yaml_node;

/* Loads a whole file; text form: name stands for the file. SYNTAX with the place. */
enum mikeyd_status yaml_file_load(const char *path, struct yaml_file **out, struct error *err);
enum mikeyd_status yaml_file_parse(const char *text, size_t len, const char *name,
                                   struct yaml_file **out, struct error *err);
void yaml_file_free(struct yaml_file *file);
const struct yaml_node *yaml_root(const struct yaml_file *file);
/* The bytes that were parsed, for hashing. */
const char *yaml_text(const struct yaml_file *file, size_t *len);
/* The file's name as it stands in messages (the tail of a very long path). */
const char *yaml_name(const struct yaml_file *file);

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };
enum yaml_kind yaml_kind(const struct yaml_node *node);
int yaml_line(const struct yaml_node *node);
/* "keys[0].generation"; "" for the root. Cut to size bytes. */
void yaml_path(const struct yaml_node *node, char *out, size_t size);
/* Sets err to "FILE:LINE: FIELD: " and the formatted text; returns SYNTAX. */
enum mikeyd_status yaml_fail(const struct yaml_node *node, struct error *err, const char *format,
                             ...) __attribute__((format(printf, 3, 4)));

/* Control characters become "?": what a file says goes to terminals and logs. */
void yaml_clean_controls(char *text);

/* Maps: SYNTAX when a field is not in `known` (NULL-terminated) or stands twice. */
enum mikeyd_status yaml_map_check(const struct yaml_node *map, const char *const known[],
                                  struct error *err);
/* NULL when absent. */
const struct yaml_node *yaml_map_get(const struct yaml_node *map, const char *field);
/* A map's fields in their order; NULL past the end. */
const struct yaml_node *yaml_map_at(const struct yaml_node *map, size_t index, const char **field);
/* Lists: SYNTAX when it is not one; count is 0 then. */
enum mikeyd_status yaml_list_check(const struct yaml_node *list, struct error *err);
size_t yaml_list_count(const struct yaml_node *list);
const struct yaml_node *yaml_list_at(const struct yaml_node *list, size_t index);

/* The text of a scalar and whether it stood without quotes; NULL for lists and maps. */
const char *yaml_scalar(const struct yaml_node *node, bool *plain);

/* Scalars: typed readers; the string lives as long as the file. Durations: "60s", "10m", "2h",
 * "1d", "250ms". */
enum mikeyd_status yaml_string(const struct yaml_node *node, const char **out, struct error *err);
enum mikeyd_status yaml_unsigned(const struct yaml_node *node, uint64_t min, uint64_t max,
                                 uint64_t *out, struct error *err);
enum mikeyd_status yaml_bool(const struct yaml_node *node, bool *out, struct error *err);
enum mikeyd_status yaml_duration_ms(const struct yaml_node *node, uint64_t min_ms, uint64_t max_ms,
                                    uint64_t *out, struct error *err);
/* Unix seconds of "2027-06-01" (00:00 UTC) or RFC 3339. */
enum mikeyd_status yaml_date(const struct yaml_node *node, int64_t *out, struct error *err);

#endif
