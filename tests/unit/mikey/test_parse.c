/* The strict parser: framing, limits, places of payloads, each payload's own rules. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "mikey/wire.h"
#include "support.h"

static uint8_t buffer[MIKEY_MESSAGE_MAX + 16];
static struct byte_writer w;
static struct mikey_message m;
static uint8_t number;
static struct error err;

static void start(void)
{
    support_init();
    w = writer_of(buffer, sizeof buffer);
}

TestSuite(parse, .init = start);

/* Pieces of messages; `next` is what follows the piece. */
static void header(uint8_t type, uint8_t next, uint8_t cs_count)
{
    static const struct mikey_cs cs[MIKEY_CS_MAX];
    const struct mikey_header h = {.type = (enum mikey_type)type,
                                   .next = next,
                                   .csb_id = 0x12345678,
                                   .map_type = MIKEY_MAP_SRTP,
                                   .cs_announced = cs_count,
                                   .cs = cs};
    mikey_header_write(&w, &h);
}

static void t(uint8_t next)
{
    const struct mikey_timestamp now = {.raw_len = 8, .raw = {0xeb, 0x4f, 0x1a, 0x2b, 0x80}};
    mikey_timestamp_write(&w, next, &now);
}

static void random_of(uint8_t next, uint8_t len)
{
    writer_u8(&w, next);
    writer_u8(&w, len);
    memset(writer_room(&w, len), 0xa5, len);
}

static void id_of(uint8_t next, uint8_t type, const char *text)
{
    const struct identity id = {.type = type, .len = strlen(text), .data = (const uint8_t *)text};
    mikey_identity_write(&w, next, &id);
}

static void kemac(uint8_t encryption, uint16_t len, uint8_t mac, size_t mac_len)
{
    writer_u8(&w, MIKEY_PAYLOAD_LAST);
    writer_u8(&w, encryption);
    writer_u16(&w, len);
    memset(writer_room(&w, len), 0x5a, len);
    writer_u8(&w, mac);
    memset(writer_room(&w, mac_len), 0, mac_len);
}

static void extension(uint8_t next, uint8_t type, size_t len)
{
    static const uint8_t zeros[UINT16_MAX];
    mikey_extension_write(&w, next, type, zeros, len);
}

static void v(void)
{
    writer_u8(&w, MIKEY_PAYLOAD_LAST);
    writer_u8(&w, MIKEY_MAC_SHA1);
    memset(writer_room(&w, 20), 0, 20);
}

static void error_number(uint8_t next, uint8_t value)
{
    writer_u8(&w, next);
    writer_u8(&w, value);
    writer_u16(&w, 0);
}

/* Header, T and RAND of an I_MESSAGE. */
static void init_up_to(uint8_t next)
{
    header(MIKEY_TYPE_PSK_INIT, MIKEY_PAYLOAD_T, 1);
    t(MIKEY_PAYLOAD_RAND);
    random_of(next, 16);
}

/* From a heap block of the exact size, so that AddressSanitizer sees any step outside. */
static enum mikeyd_status parse(void)
{
    cr_assert_not(w.failed);
    static uint8_t *exact;
    free(exact);
    exact = malloc(w.len == 0 ? 1 : w.len);
    cr_assert_not_null(exact);
    memcpy(exact, w.data, w.len);
    number = 255;
    err = (struct error){0};
    return mikey_parse(exact, w.len, &m, &number, &err);
}

static void accepted(void)
{
    cr_assert_eq(parse(), MIKEYD_OK, "%s", err.text);
}

static void refused(enum mikeyd_status status, uint8_t mikey_error, const char *text)
{
    cr_assert_eq(parse(), status, "%s", err.text);
    cr_assert_eq(number, mikey_error, "error number %u", number);
    cr_assert_not_null(strstr(err.text, text), "\"%s\" does not say \"%s\"", err.text, text);
}

static void malformed(const char *text)
{
    refused(MIKEYD_SYNTAX, 12, text);
}

