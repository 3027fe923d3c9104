/* Results of exchanges as JSON objects; NULL when memory runs out. sdp: with the attribute line of
 * RFC 4567. */
#ifndef MIKEYCTL_EXCHANGE_JSON_H
#define MIKEYCTL_EXCHANGE_JSON_H

#include <jansson.h>
#include <mikeyd/client.h>

#include "base/error.h"

json_t *exchange_json_offer(const mikeyd_exchange *exchange, bool sdp); /* initiate and update */
json_t *exchange_json_respond(const mikeyd_exchange *exchange, bool sdp);
json_t *exchange_json_confirm(const mikeyd_exchange *exchange, bool sdp);
/* A refusal that came with an error message for the peer: "error", and the message as "reply". */
json_t *exchange_json_refusal(const struct error *err, const mikeyd_exchange *exchange);

#endif
