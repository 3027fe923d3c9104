#include "mikeyd/fair_queue.h"

#include <stdlib.h>

/* Turns that a forgery costs, and how many may be owed: soon paid when the flood is over. */
#define FORGERY_TURNS 4
#define TURNS_OWED_MAX 32
/* Clients that owe at a time; of more the one that owes least is let off. */
#define DEBTORS 16

/* Who takes turns: a place in a ring. */
struct turn {
    struct turn *next, *previous;
};

/* A user; or, of the gate's user, one of its clients. */
struct who {
    uid_t uid;
    uint64_t client;
};

/* One connection's requests. */
struct flow {
    struct turn turn; /* first: among the flows of its client */
    uint64_t id;
    struct job_list jobs; /* empty only while a job is being put */
};

struct client {
    struct turn turn; /* first: among the clients */
    struct who who;
    size_t count;       /* jobs of all its flows */
    struct turn *flows; /* whose turn it is */
};

/* Outlives the client's requests. */
struct debt {
    struct who who;
    unsigned turns; /* 0: nobody's */
};

struct fair_queue {
    size_t capacity, count;
    struct debt debts[DEBTORS];
    struct turn *clients; /* whose turn it is; NULL: nothing waits */
};

/* ---- rings ---- */

/* Behind all others: just before the one whose turn it is. */
static void ring_add(struct turn **ring, struct turn *turn)
{
    if (*ring == NULL) {
        turn->next = turn->previous = turn;
        *ring = turn;
        return;
    }
    turn->next = *ring;
    turn->previous = (*ring)->previous;
    turn->previous->next = turn;
    turn->next->previous = turn;
}

static void ring_remove(struct turn **ring, struct turn *turn)
{
    if (turn->next == turn) {
        *ring = NULL;
        return;
    }
    if (*ring == turn)
        *ring = turn->next;
    turn->next->previous = turn->previous;
    turn->previous->next = turn->next;
}

static struct turn *ring_after(struct turn *ring, struct turn *turn)
{
    return turn->next == ring ? NULL : turn->next;
}

/* ---- clients and flows ---- */

static struct who who_of(const struct job *job)
{
    return (struct who){job->uid, job->client};
}

static bool is_same(struct who a, struct who b)
{
    return a.uid == b.uid && a.client == b.client;
}

static struct client *find_client(const struct fair_queue *queue, struct who who)
{
    for (struct turn *at = queue->clients; at != NULL; at = ring_after(queue->clients, at)) {
        struct client *client = (struct client *)at;
        if (is_same(client->who, who))
            return client;
    }
    return NULL;
}

static struct flow *find_flow(const struct client *client, uint64_t id)
{
    if (client == NULL)
        return NULL;
    for (struct turn *at = client->flows; at != NULL; at = ring_after(client->flows, at)) {
        struct flow *flow = (struct flow *)at;
        if (flow->id == id)
            return flow;
    }
    return NULL;
}

static struct client *longest_client(const struct fair_queue *queue)
{
    struct client *longest = NULL;
    for (struct turn *at = queue->clients; at != NULL; at = ring_after(queue->clients, at)) {
        struct client *client = (struct client *)at;
        if (longest == NULL || client->count > longest->count)
            longest = client;
    }
    return longest;
}

static struct flow *longest_flow(const struct client *client)
{
    struct flow *longest = NULL;
    for (struct turn *at = client->flows; at != NULL; at = ring_after(client->flows, at)) {
        struct flow *flow = (struct flow *)at;
        if (longest == NULL || flow->jobs.count > longest->jobs.count)
            longest = flow;
    }
    return longest;
}

static void drop_if_empty(struct fair_queue *queue, struct client *client, struct flow *flow)
{
    if (flow != NULL && flow->jobs.head == NULL) {
        ring_remove(&client->flows, &flow->turn);
        free(flow);
    }
    if (client->flows == NULL) {
        ring_remove(&queue->clients, &client->turn);
        free(client);
    }
}

/* ---- in ---- */

/* The client's, made when it has none; NULL without memory. */
static struct client *client_of(struct fair_queue *queue, struct who who)
{
    struct client *client = find_client(queue, who);
    if (client == NULL && (client = calloc(1, sizeof *client)) != NULL) {
        client->who = who;
        ring_add(&queue->clients, &client->turn);
    }
    return client;
}

static struct flow *flow_of(struct client *client, uint64_t id)
{
    struct flow *flow = find_flow(client, id);
    if (flow == NULL && (flow = calloc(1, sizeof *flow)) != NULL) {
        flow->id = id;
        ring_add(&client->flows, &flow->turn);
    }
    return flow;
}

/* What gives way to one more job of this flow: the newest job of whoever has more waiting, among
 * the clients, or else among the flows of this one. NULL: nobody has. */
