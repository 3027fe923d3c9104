/* Dissection for people: the frame, the findings, and what the strict parser says. */
#include "mikey/dissect.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "mikey/dissect_internal.h"

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* What was to be read after the message had ended was not read, whatever the reader returned. */
void dissect_put(struct dissection *d, json_t *object, const char *field, json_t *value)
{
    if (d->r.failed)
        json_decref(value);
    else
        dissect_set(d, object, field, value);
}

void dissect_set(struct dissection *d, json_t *object, const char *field, json_t *value)
{
    if (json_object_set_new(object, field, value) != 0)
        d->no_memory = true;
}

void dissect_put_number(struct dissection *d, json_t *object, const char *field, uint64_t value)
{
    dissect_put(d, object, field, json_integer((json_int_t)value));
}

void dissect_put_text(struct dissection *d, json_t *object, const char *field, const char *text)
{
    dissect_put(d, object, field, json_string(text));
}

void dissect_put_hex(struct dissection *d, json_t *object, const char *field, const uint8_t *data,
                     size_t len)
{
    enum { SHOWN = 512 };
    char text[2 * SHOWN + 4];
    size_t shown = len < SHOWN ? len : SHOWN;
    hex_encode(data, shown, text);
    if (shown < len)
        memcpy(text + 2 * shown, "...", 4);
    dissect_put_text(d, object, field, text);
}

void dissect_put_code(struct dissection *d, json_t *object, const char *field, uint8_t value,
                      const char *const names[], size_t name_count)
{
    char name_field[48];
    dissect_put_number(d, object, field, value);
    (void)snprintf(name_field, sizeof name_field, "%s_name", field);
    bool known = value < name_count && names[value] != NULL;
    dissect_put_text(d, object, name_field, known ? names[value] : "unknown");
}

void dissect_find(struct dissection *d, enum severity severity, const char *where,
                  const char *format, ...)
{
    static const char *const names[] = {"note", "warning", "error"};
    char text[240];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_t *finding = json_object();
    dissect_set(d, finding, "severity", json_string(names[severity]));
    dissect_set(d, finding, "where", json_string(where));
    dissect_set(d, finding, "text", json_string(text));
    if (json_array_append_new(d->findings, finding) != 0)
        d->no_memory = true;
    if (severity == FINDING_ERROR)
        d->errors = true;
}

/* RFC 3830 6.1, IANA. */
static const char *const type_names[] = {"PSK init (I_MESSAGE)",
                                         "PSK verification (R_MESSAGE)",
                                         "Public key init",
                                         "Public key verification",
                                         "DH init",
                                         "DH response",
                                         "Error",
                                         "DHHMAC init",
                                         "DHHMAC response",
                                         "RSA-R init",
                                         "RSA-R response",
                                         "MIKEY-TICKET REQUEST_INIT_PSK",
                                         "MIKEY-TICKET REQUEST_INIT_PK",
                                         "MIKEY-TICKET REQUEST_RESP",
                                         "MIKEY-TICKET TRANSFER_INIT",
                                         "MIKEY-TICKET TRANSFER_RESP",
                                         "MIKEY-TICKET RESOLVE_INIT_PSK",
                                         "MIKEY-TICKET RESOLVE_INIT_PK",
                                         "MIKEY-TICKET RESOLVE_RESP",
                                         "IBAKE REQUEST_KEY_PSK",
                                         "IBAKE REQUEST_KEY_PKE",
                                         "IBAKE REQUEST_KEY_RESP",
                                         "IBAKE I_MESSAGE_1",
                                         "IBAKE R_MESSAGE_1",
                                         "IBAKE I_MESSAGE_2",
                                         "IBAKE R_MESSAGE_2",
                                         "SAKKE"};

static void read_cs_entries(struct dissection *d, json_t *header, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count && !d->r.failed; i++) {
        char text[16];
        json_t *cs = json_object();
        dissect_put_number(d, cs, "cs", i + 1);
        dissect_put_number(d, cs, "policy", reader_u8(&d->r));
        (void)snprintf(text, sizeof text, "%08x", reader_u32(&d->r));
        dissect_put_text(d, cs, "ssrc", text);
        dissect_put_number(d, cs, "roc", reader_u32(&d->r));
        if (d->r.failed)
            json_decref(cs);
        else if (json_array_append_new(list, cs) != 0)
            d->no_memory = true;
    }
    dissect_set(d, header, "cs", list);
}

/* RFC 6043 6.1.1, SRTP: ROC and SEQ are there when the S flag says so. */
static void read_srtp_session(struct dissection *d, json_t *cs, struct byte_reader data, bool s)
{
    char text[16];
    if (data.len != (s ? 10u : 4u)) {
        dissect_find(d, FINDING_ERROR, "HDR",
                     "GENERIC-ID: %zu bytes of SRTP session data with S=%d", data.len, s);
        return;
    }
    (void)snprintf(text, sizeof text, "%08x", reader_u32(&data));
    dissect_put_text(d, cs, "ssrc", text);
    if (s) {
        dissect_put_number(d, cs, "roc", reader_u32(&data));
        dissect_put_number(d, cs, "seq", reader_u16(&data));
    }
}

