/*
 * Values of mikeyd.yaml that several of its sections have. A field that is absent leaves *out as it is, unless
 * its function says that it is required. Errors name file, line and field.
 */
#ifndef CONFIG_CONFIG_VALUES_H
#define CONFIG_CONFIG_VALUES_H

#include <stddef.h>
#include <stdint.h>

#include "base/yaml.h"

/* Texts that do not stand in the file as they are needed; they live as long as the configuration. */
struct config_strings {
    char *folder; /* of the file, with the final slash; "" when it has none */
    char **list;
    size_t count;
};
void config_strings_free(struct config_strings *strings);
/* Takes ownership of text (NULL: memory ran out). */
enum mikeyd_status config_keep(struct config_strings *strings, char *text, const char **out,
                               struct error *err);

/* The field, which is required. */
enum mikeyd_status config_required(const struct yaml_node *map, const char *field,
                                   const struct yaml_node **out, struct error *err);
enum mikeyd_status config_text(const struct yaml_node *map, const char *field, const char **out,
                               struct error *err);
enum mikeyd_status config_number(const struct yaml_node *map, const char *field, unsigned min,
                                 unsigned max, unsigned *out, struct error *err);
enum mikeyd_status config_duration(const struct yaml_node *map, const char *field, unsigned min_ms,
                                   unsigned max_ms, unsigned *out_ms, struct error *err);
/* A path relative to the file's own folder, so that it means the same from everywhere. */
enum mikeyd_status config_path(struct config_strings *strings, const struct yaml_node *node,
                               const char **out, struct error *err);
/* The same of a field: required, and not. */
enum mikeyd_status config_required_path(struct config_strings *strings, const struct yaml_node *map,
                                        const char *field, const char **out, struct error *err);
enum mikeyd_status config_optional_path(struct config_strings *strings, const struct yaml_node *map,
                                        const char *field, const char **out, struct error *err);
/* "HOST:PORT" or "[HOST]:PORT". */
enum mikeyd_status config_address(struct config_strings *strings, const struct yaml_node *node,
                                  const char **host, uint16_t *port, struct error *err);

#endif
