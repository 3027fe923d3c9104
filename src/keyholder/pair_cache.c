#include "keyholder/pair_cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

/* Of each call of pair_cache_sweep(): slots looked at, and objects destroyed, each a token call. */
#define SWEEP_SLOTS 256
#define SWEEP_OBJECTS 8

struct pair_cache {
    struct token *token;
    pthread_mutex_t lock;
    struct pair_entry *entries;
    size_t size; /* of entries: capacity and the workers' share */
    size_t capacity;
    size_t live;   /* entries that can be found */
    uint32_t free; /* chain of unused entries over next, index + 1 */
    uint32_t newest, oldest;
    uint32_t *buckets; /* heads of hash chains, index + 1 */
    size_t bucket_mask;
    uint64_t retired; /* eras before this one: their entries go when nobody uses them */
    size_t swept;     /* slots before this one hold none of those */
    atomic_bool sweeping;
    struct pair_cache_stats stats;
};

enum mikeyd_status pair_cache_make(struct token *token, size_t capacity, size_t workers,
                                   struct pair_cache **out, struct error *err)
{
    struct pair_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    size_t buckets = 16;
    while (buckets < 2 * capacity)
        buckets *= 2;
    cache->token = token;
    cache->capacity = capacity;
    cache->size = capacity + workers;
    cache->bucket_mask = buckets - 1;
    cache->entries = calloc(cache->size, sizeof *cache->entries);
    cache->buckets = calloc(buckets, sizeof *cache->buckets);
    if (cache->entries == NULL || cache->buckets == NULL) {
        free(cache->entries);
        free(cache->buckets);
        free(cache);
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    }
    for (size_t i = 0; i < cache->size; i++)
        cache->entries[i].next = i + 1 < cache->size ? (uint32_t)(i + 2) : 0;
    cache->free = 1;
    pthread_mutex_init(&cache->lock, NULL);
    *out = cache;
    return MIKEYD_OK;
}

static struct pair_entry *entry_at(struct pair_cache *cache, uint32_t index)
{
    return index == 0 ? NULL : &cache->entries[index - 1];
}

static uint32_t index_of(const struct pair_cache *cache, const struct pair_entry *entry)
{
    return (uint32_t)(entry - cache->entries) + 1;
}

/* ---- names */

#define ID_MAX (8 + 4 + 1 + 2 + TOKEN_NAME_MAX + 2 * (1 + 2 + IDENTITY_MAX))

/* A name ready to be looked for: its fields as bytes, each variable one behind its length. */
struct pair_id {
    uint64_t hash;
    uint8_t bytes[ID_MAX];
    size_t len; /* 0: no name that a pair key can have */
};

static void write_sized(struct byte_writer *w, const void *data, size_t len)
{
    writer_u16(w, (uint16_t)len);
    writer_bytes(w, data, len);
}

static struct pair_id id_of(const struct pair_name *name)
{
    struct pair_id id = {0};
    struct byte_writer w = writer_of(id.bytes, sizeof id.bytes);
    writer_u64(&w, name->era);
    writer_u32(&w, name->generation);
    writer_u8(&w, (uint8_t)name->algorithms);
    write_sized(&w, name->key, strlen(name->key));
    writer_u8(&w, name->initiator.type);
    write_sized(&w, name->initiator.data, name->initiator.len);
    writer_u8(&w, name->responder.type);
    write_sized(&w, name->responder.data, name->responder.len);
    id.len = w.failed ? 0 : w.len;
    /* FNV-1a, and the finaliser of SplitMix64: names differ in few bytes. */
    uint64_t h = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < id.len; i++)
        h = (h ^ id.bytes[i]) * 0x100000001b3ULL;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebULL;
    id.hash = h ^ (h >> 31);
    return id;
}

static bool is_named(const struct pair_entry *entry, const struct pair_id *id)
{
    return entry->hash == id->hash && entry->id_len == id->len &&
           memcmp(entry->id, id->bytes, id->len) == 0; /* public */
}

static uint32_t *bucket_of(struct pair_cache *cache, uint64_t hash)
{
    return &cache->buckets[hash & cache->bucket_mask];
}

/* ---- lists; all with the lock held */

static void unlink_use(struct pair_cache *cache, struct pair_entry *entry)
{
    struct pair_entry *older = entry_at(cache, entry->older);
    struct pair_entry *newer = entry_at(cache, entry->newer);
    if (older != NULL)
        older->newer = entry->newer;
    else
        cache->oldest = entry->newer;
    if (newer != NULL)
        newer->older = entry->older;
    else
        cache->newest = entry->older;
    entry->older = entry->newer = 0;
}

