/* Reading the clients of policy.yaml, and the relaxations for old peers. */
#include "policy/internal.h"

#include <string.h>

#define RATE_MAX 1000000
#define UID_HIGHEST (UINT32_MAX - 1) /* (uid_t)-1 means "no user" to the kernel */

/* ---- clients --------------------------------------------------------------------------------- */

static const struct policy_client *client_at(const struct policy *policy, size_t index)
{
    return &policy->clients[index].client;
}

/* The client being added is the one after the last that is counted. */
static bool same_name(const void *context, size_t other)
{
    const struct policy *policy = context;
    return strcmp(client_at(policy, other)->name, client_at(policy, policy->client_count)->name) ==
           0;
}

static bool same_uid(const void *context, size_t other)
{
    const struct policy *policy = context;
    return client_at(policy, other)->uid == client_at(policy, policy->client_count)->uid;
}

static bool same_san(const void *context, size_t other)
{
    const struct policy *policy = context;
    return strcmp(client_at(policy, other)->tls_san,
                  client_at(policy, policy->client_count)->tls_san) == 0;
}

static void index_client(struct policy *policy, size_t i)
{
    const struct policy_client *client = client_at(policy, i);
    (void)policy_index_put(&policy->by_client_name,
                           policy_hash_bytes(client->name, strlen(client->name)), i, same_name,
                           policy);
    if (client->has_uid) {
        uint64_t uid = client->uid;
        (void)policy_index_put(&policy->by_client_uid, policy_hash_bytes(&uid, sizeof uid), i,
                               same_uid, policy);
    }
    if (client->tls_san != NULL)
        (void)policy_index_put(&policy->by_client_san,
                               policy_hash_bytes(client->tls_san, strlen(client->tls_san)), i,
                               same_san, policy);
}

/* A list of words as bits: the n-th word is bit n. */
static enum mikeyd_status read_word_set(const struct yaml_node *list, const char *const words[],
                                        unsigned *bits, struct error *err)
{
    enum mikeyd_status status = yaml_list_check(list, err);
    *bits = 0;
    for (size_t i = 0; status == MIKEYD_OK && i < yaml_list_count(list); i++) {
        const struct yaml_node *item = yaml_list_at(list, i);
        size_t word = 0;
        status = policy_read_word(item, words, &word, err);
        if (status == MIKEYD_OK && (*bits & 1u << word) != 0)
            status = yaml_fail(item, err, "%s is listed twice", words[word]);
        *bits |= 1u << word;
    }
    return status;
}

/* Who the client is: a user of this host, the name in its certificate, or who has its TLS PSK. */
static enum mikeyd_status read_who(struct policy_client *client, const struct yaml_node *map,
                                   struct error *err)
{
    const struct yaml_node *uid = yaml_map_get(map, "uid"), *san = yaml_map_get(map, "tls_san");
    const struct yaml_node *psk = yaml_map_get(map, "tls_psk");
    enum mikeyd_status status = MIKEYD_OK;
    if (psk != NULL)
        status = yaml_bool(psk, &client->tls_psk, err);
    if (status == MIKEYD_OK && uid == NULL && san == NULL && !client->tls_psk)
        return yaml_fail(map, err, "one of \"uid\", \"tls_san\" and \"tls_psk\" is needed");
    if (status == MIKEYD_OK && uid != NULL) {
        uint64_t number = 0;
        status = yaml_unsigned(uid, 0, UID_HIGHEST, &number, err);
        client->has_uid = true;
        client->uid = (uid_t)number;
    }
    if (status == MIKEYD_OK && san != NULL) {
        status = yaml_string(san, &client->tls_san, err);
        if (status == MIKEYD_OK &&
            (client->tls_san[0] == '\0' || strlen(client->tls_san) > IDENTITY_MAX))
            status = yaml_fail(san, err, "a name of 1 to %d bytes is needed", IDENTITY_MAX);
    }
    return status;
}

static enum mikeyd_status read_client(const struct policy *policy,
                                      struct policy_client_entry *entry, struct error *err)
{
    static const char *const known[] = {"name", "uid",    "tls_san", "tls_psk", "acts_as",
                                        "may",  "suites", "methods", "rate",    NULL};
    static const char *const roles[] = {"initiate", "respond", NULL};
    static const char *const methods[] = {"dhhmac", "psk-dhe", "psk", NULL};
    struct policy_client *client = &entry->client;
    const struct yaml_node *map = entry->at, *node;
    enum mikeyd_status status = yaml_map_check(map, known, err);
    if (status == MIKEYD_OK)
        status = policy_require_name(map, &client->name, err);
    if (status == MIKEYD_OK)
        status = read_who(client, map, err);
    if (status == MIKEYD_OK)
        status = policy_require(map, "acts_as", &node, err);
    if (status == MIKEYD_OK)
        status = policy_read_node_set(policy, node, &entry->acts_as, &entry->acts_as_count, err);
    if (status == MIKEYD_OK)
        status = policy_require(map, "may", &node, err);
    if (status == MIKEYD_OK)
        status = read_word_set(node, roles, &client->may, err);
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "suites")) != NULL) {
        struct policy_settings own = {0};
        status = policy_read_suites(node, own.suite_order, &own.suite_count, err);
        client->suites = policy_suite_bits(&own);
    }
    client->methods =
        1u << POLICY_METHOD_PSK | 1u << POLICY_METHOD_DHHMAC | 1u << POLICY_METHOD_PSK_DHE;
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "methods")) != NULL) {
        unsigned words = 0;
        status = read_word_set(node, methods, &words, err);
        client->methods = words << POLICY_METHOD_DHHMAC; /* the words follow the numbers */
    }
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "rate")) != NULL) {
        uint64_t rate = 0;
        status = yaml_unsigned(node, 1, RATE_MAX, &rate, err);
        client->rate = (unsigned)rate;
    }
    client->line = yaml_line(map);
    return status;
}

