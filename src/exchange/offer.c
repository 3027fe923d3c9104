/* Building and sending an I_MESSAGE: what initiate and update share. */
#include "exchange/service.h"

#include <string.h>

#include <openssl/rand.h>

#include "base/secret.h"

#define UPDATE_MKI_BYTES 4

static enum mikeyd_status stream_suite(const struct exchange_worker *w,
                                       const struct exchange_stream *stream, enum srtp_suite *out,
                                       struct error *err)
{
    *out = w->call.decision.first_suite;
    if (stream->suite == NULL || *stream->suite == '\0' || srtp_suite_by_name(stream->suite, out))
        return MIKEYD_OK;
    return error_set(err, MIKEYD_UNSUPPORTED, "suite %.60s is not known", stream->suite);
}

/*
 * RFC 3830 6.1.1: the ROC of a stream that runs. True when the stream is one that the bundle has
 * (of its first `known`), and not one to be added.
 */
static bool state_roc(struct bundle *b, size_t known, const struct exchange_stream *asked)
{
    for (size_t i = 0; i < known; i++) {
        if (b->streams[i].ssrc == asked->ssrc) {
            b->streams[i].roc = asked->roc;
            return true;
        }
    }
    return false;
}

enum mikeyd_status offer_add_streams(struct exchange_worker *w, unsigned key_bits,
                                     struct error *err)
{
    const struct exchange_request *request = w->call.request;
    struct bundle *b = &w->call.bundle;
    if (request->stream_count > MIKEY_CS_MAX - b->stream_count)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "a bundle has at most %d streams",
                         MIKEY_CS_MAX);
    const size_t known = b->stream_count;
    for (size_t i = 0; i < request->stream_count; i++) {
        const struct exchange_stream *asked = &request->streams[i];
        if (asked->roc != 0 && state_roc(b, known, asked))
            continue;
        struct mikey_stream *stream = &b->streams[b->stream_count];
        *stream = (struct mikey_stream){.ssrc = asked->ssrc, .roc = asked->roc};
        /* Without a reply the initiator would never learn the SSRC the responder chose. */
        if (stream->ssrc == 0 && !request->verify) {
            return error_set(err, MIKEYD_INVALID_ARGUMENT,
                             "stream %zu leaves its SSRC to the responder: that needs a "
                             "verification message",
                             i + 1);
        }
        enum mikeyd_status status = stream_suite(w, asked, &stream->suite, err);
        if (status == MIKEYD_OK)
            status = request_check_suite(w, stream->suite, key_bits, err);
        if (status != MIKEYD_OK)
            return status;
        b->stream_count++;
    }
    return MIKEYD_OK;
}

/* RFC 3830 A.1: a distinct MKI for each TGK, or a switch of keys cannot be seen. */
static bool mki_is_taken(const struct bundle_keys *old, const uint8_t *mki, size_t len)
{
    for (size_t i = 0; len != 0 && len == old->mki_len && i < old->count; i++) {
        if (memcmp(mki, old->key[i].mki, len) == 0) /* public */
            return true;
    }
    return false;
}

/*
 * RFC 3711 3.2.1: presence and length of the MKI are fixed for the life of an SRTP context, so an
 * update keeps the length that the bundle began with. One that began without, and has several
 * streams, gets an MKI all the same unless the policy says `mki_bytes: 0`: only an SPI tells the
 * receiver which stream has switched already (RFC 3830 4.5), and its contexts begin anew.
 */
static size_t mki_len(const struct exchange_worker *w)
{
    const struct bundle *b = &w->call.bundle;
    const size_t wanted = w->call.decision.mki_bytes;
    if (b->updates == 0)
        return wanted;
    if (w->secrets->keys.mki_len != 0)
        return w->secrets->keys.mki_len;
    if (b->stream_count == 1 || w->call.decision.mki_never)
        return 0;
    return wanted != 0 ? wanted : UPDATE_MKI_BYTES;
}

static enum mikeyd_status make_mki(const struct exchange_worker *w, uint8_t fresh[BUNDLE_MKI_MAX],
                                   size_t len, struct error *err)
{
    do {
        if (RAND_bytes(fresh, (int)len) != 1)
            return error_set(err, MIKEYD_INTERNAL, "no random bytes");
    } while (mki_is_taken(&w->secrets->keys, fresh, len));
    return MIKEYD_OK;
}

enum mikeyd_status offer_check_answer(const struct exchange_worker *w, struct error *err)
{
    if (w->call.request->verify || !w->call.method->exchanges)
        return MIKEYD_OK;
    return error_set(err, MIKEYD_INVALID_ARGUMENT,
                     "with %s there are no keys before the answer: ask for verification, or name "
                     "another method",
                     w->call.method->setting);
}