Test(parse, smallest_i_message_is_accepted)
{
    init_up_to(MIKEY_PAYLOAD_KEMAC);
    kemac(1, 20, 1, 20);
    accepted();
    cr_assert_eq(m.csb_id, 0x12345678);
    cr_assert_eq(m.cs_count, 1);
    cr_assert_eq(m.mac_at + m.mac_len, m.len);
    cr_assert_not(mikey_is_update(&m));
}

Test(parse, nothing_is_refused)
{
    malformed("HDR at offset 0: message ends inside it");
}

Test(parse, other_versions_are_refused)
{
    init_up_to(MIKEY_PAYLOAD_KEMAC);
    kemac(1, 20, 1, 20);
    buffer[0] = 2;
    malformed("version 2");
}

Test(parse, other_modes_are_unsupported)
{
    for (unsigned type = 0; type < 256; type++) {
        if (type == 0 || type == 1 || type == 6 || type == 7 || type == 8)
            continue;
        w = writer_of(buffer, sizeof buffer);
        header((uint8_t)type, MIKEY_PAYLOAD_T, 0);
        t(MIKEY_PAYLOAD_LAST);
        refused(MIKEYD_UNSUPPORTED, type <= 26 ? 13 : 11, "data type");
    }
}

Test(parse, unknown_prf_is_unsupported)
{
    init_up_to(MIKEY_PAYLOAD_KEMAC);
    kemac(1, 20, 1, 20);
    buffer[3] = 2;
    refused(MIKEYD_UNSUPPORTED, 2, "PRF func 2");
}

Test(parse, v_flag_is_read_and_not_taken_for_the_prf)
{
    init_up_to(MIKEY_PAYLOAD_KEMAC);
    kemac(1, 20, 1, 20);
    buffer[3] = 0x81;
    accepted();
    cr_assert(m.v);
    cr_assert_eq(m.prf, 1);
}

Test(parse, cs_map_of_255_sessions_is_accepted)
{
    header(MIKEY_TYPE_PSK_INIT, MIKEY_PAYLOAD_T, 255);
    t(MIKEY_PAYLOAD_RAND);
    random_of(MIKEY_PAYLOAD_KEMAC, 255);
    kemac(1, 20, 1, 20);
    accepted();
    cr_assert_eq(m.cs_count, 255);
    cr_assert_eq(m.rand_len, 255);
}

Test(parse, cs_map_longer_than_the_message_is_refused)
{
    header(MIKEY_TYPE_PSK_INIT, MIKEY_PAYLOAD_T, 1);
    buffer[8] = 2;
    malformed("CS ID map");
}

Test(parse, generic_id_map_is_unsupported)
{
    init_up_to(MIKEY_PAYLOAD_KEMAC);
    kemac(1, 20, 1, 20);
    buffer[9] = MIKEY_MAP_GENERIC;
    refused(MIKEYD_UNSUPPORTED, 12, "CS ID map type 2");
}

static void empty_map(uint8_t next_after_rand)
{
    const struct mikey_header h = {
        .next = MIKEY_PAYLOAD_T, .map_type = MIKEY_MAP_EMPTY, .cs_announced = 3};
    mikey_header_write(&w, &h);
    t(MIKEY_PAYLOAD_RAND);
    random_of(next_after_rand, 16);
}

Test(parse, empty_map_has_no_sessions)
{
    empty_map(MIKEY_PAYLOAD_KEMAC);
    kemac(1, 20, 1, 20);
    accepted();
    cr_assert_eq(m.cs_count, 0);
}

Test(parse, empty_map_beside_a_policy_is_refused)
{
    empty_map(MIKEY_PAYLOAD_SP);
    mikey_sp_write(&w, MIKEY_PAYLOAD_KEMAC, 0, SRTP_AEAD_AES_128_GCM);
    kemac(1, 20, 1, 20);
    malformed("Empty map");
}

Test(parse, a_byte_left_over_is_refused)
{
    init_up_to(MIKEY_PAYLOAD_KEMAC);
    kemac(1, 20, 1, 20);
    writer_u8(&w, 0);
    malformed("1 bytes after the last payload");
}

