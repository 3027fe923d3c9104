/* The first half of RFC 3830 5.3: what is checked before any key is touched. */
#include "exchange/respond.h"

#include <string.h>

#include "base/clock.h"

/* RFC 3830 6.1.1: the reply tells the SSRCs that we choose, so without one nobody can. */
static enum mikeyd_status check_open_ssrcs(const struct mikey_message *m, struct error *err)
{
    for (size_t i = 0; !m->v && i < m->cs_count; i++) {
        if (m->cs[i].ssrc == 0)
            return error_set(err, MIKEYD_UNSUPPORTED,
                             "stream %zu leaves its SSRC to us, and no reply is wanted that could "
                             "tell it (RFC 3830 6.1.1)",
                             i + 1);
    }
    return MIKEYD_OK;
}

static enum mikeyd_status parse(struct exchange_worker *w, struct error *err)
{
    const struct exchange_request *request = w->call.request;
    if (request->message == NULL || request->message_len == 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "message: an I_MESSAGE is needed");
    enum mikeyd_status status = request_check_protocols(request, err);
    if (status == MIKEYD_OK)
        status = mikey_parse(request->message, request->message_len, &w->call.message, NULL, err);
    if (status != MIKEYD_OK)
        return status;
    w->call.bundle.csb_id = w->call.message.csb_id; /* for the audit record of a refusal */
    if (!mikey_is_init(&w->call.message))
        status = error_set(err, MIKEYD_UNSUPPORTED,
                           "data type %u is no I_MESSAGE and gets no answer", w->call.message.type);
    if (status == MIKEYD_OK && w->call.message.map_type != MIKEY_MAP_SRTP)
        status = error_set(err, MIKEYD_UNSUPPORTED, "CS ID map type %u is not SRTP",
                           w->call.message.map_type);
    if (status == MIKEYD_OK && w->call.message.cs_count == 0)
        status = error_set(err, MIKEYD_UNSUPPORTED, "the message has no crypto session");
    return status == MIKEYD_OK ? check_open_ssrcs(&w->call.message, err) : status;
}

/* The initiator: whom IDi names, and the carrier, when either does (RFC 3830 3.1, RFC 4567 8). */
static enum mikeyd_status find_initiator(struct exchange_worker *w, struct error *err)
{
    const struct mikey_message *m = &w->call.message;
    struct identity carrier = {0};
    if (w->call.request->from != NULL) {
        enum mikeyd_status status =
            request_identity("from", w->call.request->from, w->identity_store[1], &carrier, err);
        if (status != MIKEYD_OK)
            return status;
    }
    const struct identity *idi = mikey_idi(m);
    if (idi == NULL && carrier.len == 0)
        return error_set(err, MIKEYD_UNSUPPORTED,
                         "the message does not say who sends it: give what the carrier says "
                         "(--from)");
    w->call.from = idi == NULL ? carrier : *idi;
    if (idi != NULL && carrier.len != 0 && !identity_equal(idi, &carrier))
        return error_set(err, MIKEYD_AUTH_FAILED,
                         "the message is of another initiator than the one that the carrier names");
    return MIKEYD_OK;
}

/*
 * Who says it to whom. A pre-shared key is symmetric: without IDr, or with our own name as IDi, a
 * message of ours would verify when it is sent back to us (Selfie; RFC 9257 4.1, RFC 3830 9.5).
 * Ours always have both IDs, so one that lacks them is none of ours.
 */
static enum mikeyd_status check_identities(struct exchange_worker *w, struct error *err)
{
    const struct mikey_message *m = &w->call.message;
    enum mikeyd_status status =
        request_identity("as", w->call.request->as, w->identity_store[0], &w->call.to, err);
    if (status != MIKEYD_OK)
        return status;
    for (size_t i = 0; i < m->id_count; i++) {
        if (m->id[i].len > IDENTITY_MAX)
            return error_set(err, MIKEYD_UNSUPPORTED, "an ID is longer than %d bytes",
                             IDENTITY_MAX);
    }
    status = find_initiator(w, err);
    if (status != MIKEYD_OK)
        return status;
    if (identity_equal(&w->call.from, &w->call.to) ||
        (m->id_count == 2 && identity_equal(&m->id[0], &m->id[1])))
        return error_set(err, MIKEYD_AUTH_FAILED,
                         "reflected: the message's initiator is the responder itself");
    if (mikey_idr(m) != NULL && !identity_equal(mikey_idr(m), &w->call.to))
        return error_set(err, MIKEYD_AUTH_FAILED, "the message is addressed to another responder");
    return MIKEYD_OK;
}

