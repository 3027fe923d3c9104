/*
 * The keys that the token holds, as of the last look at it: found by kind, name and generation in
 * one step, and told to the front in pages. What is told stays the same while its number does.
 */
#ifndef KEYHOLDER_INVENTORY_H
#define KEYHOLDER_INVENTORY_H

#include "keys/name.h"
#include "pkcs11/token/token.h"

struct inventory;

enum mikeyd_status inventory_make(struct token *token, struct inventory **out, struct error *err);
void inventory_free(struct inventory *inventory);
/* Looks at the token's list again, one thread at a time; *changed: it is another one, and the
 * number with it. On an error the old one stays. */
enum mikeyd_status inventory_refresh(struct inventory *inventory, bool *changed, struct error *err);
/* The token was initialised again since the last look. */
bool inventory_is_old(struct inventory *inventory);

struct inventory_key {
    const struct token_key *key; /* its place; may be rewritten by a recovery meanwhile */
    size_t block_count;
    bool first_use; /* nobody has found it before */
};
/* TOKEN_DOWN when the token has no such key, POLICY when its attributes would let it out. */
enum mikeyd_status inventory_find(struct inventory *inventory, enum token_kind kind,
                                  const char *name, unsigned generation, struct inventory_key *out,
                                  struct error *err);

struct inventory_facts {
    uint64_t number;
    size_t count;
};
void inventory_get_facts(struct inventory *inventory, struct inventory_facts *out);
/* Entries from `first` on, at most cap; their count. *of: the inventory they belong to. */
size_t inventory_page(struct inventory *inventory, size_t first, struct keys_entry *entries,
                      size_t cap, struct inventory_facts *of);

/* Between the door's numbers and pkcs11's. */
bool inventory_token_kind(enum keys_kind kind, enum token_kind *out);
bool inventory_keys_kind(enum token_kind kind, enum keys_kind *out);

#endif