Test(parse, payloads_may_come_in_any_order)
{
    header(MIKEY_TYPE_PSK_INIT, MIKEY_PAYLOAD_SP, 1);
    mikey_sp_write(&w, MIKEY_PAYLOAD_EXTENSION, 7, SRTP_AES_CM_128_HMAC_SHA1_80);
    extension(MIKEY_PAYLOAD_ID, MIKEY_EXTENSION_SDP_IDS, 5);
    id_of(MIKEY_PAYLOAD_RAND, IDENTITY_NAI, "a@b");
    random_of(MIKEY_PAYLOAD_T, 16);
    t(MIKEY_PAYLOAD_ID);
    id_of(MIKEY_PAYLOAD_KEMAC, IDENTITY_URI, "sip:c");
    kemac(1, 20, 1, 20);
    accepted();
    cr_assert_eq(m.id_count, 2);
    cr_assert_eq(m.sp[0].number, 7);
    cr_assert_eq(m.extension[0].type, MIKEY_EXTENSION_SDP_IDS);
}

Test(parse, a_message_without_t_is_refused)
{
    header(MIKEY_TYPE_PSK_INIT, MIKEY_PAYLOAD_RAND, 0);
    random_of(MIKEY_PAYLOAD_KEMAC, 16);
    kemac(1, 20, 1, 20);
    malformed("without T");
}

Test(parse, a_second_t_is_refused)
{
    init_up_to(MIKEY_PAYLOAD_T);
    t(MIKEY_PAYLOAD_KEMAC);
    kemac(1, 20, 1, 20);
    malformed("a second T");
}

Test(parse, a_second_rand_is_refused)
{
    init_up_to(MIKEY_PAYLOAD_RAND);
    random_of(MIKEY_PAYLOAD_KEMAC, 16);
    kemac(1, 20, 1, 20);
    malformed("a second RAND");
}

Test(parse, a_short_rand_is_refused)
{
    header(MIKEY_TYPE_PSK_INIT, MIKEY_PAYLOAD_T, 0);
    t(MIKEY_PAYLOAD_RAND);
    random_of(MIKEY_PAYLOAD_KEMAC, 15);
    kemac(1, 20, 1, 20);
    malformed("RAND under 16 bytes");
}

Test(parse, a_third_id_is_refused)
{
    init_up_to(MIKEY_PAYLOAD_ID);
    id_of(MIKEY_PAYLOAD_ID, 0, "a@b");
    id_of(MIKEY_PAYLOAD_ID, 0, "c@d");
    id_of(MIKEY_PAYLOAD_KEMAC, 0, "e@f");
    kemac(1, 20, 1, 20);
    malformed("one ID too many");
}

Test(parse, a_second_id_in_a_response_is_refused)
{
    header(MIKEY_TYPE_PSK_RESP, MIKEY_PAYLOAD_T, 0);
    t(MIKEY_PAYLOAD_ID);
    id_of(MIKEY_PAYLOAD_ID, 0, "a@b");
    id_of(MIKEY_PAYLOAD_V, 0, "c@d");
    v();
    malformed("one ID too many");
}

Test(parse, an_empty_id_is_refused)
{
    init_up_to(MIKEY_PAYLOAD_ID);
    id_of(MIKEY_PAYLOAD_KEMAC, 0, "");
    kemac(1, 20, 1, 20);
    malformed("empty ID");
}

Test(parse, an_unknown_id_type_is_unsupported)
{
    init_up_to(MIKEY_PAYLOAD_ID);
    id_of(MIKEY_PAYLOAD_KEMAC, 3, "a@b");
    kemac(1, 20, 1, 20);
    refused(MIKEYD_UNSUPPORTED, 7, "ID type 3");
}

