/* The section `gate:` of mikeyd.yaml. */
#ifndef CONFIG_CONFIG_GATE_H
#define CONFIG_CONFIG_GATE_H

#include <sys/types.h>

#include "base/yaml.h"
#include "config/config.h"

/* How the file's other sections read a path and an address; what they give lives in memory. */
struct config_gate_reader {
    enum mikeyd_status (*path)(void *memory, const struct yaml_node *node, const char **out,
                               struct error *err);
    enum mikeyd_status (*address)(void *memory, const struct yaml_node *node, const char **host,
                                  uint16_t *port, struct error *err);
    void *memory;
};

enum mikeyd_status config_gate_read(const struct yaml_node *map,
                                    const struct config_gate_reader *reader,
                                    struct config_gate *out, struct error *err);

/* The user of this host that gate->user names. INVALID_ARGUMENT when there is none, or it stands
 * for all whom the kernel cannot name. */
enum mikeyd_status config_gate_uid(const struct config_gate *gate, uid_t *out, struct error *err);

#endif
