/* The section `replay:` of mikeyd.yaml, where the store is not a folder. */
#ifndef CONFIG_CONFIG_REPLAY_H
#define CONFIG_CONFIG_REPLAY_H

#include "config/config.h"
#include "config/config_values.h"

/* map: replay.redis */
enum mikeyd_status config_replay_read(const struct yaml_node *map, struct config_strings *strings,
                                      struct config_redis *out, struct error *err);

#endif
