/*
 * The thread of each member: has its keyholder join, probes it while the breaker is open, and does
 * what the whole group is asked for. A member that hangs holds up its own thread and no other.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "keys/group_internal.h"
#include "keys/inventory.h"

/* Looking at every object of a token, or 64 keys used on a slow one. */
#define SLOW_REQUEST_MS 30000
#define TICK_MS 1000

/* ---- requests of the thread */

static int timeout_of(const struct keys_member *whom, enum door_op op)
{
    const unsigned call_ms = whom->call_timeout_ms;
    switch (op) {
    case DOOR_RESCAN:
    case DOOR_PROOF_OF:
        return (int)(call_ms > SLOW_REQUEST_MS ? call_ms : SLOW_REQUEST_MS);
    case DOOR_HEALTH:
        return (int)call_ms * 4;
    default:
        return (int)call_ms;
    }
}

static enum mikeyd_status no_answer(struct keys_inquiry *inquiry, struct keys_keyholder *keyholder,
                                    enum keys_outcome outcome, int waited_ms, struct error *err)
{
    if (outcome == KEYS_LATE)
        keys_breaker_overrun(inquiry->whom, keyholder, (unsigned)waited_ms);
    else if (outcome == KEYS_LOST || outcome == KEYS_MALFORMED)
        keys_breaker_lost(inquiry->whom, keyholder, err->text);
    else if (outcome == KEYS_UNSENT)
        (void)error_set(err, MIKEYD_TOKEN_DOWN, "its keyholder has been replaced");
    return MIKEYD_TOKEN_DOWN;
}

enum mikeyd_status keys_inquiry_open(struct keys_inquiry *inquiry, struct keys_member *whom,
                                     struct keys_keyholder *keyholder, struct error *err)
{
    inquiry->whom = whom;
    const enum keys_outcome outcome = keys_connection_open(&inquiry->connection, keyholder, err);
    return outcome == KEYS_ANSWERED ? MIKEYD_OK : no_answer(inquiry, keyholder, outcome, 0, err);
}

enum mikeyd_status keys_inquiry_ask(struct keys_inquiry *inquiry, struct keys_member *self,
                                    struct door_request *request, struct door_answer *answer,
                                    struct error *err)
{
    struct keys_ask ask = {.request = request,
                           .answer = answer,
                           .buffer = self->buffer,
                           .page = self->page,
                           .timeout_ms = timeout_of(inquiry->whom, request->op)};
    struct keys_keyholder *keyholder = inquiry->connection.keyholder;
    if (keyholder == NULL)
        return error_set(err, MIKEYD_TOKEN_DOWN, "the keyholder's connection is closed");
    keys_keyholder_ref(keyholder); /* the connection's own goes when the request fails */
    const enum keys_outcome outcome = keys_connection_ask(&inquiry->connection, &ask, err);
    enum mikeyd_status status = MIKEYD_OK;
    if (outcome != KEYS_ANSWERED)
        status = no_answer(inquiry, keyholder, outcome, ask.timeout_ms, err);
    else if (answer->status == MIKEYD_POLICY && request->op == DOOR_CLAIM)
        status = error_set(err, MIKEYD_POLICY, "%s", answer->text);
    else if (answer->status != MIKEYD_OK)
        status = error_set(err, MIKEYD_TOKEN_DOWN, "%s", answer->text);
    keys_keyholder_unref(keyholder);
    return status;
}

static enum mikeyd_status ask_plain(struct keys_member *self, struct keys_inquiry *own,
                                    enum door_op op, struct error *err)
{
    struct door_request request = {.op = op};
    struct door_answer answer;
    enum mikeyd_status status = keys_inquiry_ask(own, self, &request, &answer, err);
    if (status != MIKEYD_OK || op != DOOR_FACTS)
        return status;
    keys_group_lock(self->group);
    self->facts = answer.facts;
    (void)pthread_mutex_unlock(&self->group->lock);
    return MIKEYD_OK;
}

/* ---- joining, and coming back */

void keys_group_adopt(struct keys_member *member)
{
    struct keys_group *group = member->group;
    if (group->inventory == NULL || !keys_inventory_equal(group->inventory, member->listing)) {
        keys_inventory_set_version(member->listing, ++group->last_version);
        keys_inventory_unref(group->inventory);
        group->inventory = keys_inventory_ref(member->listing);
    }
    member->proven_version = keys_inventory_version(group->inventory);
}

