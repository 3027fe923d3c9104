/* The circuit breaker of each member, and the choice among those that are closed. */
#include <stdio.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/clock.h"
#include "keys/group_internal.h"

#define FAILURES_IN_A_ROW 3
#define SHARE_LEAST_MS 20
#define SHARE_LATENCIES 8
#define PAUSE_FIRST_MS 200
#define PAUSE_DOUBLED_MAX_MS 1600
/* With the time a probe takes, a member that is well serves again within 2 s. */
#define PAUSE_MAX_MS 1800
/* Closed for so long, the next pause is the first one again. */
#define SETTLED_MS 2000

/* ---- on the way of requests */

bool keys_member_serves(const struct keys_member *member)
{
    return atomic_load(&member->state) == KEYS_MEMBER_CLOSED;
}

struct keys_member *keys_breaker_choose(struct keys_group *group, unsigned tried)
{
    struct keys_member *best = NULL;
    uint64_t least = 0;
    for (size_t i = 0; i < group->members; i++) {
        struct keys_member *member = &group->member[i];
        if ((tried & 1u << i) != 0 || !keys_member_serves(member))
            continue;
        const uint64_t cost = (uint64_t)(atomic_load(&member->in_flight) + 1) *
                              (atomic_load(&member->latency_us) + 1);
        if (best == NULL || cost < least) {
            best = member;
            least = cost;
        }
    }
    return best;
}

unsigned keys_breaker_share(const struct keys_member *member)
{
    unsigned share = member->call_timeout_ms / 4;
    const unsigned slow = SHARE_LATENCIES * (atomic_load(&member->latency_us) / 1000);
    if (share < SHARE_LEAST_MS)
        share = SHARE_LEAST_MS;
    if (share < slow)
        share = slow;
    /* More at a time than it serves wait for each other: that is load, not a hang. */
    if (member->sessions != 0)
        share *= 1 + atomic_load(&member->in_flight) / member->sessions;
    return share < member->call_timeout_ms ? share : member->call_timeout_ms;
}

/* A mean that forgets: an eighth of the way to each new value. Lost updates do not matter. */
void keys_breaker_success(struct keys_member *member, int64_t took_us)
{
    const int64_t was = atomic_load(&member->latency_us);
    const int64_t mean = was == 0 ? took_us : was + (took_us - was) / 8;
    atomic_store(&member->latency_us, (unsigned)(mean < 1 ? 1 : mean));
    if (atomic_load(&member->failed_in_a_row) != 0)
        atomic_store(&member->failed_in_a_row, 0);
}

/* ---- events and names; group->lock */

void keys_group_event(struct keys_group *group, enum keys_event_kind kind, size_t member,
                      uint64_t keyholder, const char *text)
{
    if (group->event_count == KEYS_EVENTS_MAX) { /* nobody asks: the oldest matters least */
        group->first_event = (group->first_event + 1) % KEYS_EVENTS_MAX;
        group->event_count--;
    }
    struct keys_event *event =
        &group->events[(group->first_event + group->event_count++) % KEYS_EVENTS_MAX];
    *event = (struct keys_event){.kind = kind, .member = member, .keyholder = keyholder};
    (void)snprintf(event->text, sizeof event->text, "%s", text);
    group->untold = true;
}

static bool label_is_unique(const struct keys_member *member)
{
    for (size_t i = 0; i < member->group->members; i++) {
        const struct keys_member *other = &member->group->member[i];
        if (other != member && strcmp(other->facts.label, member->facts.label) == 0)
            return false;
    }
    return true;
}

void keys_member_title(const struct keys_member *member, char *out, size_t cap)
{
    const struct door_facts *facts = &member->facts;
    if (facts->label[0] == '\0')
        (void)snprintf(out, cap, "token %zu of the configuration", member->index + 1);
    else if (label_is_unique(member))
        (void)snprintf(out, cap, "token %s", facts->label);
    else
        (void)snprintf(out, cap, "token %s (serial %s, the %zu. of the configuration)",
                       facts->label, facts->serial, member->index + 1);
}

/* ---- opening; group->lock */

static unsigned with_jitter(unsigned pause_ms)
{
    uint8_t random = 0;
    (void)RAND_bytes(&random, sizeof random); /* without it: no jitter, no harm */
    const unsigned jittered = pause_ms * (75 + random % 51) / 100;
    return jittered < PAUSE_MAX_MS ? jittered : PAUSE_MAX_MS;
}

void keys_breaker_pause(struct keys_member *member)
{
    member->probe_at_ms = clock_monotonic_ms() + with_jitter(member->pause_ms);
    if (member->pause_ms < PAUSE_DOUBLED_MAX_MS)
        member->pause_ms *= 2;
}

/* What is known of it, in front of the reason. */
static void explain(const struct keys_member *member, const char *why, char *out, size_t cap)
{
    char title[160];
    keys_member_title(member, title, sizeof title);
    struct error err = {0};
    (void)error_set(&err, MIKEYD_TOKEN_DOWN, "%s", why);
    error_prefix(&err, "%s", title);
    (void)snprintf(out, cap, "%s", err.text);
}

void keys_breaker_open(struct keys_member *member, const char *why)
{
    const int64_t now = clock_monotonic_ms();
    if (member->pause_ms == 0 ||
        (keys_member_serves(member) && now - member->closed_at_ms > SETTLED_MS))
        member->pause_ms = PAUSE_FIRST_MS;
    atomic_store(&member->state, KEYS_MEMBER_OPEN);
    atomic_store(&member->failed_in_a_row, 0);
    explain(member, why, member->why, sizeof member->why);
    keys_breaker_pause(member);
}

struct keys_keyholder *keys_member_take_keyholder(struct keys_member *member)
{
    struct keys_keyholder *keyholder = member->keyholder;
    member->keyholder = NULL;
    atomic_store(&member->serving, 0);
    return keyholder;
}

/* ---- failures told by requests */

void keys_breaker_lost(struct keys_member *member, struct keys_keyholder *keyholder,
                       const char *why)
{
    struct keys_group *group = member->group;
    keys_group_lock(group);
    if (member->keyholder == keyholder && keys_member_serves(member)) {
        keys_breaker_open(member, why);
        keys_group_event(group, KEYS_EVENT_DOWN, member->index, keyholder->number, member->why);
    }
    keys_group_unlock(group);
}

void keys_breaker_failed_answer(struct keys_member *member, struct keys_keyholder *keyholder,
                                const char *why)
{
    if (atomic_fetch_add(&member->failed_in_a_row, 1) + 1 >= FAILURES_IN_A_ROW)
        keys_breaker_lost(member, keyholder, why);
}

void keys_breaker_overrun(struct keys_member *member, struct keys_keyholder *keyholder,
                          unsigned waited_ms)
{
    struct keys_group *group = member->group;
    struct keys_keyholder *taken = NULL;
    char why[96];
    (void)snprintf(why, sizeof why, "no answer within %u ms: its keyholder is to be replaced",
                   waited_ms);
    keys_group_lock(group);
    if (member->keyholder == keyholder) {
        keys_breaker_open(member, why);
        taken = keys_member_take_keyholder(member);
    }
    if (!atomic_load(&keyholder->cut)) { /* who comes later finds it cut: one event each */
        char text[240];
        explain(member, why, text, sizeof text);
        keys_group_event(group, KEYS_EVENT_OVERRUN, member->index, keyholder->number, text);
    }
    /* Everyone who waits there goes on now, not when his own time is over. */
    keys_keyholder_cut(keyholder);
    keys_group_unlock(group);
    keys_keyholder_unref(taken);
}