Test(parse, each_timestamp_type_yields_the_64_bits_of_the_iv)
{
    static const struct {
        uint8_t type, len;
        uint64_t value;
    } types[] = {{0, 8, 0x0102030405060708},
                 {1, 8, 0x0102030405060708},
                 {2, 4, 0x0000000001020304},
                 {3, 4, 0x0102030400000000}};
    for (size_t i = 0; i < 4; i++) {
        w = writer_of(buffer, sizeof buffer);
        header(MIKEY_TYPE_PSK_INIT, MIKEY_PAYLOAD_T, 0);
        struct mikey_timestamp stamp = {
            .type = types[i].type, .raw_len = types[i].len, .raw = {1, 2, 3, 4, 5, 6, 7, 8}};
        mikey_timestamp_write(&w, MIKEY_PAYLOAD_KEMAC, &stamp);
        kemac(1, 0, 1, 20);
        accepted();
        cr_assert_eq(m.t.value, types[i].value);
        cr_assert_eq(m.t.raw_len, types[i].len);
        cr_assert(mikey_is_update(&m));
    }
}

Test(parse, an_unknown_timestamp_type_is_unsupported)
{
    header(MIKEY_TYPE_PSK_INIT, MIKEY_PAYLOAD_T, 0);
    t(MIKEY_PAYLOAD_KEMAC);
    buffer[11] = 4;
    kemac(1, 0, 1, 20);
    refused(MIKEYD_UNSUPPORTED, 1, "TS type 4");
}

Test(parse, an_initial_message_without_key_data_is_refused)
{
    init_up_to(MIKEY_PAYLOAD_KEMAC);
    kemac(1, 0, 1, 20);
    malformed("without key data");
}

Test(parse, unknown_algorithms_are_unsupported)
{
    init_up_to(MIKEY_PAYLOAD_KEMAC);
    kemac(4, 20, 1, 20);
    refused(MIKEYD_UNSUPPORTED, 4, "encryption algorithm 4");
    w = writer_of(buffer, sizeof buffer);
    init_up_to(MIKEY_PAYLOAD_KEMAC);
    kemac(1, 20, 3, 20);
    refused(MIKEYD_UNSUPPORTED, 3, "MAC algorithm 3");
}

Test(parse, a_mac_shorter_than_its_algorithm_is_refused)
{
    init_up_to(MIKEY_PAYLOAD_KEMAC);
    kemac(3, 20, 2, 31);
    malformed("KEMAC");
}

Test(parse, encr_data_longer_than_the_message_is_refused)
{
    init_up_to(MIKEY_PAYLOAD_KEMAC);
    size_t at = w.len;
    kemac(1, 20, 1, 20);
    buffer[at + 2] = 0xFF;
    malformed("KEMAC");
}

Test(parse, nothing_follows_kemac_or_v)
{
    init_up_to(MIKEY_PAYLOAD_KEMAC);
    size_t at = w.len;
    kemac(1, 20, 1, 20);
    buffer[at] = MIKEY_PAYLOAD_ID;
    id_of(MIKEY_PAYLOAD_LAST, 0, "a@b");
    malformed("not the last payload");
    w = writer_of(buffer, sizeof buffer);
    header(MIKEY_TYPE_PSK_RESP, MIKEY_PAYLOAD_T, 0);
    t(MIKEY_PAYLOAD_V);
    at = w.len;
    v();
    buffer[at] = MIKEY_PAYLOAD_ID;
    id_of(MIKEY_PAYLOAD_LAST, 0, "a@b");
    malformed("not the last payload");
}

Test(parse, i_message_without_kemac_and_response_without_v_are_refused)
{
    init_up_to(MIKEY_PAYLOAD_LAST);
    malformed("without KEMAC");
    w = writer_of(buffer, sizeof buffer);
    header(MIKEY_TYPE_PSK_RESP, MIKEY_PAYLOAD_T, 0);
    t(MIKEY_PAYLOAD_LAST);
    malformed("without V");
}

