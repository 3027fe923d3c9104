#include "keyholder/inventory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    struct keys_entry entry;
    const struct token_key *key;
    atomic_bool used;
};

/* Immutable but for `used`. */
struct list {
    struct slot *slot;
    size_t count;
    uint32_t *table; /* open addressing: index + 1 of slot, 0: free */
    size_t mask;
    uint64_t generation; /* of the token when it was looked at */
};

struct inventory {
    struct token *token;
    pthread_rwlock_t lock; /* of the rest */
    struct list *list;
    uint64_t number;
};

/* ---- kinds */

static const enum keys_kind kinds[TOKEN_KIND_COUNT + 1] = {
    [TOKEN_PSK] = KEYS_PSK,         [TOKEN_EPSK] = KEYS_EPSK,     [TOKEN_EPSKX] = KEYS_EPSKX,
    [TOKEN_PAIR] = KEYS_PAIR,       [TOKEN_TICKET] = KEYS_TICKET, [TOKEN_AUDIT] = KEYS_AUDIT,
    [TOKEN_KIND_COUNT] = KEYS_OTHER};

bool inventory_keys_kind(enum token_kind kind, enum keys_kind *out)
{
    if ((unsigned)kind > TOKEN_KIND_COUNT)
        return false;
    *out = kinds[kind];
    return true;
}

bool inventory_token_kind(enum keys_kind kind, enum token_kind *out)
{
    for (unsigned i = 0; i < TOKEN_KIND_COUNT; i++) {
        if (kinds[i] == kind) {
            *out = (enum token_kind)i;
            return true;
        }
    }
    return false;
}

/* ---- a list */

static void list_free(struct list *list)
{
    if (list == NULL)
        return;
    free(list->slot);
    free(list->table);
    free(list);
}

static size_t hash_of(enum keys_kind kind, const char *name, unsigned generation)
{
    /* FNV-1a: names of pair keys end in a hash already. */
    uint64_t h = 0xcbf29ce484222325ULL ^ ((uint64_t)kind << 32 | generation);
    for (; *name != '\0'; name++)
        h = (h ^ (uint8_t)*name) * 0x100000001b3ULL;
    return (size_t)(h ^ (h >> 32));
}

static struct slot *list_find(const struct list *list, enum keys_kind kind, const char *name,
                              unsigned generation)
{
    size_t at = hash_of(kind, name, generation) & list->mask;
    for (; list->table[at] != 0; at = (at + 1) & list->mask) {
        struct slot *slot = &list->slot[list->table[at] - 1];
        if (slot->entry.kind == kind && slot->entry.generation == generation &&
            strcmp(slot->entry.name, name) == 0)
            return slot;
    }
    return NULL;
}

/* Two of one name are both told; either is found, and both carry the finding that forbids it. */
static void list_add(struct list *list, const struct token_key *seen, enum keys_kind kind,
                     const struct token_key *place)
{
    struct slot *slot = &list->slot[list->count++];
    struct keys_entry *entry = &slot->entry;
    entry->kind = kind;
    _Static_assert(sizeof entry->name == sizeof seen->name, "names of the door are the token's");
    memcpy(entry->name, seen->name, sizeof entry->name);
    entry->generation = seen->generation == 0 ? 1 : seen->generation; /* of KEYS_OTHER: any */
    entry->bits = seen->bits;
    entry->block_count = (unsigned)seen->block_count;
    entry->findings = seen->findings;
    entry->usable = kind != KEYS_OTHER && (seen->findings & KEY_FINDING_FATAL) == 0;
    memcpy(entry->start_date, seen->start_date, sizeof entry->start_date);
    memcpy(entry->end_date, seen->end_date, sizeof entry->end_date);
    slot->key = place;
    atomic_init(&slot->used, false);
    size_t at = hash_of(kind, entry->name, entry->generation) & list->mask;
    while (list->table[at] != 0)
        at = (at + 1) & list->mask;
    list->table[at] = (uint32_t)list->count;
}

static struct list *list_make(const struct token *token)
{
    struct list *list = calloc(1, sizeof *list);
    if (list == NULL)
        return NULL;
    list->generation = token_generation(token);
    const size_t total = token_key_count(token);
    size_t size = 16;
    while (size < 2 * total)
        size *= 2;
    list->slot = calloc(total + 1, sizeof *list->slot);
    list->table = calloc(size, sizeof *list->table);
    list->mask = size - 1;
    if (list->slot == NULL || list->table == NULL) {
        list_free(list);
        return NULL;
    }
    for (size_t i = 0; i < total; i++) {
        struct token_key seen;
        enum keys_kind kind;
        if (token_key_snapshot(token, i, &seen) && seen.present &&
            inventory_keys_kind(seen.kind, &kind))
            list_add(list, &seen, kind, token_key_at(token, i));
    }
    return list;
}

