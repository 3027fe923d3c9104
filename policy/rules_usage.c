/* How long and how often a key is used, and what it cannot give: forward secrecy. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "policy/rules.h"

#define DAY_S ((int64_t)24 * 60 * 60)

/* "2027-06-01" */
static const char *format_day(int64_t seconds, char out[16])
{
    time_t time = (time_t)seconds;
    struct tm tm;
    if (gmtime_r(&time, &tm) == NULL || strftime(out, 16, "%Y-%m-%d", &tm) == 0)
        (void)snprintf(out, 16, "?");
    return out;
}

static void check_dates(struct rule_run *run)
{
    for (size_t i = 0; i < run->policy->key_count; i++) {
        const struct policy_key_entry *entry = &run->policy->keys[i];
        const struct policy_key *key = &entry->key;
        if (key->not_before != 0 && key->not_after != 0 && key->not_after <= key->not_before)
            rule_tell(run, yaml_map_get(entry->at, "not_after"),
                      "not_after is not later than not_before");
        if (key->previous_generation >= key->generation)
            rule_tell(run, rule_field(yaml_map_get(entry->at, "previous"), "generation"),
                      "the previous generation %u is not before the current one, %u",
                      key->previous_generation, key->generation);
    }
}

static void check_lifetime(struct rule_run *run)
{
    int64_t most = run->policy->limits.key_lifetime_s;
    for (size_t i = 0; i < run->policy->key_count; i++) {
        const struct policy_key_entry *entry = &run->policy->keys[i];
        const struct policy_key *key = &entry->key;
        if (key->not_after == 0) {
            rule_tell(run, entry->at, "key %s has no not_after: it never ends", key->name);
            continue;
        }
        int64_t from = key->not_before != 0 ? key->not_before : run->now;
        if (key->not_after - from > most)
            rule_tell(run, yaml_map_get(entry->at, "not_after"),
                      "key %s lives %lld days from %s, the limit is %lld", key->name,
                      (long long)((key->not_after - from) / DAY_S),
                      key->not_before != 0 ? "not_before" : "now", (long long)(most / DAY_S));
    }
}

static void check_in_date(struct rule_run *run)
{
    char day[16];
    for (size_t i = 0; i < run->policy->key_count; i++) {
        const struct policy_key_entry *entry = &run->policy->keys[i];
        const struct policy_key *key = &entry->key;
        if (key->not_after != 0 && run->now >= key->not_after)
            rule_tell(run, yaml_map_get(entry->at, "not_after"),
                      "key %s ended on %s: its exchanges are refused", key->name,
                      format_day(key->not_after, day));
        if (key->not_before != 0 && run->now < key->not_before)
            rule_tell(run, yaml_map_get(entry->at, "not_before"),
                      "key %s begins on %s: until then its exchanges are refused", key->name,
                      format_day(key->not_before, day));
    }
}

static void check_previous(struct rule_run *run)
{
    char day[16];
    for (size_t i = 0; i < run->policy->key_count; i++) {
        const struct policy_key_entry *entry = &run->policy->keys[i];
        const struct policy_key *key = &entry->key;
        if (key->previous_generation == 0)
            continue;
        const struct yaml_node *at = yaml_map_get(entry->at, "previous");
        if (run->now >= key->previous_until)
            rule_tell(run, at,
                      "generation %u of key %s is no longer accepted (since %s): take it out of "
                      "the policy and the token",
                      key->previous_generation, key->name, format_day(key->previous_until, day));
        else
            rule_tell(run, at, "responders accept generation %u of key %s until %s",
                      key->previous_generation, key->name, format_day(key->previous_until, day));
    }
}

