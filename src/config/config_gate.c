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

static enum mikeyd_status need(const struct yaml_node *map, const char *field,
                               const struct yaml_node **out, struct error *err)
{
    *out = yaml_map_get(map, field);
    return *out != NULL ? MIKEYD_OK : yaml_fail(map, err, "%s is missing", field);
}

static enum mikeyd_status need_path(const struct yaml_node *map, const char *field,
                                    const struct config_gate_reader *reader, const char **out,
                                    struct error *err)
{
    const struct yaml_node *node;
    enum mikeyd_status status = need(map, field, &node, err);
    return status != MIKEYD_OK ? status : reader->path(reader->memory, node, out, err);
}

static enum mikeyd_status may_path(const struct yaml_node *map, const char *field,
                                   const struct config_gate_reader *reader, const char **out,
                                   struct error *err)
{
    const struct yaml_node *node = yaml_map_get(map, field);
    return node == NULL ? MIKEYD_OK : reader->path(reader->memory, node, out, err);
}

struct count_field {
    const char *name;
    unsigned *out, min, max;
};

struct time_field {
    const char *name;
    unsigned *out, min_ms, max_ms;
};

static enum mikeyd_status read_counts(const struct yaml_node *map, const struct count_field *fields,
                                      size_t count, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0; i < count && status == MIKEYD_OK; i++) {
        const struct yaml_node *node = yaml_map_get(map, fields[i].name);
        uint64_t value = *fields[i].out;
        if (node != NULL)
            status = yaml_unsigned(node, fields[i].min, fields[i].max, &value, err);
        *fields[i].out = (unsigned)value;
    }
    return status;
}

static enum mikeyd_status read_times(const struct yaml_node *map, const struct time_field *fields,
                                     size_t count, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0; i < count && status == MIKEYD_OK; i++) {
        const struct yaml_node *node = yaml_map_get(map, fields[i].name);
        uint64_t value = *fields[i].out;
        if (node != NULL)
            status = yaml_duration_ms(node, fields[i].min_ms, fields[i].max_ms, &value, err);
        *fields[i].out = (unsigned)value;
    }
    return status;
}

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
    const struct count_field counts[] = {
        {known[0], &out->connections, 1, 65536},
        {known[1], &out->connections_per_client, 1, 65536},
        {known[2], &out->handshakes, 1, 65536},
        {known[3], &out->handshakes_per_address, 1, 65536},
        {known[4], &out->in_flight, 1, 1000000},
        {known[5], &out->in_flight_per_client, 1, 1000000},
        {known[6], &out->frame, 1024, RPC_FRAME_MAX},
    };
    const struct time_field times[] = {
        {known[7], &out->handshake_ms, 100, 60000},
        {known[8], &out->idle_ms, 1000, 7 * 24 * 3600 * 1000u},
        {known[9], &out->stall_ms, 100, 60000},
    };
    const struct yaml_node *map = yaml_map_get(root, "limits");
    if (map == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = yaml_map_check(map, known, err);
    if (status == MIKEYD_OK)
        status = read_counts(map, counts, COUNT(counts), err);
    if (status == MIKEYD_OK)
        status = read_times(map, times, COUNT(times), err);
    return status;
}

/* A file; or a key in a token, with the module and the PIN by which it is reached. */
static enum mikeyd_status read_key(const struct yaml_node *map,
                                   const struct config_gate_reader *reader, struct config_gate *out,
                                   struct error *err)
{
    const struct yaml_node *key;
    enum mikeyd_status status = need(map, "key", &key, err);
    if (status == MIKEYD_OK)
        status = yaml_string(key, &out->key, err);
    if (status != MIKEYD_OK)
        return status;
    if (strncmp(out->key, "pkcs11:", 7) != 0)
        return reader->path(reader->memory, key, &out->key, err);
    status = need_path(map, "module", reader, &out->module, err);
    return status != MIKEYD_OK ? status : need_path(map, "pin_file", reader, &out->pin_file, err);
}

/* By what clients and gate prove who they are: certificates, PSKs, or both. */
static enum mikeyd_status read_proofs(const struct yaml_node *map,
                                      const struct config_gate_reader *reader,
                                      struct config_gate *out, struct error *err)
{
    enum mikeyd_status status = may_path(map, "psk_file", reader, &out->psk_file, err);
    const bool certificates = out->psk_file == NULL || yaml_map_get(map, "certificate") != NULL ||
                              yaml_map_get(map, "key") != NULL || yaml_map_get(map, "ca") != NULL ||
                              yaml_map_get(map, "crl") != NULL;
    if (status != MIKEYD_OK || !certificates)
        return status;
    status = need_path(map, "certificate", reader, &out->certificate, err);
    if (status == MIKEYD_OK)
        status = read_key(map, reader, out, err);
    if (status == MIKEYD_OK)
        status = need_path(map, "ca", reader, &out->ca, err);
    if (status == MIKEYD_OK)
        status = may_path(map, "crl", reader, &out->crl, err);
    return status;
}

enum mikeyd_status config_gate_read(const struct yaml_node *map,
                                    const struct config_gate_reader *reader,
                                    struct config_gate *out, struct error *err)
{
    static const char *const known[] = {"user",     "listen",   "certificate", "key",
                                        "module",   "pin_file", "ca",          "crl",
                                        "psk_file", "limits",   NULL};
    const struct yaml_node *user, *listen = NULL;
    *out = defaults;
    enum mikeyd_status status = yaml_map_check(map, known, err);
    if (status == MIKEYD_OK)
        status = need(map, "user", &user, err);
    if (status == MIKEYD_OK)
        status = yaml_string(user, &out->user, err);
    if (status == MIKEYD_OK)
        status = need(map, "listen", &listen, err);
    if (status == MIKEYD_OK)
        status = reader->address(reader->memory, listen, &out->address, &out->port, err);
    if (status == MIKEYD_OK)
        status = read_proofs(map, reader, out, err);
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
