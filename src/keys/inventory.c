/* An immutable list of keys with an index: open addressing, at most half full. */
#include "keys/inventory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct keys_inventory {
    atomic_uint references;
    atomic_uint_fast64_t version; /* the one thing that changes: it may become the group's again */
    size_t count, cap;
    struct keys_entry *entries;
    uint32_t *slots; /* 1 + number of an entry; 0: free */
    size_t slot_mask;
};

const char *keys_kind_name(enum keys_kind kind)
{
    static const char *const names[] = {
        [KEYS_PSK] = "psk",   [KEYS_EPSK] = "epsk",     [KEYS_EPSKX] = "epskx",
        [KEYS_PAIR] = "pair", [KEYS_TICKET] = "ticket", [KEYS_AUDIT] = "audit",
    };
    return kind >= KEYS_PSK && kind <= KEYS_AUDIT ? names[kind] : "unknown";
}

struct keys_inventory *keys_inventory_make(size_t total)
{
    struct keys_inventory *inventory = calloc(1, sizeof *inventory);
    if (inventory == NULL)
        return NULL;
    atomic_init(&inventory->references, 1);
    size_t slots = 16;
    while (slots < 2 * total)
        slots *= 2;
    inventory->cap = total;
    inventory->slot_mask = slots - 1;
    inventory->entries = calloc(total == 0 ? 1 : total, sizeof *inventory->entries);
    inventory->slots = calloc(slots, sizeof *inventory->slots);
    if (inventory->entries != NULL && inventory->slots != NULL)
        return inventory;
    keys_inventory_unref(inventory);
    return NULL;
}

struct keys_inventory *keys_inventory_ref(struct keys_inventory *inventory)
{
    if (inventory != NULL)
        (void)atomic_fetch_add(&inventory->references, 1);
    return inventory;
}

void keys_inventory_unref(struct keys_inventory *inventory)
{
    if (inventory == NULL || atomic_fetch_sub(&inventory->references, 1) != 1)
        return;
    free(inventory->entries);
    free(inventory->slots);
    free(inventory);
}

/* FNV-1a: names come from tokens of our own, not from the network. */
static size_t hash(enum keys_kind kind, const char *name, unsigned generation)
{
    uint64_t h = 0xcbf29ce484222325u ^ (uint64_t)kind ^ (uint64_t)generation << 8;
    for (; *name != '\0'; name++)
        h = (h ^ (uint8_t)*name) * 0x100000001b3u;
    return (size_t)(h ^ h >> 32);
}

/* The slot of that key, or the free one where it would be. */
static size_t find_slot(const struct keys_inventory *inventory, enum keys_kind kind,
                        const char *name, unsigned generation)
{
    size_t at = hash(kind, name, generation) & inventory->slot_mask;
    while (inventory->slots[at] != 0) {
        const struct keys_entry *entry = &inventory->entries[inventory->slots[at] - 1];
        if (entry->kind == kind && entry->generation == generation &&
            strcmp(entry->name, name) == 0)
            break;
        at = (at + 1) & inventory->slot_mask;
    }
    return at;
}

bool keys_inventory_add(struct keys_inventory *inventory, const struct keys_entry *entry)
{
    if (inventory->count == inventory->cap)
        return false;
    inventory->entries[inventory->count++] = *entry;
    const size_t at = find_slot(inventory, entry->kind, entry->name, entry->generation);
    /* Of two with one name the first is found; a token marks both as unusable. */
    if (inventory->slots[at] == 0)
        inventory->slots[at] = (uint32_t)inventory->count;
    return true;
}

void keys_inventory_set_version(struct keys_inventory *inventory, uint64_t version)
{
    atomic_store(&inventory->version, version);
}

uint64_t keys_inventory_version(const struct keys_inventory *inventory)
{
    return atomic_load(&inventory->version);
}

size_t keys_inventory_count(const struct keys_inventory *inventory)
{
    return inventory->count;
}

const struct keys_entry *keys_inventory_at(const struct keys_inventory *inventory, size_t index)
{
    return index < inventory->count ? &inventory->entries[index] : NULL;
}

const struct keys_entry *keys_inventory_find(const struct keys_inventory *inventory,
                                             enum keys_kind kind, const char *name,
                                             unsigned generation)
{
    const uint32_t slot = inventory->slots[find_slot(inventory, kind, name, generation)];
    return slot == 0 ? NULL : &inventory->entries[slot - 1];
}

static bool entry_equal(const struct keys_entry *a, const struct keys_entry *b)
{
    return a->bits == b->bits && a->block_count == b->block_count && a->findings == b->findings &&
           a->usable == b->usable && strcmp(a->start_date, b->start_date) == 0 &&
           strcmp(a->end_date, b->end_date) == 0;
}

bool keys_inventory_equal(const struct keys_inventory *a, const struct keys_inventory *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct keys_entry *one = &a->entries[i];
        const struct keys_entry *other =
            keys_inventory_find(b, one->kind, one->name, one->generation);
        if (other == NULL || !entry_equal(one, other))
            return false;
    }
    return true;
}
