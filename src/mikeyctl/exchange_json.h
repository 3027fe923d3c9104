/* Results of exchanges as JSON objects; NULL when memory runs out. */
#ifndef MIKEYCTL_EXCHANGE_JSON_H
#define MIKEYCTL_EXCHANGE_JSON_H

#include <jansson.h>
#include <mikeyd/client.h>

#include "base/error.h"

json_t *exchange_json_offer(const mikeyd_exchange *exchange); /* initiate and update */
json_t *exchange_json_respond(const mikeyd_exchange *exchange);
json_t *exchange_json_confirm(const mikeyd_exchange *exchange);
/* A refusal that came with an error message for the peer: "error", and the message as "reply". */
json_t *exchange_json_refusal(const struct error *err, const mikeyd_exchange *exchange);
/* A refusal that came with a further offer: "error", and what initiate has but keys. */
json_t *exchange_json_again(const struct error *err, const mikeyd_exchange *exchange);
/* Adds text under that name, unless it is NULL; 0 on success. */
int exchange_json_place(json_t *object, const char *name, const char *text);

#endif
