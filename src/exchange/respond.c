/*
 * EXCHANGE_RESPOND: answers an I_MESSAGE in the order of RFC 3830 5.3. Checks without a key, then
 * the MAC, then the replay store, and only then what the message says.
 */
#include "exchange/respond.h"

#include <string.h>

/*
 * RFC 3830 6.6 gives COUNTER no window, so what was once accepted must never be accepted again, for
 * as long as the key is the same: only values above the highest one of that initiator under that
 * generation of the key.
 */
static enum mikeyd_status advance_counter(struct exchange_worker *w, struct error *err)
{
    const struct identity *idi = &w->call.from, *idr = &w->call.to;
    const struct policy_key *key = w->call.decision.key;
    /* Each pair has another key imported from an EPSK, so the peer may count for each pair. */
    const bool pair = key->kind == POLICY_KEY_EPSK;
    uint8_t numbers[8];
    uint8_t digest[STORE_DIGEST];
    struct byte_writer n = writer_of(numbers, sizeof numbers);
    writer_u32(&n, w->call.generation->generation);
    writer_u8(&n, idi->type);
    writer_u8(&n, (uint8_t)idi->len);
    if (pair) {
        writer_u8(&n, idr->type);
        writer_u8(&n, (uint8_t)idr->len);
    }
    const void *data[] = {numbers, idi->data, key->name, idr->data};
    const size_t len[] = {n.len, idi->len, strlen(key->name), idr->len};
    store_digest(STORE_COUNTER, data, len, pair ? 4 : 3, digest);
    return store_advance_counter(w->service->config.store, digest, w->call.message.t.value, err);
}

/*
 * Entries must outlast every moment at which their T could still pass: T may lie one skew ahead of
 * the receipt and is accepted until one skew after.
 */
static enum mikeyd_status remember(struct exchange_worker *w,
                                   const uint8_t digests[2][STORE_DIGEST], struct error *err)
{
    if (w->call.message.t.type == MIKEY_TS_COUNTER) {
        enum mikeyd_status status = advance_counter(w, err);
        if (status != MIKEYD_OK)
            return status;
    }
    struct store_time time;
    return request_insert(w, respond_time(w, &time), digests, 2,
                          w->call.now + (int64_t)atomic_load(&w->service->window_s),
                          w->call.generation->generation, err);
}

static struct mikey_reply_rules reply_rules(const struct exchange_worker *w)
{
    return (struct mikey_reply_rules){.v_covers_t_only = w->call.decision.interop.v_covers_t_only};
}

/*
 * RFC 3830 5.1.2: what the peer is told when it is refused, if the policy of the pair says so. V
 * proves it once the message was authentic (key is then not NULL); before, a MAC made on demand
 * would serve whoever asks for it. A replayed message gets no answer at all.
 */
static void build_error(struct exchange_worker *w, const struct mikey_key *key)
{
    if (!w->call.request->error_message || !w->call.decision.error_messages)
        return;
    const struct mikey_refusal why = {
        .number = w->call.error_number,
        .suites = w->call.error_number == EXCHANGE_ERROR_SP_PARAMETER ? w->call.decision.suites : 0,
        .rules = reply_rules(w)};
    struct byte_writer out = writer_of(w->error, sizeof w->error);
    /* Without it the refusal is still a refusal. */
    if (mikey_build_error(&w->call.message, &why, w->call.bundle.rand, w->call.bundle.rand_len, key,
                          &out, NULL) == MIKEYD_OK)
        w->call.error_len = out.len;
}

/* Not our own troubles, nor the client's, nor a message that has had its answer. */
static bool is_the_peers_fault(enum mikeyd_status status)
{
    return status == MIKEYD_UNSUPPORTED || status == MIKEYD_AUTH_FAILED ||
           status == MIKEYD_CLOCK_SKEW || status == MIKEYD_POLICY || status == MIKEYD_SYNTAX;
}

/* RFC 4650 3.1: a message without a value, an update that keeps the TGK, is answered without one. */
static enum mikeyd_status draft_values(struct exchange_worker *w, const struct mikey_cs *cs,
                                       struct byte_writer *out, struct mikey_covered *covered,
                                       struct error *err)
{
    struct mikey_dh own;
    const bool values = w->call.message.dh_count != 0;
    enum mikeyd_status status = values ? values_ready(w, &own, err) : MIKEYD_OK;
    if (status != MIKEYD_OK)
        return status;
    return mikey_draft_exchange(&w->call.message, cs, values ? &own : NULL, &w->call.from, out,
                                covered, err);
}

