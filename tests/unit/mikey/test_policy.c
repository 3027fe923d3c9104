/* SP payloads: the six suites there and back, defaults, every parameter that does not fit. */
#include <criterion/criterion.h>
#include <string.h>

#include "mikey/wire.h"
#include "support.h"

TestSuite(policy, .init = support_init);

static struct error err;
static uint8_t number;

static enum mikeyd_status read_hex(const char *hex, struct mikey_sp *sp)
{
    struct bytes bytes = support_hex_string(hex);
    struct byte_reader r = reader_of(bytes.data, bytes.len);
    *sp = (struct mikey_sp){0};
    err = (struct error){0};
    return mikey_sp_read(&r, sp, &number, &err);
}

Test(policy, every_suite_survives_the_wire)
{
    for (int i = 0; i < SRTP_SUITE_COUNT; i++) {
        uint8_t out[128];
        struct byte_writer w = writer_of(out, sizeof out);
        mikey_sp_write(&w, MIKEY_PAYLOAD_KEMAC, 9, (enum srtp_suite)i);
        struct byte_reader r = reader_of(out, w.len);
        cr_assert_eq(reader_u8(&r), MIKEY_PAYLOAD_KEMAC);
        cr_assert_eq(reader_u8(&r), 9);
        cr_assert_eq(reader_u8(&r), 0);
        struct byte_reader parameters = reader_sub(&r, reader_u16(&r));
        cr_assert(reader_done(&r));
        struct mikey_sp sp = {0};
        enum srtp_suite suite = SRTP_SUITE_COUNT;
        cr_assert_eq(mikey_sp_read(&parameters, &sp, &number, &err), MIKEYD_OK);
        cr_assert_eq(mikey_sp_suite(&sp, &suite, &err), MIKEYD_OK, "%s", err.text);
        cr_assert_eq((int)suite, i);
    }
}

static void means(const char *hex, enum srtp_suite expected)
{
    struct mikey_sp sp;
    enum srtp_suite suite = SRTP_SUITE_COUNT;
    cr_assert_eq(read_hex(hex, &sp), MIKEYD_OK, "%s: %s", hex, err.text);
    cr_assert_eq(mikey_sp_suite(&sp, &suite, &err), MIKEYD_OK, "%s: %s", hex, err.text);
    cr_assert_eq(suite, expected, "%s", hex);
}

Test(policy, no_parameters_mean_the_defaults_of_srtp)
{
    means("", SRTP_AES_CM_128_HMAC_SHA1_80);
}

Test(policy, key_length_and_tag_length_choose_among_the_aes_cm_suites)
{
    means("0b0104", SRTP_AES_CM_128_HMAC_SHA1_32);
    means("010120", SRTP_AES_256_CM_HMAC_SHA1_80);
    means("0101200b0104", SRTP_AES_256_CM_HMAC_SHA1_32);
}

Test(policy, gcm_has_defaults_of_its_own)
{
    means("000106", SRTP_AEAD_AES_128_GCM);
    means("000106010120", SRTP_AEAD_AES_256_GCM);
    means("000106010120140110020100", SRTP_AEAD_AES_256_GCM);
    /* RFC 7714 14.3: HMAC-SHA-1, its key and its tag beside an AEAD change nothing. */
    means("000106010120020101030114"
          "0b010a",
          SRTP_AEAD_AES_256_GCM);
    means("000106020101", SRTP_AEAD_AES_128_GCM);
}

Test(policy, values_may_have_up_to_four_bytes)
{
    means("01040000001000020001", SRTP_AES_CM_128_HMAC_SHA1_80);
}

static void does_not_fit(const char *hex, const char *text)
{
    struct mikey_sp sp;
    enum srtp_suite suite;
    cr_assert_eq(read_hex(hex, &sp), MIKEYD_OK, "%s: %s", hex, err.text);
    cr_assert_eq(mikey_sp_suite(&sp, &suite, &err), MIKEYD_UNSUPPORTED, "%s", hex);
    cr_assert_not_null(strstr(err.text, text), "%s: %s", hex, err.text);
}

Test(policy, each_parameter_that_fits_no_suite_is_named)
{
    does_not_fit("000100", "(0)");
    does_not_fit("000102", "(0)");
    does_not_fit("010118", "(1)");
    does_not_fit("020100", "(2)");
    does_not_fit("03010a", "(3)"); /* the tag length put in the wrong place */
    does_not_fit("04010c", "(4)");
    does_not_fit("050101", "(5)");
    does_not_fit("060101", "(6)");
    does_not_fit("070100", "(7)");
    does_not_fit("080100", "(8)");
    does_not_fit("090101", "(9)");
    does_not_fit("0a0100", "(10)");
    does_not_fit("0b0108", "(11)");
    does_not_fit("0c0101", "(12)");
    does_not_fit("0d020001", "4771");
    does_not_fit("13010a", "4771");
    does_not_fit("140110", "(20)");
    does_not_fit("00010604010e", "(4)");
    does_not_fit("000106140108", "(20)");
}

Test(policy, malformed_parameters_are_refused)
{
    static const char *const bad[] = {
        "00",             /* length missing */
        "0001",           /* value missing */
        "0002010b",       /* fine so far, then: */
        "000101000101",   /* twice */
        "0000",           /* no value */
        "01050000000010", /* five bytes */
        "00010101ff",     /* runs past the payload */
    };
    struct mikey_sp sp;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        enum mikeyd_status status = read_hex(bad[i], &sp);
        if (i == 2) {
            cr_assert_eq(status, MIKEYD_UNSUPPORTED, "an algorithm over 255");
            cr_assert_eq(number, 10);
            continue;
        }
        cr_assert_eq(status, MIKEYD_SYNTAX, "%s", bad[i]);
        cr_assert_eq(number, 12, "%s", bad[i]);
    }
}

Test(policy, unknown_parameters_are_error_10)
{
    struct mikey_sp sp;
    cr_assert_eq(read_hex("150101", &sp), MIKEYD_UNSUPPORTED);
    cr_assert_eq(number, 10);
    cr_assert_eq(read_hex("ff0101", &sp), MIKEYD_UNSUPPORTED);
    cr_assert_eq(read_hex("070102", &sp), MIKEYD_UNSUPPORTED, "neither on nor off");
}
