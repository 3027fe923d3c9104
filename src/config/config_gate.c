#include "config/config_gate.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/overflow_uid.h"
#include "rpc/frame.h"

static const struct config_gate defaults = {
    .connections = 1024,
    .connections_per_client = 16,
    .handshakes = 256,
    .handshakes_per_address = 64,
    .in_flight = 2048,
    .in_flight_per_client = 256,
    .frame = RPC_FRAME_MAX,
    .handshake_ms = 5000,
    .idle_ms = 600000,
    .stall_ms = 10000,
};

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static enum mikeyd_status read_limits(const struct yaml_node *root, struct config_gate *out,
                                      struct error *err)
{
    static const char *const known[] = {"connections", "connections_per_client",
                                        "handshakes",  "handshakes_per_address",
                                        "in_flight",   "in_flight_per_client",
                                        "frame",       "handshake",
                                        "idle",        "stall",
                                        NULL};
    const struct {
        enum mikeyd_status (*read)(const struct yaml_node *map, const char *field, unsigned min,
                                   unsigned max, unsigned *out, struct error *err);
        unsigned *out, min, max;
    } bounds[] = {
        {config_number, &out->connections, 1, 65536},
        {config_number, &out->connections_per_client, 1, 65536},
        {config_number, &out->handshakes, 1, 65536},
        {config_number, &out->handshakes_per_address, 1, 65536},
        {config_number, &out->in_flight, 1, 1000000},
        {config_number, &out->in_flight_per_client, 1, 1000000},
        {config_number, &out->frame, 1024, RPC_FRAME_MAX},
        {config_duration, &out->handshake_ms, 100, 60000},
        {config_duration, &out->idle_ms, 1000, 7 * 24 * 3600 * 1000u},
        {config_duration, &out->stall_ms, 100, 60000},
    };
    const struct yaml_node *map = yaml_map_get(root, "limits");
    if (map == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = yaml_map_check(map, known, err);
    for (size_t i = 0; i < COUNT(bounds) && status == MIKEYD_OK; i++)
        status = bounds[i].read(map, known[i], bounds[i].min, bounds[i].max, bounds[i].out, err);
    return status;
}

/* A file; or a key in a token, with the module and the PIN by which it is reached. */
static enum mikeyd_status read_key(const struct yaml_node *map, struct config_strings *strings,
                                   struct config_gate *out, struct error *err)
{
    const struct yaml_node *key;
    enum mikeyd_status status = config_required(map, "key", &key, err);
    if (status == MIKEYD_OK)
        status = yaml_string(key, &out->key, err);
    if (status != MIKEYD_OK)
        return status;
    if (strncmp(out->key, "pkcs11:", 7) != 0)
        return config_path(strings, key, &out->key, err);
    status = config_required_path(strings, map, "module", &out->module, err);
    return status != MIKEYD_OK
               ? status
               : config_required_path(strings, map, "pin_file", &out->pin_file, err);
}

/* By what clients and gate prove who they are: certificates, PSKs, or both. */
static enum mikeyd_status read_proofs(const struct yaml_node *map, struct config_strings *strings,
                                      struct config_gate *out, struct error *err)
{
    enum mikeyd_status status = config_optional_path(strings, map, "psk_file", &out->psk_file, err);
    const bool certificates = out->psk_file == NULL || yaml_map_get(map, "certificate") != NULL ||
                              yaml_map_get(map, "key") != NULL || yaml_map_get(map, "ca") != NULL ||
                              yaml_map_get(map, "crl") != NULL;
    if (status != MIKEYD_OK || !certificates)
        return status;
    status = config_required_path(strings, map, "certificate", &out->certificate, err);
    if (status == MIKEYD_OK)
        status = read_key(map, strings, out, err);
    if (status == MIKEYD_OK)
        status = config_required_path(strings, map, "ca", &out->ca, err);
    if (status == MIKEYD_OK)
        status = config_optional_path(strings, map, "crl", &out->crl, err);
    return status;
}

enum mikeyd_status config_gate_read(const struct yaml_node *map, struct config_strings *strings,
                                    struct config_gate *out, struct error *err)
{
    static const char *const known[] = {"user",     "listen",   "certificate", "key",
                                        "module",   "pin_file", "ca",          "crl",
                                        "psk_file", "limits",   NULL};
    const struct yaml_node *user, *listen = NULL;
    *out = defaults;
    enum mikeyd_status status = yaml_map_check(map, known, err);
    if (status == MIKEYD_OK)
        status = config_required(map, "user", &user, err);
    if (status == MIKEYD_OK)
        status = yaml_string(user, &out->user, err);
    if (status == MIKEYD_OK)
        status = config_required(map, "listen", &listen, err);
    if (status == MIKEYD_OK)
        status = config_address(strings, listen, &out->address, &out->port, err);
    if (status == MIKEYD_OK)
        status = read_proofs(map, strings, out, err);
    if (status == MIKEYD_OK)
        status = read_limits(map, out, err);
    return status;
}

enum mikeyd_status config_gate_uid(const struct config_gate *gate, uid_t *out, struct error *err)
{
    char *end = NULL;
    unsigned long number = strtoul(gate->user, &end, 10);
    if (gate->user[0] >= '0' && gate->user[0] <= '9' && *end == '\0' && number < UINT32_MAX) {
        *out = (uid_t)number;
    } else {
        struct passwd entry, *found = NULL;
        char buffer[4096];
        if (getpwnam_r(gate->user, &entry, buffer, sizeof buffer, &found) != 0 || found == NULL)
            return error_set(err, MIKEYD_INVALID_ARGUMENT, "gate: user: no user \"%.100s\"",
                             gate->user);
        *out = found->pw_uid;
    }
    if (*out == overflow_uid())
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "gate: user: %u stands for every user whom the kernel cannot name here",
                         (unsigned)*out);
    return MIKEYD_OK;
}
