/* The payloads of pre-shared key mode. Those of the other modes: dissect_foreign.c. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "mikey/dissect_internal.h"

enum { EXTENSION_KEY_ID = 3 /* RFC 4563 */ };

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static const char *const encryption_names[] = {"NULL", "AES-CM-128", "AES-KW-128", "AES-CM-256"};
static const char *const mac_names[] = {"NULL", "HMAC-SHA-1-160", "HMAC-SHA-256-256"};

const char *dissect_payload_name(uint8_t payload)
{
    static const char *const names[] = {"HDR",      "KEMAC",
                                        "PKE",      "DH",
                                        "SIGN",     "T",
                                        "ID",       "CERT",
                                        "CHASH",    "V",
                                        "SP",       "RAND",
                                        "ERR",      "TR",
                                        "IDR",      "RANDR",
                                        "TP",       "TICKET",
                                        NULL,       NULL,
                                        "Key data", "General Extension",
                                        "IBAKE",    "ESK",
                                        "SK",       "ECCPT",
                                        "SAKKE"};
    if (payload >= COUNT(names) || names[payload] == NULL)
        return "unknown payload";
    return names[payload];
}

/* Seconds of NTP's era 0 and 1 as Unix milliseconds: RFC 4330 3 takes the high bit for era 0. */
static int64_t unix_ms(uint32_t ntp_seconds)
{
    int64_t seconds = (int64_t)ntp_seconds - INT64_C(2208988800);
    if ((ntp_seconds & 0x80000000u) == 0)
        seconds += INT64_C(1) << 32;
    return seconds * 1000;
}

static void put_utc(struct dissection *d, json_t *out, uint32_t ntp_seconds)
{
    char text[CLOCK_TEXT];
    clock_format_utc(unix_ms(ntp_seconds), text);
    dissect_put_text(d, out, "utc", text);
}

bool dissect_read_t(struct dissection *d, json_t *out)
{
    static const char *const types[] = {"NTP-UTC", "NTP", "COUNTER", "NTP-UTC-32"};
    uint8_t type = reader_u8(&d->r);
    dissect_put_code(d, out, "ts_type", type, types, COUNT(types));
    if (type >= COUNT(types))
        return false;
    size_t len = type == MIKEY_TS_NTP_UTC || type == MIKEY_TS_NTP ? 8 : 4;
    struct byte_reader value = reader_sub(&d->r, len);
    if (d->r.failed)
        return true;
    dissect_put_hex(d, out, "value", value.data, len);
    if (type == MIKEY_TS_NTP_UTC || type == MIKEY_TS_NTP_UTC_32)
        put_utc(d, out, reader_u32(&value));
    return true;
}

void dissect_read_rand(struct dissection *d, json_t *out)
{
    size_t len = reader_u8(&d->r);
    const uint8_t *rand = reader_bytes(&d->r, len);
    d->has_rand = true;
    if (rand != NULL)
        dissect_put_hex(d, out, "rand", rand, len);
}

void dissect_read_id(struct dissection *d, json_t *out)
{
    static const char *const types[] = {"NAI", "URI", "byte string"};
    struct identity id = {.type = reader_u8(&d->r)};
    id.len = reader_u16(&d->r);
    id.data = reader_bytes(&d->r, id.len);
    d->ids++;
    if (id.data == NULL)
        return;
    char text[IDENTITY_TEXT_MAX];
    identity_format(&id, text);
    dissect_put_code(d, out, "id_type", id.type, types, COUNT(types));
    dissect_put_text(d, out, "id", text);
}