static struct job *give_way(struct fair_queue *queue, struct client *own, const struct flow *flow)
{
    struct client *client = longest_client(queue);
    if (client->count <= own->count + 1)
        client = own;
    struct flow *from = longest_flow(client);
    if (client == own && from->jobs.count <= flow->jobs.count + 1)
        return NULL;
    struct job *job = job_list_take_last(&from->jobs);
    client->count--;
    queue->count--;
    drop_if_empty(queue, client, from);
    return job;
}

struct job *fair_queue_put(struct fair_queue *queue, struct job *job)
{
    struct job *displaced = NULL;
    struct client *client = client_of(queue, who_of(job));
    if (client == NULL)
        return job;
    struct flow *flow = flow_of(client, job->flow);
    if (flow != NULL && queue->count >= queue->capacity)
        displaced = give_way(queue, client, flow);
    if (flow == NULL || queue->count >= queue->capacity) {
        drop_if_empty(queue, client, flow);
        return job;
    }
    job_list_append(&flow->jobs, job);
    client->count++;
    queue->count++;
    return displaced;
}

/* ---- out ---- */

/* ---- debts ---- */

static struct debt *find_debt(struct fair_queue *queue, struct who who)
{
    for (size_t i = 0; i < DEBTORS; i++) {
        if (queue->debts[i].turns != 0 && is_same(queue->debts[i].who, who))
            return &queue->debts[i];
    }
    return NULL;
}

void fair_queue_charge_forgery(struct fair_queue *queue, const struct job *job)
{
    const struct who who = who_of(job);
    struct debt *debt = find_debt(queue, who);
    if (debt == NULL) {
        debt = &queue->debts[0];
        for (size_t i = 1; i < DEBTORS; i++) {
            if (queue->debts[i].turns < debt->turns)
                debt = &queue->debts[i];
        }
        *debt = (struct debt){.who = who};
    }
    debt->turns += FORGERY_TURNS;
    if (debt->turns > TURNS_OWED_MAX)
        debt->turns = TURNS_OWED_MAX;
}

/* Once around, each client in debt gives up a turn; when all do, it is the first one's after all. */
static struct client *client_in_turn(struct fair_queue *queue)
{
    struct turn *const first = queue->clients;
    struct turn *at = first;
    if (first == NULL || first->next == first)
        return (struct client *)first;
    do {
        struct debt *debt = find_debt(queue, ((struct client *)at)->who);
        if (debt == NULL)
            return (struct client *)at;
        debt->turns--;
        at = at->next;
    } while (at != first);
    return (struct client *)first;
}

struct job *fair_queue_take(struct fair_queue *queue)
{
    struct client *client = client_in_turn(queue);
    if (client == NULL)
        return NULL;
    struct flow *flow = (struct flow *)client->flows;
    struct job *job = job_list_take(&flow->jobs);
    client->count--;
    queue->count--;
    /* The next one's turn, in both rings. */
    client->flows = flow->turn.next;
    queue->clients = client->turn.next;
    drop_if_empty(queue, client, flow);
    return job;
}

/* A flow that becomes empty is freed by the caller, who walks the ring. */
static void take_late(struct fair_queue *queue, struct client *client, struct flow *flow,
                      int64_t deadline_ms, struct job_list *late)
{
    while (flow->jobs.head != NULL && flow->jobs.head->queued_ms < deadline_ms) {
        job_list_append(late, job_list_take(&flow->jobs));
        client->count--;
        queue->count--;
    }
}

static void take_late_of(struct fair_queue *queue, struct client *client, int64_t deadline_ms,
                         struct job_list *late)
{
    size_t flows = 0;
    for (struct turn *at = client->flows; at != NULL; at = ring_after(client->flows, at))
        flows++;
    struct turn *at = client->flows, *next;
    for (; flows > 0; flows--, at = next) {
        /* Read before the flow, and with the last one its client, may be freed. */
        next = at->next;
        take_late(queue, client, (struct flow *)at, deadline_ms, late);
        drop_if_empty(queue, client, (struct flow *)at);
    }
}

void fair_queue_take_late(struct fair_queue *queue, int64_t deadline_ms, struct job_list *late)
{
    size_t clients = 0;
    for (struct turn *at = queue->clients; at != NULL; at = ring_after(queue->clients, at))
        clients++;
    struct turn *at = queue->clients, *next;
    for (; clients > 0; clients--, at = next) {
        next = at->next;
        take_late_of(queue, (struct client *)at, deadline_ms, late);
    }
}

size_t fair_queue_count(const struct fair_queue *queue)
{
    return queue->count;
}

/* ---- life ---- */

struct fair_queue *fair_queue_make(size_t capacity)
{
    struct fair_queue *queue = calloc(1, sizeof *queue);
    if (queue != NULL)
        queue->capacity = capacity;
    return queue;
}

void fair_queue_free(struct fair_queue *queue)
{
    struct job_list rest = {0};
    if (queue == NULL)
        return;
    fair_queue_take_late(queue, INT64_MAX, &rest);
    job_list_free(&rest);
    free(queue);
}