/* RFC 6043 6.1.1: entries name their crypto session and have lengths of their own. */
static void read_generic_entry(struct dissection *d, json_t *cs)
{
    enum { S_FLAG = 0x80 };
    dissect_put_number(d, cs, "cs", reader_u8(&d->r));
    const uint8_t protocol = reader_u8(&d->r);
    dissect_put_number(d, cs, "protocol", protocol);
    const uint8_t flags = reader_u8(&d->r);
    const size_t policy_count = flags & ~(unsigned)S_FLAG;
    const uint8_t *policies = reader_bytes(&d->r, policy_count);
    json_t *list = json_array();
    for (size_t i = 0; policies != NULL && i < policy_count; i++) {
        if (json_array_append_new(list, json_integer(policies[i])) != 0)
            d->no_memory = true;
    }
    dissect_put(d, cs, "policies", list);
    const struct byte_reader session = reader_sub(&d->r, reader_u16(&d->r));
    if (!d->r.failed && protocol == MIKEY_PROTOCOL_SRTP && session.len != 0)
        read_srtp_session(d, cs, session, (flags & S_FLAG) != 0);
    const size_t spi_len = reader_u8(&d->r);
    const uint8_t *spi = reader_bytes(&d->r, spi_len);
    if (spi != NULL)
        dissect_put_hex(d, cs, "spi", spi, spi_len);
}

static void read_generic_entries(struct dissection *d, json_t *header, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count && !d->r.failed; i++) {
        json_t *cs = json_object();
        read_generic_entry(d, cs);
        if (d->r.failed)
            json_decref(cs);
        else if (json_array_append_new(list, cs) != 0)
            d->no_memory = true;
    }
    dissect_set(d, header, "cs", list);
}

static bool read_map(struct dissection *d, json_t *header)
{
    static const char *const maps[] = {"SRTP-ID", "Empty map", "GENERIC-ID"};
    uint8_t count = reader_u8(&d->r);
    uint8_t map = reader_u8(&d->r);
    dissect_put_number(d, header, "cs_count", count);
    dissect_put_code(d, header, "map", map, maps, COUNT(maps));
    if (map == MIKEY_MAP_SRTP)
        read_cs_entries(d, header, count);
    else if (map == MIKEY_MAP_GENERIC)
        read_generic_entries(d, header, count);
    else if (map != MIKEY_MAP_EMPTY)
        dissect_find(d, FINDING_ERROR, "HDR", "CS ID map type %u: its length is unknown", map);
    return map <= MIKEY_MAP_GENERIC;
}

static bool read_header(struct dissection *d, json_t *header, uint8_t *next)
{
    static const char *const prfs[] = {"MIKEY-1 (HMAC-SHA-1)", "PRF-HMAC-SHA-256"};
    uint8_t version = reader_u8(&d->r);
    d->type = reader_u8(&d->r);
    *next = reader_u8(&d->r);
    uint8_t flags = reader_u8(&d->r);
    char csb[16];
    (void)snprintf(csb, sizeof csb, "%08x", reader_u32(&d->r));
    if (d->r.failed) {
        dissect_find(d, FINDING_ERROR, "HDR", "the message ends inside its header");
        return false;
    }
    dissect_put_number(d, header, "version", version);
    dissect_put_code(d, header, "type", d->type, type_names, COUNT(type_names));
    dissect_put(d, header, "v", json_boolean((flags & MIKEY_V_FLAG) != 0));
    dissect_put_code(d, header, "prf", flags & 0x7F, prfs, COUNT(prfs));
    dissect_put_text(d, header, "csb_id", csb);
    if (version != MIKEY_VERSION) {
        dissect_find(d, FINDING_ERROR, "HDR", "version %u is not MIKEY version 1", version);
        return false;
    }
    if (d->type == MIKEY_TYPE_PSK_RESP && (flags & MIKEY_V_FLAG) != 0)
        dissect_find(d, FINDING_NOTE, "HDR", "V set in a response: it has no meaning there");
    bool known = read_map(d, header);
    if (d->r.failed)
        dissect_find(d, FINDING_ERROR, "HDR", "the message ends inside the CS ID map");
    return known && !d->r.failed;
}

