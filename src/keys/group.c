/* The group: its members come and go, and what happened to them is told. */
#include "keys/group_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "keys/inventory.h"

void keys_group_lock(struct keys_group *group)
{
    (void)pthread_mutex_lock(&group->lock);
}

void keys_group_unlock(struct keys_group *group)
{
    const bool tell = group->untold;
    group->untold = false;
    (void)pthread_cond_broadcast(&group->wake);
    (void)pthread_mutex_unlock(&group->lock);
    if (tell && group->changed != NULL)
        group->changed(group->context);
}

/* ---- making and ending */

static enum mikeyd_status start_member(struct keys_group *group, size_t index,
                                       const struct keys_group_config *config, struct error *err)
{
    struct keys_member *member = &group->member[index];
    member->group = group;
    member->index = index;
    member->call_timeout_ms = config->call_timeout_ms[index];
    member->sessions = config->sessions[index];
    atomic_init(&member->state, KEYS_MEMBER_ABSENT);
    (void)snprintf(member->why, sizeof member->why, "no keyholder has come yet for token %zu",
                   index + 1);
    member->buffer = malloc(DOOR_MESSAGE_MAX);
    member->page = calloc(DOOR_KEYS_PER_PAGE, sizeof *member->page);
    if (member->buffer == NULL || member->page == NULL)
        return error_set(err, MIKEYD_INTERNAL, "group of keyholders: out of memory");
    int rc = pthread_create(&member->thread, NULL, keys_maintain, member);
    if (rc != 0)
        return error_set(err, MIKEYD_INTERNAL, "group of keyholders: no thread: %s", strerror(rc));
    member->has_thread = true;
    return MIKEYD_OK;
}

