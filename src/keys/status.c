/* What the group is asked as a whole: inventory, state, health. */
#include <stdio.h>

#include "keys/group_internal.h"
#include "keys/inventory.h"

struct keys_inventory *keys_group_inventory(struct keys_group *group)
{
    (void)pthread_mutex_lock(&group->lock);
    struct keys_inventory *inventory = keys_inventory_ref(group->inventory);
    (void)pthread_mutex_unlock(&group->lock);
    return inventory;
}

/* ---- work for every member's thread */

/* Has the threads of those members do a job and waits for all; group->lock. */
static void run_everywhere(struct keys_group *group, enum keys_job job, unsigned members)
{
    for (size_t i = 0; i < group->members; i++) {
        if ((members & 1u << i) != 0)
            group->member[i].wanted |= 1u << job;
    }
    (void)pthread_cond_broadcast(&group->wake);
    for (size_t i = 0; i < group->members; i++) {
        while ((members & 1u << i) != 0 && (group->member[i].wanted & 1u << job) != 0)
            (void)pthread_cond_wait(&group->wake, &group->lock);
    }
}

static unsigned members_in(struct keys_group *group, enum keys_member_state state)
{
    unsigned members = 0;
    for (size_t i = 0; i < group->members; i++) {
        if (atomic_load(&group->member[i].state) == (int)state)
            members |= 1u << i;
    }
    return members;
}

static unsigned done_well(struct keys_group *group, enum keys_job job, unsigned members)
{
    unsigned well = 0;
    for (size_t i = 0; i < group->members; i++) {
        if ((members & 1u << i) != 0 && group->member[i].job_error[job].status == MIKEYD_OK)
            well |= 1u << i;
    }
    return well;
}

static enum mikeyd_status first_failure(struct keys_group *group, enum keys_job job,
                                        unsigned members, struct error *err)
{
    for (size_t i = 0; i < group->members; i++) {
        const struct error *failed = &group->member[i].job_error[job];
        if ((members & 1u << i) != 0 && failed->status != MIKEYD_OK)
            return error_set(err, MIKEYD_TOKEN_DOWN, "%s", failed->text);
    }
    return keys_group_first_reason(group, err);
}

enum mikeyd_status keys_group_rescan(struct keys_group *group, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    (void)pthread_mutex_lock(&group->rescan);
    keys_group_lock(group);
    const unsigned looked =
        members_in(group, KEYS_MEMBER_CLOSED) | members_in(group, KEYS_MEMBER_DIFFERS);
    run_everywhere(group, KEYS_JOB_LIST, looked);
    const unsigned listed = done_well(group, KEYS_JOB_LIST, looked);
    const unsigned serving = listed & members_in(group, KEYS_MEMBER_CLOSED);
    if (serving == 0) {
        status = first_failure(group, KEYS_JOB_LIST, looked, err);
    } else {
        const unsigned reference = serving & (~serving + 1); /* the first in the configuration */
        for (size_t i = 0; i < group->members; i++) {
            if (reference == 1u << i)
                keys_group_adopt(&group->member[i]);
        }
        run_everywhere(group, KEYS_JOB_VERIFY, listed & ~reference);
    }
    keys_group_unlock(group);
    (void)pthread_mutex_unlock(&group->rescan);
    return status;
}

enum mikeyd_status keys_group_check_health(struct keys_group *group, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    keys_group_lock(group);
    const unsigned serving = members_in(group, KEYS_MEMBER_CLOSED);
    run_everywhere(group, KEYS_JOB_HEALTH, serving);
    if (done_well(group, KEYS_JOB_HEALTH, serving) == 0)
        status = first_failure(group, KEYS_JOB_HEALTH, serving, err);
    keys_group_unlock(group);
    return status;
}

/* ---- state */

const char *keys_member_state_name(enum keys_member_state state)
{
    static const char *const names[] = {
        [KEYS_MEMBER_ABSENT] = "absent",       [KEYS_MEMBER_JOINING] = "joining",
        [KEYS_MEMBER_CLOSED] = "closed",       [KEYS_MEMBER_OPEN] = "open",
        [KEYS_MEMBER_HALF_OPEN] = "half-open", [KEYS_MEMBER_DIFFERS] = "differs",
    };
    return (unsigned)state <= KEYS_MEMBER_DIFFERS ? names[state] : "unknown";
}

void keys_group_member_status(struct keys_group *group, size_t index,
                              struct keys_member_status *out)
{
    struct keys_member *member = &group->member[index];
    (void)pthread_mutex_lock(&group->lock);
    *out = (struct keys_member_status){
        .state = (enum keys_member_state)atomic_load(&member->state),
        .facts = member->facts,
        .requests = atomic_load(&member->requests),
        .failures = atomic_load(&member->failures),
        .retried_elsewhere = atomic_load(&member->retried_elsewhere),
        .latency_us = atomic_load(&member->latency_us),
        .in_flight = atomic_load(&member->in_flight),
    };
    (void)snprintf(out->why, sizeof out->why, "%s", member->why);
    (void)pthread_mutex_unlock(&group->lock);
}

bool keys_group_up(struct keys_group *group)
{
    return members_in(group, KEYS_MEMBER_CLOSED) != 0;
}

static bool all_serving(struct keys_group *group, bool (*can)(const struct door_facts *))
{
    bool any = false, all = true;
    (void)pthread_mutex_lock(&group->lock);
    for (size_t i = 0; i < group->members; i++) {
        if (!keys_member_serves(&group->member[i]))
            continue;
        any = true;
        all = all && can(&group->member[i].facts);
    }
    (void)pthread_mutex_unlock(&group->lock);
    return any && all;
}

static bool derives(const struct door_facts *facts)
{
    return facts->prf_derive;
}

static bool imports(const struct door_facts *facts)
{
    return facts->hkdf;
}

bool keys_group_can_derive(struct keys_group *group)
{
    return all_serving(group, derives);
}

bool keys_group_can_import(struct keys_group *group)
{
    return all_serving(group, imports);
}
