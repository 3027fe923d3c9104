#include "exchange/ticket_key.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/secret.h"

#define DAYS 3
#define GENERATIONS 2
#define RETRY_SECONDS 5

struct ticket_slot {
    struct ticket_key_id id;
    uint8_t key[TICKET_KEY_LEN];
};

/* In the secure heap. Slots are ordered: newest generation first, yesterday before today. */
struct ticket_table {
    struct ticket_slot slot[GENERATIONS * DAYS];
    size_t count;
};

/* A key of kind ticket that the tokens hold. */
struct ticket_source {
    char name[KEYS_NAME_MAX];
    unsigned generation;
};

struct ticket_keys {
    struct keys_group *group;
    struct ticket_source source[GENERATIONS]; /* guarded by `refreshing`; newest first */
    size_t source_count;
    pthread_rwlock_t lock; /* of *table */
    struct ticket_table *table;
    pthread_mutex_t refreshing;
    _Atomic uint32_t day;        /* today, as of the table; 0: derive again */
    _Atomic int64_t retry_after; /* Unix seconds: no token call before, after a failure */
};

static uint32_t day_of(int64_t now)
{
    return (uint32_t)(now / TICKET_DAY_SECONDS);
}

static bool is_usable(const struct keys_entry *entry)
{
    return entry->kind == KEYS_TICKET && entry->usable;
}

/* The newest key of kind ticket, and the newest before it under the same name. */
static size_t find_sources(const struct keys_inventory *inventory,
                           struct ticket_source source[GENERATIONS])
{
    const struct keys_entry *found[GENERATIONS] = {NULL, NULL};
    const size_t count = keys_inventory_count(inventory);
    for (size_t i = 0; i < count; i++) {
        const struct keys_entry *entry = keys_inventory_at(inventory, i);
        if (!is_usable(entry))
            continue;
        if (found[0] == NULL || entry->generation > found[0]->generation ||
            (entry->generation == found[0]->generation && strcmp(entry->name, found[0]->name) < 0))
            found[0] = entry;
    }
    if (found[0] == NULL)
        return 0;
    for (size_t i = 0; i < count; i++) {
        const struct keys_entry *entry = keys_inventory_at(inventory, i);
        if (is_usable(entry) && strcmp(entry->name, found[0]->name) == 0 &&
            entry->generation < found[0]->generation &&
            (found[1] == NULL || entry->generation > found[1]->generation))
            found[1] = entry;
    }
    const size_t sources = found[1] == NULL ? 1 : 2;
    for (size_t i = 0; i < sources; i++) {
        memcpy(source[i].name, found[i]->name, sizeof source[i].name);
        source[i].generation = found[i]->generation;
    }
    return sources;
}

static enum mikeyd_status derive_table(struct ticket_keys *keys, struct keys_port *port,
                                       uint32_t today, struct ticket_table *table,
                                       struct error *err)
{
    if (keys->source_count == 0) {
        return error_set(err, MIKEYD_TOKEN_DOWN,
                         "no key of kind ticket in the token: make one with `mikeyctl key generate "
                         "--kind ticket --name tickets`");
    }
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t g = 0; g < keys->source_count; g++) {
        const struct ticket_source *source = &keys->source[g];
        for (uint32_t d = 0; d < DAYS && status == MIKEYD_OK; d++) {
            struct ticket_slot *slot = &table->slot[table->count++];
            slot->id = (struct ticket_key_id){source->generation, today + d - 1};
            status = keys_port_ticket_key(port, source->name, source->generation, slot->id.day,
                                          slot->key, err);
        }
    }
    return status;
}

static enum mikeyd_status install_table(struct ticket_keys *keys, struct keys_port *port,
                                        int64_t now, struct error *err)
{
    struct ticket_table *fresh = secret_alloc(sizeof *fresh);
    if (fresh == NULL)
        return error_set(err, MIKEYD_INTERNAL, "secure heap exhausted (ticket keys)");
    uint32_t today = day_of(now);
    enum mikeyd_status status = derive_table(keys, port, today, fresh, err);
    if (status == MIKEYD_OK) {
        pthread_rwlock_wrlock(&keys->lock);
        struct ticket_table *old = keys->table;
        keys->table = fresh;
        fresh = old;
        pthread_rwlock_unlock(&keys->lock);
        atomic_store(&keys->day, today);
    }
    secret_release(fresh, sizeof *fresh);
    return status;
}