static bool another_serves(const struct keys_member *self, const struct keys_keyholder *keyholder)
{
    for (size_t i = 0; i < self->group->members; i++) {
        const struct keys_member *member = &self->group->member[i];
        if (keys_member_serves(member) && member->keyholder != NULL &&
            member->keyholder != keyholder)
            return true;
    }
    return false;
}

/* Who serves alone is what later ones are held against; group->lock. */
static bool may_serve(struct keys_member *self, const struct keys_keyholder *keyholder)
{
    if (!another_serves(self, keyholder))
        keys_group_adopt(self);
    return self->proven_version == keys_inventory_version(self->group->inventory);
}

/* Two groups with two replay stores and one token would both accept one message. */
static enum mikeyd_status claim(struct keys_member *self, struct keys_inquiry *own,
                                struct error *err)
{
    struct keys_group *group = self->group;
    struct door_request request = {.op = DOOR_CLAIM};
    struct door_answer answer;
    if (group->store[0] == '\0')
        return MIKEYD_OK;
    memcpy(request.claim.store, group->store, sizeof request.claim.store);
    enum mikeyd_status status = keys_inquiry_ask(own, self, &request, &answer, err);
    if (status != MIKEYD_OK || answer.claim.marked)
        return status;
    keys_group_lock(group);
    keys_group_event(group, KEYS_EVENT_UNMARKED, self->index, own->connection.keyholder->number,
                     answer.claim.why);
    keys_group_unlock(group);
    return MIKEYD_OK;
}

/* What the health of its token allows; then what it is, and what it holds. */
static enum mikeyd_status look(struct keys_member *self, struct keys_inquiry *own,
                               struct error *err)
{
    enum mikeyd_status status = ask_plain(self, own, DOOR_HEALTH, err);
    if (status == MIKEYD_OK)
        status = ask_plain(self, own, DOOR_FACTS, err);
    if (status == MIKEYD_OK && self->claimed_keyholder != own->connection.keyholder->number)
        status = claim(self, own, err);
    if (status != MIKEYD_OK)
        return status;
    self->claimed_keyholder = own->connection.keyholder->number;
    const bool known = self->listed_keyholder == own->connection.keyholder->number &&
                       self->listed_inventory == self->facts.inventory;
    return known ? MIKEYD_OK : keys_prove_list(self, own, err);
}

static void serve(struct keys_member *self, struct keys_keyholder *keyholder)
{
    struct keys_keyholder *before = NULL;
    char title[160], text[240];
    if (self->candidate == keyholder) {
        before = keys_member_take_keyholder(self);
        self->keyholder = keyholder; /* with the candidate's reference */
        self->candidate = NULL;
    }
    if (atomic_load(&self->latency_us) == 0)
        atomic_store(&self->latency_us, 4 * self->facts.hmac_us + 1);
    self->closed_at_ms = clock_monotonic_ms();
    self->why[0] = '\0';
    atomic_store(&self->failed_in_a_row, 0);
    atomic_store(&self->suspect, false);
    atomic_store(&self->serving, keyholder->number);
    atomic_store(&self->state, KEYS_MEMBER_CLOSED);
    keys_member_title(self, title, sizeof title);
    (void)snprintf(text, sizeof text, "%s serves with %u keys", title, self->facts.key_count);
    keys_group_event(self->group, KEYS_EVENT_UP, self->index, keyholder->number, text);
    if (before != NULL) {
        keys_keyholder_retire(before);
        keys_keyholder_unref(before);
    }
}

/* It cannot serve now: its predecessor goes on, or it is looked at again later. group->lock */
static void set_aside(struct keys_member *self, struct keys_keyholder *keyholder, bool gone,
                      enum mikeyd_status status, const struct error *err)
{
    struct keys_group *group = self->group;
    const bool is_new = self->candidate == keyholder;
    const bool is_successor = is_new && self->keyholder != NULL && keys_member_serves(self);
    if (is_new) {
        self->candidate = NULL;
        struct keys_keyholder *before = is_successor ? keyholder : self->keyholder;
        if (!is_successor)
            self->keyholder = keyholder;
        if (before != NULL)
            keys_keyholder_cut(before);
        keys_keyholder_unref(before);
    }
    if (status == MIKEYD_POLICY)
        keys_group_event(group, KEYS_EVENT_DIFFERS, self->index, keyholder->number, err->text);
    else if (is_new)
        keys_group_event(group, KEYS_EVENT_DOWN, self->index, keyholder->number, err->text);
    if (is_successor)
        return;
    keys_breaker_open(self, err->text);
    if (status == MIKEYD_POLICY) {
        (void)snprintf(self->why, sizeof self->why, "%s", err->text);
        atomic_store(&self->state, KEYS_MEMBER_DIFFERS);
    } else if (gone) {
        struct keys_keyholder *taken = keys_member_take_keyholder(self);
        keys_keyholder_cut(taken);
        keys_keyholder_unref(taken);
        atomic_store(&self->state, KEYS_MEMBER_ABSENT);
    }
}