enum mikeyd_status policy_read_clients(struct policy *policy, const struct yaml_node *list,
                                       struct error *err)
{
    size_t count;
    enum mikeyd_status status = policy_section_count(list, &count, err);
    if (status != MIKEYD_OK)
        return status;
    policy->clients = policy_section_room(count, sizeof *policy->clients);
    if (policy->clients == NULL || !policy_index_make(&policy->by_client_name, count) ||
        !policy_index_make(&policy->by_client_uid, count) ||
        !policy_index_make(&policy->by_client_san, count))
        return policy_out_of_memory(err);
    for (size_t i = 0; status == MIKEYD_OK && i < count; i++) {
        policy->clients[i].at = yaml_list_at(list, i);
        policy->clients[i].client.index = i;
        status = read_client(policy, &policy->clients[i], err);
        if (status == MIKEYD_OK)
            index_client(policy, i);
        /* Counted also on failure, so that its node set is freed. */
        policy->client_count = i + 1;
    }
    return status;
}

/* ---- interop --------------------------------------------------------------------------------- */

static enum mikeyd_status read_relaxations(struct policy_interop *interop,
                                           const struct yaml_node *map, struct error *err)
{
    static const char *const timestamps[] = {"same", "any", NULL};
    static const char *const presence[] = {"required", "optional", NULL};
    static const char *const counters[] = {"refused", "allowed", NULL};
    enum mikeyd_status status = MIKEYD_OK;
    const struct yaml_node *node;
    size_t word = 0;
    if ((node = yaml_map_get(map, "reply_timestamp")) != NULL) {
        status = policy_read_word(node, timestamps, &word, err);
        interop->reply_timestamp_any = word == 1;
    }
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "v_covers_ids")) != NULL) {
        bool covers = true;
        status = yaml_bool(node, &covers, err);
        interop->v_covers_t_only = !covers;
    }
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "sdp_ids")) != NULL) {
        word = 0;
        status = policy_read_word(node, presence, &word, err);
        interop->sdp_ids_optional = word == 1;
    }
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "counter_timestamps")) != NULL) {
        word = 0;
        status = policy_read_word(node, counters, &word, err);
        interop->counter_timestamps = word == 1;
    }
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "ids")) != NULL) {
        word = 0;
        status = policy_read_word(node, presence, &word, err);
        interop->ids_optional = word == 1;
    }
    if (status == MIKEYD_OK && (node = yaml_map_get(map, "sp")) != NULL) {
        word = 0;
        status = policy_read_word(node, presence, &word, err);
        interop->sp_optional = word == 1;
    }
    return status;
}

enum mikeyd_status policy_read_interop(struct policy *policy, const struct yaml_node *list,
                                       struct error *err)
{
    static const char *const known[] = {
        "peer", "reply_timestamp", "v_covers_ids", "sdp_ids", "counter_timestamps", "ids", "sp",
        NULL};
    size_t count;
    enum mikeyd_status status = policy_section_count(list, &count, err);
    if (status != MIKEYD_OK)
        return status;
    policy->interops = policy_section_room(count, sizeof *policy->interops);
    if (policy->interops == NULL)
        return policy_out_of_memory(err);
    for (size_t i = 0; status == MIKEYD_OK && i < count; i++) {
        struct policy_interop_entry *entry = &policy->interops[i];
        const char *peer;
        entry->at = yaml_list_at(list, i);
        status = yaml_map_check(entry->at, known, err);
        if (status == MIKEYD_OK)
            status = policy_require_string(entry->at, "peer", &peer, err);
        if (status == MIKEYD_OK)
            status = read_relaxations(&entry->interop, entry->at, err);
        if (status != MIKEYD_OK)
            break;
        entry->peer = policy_node_by_text(policy, peer);
        if (entry->peer != NULL)
            policy->nodes[entry->peer->node.index].interop = entry->interop;
        policy->interop_count = i + 1;
    }
    return status;
}
