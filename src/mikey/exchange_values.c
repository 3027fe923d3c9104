/* The answer of a method that exchanges Diffie-Hellman values (RFC 4650 3), made and checked. */
#include <string.h>

#include "base/secret.h"
#include "mikey/exchange.h"
#include "mikey/wire.h"

/* RFC 4650 3: IDr is recommended, IDi shall be there; order IDr, IDi. */
static void write_head(const struct mikey_message *m, const struct mikey_cs *cs,
                       const struct identity *idi, struct byte_writer *out)
{
    const struct mikey_method *method = mikey_message_method(m);
    const uint8_t after = m->dh_count != 0 ? MIKEY_PAYLOAD_DH : MIKEY_PAYLOAD_KEMAC;
    const struct mikey_header header = {.type = method->answer_type,
                                        .next = MIKEY_PAYLOAD_T,
                                        .prf = m->prf,
                                        .csb_id = m->csb_id,
                                        .map_type = m->map_type,
                                        .cs_announced = (uint8_t)m->cs_count,
                                        .cs = cs};
    mikey_header_write(out, &header);
    mikey_timestamp_write(out, MIKEY_PAYLOAD_ID, &m->t);
    mikey_identity_write(out, MIKEY_PAYLOAD_ID, mikey_idr(m));
    mikey_identity_write(out, method->mark != NULL ? MIKEY_PAYLOAD_EXTENSION : after, idi);
    if (method->mark != NULL)
        mikey_extension_write(out, after, MIKEY_EXTENSION_VENDOR, method->mark,
                              strlen(method->mark));
}

enum mikeyd_status mikey_draft_exchange(const struct mikey_message *m, const struct mikey_cs *cs,
                                        const struct mikey_dh *own, const struct identity *idi,
                                        struct byte_writer *out, struct mikey_covered *covered,
                                        struct error *err)
{
    *covered = (struct mikey_covered){0};
    if (m->type != MIKEY_TYPE_DHHMAC_INIT || out->len != 0 || out->failed)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "not an I_MESSAGE with a value to answer");
    if ((own != NULL) != (m->dh_count != 0) || (own != NULL && own->group != m->dh[0].group) ||
        mikey_cs_check_answer(m->cs, cs, m->cs_count, err) != MIKEYD_OK)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "group or SSRCs do not answer the message");
    write_head(m, cs, idi, out);
    if (own != NULL) {
        mikey_dh_write(out, MIKEY_PAYLOAD_DH, own);
        mikey_dh_write(out, MIKEY_PAYLOAD_KEMAC, &m->dh[0]);
    }
    writer_u8(out, MIKEY_PAYLOAD_LAST);
    writer_u8(out, MIKEY_ENCR_NULL);
    writer_u16(out, 0);
    writer_u8(out, m->mac_alg);
    covered->data[0] = out->data;
    covered->len[0] = out->len;
    covered->parts = 1;
    enum mikeyd_status status = mikey_writer_check(out, err);
    if (status != MIKEYD_OK) {
        out->len = 0;
        out->failed = true;
    }
    return status;
}

/* ---- at the initiator */

static bool same_id(const struct identity *given, const struct identity *expected)
{
    return given == NULL || identity_equal(given, expected);
}

static bool same_spi(const struct mikey_dh *a, const struct mikey_dh *b)
{
    return a->spi_len == b->spi_len &&
           (a->spi_len == 0 || memcmp(a->spi, b->spi, a->spi_len) == 0); /* public */
}

/* DHr, and DHi given back: what is not the value that was sent answers another message. */
static enum mikeyd_status check_values(const struct mikey_message *r, const struct mikey_dh *sent,
                                       struct error *err)
{
    const struct mikey_dh *theirs = &r->dh[0], *back = &r->dh[1];
    if (r->dh_count != 2)
        return error_set(err, MIKEYD_SYNTAX, "the answer has no Diffie-Hellman values");
    if (back->group != sent->group || back->len != sent->len || !same_spi(back, sent) ||
        memcmp(back->value, sent->value, sent->len) != 0) /* public */
        return error_set(err, MIKEYD_SYNTAX,
                         "the answer does not give back the Diffie-Hellman value it answers");
    if (theirs->group != sent->group)
        return error_set(err, MIKEYD_SYNTAX, "the answer is in another Diffie-Hellman group");
    if (theirs->spi_len != 0 && !same_spi(theirs, sent))
        return error_set(err, MIKEYD_SYNTAX, "the answer has another MKI");
    return MIKEYD_OK;
}

static enum mikeyd_status check_answer(const struct mikey_message *r,
                                       const struct mikey_expected_reply *expected,
                                       struct error *err)
{
    enum mikey_algorithms algorithms;
    if (r->type != MIKEY_TYPE_DHHMAC_RESP)
        return error_set(err, MIKEYD_SYNTAX, "not the answer of %s", expected->method->name);
    /* Never less than what was offered, and nothing else either. */
    if (mikey_message_method(r) != expected->method)
        return error_set(err, MIKEYD_POLICY, "%s was offered, the answer is of %s",
                         expected->method->name, mikey_message_method(r)->name);
    if (r->csb_id != expected->csb_id)
        return error_set(err, MIKEYD_SYNTAX, "the answer is to another crypto session bundle");
    if (!mikey_message_algorithms(r, &algorithms) || algorithms != expected->algorithms)
        return error_set(err, MIKEYD_UNSUPPORTED, "the answer uses other algorithms");
    const bool same_t = r->t.type == expected->t.type && r->t.raw_len == expected->t.raw_len &&
                        memcmp(r->t.raw, expected->t.raw, expected->t.raw_len) == 0; /* public */
    if (!same_t && !expected->rules.any_timestamp)
        return error_set(err, MIKEYD_SYNTAX, "the answer does not repeat the timestamp");
    if (!same_id(mikey_idi(r), &expected->idi) || !same_id(mikey_idr(r), &expected->idr))
        return error_set(err, MIKEYD_SYNTAX, "the answer names another initiator or responder");
    return check_values(r, expected->dh, err);
}

enum mikeyd_status mikey_verify_exchange(const struct mikey_message *r,
                                         const struct mikey_expected_reply *expected,
                                         const struct mikey_key *key, uint8_t *psk_key,
                                         struct error *err)
{
    enum mikeyd_status status = check_answer(r, expected, err);
    if (status == MIKEYD_OK)
        status = mikey_check_answer_streams(r, expected, err);
    if (status == MIKEYD_OK && r->mac_at > MIKEY_COVERED_MAX)
        status = error_set(err, MIKEYD_UNSUPPORTED, "an answer of more than %d bytes",
                           MIKEY_COVERED_MAX);
    if (status != MIKEYD_OK)
        return status;
    struct mikey_key_open job = {.what = {.prf = (enum mikey_prf)r->prf,
                                          .csb_id = r->csb_id,
                                          .rand = expected->rand,
                                          .rand_len = expected->rand_len,
                                          .encryption = MIKEY_ENCR_NULL,
                                          .mac = r->mac_alg},
                                 .covered = r->bytes,
                                 .covered_len = r->mac_at,
                                 .mac = &r->bytes[r->mac_at],
                                 .purpose = expected->method->psk_key,
                                 .psk_key = psk_key};
    return key->ops->open(key, &job, err);
}
