/*
 * How many requests each client made, and how many of them were refused: for the metrics. Names stay
 * as long as the service, also when a policy has dropped them, so that a count never goes back; their
 * number is bounded, and those beyond it count together.
 */
#ifndef EXCHANGE_TALLY_H
#define EXCHANGE_TALLY_H

#include <stdint.h>

#include "exchange/exchange.h"
#include "policy/policy.h"

struct tally;
struct tally_place;

struct tally *tally_make(void);
void tally_free(struct tally *tally);
/*
 * Places for all clients of the policy, by policy_client.index; NULL when memory runs out. They are
 * valid as long as the tally; the array is the caller's to free. One thread at a time.
 */
struct tally_place **tally_places(struct tally *tally, const struct policy *policy);
/* One more request. Any thread, no lock. */
void tally_count(struct tally_place *place, enum mikeyd_status status);
/* Any thread. */
size_t tally_get(struct tally *tally, struct exchange_client_stats out[EXCHANGE_CLIENTS_COUNTED]);

#endif