static void check_exchanges(struct rule_run *run)
{
    uint64_t most = run->policy->limits.exchanges_per_pair_key;
    for (size_t i = 0; i < run->policy->key_count; i++) {
        const struct policy_key_entry *entry = &run->policy->keys[i];
        const struct policy_key *key = &entry->key;
        if (key->max_exchanges == 0)
            rule_tell(run, entry->at, "key %s has no max_exchanges: a pair key is used without end",
                      key->name);
        else if (key->max_exchanges > most)
            rule_tell(run, yaml_map_get(entry->at, "max_exchanges"),
                      "key %s allows %llu exchanges a pair, the limit is %llu", key->name,
                      (unsigned long long)key->max_exchanges, (unsigned long long)most);
    }
}

static void check_transport(struct rule_run *run)
{
    for (size_t i = 0; i < run->policy->key_count; i++) {
        const struct policy_key_entry *entry = &run->policy->keys[i];
        if (entry->key.transport)
            rule_tell(run, yaml_map_get(entry->at, "transport"),
                      "key %s may leave the token, wrapped for another one", entry->key.name);
    }
}

static void lacks_secrecy(struct rule_run *run, const struct rule_settings *where)
{
    if (where->settings->forward_secrecy == POLICY_SECRECY_OFF)
        rule_tell(run, where->at,
                  "method psk has no ephemeral exchange (RFC 3830 9.1): a PSK that leaks opens "
                  "recorded sessions; short key lifetimes bound that, `forward_secrecy: required` "
                  "avoids it");
    else if (where->settings->forward_secrecy == POLICY_SECRECY_PREFERRED)
        rule_tell(run, where->at,
                  "forward secrecy is preferred: psk-dhe is offered, and a peer that offers psk is "
                  "served by psk");
}

static void check_ephemeral(struct rule_run *run)
{
    static const char *const fields[] = {"forward_secrecy", NULL};
    rule_each_settings(run, fields, lacks_secrecy);
}

static void is_group_weak(struct rule_run *run, const struct rule_settings *where)
{
    if (where->settings->dh_group == POLICY_GROUP_OAKLEY_5)
        rule_tell(run, where->at,
                  "dh_group: oakley-5 is 1536-bit MODP, under 112 bits of strength: for peers of "
                  "dhhmac that have nothing else");
}

static void check_dh_group(struct rule_run *run)
{
    static const char *const fields[] = {"dh_group", NULL};
    rule_each_settings(run, fields, is_group_weak);
}

const struct policy_rule policy_rules_usage[] = {
    {"KEY-DATES", POLICY_ERROR, RULE_NEEDS_FILE, "Dates and generations of keys are in order",
     "keys.not_before keys.not_after keys.generation keys.previous", check_dates},
    {"KEY-LIFETIME", POLICY_WARNING, RULE_NEEDS_CLOCK, "Keys end, and within the limit",
     "keys.not_before keys.not_after limits.key_lifetime", check_lifetime},
    {"KEY-IN-DATE", POLICY_WARNING, RULE_NEEDS_CLOCK, "Keys are in date",
     "keys.not_before keys.not_after", check_in_date},
    {"KEY-PREVIOUS", POLICY_NOTE, RULE_NEEDS_CLOCK,
     "Previous generations are accepted for a while only", "keys.previous", check_previous},
    {"KEY-EXCHANGES", POLICY_WARNING, RULE_NEEDS_FILE,
     "Exchanges under a pair key are bounded, and within the limit (counted by each daemon since "
     "its start)",
     "keys.max_exchanges limits.exchanges_per_pair_key", check_exchanges},
    {"KEY-TRANSPORT", POLICY_NOTE, RULE_NEEDS_FILE, "Keys stay in the token they were made in",
     "keys.transport", check_transport},
    {"RFC9257-6-1-EPHEMERAL", POLICY_NOTE, RULE_NEEDS_FILE,
     "PSKs are combined with an ephemeral exchange", "defaults pairs mesh: forward_secrecy",
     check_ephemeral},
    {"DH-GROUP", POLICY_WARNING, RULE_NEEDS_FILE,
     "Ephemeral exchanges are in a group of 128 bits of strength", "defaults pairs mesh: dh_group",
     check_dh_group},
    {0},
};
