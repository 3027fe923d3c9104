/* Dissection of the payloads that pre-shared key mode does not have, each to its last field. */
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "mikey/dissect.h"

/* Blanks between the digits are for the reader of the test. */
static json_t *dissect(const char *hex)
{
    uint8_t bytes[1024];
    char digits[2 * sizeof bytes + 1];
    size_t len = 0, count = 0;
    for (; *hex != '\0'; hex++) {
        if (*hex != ' ')
            digits[count++] = *hex;
    }
    cr_assert_eq(hex_decode(digits, count, bytes, sizeof bytes, &len, NULL), MIKEYD_OK);
    json_t *dissection = mikey_dissect(bytes, len);
    cr_assert_not_null(dissection);
    return dissection;
}

static const json_t *payload(const json_t *dissection, size_t index, const char *name)
{
    const json_t *found = json_array_get(json_object_get(dissection, "payloads"), index);
    cr_assert_not_null(found, "no payload %zu", index);
    cr_assert_str_eq(json_string_value(json_object_get(found, "payload")), name);
    return found;
}

static void expect_text(const json_t *object, const char *field, const char *text)
{
    const char *value = json_string_value(json_object_get(object, field));
    cr_assert_not_null(value, "%s", field);
    cr_expect_str_eq(value, text, "%s", field);
}

static void expect_number(const json_t *object, const char *field, json_int_t number)
{
    const json_t *value = json_object_get(object, field);
    cr_assert(json_is_integer(value), "%s", field);
    cr_expect_eq(json_integer_value(value), number, "%s", field);
}

static bool finds(const json_t *dissection, const char *text)
{
    size_t index;
    const json_t *finding;
    json_array_foreach(json_object_get(dissection, "findings"), index, finding)
    {
        if (strstr(json_string_value(json_object_get(finding, "text")), text) != NULL)
            return true;
    }
    return false;
}

static void expect_whole(const json_t *dissection, size_t payloads)
{
    cr_expect(json_is_true(json_object_get(dissection, "valid")));
    cr_expect_eq(json_array_size(json_object_get(dissection, "payloads")), payloads);
}

/* RFC 6043: a TRANSFER_INIT with a GENERIC-ID map of one entry, and all that only tickets have. */
Test(dissect, a_ticket_transfer_is_named_to_the_last_field)
{
    json_t *d = dissect("010e0d01 12345678 01 02"
                        "07 00 82 0103 000a aabbccdd 00000002 0003 02 beef" /* GENERIC-ID */
                        "0e 02 03 eb4f1a2b"                                 /* TRs */
                        "0f 03 01 0003 6b6d73"                              /* IDRkms */
                        "10 01 02 0102"                                     /* RANDRi */
                        "11 0001 01 01 03 0020 0002 0000"                   /* TP: D, O */
                        "00 0002 01 02 02 8000 0001 00 0003 aabbcc 0000"    /* TICKET: E */
    );
    const json_t *header = json_object_get(d, "header");
    expect_text(header, "map_name", "GENERIC-ID");
    const json_t *cs = json_array_get(json_object_get(header, "cs"), 0);
    expect_number(cs, "cs", 7);
    expect_number(cs, "protocol", 0);
    cr_expect_eq(json_array_size(json_object_get(cs, "policies")), 2);
    expect_text(cs, "ssrc", "aabbccdd");
    expect_number(cs, "roc", 2);
    expect_number(cs, "seq", 3);
    expect_text(cs, "spi", "beef");
    expect_text(payload(d, 0, "TR"), "role_name", "TRs (start)");
    expect_text(payload(d, 1, "IDR"), "role_name", "IDRkms");
    expect_text(payload(d, 2, "RANDR"), "role_name", "RANDRi");
    const json_t *tp = payload(d, 3, "TP");
    expect_text(tp, "ticket_type_name", "MIKEY Base Ticket");
    expect_number(tp, "prf", 1);
    expect_text(tp, "flags", "DO");
    expect_number(tp, "tp_data_len", 2);
    cr_expect_null(json_object_get(tp, "ticket_data_len"));
    const json_t *ticket = payload(d, 4, "TICKET");
    expect_text(ticket, "ticket_type_name", "3GPP Base Ticket");
    expect_number(ticket, "subtype", 1);
    expect_number(ticket, "version", 2);
    expect_text(ticket, "flags", "E");
    expect_number(ticket, "ticket_data_len", 3);
    expect_number(ticket, "initiator_data_len", 0);
    expect_whole(d, 5);
    json_decref(d);
}

Test(dissect, session_data_of_another_length_than_its_flag_says_is_an_error)
{
    json_t *d = dissect("010e0001 12345678 01 02 07 00 80 0004 aabbccdd 00");
    cr_expect(finds(d, "4 bytes of SRTP session data with S=1"));
    cr_expect_not(json_is_true(json_object_get(d, "valid")));
    json_decref(d);
}