enum mikeyd_status ticket_keys_open(struct keys_group *group, struct keys_port *port, int64_t now,
                                    struct ticket_keys **out, struct error *err)
{
    struct ticket_keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    keys->group = group;
    pthread_rwlock_init(&keys->lock, NULL);
    pthread_mutex_init(&keys->refreshing, NULL);
    ticket_keys_select(keys);
    enum mikeyd_status status = install_table(keys, port, now, err);
    if (status != MIKEYD_OK) {
        ticket_keys_close(keys);
        return status;
    }
    *out = keys;
    return MIKEYD_OK;
}

void ticket_keys_close(struct ticket_keys *keys)
{
    if (keys == NULL)
        return;
    secret_release(keys->table, sizeof *keys->table);
    pthread_mutex_destroy(&keys->refreshing);
    pthread_rwlock_destroy(&keys->lock);
    free(keys);
}

void ticket_keys_select(struct ticket_keys *keys)
{
    struct keys_inventory *inventory = keys_group_inventory(keys->group);
    pthread_mutex_lock(&keys->refreshing);
    keys->source_count = inventory == NULL ? 0 : find_sources(inventory, keys->source);
    atomic_store(&keys->retry_after, 0);
    atomic_store(&keys->day, 0);
    pthread_mutex_unlock(&keys->refreshing);
    keys_inventory_unref(inventory);
}

void ticket_keys_refresh(struct ticket_keys *keys, struct keys_port *port, int64_t now)
{
    if (atomic_load_explicit(&keys->day, memory_order_relaxed) == day_of(now) ||
        now < atomic_load_explicit(&keys->retry_after, memory_order_relaxed))
        return;
    if (pthread_mutex_trylock(&keys->refreshing) != 0)
        return;
    if (atomic_load(&keys->day) != day_of(now)) {
        struct error err = {0};
        if (install_table(keys, port, now, &err) != MIKEYD_OK) {
            /* Not again with every request: the table still has today's key. */
            log_warning("ticket keys not derived, next try in %d s: %s", RETRY_SECONDS, err.text);
            atomic_store(&keys->retry_after, now + RETRY_SECONDS);
        }
    }
    pthread_mutex_unlock(&keys->refreshing);
}

/* Slots that are left move up: their order is the order of preference. */
static bool drop_past(struct ticket_table *table, uint32_t today)
{
    size_t kept = 0;
    for (size_t i = 0; i < table->count; i++) {
        if (table->slot[i].id.day + 1 >= today)
            table->slot[kept++] = table->slot[i];
    }
    const size_t dropped = table->count - kept;
    secret_wipe(&table->slot[kept], dropped * sizeof table->slot[0]);
    table->count = kept;
    return dropped != 0;
}

void ticket_keys_expire(struct ticket_keys *keys, int64_t now)
{
    const uint32_t day = atomic_load_explicit(&keys->day, memory_order_relaxed);
    if (day == day_of(now))
        return;
    pthread_rwlock_wrlock(&keys->lock);
    const bool dropped = drop_past(keys->table, day_of(now));
    pthread_rwlock_unlock(&keys->lock);
    /* Should the clock go back, the next request derives them again. */
    if (dropped)
        atomic_store(&keys->day, 0);
}

static bool find_slot(struct ticket_keys *keys, const uint32_t *generation, uint32_t day,
                      struct ticket_key_id *id, uint8_t out[TICKET_KEY_LEN])
{
    bool found = false;
    pthread_rwlock_rdlock(&keys->lock);
    for (size_t i = 0; i < keys->table->count && !found; i++) {
        const struct ticket_slot *slot = &keys->table->slot[i];
        if (slot->id.day == day && (generation == NULL || slot->id.generation == *generation)) {
            *id = slot->id;
            memcpy(out, slot->key, TICKET_KEY_LEN);
            found = true;
        }
    }
    pthread_rwlock_unlock(&keys->lock);
    return found;
}

bool ticket_keys_current(struct ticket_keys *keys, int64_t now, struct ticket_key_id *id,
                         uint8_t out[TICKET_KEY_LEN])
{
    return find_slot(keys, NULL, day_of(now), id, out);
}

bool ticket_keys_find(struct ticket_keys *keys, const struct ticket_key_id *id,
                      uint8_t out[TICKET_KEY_LEN])
{
    struct ticket_key_id ignored;
    return find_slot(keys, &id->generation, id->day, &ignored, out);
}
