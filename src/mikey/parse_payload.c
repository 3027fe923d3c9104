/* The payloads of pre-shared key mode, one reader each (RFC 3830 6.2, 6.6 to 6.15). */
#include "mikey/parse.h"

#include <string.h>

static enum mikeyd_status malformed(struct mikey_parser *p, const char *what)
{
    return mikey_parser_refuse(p, MIKEYD_SYNTAX, MIKEY_ERROR_UNSPECIFIED, "%s", what);
}

static enum mikeyd_status truncated(struct mikey_parser *p)
{
    return malformed(p, "message ends inside it");
}

enum mikeyd_status mikey_parse_cs_map(struct mikey_parser *p, uint8_t announced)
{
    struct mikey_message *m = p->m;
    /* RFC 4563 5: the Empty map has no entries, whatever #CS says. */
    if (m->map_type == MIKEY_MAP_EMPTY)
        return MIKEYD_OK;
    if (m->map_type != MIKEY_MAP_SRTP) {
        return mikey_parser_refuse(p, MIKEYD_UNSUPPORTED, MIKEY_ERROR_UNSPECIFIED,
                                   "CS ID map type %u", m->map_type);
    }
    for (size_t i = 0; i < announced; i++) {
        m->cs[i].policy = reader_u8(&p->r);
        m->cs[i].ssrc = reader_u32(&p->r);
        m->cs[i].roc = reader_u32(&p->r);
    }
    if (p->r.failed)
        return malformed(p, "message ends inside the CS ID map");
    m->cs_count = announced;
    return MIKEYD_OK;
}

static enum mikeyd_status parse_t(struct mikey_parser *p)
{
    static const uint8_t lengths[] = {[MIKEY_TS_NTP_UTC] = 8,
                                      [MIKEY_TS_NTP] = 8,
                                      [MIKEY_TS_COUNTER] = 4,
                                      [MIKEY_TS_NTP_UTC_32] = 4};
    if (p->has_t)
        return malformed(p, "a second T");
    struct mikey_timestamp *t = &p->m->t;
    t->type = reader_u8(&p->r);
    if (!p->r.failed && t->type >= sizeof lengths) {
        return mikey_parser_refuse(p, MIKEYD_UNSUPPORTED, MIKEY_ERROR_TS, "TS type %u", t->type);
    }
    t->raw_len = p->r.failed ? 0 : lengths[t->type];
    reader_copy(&p->r, t->raw, t->raw_len);
    if (p->r.failed)
        return truncated(p);
    uint64_t value = 0;
    for (size_t i = 0; i < t->raw_len; i++)
        value = value << 8 | t->raw[i];
    /* RFC 6043 6.3: NTP-UTC-32 has seconds only, the fraction is zero. RFC 3830 6.6: COUNTER gets
     * leading zeros. */
    t->value = t->type == MIKEY_TS_NTP_UTC_32 ? value << 32 : value;
    p->has_t = true;
    return MIKEYD_OK;
}

static enum mikeyd_status parse_rand(struct mikey_parser *p)
{
    if (p->m->rand != NULL)
        return malformed(p, "a second RAND");
    size_t len = reader_u8(&p->r);
    p->m->rand = reader_bytes(&p->r, len);
    if (p->r.failed)
        return truncated(p);
    /* RFC 3830 4.1.1 counts on 128 bits. */
    if (len < MIKEY_RAND_MIN)
        return malformed(p, "RAND under 16 bytes");
    p->m->rand_len = len;
    return MIKEYD_OK;
}

static enum mikeyd_status parse_id(struct mikey_parser *p)
{
    /* A response of pre-shared key mode names IDr alone (RFC 3830 3.1). */
    size_t max = p->m->type == MIKEY_TYPE_PSK_RESP ? 1 : 2;
    if (p->m->id_count == max)
        return malformed(p, "one ID too many");
    struct identity *id = &p->m->id[p->m->id_count];
    id->type = reader_u8(&p->r);
    id->len = reader_u16(&p->r);
    id->data = reader_bytes(&p->r, id->len);
    if (p->r.failed)
        return truncated(p);
    if (id->type > IDENTITY_BYTES)
        return mikey_parser_refuse(p, MIKEYD_UNSUPPORTED, MIKEY_ERROR_ID, "ID type %u", id->type);
    if (id->len == 0)
        return malformed(p, "empty ID");
    p->m->id_count++;
    return MIKEYD_OK;
}

