/* Clients: how much each may do. */
#include "policy/rules.h"

#include "base/overflow_uid.h"

static void check_overflow(struct rule_run *run)
{
    for (size_t i = 0; i < run->policy->client_count; i++) {
        const struct policy_client_entry *entry = &run->policy->clients[i];
        if (entry->client.has_uid && entry->client.uid == overflow_uid())
            rule_tell(run, yaml_map_get(entry->at, "uid"),
                      "client %s is uid %u, as which every user of another user namespace may "
                      "appear: give the client a user of its own",
                      entry->client.name, (unsigned)entry->client.uid);
    }
}

static void check_root(struct rule_run *run)
{
    for (size_t i = 0; i < run->policy->client_count; i++) {
        const struct policy_client_entry *entry = &run->policy->clients[i];
        if (entry->client.has_uid && entry->client.uid == 0)
            rule_tell(run, yaml_map_get(entry->at, "uid"),
                      "client %s is root: every root process of the host is entitled",
                      entry->client.name);
    }
}

static void check_scope(struct rule_run *run)
{
    const struct policy *policy = run->policy;
    for (size_t i = 0; i < policy->client_count; i++) {
        const struct policy_client_entry *entry = &policy->clients[i];
        if (entry->acts_as_count > policy->limits.nodes_per_client)
            rule_tell(run, yaml_map_get(entry->at, "acts_as"),
                      "client %s acts as %zu nodes, the limit is %llu", entry->client.name,
                      entry->acts_as_count, (unsigned long long)policy->limits.nodes_per_client);
        else if (entry->acts_as_count == policy->node_count && policy->node_count > 2)
            rule_tell(run, yaml_map_get(entry->at, "acts_as"), "client %s acts as every node",
                      entry->client.name);
    }
}

static bool acts_as(const struct policy_client_entry *entry, const struct policy_node_entry *node)
{
    return node != NULL && policy_client_acts_as(&entry->client, &node->node);
}

/* How many nodes of a mesh the client acts as, up to two. */
static size_t own_in_mesh(const struct policy_client_entry *entry, const struct policy_mesh *mesh)
{
    size_t own = 0;
    for (size_t i = 0; i < entry->acts_as_count && own < 2; i++)
        own += policy_mesh_has(mesh, entry->acts_as[i]) ? 1 : 0;
    return own;
}

/* A client at both ends of a pair can make both sides of an exchange: nothing is proven by it. */
static void check_both_ends(struct rule_run *run)
{
    const struct policy *policy = run->policy;
    for (size_t c = 0; c < policy->client_count; c++) {
        const struct policy_client_entry *entry = &policy->clients[c];
        const struct yaml_node *pair_at = NULL;
        for (size_t i = 0; i < policy->pair_count && pair_at == NULL; i++) {
            const struct policy_pair *pair = &policy->pairs[i];
            if (acts_as(entry, pair->initiator) && acts_as(entry, pair->responder))
                pair_at = pair->at;
        }
        for (size_t i = 0; i < policy->mesh_count && pair_at == NULL; i++) {
            if (own_in_mesh(entry, &policy->meshes[i]) == 2)
                pair_at = policy->meshes[i].at;
        }
        if (pair_at != NULL)
            rule_tell(run, yaml_map_get(entry->at, "acts_as"),
                      "client %s acts as both ends of a pair (line %d)", entry->client.name,
                      yaml_line(pair_at));
    }
}

static void check_rate(struct rule_run *run)
{
    for (size_t i = 0; i < run->policy->client_count; i++) {
        const struct policy_client_entry *entry = &run->policy->clients[i];
        if (entry->client.rate == 0)
            rule_tell(run, entry->at, "client %s has no rate: it alone can fill the queue",
                      entry->client.name);
    }
}

static void check_idle(struct rule_run *run)
{
    for (size_t i = 0; i < run->policy->client_count; i++) {
        const struct policy_client_entry *entry = &run->policy->clients[i];
        if (entry->client.may == 0 || entry->acts_as_count == 0 || entry->client.methods == 0)
            rule_tell(run, entry->at, "client %s may do nothing", entry->client.name);
    }
}

const struct policy_rule policy_rules_clients[] = {
    {"CLIENT-OVERFLOW-UID", POLICY_ERROR, RULE_NEEDS_FILE,
     "No client is the user that stands for all unknown ones", "clients.uid", check_overflow},
    {"CLIENT-ROOT", POLICY_WARNING, RULE_NEEDS_FILE, "No client is root", "clients.uid",
     check_root},
    {"CLIENT-SCOPE", POLICY_WARNING, RULE_NEEDS_FILE, "A client acts for few nodes, never for all",
     "clients.acts_as limits.nodes_per_client", check_scope},
    {"CLIENT-BOTH-ENDS", POLICY_WARNING, RULE_NEEDS_FILE, "No client acts as both ends of a pair",
     "clients.acts_as pairs mesh", check_both_ends},
    {"CLIENT-RATE", POLICY_NOTE, RULE_NEEDS_FILE, "Clients have a rate", "clients.rate",
     check_rate},
    {"CLIENT-IDLE", POLICY_NOTE, RULE_NEEDS_FILE, "Every client may do something",
     "clients.may clients.acts_as clients.methods", check_idle},
    {0},
};
