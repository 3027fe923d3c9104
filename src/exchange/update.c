/*
 * EXCHANGE_UPDATE: either end gives a bundle a new TGK and, if asked, more streams (RFC 3830 4.5):
 * same CSB ID, new T, no RAND payload, all streams listed again in their order, new ones at the end.
 * The RAND of the first message keeps feeding the keys, so it is the TGK that makes them fresh.
 *
 * The end that was called is the initiator of its own updates: what holds for its messages is what
 * the policy says of the pair in that direction, its key as well.
 */
#include "exchange/service.h"

static enum mikeyd_status open_bundle(struct exchange_worker *w, struct error *err)
{
    if (w->call.request->ticket_len == 0)
        return error_set(err, MIKEYD_TICKET_INVALID,
                         "an update needs the ticket of the exchange it continues");
    int64_t expires;
    enum mikeyd_status status = request_open_ticket(w, BUNDLE_GOES_ON, &expires, err);
    if (status != MIKEYD_OK)
        return status;
    struct bundle *b = &w->call.bundle;
    if (b->role == BUNDLE_RESPONDER)
        bundle_turn(b);
    /* A ROC is of the moment (RFC 3830 6.1.1): whoever sends a stream states it anew. */
    for (size_t i = 0; i < b->stream_count; i++)
        b->streams[i].roc = 0;
    w->call.from = bundle_identity_view(&b->initiator);
    w->call.to = bundle_identity_view(&b->responder);
    /* Its T would stand beside the counts of the other end, with which it has no order. */
    if (b->t.type == MIKEY_TS_COUNTER)
        return error_set(err, MIKEYD_UNSUPPORTED,
                         "the other end has a COUNTER as T: only it can update the bundle");
    return MIKEYD_OK;
}

static enum mikeyd_status check_request(struct exchange_worker *w, struct error *err)
{
    struct bundle *b = &w->call.bundle;
    enum mikeyd_status status = open_bundle(w, err);
    if (status != MIKEYD_OK)
        return status;
    status = request_decide(w, POLICY_INITIATE, (enum policy_method)b->method, err);
    /* RFC 3830 4.5: an update has no RAND, so it could bring no other TGK. */
    if (status == MIKEYD_OK && !w->call.method->updates)
        status = error_set(err, MIKEYD_UNSUPPORTED,
                           "with `%s` a bundle gets no new keys: start a new one",
                           w->call.method->setting);
    if (status == MIKEYD_OK && w->call.decision.verification_required && !w->call.request->verify)
        status = error_set(err, MIKEYD_POLICY,
                           "the policy requires a verification message for this pair");
    if (status == MIKEYD_OK)
        status = offer_check_answer(w, err);
    /* Mixing sets within a bundle would mix the strengths of its keys (RFC 6043 12.1). */
    if (status == MIKEYD_OK && w->call.decision.algorithms != b->algorithms)
        status =
            error_set(err, MIKEYD_POLICY,
                      "the policy's algorithms for this pair have changed: start a new bundle");
    if (status == MIKEYD_OK && b->updates == UINT32_MAX)
        status = error_set(err, MIKEYD_POLICY, "too many updates: start a new bundle");
    return status;
}

enum mikeyd_status exchange_update(struct exchange_worker *w, struct exchange_result *result,
                                   struct error *err)
{
    enum mikeyd_status status = check_request(w, err);
    if (status != MIKEYD_OK)
        return status;
    /* The key in force today, also when the bundle began under the generation before. */
    const struct bound_generation *generation = &request_key(w)->current;
    const unsigned key_bits = keyring_bits(generation);
    struct bundle *b = &w->call.bundle;
    for (size_t i = 0; i < b->stream_count && status == MIKEYD_OK; i++)
        status = request_check_suite(w, b->streams[i].suite, key_bits, err);
    if (status == MIKEYD_OK)
        status = request_fill_bundle(w, generation, err);
    if (status == MIKEYD_OK)
        status = offer_add_streams(w, key_bits, err);
    if (status == MIKEYD_OK)
        status = request_insert(w, NULL, NULL, 0, 0, generation->generation, err);
    if (status != MIKEYD_OK)
        return status;
    b->updates++;
    status = offer_make_key(w, key_bits, err);
    if (status != MIKEYD_OK)
        return status;
    return offer_send(w, true, generation, AUDIT_UPDATE, result, err);
}