/* One attempt to have a keyholder serve: the candidate, or the member's own after a pause. Called
 * and returns with group->lock held. */
static void bring_up(struct keys_member *self, struct keys_keyholder *keyholder)
{
    struct keys_group *group = self->group;
    struct keys_inquiry own = {0};
    struct error err = {0};
    keys_keyholder_ref(keyholder);
    (void)pthread_mutex_unlock(&group->lock);
    enum mikeyd_status status = keys_inquiry_open(&own, self, keyholder, &err);
    if (status == MIKEYD_OK)
        status = look(self, &own, &err);
    keys_group_lock(group);
    while (status == MIKEYD_OK && !group->ending && !may_serve(self, keyholder)) {
        struct keys_inventory *inventory = keys_inventory_ref(group->inventory);
        (void)pthread_mutex_unlock(&group->lock);
        status = keys_prove_against(self, &own, inventory, &err);
        keys_group_lock(group);
        if (status == MIKEYD_OK)
            self->proven_version = keys_inventory_version(inventory);
        keys_inventory_unref(inventory);
    }
    const bool gone = own.connection.keyholder == NULL;
    const bool still_mine = self->candidate == keyholder || self->keyholder == keyholder;
    if (still_mine && !group->ending) {
        if (status == MIKEYD_OK)
            serve(self, keyholder);
        else
            set_aside(self, keyholder, gone, status, &err);
    }
    self->settled = true;
    keys_group_unlock(group);
    keys_connection_close(&own.connection);
    keys_keyholder_unref(keyholder);
    keys_group_lock(group);
}

/* ---- what the whole group is asked for */

static enum mikeyd_status job_list(struct keys_member *self, struct keys_inquiry *own,
                                   struct error *err)
{
    enum mikeyd_status status = ask_plain(self, own, DOOR_RESCAN, err);
    if (status == MIKEYD_OK)
        status = ask_plain(self, own, DOOR_FACTS, err);
    if (status == MIKEYD_OK)
        status = keys_prove_list(self, own, err);
    return status;
}

static enum mikeyd_status job_verify(struct keys_member *self, struct keys_inquiry *own,
                                     struct error *err)
{
    struct keys_group *group = self->group;
    keys_group_lock(group);
    struct keys_inventory *inventory = keys_inventory_ref(group->inventory);
    (void)pthread_mutex_unlock(&group->lock);
    enum mikeyd_status status = keys_prove_against(self, own, inventory, err);
    if (status == MIKEYD_OK)
        self->proven_version = keys_inventory_version(inventory);
    keys_inventory_unref(inventory);
    return status;
}

static enum mikeyd_status job_health(struct keys_member *self, struct keys_inquiry *own,
                                     struct error *err)
{
    enum mikeyd_status status = ask_plain(self, own, DOOR_HEALTH, err);
    return status == MIKEYD_OK ? ask_plain(self, own, DOOR_FACTS, err) : status;
}

static enum mikeyd_status job_facts(struct keys_member *self, struct keys_inquiry *own,
                                    struct error *err)
{
    return ask_plain(self, own, DOOR_FACTS, err);
}

static enum mikeyd_status (*const jobs[KEYS_JOBS])(struct keys_member *, struct keys_inquiry *,
                                                   struct error *) = {
    [KEYS_JOB_LIST] = job_list,
    [KEYS_JOB_VERIFY] = job_verify,
    [KEYS_JOB_HEALTH] = job_health,
    [KEYS_JOB_FACTS] = job_facts,
};