/* RFC 4650 with this project's private group: a SPI behind the value. */
Test(dissect, a_dhhmac_value_of_x25519_has_its_validity)
{
    json_t *d = dissect("01070300 12345678 00 01"
                        "00 ff 0001020304050607 08090a0b0c0d0e0f 1011121314151617 18191a1b1c1d1e1f"
                        "01 04 01020304");
    const json_t *dh = payload(d, 0, "DH");
    expect_text(dh, "group_name", "X25519 (private)");
    expect_text(dh, "dh_value", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    expect_text(dh, "validity_name", "SPI");
    expect_text(dh, "spi", "01020304");
    cr_expect(finds(d, "group 255 is private"));
    cr_expect_not(json_is_true(json_object_get(d, "valid")), "a message of nothing else");
    json_decref(d);
}

/* RFC 3830 6.3, 6.5, 6.7, 6.8: public key mode. */
Test(dissect, payloads_of_public_key_mode_have_their_kinds)
{
    json_t *d = dissect("01020700 12345678 00 01"
                        "08 00 0002 3082"                        /* CERT */
                        "02 01 000102030405060708090a0b0c0d0e0f" /* CHASH, MD5 */
                        "04 8003 010203"                         /* PKE, cache for CSB */
                        "1002 0a0b" /* SIGN: no next payload byte */);
    expect_text(payload(d, 0, "CERT"), "cert_type_name", "X.509v3");
    expect_text(payload(d, 1, "CHASH"), "hash_name", "MD5");
    const json_t *pke = payload(d, 2, "PKE");
    expect_text(pke, "cache_name", "cache for CSB");
    expect_number(pke, "data_len", 3);
    const json_t *sign = payload(d, 3, "SIGN");
    expect_text(sign, "signature_name", "RSA/PSS");
    expect_number(sign, "data_len", 2);
    expect_whole(d, 4);
    json_decref(d);
}

Test(dissect, sakke_and_extensions_are_named)
{
    json_t *d = dissect("011a1500 12345678 00 01"
                        "15 01 0005 6d696b6579"          /* SDP IDs */
                        "15 03 0007 00 01 0a 01 02 0b0c" /* Key ID */
                        "1a 03 0003 02 02 01"            /* Key ID, cut short */
                        "00 01 01 0001 ff" /* SAKKE */);
    expect_text(payload(d, 0, "General Extension"), "protocols", "mikey");
    const json_t *ids = json_object_get(payload(d, 1, "General Extension"), "key_ids");
    cr_assert_eq(json_array_size(ids), 2);
    expect_text(json_array_get(ids, 1), "key_id_type_name", "MBMS Service Key ID");
    expect_text(json_array_get(ids, 1), "key_id", "0b0c");
    cr_expect_eq(json_array_size(json_object_get(payload(d, 2, "General Extension"), "key_ids")),
                 0);
    cr_expect(finds(d, "the last identifier is cut short"));
    expect_text(payload(d, 3, "SAKKE"), "id_scheme_name", "tel URI with monthly keys");
    expect_whole(d, 4);
    json_decref(d);
}

/* RFC 6267: named; nothing is said of what stands behind. */
Test(dissect, ibake_payloads_are_named_and_end_the_reading)
{
    json_t *d = dissect("01161700 12345678 00 01 19 0001 00");
    (void)payload(d, 0, "ESK");
    cr_expect(finds(d, "its length is unknown, nothing after it can be read"));
    cr_expect_eq(json_array_size(json_object_get(d, "payloads")), 1);
    json_decref(d);
}

/* However a ticket is cut, nothing of what was not there is told. */
Test(dissect, a_cut_ticket_claims_nothing_beyond_the_cut)
{
    json_t *d = dissect("010e1100 12345678 00 01 00 0002 01 02 02 8000 0001 00 0003 aabb");
    const json_t *ticket = payload(d, 0, "TICKET");
    expect_number(ticket, "tp_data_len", 1);
    cr_expect_null(json_object_get(ticket, "ticket_data_len"));
    cr_expect_null(json_object_get(ticket, "length"));
    cr_expect(finds(d, "the message ends inside the payload"));
    json_decref(d);
}

#define DHHMAC_HEAD "01 07 05 00 12345678 00 00"
#define DHHMAC_T(next) next " 00 eb4f1a2b80000000"
#define DHHMAC_RAND "06 10 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
#define DHHMAC_DH "ff 0900000000000000000000000000000000000000000000000000000000000000 00"
#define DHHMAC_KEMAC "00 00 0000 01 00112233445566778899aabbccddeeff00112233"

/* What the strict parser says counts for DHHMAC as it does for PSK mode. */
Test(dissect, dhhmac_is_judged_by_the_parser)
{
    json_t *d = dissect(DHHMAC_HEAD DHHMAC_T("0b") DHHMAC_RAND "03 00 0003 626f62"
                                                               "01" DHHMAC_DH DHHMAC_KEMAC);
    expect_whole(d, 5);
    cr_expect(finds(d, "no IDi"));
    cr_expect(finds(d, "no SDP IDs"));
    cr_expect_not(finds(d, "no IDr"));
    cr_expect_not(finds(d, "derive the TGK"));
    cr_expect_not(finds(d, "not a message of"));
    json_decref(d);
    /* Two values, where an I_MESSAGE has one; and none beside a RAND. */
    d = dissect(DHHMAC_HEAD DHHMAC_T("0b") DHHMAC_RAND "03 00 0003 626f62"
                                                       "03" DHHMAC_DH "01" DHHMAC_DH DHHMAC_KEMAC);
    cr_expect_not(json_is_true(json_object_get(d, "valid")));
    cr_expect(finds(d, "one Diffie-Hellman value"));
    json_decref(d);
    d = dissect(DHHMAC_HEAD DHHMAC_T("0b") DHHMAC_RAND "01 00 0003 626f62" DHHMAC_KEMAC);
    cr_expect_not(json_is_true(json_object_get(d, "valid")));
    json_decref(d);
}

/* RFC 4650 3, 4.2, and our marks: what the parser refuses of DHHMAC. */
Test(dissect, what_dhhmac_does_not_have_is_refused)
{
    static const struct {
        const char *hex, *said;
    } messages[] = {
        {DHHMAC_HEAD DHHMAC_T("0b") DHHMAC_RAND
         "03 00 0003 626f62" /* key data in KEMAC */
         "01" DHHMAC_DH "00 00 0002 abcd 01 00112233445566778899aabbccddeeff00112233",
         "DHHMAC message with key data"},
        {DHHMAC_HEAD DHHMAC_T("0b") "03 10 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
                                    "01" DHHMAC_DH DHHMAC_KEMAC,
         "without IDr"},
        {DHHMAC_HEAD DHHMAC_T("0b") DHHMAC_RAND "03 00 0003 626f62"
                                                "00" DHHMAC_DH,
         "without KEMAC"},
        {DHHMAC_HEAD DHHMAC_T("0b") DHHMAC_RAND
         "15 00 0003 626f62"
         "03 00 0013 6d696b6579642074676b3a2064657269766564" /* mikeyd tgk: derived */
         "01" DHHMAC_DH DHHMAC_KEMAC,
         "derived TGK"},
        {DHHMAC_HEAD DHHMAC_T("06") "15 00 0003 626f62"
                                    "01 00 000e 6d696b6579642070736b2d646865" DHHMAC_KEMAC,
         "values exchanged"},
    };
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        json_t *d = dissect(messages[i].hex);
        cr_expect_not(json_is_true(json_object_get(d, "valid")), "%zu", i);
        cr_expect(finds(d, messages[i].said), "%zu: %s", i, messages[i].said);
        json_decref(d);
    }
}