static void link_newest(struct pair_cache *cache, struct pair_entry *entry)
{
    uint32_t index = index_of(cache, entry);
    struct pair_entry *newest = entry_at(cache, cache->newest);
    entry->older = cache->newest;
    entry->newer = 0;
    if (newest != NULL)
        newest->newer = index;
    else
        cache->oldest = index;
    cache->newest = index;
}

/* Takes the entry out of sight; its users keep it. */
static void hide(struct pair_cache *cache, struct pair_entry *entry)
{
    uint32_t index = index_of(cache, entry);
    uint32_t *at = bucket_of(cache, entry->hash);
    while (*at != 0 && *at != index)
        at = &entry_at(cache, *at)->next;
    if (*at == index)
        *at = entry->next;
    entry->next = 0;
    unlink_use(cache, entry);
    entry->dead = true;
    cache->live--;
}

/* Gives back a hidden entry without users; true when *doomed is to be destroyed, without the lock.
 */
static bool recycle(struct pair_cache *cache, struct pair_entry *entry, struct token_object *doomed)
{
    bool destroy = entry->owned;
    if (destroy)
        *doomed = entry->derived;
    free(entry->id);
    *entry = (struct pair_entry){.next = cache->free};
    cache->free = index_of(cache, entry);
    return destroy;
}

static struct pair_entry *find(struct pair_cache *cache, const struct pair_id *id)
{
    struct pair_entry *entry = entry_at(cache, *bucket_of(cache, id->hash));
    while (entry != NULL && !is_named(entry, id))
        entry = entry_at(cache, entry->next);
    return entry;
}

/* The least recently used entry nobody uses, hidden; NULL when all are in use. */
static struct pair_entry *evict(struct pair_cache *cache)
{
    struct pair_entry *entry = entry_at(cache, cache->oldest);
    while (entry != NULL && entry->users != 0)
        entry = entry_at(cache, entry->newer);
    if (entry != NULL) {
        hide(cache, entry);
        cache->stats.evictions++;
    }
    return entry;
}

/* ---- interface */

/* A handle of an earlier initialisation may name another object by now: that one stays. */
static void destroy_object(const struct pair_cache *cache, struct token_session *session,
                           const struct token_object *object)
{
    if (session != NULL && object->generation == token_generation(cache->token))
        token_object_destroy(session, object->handle);
}

struct pair_entry *pair_cache_get(struct pair_cache *cache, const struct pair_name *name)
{
    uint64_t generation = token_generation(cache->token);
    const struct pair_id id = id_of(name);
    pthread_mutex_lock(&cache->lock);
    struct pair_entry *entry = find(cache, &id);
    if (entry != NULL && entry->owned && entry->derived.generation != generation) {
        /* The object died with its initialisation. */
        entry->owned = false;
        hide(cache, entry);
        if (entry->users == 0) {
            struct token_object none;
            (void)recycle(cache, entry, &none);
        }
        entry = NULL;
    }
    if (entry != NULL) {
        entry->users++;
        unlink_use(cache, entry);
        link_newest(cache, entry);
        cache->stats.hits++;
    } else {
        cache->stats.misses++;
    }
    pthread_mutex_unlock(&cache->lock);
    return entry;
}

/* With the lock held: a free slot as an entry of that name, which takes over *bytes; NULL when all
 * are in use. */
static struct pair_entry *enter(struct pair_cache *cache, uint64_t era, const struct pair_id *id,
                                uint8_t **bytes, const struct token_object *object, bool owned)
{
    struct pair_entry *entry = entry_at(cache, cache->free);
    if (entry == NULL)
        return NULL;
    cache->free = entry->next;
    *entry = (struct pair_entry){.era = era,
                                 .id = *bytes,
                                 .id_len = id->len,
                                 .hash = id->hash,
                                 .owned = owned,
                                 .object = object};
    *bytes = NULL;
    if (owned) {
        entry->derived = *object;
        entry->object = &entry->derived;
    }
    uint32_t *bucket = bucket_of(cache, id->hash);
    entry->next = *bucket;
    *bucket = index_of(cache, entry);
    link_newest(cache, entry);
    cache->live++;
    /* Of a request that began in an earlier era: for that request alone. */
    if (entry->era < cache->retired)
        hide(cache, entry);
    return entry;
}