enum mikeyd_status offer_make_key(struct exchange_worker *w, unsigned key_bits, struct error *err)
{
    const struct bundle *b = &w->call.bundle;
    struct bundle_keys *keys = &w->secrets->keys;
    struct bundle_key *key = &keys->key[0];
    uint8_t mki[BUNDLE_MKI_MAX];
    const struct mikey_method *method = w->call.method;
    const size_t len = method->transports || method->exchanges ? mki_len(w) : 0;
    enum mikeyd_status status = make_mki(w, mki, len, err);
    if (status != MIKEYD_OK)
        return status;
    secret_wipe(keys, sizeof *keys);
    keys->count = 1;
    keys->mki_len = len;
    memcpy(key->mki, mki, len);
    key->type = MIKEY_KEY_TGK;
    if (method->exchanges)
        return values_make(w, err); /* the answer makes the key */
    if (!method->transports)
        return MIKEYD_OK; /* the key of the pair makes it, in seal() */
    /* RFC 3830 9.1: no TGK stronger than the key that transports it. */
    key->key_len = b->algorithms == MIKEY_ALGORITHMS_256 && key_bits >= 256 ? 32 : 16;
    if (RAND_priv_bytes(key->key, (int)key->key_len) != 1)
        return error_set(err, MIKEYD_INTERNAL, "no random bytes");
    return MIKEYD_OK;
}

/*
 * Both ends may update at the same moment, and a PSK that serves both directions gives their messages
 * one encryption key, whose key streams T alone keeps apart (RFC 3830 4.2.3). So each end has the
 * times with one value of this bit, a quarter of a millisecond each, to itself.
 */
#define T_SIDE (UINT64_C(1) << 20)

static uint64_t side_of(const struct bundle *b)
{
    const struct bundle_identity *own = &b->initiator, *peer = &b->responder;
    const size_t common = own->len < peer->len ? own->len : peer->len;
    int order = (int)own->type - (int)peer->type;
    if (order == 0)
        order = memcmp(own->data, peer->data, common); /* public */
    if (order == 0)
        order = (int)own->len - (int)peer->len;
    return order < 0 ? 0 : T_SIDE;
}

/* Later than the one before in its bundle, whoever sent that: what the responder asks of an update. */
static enum mikeyd_status stamp_update(struct exchange_worker *w, struct error *err)
{
    const struct bundle *b = &w->call.bundle;
    uint64_t *t = &w->call.bundle.t.value, after = *t;
    enum mikeyd_status status;
    do {
        status = store_unique_timestamp(w->service->config.store, &after, t, err);
        after = *t | (T_SIDE - 1);
    } while (status == MIKEYD_OK && (*t & T_SIDE) != side_of(b));
    return status;
}

/* RFC 3830 5.2: unique for every message of this sender. */
static enum mikeyd_status stamp(struct exchange_worker *w, bool update, struct error *err)
{
    struct mikey_timestamp *t = &w->call.bundle.t;
    enum mikeyd_status status =
        update ? stamp_update(w, err)
               : store_unique_timestamp(w->service->config.store, NULL, &t->value, err);
    if (status != MIKEYD_OK)
        return status;
    t->type = MIKEY_TS_NTP_UTC;
    t->raw_len = sizeof t->raw;
    struct byte_writer raw = writer_of(t->raw, sizeof t->raw);
    writer_u64(&raw, t->value);
    return MIKEYD_OK;
}

static enum mikeyd_status seal(struct exchange_worker *w, bool update,
                               const struct bound_generation *generation, struct error *err)
{
    const struct bundle *b = &w->call.bundle;
    const struct mikey_key_data tgk = bundle_key_view(&w->secrets->keys, 0);
    const struct mikey_dh own = values_own(w);
    const struct mikey_init init = {
        .algorithms = b->algorithms,
        .verify = w->call.request->verify,
        .update = update,
        .csb_id = b->csb_id,
        .t = b->t.value,
        .rand = b->rand,
        .rand_len = b->rand_len,
        .idi = bundle_identity_view(&b->initiator),
        .idr = bundle_identity_view(&b->responder),
        .streams = b->streams,
        .stream_count = b->stream_count,
        .keys = &tgk,
        .key_count = w->call.method->transports ? 1 : 0,
        .dh = w->call.method->exchanges ? &own : NULL,
        .sdp_ids = request_protocols(w->call.request),
        .method = w->call.method,
    };
    struct mikey_key key;
    enum mikeyd_status status = MIKEYD_OK;
    keyring_take(w, &w->call.decision, generation, &key);
    if (w->call.method->tgk != NULL)
        status = request_compute_tgk(w, &key, err);
    if (status != MIKEYD_OK)
        return status;
    struct byte_writer out = writer_of(w->out, sizeof w->out);
    status = mikey_seal_init(&init, &key, &w->secrets->scratch.plain, &out, err);
    w->call.out_len = status == MIKEYD_OK ? out.len : 0;
    return status;
}

enum mikeyd_status offer_send(struct exchange_worker *w, bool update,
                              const struct bound_generation *generation, enum audit_event event,
                              struct exchange_result *result, struct error *err)
{
    enum mikeyd_status status = stamp(w, update, err);
    if (status == MIKEYD_OK)
        status = seal(w, update, generation, err);
    if (status != MIKEYD_OK)
        return status;
    /* Keys before the verification message would be keys the peer may never have accepted. */
    w->call.bundle.role = w->call.request->verify ? BUNDLE_AWAITS_REPLY : BUNDLE_INITIATOR;
    return request_finish(w, event, !w->call.request->verify, result, err);
}