static void init_locks(struct keys_group *group)
{
    pthread_condattr_t monotonic;
    (void)pthread_mutex_init(&group->lock, NULL);
    (void)pthread_mutex_init(&group->rescan, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&group->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
}

enum mikeyd_status keys_group_make(const struct keys_group_config *config, struct keys_group **out,
                                   struct error *err)
{
    *out = NULL;
    if (config->members == 0 || config->members > KEYS_MEMBERS_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "a group has 1 to %d tokens, not %zu",
                         KEYS_MEMBERS_MAX, config->members);
    struct keys_group *group = calloc(1, sizeof *group);
    if (group == NULL)
        return error_set(err, MIKEYD_INTERNAL, "group of keyholders: out of memory");
    group->members = config->members;
    group->changed = config->changed;
    group->context = config->context;
    if (config->store != NULL)
        (void)snprintf(group->store, sizeof group->store, "%s", config->store);
    init_locks(group);
    for (size_t i = 0; i < config->members; i++) {
        enum mikeyd_status status = start_member(group, i, config, err);
        if (status != MIKEYD_OK) {
            keys_group_free(group);
            return status;
        }
    }
    *out = group;
    return MIKEYD_OK;
}

/* Cuts what it takes from *from; the reference goes later, so that a thread's view stays valid. */
static void cut_and_drop(struct keys_keyholder **from)
{
    struct keys_keyholder *keyholder = *from;
    *from = NULL;
    if (keyholder == NULL)
        return;
    keys_keyholder_cut(keyholder);
    keys_keyholder_unref(keyholder);
}

static void end_member(struct keys_member *member)
{
    if (member->has_thread)
        (void)pthread_join(member->thread, NULL);
    cut_and_drop(&member->keyholder);
    cut_and_drop(&member->candidate);
    keys_inventory_unref(member->listing);
    free(member->buffer);
    free(member->page);
}

void keys_group_free(struct keys_group *group)
{
    if (group == NULL)
        return;
    keys_group_lock(group);
    group->ending = true;
    for (size_t i = 0; i < group->members; i++) {
        if (group->member[i].keyholder != NULL)
            keys_keyholder_cut(group->member[i].keyholder);
        if (group->member[i].candidate != NULL)
            keys_keyholder_cut(group->member[i].candidate);
    }
    group->untold = false;
    keys_group_unlock(group);
    for (size_t i = 0; i < group->members; i++)
        end_member(&group->member[i]);
    keys_inventory_unref(group->inventory);
    (void)pthread_cond_destroy(&group->wake);
    (void)pthread_mutex_destroy(&group->rescan);
    (void)pthread_mutex_destroy(&group->lock);
    free(group);
}

/* ---- keyholders come and go */

uint64_t keys_group_join(struct keys_group *group, size_t index, int control)
{
    struct keys_member *member = &group->member[index];
    keys_group_lock(group);
    const uint64_t number = ++group->last_number;
    /* One that has not finished joining is not waited for. */
    cut_and_drop(&member->candidate);
    member->candidate = keys_keyholder_make(number, index, control);
    member->pause_ms = 0;
    if (member->candidate != NULL && !keys_member_serves(member))
        atomic_store(&member->state, KEYS_MEMBER_JOINING);
    keys_group_unlock(group);
    return number;
}

void keys_group_lose(struct keys_group *group, size_t index, uint64_t number)
{
    struct keys_member *member = &group->member[index];
    keys_group_lock(group);
    if (member->candidate != NULL && (number == 0 || member->candidate->number == number)) {
        cut_and_drop(&member->candidate);
        if (member->keyholder == NULL)
            atomic_store(&member->state, KEYS_MEMBER_ABSENT);
    }
    struct keys_keyholder *keyholder = member->keyholder;
    if (keyholder != NULL && (number == 0 || keyholder->number == number)) {
        const bool served = keys_member_serves(member);
        (void)keys_member_take_keyholder(member);
        keys_breaker_open(member, "its keyholder has ended");
        if (served)
            keys_group_event(group, KEYS_EVENT_DOWN, index, keyholder->number, member->why);
        cut_and_drop(&keyholder);
    }
    if (member->keyholder == NULL)
        atomic_store(&member->state,
                     member->candidate == NULL ? KEYS_MEMBER_ABSENT : KEYS_MEMBER_JOINING);
    member->settled = true;
    keys_group_unlock(group);
}

/* ---- waiting and telling */

static bool settled(struct keys_group *group, size_t wanted, size_t *serving)
{
    size_t all = 0;
    *serving = 0;
    for (size_t i = 0; i < group->members; i++) {
        *serving += keys_member_serves(&group->member[i]);
        all += group->member[i].settled && group->member[i].candidate == NULL;
    }
    return *serving >= wanted || all == group->members;
}

enum mikeyd_status keys_group_first_reason(struct keys_group *group, struct error *err)
{
    for (size_t i = 0; i < group->members; i++) {
        if (!keys_member_serves(&group->member[i]))
            return error_set(err, MIKEYD_TOKEN_DOWN, "%s", group->member[i].why);
    }
    return error_set(err, MIKEYD_TOKEN_DOWN, "not as many tokens serve as are waited for");
}

enum mikeyd_status keys_group_wait(struct keys_group *group, size_t members, unsigned timeout_ms,
                                   struct error *err)
{
    const int64_t until_ms = clock_monotonic_ms() + timeout_ms;
    const struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    enum mikeyd_status status = MIKEYD_OK;
    size_t serving;
    int rc = 0;
    keys_group_lock(group);
    while (!settled(group, members, &serving) && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&group->wake, &group->lock, &until);
    if (serving < members)
        status = keys_group_first_reason(group, err);
    (void)pthread_mutex_unlock(&group->lock);
    return status;
}

bool keys_group_next_event(struct keys_group *group, struct keys_event *out)
{
    (void)pthread_mutex_lock(&group->lock);
    const bool any = group->event_count != 0;
    if (any) {
        *out = group->events[group->first_event];
        group->first_event = (group->first_event + 1) % KEYS_EVENTS_MAX;
        group->event_count--;
    }
    (void)pthread_mutex_unlock(&group->lock);
    return any;
}
