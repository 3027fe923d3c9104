/* One entry of `tokens:` in mikeyd.yaml. */
#ifndef CONFIG_CONFIG_TOKEN_H
#define CONFIG_CONFIG_TOKEN_H

#include "config/config.h"
#include "config/config_values.h"

enum mikeyd_status config_token_read(struct config_strings *strings, const struct yaml_node *map,
                                     struct token_config *token, struct error *err);

#endif