/* Does any crypto session name this policy? An error message has none and lists what could be. */
static bool policy_is_used(const struct mikey_message *m, uint8_t number)
{
    for (size_t i = 0; i < m->cs_count; i++) {
        if (m->cs[i].policy == number)
            return true;
    }
    return false;
}

/*
 * What no session names says nothing about this exchange: a policy of another protocol (RFC 3830
 * 6.10 has others in mind), or with parameters that are not known here, is passed over. Such a one
 * has no parameters here.
 */
static enum mikeyd_status parse_sp(struct mikey_parser *p)
{
    struct mikey_message *m = p->m;
    if (m->sp_count == MIKEY_SP_MAX)
        return malformed(p, "more than 16 SP");
    uint8_t number = reader_u8(&p->r);
    uint8_t protocol = reader_u8(&p->r);
    struct byte_reader parameters = reader_sub(&p->r, reader_u16(&p->r));
    if (p->r.failed)
        return truncated(p);
    if (!mikey_sp_framed(parameters))
        return malformed(p, "SP parameter runs past its payload");
    if (mikey_find_sp(m, number) != NULL)
        return malformed(p, "policy number stands twice");
    struct mikey_sp *sp = &m->sp[m->sp_count];
    sp->number = number;
    const bool used = policy_is_used(m, number);
    if (protocol != MIKEY_PROTOCOL_SRTP && used) {
        return mikey_parser_refuse(p, MIKEYD_UNSUPPORTED, MIKEY_ERROR_SP, "security protocol %u",
                                   protocol);
    }
    struct error cause = {0};
    uint8_t number_of_cause = 0;
    enum mikeyd_status status = MIKEYD_OK;
    if (protocol == MIKEY_PROTOCOL_SRTP)
        status = mikey_sp_read(&parameters, sp, &number_of_cause, &cause);
    sp->passed_over = !used && (protocol != MIKEY_PROTOCOL_SRTP || status == MIKEYD_UNSUPPORTED);
    if (status != MIKEYD_OK && !sp->passed_over)
        return mikey_parser_refuse(p, status, number_of_cause, "%s", cause.text);
    m->sp_count++;
    return MIKEYD_OK;
}

static enum mikeyd_status parse_extension(struct mikey_parser *p)
{
    struct mikey_message *m = p->m;
    if (m->extension_count == MIKEY_EXTENSIONS_MAX)
        return malformed(p, "more than 16 extensions");
    struct mikey_extension *extension = &m->extension[m->extension_count];
    extension->type = reader_u8(&p->r);
    extension->len = reader_u16(&p->r);
    extension->data = reader_bytes(&p->r, extension->len);
    if (p->r.failed)
        return truncated(p);
    /* Only Vendor ID makes sense more than once; of two SDP ID lists (RFC 4567 4.1.4) one could be
     * hidden. */
    for (size_t i = 0; i < m->extension_count; i++) {
        if (extension->type != MIKEY_EXTENSION_VENDOR && m->extension[i].type == extension->type)
            return malformed(p, "extension type stands twice");
    }
    m->extension_count++;
    return MIKEYD_OK;
}

static enum mikeyd_status parse_err(struct mikey_parser *p)
{
    if (p->m->error_count == MIKEY_ERRORS_MAX)
        return malformed(p, "more than 8 ERR");
    uint8_t number = reader_u8(&p->r);
    (void)reader_u16(&p->r); /* Reserved: no meaning, so no reason to refuse (RFC 3830 6.12) */
    if (p->r.failed)
        return truncated(p);
    p->m->error[p->m->error_count++] = number;
    return MIKEYD_OK;
}