static void read_sp_parameters(struct dissection *d, json_t *out, struct byte_reader parameters)
{
    static const char *const names[] = {"encryption algorithm",
                                        "encryption key length",
                                        "authentication algorithm",
                                        "authentication key length",
                                        "salt length",
                                        "PRF",
                                        "key derivation rate",
                                        "SRTP encryption",
                                        "SRTCP encryption",
                                        "FEC order",
                                        "SRTP authentication",
                                        "authentication tag length",
                                        "prefix length",
                                        "ROC transmission rate",
                                        "SRTP authentication algorithm",
                                        "SRTP authentication key length",
                                        "SRTP authentication tag length",
                                        "SRTCP authentication algorithm",
                                        "SRTCP authentication key length",
                                        "SRTCP authentication tag length",
                                        "AEAD tag length"};
    json_t *list = json_array();
    while (reader_left(&parameters) > 0) {
        json_t *parameter = json_object();
        dissect_put_code(d, parameter, "type", reader_u8(&parameters), names, COUNT(names));
        size_t len = reader_u8(&parameters);
        const uint8_t *value = reader_bytes(&parameters, len);
        if (value != NULL)
            dissect_put_hex(d, parameter, "value", value, len);
        if (json_array_append_new(list, parameter) != 0)
            d->no_memory = true;
    }
    if (parameters.failed)
        dissect_find(d, FINDING_ERROR, "SP", "a parameter runs past the payload");
    dissect_put(d, out, "parameters", list);
}

static void judge_sp(struct dissection *d, json_t *out, struct byte_reader parameters)
{
    struct mikey_sp sp = {0};
    struct error err = {0};
    uint8_t number = 0;
    enum srtp_suite suite;
    if (mikey_sp_read(&parameters, &sp, &number, &err) == MIKEYD_OK &&
        mikey_sp_suite(&sp, &suite, &err) == MIKEYD_OK)
        dissect_put_text(d, out, "suite", srtp_suite_info(suite)->name);
    else
        dissect_find(d, FINDING_WARNING, "SP", "%s", err.text);
}

static void read_sp(struct dissection *d, json_t *out)
{
    dissect_put_number(d, out, "policy", reader_u8(&d->r));
    uint8_t protocol = reader_u8(&d->r);
    struct byte_reader parameters = reader_sub(&d->r, reader_u16(&d->r));
    dissect_put_number(d, out, "protocol", protocol);
    if (d->r.failed)
        return;
    read_sp_parameters(d, out, parameters);
    if (protocol == 0)
        judge_sp(d, out, parameters);
}

static bool read_mac(struct dissection *d, json_t *out, const char *where)
{
    uint8_t alg = reader_u8(&d->r);
    size_t len = 0;
    dissect_put_code(d, out, "mac", alg, mac_names, COUNT(mac_names));
    if (!mikey_mac_len(alg, &len))
        return false;
    (void)reader_bytes(&d->r, len);
    dissect_put_number(d, out, "mac_len", len);
    if (alg == MIKEY_MAC_NULL && !d->r.failed)
        dissect_find(d, FINDING_WARNING, where,
                     "NULL MAC: nothing in this message is authenticated");
    return true;
}

/* Kinds and lengths of keys in the clear, never the keys. */
static void judge_clear_keys(struct dissection *d, const uint8_t *data, size_t len)
{
    struct mikey_key_data keys[MIKEY_KEY_DATA_MAX];
    size_t count = 0;
    struct error err = {0};
    dissect_find(d, FINDING_WARNING, "KEMAC",
                 "NULL encryption: %zu bytes of key data stand in the clear (not shown)", len);
    if (mikey_parse_key_data(data, len, keys, &count, &err) != MIKEYD_OK) {
        dissect_find(d, FINDING_WARNING, "KEMAC", "%s", err.text);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        static const char *const types[] = {"TGK", "TGK+SALT", "TEK", "TEK+SALT"};
        static const char *const kvs[] = {"none", "SPI", "interval"};
        dissect_find(d, FINDING_NOTE, "KEMAC",
                     "key %zu: %s of %zu bytes, salt %zu bytes, validity %s", i + 1,
                     types[keys[i].type], keys[i].key_len, keys[i].salt_len, kvs[keys[i].kv]);
    }
}

static bool read_kemac(struct dissection *d, json_t *out)
{
    uint8_t alg = reader_u8(&d->r);
    size_t len = reader_u16(&d->r);
    const uint8_t *data = reader_bytes(&d->r, len);
    dissect_put_code(d, out, "encryption", alg, encryption_names, COUNT(encryption_names));
    dissect_put_number(d, out, "encrypted_len", len);
    /* DHHMAC's KEMAC carries a MAC only (RFC 4650 3.1). */
    if (alg == MIKEY_ENCR_NULL && data != NULL && len != 0)
        judge_clear_keys(d, data, len);
    return read_mac(d, out, "KEMAC");
}

