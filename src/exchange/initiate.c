/* EXCHANGE_INITIATE: the first I_MESSAGE of a new crypto session bundle (RFC 3830 3.1, 5.2). */
#include "exchange/service.h"

#include <openssl/rand.h>

#define RAND_LEN 16 /* RFC 3830 6.11: at least 128 bits */
#define CSB_ATTEMPTS 4
/*
 * How long a CSB ID counts as taken for its pair. RFC 3830 6.1 has the initiator check that it has
 * no other bundle of that ID with that responder, but this service does not know which bundles
 * live: their state is in tickets. IDs are 32 random bits, so the check is a second line: it
 * separates the bundles that are being set up, and those set up lately, for certain. Between a new
 * one and n older ones still in use the odds are n in 2^32, and nothing rests on it: every message
 * has a RAND and a T of its own in its keys and its replay entries, and a reply or an update is
 * taken for the bundle of the ticket that comes with it. An hour of them at 5,000 a second is 18
 * million entries; the store has room for some 200 million.
 */
#define CSB_ID_KEPT_S 3600

/* RFC 3830 4.5: the CSB ID is random and not one this initiator still has with that responder. The
 * exchange counts with it. */
static enum mikeyd_status choose_csb_id(struct exchange_worker *w, unsigned generation,
                                        struct error *err)
{
    struct bundle *b = &w->call.bundle;
    const int64_t until = w->call.now + CSB_ID_KEPT_S;
    for (int i = 0; i < CSB_ATTEMPTS; i++) {
        uint8_t id[4];
        if (RAND_bytes(id, sizeof id) != 1)
            return error_set(err, MIKEYD_INTERNAL, "no random bytes");
        struct byte_reader r = reader_of(id, sizeof id);
        b->csb_id = reader_u32(&r);
        if (b->csb_id == 0)
            continue; /* some implementations read 0 as "unset" */
        const uint8_t head[2][2] = {{b->initiator.type, b->initiator.len},
                                    {b->responder.type, b->responder.len}};
        const void *data[] = {head, b->initiator.data, b->responder.data, id};
        const size_t len[] = {sizeof head, b->initiator.len, b->responder.len, sizeof id};
        uint8_t digest[1][STORE_DIGEST];
        store_digest(STORE_CSB, data, len, 4, digest[0]);
        enum mikeyd_status status = request_insert(w, NULL, digest, 1, until, generation, err);
        if (status != MIKEYD_REPLAY)
            return status;
    }
    return error_set(err, MIKEYD_INTERNAL, "no free CSB ID found");
}

static enum mikeyd_status check_request(struct exchange_worker *w, struct error *err)
{
    const struct exchange_request *request = w->call.request;
    enum mikeyd_status status =
        request_identity("from", request->from, w->identity_store[0], &w->call.from, err);
    if (status == MIKEYD_OK)
        status = request_check_protocols(request, err);
    if (status == MIKEYD_OK)
        status = request_identity("to", request->to, w->identity_store[1], &w->call.to, err);
    if (status == MIKEYD_OK)
        status = request_decide(w, POLICY_INITIATE, request->method, err);
    if (status == MIKEYD_OK && w->call.decision.verification_required && !request->verify)
        status = error_set(err, MIKEYD_POLICY,
                           "the policy requires a verification message for this pair");
    if (status == MIKEYD_OK)
        status = offer_check_answer(w, err);
    if (status == MIKEYD_OK && request->stream_count == 0)
        status = error_set(err, MIKEYD_INVALID_ARGUMENT, "at least one stream is needed");
    return status;
}

enum mikeyd_status exchange_initiate(struct exchange_worker *w, struct exchange_result *result,
                                     struct error *err)
{
    enum mikeyd_status status = check_request(w, err);
    if (status != MIKEYD_OK)
        return status;
    const struct bound_generation *generation = &request_key(w)->current;
    const unsigned key_bits = keyring_bits(generation);
    struct bundle *b = &w->call.bundle;
    b->stream_count = 0;
    b->updates = 0;
    b->again = w->call.request->again;
    b->reference[0] = '\0';
    status = request_fill_bundle(w, generation, err);
    if (status == MIKEYD_OK)
        status = offer_add_streams(w, key_bits, err);
    if (status == MIKEYD_OK)
        status = choose_csb_id(w, generation->generation, err);
    if (status != MIKEYD_OK)
        return status;
    /* A derived TGK has no other random number in it. */
    b->rand_len = w->call.method->rand_len;
    if (RAND_bytes(b->rand, (int)b->rand_len) != 1)
        return error_set(err, MIKEYD_INTERNAL, "no random bytes");
    status = offer_make_key(w, key_bits, err);
    if (status != MIKEYD_OK)
        return status;
    return offer_send(w, false, generation, AUDIT_INITIATE, result, err);
}