/* What the outcome means for a member that serves, or that differed. group->lock */
static void conclude(struct keys_member *self, struct keys_keyholder *keyholder, enum keys_job job,
                     const struct error *err)
{
    const enum keys_member_state state = (enum keys_member_state)atomic_load(&self->state);
    if (self->keyholder != keyholder ||
        (state != KEYS_MEMBER_CLOSED && state != KEYS_MEMBER_DIFFERS))
        return;
    if (err->status == MIKEYD_OK) {
        if (job == KEYS_JOB_VERIFY && state == KEYS_MEMBER_DIFFERS)
            serve(self, keyholder);
    } else if (err->status == MIKEYD_POLICY) {
        if (state == KEYS_MEMBER_CLOSED)
            set_aside(self, keyholder, false, MIKEYD_POLICY, err);
        (void)snprintf(self->why, sizeof self->why, "%s", err->text);
    } else if (state == KEYS_MEMBER_CLOSED) {
        keys_breaker_open(self, err->text);
        keys_group_event(self->group, KEYS_EVENT_DOWN, self->index, keyholder->number, self->why);
    }
}

/* Called and returns with group->lock held. */
static void run_job(struct keys_member *self, enum keys_job job)
{
    struct keys_group *group = self->group;
    struct keys_keyholder *keyholder = self->keyholder;
    struct keys_inquiry own = {0};
    struct error err = {0};
    if (keyholder == NULL) {
        (void)error_set(&err, MIKEYD_TOKEN_DOWN, "%s", self->why);
    } else {
        keys_keyholder_ref(keyholder);
        (void)pthread_mutex_unlock(&group->lock);
        enum mikeyd_status status = keys_inquiry_open(&own, self, keyholder, &err);
        if (status == MIKEYD_OK)
            status = jobs[job](self, &own, &err);
        err.status = status;
        keys_connection_close(&own.connection);
        keys_group_lock(group);
        conclude(self, keyholder, job, &err);
        keys_keyholder_unref(keyholder);
    }
    self->job_error[job] = err;
    self->wanted &= ~(1u << job);
    keys_group_unlock(group);
    keys_group_lock(group);
}

/* ---- the thread */

/* A member that nobody chooses is tried again within seconds: its latency may be of a moment in which
 * the machine stood still. */
static void forget_latency(struct keys_member *self)
{
    const uint64_t requests = atomic_load(&self->requests);
    const unsigned latency = atomic_load(&self->latency_us);
    if (requests == self->requests_seen && atomic_load(&self->in_flight) == 0)
        atomic_store(&self->latency_us, latency - latency / 2);
    self->requests_seen = requests;
}

static bool probe_is_due(const struct keys_member *self)
{
    return atomic_load(&self->state) == KEYS_MEMBER_OPEN && self->keyholder != NULL &&
           clock_monotonic_ms() >= self->probe_at_ms;
}

/* False: there is nothing to do. group->lock */
static bool step(struct keys_member *self)
{
    if (self->candidate != NULL) {
        bring_up(self, self->candidate);
        return true;
    }
    for (int job = 0; job < KEYS_JOBS; job++) {
        if ((self->wanted & 1u << job) != 0) {
            run_job(self, (enum keys_job)job);
            return true;
        }
    }
    if (probe_is_due(self)) {
        atomic_store(&self->state, KEYS_MEMBER_HALF_OPEN);
        bring_up(self, self->keyholder);
        return true;
    }
    if (atomic_exchange(&self->suspect, false) && keys_member_serves(self)) {
        run_job(self, KEYS_JOB_HEALTH);
        return true;
    }
    return false;
}

/* Until something changes, a probe is due, or a second has passed. */
static void wait_for_work(struct keys_member *self)
{
    const int64_t now = clock_monotonic_ms();
    int64_t until = now + TICK_MS;
    if (atomic_load(&self->state) == KEYS_MEMBER_OPEN && self->keyholder != NULL &&
        self->probe_at_ms < until)
        until = self->probe_at_ms;
    const struct timespec at = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
    if (pthread_cond_timedwait(&self->group->wake, &self->group->lock, &at) != ETIMEDOUT)
        return;
    forget_latency(self);
    if (keys_member_serves(self))
        self->wanted |= 1u << KEYS_JOB_FACTS;
}

void *keys_maintain(void *member)
{
    struct keys_member *self = member;
    keys_group_lock(self->group);
    while (!self->group->ending) {
        if (!step(self))
            wait_for_work(self);
    }
    (void)pthread_mutex_unlock(&self->group->lock);
    return NULL;
}
