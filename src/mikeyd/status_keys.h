/* The tokens' part of the status report: each member of the group, and the keys they hold. */
#ifndef MIKEYD_STATUS_KEYS_H
#define MIKEYD_STATUS_KEYS_H

#include <jansson.h>

#include "mikeyd/daemon.h"

/* The facts of the first member that serves, or of the first one; "up": does any serve? */
json_t *status_keys_token(struct daemon *daemon);
/* All members, in the order of `tokens:`. */
json_t *status_keys_tokens(struct daemon *daemon);
/* The keys an operator provisions by name, one by one; the keys of pairs as a number. */
json_t *status_keys_inventory(struct daemon *daemon);
/* The keys of pairs at hand in all members; a miss is one fetched or derived for the request that
 * wanted it, or beforehand. */
json_t *status_keys_pair_cache(struct daemon *daemon);
/* "two users", "one user": what separates front and keyholders. */
const char *status_keys_isolation(const struct daemon *daemon);

#endif
