/*
 * Ticket keys: one AES-256 key a day, HMAC-SHA-256(token key of kind ticket, "mikeyd ticket" || day
 * number), so every daemon on the same token cluster has the same ones and none is stored. The keys
 * of yesterday, today and tomorrow, under the two newest generations of the token key, wait in the
 * secure heap: a change of day, or clocks of two hosts that differ, cost no token call on any
 * request.
 */
#ifndef EXCHANGE_TICKET_KEY_H
#define EXCHANGE_TICKET_KEY_H

#include "keys/keys.h"

#define TICKET_KEY_LEN 32
#define TICKET_DAY_SECONDS 86400

struct ticket_keys;

/* Derives the table. TOKEN_DOWN naming the command that makes a ticket key when there is none. */
enum mikeyd_status ticket_keys_open(struct keys_group *group, struct keys_port *port, int64_t now,
                                    struct ticket_keys **out, struct error *err);
void ticket_keys_close(struct ticket_keys *keys);
/*
 * After a rescan of the token, by the thread that made it: looks for the newest generations again;
 * the next ticket_keys_refresh() derives from them.
 */
void ticket_keys_select(struct ticket_keys *keys);
/*
 * Derives the table again when the day has changed; one worker does it, the others go on with the
 * keys they have. A failure leaves the old table: it serves for a day more.
 */
void ticket_keys_refresh(struct ticket_keys *keys, struct keys_port *port, int64_t now);

/*
 * Wipes the keys of days before yesterday, when nothing else came to do it: call it now and then.
 * Needs no token. Tickets of those days have expired.
 */
void ticket_keys_expire(struct ticket_keys *keys, int64_t now);

/* Names a key in a ticket. */
struct ticket_key_id {
    uint32_t generation;
    uint32_t day; /* days since 1970 */
};
/* The key to seal with now. out: secure heap. */
bool ticket_keys_current(struct ticket_keys *keys, int64_t now, struct ticket_key_id *id,
                         uint8_t out[TICKET_KEY_LEN]);
/* The key a ticket names; false when it is not among the kept ones. out: secure heap. */
bool ticket_keys_find(struct ticket_keys *keys, const struct ticket_key_id *id,
                      uint8_t out[TICKET_KEY_LEN]);

#endif
