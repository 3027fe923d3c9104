/*
 * Counters that outlive a policy: requests a second of each client (token bucket); and the names
 * under which exchanges are counted, in the replay store. Both are made of what the policy file
 * names (client, identities, key, generation), never of positions in it, so that a reload neither
 * resets nor mixes them up. Memory is taken once for each client with a rate.
 */
#include "policy/internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define TABLE_FIRST_SIZE 64

struct counter {
    uint64_t hash;
    uint64_t credit; /* thousandths of a request */
    int64_t last_ms; /* of the credit */
    size_t name_len;
    uint8_t name[];
};

/* Open addressing, doubled when half full; entries never leave. */
struct table {
    pthread_mutex_t lock;
    struct counter **slots;
    size_t size;
    size_t used;
};

struct policy_budget {
    struct table clients;
};

/* ---- the table (callers hold its lock) */

static size_t table_slot(const struct table *table, uint64_t hash, const uint8_t *name, size_t len)
{
    size_t slot = (size_t)hash & (table->size - 1);
    for (; table->slots[slot] != NULL; slot = (slot + 1) & (table->size - 1)) {
        const struct counter *counter = table->slots[slot];
        if (counter->hash == hash && counter->name_len == len &&
            memcmp(counter->name, name, len) == 0) /* public */
            break;
    }
    return slot;
}

static bool table_grow(struct table *table)
{
    struct table bigger = {.size = table->size == 0 ? TABLE_FIRST_SIZE : table->size * 2};
    bigger.slots = calloc(bigger.size, sizeof(struct counter *));
    if (bigger.slots == NULL)
        return false;
    for (size_t i = 0; i < table->size; i++) {
        struct counter *counter = table->slots[i];
        if (counter != NULL)
            bigger.slots[table_slot(&bigger, counter->hash, counter->name, counter->name_len)] =
                counter;
    }
    free(table->slots);
    table->slots = bigger.slots;
    table->size = bigger.size;
    return true;
}

/* The counter of that name, made with credit `first` when new; NULL when memory runs out. */
static struct counter *table_counter(struct table *table, const uint8_t *name, size_t len,
                                     uint64_t first, int64_t now_ms)
{
    uint64_t hash = policy_hash_bytes(name, len);
    if (table->size != 0) {
        struct counter *counter = table->slots[table_slot(table, hash, name, len)];
        if (counter != NULL)
            return counter;
    }
    if (table->used * 2 >= table->size && !table_grow(table))
        return NULL;
    struct counter *counter = malloc(sizeof *counter + len);
    if (counter == NULL)
        return NULL;
    counter->hash = hash;
    counter->credit = first;
    counter->last_ms = now_ms;
    counter->name_len = len;
    memcpy(counter->name, name, len);
    table->slots[table_slot(table, hash, name, len)] = counter;
    table->used++;
    return counter;
}

static void table_free(struct table *table)
{
    for (size_t i = 0; i < table->size; i++)
        free(table->slots[i]);
    free(table->slots);
    (void)pthread_mutex_destroy(&table->lock);
}

struct policy_budget *policy_budget_make(void)
{
    struct policy_budget *budget = calloc(1, sizeof *budget);
    if (budget == NULL)
        return NULL;
    if (pthread_mutex_init(&budget->clients.lock, NULL) != 0) {
        free(budget);
        return NULL;
    }
    return budget;
}

void policy_budget_free(struct policy_budget *budget)
{
    if (budget == NULL)
        return;
    table_free(&budget->clients);
    free(budget);
}

/* ---- requests per second */

/* Credit grows by `rate` thousandths a millisecond up to one second's worth; a request costs 1000.
 */
static bool take_credit(struct counter *counter, unsigned rate, int64_t now_ms)
{
    uint64_t full = (uint64_t)rate * 1000;
    int64_t passed = now_ms > counter->last_ms ? now_ms - counter->last_ms : 0;
    counter->last_ms += passed;
    counter->credit += passed >= 1000 ? full : (uint64_t)passed * rate;
    if (counter->credit > full)
        counter->credit = full;
    if (counter->credit < 1000)
        return false;
    counter->credit -= 1000;
    return true;
}

enum mikeyd_status policy_budget_request(struct policy_budget *budget,
                                         const struct policy_client *client, int64_t monotonic_ms,
                                         struct error *err)
{
    if (client->rate == 0)
        return MIKEYD_OK;
    (void)pthread_mutex_lock(&budget->clients.lock);
    struct counter *counter =
        table_counter(&budget->clients, (const uint8_t *)client->name, strlen(client->name),
                      (uint64_t)client->rate * 1000, monotonic_ms);
    bool allowed = counter != NULL && take_credit(counter, client->rate, monotonic_ms);
    (void)pthread_mutex_unlock(&budget->clients.lock);
    if (counter == NULL)
        return policy_out_of_memory(err);
    if (!allowed)
        return error_set(err, MIKEYD_OVERLOADED, "client %.64s is over its %u requests a second",
                         client->name, client->rate);
    return MIKEYD_OK;
}

/* ---- exchanges per key */

static void put_identity(struct byte_writer *w, const struct identity *identity)
{
    writer_u8(w, identity->type);
    writer_u16(w, (uint16_t)identity->len);
    writer_bytes(w, identity->data, identity->len);
}

/*
 * The key that an exchange uses: a psk itself, in both directions of its pair; an epsk never, but
 * the key imported for one direction. Fits always: both identities are nodes of a policy, and the
 * loader bounds names of keys.
 */
size_t policy_use_name(const struct policy_decision *decision, unsigned generation,
                       uint8_t name[POLICY_USE_NAME_MAX])
{
    struct byte_writer w = writer_of(name, POLICY_USE_NAME_MAX);
    if (decision->key->kind == POLICY_KEY_EPSK) {
        put_identity(&w, &decision->initiator->identity);
        put_identity(&w, &decision->responder->identity);
    }
    writer_u32(&w, generation);
    writer_bytes(&w, decision->key->name, strlen(decision->key->name));
    return w.failed ? 0 : w.len;
}
