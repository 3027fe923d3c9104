/* An I_MESSAGE from its parts (RFC 3830 3.1, 4.2.3, 4.5, 5.2). */
#include <string.h>

#include "base/secret.h"
#include "mikey/exchange.h"
#include "mikey/wire.h"

/* Everything that enters the message, worked out before the first byte is written. */
struct plan {
    const struct mikey_init *init;
    struct mikey_algorithm_numbers numbers;
    struct mikey_timestamp t;
    struct mikey_cs cs[MIKEY_CS_MAX];
    enum srtp_suite policies[SRTP_SUITE_COUNT]; /* index: policy number */
    uint8_t policy_count;
};

static const struct mikey_method *method_of(const struct mikey_init *init)
{
    return init->method == NULL ? &mikey_method_psk : init->method;
}

static enum mikeyd_status check_init(const struct mikey_init *init, struct error *err)
{
    if (init->rand_len < MIKEY_RAND_MIN || init->rand_len > MIKEY_RAND_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "RAND of %zu bytes", init->rand_len);
    if (init->stream_count > MIKEY_CS_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%zu streams", init->stream_count);
    /* RFC 3830 6.2: only an update may come without a key. */
    if (init->key_count == 0 && !init->update && method_of(init)->transports)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "no key to send");
    if (method_of(init)->exchanges) {
        /* RFC 4650 3.1: an update may keep the TGK. */
        const bool keeps = init->update && method_of(init)->mark == NULL;
        if (init->key_count != 0 || (init->dh == NULL && !keeps) || init->idr.len == 0)
            return error_set(err, MIKEYD_INVALID_ARGUMENT, "no message with a value to exchange");
    } else if (!method_of(init)->transports &&
               (init->update || init->key_count != 0 || init->rand_len < method_of(init)->rand_len))
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "no message for a derived TGK");
    /* A lone ID is read as IDi, so IDr cannot stand alone (RFC 3830 6.7 has no role field). */
    if (init->idi.len == 0 && init->idr.len != 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "IDr without IDi");
    return MIKEYD_OK;
}

static enum mikeyd_status plan_streams(struct plan *plan, struct error *err)
{
    const struct mikey_init *init = plan->init;
    for (size_t i = 0; i < init->stream_count; i++) {
        const struct mikey_stream *stream = &init->streams[i];
        if (srtp_suite_info(stream->suite) == NULL)
            return error_set(err, MIKEYD_INVALID_ARGUMENT, "stream %zu: no such suite", i + 1);
        for (size_t j = 0; stream->ssrc != 0 && j < i; j++) {
            if (init->streams[j].ssrc == stream->ssrc) {
                return error_set(err, MIKEYD_INVALID_ARGUMENT, "streams %zu and %zu: same SSRC",
                                 j + 1, i + 1);
            }
        }
        uint8_t number = mikey_policy_number(init->streams, i);
        plan->cs[i] = (struct mikey_cs){.policy = number, .ssrc = stream->ssrc, .roc = stream->roc};
        plan->policies[number] = stream->suite;
        if (number == plan->policy_count)
            plan->policy_count++;
    }
    return MIKEYD_OK;
}

static void plan_timestamp(struct plan *plan)
{
    plan->t =
        (struct mikey_timestamp){.type = MIKEY_TS_NTP_UTC, .raw_len = 8, .value = plan->init->t};
    struct byte_writer w = writer_of(plan->t.raw, sizeof plan->t.raw);
    writer_u64(&w, plan->t.value);
}

/* What follows the payload that is written, in the order of RFC 3830 figure 4.1. */
static uint8_t first_from(const struct plan *plan, enum mikey_payload from)
{
    const struct mikey_init *init = plan->init;
    switch (from) {
    case MIKEY_PAYLOAD_RAND:
        if (!init->update)
            return MIKEY_PAYLOAD_RAND;
        /* fall through */
    case MIKEY_PAYLOAD_ID:
        if (init->idi.len != 0)
            return MIKEY_PAYLOAD_ID;
        /* fall through */
    case MIKEY_PAYLOAD_EXTENSION:
        if (init->sdp_ids != NULL || method_of(init)->mark != NULL)
            return MIKEY_PAYLOAD_EXTENSION;
        /* fall through */
    case MIKEY_PAYLOAD_SP:
        if (plan->policy_count != 0)
            return MIKEY_PAYLOAD_SP;
        /* fall through */
    case MIKEY_PAYLOAD_DH:
        if (method_of(init)->exchanges && init->dh != NULL)
            return MIKEY_PAYLOAD_DH;
        /* fall through */
    default:
        return MIKEY_PAYLOAD_KEMAC;
    }
}