static bool read_payload(struct dissection *d, uint8_t *next)
{
    uint8_t payload = *next;
    size_t start = d->r.at;
    json_t *out = json_object();
    dissect_put_text(d, out, "payload", dissect_payload_name(payload));
    dissect_put_number(d, out, "offset", start);
    /* RFC 3830 6.5: SIGN is always last and has no next payload byte. */
    *next = payload == MIKEY_PAYLOAD_SIGN ? MIKEY_PAYLOAD_LAST : reader_u8(&d->r);
    bool known = dissect_payload(d, payload, out);
    if (!known && !d->r.failed) {
        dissect_find(
            d, FINDING_ERROR, dissect_payload_name(payload),
            "payload %u at offset %zu: its length is unknown, nothing after it can be read",
            payload, start);
    } else if (d->r.failed) {
        dissect_find(d, FINDING_ERROR, dissect_payload_name(payload),
                     "the message ends inside the payload at offset %zu", start);
    } else {
        dissect_put_number(d, out, "length", d->r.at - start);
    }
    if (json_array_append_new(d->payloads, out) != 0)
        d->no_memory = true;
    return known && !d->r.failed;
}

static void read_message(struct dissection *d, json_t *header)
{
    uint8_t next = MIKEY_PAYLOAD_LAST;
    if (!read_header(d, header, &next))
        return;
    while (next != MIKEY_PAYLOAD_LAST) {
        if (!read_payload(d, &next))
            return;
    }
    d->whole = true;
    if (reader_left(&d->r) != 0) {
        dissect_find(d, FINDING_ERROR, "message", "%zu bytes after the last payload",
                     reader_left(&d->r));
    }
}

/* How the ends come to the TGK, when it is not by a key that is sent. */
static void judge_method(struct dissection *d, const struct mikey_message *m)
{
    const struct mikey_method *method = mikey_message_method(m);
    if (method->tgk != NULL)
        dissect_find(d, FINDING_NOTE, "KEMAC",
                     "no key is sent: both ends derive the TGK from PSK and RAND (mikeyd only)");
    if (method->exchanges && method->mark != NULL)
        dissect_find(d, FINDING_NOTE, "DH",
                     "psk-dhe: the PSK enters the TGK as well (mikeyd only)");
    if (method->exchanges && m->dh_count == 0)
        dissect_find(d, FINDING_NOTE, "DH", "no value: the bundle keeps its TGK (RFC 4650 3.1)");
}

/* Of an I_MESSAGE that was read to its end: of what was not reached nobody knows whether it is
 * absent. */
static void judge_init(struct dissection *d)
{
    if (d->ids < 2 && d->type == MIKEY_TYPE_PSK_INIT)
        dissect_find(d, FINDING_NOTE, "ID",
                     "no IDr: nothing under the MAC says for whom the message is (RFC 3830 9.5)");
    if (d->ids < 2 && d->type == MIKEY_TYPE_DHHMAC_INIT)
        dissect_find(d, FINDING_NOTE, "ID",
                     "no IDi: the carrier has to say who sends the message (RFC 4650 3)");
    if (!d->has_rand)
        dissect_find(d, FINDING_NOTE, "RAND", "no RAND: an update of an earlier bundle");
    if (!d->has_sdp_ids)
        dissect_find(d, FINDING_NOTE, "General Extension",
                     "no SDP IDs: no protection against bidding down (RFC 4567 4.1.4)");
}

/* What this project says to a message that has to do with pre-shared keys beyond the frame. */
static void judge(struct dissection *d, const uint8_t *bytes, size_t len)
{
    struct mikey_message m;
    struct error err = {0};
    if (!mikey_is_read(d->type)) {
        dissect_find(d, FINDING_NOTE, "HDR", "not a message of pre-shared key mode or DHHMAC");
        return;
    }
    if (!d->errors && mikey_parse(bytes, len, &m, NULL, &err) != MIKEYD_OK)
        dissect_find(d, FINDING_ERROR, "message", "%s", err.text);
    if (!d->errors)
        judge_method(d, &m);
    if (d->whole && (d->type == MIKEY_TYPE_PSK_INIT || d->type == MIKEY_TYPE_DHHMAC_INIT))
        judge_init(d);
}

json_t *mikey_dissect(const uint8_t *bytes, size_t len)
{
    struct dissection d = {
        .r = reader_of(bytes, len), .payloads = json_array(), .findings = json_array()};
    json_t *header = json_object();
    json_t *root = json_object();
    read_message(&d, header);
    bool typed = len >= 2;
    if (typed)
        judge(&d, bytes, len);
    dissect_set(&d, root, "length", json_integer((json_int_t)len));
    const char *type = typed && d.type < COUNT(type_names) ? type_names[d.type] : "unknown";
    dissect_set(&d, root, "type", json_string(type));
    dissect_set(&d, root, "header", header);
    dissect_set(&d, root, "payloads", d.payloads);
    dissect_set(&d, root, "findings", d.findings);
    dissect_set(&d, root, "valid", json_boolean(!d.errors));
    if (d.no_memory) {
        json_decref(root);
        return NULL;
    }
    return root;
}