Test(parse, payloads_stand_only_where_their_message_type_allows)
{
    /* RFC 3830 3.1 and 5.1.2: rows are message types, columns payloads. */
    static const uint8_t payloads[] = {MIKEY_PAYLOAD_KEMAC,   MIKEY_PAYLOAD_ID,   MIKEY_PAYLOAD_V,
                                       MIKEY_PAYLOAD_SP,      MIKEY_PAYLOAD_RAND, MIKEY_PAYLOAD_ERR,
                                       MIKEY_PAYLOAD_KEY_DATA};
    static const struct {
        uint8_t type;
        bool allowed[7];
    } types[] = {{MIKEY_TYPE_PSK_INIT, {true, true, false, true, true, false, false}},
                 {MIKEY_TYPE_PSK_RESP, {false, true, true, false, false, false, false}},
                 {MIKEY_TYPE_ERROR, {false, false, true, true, false, true, false}}};
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 7; j++) {
            w = writer_of(buffer, sizeof buffer);
            header(types[i].type, payloads[j], 0);
            cr_assert_eq(parse(), MIKEYD_SYNTAX);
            bool place = strstr(err.text, "not allowed") != NULL ||
                         strstr(err.text, "outside Encr data") != NULL;
            cr_assert_neq(place, types[i].allowed[j], "type %u payload %u: %s", types[i].type,
                          payloads[j], err.text);
        }
    }
}

Test(parse, payloads_of_other_modes_are_unsupported)
{
    static const uint8_t payloads[] = {2, 4, 7, 8, 13, 14, 15, 16, 17, 18, 22, 26, 27, 240, 255};
    for (size_t i = 0; i < sizeof payloads; i++) {
        w = writer_of(buffer, sizeof buffer);
        init_up_to(payloads[i]);
        random_of(0, 32);
        refused(MIKEYD_UNSUPPORTED, 12, "not of pre-shared key mode");
    }
}

Test(parse, a_diffie_hellman_value_has_no_place_in_a_message_of_method_psk)
{
    init_up_to(MIKEY_PAYLOAD_DH);
    random_of(0, 32);
    malformed("not allowed in this type of message");
}

Test(parse, thirty_two_payloads_are_accepted_and_one_more_is_not)
{
    for (unsigned extra = 0; extra < 2; extra++) {
        w = writer_of(buffer, sizeof buffer);
        init_up_to(MIKEY_PAYLOAD_SP); /* T and RAND: 2 */
        for (uint8_t i = 0; i < 14; i++)
            mikey_sp_write(&w, i < 13 ? MIKEY_PAYLOAD_SP : MIKEY_PAYLOAD_EXTENSION, i,
                           SRTP_AEAD_AES_128_GCM); /* 16 */
        unsigned extensions = 15 + extra;
        for (unsigned i = 0; i < extensions; i++) /* 31 or 32 */
            extension(i + 1 < extensions ? MIKEY_PAYLOAD_EXTENSION : MIKEY_PAYLOAD_KEMAC,
                      MIKEY_EXTENSION_VENDOR, 1);
        kemac(1, 20, 1, 20);
        if (extra == 0)
            accepted();
        else
            malformed("more than 32 payloads");
    }
}

Test(parse, sixteen_policies_are_accepted_and_one_more_is_not)
{
    for (unsigned count = 16; count < 18; count++) {
        w = writer_of(buffer, sizeof buffer);
        init_up_to(MIKEY_PAYLOAD_SP);
        for (unsigned i = 0; i < count; i++)
            mikey_sp_write(&w, i + 1 < count ? MIKEY_PAYLOAD_SP : MIKEY_PAYLOAD_KEMAC, (uint8_t)i,
                           SRTP_AEAD_AES_128_GCM);
        kemac(1, 20, 1, 20);
        if (count == 16)
            accepted();
        else
            malformed("more than 16 SP");
    }
}

Test(parse, sixteen_extensions_are_accepted_and_one_more_is_not)
{
    for (unsigned count = 16; count < 18; count++) {
        w = writer_of(buffer, sizeof buffer);
        init_up_to(MIKEY_PAYLOAD_EXTENSION);
        for (unsigned i = 0; i < count; i++)
            extension(i + 1 < count ? MIKEY_PAYLOAD_EXTENSION : MIKEY_PAYLOAD_KEMAC, 0, 3);
        kemac(1, 20, 1, 20);
        if (count == 16)
            accepted();
        else
            malformed("more than 16 extensions");
    }
}

