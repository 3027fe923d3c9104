/* The section `replay:` of mikeyd.yaml, where the store is not a folder. */
#ifndef CONFIG_CONFIG_REPLAY_H
#define CONFIG_CONFIG_REPLAY_H

#include "base/yaml.h"
#include "config/config.h"

/* How the file's other sections read a path; what it gives lives in memory. */
struct config_replay_reader {
    enum mikeyd_status (*path)(void *memory, const struct yaml_node *node, const char **out,
                               struct error *err);
    void *memory;
};

/* map: replay.redis */
enum mikeyd_status config_replay_read(const struct yaml_node *map,
                                      const struct config_replay_reader *reader,
                                      struct config_redis *out, struct error *err);

#endif