Test(dissect, dhhmac_updates_and_psk_dhe_are_told)
{
    json_t *d = dissect(DHHMAC_HEAD DHHMAC_T("06") "01 00 0003 626f62" DHHMAC_KEMAC);
    expect_whole(d, 3);
    cr_expect(finds(d, "keeps its TGK"));
    cr_expect(finds(d, "an update of an earlier bundle"));
    json_decref(d);
    d = dissect(DHHMAC_HEAD DHHMAC_T("0b") DHHMAC_RAND
                "15 00 0003 626f62"
                "03 00 000e 6d696b6579642070736b2d646865" /* mikeyd psk-dhe */
                "01" DHHMAC_DH DHHMAC_KEMAC);
    expect_whole(d, 6);
    cr_expect(finds(d, "the PSK enters the TGK"));
    json_decref(d);
}

/* RFC 6267 by the registry's names; nobody can read on behind them. */
Test(dissect, payloads_and_messages_of_ibake_are_named)
{
    static const char *const names[] = {"IBAKE", "ESK", "SK", "ECCPT"};
    static const char *const types[] = {"IBAKE REQUEST_KEY_PSK",  "IBAKE REQUEST_KEY_PKE",
                                        "IBAKE REQUEST_KEY_RESP", "IBAKE I_MESSAGE_1",
                                        "IBAKE R_MESSAGE_1",      "IBAKE I_MESSAGE_2",
                                        "IBAKE R_MESSAGE_2"};
    for (unsigned i = 0; i < 4; i++) {
        char hex[64];
        (void)snprintf(hex, sizeof hex, "0116%02x00 12345678 00 01 00 0002 abcd", 22 + i);
        json_t *d = dissect(hex);
        (void)payload(d, 0, names[i]);
        cr_expect(finds(d, "its length is unknown"));
        json_decref(d);
    }
    for (unsigned i = 0; i < 7; i++) {
        char hex[32];
        (void)snprintf(hex, sizeof hex, "01%02x0000 12345678 00 01", 19 + i);
        json_t *d = dissect(hex);
        expect_text(d, "type", types[i]);
        json_decref(d);
    }
}
