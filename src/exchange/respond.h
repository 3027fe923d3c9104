/* Inside exchange/: the two halves of answering an I_MESSAGE. */
#ifndef EXCHANGE_RESPOND_H
#define EXCHANGE_RESPOND_H

#include "exchange/service.h"

/* Error numbers of RFC 3830 6.12. */
enum {
    EXCHANGE_ERROR_AUTH = 0,
    EXCHANGE_ERROR_TS = 1,
    EXCHANGE_ERROR_PRF = 2,
    EXCHANGE_ERROR_SP_PARAMETER = 10
};

/*
 * What needs no key and must come before one is used: syntax, who to whom, entitlement, clock,
 * replay look-up, algorithms, the ticket of an update, the streams. Cheap, whatever is sent.
 * Nothing of the message is believed yet and nothing is stored. On OK w->call.bundle holds the
 * streams as they will be (suites not yet known), and digests name the message in the replay store.
 * *decided: w->call.decision holds, also on failure.
 */
enum mikeyd_status respond_check(struct exchange_worker *w, uint8_t digests[2][STORE_DIGEST],
                                 bool *decided, struct error *err);
/* Of it: the streams into the bundle, with SSRCs and ROCs. */
enum mikeyd_status respond_streams(struct exchange_worker *w, struct error *err);

/* What the key's holder made of the message: key data, views into the worker's scratch. */
struct respond_opened {
    struct mikey_key key; /* that it was opened with */
    struct mikey_key_data data[MIKEY_KEY_DATA_MAX];
    size_t count;
};

/* By what the message is refused once its replay entry is gone: its T. NULL for a COUNTER, which
 * has no window and is held against its sender's highest one. */
const struct store_time *respond_time(const struct exchange_worker *w, struct store_time *out);

/*
 * Reads what an authenticated message asks for: takes the key and the streams' suites into the
 * bundle, holds them against the policy.
 */
enum mikeyd_status respond_accept(struct exchange_worker *w, const struct respond_opened *opened,
                                  unsigned key_bits, struct error *err);

#endif
