/* Framing of a message: header, the chain of payloads, which may stand where (RFC 3830 5.2, 6.1).
 */
#include "mikey/parse.h"

#include <string.h>

#include <stdarg.h>
#include <stdio.h>

const char *mikey_payload_name(uint8_t payload)
{
    static const char *const names[] = {[MIKEY_PAYLOAD_LAST] = "HDR",
                                        [MIKEY_PAYLOAD_KEMAC] = "KEMAC",
                                        [MIKEY_PAYLOAD_PKE] = "PKE",
                                        [MIKEY_PAYLOAD_DH] = "DH",
                                        [MIKEY_PAYLOAD_SIGN] = "SIGN",
                                        [MIKEY_PAYLOAD_T] = "T",
                                        [MIKEY_PAYLOAD_ID] = "ID",
                                        [MIKEY_PAYLOAD_CERT] = "CERT",
                                        [MIKEY_PAYLOAD_CHASH] = "CHASH",
                                        [MIKEY_PAYLOAD_V] = "V",
                                        [MIKEY_PAYLOAD_SP] = "SP",
                                        [MIKEY_PAYLOAD_RAND] = "RAND",
                                        [MIKEY_PAYLOAD_ERR] = "ERR",
                                        [MIKEY_PAYLOAD_KEY_DATA] = "Key data",
                                        [MIKEY_PAYLOAD_EXTENSION] = "General Extension"};
    if (payload >= sizeof names / sizeof names[0] || names[payload] == NULL)
        return "payload";
    return names[payload];
}

enum mikeyd_status mikey_parser_refuse(struct mikey_parser *p, enum mikeyd_status status,
                                       uint8_t mikey_error, const char *format, ...)
{
    char text[160];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (p->mikey_error != NULL)
        *p->mikey_error = mikey_error;
    return error_set(p->err, status, "%s at offset %zu: %s", mikey_payload_name(p->payload), p->at,
                     text);
}

static enum mikeyd_status malformed(struct mikey_parser *p, const char *what)
{
    return mikey_parser_refuse(p, MIKEYD_SYNTAX, MIKEY_ERROR_UNSPECIFIED, "%s", what);
}

bool mikey_is_read(uint8_t type)
{
    return type == MIKEY_TYPE_PSK_INIT || type == MIKEY_TYPE_PSK_RESP || type == MIKEY_TYPE_ERROR ||
           type == MIKEY_TYPE_DHHMAC_INIT || type == MIKEY_TYPE_DHHMAC_RESP;
}

static enum mikeyd_status check_type(struct mikey_parser *p)
{
    uint8_t type = p->m->type;
    if (mikey_is_read(type))
        return MIKEYD_OK;
    /* RFC 4738 6: 13 for a type this end does not do; RFC 3830: 11 for one nobody defined. */
    bool registered = type <= 26;
    return mikey_parser_refuse(p, MIKEYD_UNSUPPORTED,
                               registered ? MIKEY_ERROR_MESSAGE_TYPE : MIKEY_ERROR_DATA_TYPE,
                               "data type %u is not of pre-shared key mode", type);
}

static enum mikeyd_status parse_header(struct mikey_parser *p, uint8_t *next)
{
    struct mikey_message *m = p->m;
    if (m->len < MIKEY_HEADER_MIN)
        return malformed(p, "message ends inside it");
    uint8_t version = reader_u8(&p->r);
    if (version != MIKEY_VERSION)
        return mikey_parser_refuse(p, MIKEYD_SYNTAX, MIKEY_ERROR_UNSPECIFIED, "version %u",
                                   version);
    m->type = reader_u8(&p->r);
    enum mikeyd_status status = check_type(p);
    if (status != MIKEYD_OK)
        return status;
    *next = reader_u8(&p->r);
    uint8_t flags = reader_u8(&p->r);
    /* RFC 3830 6.1: with Diffie-Hellman the answer is mandatory, and V ignored. */
    m->v = (flags & MIKEY_V_FLAG) != 0 || m->type == MIKEY_TYPE_DHHMAC_INIT;
    m->prf = flags & 0x7F;
    if (m->prf > MIKEY_PRF_HMAC_SHA256)
        return mikey_parser_refuse(p, MIKEYD_UNSUPPORTED, MIKEY_ERROR_PRF, "PRF func %u", m->prf);
    m->csb_id = reader_u32(&p->r);
    uint8_t announced = reader_u8(&p->r);
    m->map_type = reader_u8(&p->r);
    return mikey_parse_cs_map(p, announced);
}

