/*
 * mikeyd.yaml: where things are and how many. Shared by monitor, front, keyholders and mikeyctl.
 * Unknown, duplicate and ill-typed fields are errors that name file, line and field. Relative paths
 * are relative to the file's own folder.
 */
#ifndef MIKEYD_CONFIG_H
#define MIKEYD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "pkcs11/token/token_config.h"

struct config_listen {
    const char *unix_path;
    unsigned mode;     /* default 0660 */
    const char *group; /* or NULL */
};

#define CONFIG_SANDBOX_MAX 32

/* sandbox: what the PKCS#11 module needs besides the daemon's own. All absent by default. */
struct config_sandbox {
    const char *readable[CONFIG_SANDBOX_MAX]; /* files or folders */
    size_t readable_count;
    const char *writable[CONFIG_SANDBOX_MAX];
    size_t writable_count;
    uint16_t connect[CONFIG_SANDBOX_MAX]; /* TCP ports of network HSMs */
    size_t connect_count;
    bool late_code;
};

/* gate: mikeyd-gate, which serves clients on other hosts; the daemon reads `user` alone. */
struct config_gate {
    const char *user;    /* a name or a number: who may ask on behalf of others */
    const char *address; /* of listen: "HOST:PORT" */
    uint16_t port;
    const char *certificate; /* PEM: its own first, then those between it and the CA */
    const char *key;         /* PEM file; or "pkcs11:..." of a key in a token, and then */
    const char *module, *pin_file;
    const char *ca;       /* PEM: who signs clients' certificates */
    const char *psk_file; /* NAME:HEX of clients without one; or NULL. Without this, the three above
                             are there; with it, all of them or none */
    const char *crl;      /* PEM, of every CA; or NULL */
    unsigned connections, connections_per_client;
    unsigned handshakes, handshakes_per_address; /* clients that have not said yet who they are */
    unsigned in_flight, in_flight_per_client;    /* requests without their answers */
    unsigned frame;                              /* bytes of one request */
    unsigned handshake_ms, idle_ms, stall_ms;
};

#define CONFIG_OFFICERS_MAX 32

/* officers: the people who sign policies and approve steps of the key ceremony. */
struct config_officer {
    const char *name;
    const char *public_key; /* PEM: Ed25519 or P-256 */
    int line;
};

#define CONFIG_REDIS_MAX 16

/* replay: {redis: {...}}: the store of a fleet. */
struct config_redis {
    const char *servers[CONFIG_REDIS_MAX]; /* each that may be the primary */
    size_t server_count;
    const char *sentinel_service; /* NULL: no Sentinel */
    const char *sentinels[CONFIG_REDIS_MAX];
    size_t sentinel_count;
    unsigned replicas;                /* acknowledgements of each entry; default 1 */
    unsigned timeout_ms;              /* default 1000 */
    const char *user, *password_file; /* or NULL */
    const char *tls_ca;               /* NULL: no TLS */
    const char *tls_certificate, *tls_key, *tls_server_name; /* or NULL */
};

struct config {
    const char *path;
    struct token_config *tokens; /* several: a failover group holding the same keys */
    size_t token_count;
    const char *policy;
    const struct config_listen *listen; /* [{unix: PATH, mode: "0660", group: NAME}] */
    size_t listen_count;
    const char *replay_lmdb; /* directory; NULL: replay_redis it is */
    const struct config_redis *replay_redis;
    const char *audit_file;
    /* audit: {sign: {key: NAME, generation: N, records: N, seconds: T}}; NULL: no checkpoints */
    const char *audit_key_name;
    unsigned audit_key_generation, audit_checkpoint_records, audit_checkpoint_seconds;
    uint64_t audit_rotate_bytes;
    bool audit_insecure_no_sync; /* audit: {insecure-no-sync: true}, for the bench */
    const char *metrics_address; /* host of metrics.listen, or NULL */
    uint16_t metrics_port;
    /* users: {front: NAME, keyholder: NAME}: whom the processes become when started as root; both
     * or neither (NULL) */
    const char *front_user, *keyholder_user;
    const struct config_officer *officers; /* [{name: NAME, public_key: FILE}] */
    size_t officer_count;
    unsigned policy_signatures; /* of different officers, which a policy needs; 0: no officers */
    const struct config_gate *gate; /* NULL: none */
    unsigned workers;               /* default: the sessions of all tokens */
    unsigned queue;                 /* requests waiting at most; default 1024 */
    unsigned pair_cache;            /* default 4096 */
    struct config_sandbox sandbox;
};

enum mikeyd_status config_load(const char *path, struct config **out, struct error *err);
void config_free(struct config *config);
/* The name of the n-th of the token's switches that are on; NULL past the last one. */
const char *config_token_switch(const struct token_config *token, size_t n);

#endif
