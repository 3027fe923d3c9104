/* Building an inventory; what readers of one may do stands in keys.h. */
#ifndef KEYS_INVENTORY_H
#define KEYS_INVENTORY_H

#include "keys/keys.h"

/* More keys than any token has; what is told beyond is a fault. */
#define KEYS_INVENTORY_MAX (1u << 20)

/* Room for `total` entries, with one reference. NULL: no memory. */
struct keys_inventory *keys_inventory_make(size_t total);
/* False when it is full. */
bool keys_inventory_add(struct keys_inventory *inventory, const struct keys_entry *entry);
void keys_inventory_set_version(struct keys_inventory *inventory, uint64_t version);
struct keys_inventory *keys_inventory_ref(struct keys_inventory *inventory);
/* Do both say the same of the same keys? */
bool keys_inventory_equal(const struct keys_inventory *a, const struct keys_inventory *b);

#endif