/* RFC 3830 9.5: both IDs belong under the MAC. After request_decide(). */
static enum mikeyd_status check_ids_present(const struct exchange_worker *w, struct error *err)
{
    if (w->call.message.id_count == 2 || w->call.decision.interop.ids_optional)
        return MIKEYD_OK;
    return error_set(err, MIKEYD_UNSUPPORTED,
                     "the message must name initiator and responder: it carries %zu of 2 IDs, "
                     "which the policy allows a peer that has `interop: ids: optional`",
                     w->call.message.id_count);
}

/*
 * RFC 3830 5.3 step 1, 5.4. Differences are signed modulo 2^64: right across the wrap of 2036. A
 * COUNTER says nothing of the time: it is held against the sender's highest one once the message is
 * authentic. Such a message can be delayed for as long as its sender sends no other,
 * so it is taken only from peers that the policy names.
 */
static enum mikeyd_status check_clock(struct exchange_worker *w, struct error *err)
{
    const struct mikey_timestamp *t = &w->call.message.t;
    if (t->type == MIKEY_TS_COUNTER && !w->call.decision.interop.counter_timestamps)
        return error_set(err, MIKEYD_UNSUPPORTED,
                         "T is a COUNTER, which the policy allows a peer that has `interop: "
                         "counter_timestamps: allowed`");
    if (t->type == MIKEY_TS_COUNTER)
        return MIKEYD_OK;
    const int64_t allowed = w->call.decision.clock_skew_ms;
    int64_t ahead = clock_ntp_difference_ms(t->value, clock_ntp_now());
    if (ahead > allowed || ahead < -allowed) {
        w->call.error_number = EXCHANGE_ERROR_TS;
        return error_set(err, MIKEYD_CLOCK_SKEW,
                         "the message's clock is %lld ms %s ours, %lld ms are allowed",
                         (long long)(ahead < 0 ? -ahead : ahead), ahead < 0 ? "behind" : "ahead of",
                         (long long)allowed);
    }
    return MIKEYD_OK;
}

/*
 * RFC 3830 5.4 by both its ways: the hash of the whole message, and (key, IDi, CSB ID, T). Each
 * message of an initiator has its own T, so a second one with the same T is refused whatever else
 * it says.
 */
static void name_message(const struct exchange_worker *w, uint8_t digests[2][STORE_DIGEST])
{
    const struct mikey_message *m = &w->call.message;
    const void *whole[] = {m->bytes};
    store_digest(STORE_MESSAGE, whole, &m->len, 1, digests[0]);

    uint8_t numbers[14];
    struct byte_writer n = writer_of(numbers, sizeof numbers);
    writer_u8(&n, w->call.from.type);
    writer_u8(&n, (uint8_t)w->call.from.len);
    writer_u32(&n, m->csb_id);
    writer_u64(&n, m->t.value);
    const char *key = w->call.decision.key->name;
    const void *data[] = {numbers, w->call.from.data, key};
    const size_t len[] = {sizeof numbers, w->call.from.len, strlen(key)};
    store_digest(STORE_TIMESTAMP, data, len, 3, digests[1]);
}

const struct store_time *respond_time(const struct exchange_worker *w, struct store_time *out)
{
    if (w->call.message.t.type == MIKEY_TS_COUNTER)
        return NULL;
    *out = (struct store_time){STORE_SERIES_MESSAGES, w->call.message.t.value};
    return out;
}

static enum mikeyd_status check_algorithms(struct exchange_worker *w, struct error *err)
{
    enum mikey_algorithms algorithms;
    w->call.error_number = EXCHANGE_ERROR_PRF; /* the first of the three that differ by set */
    if (!mikey_message_algorithms(&w->call.message, &algorithms))
        return error_set(err, MIKEYD_UNSUPPORTED,
                         "PRF, encryption and MAC are not one set (RFC 6043 12.1)");
    if (algorithms != w->call.decision.algorithms) {
        return error_set(err, MIKEYD_UNSUPPORTED, "the message uses %s, this pair %s",
                         mikey_algorithms_name(algorithms),
                         mikey_algorithms_name(w->call.decision.algorithms));
    }
    w->call.error_number = EXCHANGE_ERROR_UNSPECIFIED;
    return MIKEYD_OK;
}

/*
 * Both ends must mean the same by "the TGK". The mark is under the MAC, but to refuse it need not
 * be believed.
 */
static enum mikeyd_status check_method(struct exchange_worker *w, struct error *err)
{
    const struct mikey_message *m = &w->call.message;
    const struct mikey_method *agreed = w->call.method, *used = mikey_message_method(m);
    if (!agreed->updates && mikey_is_update(m))
        return error_set(err, MIKEYD_UNSUPPORTED,
                         "with `%s` a bundle gets no new keys: updates are not answered",
                         agreed->setting);
    if (used != agreed)
        return error_set(err, MIKEYD_POLICY,
                         "the message is one for `%s`; the policy of this pair says `%s`",
                         used->setting, agreed->setting);
    if (!mikey_is_update(m) && m->rand_len < agreed->rand_len)
        return error_set(err, MIKEYD_UNSUPPORTED,
                         "RAND has %zu bytes, with `%s` at least %zu are needed", m->rand_len,
                         agreed->setting, agreed->rand_len);
    return agreed->exchanges ? values_check(w, err) : MIKEYD_OK;
}

