/*
 * MIKEY messages as they stand on the wire (RFC 3830 section 6, RFC 4563, 6043 for the algorithm
 * numbers). Parsing is strict: every length checked, at most 64 KiB and 32 payloads, no byte left
 * over, payloads only where their message type allows them. Nothing here uses a key.
 */
#ifndef MIKEY_MESSAGE_H
#define MIKEY_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/identity.h"
#include "base/suite.h"

#define MIKEY_MESSAGE_MAX 65536
#define MIKEY_PAYLOADS_MAX 32
#define MIKEY_CS_MAX 255
#define MIKEY_SP_MAX 16
#define MIKEY_EXTENSIONS_MAX 16
#define MIKEY_KEY_DATA_MAX 8
#define MIKEY_ERRORS_MAX 8

enum mikey_type {
    MIKEY_TYPE_PSK_INIT = 0,
    MIKEY_TYPE_PSK_RESP = 1,
    MIKEY_TYPE_ERROR = 6,
    MIKEY_TYPE_DHHMAC_INIT = 7, /* RFC 4650 */
    MIKEY_TYPE_DHHMAC_RESP = 8
};
enum mikey_map { MIKEY_MAP_SRTP = 0, MIKEY_MAP_EMPTY = 1, MIKEY_MAP_GENERIC = 2 };

struct mikey_cs {
    uint8_t policy; /* number of the SP payload that applies */
    uint32_t ssrc;  /* 0: the responder fills it in */
    uint32_t roc;
};

/* T (6.6). raw/raw_len: the octets transported (they enter the V MAC); value: the 64 bits that
 * enter the IV. */
enum mikey_ts_type {
    MIKEY_TS_NTP_UTC = 0,
    MIKEY_TS_NTP = 1,
    MIKEY_TS_COUNTER = 2,
    MIKEY_TS_NTP_UTC_32 = 3
};
struct mikey_timestamp {
    uint8_t type;
    uint8_t raw_len;
    uint8_t raw[8];
    uint64_t value;
};

/* Key data sub-payload (6.13). Views into the decrypted buffer. */
enum mikey_key_type {
    MIKEY_KEY_TGK = 0,
    MIKEY_KEY_TGK_SALT = 1,
    MIKEY_KEY_TEK = 2,
    MIKEY_KEY_TEK_SALT = 3
};
enum mikey_kv { MIKEY_KV_NULL = 0, MIKEY_KV_SPI = 1, MIKEY_KV_INTERVAL = 2 };
struct mikey_key_data {
    uint8_t type, kv;
    const uint8_t *key;
    size_t key_len;
    const uint8_t *salt;
    size_t salt_len;
    const uint8_t *spi; /* MKI when kv is SPI */
    size_t spi_len;
    const uint8_t *from, *to; /* interval, 48-bit SRTP indices */
    size_t from_len, to_len;
};

/* SP (6.10) for SRTP: values after defaults (RFC 3711 8.2); `given` has bit n set when parameter n
 * was present. */
struct mikey_sp {
    uint8_t number;
    bool passed_over; /* of another protocol, or not understood, and no session names it */
    uint32_t given;
    uint8_t encryption, authentication, prf;
    uint32_t encryption_key_len, authentication_key_len, salt_len, tag_len, aead_tag_len, kdr,
        prefix_len;
    bool srtp_encrypted, srtcp_encrypted, srtp_authenticated;
    uint8_t fec_order;
};

struct mikey_extension {
    uint8_t type; /* 0 Vendor ID, 1 SDP IDs, 3 Key ID ... */
    const uint8_t *data;
    size_t len;
};

/* DH (6.4). Views. spi: the MKI of the key to come, when KV says so. */
struct mikey_dh {
    uint8_t group;
    const uint8_t *value;
    size_t len;
    const uint8_t *spi;
    size_t spi_len;
};

/*
 * A parsed message: views into the caller's bytes, which must outlive it. About 6 KB; workers keep
 * one each.
 */
struct mikey_message {
    const uint8_t *bytes;
    size_t len;
    uint8_t type;
    bool v; /* an answer is wanted; only meaningful in an I_MESSAGE, and always true of DHHMAC's */
    uint8_t prf; /* PRF func as on the wire */
    uint32_t csb_id;
    uint8_t map_type;
    struct mikey_cs cs[MIKEY_CS_MAX];
    size_t cs_count; /* 0 with the Empty map: its sessions are described elsewhere */
    struct mikey_timestamp t;
    const uint8_t *rand;
    size_t rand_len; /* 0: no RAND, an update */
    struct identity id[2];
    size_t id_count;
    struct mikey_sp sp[MIKEY_SP_MAX];
    size_t sp_count;
    struct mikey_extension extension[MIKEY_EXTENSIONS_MAX];
    size_t extension_count;
    uint8_t error[MIKEY_ERRORS_MAX]; /* ERR numbers, type 6 */
    size_t error_count;
    struct mikey_dh
        dh[2]; /* DHHMAC: DHi; of the answer DHr, DHi; none in an update that keeps the TGK */
    size_t dh_count;
    bool has_kemac, has_v;
    uint8_t encryption, mac_alg;
    const uint8_t *encrypted; /* KEMAC Encr data */
    size_t encrypted_len;
    size_t mac_at; /* offset of the MAC or Ver data: everything before it is authenticated */
    size_t mac_len;
};

/*
 * Parses a message of types 0, 1, 6, 7 or 8. SYNTAX for a malformed one (the text names payload and
 * offset), UNSUPPORTED for a well-formed start of what PSK mode does not have (other data types,
 * unknown payloads, TS types, algorithms). On failure *mikey_error (may be NULL) is the RFC
 * 3830 6.12 error number that fits, e.g. 11 Invalid DT.
 */
enum mikeyd_status mikey_parse(const uint8_t *bytes, size_t len, struct mikey_message *out,
                               uint8_t *mikey_error, struct error *err);

/* Is it one of the data types that mikey_parse() reads? */
bool mikey_is_read(uint8_t type);
/* True for an I_MESSAGE, of either data type. */
bool mikey_is_init(const struct mikey_message *m);
/* Who the message says it is from and to; NULL: it does not. A lone ID is IDi in a PSK I_MESSAGE (RFC
 * 3830 3.1) and IDr in one of DHHMAC (RFC 4650 3), whose answer names IDi last. */
const struct identity *mikey_idi(const struct mikey_message *m);
const struct identity *mikey_idr(const struct mikey_message *m);

/* True for an I_MESSAGE without RAND: an update of an earlier CSB. */
bool mikey_is_update(const struct mikey_message *m);

/*
 * The suite an SP payload means, or UNSUPPORTED (error 10) naming the parameter that does not fit.
 */
enum mikeyd_status mikey_sp_suite(const struct mikey_sp *sp, enum srtp_suite *out,
                                  struct error *err);

/* The SP payload with this policy number, or NULL. */
const struct mikey_sp *mikey_find_sp(const struct mikey_message *m, uint8_t number);

/*
 * True and the set when PRF, Encr alg and Mac alg are exactly one of the two sets (RFC 6043 12.1).
 */
bool mikey_message_algorithms(const struct mikey_message *m, enum mikey_algorithms *out);

/* Reads decrypted KEMAC data into at most MIKEY_KEY_DATA_MAX entries. SYNTAX or UNSUPPORTED (GTGK,
 * MPK ...). */
enum mikeyd_status mikey_parse_key_data(const uint8_t *data, size_t len, struct mikey_key_data *out,
                                        size_t *count, struct error *err);

#endif
