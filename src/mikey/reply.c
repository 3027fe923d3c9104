/* The verification message and the error message (RFC 3830 3.1, 5.1.2, 5.2, 5.4). */
#include "base/secret.h"
#include "mikey/exchange.h"
#include "mikey/wire.h"

/* RFC 3830 5.2: V covers the message up to Auth alg, then IDi, IDr and T as they were transported;
 * an ID that was not adds nothing. */
struct covered {
    const uint8_t *data[4];
    size_t len[4];
    size_t parts;
};

static void covered_add(struct covered *c, const uint8_t *data, size_t len)
{
    c->data[c->parts] = data;
    c->len[c->parts] = len;
    c->parts++;
}

enum mikeyd_status mikey_cs_check_answer(const struct mikey_cs *offer,
                                         const struct mikey_cs *answer, size_t count,
                                         struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        bool kept = answer[i].policy == offer[i].policy && answer[i].roc == offer[i].roc &&
                    (offer[i].ssrc == 0 || answer[i].ssrc == offer[i].ssrc);
        if (!kept)
            return error_set(err, MIKEYD_SYNTAX, "CS %zu differs from the I_MESSAGE", i + 1);
        if (answer[i].ssrc == 0)
            return error_set(err, MIKEYD_SYNTAX, "CS %zu is without an SSRC", i + 1);
        if (offer[i].ssrc != 0)
            continue;
        for (size_t j = 0; j < count; j++) {
            if (j != i && answer[j].ssrc == answer[i].ssrc) {
                return error_set(err, MIKEYD_SYNTAX, "CS %zu and CS %zu: same SSRC", j + 1, i + 1);
            }
        }
    }
    return MIKEYD_OK;
}

/* Auth alg and Ver data, the end of a message. */
static enum mikeyd_status write_v(const struct mikey_message *m,
                                  const struct mikey_reply_rules *rules,
                                  const struct mikey_psk *psk, struct mikey_message_keys *keys,
                                  struct byte_writer *out, struct error *err)
{
    size_t mac_len = 0;
    if (!mikey_mac_len(keys->what.mac, &mac_len) || mac_len == 0)
        return error_set(err, MIKEYD_UNSUPPORTED, "no algorithm for V");
    writer_u8(out, MIKEY_PAYLOAD_LAST);
    writer_u8(out, keys->what.mac);
    struct covered c = {0};
    covered_add(&c, out->data, out->len);
    for (size_t i = 0; i < m->id_count && !rules->v_covers_t_only; i++)
        covered_add(&c, m->id[i].data, m->id[i].len);
    covered_add(&c, m->t.raw, m->t.raw_len);
    uint8_t *tag = writer_room(out, mac_len);
    enum mikeyd_status status = mikey_writer_check(out, err);
    if (status != MIKEYD_OK)
        return status;
    return psk->ops->mac(psk, keys, c.data, c.len, c.parts, tag, err);
}

static enum mikeyd_status drop_on_failure(enum mikeyd_status status, struct byte_writer *out)
{
    if (status != MIKEYD_OK) {
        out->len = 0;
        out->failed = true;
    }
    return status;
}

enum mikeyd_status mikey_seal_reply(const struct mikey_message *m, const struct mikey_cs *cs,
                                    const struct mikey_reply_rules *rules,
                                    const struct mikey_psk *psk, struct mikey_message_keys *keys,
                                    struct byte_writer *out, struct error *err)
{
    if (m->type != MIKEY_TYPE_PSK_INIT || out->len != 0 || out->failed)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "not an I_MESSAGE to answer");
    if (mikey_cs_check_answer(m->cs, cs, m->cs_count, err) != MIKEYD_OK)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "the SSRCs do not answer the I_MESSAGE");
    bool idr = m->id_count == 2;
    const struct mikey_header header = {.type = MIKEY_TYPE_PSK_RESP,
                                        .next = MIKEY_PAYLOAD_T,
                                        .prf = m->prf,
                                        .csb_id = m->csb_id,
                                        .map_type = m->map_type,
                                        .cs_announced = (uint8_t)m->cs_count,
                                        .cs = cs};
    mikey_header_write(out, &header);
    mikey_timestamp_write(out, idr ? MIKEY_PAYLOAD_ID : MIKEY_PAYLOAD_V, &m->t);
    if (idr)
        mikey_identity_write(out, MIKEY_PAYLOAD_V, &m->id[1]);
    return drop_on_failure(write_v(m, rules, psk, keys, out, err), out);
}

