/* officers: and what they are needed for. */
#ifndef CONFIG_CONFIG_OFFICERS_H
#define CONFIG_CONFIG_OFFICERS_H

#include "config/config.h"
#include "config/config_values.h"

#define CONFIG_OFFICER_NAME_MAX 64

/* Letters, digits, "_", "-", and "." but not in front: the name becomes part of a file's name. */
bool config_officer_name_fits(const char *name);
/* root: of the file. Both fields stand there or none; out has room for all, and config points to it. */
enum mikeyd_status config_officers_read(const struct yaml_node *root,
                                        struct config_strings *strings,
                                        struct config_officer out[CONFIG_OFFICERS_MAX],
                                        struct config *config, struct error *err);

#endif
