/*
 * Inside src/mikey only: numbers of the wire format (RFC 3830 section 6, IANA) and the pieces that
 * several message builders and readers share.
 */
#ifndef MIKEY_WIRE_H
#define MIKEY_WIRE_H

#include "mikey/exchange.h"
#include "mikey/label.h"
#include "mikey/message.h"

#define MIKEY_VERSION 1
#define MIKEY_HEADER_MIN 10
#define MIKEY_V_FLAG 0x80u

/* Next payload (RFC 3830 6.1); those above ERR that PSK mode does not have stand in dissect. */
enum mikey_payload {
    MIKEY_PAYLOAD_LAST = 0,
    MIKEY_PAYLOAD_KEMAC = 1,
    MIKEY_PAYLOAD_PKE = 2,
    MIKEY_PAYLOAD_DH = 3,
    MIKEY_PAYLOAD_SIGN = 4,
    MIKEY_PAYLOAD_T = 5,
    MIKEY_PAYLOAD_ID = 6,
    MIKEY_PAYLOAD_CERT = 7,
    MIKEY_PAYLOAD_CHASH = 8,
    MIKEY_PAYLOAD_V = 9,
    MIKEY_PAYLOAD_SP = 10,
    MIKEY_PAYLOAD_RAND = 11,
    MIKEY_PAYLOAD_ERR = 12,
    MIKEY_PAYLOAD_KEY_DATA = 20,
    MIKEY_PAYLOAD_EXTENSION = 21
};

/* KEMAC (RFC 3830 6.2, RFC 6043 6.2). */
enum {
    MIKEY_ENCR_NULL = 0,
    MIKEY_ENCR_AES_CM_128 = 1,
    MIKEY_ENCR_AES_KW_128 = 2,
    MIKEY_ENCR_AES_CM_256 = 3
};
enum { MIKEY_MAC_NULL = 0, MIKEY_MAC_SHA1 = 1, MIKEY_MAC_SHA256 = 2 };

/* Error numbers (RFC 3830 6.12, RFC 4738). */
enum {
    MIKEY_ERROR_AUTH = 0,
    MIKEY_ERROR_TS = 1,
    MIKEY_ERROR_PRF = 2,
    MIKEY_ERROR_MAC = 3,
    MIKEY_ERROR_ENCR = 4,
    MIKEY_ERROR_DH = 6,
    MIKEY_ERROR_ID = 7,
    MIKEY_ERROR_SP = 9,
    MIKEY_ERROR_SP_PARAMETER = 10,
    MIKEY_ERROR_DATA_TYPE = 11,
    MIKEY_ERROR_UNSPECIFIED = 12,
    MIKEY_ERROR_MESSAGE_TYPE = 13
};

#define MIKEY_PROTOCOL_SRTP 0 /* Prot type of SP, RFC 3830 6.10 */
#define MIKEY_EXTENSION_VENDOR 0
#define MIKEY_EXTENSION_SDP_IDS 1

/* The three numbers of an algorithm set. */
struct mikey_algorithm_numbers {
    uint8_t prf, encryption, mac;
};
struct mikey_algorithm_numbers mikey_algorithm_numbers(enum mikey_algorithms algorithms);

/* Whether the TLVs fill the payload exactly: so for every security protocol (RFC 3830 6.10). */
bool mikey_sp_framed(struct byte_reader parameters);
/* SP parameters (RFC 3830 6.10.1): reads the TLVs of one SP payload. On failure *mikey_error says
 * 10 for a parameter that is not offered and 12 for a malformed one. */
enum mikeyd_status mikey_sp_read(struct byte_reader *parameters, struct mikey_sp *sp,
                                 uint8_t *mikey_error, struct error *err);
/* Writes a whole SP payload for a suite, all parameters spelled out. */
void mikey_sp_write(struct byte_writer *w, uint8_t next, uint8_t number, enum srtp_suite suite);

/*
 * Writes key data sub-payloads (RFC 3830 6.13); INVALID_ARGUMENT when an entry cannot be written.
 */
enum mikeyd_status mikey_key_data_write(struct byte_writer *w, const struct mikey_key_data *keys,
                                        size_t count, struct error *err);

/* Header and payloads common to all messages. */
struct mikey_header {
    enum mikey_type type;
    uint8_t next;
    bool v;
    uint8_t prf;
    uint32_t csb_id;
    uint8_t map_type;
    uint8_t cs_announced; /* #CS; for the Empty map no entries follow */
    const struct mikey_cs *cs;
};
void mikey_header_write(struct byte_writer *w, const struct mikey_header *header);
void mikey_timestamp_write(struct byte_writer *w, uint8_t next, const struct mikey_timestamp *t);
void mikey_identity_write(struct byte_writer *w, uint8_t next, const struct identity *identity);
void mikey_extension_write(struct byte_writer *w, uint8_t next, uint8_t type, const void *data,
                           size_t len);
/* DH (RFC 3830 6.4), with KV SPI when there is one. */
void mikey_dh_write(struct byte_writer *w, uint8_t next, const struct mikey_dh *dh);
/* The policy number of streams[index]: suites are numbered from 0 by first appearance. */
uint8_t mikey_policy_number(const struct mikey_stream *streams, size_t index);
/* What a failed writer means for the caller: the message does not fit its buffer or the format. */
enum mikeyd_status mikey_writer_check(const struct byte_writer *w, struct error *err);

/* The 16-byte counter block of KEMAC's AES-CM (RFC 3830 4.2.3). */
void mikey_kemac_iv(const uint8_t salt[14], uint32_t csb_id, uint64_t t, uint8_t iv[16]);

/* An answer's streams against those that were offered. */
enum mikeyd_status mikey_check_answer_streams(const struct mikey_message *r,
                                              const struct mikey_expected_reply *expected,
                                              struct error *err);

/* RFC 3830 6.1.1: an answer keeps what the offer chose and fills in the SSRCs it left at 0, with
 * distinct values. Writes which rule is broken. */
enum mikeyd_status mikey_cs_check_answer(const struct mikey_cs *offer,
                                         const struct mikey_cs *answer, size_t count,
                                         struct error *err);

#endif