static void write_clear(const struct plan *plan, struct byte_writer *w)
{
    const struct mikey_init *init = plan->init;
    const struct mikey_header header = {.type = method_of(init)->init_type,
                                        .next = MIKEY_PAYLOAD_T,
                                        /* With Diffie-Hellman it has no meaning (RFC 3830 6.1). */
                                        .v = init->verify && !method_of(init)->exchanges,
                                        .prf = plan->numbers.prf,
                                        .csb_id = init->csb_id,
                                        .map_type = MIKEY_MAP_SRTP,
                                        .cs_announced = (uint8_t)init->stream_count,
                                        .cs = plan->cs};
    mikey_header_write(w, &header);
    mikey_timestamp_write(w, first_from(plan, MIKEY_PAYLOAD_RAND), &plan->t);
    if (!init->update) {
        writer_u8(w, first_from(plan, MIKEY_PAYLOAD_ID));
        writer_u8(w, (uint8_t)init->rand_len);
        writer_bytes(w, init->rand, init->rand_len);
    }
    uint8_t after_ids = first_from(plan, MIKEY_PAYLOAD_EXTENSION);
    if (init->idi.len != 0)
        mikey_identity_write(w, init->idr.len != 0 ? MIKEY_PAYLOAD_ID : after_ids, &init->idi);
    if (init->idr.len != 0)
        mikey_identity_write(w, after_ids, &init->idr);
    const uint8_t after_extensions = first_from(plan, MIKEY_PAYLOAD_SP);
    const char *mark = method_of(init)->mark;
    if (mark != NULL) {
        mikey_extension_write(w, init->sdp_ids != NULL ? MIKEY_PAYLOAD_EXTENSION : after_extensions,
                              MIKEY_EXTENSION_VENDOR, mark, strlen(mark));
    }
    if (init->sdp_ids != NULL)
        mikey_extension_write(w, after_extensions, MIKEY_EXTENSION_SDP_IDS, init->sdp_ids,
                              strlen(init->sdp_ids));
    for (uint8_t i = 0; i < plan->policy_count; i++) {
        mikey_sp_write(
            w, i + 1 < plan->policy_count ? MIKEY_PAYLOAD_SP : first_from(plan, MIKEY_PAYLOAD_DH),
            i, plan->policies[i]);
    }
    if (method_of(init)->exchanges && init->dh != NULL)
        mikey_dh_write(w, MIKEY_PAYLOAD_KEMAC, init->dh);
}

/* The message up to Encr data len, and the key data in clear beside it. */
static enum mikeyd_status write_head(const struct plan *plan, struct byte_writer *plain,
                                     struct byte_writer *out, struct error *err)
{
    enum mikeyd_status status =
        mikey_key_data_write(plain, plan->init->keys, plan->init->key_count, err);
    if (status == MIKEYD_OK)
        status = mikey_writer_check(plain, err);
    if (status != MIKEYD_OK)
        return status;
    write_clear(plan, out);
    writer_u8(out, MIKEY_PAYLOAD_LAST);
    writer_u8(out, method_of(plan->init)->exchanges ? MIKEY_ENCR_NULL : plan->numbers.encryption);
    writer_u16(out, (uint16_t)plain->len);
    return mikey_writer_check(out, err);
}

static enum mikeyd_status seal(const struct plan *plan, const struct mikey_key *key,
                               struct byte_writer *plain, struct byte_writer *out,
                               struct error *err)
{
    _Static_assert(MIKEY_PLAIN_MAX <= UINT16_MAX, "Encr data len has 16 bits");
    const struct mikey_init *init = plan->init;
    size_t mac_len = 0;
    enum mikeyd_status status = write_head(plan, plain, out, err);
    if (status != MIKEYD_OK)
        return status;
    struct mikey_key_seal job = {
        .what = {.prf = (enum mikey_prf)plan->numbers.prf,
                 .csb_id = init->csb_id,
                 .rand = init->rand,
                 .rand_len = init->rand_len,
                 /* Nothing to encrypt: the authentication key is all that is needed. */
                 .encryption = plain->len == 0 ? MIKEY_ENCR_NULL : plan->numbers.encryption,
                 .mac = plan->numbers.mac},
        .t = plan->t.value,
        .head = out->data,
        .head_len = out->len,
        .plain = plain->len == 0 ? NULL : plain->data,
        .plain_len = plain->len,
    };
    (void)mikey_mac_len(plan->numbers.mac, &mac_len);
    job.encrypted = writer_room(out, plain->len);
    writer_u8(out, plan->numbers.mac);
    job.mac = writer_room(out, mac_len);
    status = mikey_writer_check(out, err);
    return status == MIKEYD_OK ? key->ops->seal(key, &job, err) : status;
}

enum mikeyd_status mikey_seal_init(const struct mikey_init *init, const struct mikey_key *key,
                                   struct mikey_plain *plain, struct byte_writer *out,
                                   struct error *err)
{
    struct plan plan = {.init = init, .numbers = mikey_algorithm_numbers(init->algorithms)};
    enum mikeyd_status status = check_init(init, err);
    if (status == MIKEYD_OK)
        status = plan_streams(&plan, err);
    if (status == MIKEYD_OK && (out->len != 0 || out->failed))
        status = error_set(err, MIKEYD_INVALID_ARGUMENT, "the buffer is not empty");
    if (status != MIKEYD_OK)
        return status;
    plan_timestamp(&plan);
    struct byte_writer data = writer_of(plain->bytes, sizeof plain->bytes);
    status = seal(&plan, key, &data, out, err);
    secret_wipe(data.data, data.len);
    if (status != MIKEYD_OK) {
        secret_wipe(out->data, out->len);
        out->len = 0;
        out->failed = true;
    }
    return status;
}