static struct pair_entry *put(struct pair_cache *cache, const struct pair_name *name,
                              const struct token_object *object, bool owned,
                              struct token_session *session)
{
    struct token_object doomed[2];
    size_t doomed_count = 0;
    const struct pair_id id = id_of(name);
    uint8_t *bytes = id.len == 0 ? NULL : malloc(id.len);
    if (bytes != NULL)
        memcpy(bytes, id.bytes, id.len);
    pthread_mutex_lock(&cache->lock);
    struct pair_entry *entry = find(cache, &id);
    const bool found = entry != NULL;
    if (!found && bytes != NULL) {
        if (cache->live >= cache->capacity) {
            struct pair_entry *victim = evict(cache);
            if (victim != NULL && recycle(cache, victim, &doomed[doomed_count]))
                doomed_count++;
        }
        entry = enter(cache, name->era, &id, &bytes, object, owned);
    }
    if (entry != NULL)
        entry->users++;
    if (owned && (found || entry == NULL))
        doomed[doomed_count++] = *object;
    pthread_mutex_unlock(&cache->lock);
    free(bytes);
    for (size_t i = 0; i < doomed_count; i++)
        destroy_object(cache, session, &doomed[i]);
    return entry;
}

struct pair_entry *pair_cache_put_derived(struct pair_cache *cache, const struct pair_name *name,
                                          const struct token_object *derived,
                                          struct token_session *session)
{
    return put(cache, name, derived, true, session);
}

struct pair_entry *pair_cache_put_object(struct pair_cache *cache, const struct pair_name *name,
                                         const struct token_object *object,
                                         struct token_session *session)
{
    return put(cache, name, object, false, session);
}

void pair_cache_release(struct pair_cache *cache, struct pair_entry *entry,
                        struct token_session *session)
{
    struct token_object doomed;
    bool destroy = false;
    pthread_mutex_lock(&cache->lock);
    entry->users--;
    if (entry->dead && entry->users == 0)
        destroy = recycle(cache, entry, &doomed);
    pthread_mutex_unlock(&cache->lock);
    if (destroy)
        destroy_object(cache, session, &doomed);
}

void pair_cache_drop(struct pair_cache *cache, struct pair_entry *entry)
{
    pthread_mutex_lock(&cache->lock);
    if (!entry->dead)
        hide(cache, entry);
    pthread_mutex_unlock(&cache->lock);
}

void pair_cache_retire(struct pair_cache *cache, uint64_t era)
{
    pthread_mutex_lock(&cache->lock);
    cache->retired = era;
    cache->swept = 0;
    atomic_store(&cache->sweeping, true);
    pthread_mutex_unlock(&cache->lock);
}

/* With the lock held: looks at one slot. True when *doomed is to be destroyed. */
static bool sweep_slot(struct pair_cache *cache, struct pair_entry *entry,
                       struct token_object *doomed)
{
    if (entry->object == NULL || entry->dead || entry->era >= cache->retired)
        return false;
    hide(cache, entry);
    return entry->users == 0 && recycle(cache, entry, doomed);
}

bool pair_cache_sweep(struct pair_cache *cache, struct token_session *session)
{
    if (!atomic_load_explicit(&cache->sweeping, memory_order_relaxed))
        return false;
    struct token_object doomed[SWEEP_OBJECTS];
    size_t count = 0;
    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < SWEEP_SLOTS && count < SWEEP_OBJECTS && cache->swept < cache->size; i++)
        count += sweep_slot(cache, &cache->entries[cache->swept++], &doomed[count]) ? 1 : 0;
    const bool more = cache->swept < cache->size;
    atomic_store(&cache->sweeping, more);
    pthread_mutex_unlock(&cache->lock);
    for (size_t i = 0; i < count; i++)
        destroy_object(cache, session, &doomed[i]);
    return more;
}

void pair_cache_free(struct pair_cache *cache, struct token_session *session)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < cache->size; i++) {
        if (cache->entries[i].owned)
            destroy_object(cache, session, &cache->entries[i].derived);
        free(cache->entries[i].id);
    }
    pthread_mutex_destroy(&cache->lock);
    free(cache->entries);
    free(cache->buckets);
    free(cache);
}

void pair_cache_get_stats(struct pair_cache *cache, struct pair_cache_stats *out)
{
    pthread_mutex_lock(&cache->lock);
    *out = cache->stats;
    out->entries = cache->live;
    pthread_mutex_unlock(&cache->lock);
}