static bool same_slot(const struct slot *a, const struct slot *b)
{
    return a->key == b->key && a->entry.bits == b->entry.bits &&
           a->entry.block_count == b->entry.block_count && a->entry.findings == b->entry.findings &&
           strcmp(a->entry.start_date, b->entry.start_date) == 0 &&
           strcmp(a->entry.end_date, b->entry.end_date) == 0;
}

/* A place in the token's list keeps kind, name and generation for ever. */
static bool same_list(const struct list *a, const struct list *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = same_slot(&a->slot[i], &b->slot[i]);
    return same;
}

/* ---- the inventory */

enum mikeyd_status inventory_make(struct token *token, struct inventory **out, struct error *err)
{
    struct inventory *inventory = calloc(1, sizeof *inventory);
    struct list *list = list_make(token);
    if (inventory == NULL || list == NULL) {
        free(inventory);
        list_free(list);
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    }
    inventory->token = token;
    inventory->list = list;
    inventory->number = 1;
    (void)pthread_rwlock_init(&inventory->lock, NULL);
    *out = inventory;
    return MIKEYD_OK;
}

void inventory_free(struct inventory *inventory)
{
    if (inventory == NULL)
        return;
    list_free(inventory->list);
    (void)pthread_rwlock_destroy(&inventory->lock);
    free(inventory);
}

/* The lists change places when they differ; returns the one that is not wanted. */
static struct list *take_list(struct inventory *inventory, struct list *fresh, bool *changed)
{
    *changed = !same_list(inventory->list, fresh);
    (void)pthread_rwlock_wrlock(&inventory->lock);
    inventory->list->generation = fresh->generation;
    if (*changed) {
        struct list *old = inventory->list;
        inventory->list = fresh;
        inventory->number++;
        fresh = old;
    }
    (void)pthread_rwlock_unlock(&inventory->lock);
    return fresh;
}

enum mikeyd_status inventory_refresh(struct inventory *inventory, bool *changed, struct error *err)
{
    *changed = false;
    struct list *fresh = list_make(inventory->token);
    const bool made = fresh != NULL;
    if (made)
        fresh = take_list(inventory, fresh, changed);
    list_free(fresh);
    return made ? MIKEYD_OK : error_set(err, MIKEYD_INTERNAL, "out of memory");
}

bool inventory_is_old(struct inventory *inventory)
{
    (void)pthread_rwlock_rdlock(&inventory->lock);
    const uint64_t generation = inventory->list->generation;
    (void)pthread_rwlock_unlock(&inventory->lock);
    return generation != token_generation(inventory->token);
}

/* What the list does not know, or knows to be refused, the token itself is asked for: it may have
 * come back since, and its error says what is wrong. */
static enum mikeyd_status find_in_token(const struct inventory *inventory, enum token_kind kind,
                                        const char *name, unsigned generation,
                                        struct inventory_key *out, struct error *err)
{
    enum mikeyd_status status =
        token_key_find(inventory->token, kind, name, generation, &out->key, err);
    if (status == MIKEYD_OK)
        out->block_count = out->key->block_count;
    return status;
}

enum mikeyd_status inventory_find(struct inventory *inventory, enum token_kind kind,
                                  const char *name, unsigned generation, struct inventory_key *out,
                                  struct error *err)
{
    enum keys_kind wanted;
    *out = (struct inventory_key){0};
    if (!inventory_keys_kind(kind, &wanted))
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "no such kind of key");
    (void)pthread_rwlock_rdlock(&inventory->lock);
    struct slot *slot = list_find(inventory->list, wanted, name, generation);
    const bool usable = slot != NULL && slot->entry.usable;
    if (usable) {
        out->key = slot->key;
        out->block_count = slot->entry.block_count;
        out->first_use = !atomic_load_explicit(&slot->used, memory_order_relaxed) &&
                         !atomic_exchange(&slot->used, true);
    }
    (void)pthread_rwlock_unlock(&inventory->lock);
    return usable ? MIKEYD_OK : find_in_token(inventory, kind, name, generation, out, err);
}

static struct inventory_facts facts_of(const struct inventory *inventory)
{
    return (struct inventory_facts){inventory->number, inventory->list->count};
}

void inventory_get_facts(struct inventory *inventory, struct inventory_facts *out)
{
    (void)pthread_rwlock_rdlock(&inventory->lock);
    *out = facts_of(inventory);
    (void)pthread_rwlock_unlock(&inventory->lock);
}

size_t inventory_page(struct inventory *inventory, size_t first, struct keys_entry *entries,
                      size_t cap, struct inventory_facts *of)
{
    size_t count = 0;
    (void)pthread_rwlock_rdlock(&inventory->lock);
    *of = facts_of(inventory);
    while (count < cap && first < of->count)
        entries[count++] = inventory->list->slot[first++].entry;
    (void)pthread_rwlock_unlock(&inventory->lock);
    return count;
}
