/* What every successful operation ends with. */
#include "exchange/service.h"

#include <stdio.h>
#include <string.h>

#include "base/secret.h"

static enum mikeyd_status derive_session_keys(struct exchange_worker *w, struct error *err)
{
    const struct bundle *b = &w->call.bundle;
    enum mikey_prf prf =
        b->algorithms == MIKEY_ALGORITHMS_256 ? MIKEY_PRF_HMAC_SHA256 : MIKEY_PRF_1;
    const struct bundle_keys *keys = &w->secrets->keys;
    if (b->stream_count * keys->count > MIKEY_CS_MAX)
        return error_set(err, MIKEYD_UNSUPPORTED, "%zu keys for each of %zu streams", keys->count,
                         b->stream_count);
    for (size_t i = 0; i < keys->count; i++)
        memcpy(w->call.mki[i], keys->key[i].mki, keys->mki_len);
    /* RFC 3830 6.13: each key serves every stream, and the MKI says which is in use. */
    for (size_t i = 0; i < b->stream_count * keys->count; i++) {
        const struct mikey_stream *stream = &b->streams[i / keys->count];
        const struct mikey_key_data key = bundle_key_view(keys, i % keys->count);
        struct exchange_key *out = &w->secrets->released[i];
        w->released_count = i + 1; /* to be wiped, also when the next line fails */
        *out = (struct exchange_key){
            .cs = (uint8_t)(i / keys->count + 1), /* RFC 3830 6.1.1: counted from 1 */
            .ssrc = stream->ssrc,
            .roc = stream->roc,
            .suite = stream->suite,
            .mki = keys->mki_len == 0 ? NULL : w->call.mki[i % keys->count],
            .mki_len = keys->mki_len,
        };
        enum mikeyd_status status = mikey_session_key(prf, &key, out->cs, b->csb_id, b->rand,
                                                      b->rand_len, out->suite, &out->value, err);
        if (status != MIKEYD_OK)
            return status;
    }
    return MIKEYD_OK;
}

/* The distinct suites in order of first use, comma separated. */
static const char *suites_text(struct exchange_worker *w)
{
    uint32_t seen = 0;
    size_t at = 0;
    w->suites_text[0] = '\0';
    for (size_t i = 0; i < w->call.bundle.stream_count; i++) {
        enum srtp_suite suite = w->call.bundle.streams[i].suite;
        if ((seen & 1u << suite) != 0)
            continue;
        seen |= 1u << suite;
        int n = snprintf(w->suites_text + at, sizeof w->suites_text - at, "%s%s",
                         at == 0 ? "" : ",", srtp_suite_info(suite)->name);
        if (n < 0 || (size_t)n >= sizeof w->suites_text - at)
            break;
        at += (size_t)n;
    }
    return w->suites_text;
}

static const char *record_detail(const struct exchange_worker *w, enum audit_event event)
{
    if (w->call.bundle.updates != 0)
        return event == AUDIT_RESPOND ? "update of the bundle" : NULL;
    return event == AUDIT_CONFIRM ? NULL : w->call.method->detail;
}

static enum mikeyd_status append_record(struct exchange_worker *w, enum audit_event event,
                                        uint64_t *sequence, struct error *err)
{
    const struct bundle *b = &w->call.bundle;
    char mark[STORE_MARK];
    (void)snprintf(w->key_text, sizeof w->key_text, "%s/%u", b->key_name, b->generation);
    store_get_mark(w->service->config.store, mark);
    const struct audit_record record = {
        .event = event,
        .status = MIKEYD_OK,
        .client = w->call.client->name,
        .from = w->call.from,
        .to = w->call.to,
        .has_csb_id = true,
        .csb_id = b->csb_id,
        .key = w->key_text,
        .method = w->call.method->name,
        .algorithms = mikey_algorithms_name(b->algorithms),
        .suites = suites_text(w),
        .prf = request_prf(w),
        .keys = (unsigned)w->released_count,
        .psk_uses = request_uses(w),
        .reference = b->reference[0] == '\0' ? NULL : b->reference,
        .policy_sha256 = policy_sha256(w->call.binding->policy),
        .store = mark,
        .detail = record_detail(w, event),
    };
    enum mikeyd_status status = audit_append(w->service->config.audit, &record, sequence, err);
    if (status == MIKEYD_OK)
        w->unrecorded_uses = 0;
    return status;
}

enum mikeyd_status request_finish(struct exchange_worker *w, enum audit_event event, bool release,
                                  struct exchange_result *result, struct error *err)
{
    enum mikeyd_status status = release ? derive_session_keys(w, err) : MIKEYD_OK;
    if (status != MIKEYD_OK)
        return status;
    const struct exchange_service_config *config = &w->service->config;
    unsigned lifetime =
        w->call.bundle.role == BUNDLE_AWAITS_REPLY ? config->ticket_s : config->update_ticket_s;
    struct byte_writer ticket = writer_of(w->ticket, sizeof w->ticket);
    status =
        ticket_seal(w->cipher, w->service->ticket_keys, w->call.now, w->call.now + lifetime,
                    &w->call.bundle, &w->secrets->keys, &w->secrets->scratch.ticket, &ticket, err);
    if (status != MIKEYD_OK)
        return status;
    uint64_t sequence = 0;
    status = append_record(w, event, &sequence, err);
    if (status != MIKEYD_OK)
        return status;
    *result = (struct exchange_result){
        .message = w->call.out_len == 0 ? NULL : w->out,
        .message_len = w->call.out_len,
        .ticket = w->ticket,
        .ticket_len = ticket.len,
        .keys = w->released_count == 0 ? NULL : w->secrets->released,
        .key_count = w->released_count,
        .from = bundle_identity_view(&w->call.bundle.initiator),
        .to = bundle_identity_view(&w->call.bundle.responder),
        .csb_id = w->call.bundle.csb_id,
        .audit_sequence = sequence,
    };
    return MIKEYD_OK;
}
