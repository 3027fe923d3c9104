/* The payloads of the modes that are not pre-shared keys, as far as their lengths are defined. */
#include <string.h>

#include "mikey/dissect_internal.h"

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* Payloads of RFC 6043 and RFC 6509. */
enum {
    PAYLOAD_TR = 13,
    PAYLOAD_IDR = 14,
    PAYLOAD_RANDR = 15,
    PAYLOAD_TP = 16,
    PAYLOAD_TICKET = 17,
    PAYLOAD_SAKKE = 26
};

enum { GROUP_X25519 = 255 /* of IANA's private range */ };

/* RFC 3830 6.14. False for a type whose length is unknown. */
static bool read_key_validity(struct dissection *d, json_t *out)
{
    static const char *const types[] = {"none", "SPI", "interval"};
    static const char *const fields[] = {"valid_from", "valid_to"};
    const uint8_t kv = reader_u8(&d->r) & 0x0F;
    dissect_put_code(d, out, "validity", kv, types, COUNT(types));
    const size_t parts = kv == MIKEY_KV_INTERVAL ? 2 : kv == MIKEY_KV_SPI ? 1 : 0;
    for (size_t i = 0; i < parts; i++) {
        const size_t len = reader_u8(&d->r);
        const uint8_t *data = reader_bytes(&d->r, len);
        if (data != NULL)
            dissect_put_hex(d, out, parts == 1 ? "spi" : fields[i], data, len);
    }
    return kv < COUNT(types);
}

static size_t dh_value_len(uint8_t group)
{
    static const size_t lengths[] = {192, 96, 128};
    if (group == GROUP_X25519)
        return 32;
    return group < COUNT(lengths) ? lengths[group] : 0;
}

/* RFC 3830 6.4. */
static bool read_dh(struct dissection *d, json_t *out)
{
    static const char *const groups[GROUP_X25519 + 1] = {
        "OAKLEY 5", "OAKLEY 1", "OAKLEY 2", [GROUP_X25519] = "X25519 (private)"};
    const uint8_t group = reader_u8(&d->r);
    const size_t len = dh_value_len(group);
    dissect_put_code(d, out, "group", group, groups, COUNT(groups));
    if (len == 0)
        return false;
    const uint8_t *value = reader_bytes(&d->r, len);
    if (value == NULL)
        return true;
    dissect_put_hex(d, out, "dh_value", value, len);
    if (group == GROUP_X25519)
        dissect_find(d, FINDING_NOTE, "DH", "group 255 is private: read as mikeyd's X25519");
    else
        dissect_find(d, FINDING_WARNING, "DH", "%s is weaker than 112 bits", groups[group]);
    return read_key_validity(d, out);
}

/* RFC 3830 6.8, RFC 6043 6.7. */
static bool read_chash(struct dissection *d, json_t *out)
{
    static const char *const hashes[] = {"SHA-1", "MD5", "SHA-256"};
    static const size_t lengths[] = {20, 16, 32};
    const uint8_t hash = reader_u8(&d->r);
    dissect_put_code(d, out, "hash", hash, hashes, COUNT(hashes));
    if (hash >= COUNT(lengths))
        return false;
    const uint8_t *data = reader_bytes(&d->r, lengths[hash]);
    if (data != NULL)
        dissect_put_hex(d, out, "data", data, lengths[hash]);
    return true;
}

static void skip_data(struct dissection *d, json_t *out, size_t len)
{
    (void)reader_bytes(&d->r, len);
    dissect_put_number(d, out, "data_len", len);
}

/* RFC 3830 6.3: two bits before the length say how the envelope key is cached. */
static void read_pke(struct dissection *d, json_t *out)
{
    static const char *const caches[] = {"no cache", "cache", "cache for CSB"};
    const uint16_t field = reader_u16(&d->r);
    dissect_put_code(d, out, "cache", (uint8_t)(field >> 14), caches, COUNT(caches));
    skip_data(d, out, field & 0x3FFFu);
}

/* RFC 3830 6.5: four bits before the length are the signature's type. */
static void read_sign(struct dissection *d, json_t *out)
{
    static const char *const types[] = {"RSA/PKCS#1/1.5", "RSA/PSS", "ECCSI"};
    const uint16_t field = reader_u16(&d->r);
    dissect_put_code(d, out, "signature", (uint8_t)(field >> 12), types, COUNT(types));
    skip_data(d, out, field & 0x0FFFu);
}

static void read_cert(struct dissection *d, json_t *out)
{
    static const char *const types[] = {"X.509v3", "X.509v3 URL", "X.509v3 sign", "X.509v3 encr"};
    dissect_put_code(d, out, "cert_type", reader_u8(&d->r), types, COUNT(types));
    skip_data(d, out, reader_u16(&d->r));
}

