/*
 * Pair keys at hand: a bounded map from (key, generation, directed pair, algorithms) to the token
 * object that holds the pair key, least recently used out first. Shared by all threads.
 * An entry in use is never evicted; the object of an evicted one is destroyed in the token.
 */
#ifndef KEYHOLDER_PAIR_CACHE_H
#define KEYHOLDER_PAIR_CACHE_H

#include "base/identity.h"
#include "base/suite.h"
#include "pkcs11/token/token.h"

struct pair_cache;

/* What a pair key is a function of (importer/importer.h), and when it was made. Views. */
struct pair_name {
    uint64_t era;    /* of the inventory: an entry is not found in another one than its own */
    const char *key; /* the EPSK's name */
    unsigned generation;
    enum mikey_algorithms algorithms;
    struct identity initiator, responder; /* directed: swapped is another pair */
};

/* A reference to an entry; object stays valid until pair_cache_release(). */
struct pair_entry {
    const struct token_object *object;
    uint64_t era;
    uint8_t *id; /* its whole name as bytes */
    size_t id_len;
    uint64_t hash;               /* of id */
    struct token_object derived; /* what object points to when the key was derived */
    bool owned;                  /* derived: to be destroyed when the entry goes */
    unsigned users;
    bool dead;                   /* no longer found; freed by its last user */
    uint32_t next, older, newer; /* hash chain and order of use: index + 1, 0: none */
};

/* capacity: entries kept at once; room for `workers` more, being in use while evicted. */
enum mikeyd_status pair_cache_make(struct token *token, size_t capacity, size_t workers,
                                   struct pair_cache **out, struct error *err);
/* Destroys the derived objects over session (NULL: they go with the token's sessions). */
void pair_cache_free(struct pair_cache *cache, struct token_session *session);

/*
 * The entry of that name, or NULL. One derived under an earlier initialisation of the module (its
 * handle may name another key by now) is dropped.
 */
struct pair_entry *pair_cache_get(struct pair_cache *cache, const struct pair_name *name);
/* Takes over a derived object, evicting when full. Two that derived the same pair at once end with
 * one entry. NULL when more than `workers` entries are in use, or memory runs out. */
struct pair_entry *pair_cache_put_derived(struct pair_cache *cache, const struct pair_name *name,
                                          const struct token_object *derived,
                                          struct token_session *session);
/* Remembers an object that the token owns. */
struct pair_entry *pair_cache_put_object(struct pair_cache *cache, const struct pair_name *name,
                                         const struct token_object *object,
                                         struct token_session *session);
void pair_cache_release(struct pair_cache *cache, struct pair_entry *entry,
                        struct token_session *session);
/* The entry is not to be found again (its object failed in the token); the reference stays. */
void pair_cache_drop(struct pair_cache *cache, struct pair_entry *entry);

/*
 * Entries of eras before that one are wanted no more, apart from those in use: they are not found
 * again, and pair_cache_sweep() gives them back, a few a call. False once none is left.
 */
void pair_cache_retire(struct pair_cache *cache, uint64_t era);
bool pair_cache_sweep(struct pair_cache *cache, struct token_session *session);

struct pair_cache_stats {
    uint64_t hits, misses, evictions;
    size_t entries;
};
void pair_cache_get_stats(struct pair_cache *cache, struct pair_cache_stats *out);

#endif
