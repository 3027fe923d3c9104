/* The section `gate:` of mikeyd.yaml. */
#ifndef CONFIG_CONFIG_GATE_H
#define CONFIG_CONFIG_GATE_H

#include <sys/types.h>

#include "config/config.h"
#include "config/config_values.h"

enum mikeyd_status config_gate_read(const struct yaml_node *map, struct config_strings *strings,
                                    struct config_gate *out, struct error *err);

/* The user of this host that gate->user names. INVALID_ARGUMENT when there is none, or it stands
 * for all whom the kernel cannot name. */
enum mikeyd_status config_gate_uid(const struct config_gate *gate, uid_t *out, struct error *err);

#endif
