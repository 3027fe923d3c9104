#include "mikeyctl/key_state.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "mikeyctl/key.h"

static const char pre_activation[] = "pre-activation";
static const char active[] = "active";
static const char deactivated[] = "deactivated";

/* Pair keys are named "<key>.<hash>". */
static const struct policy_key *find_key(const struct policy *policy, const struct token_key *key)
{
    const char *dot = strrchr(key->name, '.');
    const size_t len =
        key->kind == TOKEN_PAIR && dot != NULL ? (size_t)(dot - key->name) : strlen(key->name);
    for (size_t i = 0; i < policy_key_count(policy); i++) {
        const struct policy_key *of = policy_key_at(policy, i);
        if (strlen(of->name) == len && strncmp(of->name, key->name, len) == 0)
            return of;
    }
    return NULL;
}

/* True when the dates alone decide. The day of not_after is the last one of use. */
static bool by_dates(struct key_state *out, int64_t now)
{
    char today[CLOCK_TEXT];
    clock_format_utc(now * 1000, today);
    today[10] = '\0';
    if (out->not_before[0] != '\0' && strcmp(today, out->not_before) < 0) {
        out->name = pre_activation;
        (void)snprintf(out->why, sizeof out->why, "may be used from %s on", out->not_before);
        return true;
    }
    if (out->not_after[0] != '\0' && strcmp(today, out->not_after) > 0) {
        out->name = deactivated;
        (void)snprintf(out->why, sizeof out->why, "might be used until %s", out->not_after);
        return true;
    }
    return false;
}

static void by_generation(struct key_state *out, const struct policy_key *of,
                          const struct token_key *key, int64_t now)
{
    if (key->generation == of->generation) {
        out->name = active;
        (void)snprintf(out->why, sizeof out->why, "the policy's generation of %s", of->name);
    } else if (key->generation > of->generation) {
        out->name = pre_activation;
        (void)snprintf(out->why, sizeof out->why, "the policy is at generation %u", of->generation);
    } else if (key->generation == of->previous_generation && now < of->previous_until) {
        char until[11];
        ceremony_date(of->previous_until, true, until);
        out->name = active;
        (void)snprintf(out->why, sizeof out->why, "accepted until %s, beside generation %u", until,
                       of->generation);
    } else {
        out->name = deactivated;
        (void)snprintf(out->why, sizeof out->why, "the policy is at generation %u", of->generation);
    }
}

void key_state_of(const struct policy *policy, const struct token_key *key, bool in_policy,
                  int64_t now, struct key_state *out)
{
    const bool named = key->kind != TOKEN_TICKET && key->kind != TOKEN_AUDIT;
    const struct policy_key *of = named ? find_key(policy, key) : NULL;
    const bool current = of != NULL && key->generation == of->generation;
    *out = (struct key_state){.name = "unknown"};
    (void)snprintf(out->not_before, sizeof out->not_before, "%.10s", key->start_date);
    (void)snprintf(out->not_after, sizeof out->not_after, "%.10s", key->end_date);
    if (current && of->not_before != 0)
        ceremony_date(of->not_before, false, out->not_before);
    if (current && of->not_after != 0)
        ceremony_date(of->not_after, true, out->not_after);
    if (by_dates(out, now))
        return;
    if (!named) {
        out->name = active;
        (void)snprintf(out->why, sizeof out->why, "by its dates: no policy names such keys");
    } else if (of == NULL) {
        (void)snprintf(out->why, sizeof out->why, "no key of the policy");
    } else if (key->kind == TOKEN_PAIR && !in_policy) {
        (void)snprintf(out->why, sizeof out->why, "no pair of the policy");
    } else {
        by_generation(out, of, key, now);
    }
}