enum mikeyd_status mikey_build_error(const struct mikey_message *m, uint8_t error_number,
                                     const struct mikey_psk *psk, struct mikey_message_keys *keys,
                                     struct byte_writer *out, struct error *err)
{
    if (m->t.raw_len == 0 || out->len != 0 || out->failed)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "not a message to answer");
    const struct mikey_header header = {.type = MIKEY_TYPE_ERROR,
                                        .next = MIKEY_PAYLOAD_T,
                                        .prf = m->prf,
                                        .csb_id = m->csb_id,
                                        .map_type = MIKEY_MAP_SRTP};
    mikey_header_write(out, &header);
    mikey_timestamp_write(out, MIKEY_PAYLOAD_ERR, &m->t);
    writer_u8(out, psk == NULL ? MIKEY_PAYLOAD_LAST : MIKEY_PAYLOAD_V);
    writer_u8(out, error_number);
    writer_u16(out, 0);
    if (psk == NULL)
        return drop_on_failure(mikey_writer_check(out, err), out);
    const struct mikey_reply_rules rules = {0};
    return drop_on_failure(write_v(m, &rules, psk, keys, out, err), out);
}

/* RFC 3830 5.4: what must hold of an answer before any key is used on it. */
static enum mikeyd_status check_answer(const struct mikey_message *r,
                                       const struct mikey_expected_reply *expected,
                                       struct error *err)
{
    struct mikey_algorithm_numbers numbers = mikey_algorithm_numbers(expected->algorithms);
    if ((r->type != MIKEY_TYPE_PSK_RESP && r->type != MIKEY_TYPE_ERROR) || !r->has_v)
        return error_set(err, MIKEYD_SYNTAX, "not a verification message");
    if (r->csb_id != expected->csb_id)
        return error_set(err, MIKEYD_SYNTAX, "the answer is to another crypto session bundle");
    if (r->prf != numbers.prf || r->mac_alg != numbers.mac)
        return error_set(err, MIKEYD_UNSUPPORTED, "the answer uses other algorithms");
    bool same_t = r->t.type == expected->t.type && r->t.raw_len == expected->t.raw_len &&
                  secret_equal(r->t.raw, expected->t.raw, expected->t.raw_len);
    if (!same_t && !expected->rules.any_timestamp)
        return error_set(err, MIKEYD_SYNTAX, "the answer does not repeat the timestamp");
    if (r->id_count == 1 && !identity_equal(&r->id[0], &expected->idr))
        return error_set(err, MIKEYD_SYNTAX, "the answer names another responder");
    return MIKEYD_OK;
}

static enum mikeyd_status check_streams(const struct mikey_message *r,
                                        const struct mikey_expected_reply *expected,
                                        struct error *err)
{
    if (r->type == MIKEY_TYPE_ERROR)
        return MIKEYD_OK; /* sets up nothing */
    if (r->map_type != MIKEY_MAP_SRTP || r->cs_count != expected->stream_count)
        return error_set(err, MIKEYD_SYNTAX, "the answer has other crypto sessions");
    struct mikey_cs offer[MIKEY_CS_MAX];
    for (size_t i = 0; i < r->cs_count; i++) {
        /* Policy numbers were given by first appearance of a suite: the CS map repeats them. */
        offer[i] = (struct mikey_cs){.policy = mikey_policy_number(expected->streams, i),
                                     .ssrc = expected->streams[i].ssrc,
                                     .roc = expected->streams[i].roc};
    }
    return mikey_cs_check_answer(offer, r->cs, r->cs_count, err);
}

static enum mikeyd_status check_v(const struct mikey_message *r,
                                  const struct mikey_expected_reply *expected,
                                  const struct mikey_psk *psk, struct mikey_message_keys *keys,
                                  struct error *err)
{
    struct covered c = {0};
    covered_add(&c, r->bytes, r->mac_at);
    if (!expected->rules.v_covers_t_only) {
        covered_add(&c, expected->idi.data, expected->idi.len);
        covered_add(&c, expected->idr.data, expected->idr.len);
    }
    covered_add(&c, expected->t.raw, expected->t.raw_len);
    uint8_t tag[HMAC_TAG_MAX];
    enum mikeyd_status status = psk->ops->mac(psk, keys, c.data, c.len, c.parts, tag, err);
    if (status == MIKEYD_OK && !secret_equal(tag, &r->bytes[r->mac_at], r->mac_len))
        status = error_set(err, MIKEYD_AUTH_FAILED, "V of the answer is wrong");
    secret_wipe(tag, sizeof tag);
    return status;
}

enum mikeyd_status mikey_verify_reply(const struct mikey_message *r,
                                      const struct mikey_expected_reply *expected,
                                      const struct mikey_psk *psk, struct mikey_message_keys *keys,
                                      struct error *err)
{
    enum mikeyd_status status = check_answer(r, expected, err);
    if (status == MIKEYD_OK)
        status = check_streams(r, expected, err);
    if (status != MIKEYD_OK)
        return status;
    struct mikey_algorithm_numbers numbers = mikey_algorithm_numbers(expected->algorithms);
    const struct mikey_derivation what = {
        .prf = (enum mikey_prf)numbers.prf,
        .csb_id = expected->csb_id,
        .rand = expected->rand,
        .rand_len = expected->rand_len,
        .encryption = MIKEY_ENCR_NULL, /* V needs the authentication key alone */
        .mac = numbers.mac};
    status = psk->ops->derive(psk, &what, keys, err);
    if (status != MIKEYD_OK)
        return status;
    status = check_v(r, expected, psk, keys, err);
    psk->ops->release(psk, keys);
    return status;
}