/* All of the R_MESSAGE but V, which comes with the opened message: both keyed by one derivation. */
static enum mikeyd_status draft_reply(struct exchange_worker *w, struct byte_writer *out,
                                      struct mikey_covered *covered, struct error *err)
{
    const struct mikey_message *m = &w->call.message;
    struct mikey_cs cs[MIKEY_CS_MAX];
    for (size_t i = 0; i < m->cs_count; i++) {
        cs[i] = m->cs[i];
        cs[i].ssrc = w->call.bundle.streams[i].ssrc;
        cs[i].roc = w->call.bundle.streams[i].roc;
    }
    if (w->call.method->exchanges)
        return draft_values(w, cs, out, covered, err);
    const struct mikey_reply_rules rules = reply_rules(w);
    return mikey_draft_reply(m, cs, &rules, out, covered, err);
}

/* Opens the message under one generation. */
static enum mikeyd_status try_generation(struct exchange_worker *w,
                                         const struct bound_generation *generation,
                                         const struct mikey_covered *reply,
                                         struct respond_opened *opened, struct error *err)
{
    keyring_take(w, &w->call.decision, generation, &opened->key);
    return mikey_open_init(&w->call.message, w->call.bundle.rand, w->call.bundle.rand_len,
                           &opened->key, reply, &w->secrets->scratch.plain, opened->data,
                           &opened->count, w->secrets->v, w->secrets->psk_key, err);
}

/*
 * The current generation, then, within its window, the previous one: two trials at most, whatever
 * is sent.
 */
static enum mikeyd_status open_message(struct exchange_worker *w, const struct mikey_covered *reply,
                                       struct respond_opened *opened, struct error *err)
{
    const struct bound_key *key = request_key(w);
    enum mikeyd_status status = try_generation(w, &key->current, reply, opened, err);
    if (status == MIKEYD_OK || !key->has_previous || w->call.now > key->key->previous_until)
        return status;
    /* Also when the current pair key is still missing in the token: a rotation is no outage. */
    if (status != MIKEYD_AUTH_FAILED && status != MIKEYD_TOKEN_DOWN)
        return status;
    struct error second = {0};
    enum mikeyd_status previous = try_generation(w, &key->previous, reply, opened, &second);
    return previous == MIKEYD_OK ? MIKEYD_OK : status;
}

/* The message is authentic: no reading of it can now be undone by sending it again. */
static enum mikeyd_status accept(struct exchange_worker *w, const struct respond_opened *opened,
                                 const uint8_t digests[2][STORE_DIGEST], struct error *err)
{
    if (w->call.message.dh_count != 0)
        values_take(w);
    enum mikeyd_status status = remember(w, digests, err);
    if (status == MIKEYD_OK)
        status = request_fill_bundle(w, w->call.generation, err);
    if (status == MIKEYD_OK)
        status = respond_accept(w, opened, keyring_bits(w->call.generation), err);
    return status;
}

enum mikeyd_status exchange_respond(struct exchange_worker *w, struct exchange_result *result,
                                    struct error *err)
{
    uint8_t digests[2][STORE_DIGEST];
    struct respond_opened opened = {.count = 0};
    struct mikey_covered covered;
    struct byte_writer reply = writer_of(w->out, sizeof w->out);
    bool decided, authentic = false;
    enum mikeyd_status status = respond_check(w, digests, &decided, err);
    if (status == MIKEYD_OK && w->call.message.v)
        status = draft_reply(w, &reply, &covered, err);
    if (status == MIKEYD_OK)
        status = open_message(w, w->call.message.v ? &covered : NULL, &opened, err);
    if (status == MIKEYD_AUTH_FAILED)
        w->call.error_number = EXCHANGE_ERROR_AUTH;
    authentic = status == MIKEYD_OK;
    if (authentic)
        status = accept(w, &opened, digests, err);
    if (decided && is_the_peers_fault(status))
        build_error(w, authentic ? &opened.key : NULL);
    if (status == MIKEYD_OK && w->call.message.v) {
        writer_bytes(&reply, w->secrets->v, w->call.message.mac_len);
        if (reply.failed)
            status = error_set(err, MIKEYD_INTERNAL, "no room for the reply");
        w->call.out_len = reply.len;
    }
    if (status != MIKEYD_OK)
        return status;
    return request_finish(w, AUDIT_RESPOND, true, result, err);
}