/* ---- the bundle the message starts or continues */

static enum mikeyd_status begin_bundle(struct exchange_worker *w, struct error *err)
{
    const struct mikey_message *m = &w->call.message;
    struct bundle *b = &w->call.bundle;
    if (w->call.request->ticket_len != 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "a ticket serves updates; this message starts a new bundle");
    memcpy(b->rand, m->rand, m->rand_len);
    b->rand_len = m->rand_len;
    b->updates = 0;
    b->again = false;
    b->reference[0] = '\0';
    b->stream_count = 0;
    return MIKEYD_OK;
}

static enum mikeyd_status continue_bundle(struct exchange_worker *w, struct error *err)
{
    const struct mikey_message *m = &w->call.message;
    struct bundle *b = &w->call.bundle;
    if (w->call.request->ticket_len == 0) {
        return error_set(
            err, MIKEYD_TICKET_INVALID,
            "the message updates an earlier exchange (it has no RAND): give the ticket "
            "of that one");
    }
    int64_t expires;
    enum mikeyd_status status = request_open_ticket(w, BUNDLE_GOES_ON, &expires, err);
    if (status != MIKEYD_OK)
        return status;
    if (b->role == BUNDLE_INITIATOR)
        bundle_turn(b); /* so far the updates were ours */
    const struct identity initiator = bundle_identity_view(&b->initiator);
    const struct identity responder = bundle_identity_view(&b->responder);
    if (b->csb_id != m->csb_id || !identity_equal(&initiator, &w->call.from) ||
        !identity_equal(&responder, &w->call.to) || b->algorithms != w->call.decision.algorithms)
        return error_set(err, MIKEYD_TICKET_INVALID, "the ticket is of another exchange");
    if (b->method != w->call.decision.method)
        return error_set(err, MIKEYD_POLICY,
                         "the update is of another method than the exchange it updates");
    /* The key stream of an update is separated from earlier ones by T alone, so T must have one
     * order in all messages of a bundle. */
    if ((m->t.type == MIKEY_TS_COUNTER) != (b->t.type == MIKEY_TS_COUNTER))
        return error_set(err, MIKEYD_UNSUPPORTED,
                         "the update changes between a clock and a COUNTER as T");
    if ((int64_t)(m->t.value - b->t.value) <= 0)
        return error_set(err, MIKEYD_REPLAY,
                         "the update is not newer than the exchange it updates");
    if (m->cs_count < b->stream_count || b->updates == UINT32_MAX)
        return error_set(err, MIKEYD_UNSUPPORTED, "the update leaves out streams of the bundle");
    for (size_t i = 0; i < b->stream_count; i++) {
        if (m->cs[i].ssrc != b->streams[i].ssrc)
            return error_set(err, MIKEYD_UNSUPPORTED, "the update renumbers stream %zu", i + 1);
    }
    b->updates++;
    return MIKEYD_OK;
}

static enum mikeyd_status take_bundle(struct exchange_worker *w, struct error *err)
{
    enum mikeyd_status status =
        mikey_is_update(&w->call.message) ? continue_bundle(w, err) : begin_bundle(w, err);
    if (status == MIKEYD_OK)
        status = respond_streams(w, err);
    w->call.bundle.role = BUNDLE_RESPONDER;
    w->call.bundle.csb_id = w->call.message.csb_id;
    w->call.bundle.t = w->call.message.t;
    return status;
}

enum mikeyd_status respond_check(struct exchange_worker *w, uint8_t digests[2][STORE_DIGEST],
                                 bool *decided, struct error *err)
{
    *decided = false;
    enum mikeyd_status status = parse(w, err);
    if (status == MIKEYD_OK)
        status = check_identities(w, err);
    if (status == MIKEYD_OK)
        status = request_decide(w, POLICY_RESPOND, request_method_of(&w->call.message), err);
    if (status != MIKEYD_OK)
        return status;
    *decided = true;
    status = check_ids_present(w, err);
    if (status == MIKEYD_OK)
        status = check_clock(w, err);
    if (status != MIKEYD_OK)
        return status;
    name_message(w, digests);
    struct store_time time;
    for (size_t i = 0; i < 2 && status == MIKEYD_OK; i++)
        status = store_lookup(w->service->config.store, respond_time(w, &time), digests[i], err);
    if (status == MIKEYD_OK)
        status = check_algorithms(w, err);
    if (status == MIKEYD_OK)
        status = check_method(w, err);
    if (status == MIKEYD_OK)
        status = take_bundle(w, err);
    return status;
}