/* RFC 3830 3.1, 5.1.2 and figure 4.1, RFC 4650 4.1: the payloads each message type may carry. */
static enum mikeyd_status check_place(struct mikey_parser *p)
{
    enum { INIT = 1, RESP = 2, ERROR = 4, DHI = 8, DHR = 16 };
    static const uint8_t places[] = {[MIKEY_PAYLOAD_KEMAC] = INIT | DHI | DHR,
                                     [MIKEY_PAYLOAD_DH] = DHI | DHR,
                                     [MIKEY_PAYLOAD_T] = INIT | RESP | ERROR | DHI | DHR,
                                     [MIKEY_PAYLOAD_ID] = INIT | RESP | DHI | DHR,
                                     [MIKEY_PAYLOAD_V] = RESP | ERROR,
                                     [MIKEY_PAYLOAD_SP] = INIT | ERROR | DHI,
                                     [MIKEY_PAYLOAD_RAND] = INIT | DHI,
                                     [MIKEY_PAYLOAD_ERR] = ERROR,
                                     [MIKEY_PAYLOAD_EXTENSION] = INIT | RESP | ERROR | DHI | DHR};
    static const uint8_t types[] = {[MIKEY_TYPE_PSK_INIT] = INIT,
                                    [MIKEY_TYPE_PSK_RESP] = RESP,
                                    [MIKEY_TYPE_ERROR] = ERROR,
                                    [MIKEY_TYPE_DHHMAC_INIT] = DHI,
                                    [MIKEY_TYPE_DHHMAC_RESP] = DHR};
    /* Without a length field an unknown payload hides all that follows (RFC 3830 6.1). */
    if (p->payload == MIKEY_PAYLOAD_KEY_DATA)
        return malformed(p, "outside Encr data");
    if (p->payload >= sizeof places || places[p->payload] == 0) {
        return mikey_parser_refuse(p, MIKEYD_UNSUPPORTED, MIKEY_ERROR_UNSPECIFIED,
                                   "payload %u is not of pre-shared key mode", p->payload);
    }
    if ((places[p->payload] & types[p->m->type]) == 0)
        return malformed(p, "not allowed in this type of message");
    return MIKEYD_OK;
}

static enum mikeyd_status parse_payloads(struct mikey_parser *p, uint8_t next)
{
    for (size_t count = 0; next != MIKEY_PAYLOAD_LAST; count++) {
        p->payload = next;
        p->at = p->r.at;
        if (count == MIKEY_PAYLOADS_MAX)
            return malformed(p, "more than 32 payloads");
        enum mikeyd_status status = check_place(p);
        if (status != MIKEYD_OK)
            return status;
        next = reader_u8(&p->r);
        status = mikey_parse_payload(p);
        if (status != MIKEYD_OK)
            return status;
        /* RFC 3830 6.2, 6.9: the MAC ends the message. */
        if ((p->payload == MIKEY_PAYLOAD_KEMAC || p->payload == MIKEY_PAYLOAD_V) &&
            next != MIKEY_PAYLOAD_LAST)
            return malformed(p, "not the last payload");
    }
    return MIKEYD_OK;
}

/* RFC 4650 3, 4.2: which values and IDs, and a KEMAC that holds a MAC and nothing else. */
static enum mikeyd_status check_dhhmac(struct mikey_parser *p)
{
    const struct mikey_message *m = p->m;
    const bool init = m->type == MIKEY_TYPE_DHHMAC_INIT;
    const struct mikey_method *marked = mikey_marked_method(m);
    if (!m->has_kemac)
        return malformed(p, "DHHMAC message without KEMAC");
    if (m->encrypted_len != 0)
        return malformed(p, "DHHMAC message with key data");
    if (m->id_count == 0)
        return malformed(p, init ? "DHHMAC I_MESSAGE without IDr" : "DHHMAC answer without IDi");
    /* RFC 4650 3.1: an update that keeps the TGK has none, nor has its answer. */
    const bool keeps = m->dh_count == 0 && m->rand_len == 0;
    if (!keeps && m->dh_count != (init ? 1 : 2))
        return malformed(p, "one Diffie-Hellman value for the I_MESSAGE, two for the answer");
    if (keeps && marked != NULL)
        return malformed(p, "marked as one with values exchanged, which it is not");
    if (marked != NULL && !marked->exchanges)
        return malformed(p, "marked as one with a derived TGK, which it is not");
    if (m->map_type == MIKEY_MAP_EMPTY && m->sp_count != 0)
        return malformed(p, "SP beside an Empty map");
    return MIKEYD_OK;
}