/* RFC 6043 6.4, 6.6 and 6.8: a role, then the payload without a role. Roles 6 and 7 are of
 * RFC 6509. */
static bool read_with_role(struct dissection *d, uint8_t payload, json_t *out)
{
    static const char *const times[] = {NULL, "TRi (issue)", "TRs (start)", "TRe (end)",
                                        "TRr (rekeying interval)"};
    static const char *const ids[] = {NULL,     "IDRi",   "IDRr",    "IDRkms",
                                      "IDRpsk", "IDRapp", "IDRkmsi", "IDRkmsr"};
    static const char *const rands[] = {NULL, "RANDRi", "RANDRr", "RANDRkms"};
    const uint8_t role = reader_u8(&d->r);
    if (payload == PAYLOAD_TR) {
        dissect_put_code(d, out, "role", role, times, COUNT(times));
        return dissect_read_t(d, out);
    }
    if (payload == PAYLOAD_IDR) {
        dissect_put_code(d, out, "role", role, ids, COUNT(ids));
        dissect_read_id(d, out);
    } else {
        dissect_put_code(d, out, "role", role, rands, COUNT(rands));
        dissect_read_rand(d, out);
    }
    return true;
}

/* The flags D to O of a ticket policy that are set, as letters (RFC 6043 6.10). */
static void put_ticket_flags(struct dissection *d, json_t *out, uint16_t flags)
{
    static const char letters[] = "DEFGHIJKLMNO";
    char text[sizeof letters];
    size_t len = 0;
    for (unsigned i = 0; i < sizeof letters - 1; i++) {
        if ((flags & 0x8000u >> i) != 0)
            text[len++] = letters[i];
    }
    text[len] = '\0';
    dissect_put_text(d, out, "flags", text);
}

/*
 * RFC 6043 6.10. PRF Func has 7 bits, the twelve flags and Res (5 bits) follow: three bytes in all.
 * What is inside TP Data and the ticket is for the KMS and the responder, and is not read.
 */
static void read_ticket(struct dissection *d, json_t *out, bool ticket)
{
    static const char *const types[] = {NULL, "MIKEY Base Ticket", "3GPP Base Ticket"};
    const uint16_t type = reader_u16(&d->r);
    dissect_put_number(d, out, "ticket_type", type);
    dissect_put_text(d, out, "ticket_type_name",
                     type < COUNT(types) && types[type] != NULL ? types[type] : "unknown");
    dissect_put_number(d, out, "subtype", reader_u8(&d->r));
    dissect_put_number(d, out, "version", reader_u8(&d->r));
    const uint32_t prf = reader_u8(&d->r);
    const uint32_t bits = prf << 16 | reader_u16(&d->r);
    dissect_put_number(d, out, "prf", bits >> 17);
    put_ticket_flags(d, out, (uint16_t)(bits >> 1));
    static const char *const fields[] = {"tp_data_len", "ticket_data_len", "initiator_data_len"};
    for (size_t i = 0; i < (ticket ? COUNT(fields) : 1); i++) {
        const size_t len = reader_u16(&d->r);
        (void)reader_bytes(&d->r, len);
        dissect_put_number(d, out, fields[i], len);
    }
}

/* RFC 6509 4.2. */
static void read_sakke(struct dissection *d, json_t *out)
{
    static const char *const schemes[] = {NULL, "tel URI with monthly keys"};
    dissect_put_number(d, out, "parameters", reader_u8(&d->r));
    dissect_put_code(d, out, "id_scheme", reader_u8(&d->r), schemes, COUNT(schemes));
    skip_data(d, out, reader_u16(&d->r));
}

bool dissect_foreign_payload(struct dissection *d, uint8_t payload, json_t *out)
{
    switch (payload) {
    case MIKEY_PAYLOAD_PKE:
        read_pke(d, out);
        return true;
    case MIKEY_PAYLOAD_SIGN:
        read_sign(d, out);
        return true;
    case MIKEY_PAYLOAD_DH:
        return read_dh(d, out);
    case MIKEY_PAYLOAD_CERT:
        read_cert(d, out);
        return true;
    case MIKEY_PAYLOAD_CHASH:
        return read_chash(d, out);
    case PAYLOAD_TR:
    case PAYLOAD_IDR:
    case PAYLOAD_RANDR:
        return read_with_role(d, payload, out);
    case PAYLOAD_TP:
    case PAYLOAD_TICKET:
        read_ticket(d, out, payload == PAYLOAD_TICKET);
        return true;
    case PAYLOAD_SAKKE:
        read_sakke(d, out);
        return true;
    default:
        return false;
    }
}