Test(parse, an_extension_type_other_than_vendor_id_stands_once)
{
    init_up_to(MIKEY_PAYLOAD_EXTENSION);
    extension(MIKEY_PAYLOAD_EXTENSION, MIKEY_EXTENSION_SDP_IDS, 5);
    extension(MIKEY_PAYLOAD_KEMAC, MIKEY_EXTENSION_SDP_IDS, 5);
    kemac(1, 20, 1, 20);
    malformed("extension type stands twice");
}

Test(parse, an_unknown_extension_is_kept)
{
    init_up_to(MIKEY_PAYLOAD_EXTENSION);
    extension(MIKEY_PAYLOAD_KEMAC, 200, 9);
    kemac(1, 20, 1, 20);
    accepted();
    cr_assert_eq(m.extension[0].type, 200);
    cr_assert_eq(m.extension[0].len, 9);
}

/* A message of exactly `len` bytes: two extensions fill it. */
static void message_of(size_t len)
{
    w = writer_of(buffer, sizeof buffer);
    init_up_to(MIKEY_PAYLOAD_EXTENSION);
    size_t tail = 45; /* KEMAC: 4 bytes, 20, 1, 20 */
    extension(MIKEY_PAYLOAD_EXTENSION, 0, 60000);
    extension(MIKEY_PAYLOAD_KEMAC, 0, len - w.len - tail - 4);
    kemac(1, 20, 1, 20);
    cr_assert_eq(w.len, len);
}

Test(parse, sixty_four_kibibytes_are_accepted_and_one_byte_more_is_not)
{
    message_of(MIKEY_MESSAGE_MAX);
    accepted();
    message_of(MIKEY_MESSAGE_MAX + 1);
    malformed("over 64 KiB");
}

Test(parse, a_policy_number_that_stands_twice_is_refused)
{
    init_up_to(MIKEY_PAYLOAD_SP);
    mikey_sp_write(&w, MIKEY_PAYLOAD_SP, 3, SRTP_AEAD_AES_128_GCM);
    mikey_sp_write(&w, MIKEY_PAYLOAD_KEMAC, 3, SRTP_AEAD_AES_256_GCM);
    kemac(1, 20, 1, 20);
    malformed("policy number stands twice");
}

Test(parse, a_policy_for_another_protocol_is_unsupported)
{
    init_up_to(MIKEY_PAYLOAD_SP);
    size_t at = w.len;
    mikey_sp_write(&w, MIKEY_PAYLOAD_KEMAC, 0, SRTP_AEAD_AES_128_GCM);
    buffer[at + 2] = 1; /* TESLA */
    kemac(1, 20, 1, 20);
    refused(MIKEYD_UNSUPPORTED, 9, "security protocol 1");
}

/* Passed over for what it says, not for how it is written. */
Test(parse, a_policy_that_no_session_names_is_framed_all_the_same)
{
    for (uint8_t protocol = 0; protocol < 2; protocol++) {
        init_up_to(MIKEY_PAYLOAD_SP);
        mikey_sp_write(&w, MIKEY_PAYLOAD_SP, 0, SRTP_AEAD_AES_128_GCM);
        size_t odd = w.len;
        mikey_sp_write(&w, MIKEY_PAYLOAD_KEMAC, 1, SRTP_AEAD_AES_128_GCM);
        buffer[odd + 2] = protocol;
        buffer[odd + 5] = 99;  /* a parameter that nobody knows */
        buffer[odd + 9] = 200; /* the next one says more bytes than there are */
        kemac(1, 20, 1, 20);
        malformed("runs past its payload");
    }
}

