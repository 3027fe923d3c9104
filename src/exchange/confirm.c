/*
 * EXCHANGE_CONFIRM: the initiator checks the R_MESSAGE to the I_MESSAGE its ticket stands for and
 * gets the session keys, once (RFC 3830 5.4: initiators refuse what does not answer their own
 * message).
 */
#include "exchange/service.h"

#include <stdio.h>
#include <string.h>

#define MIKEY_ERROR_AUTH 0
#define SUITES_TEXT_MAX 192

/* ---- the ticket */

/* Ours, and of no other ticket. */
static struct store_time ticket_time(const struct exchange_worker *w)
{
    return (struct store_time){STORE_SERIES_TICKETS, w->call.bundle.t.value};
}

static enum mikeyd_status name_ticket(const struct exchange_worker *w,
                                      uint8_t digest[1][STORE_DIGEST], struct error *err)
{
    const struct store_time time = ticket_time(w);
    const void *data[] = {w->call.request->ticket};
    store_digest(STORE_TICKET, data, &w->call.request->ticket_len, 1, digest[0]);
    enum mikeyd_status status = store_lookup(w->service->config.store, &time, digest[0], err);
    if (status == MIKEYD_REPLAY)
        return error_set(err, MIKEYD_REPLAY, "the ticket has been used");
    return status;
}

/* The generation the I_MESSAGE was sealed with, while the policy still has it. */
static const struct bound_generation *ticket_generation(const struct exchange_worker *w)
{
    const struct bound_key *key = request_key(w);
    if (w->call.bundle.generation == key->current.generation)
        return &key->current;
    if (key->has_previous && w->call.bundle.generation == key->previous.generation &&
        w->call.now <= key->key->previous_until)
        return &key->previous;
    return NULL;
}

/* Does the policy of today still allow what the ticket began? */
static enum mikeyd_status check_policy(struct exchange_worker *w,
                                       const struct bound_generation **generation,
                                       struct error *err)
{
    const struct bundle *b = &w->call.bundle;
    w->call.from = bundle_identity_view(&b->initiator);
    w->call.to = bundle_identity_view(&b->responder);
    enum mikeyd_status status =
        request_decide(w, POLICY_INITIATE, (enum policy_method)b->method, err);
    if (status != MIKEYD_OK)
        return status;
    if (strcmp(w->call.decision.key->name, b->key_name) != 0 ||
        (*generation = ticket_generation(w)) == NULL)
        return error_set(err, MIKEYD_POLICY, "key %s/%u is no longer in force for this pair",
                         b->key_name, b->generation);
    if (w->call.decision.algorithms != b->algorithms)
        return error_set(err, MIKEYD_POLICY, "the policy's algorithms for this pair have changed");
    for (size_t i = 0; i < b->stream_count && status == MIKEYD_OK; i++)
        status = request_check_suite(w, b->streams[i].suite, keyring_bits(*generation), err);
    return status;
}

/* ---- the reply */

static const char *mikey_error_name(uint8_t number)
{
    static const char *const names[] = {
        "authentication failure",
        "invalid timestamp",
        "invalid PRF",
        "invalid MAC algorithm",
        "invalid encryption algorithm",
        "invalid hash function",
        "invalid Diffie-Hellman group",
        "invalid ID",
        "invalid certificate",
        "invalid security policy",
        "invalid policy parameters",
        "invalid data type",
        "unspecified error",
        "unsupported message type",
    };
    return number < sizeof names / sizeof names[0] ? names[number] : "unknown error";
}

/* The suites of the SP payloads, which are what the peer would take instead (RFC 3830 5.1.2). */
static const char *offered_suites(const struct mikey_message *m, char text[SUITES_TEXT_MAX])
{
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < m->sp_count; i++) {
        enum srtp_suite suite;
        if (mikey_sp_suite(&m->sp[i], &suite, NULL) != MIKEYD_OK)
            continue;
        int n = snprintf(text + at, SUITES_TEXT_MAX - at, "%s%s",
                         at == 0 ? "; it would take " : ", ", srtp_suite_info(suite)->name);
        if (n < 0 || (size_t)n >= SUITES_TEXT_MAX - at) {
            text[at] = '\0';
            break;
        }
        at += (size_t)n;
    }
    return text;
}

static uint32_t suite_bits(const struct mikey_message *m)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < m->sp_count; i++) {
        enum srtp_suite suite;
        if (mikey_sp_suite(&m->sp[i], &suite, NULL) == MIKEYD_OK)
            bits |= UINT32_C(1) << suite;
    }
    return bits;
}

/*
 * RFC 3830 5.1.1: the initiator may start over with what the responder would take; once, and only
 * when the responder has proven that it says so: a forged error would choose the weakest suite that
 * the policy leaves (RFC 4567 8). The policy's order decides, not the peer's.
 */
static void take_peer_suites(struct exchange_worker *w, unsigned key_bits)
{
    const struct policy_decision *decision = &w->call.decision;
    const uint32_t theirs = suite_bits(&w->call.message);
    if (w->call.bundle.again || w->call.bundle.updates != 0)
        return;
    for (size_t i = 0; i < decision->suite_count; i++) {
        const enum srtp_suite suite = (enum srtp_suite)decision->suite_order[i];
        if ((theirs & UINT32_C(1) << suite) != 0 &&
            request_check_suite(w, suite, key_bits, NULL) == MIKEYD_OK)
            w->call.peer_suites[w->call.peer_suite_count++] = suite;
    }
}

