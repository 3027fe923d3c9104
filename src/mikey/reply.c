/* The verification message and the error message (RFC 3830 3.1, 5.1.2, 5.2, 5.4). */
#include "base/secret.h"
#include "mikey/exchange.h"
#include "mikey/wire.h"

static void covered_add(struct mikey_covered *c, const uint8_t *data, size_t len)
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
        /* A stream's sender states its SSRC and its ROC; the offer of one that has none is 0. */
        bool stated =
            answer[i].ssrc == offer[i].ssrc && (offer[i].roc == 0 || answer[i].roc == offer[i].roc);
        if (answer[i].policy != offer[i].policy || (offer[i].ssrc != 0 && !stated))
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

/*
 * The last payload but for Ver data, and what that covers: the message up to Auth alg, then IDi,
 * IDr and T as they were transported (RFC 3830 5.2); an ID that was not adds nothing.
 */
static enum mikeyd_status begin_v(const struct mikey_message *m,
                                  const struct mikey_reply_rules *rules, struct byte_writer *out,
                                  struct mikey_covered *covered, struct error *err)
{
    size_t mac_len = 0;
    *covered = (struct mikey_covered){0};
    if (!mikey_mac_len(m->mac_alg, &mac_len) || mac_len == 0)
        return error_set(err, MIKEYD_UNSUPPORTED, "no algorithm for V");
    writer_u8(out, MIKEY_PAYLOAD_LAST);
    writer_u8(out, m->mac_alg);
    covered_add(covered, out->data, out->len);
    for (size_t i = 0; i < m->id_count && !rules->v_covers_t_only; i++)
        covered_add(covered, m->id[i].data, m->id[i].len);
    covered_add(covered, m->t.raw, m->t.raw_len);
    return mikey_writer_check(out, err);
}

static enum mikeyd_status drop_on_failure(enum mikeyd_status status, struct byte_writer *out)
{
    if (status != MIKEYD_OK) {
        out->len = 0;
        out->failed = true;
    }
    return status;
}

enum mikeyd_status mikey_draft_reply(const struct mikey_message *m, const struct mikey_cs *cs,
                                     const struct mikey_reply_rules *rules, struct byte_writer *out,
                                     struct mikey_covered *covered, struct error *err)
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
    return drop_on_failure(begin_v(m, rules, out, covered, err), out);
}

/* V of an error message: authentic for whoever holds the key, a hint for everybody else. */
static enum mikeyd_status sign_error(const struct mikey_message *m,
                                     const struct mikey_reply_rules *rules, const uint8_t *rand,
                                     size_t rand_len, const struct mikey_key *key,
                                     struct byte_writer *out, struct error *err)
{
    struct mikey_key_tag job = {.what = {.prf = (enum mikey_prf)m->prf,
                                         .csb_id = m->csb_id,
                                         .rand = rand,
                                         .rand_len = rand_len,
                                         .encryption = MIKEY_ENCR_NULL,
                                         .mac = m->mac_alg}};
    enum mikeyd_status status = begin_v(m, rules, out, &job.covered, err);
    if (status != MIKEYD_OK)
        return status;
    uint8_t *v = writer_room(out, m->mac_len);
    status = mikey_writer_check(out, err);
    return status == MIKEYD_OK ? key->ops->tag(key, &job, v, err) : status;
}

/* The suites as SP payloads, numbered from 0 (RFC 3830 5.1.2); `last` follows them. */
static void write_policies(struct byte_writer *out, uint32_t suites, uint8_t last)
{
    uint8_t number = 0;
    for (unsigned i = 0; i < SRTP_SUITE_COUNT; i++) {
        const uint32_t bit = UINT32_C(1) << i;
        if ((suites & bit) == 0)
            continue;
        suites &= ~bit;
        mikey_sp_write(out, suites != 0 ? MIKEY_PAYLOAD_SP : last, number++, (enum srtp_suite)i);
    }
}

enum mikeyd_status mikey_build_error(const struct mikey_message *m, const struct mikey_refusal *why,
                                     const uint8_t *rand, size_t rand_len,
                                     const struct mikey_key *key, struct byte_writer *out,
                                     struct error *err)
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
    const uint32_t suites = why->suites & ((UINT32_C(1) << SRTP_SUITE_COUNT) - 1);
    const uint8_t end = key == NULL ? MIKEY_PAYLOAD_LAST : MIKEY_PAYLOAD_V;
    writer_u8(out, suites != 0 ? MIKEY_PAYLOAD_SP : end);
    writer_u8(out, why->number);
    writer_u16(out, 0);
    write_policies(out, suites, end);
    enum mikeyd_status status = key == NULL
                                    ? mikey_writer_check(out, err)
                                    : sign_error(m, &why->rules, rand, rand_len, key, out, err);
    return drop_on_failure(status, out);
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

enum mikeyd_status mikey_check_answer_streams(const struct mikey_message *r,
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

enum mikeyd_status mikey_verify_reply(const struct mikey_message *r,
                                      const struct mikey_expected_reply *expected,
                                      const struct mikey_key *key, struct error *err)
{
    enum mikeyd_status status = check_answer(r, expected, err);
    if (status == MIKEYD_OK)
        status = mikey_check_answer_streams(r, expected, err);
    if (status == MIKEYD_OK && r->mac_at > MIKEY_COVERED_MAX)
        status = error_set(err, MIKEYD_UNSUPPORTED, "an answer of more than %d bytes",
                           MIKEY_COVERED_MAX);
    if (status != MIKEYD_OK)
        return status;
    struct mikey_algorithm_numbers numbers = mikey_algorithm_numbers(expected->algorithms);
    struct mikey_key_tag job = {
        .what = {.prf = (enum mikey_prf)numbers.prf,
                 .csb_id = expected->csb_id,
                 .rand = expected->rand,
                 .rand_len = expected->rand_len,
                 .encryption = MIKEY_ENCR_NULL, /* V needs the authentication key alone */
                 .mac = numbers.mac}};
    covered_add(&job.covered, r->bytes, r->mac_at);
    if (!expected->rules.v_covers_t_only) {
        covered_add(&job.covered, expected->idi.data, expected->idi.len);
        covered_add(&job.covered, expected->idr.data, expected->idr.len);
    }
    covered_add(&job.covered, expected->t.raw, expected->t.raw_len);
    return key->ops->check(key, &job, &r->bytes[r->mac_at], err);
}