static enum mikeyd_status check_whole(struct mikey_parser *p)
{
    const struct mikey_message *m = p->m;
    p->payload = MIKEY_PAYLOAD_LAST;
    p->at = 0;
    if (!reader_done(&p->r)) {
        return mikey_parser_refuse(p, MIKEYD_SYNTAX, MIKEY_ERROR_UNSPECIFIED,
                                   "%zu bytes after the last payload", reader_left(&p->r));
    }
    if (!p->has_t)
        return malformed(p, "message without T");
    if (m->type == MIKEY_TYPE_PSK_INIT && !m->has_kemac)
        return malformed(p, "I_MESSAGE without KEMAC");
    if (m->type == MIKEY_TYPE_PSK_RESP && !m->has_v)
        return malformed(p, "R_MESSAGE without V");
    if (m->type == MIKEY_TYPE_ERROR && m->error_count == 0)
        return malformed(p, "error message without ERR");
    if (mikey_has_unknown_mark(m))
        return mikey_parser_refuse(p, MIKEYD_UNSUPPORTED, MIKEY_ERROR_UNSPECIFIED,
                                   "an extension of mikeyd that this version does not know");
    if (m->type == MIKEY_TYPE_DHHMAC_INIT || m->type == MIKEY_TYPE_DHHMAC_RESP)
        return check_dhhmac(p);
    /* RFC 3830 6.2: only an update may come without a key; and what is marked as ours. */
    bool keyless = m->type == MIKEY_TYPE_PSK_INIT && m->rand_len != 0 && m->encrypted_len == 0;
    const struct mikey_method *marked = mikey_marked_method(m);
    if (keyless && (marked == NULL || marked->tgk == NULL))
        return malformed(p, "initial I_MESSAGE without key data");
    if (!keyless && marked != NULL)
        return malformed(p,
                         "marked as one with a derived TGK or with values exchanged, which it is "
                         "not");
    /* RFC 4563 5: with the Empty map the policy travels elsewhere. */
    if (m->map_type == MIKEY_MAP_EMPTY && m->sp_count != 0)
        return malformed(p, "SP beside an Empty map");
    return MIKEYD_OK;
}

enum mikeyd_status mikey_parse(const uint8_t *bytes, size_t len, struct mikey_message *out,
                               uint8_t *mikey_error, struct error *err)
{
    *out = (struct mikey_message){.bytes = bytes, .len = len};
    struct mikey_parser p = {
        .r = reader_of(bytes, len), .m = out, .mikey_error = mikey_error, .err = err};
    if (len > MIKEY_MESSAGE_MAX)
        return malformed(&p, "message over 64 KiB");
    uint8_t next = MIKEY_PAYLOAD_LAST;
    enum mikeyd_status status = parse_header(&p, &next);
    if (status == MIKEYD_OK)
        status = parse_payloads(&p, next);
    if (status == MIKEYD_OK)
        status = check_whole(&p);
    return status;
}

bool mikey_is_update(const struct mikey_message *m)
{
    return mikey_is_init(m) && m->rand_len == 0;
}

bool mikey_is_init(const struct mikey_message *m)
{
    return m->type == MIKEY_TYPE_PSK_INIT || m->type == MIKEY_TYPE_DHHMAC_INIT;
}

const struct identity *mikey_idi(const struct mikey_message *m)
{
    switch (m->type) {
    case MIKEY_TYPE_PSK_INIT:
        return m->id_count == 0 ? NULL : &m->id[0];
    case MIKEY_TYPE_DHHMAC_INIT:
        return m->id_count == 2 ? &m->id[0] : NULL;
    case MIKEY_TYPE_DHHMAC_RESP:
        return m->id_count == 0 ? NULL : &m->id[m->id_count - 1];
    default:
        return NULL;
    }
}

const struct identity *mikey_idr(const struct mikey_message *m)
{
    switch (m->type) {
    case MIKEY_TYPE_PSK_INIT:
        return m->id_count == 2 ? &m->id[1] : NULL;
    case MIKEY_TYPE_PSK_RESP:
        return m->id_count == 0 ? NULL : &m->id[0];
    case MIKEY_TYPE_DHHMAC_INIT:
        return m->id_count == 0 ? NULL : &m->id[m->id_count - 1];
    case MIKEY_TYPE_DHHMAC_RESP:
        return m->id_count == 2 ? &m->id[0] : NULL;
    default:
        return NULL;
    }
}
