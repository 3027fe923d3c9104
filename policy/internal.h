/*
 * The policy model as the parts of policy/ see it. The loader builds it leniently: what the file
 * says is kept even where it makes no sense (a pair without its key, a node twice), so that the
 * rules can report every fault of a file at once. policy_load() hands out only models without a
 * finding of severity error: there, every pointer marked "valid policies" is set.
 */
#ifndef POLICY_INTERNAL_H
#define POLICY_INTERNAL_H

#include <stdatomic.h>

#include "base/yaml.h"
#include "policy/policy.h"

/*
 * What defaults, a pair or a mesh says about its exchanges; pairs and meshes start from defaults.
 */
struct policy_settings {
    uint8_t suite_order[SRTP_SUITE_COUNT]; /* enum srtp_suite, in the file's order */
    uint8_t suite_count;
    uint8_t mki_bytes;
    bool mki_never; /* mki_bytes: 0, said and not left out */
    bool error_messages;
    bool verification_required;
    enum policy_forward_secrecy forward_secrecy;
    enum policy_dh_group dh_group;
    enum mikey_algorithms algorithms;
    enum policy_prf prf;
    enum policy_mac mac;
    enum policy_tgk tgk;
    uint32_t clock_skew_ms;
};

/* Bounds above which a rule speaks. */
struct policy_limits {
    int64_t key_lifetime_s;
    uint64_t exchanges_per_pair_key;
    uint64_t nodes_per_client;
};

struct policy_key_entry {
    struct policy_key key; /* first: a struct policy_key of ours is one of these */
    const struct yaml_node *at;
};

struct policy_node_entry {
    struct policy_node node; /* first */
    const struct yaml_node *at;
    const char *problem; /* why the identity is none; NULL: a good one */
    uint8_t *store;      /* bytes of a hex: identity, or NULL */
    size_t duplicate_of; /* index of the first of the same bytes, or its own */
    uint32_t *meshes;    /* rising indices of the meshes it is in */
    size_t mesh_count;
    struct policy_interop interop;
};

struct policy_pair {
    const struct yaml_node *at;
    const struct policy_node_entry *initiator, *responder; /* valid policies */
    const struct policy_key *key;                          /* valid policies */
    struct policy_settings settings;
};

struct policy_mesh {
    const struct yaml_node *at;
    uint32_t *nodes; /* rising indices of known nodes, each once */
    size_t node_count;
    const struct policy_key *key; /* valid policies */
    struct policy_settings settings;
};

struct policy_client_entry {
    struct policy_client client; /* first */
    const struct yaml_node *at;
    uint32_t *acts_as; /* rising indices of known nodes, each once */
    size_t acts_as_count;
};

struct policy_interop_entry {
    const struct yaml_node *at;
    const struct policy_node_entry *peer; /* NULL: not among the nodes, relaxes nobody */
    struct policy_interop interop;
};

/* Open addressing over positions in an array; the arrays never change once indexed. */
struct policy_index {
    uint32_t *slots; /* position + 1; 0: free */
    size_t mask;
};

struct policy {
    atomic_uint references;
    struct yaml_file *file; /* owns the text of every name below */
    char sha256[65];
    uint64_t serial;                     /* 0: none */
    bool signatures_required;            /* signatures: required */
    const struct yaml_node *defaults_at; /* NULL: section absent */
    struct policy_settings defaults;
    unsigned min_psk_bits;
    enum policy_provisioning provisioning;
    bool session_copies_forbidden;
    struct policy_limits limits;
    struct policy_key_entry *keys;
    size_t key_count;
    struct policy_node_entry *nodes;
    size_t node_count;
    struct policy_pair *pairs;
    size_t pair_count;
    struct policy_mesh *meshes;
    size_t mesh_count;
    struct policy_client_entry *clients;
    size_t client_count;
    struct policy_interop_entry *interops;
    size_t interop_count;
    struct policy_index by_key, by_node, by_pair, by_client_name, by_client_uid, by_client_san;
};