static void read_err(struct dissection *d, json_t *out)
{
    static const char *const names[] = {"Auth failure",      "Invalid TS",
                                        "Invalid PRF",       "Invalid MAC",
                                        "Invalid EA",        "Invalid HA",
                                        "Invalid DH",        "Invalid ID",
                                        "Invalid Cert",      "Invalid SP",
                                        "Invalid SPpar",     "Invalid DT",
                                        "Unspecified error", "Unsupported message type",
                                        "Invalid TICKET",    "Invalid TPpar"};
    dissect_put_code(d, out, "error", reader_u8(&d->r), names, COUNT(names));
    (void)reader_u16(&d->r);
}

/* RFC 4567 4.1.4: the list is text. */
static void put_protocols(struct dissection *d, json_t *out, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] < ' ' || data[i] > '~') {
            dissect_find(d, FINDING_WARNING, "General Extension",
                         "SDP IDs: byte %zu is no printable character", i);
            return;
        }
    }
    dissect_put(d, out, "protocols", json_stringn((const char *)data, len));
}

/* RFC 4563 4: sub-payloads of type, length and identifier. */
static void read_key_ids(struct dissection *d, json_t *out, struct byte_reader data)
{
    static const char *const types[] = {"MBMS Key Domain ID", "MBMS Service Key ID",
                                        "MBMS Traffic Key ID"};
    json_t *list = json_array();
    while (reader_left(&data) != 0) {
        json_t *item = json_object();
        const uint8_t type = reader_u8(&data);
        const size_t len = reader_u8(&data);
        const uint8_t *id = reader_bytes(&data, len);
        if (id == NULL) {
            dissect_find(d, FINDING_WARNING, "General Extension",
                         "Key ID: the last identifier is cut short");
            json_decref(item);
            break;
        }
        dissect_put_code(d, item, "key_id_type", type, types, COUNT(types));
        dissect_put_hex(d, item, "key_id", id, len);
        if (json_array_append_new(list, item) != 0)
            d->no_memory = true;
    }
    dissect_put(d, out, "key_ids", list);
}

static void read_extension(struct dissection *d, json_t *out)
{
    static const char *const names[] = {
        "Vendor ID", "SDP IDs",   "TESLA I-Key",   "Key ID",
        "CSB_ID",    "OMA BCAST", "SAKKE-to-self", "3GPP key parameters"};
    uint8_t type = reader_u8(&d->r);
    size_t len = reader_u16(&d->r);
    const uint8_t *data = reader_bytes(&d->r, len);
    dissect_put_code(d, out, "extension", type, names, COUNT(names));
    if (data == NULL)
        return;
    dissect_put_hex(d, out, "data", data, len);
    if (type == MIKEY_EXTENSION_SDP_IDS) {
        d->has_sdp_ids = true;
        put_protocols(d, out, data, len);
    } else if (type == EXTENSION_KEY_ID) {
        read_key_ids(d, out, reader_of(data, len));
    }
}

bool dissect_payload(struct dissection *d, uint8_t payload, json_t *out)
{
    switch (payload) {
    case MIKEY_PAYLOAD_T:
        return dissect_read_t(d, out);
    case MIKEY_PAYLOAD_RAND:
        dissect_read_rand(d, out);
        return true;
    case MIKEY_PAYLOAD_ID:
        dissect_read_id(d, out);
        return true;
    case MIKEY_PAYLOAD_SP:
        read_sp(d, out);
        return true;
    case MIKEY_PAYLOAD_KEMAC:
        return read_kemac(d, out);
    case MIKEY_PAYLOAD_V:
        return read_mac(d, out, "V");
    case MIKEY_PAYLOAD_ERR:
        read_err(d, out);
        return true;
    case MIKEY_PAYLOAD_EXTENSION:
        read_extension(d, out);
        return true;
    default:
        return dissect_foreign_payload(d, payload, out);
    }
}
