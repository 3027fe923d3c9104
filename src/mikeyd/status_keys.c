#include "mikeyd/status_keys.h"

#include <unistd.h>

#include "mikeyd/front_keys.h"
#include "rpc/frame.h"

static json_t *count_of(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* The member that speaks for all where one is asked for. */
static size_t first_serving(struct daemon *daemon, struct keys_member_status *out)
{
    for (size_t i = 0; i < daemon->config->token_count; i++) {
        keys_group_member_status(daemon->keys, i, out);
        if (out->state == KEYS_MEMBER_CLOSED)
            return i;
    }
    keys_group_member_status(daemon->keys, 0, out);
    return 0;
}

static json_t *switches_of(const struct token_config *token)
{
    json_t *list = json_array();
    const char *name;
    for (size_t i = 0; (name = config_token_switch(token, i)) != NULL; i++)
        (void)json_array_append_new(list, json_string(name));
    return list;
}

static json_t *report_facts(const struct daemon *daemon, size_t member,
                            const struct door_facts *facts, bool up)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:b, s:s, s:b, s:b, s:i, s:i, s:o, s:o, "
                     "s:o, s:o, s:o}",
                     "label", facts->label, "serial", facts->serial, "manufacturer",
                     facts->manufacturer, "model", facts->model, "module",
                     daemon->config->tokens[member].module, "profile", facts->profile, "switches",
                     switches_of(&daemon->config->tokens[member]), "up", up, "prf",
                     facts->prf_derive ? "derive" : "sign", "hkdf", facts->hkdf, "session_copies",
                     facts->session_copies, "sessions", (int)facts->sessions, "hmac_us",
                     (int)facts->hmac_us, "generation", count_of(facts->generation), "calls",
                     count_of(facts->calls), "hmacs", count_of(facts->hmacs), "derives",
                     count_of(facts->derives), "objects_created", count_of(facts->objects_created));
}

json_t *status_keys_token(struct daemon *daemon)
{
    struct keys_member_status status;
    const size_t member = first_serving(daemon, &status);
    return report_facts(daemon, member, &status.facts, keys_group_up(daemon->keys));
}

static json_t *report_member(struct daemon *daemon, size_t member)
{
    struct keys_member_status status;
    keys_group_member_status(daemon->keys, member, &status);
    const bool up = status.state == KEYS_MEMBER_CLOSED;
    char said[FRONT_KEYS_WHY];
    front_keys_why(daemon, member, said);
    json_t *report = report_facts(daemon, member, &status.facts, up);
    json_t *more = json_pack(
        "{s:s, s:i, s:o, s:o, s:o, s:i, s:i, s:o, s:o, s:i, s:s}", "state",
        keys_member_state_name(status.state), "pid", front_keys_pid(daemon, member), "requests",
        count_of(status.requests), "failures", count_of(status.failures), "retried_elsewhere",
        count_of(status.retried_elsewhere), "latency_us", (int)status.latency_us, "in_flight",
        (int)status.in_flight, "uses", count_of(status.facts.uses), "keys",
        count_of(status.facts.key_count), "rss_kb", (int)status.facts.rss_kb, "why",
        up                ? ""
        : said[0] != '\0' ? said
                          : status.why);
    if (report != NULL && more != NULL)
        (void)json_object_update(report, more);
    json_decref(more);
    return report;
}

json_t *status_keys_tokens(struct daemon *daemon)
{
    json_t *list = json_array();
    for (size_t i = 0; i < daemon->config->token_count; i++)
        (void)json_array_append_new(list, report_member(daemon, i));
    return list;
}

/* A report is one frame, however many keys there are: a list of all would not fit from some 3,000. */
#define LISTED_MAX 256
#define LISTED_BYTES (KEYS_NAME_MAX + 128) /* the JSON text of one */
_Static_assert(LISTED_MAX *LISTED_BYTES < RPC_FRAME_MAX / 2, "other things are told, too");

static json_t *named_key(const struct keys_entry *entry, bool usable)
{
    return json_pack("{s:s, s:s, s:i, s:i, s:b}", "kind", keys_kind_name(entry->kind), "name",
                     entry->name, "generation", (int)entry->generation, "bits", (int)entry->bits,
                     "usable", usable);
}

/* Those of one kind of usefulness, as long as there is room. */
static void list_named(json_t *list, const struct keys_inventory *inventory, bool usable, bool up)
{
    const size_t count = inventory == NULL ? 0 : keys_inventory_count(inventory);
    for (size_t i = 0; i < count && json_array_size(list) < LISTED_MAX; i++) {
        const struct keys_entry *entry = keys_inventory_at(inventory, i);
        if (entry->kind != KEYS_OTHER && entry->kind != KEYS_PAIR && entry->usable == usable)
            (void)json_array_append_new(list, named_key(entry, usable && up));
    }
}

json_t *status_keys_inventory(struct daemon *daemon)
{
    json_t *list = json_array();
    uint64_t named = 0, pairs = 0, unusable = 0;
    const bool up = keys_group_up(daemon->keys);
    struct keys_inventory *inventory = keys_group_inventory(daemon->keys);
    const size_t count = inventory == NULL ? 0 : keys_inventory_count(inventory);
    for (size_t i = 0; i < count; i++) {
        const struct keys_entry *entry = keys_inventory_at(inventory, i);
        if (entry->kind == KEYS_OTHER)
            continue;
        unusable += !entry->usable;
        pairs += entry->kind == KEYS_PAIR && entry->usable;
        named += entry->kind != KEYS_PAIR;
    }
    /* Those that an operator has to look after come first. */
    list_named(list, inventory, false, up);
    list_named(list, inventory, true, up);
    keys_inventory_unref(inventory);
    return json_pack("{s:o, s:o, s:o, s:o}", "named", list, "named_in_all", count_of(named),
                     "pairs", count_of(pairs), "unusable", count_of(unusable));
}

json_t *status_keys_pair_cache(struct daemon *daemon)
{
    struct door_facts sum = {.up = false};
    for (size_t i = 0; i < daemon->config->token_count; i++) {
        struct keys_member_status status;
        keys_group_member_status(daemon->keys, i, &status);
        sum.pair_entries += status.facts.pair_entries;
        sum.pair_hits += status.facts.pair_hits;
        sum.pair_misses += status.facts.pair_misses;
        sum.pair_evictions += status.facts.pair_evictions;
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "entries", count_of(sum.pair_entries), "hits",
                     count_of(sum.pair_hits), "misses", count_of(sum.pair_misses), "evictions",
                     count_of(sum.pair_evictions));
}

const char *status_keys_isolation(const struct daemon *daemon)
{
    return daemon->of_two_users ? "two users" : "one user";
}