/* Mac alg and MAC of KEMAC, Auth alg and Ver data of V: the same codes (RFC 3830 6.2, 6.9). */
static enum mikeyd_status parse_mac(struct mikey_parser *p)
{
    struct mikey_message *m = p->m;
    m->mac_alg = reader_u8(&p->r);
    if (p->r.failed)
        return truncated(p);
    if (!mikey_mac_len(m->mac_alg, &m->mac_len)) {
        return mikey_parser_refuse(p, MIKEYD_UNSUPPORTED, MIKEY_ERROR_MAC, "MAC algorithm %u",
                                   m->mac_alg);
    }
    m->mac_at = p->r.at;
    (void)reader_bytes(&p->r, m->mac_len);
    return p->r.failed ? truncated(p) : MIKEYD_OK;
}

/* RFC 3830 6.4: the group says how long the value is. KV may name the MKI of the key to come. */
static enum mikeyd_status parse_dh(struct mikey_parser *p)
{
    struct mikey_message *m = p->m;
    if (m->dh_count == sizeof m->dh / sizeof m->dh[0])
        return malformed(p, "a third value");
    struct mikey_dh *dh = &m->dh[m->dh_count];
    dh->group = reader_u8(&p->r);
    dh->len = mikey_dh_len(dh->group);
    if (!p->r.failed && dh->len == 0)
        return mikey_parser_refuse(p, MIKEYD_UNSUPPORTED, MIKEY_ERROR_DH, "group %u", dh->group);
    dh->value = reader_bytes(&p->r, dh->len);
    const uint8_t kv = reader_u8(&p->r) & 0x0F; /* the other bits are reserved */
    if (!p->r.failed && kv > MIKEY_KV_SPI)
        return mikey_parser_refuse(p, MIKEYD_UNSUPPORTED, MIKEY_ERROR_UNSPECIFIED,
                                   "key validity %u", kv);
    if (kv == MIKEY_KV_SPI) {
        dh->spi_len = reader_u8(&p->r);
        dh->spi = reader_bytes(&p->r, dh->spi_len);
        if (!p->r.failed && dh->spi_len == 0)
            return malformed(p, "an SPI of no bytes");
    }
    if (p->r.failed)
        return truncated(p);
    m->dh_count++;
    return MIKEYD_OK;
}

static enum mikeyd_status parse_kemac(struct mikey_parser *p)
{
    struct mikey_message *m = p->m;
    m->encryption = reader_u8(&p->r);
    if (!p->r.failed && m->encryption > MIKEY_ENCR_AES_CM_256) {
        return mikey_parser_refuse(p, MIKEYD_UNSUPPORTED, MIKEY_ERROR_ENCR,
                                   "encryption algorithm %u", m->encryption);
    }
    m->encrypted_len = reader_u16(&p->r);
    m->encrypted = reader_bytes(&p->r, m->encrypted_len);
    m->has_kemac = true;
    return parse_mac(p);
}

static enum mikeyd_status parse_v(struct mikey_parser *p)
{
    p->m->has_v = true;
    return parse_mac(p);
}

enum mikeyd_status mikey_parse_payload(struct mikey_parser *p)
{
    switch (p->payload) {
    case MIKEY_PAYLOAD_T:
        return parse_t(p);
    case MIKEY_PAYLOAD_RAND:
        return parse_rand(p);
    case MIKEY_PAYLOAD_ID:
        return parse_id(p);
    case MIKEY_PAYLOAD_SP:
        return parse_sp(p);
    case MIKEY_PAYLOAD_EXTENSION:
        return parse_extension(p);
    case MIKEY_PAYLOAD_ERR:
        return parse_err(p);
    case MIKEY_PAYLOAD_DH:
        return parse_dh(p);
    case MIKEY_PAYLOAD_KEMAC:
        return parse_kemac(p);
    case MIKEY_PAYLOAD_V:
        return parse_v(p);
    default:
        return malformed(p, "unexpected");
    }
}