/*
 * RFC 3830 5.1.2: an error message is for people, and without V a hint only, whoever sent it.
 * Nothing is torn down: the ticket still waits for the true reply.
 */
static enum mikeyd_status report_error(const struct exchange_worker *w, bool authentic,
                                       struct error *err)
{
    const struct mikey_message *m = &w->call.message;
    char suites[SUITES_TEXT_MAX];
    if (m->csb_id != w->call.bundle.csb_id)
        return error_set(err, MIKEYD_AUTH_FAILED, "an error message for another exchange");
    uint8_t number = m->error_count == 0 ? EXCHANGE_ERROR_UNSPECIFIED : m->error[0];
    return error_set(err, number == MIKEY_ERROR_AUTH ? MIKEYD_AUTH_FAILED : MIKEYD_UNSUPPORTED,
                     "the peer answered with an error (%s): %u, %s%s",
                     authentic ? "authentic" : "not proven to be its own", number,
                     mikey_error_name(number), offered_suites(m, suites));
}

static enum mikeyd_status parse(struct exchange_worker *w, struct error *err)
{
    const struct exchange_request *request = w->call.request;
    if (request->message == NULL || request->message_len == 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "reply: an R_MESSAGE is needed");
    enum mikeyd_status status =
        mikey_parse(request->message, request->message_len, &w->call.message, NULL, err);
    if (status == MIKEYD_OK && w->call.message.type == MIKEY_TYPE_ERROR && !w->call.message.has_v)
        return report_error(w, false, err);
    /* Our own I_MESSAGE sent back to us: the key is symmetric (RFC 9257 4.1). */
    if (status == MIKEYD_OK && mikey_is_init(&w->call.message))
        status = error_set(err, MIKEYD_AUTH_FAILED, "reflected: the reply is an I_MESSAGE");
    return status;
}

static enum mikeyd_status verify(struct exchange_worker *w,
                                 const struct bound_generation *generation, struct error *err)
{
    struct bundle *b = &w->call.bundle;
    const struct mikey_dh own = values_own(w);
    const struct mikey_expected_reply expected = {
        .algorithms = b->algorithms,
        .csb_id = b->csb_id,
        .t = b->t,
        .rand = b->rand,
        .rand_len = b->rand_len,
        .idi = w->call.from,
        .idr = w->call.to,
        .streams = b->streams,
        .stream_count = b->stream_count,
        .rules = {.v_covers_t_only = w->call.decision.interop.v_covers_t_only,
                  .any_timestamp = w->call.decision.interop.reply_timestamp_any},
        .method = w->call.method,
        .dh = &own,
    };
    struct mikey_key key;
    keyring_take(w, &w->call.decision, generation, &key);
    const bool values = w->call.method->exchanges && w->call.message.type != MIKEY_TYPE_ERROR;
    enum mikeyd_status status =
        values ? mikey_verify_exchange(&w->call.message, &expected, &key, w->secrets->psk_key, err)
               : mikey_verify_reply(&w->call.message, &expected, &key, err);
    if (status == MIKEYD_OK && w->call.message.type == MIKEY_TYPE_ERROR) {
        status = report_error(w, true, err);
        if (status == MIKEYD_UNSUPPORTED)
            take_peer_suites(w, keyring_bits(generation));
    }
    if (status == MIKEYD_OK && values)
        status = values_agree(w, &w->call.message.dh[0], true, err);
    if (status != MIKEYD_OK)
        return status;
    /* RFC 3830 6.1.1: the responder's choice for the SSRCs left open, and the ROCs that it states.
     */
    for (size_t i = 0; i < b->stream_count; i++) {
        b->streams[i].ssrc = w->call.message.cs[i].ssrc;
        b->streams[i].roc = w->call.message.cs[i].roc;
    }
    return MIKEYD_OK;
}

enum mikeyd_status exchange_confirm(struct exchange_worker *w, struct exchange_result *result,
                                    struct error *err)
{
    int64_t expires;
    uint8_t digest[1][STORE_DIGEST];
    const struct bound_generation *generation = NULL;
    enum mikeyd_status status = request_open_ticket(w, BUNDLE_CONFIRMS, &expires, err);
    if (status == MIKEYD_OK)
        status = check_policy(w, &generation, err);
    if (status == MIKEYD_OK)
        status = name_ticket(w, digest, err);
    if (status == MIKEYD_OK)
        status = parse(w, err);
    if (status == MIKEYD_OK)
        status = verify(w, generation, err);
    /* Used up only by a reply that verified: a forged one cannot spoil the ticket. */
    const struct store_time time = ticket_time(w);
    if (status == MIKEYD_OK)
        status = store_insert(w->service->config.store, &time, digest, 1, expires + 1, NULL, err);
    if (status != MIKEYD_OK)
        return status;
    w->call.bundle.role = BUNDLE_INITIATOR;
    return request_finish(w, AUDIT_CONFIRM, true, result, err);
}