/* ---- load.c */

/* Reads the file into a model, stopping at the first field that is unknown, twice or ill-typed.
 * Takes the file, also on failure. */
enum mikeyd_status policy_build(struct yaml_file *file, struct policy **out, struct error *err);
/* Takes over what the map says; the caller has checked its fields. */
enum mikeyd_status policy_read_settings(const struct yaml_node *map,
                                        struct policy_settings *settings, struct error *err);
enum mikeyd_status policy_read_suites(const struct yaml_node *node, uint8_t *order, uint8_t *count,
                                      struct error *err);
/* One of NULL-terminated words; SYNTAX lists them. */
enum mikeyd_status policy_read_word(const struct yaml_node *node, const char *const words[],
                                    size_t *out, struct error *err);

/* ---- load_lists.c, load_clients.c: each reads one section (NULL: absent) into the model */

enum mikeyd_status policy_out_of_memory(struct error *err);
/* The items of a section; an absent one has none. */
enum mikeyd_status policy_section_count(const struct yaml_node *list, size_t *count,
                                        struct error *err);
/* Zeroed memory for them, never of zero bytes; NULL when memory runs out. */
void *policy_section_room(size_t count, size_t item_size);
enum mikeyd_status policy_require(const struct yaml_node *map, const char *field,
                                  const struct yaml_node **out, struct error *err);
enum mikeyd_status policy_require_string(const struct yaml_node *map, const char *field,
                                         const char **out, struct error *err);
/* The field "name". Names go into labels, audit records and metrics: letters, digits and "._-". */
enum mikeyd_status policy_require_name(const struct yaml_node *map, const char **out,
                                       struct error *err);
/* A list of node texts as rising indices, each once. Unknown and repeated ones are left out here
 * and reported by rules, which look at the file again. */
enum mikeyd_status policy_read_node_set(const struct policy *policy, const struct yaml_node *list,
                                        uint32_t **out, size_t *out_count, struct error *err);

enum mikeyd_status policy_read_keys(struct policy *policy, const struct yaml_node *list,
                                    struct error *err);
enum mikeyd_status policy_read_nodes(struct policy *policy, const struct yaml_node *list,
                                     struct error *err);
enum mikeyd_status policy_read_pairs(struct policy *policy, const struct yaml_node *list,
                                     struct error *err);
enum mikeyd_status policy_read_meshes(struct policy *policy, const struct yaml_node *list,
                                      struct error *err);
enum mikeyd_status policy_read_clients(struct policy *policy, const struct yaml_node *list,
                                       struct error *err);
enum mikeyd_status policy_read_interop(struct policy *policy, const struct yaml_node *list,
                                       struct error *err);

/* ---- model.c */

/* Room for count positions. False when memory runs out. */
bool policy_index_make(struct policy_index *index, size_t count);
/* Puts position under hash unless `same(context, other)` is true for one already there, which is
 * then returned; else position. */
size_t policy_index_put(struct policy_index *index, uint64_t hash, size_t position,
                        bool (*same)(const void *context, size_t other), const void *context);

uint64_t policy_hash_bytes(const void *data, size_t len);
const struct policy_key *policy_key_by_name(const struct policy *policy, const char *name);
/* The node that a text form names: byte for byte the identity. NULL when unknown or no identity. */
const struct policy_node_entry *policy_node_by_text(const struct policy *policy, const char *text);
/* The explicit pair of two nodes, or NULL. */
const struct policy_pair *policy_pair_find(const struct policy *policy, size_t initiator,
                                           size_t responder);
/* The first mesh that both nodes are in, or NULL. */
const struct policy_mesh *policy_mesh_of(const struct policy *policy,
                                         const struct policy_node_entry *a,
                                         const struct policy_node_entry *b);
bool policy_mesh_has(const struct policy_mesh *mesh, size_t node);
uint32_t policy_suite_bits(const struct policy_settings *settings);
bool policy_settings_equal(const struct policy_settings *a, const struct policy_settings *b);

#endif
