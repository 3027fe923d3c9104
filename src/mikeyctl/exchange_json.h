/* Results of exchanges as JSON objects; NULL when memory runs out. sdp: with the attribute line of
 * RFC 4567. */
#ifndef MIKEYCTL_EXCHANGE_JSON_H
#define MIKEYCTL_EXCHANGE_JSON_H

#include <jansson.h>
#include <mikeyd/client.h>

json_t *exchange_json_offer(const mikeyd_exchange *exchange, bool sdp); /* initiate and update */
json_t *exchange_json_respond(const mikeyd_exchange *exchange, bool sdp);
json_t *exchange_json_confirm(const mikeyd_exchange *exchange, bool sdp);

#endif