/* The one session names policy 0. */
Test(parse, a_policy_that_no_session_names_is_passed_over)
{
    init_up_to(MIKEY_PAYLOAD_SP);
    mikey_sp_write(&w, MIKEY_PAYLOAD_SP, 0, SRTP_AEAD_AES_128_GCM);
    size_t tesla = w.len;
    mikey_sp_write(&w, MIKEY_PAYLOAD_SP, 1, SRTP_AEAD_AES_128_GCM);
    buffer[tesla + 2] = 1;
    size_t odd = w.len;
    mikey_sp_write(&w, MIKEY_PAYLOAD_KEMAC, 2, SRTP_AEAD_AES_128_GCM);
    buffer[odd + 5] = 99; /* a parameter that nobody knows */
    kemac(1, 20, 1, 20);
    accepted();
    enum srtp_suite suite;
    cr_assert_eq(m.sp_count, 3);
    cr_assert_eq(mikey_sp_suite(&m.sp[0], &suite, NULL), MIKEYD_OK);
    cr_assert_eq(mikey_sp_suite(&m.sp[1], &suite, NULL), MIKEYD_UNSUPPORTED);
    cr_assert_eq(mikey_sp_suite(&m.sp[2], &suite, NULL), MIKEYD_UNSUPPORTED);
}

Test(parse, an_error_message_carries_up_to_eight_numbers)
{
    for (unsigned count = 8; count < 10; count++) {
        w = writer_of(buffer, sizeof buffer);
        header(MIKEY_TYPE_ERROR, MIKEY_PAYLOAD_T, 0);
        t(MIKEY_PAYLOAD_ERR);
        for (unsigned i = 0; i < count; i++)
            error_number(i + 1 < count ? MIKEY_PAYLOAD_ERR : MIKEY_PAYLOAD_LAST, (uint8_t)i);
        if (count == 8) {
            accepted();
            cr_assert_eq(m.error_count, 8);
            cr_assert_eq(m.error[7], 7);
            cr_assert_not(m.has_v);
        } else {
            malformed("more than 8 ERR");
        }
    }
}

Test(parse, an_error_message_without_a_number_is_refused)
{
    header(MIKEY_TYPE_ERROR, MIKEY_PAYLOAD_T, 0);
    t(MIKEY_PAYLOAD_LAST);
    malformed("without ERR");
}

Test(parse, every_truncation_of_a_message_with_all_payloads_is_refused)
{
    init_up_to(MIKEY_PAYLOAD_ID);
    id_of(MIKEY_PAYLOAD_ID, IDENTITY_NAI, "a@b");
    id_of(MIKEY_PAYLOAD_EXTENSION, IDENTITY_BYTES, "xyz");
    extension(MIKEY_PAYLOAD_SP, 3, 7);
    mikey_sp_write(&w, MIKEY_PAYLOAD_KEMAC, 0, SRTP_AES_256_CM_HMAC_SHA1_32);
    kemac(3, 33, 2, 32);
    accepted();
    size_t whole = w.len;
    for (size_t len = 0; len < whole; len++) {
        w.len = len;
        cr_assert_eq(parse(), MIKEYD_SYNTAX, "%zu bytes", len);
    }
}

Test(parse, algorithm_sets_are_never_mixed)
{
    enum mikey_algorithms set;
    for (uint8_t prf = 0; prf < 2; prf++) {
        for (uint8_t encryption = 0; encryption < 4; encryption++) {
            for (uint8_t mac = 0; mac < 3; mac++) {
                static const size_t mac_len[] = {0, 20, 32};
                w = writer_of(buffer, sizeof buffer);
                init_up_to(MIKEY_PAYLOAD_KEMAC);
                buffer[3] = prf;
                kemac(encryption, 20, mac, mac_len[mac]);
                accepted();
                bool mikey_1 = prf == 0 && encryption == 1 && mac == 1;
                bool mikey_256 = prf == 1 && encryption == 3 && mac == 2;
                cr_assert_eq(mikey_message_algorithms(&m, &set), mikey_1 || mikey_256);
                if (mikey_1 || mikey_256)
                    cr_assert_eq(set, mikey_1 ? MIKEY_ALGORITHMS_1 : MIKEY_ALGORITHMS_256);
            }
        }
    }
}
