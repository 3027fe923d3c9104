#include "base/text.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static enum mikeyd_status decode(const char *text, uint8_t *out, size_t cap, size_t *len,
                                 struct error *err)
{
    return base64_decode(text, strlen(text), out, cap, len, err);
}

Test(base64, rfc_4648_examples_go_both_ways)
{
    static const struct {
        const char *plain, *coded;
    } examples[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        size_t plain_len = strlen(examples[i].plain);
        char text[16];
        base64_encode(examples[i].plain, plain_len, text);
        cr_expect_str_eq(text, examples[i].coded);
        cr_expect_eq(base64_size(plain_len), strlen(text) + 1);
        uint8_t out[6];
        size_t len = 99;
        /* Exactly as much room as the result needs. */
        cr_expect_eq(decode(text, out, plain_len, &len, NULL), MIKEYD_OK);
        cr_expect_eq(len, plain_len);
        cr_expect_arr_eq(out, examples[i].plain, plain_len);
    }
}

Test(base64, every_length_to_300_survives_the_round_trip)
{
    uint8_t data[300], out[300];
    char text[404];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 37 + 11);
    for (size_t n = 0; n <= sizeof data; n++) {
        size_t len;
        base64_encode(data, n, text);
        cr_assert_eq(decode(text, out, n, &len, NULL), MIKEYD_OK, "length %zu", n);
        cr_assert_eq(len, n);
        cr_assert_arr_eq(out, data, n);
    }
}

Test(base64, large_data_is_encoded_in_one_line)
{
    size_t n = 7u << 20;
    uint8_t *data = malloc(n), *out = malloc(n);
    char *text = malloc(base64_size(n));
    for (size_t i = 0; i < n; i++)
        data[i] = (uint8_t)(i >> 3 ^ i);
    base64_encode(data, n, text);
    cr_assert_eq(strlen(text) + 1, base64_size(n));
    size_t len;
    cr_assert_eq(base64_decode(text, strlen(text), out, n, &len, NULL), MIKEYD_OK);
    cr_assert_eq(len, n);
    cr_expect_eq(memcmp(data, out, n), 0);
    free(data);
    free(out);
    free(text);
}

Test(base64, what_is_not_canonical_is_syntax)
{
    static const char *const bad[] = {
        "Zg",
        "Zg=",
        "Z===",
        "====",
        "Zm9v\n",
        " Zm9v",
        "Zm 9v",
        "Zm9v====",
        "Zg==Zg==",
        "Zm-_",
        "Zm9vYg=a",
        "Zm9vZ=g=",
        "\tZm9",
        "Zm9v=",
        "Zh==" /* unused bits */,
        "Zm9=" /* unused bits */,
        "Zm9\xc3",
        "=m9v",
        "Zm9v\r\nZm9v",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t out[32];
        size_t len = 7;
        struct error err = {0};
        cr_expect_eq(decode(bad[i], out, sizeof out, &len, &err), MIKEYD_SYNTAX, "took \"%s\"",
                     bad[i]);
        cr_expect_eq(len, 0);
        cr_expect_neq(err.text[0], '\0');
    }
}

Test(base64, first_wrong_position_is_named)
{
    uint8_t out[32];
    size_t len;
    struct error err = {0};
    cr_expect_eq(decode("Zm9vZm!v", out, sizeof out, &len, &err), MIKEYD_SYNTAX);
    cr_expect_not_null(strstr(err.text, "position 6"), "%s", err.text);
}

Test(base64, a_result_larger_than_its_room_is_refused_and_nothing_is_written)
{
    uint8_t out[4] = {0xaa, 0xaa, 0xaa, 0xaa};
    size_t len;
    cr_expect_eq(decode("Zm9vYmE=", out, 4, &len, NULL), MIKEYD_SYNTAX);
    cr_expect_eq(out[0], 0xaa);
}

Test(base64, embedded_nul_is_refused)
{
    uint8_t out[8];
    size_t len;
    cr_expect_eq(base64_decode("Zm9v\0m9v", 8, out, sizeof out, &len, NULL), MIKEYD_SYNTAX);
}

Test(hex, goes_both_ways_and_reads_either_case)
{
    const uint8_t data[] = {0x00, 0x7f, 0xab, 0xff};
    char text[9];
    hex_encode(data, sizeof data, text);
    cr_expect_str_eq(text, "007fabff");
    uint8_t out[4];
    size_t len;
    cr_expect_eq(hex_decode("007FaBfF", 8, out, sizeof out, &len, NULL), MIKEYD_OK);
    cr_expect_eq(len, 4);
    cr_expect_arr_eq(out, data, 4);
}

Test(hex, odd_foreign_or_long_input_is_syntax)
{
    uint8_t out[2];
    size_t len = 5;
    struct error err = {0};
    cr_expect_eq(hex_decode("abc", 3, out, sizeof out, &len, NULL), MIKEYD_SYNTAX);
    cr_expect_eq(hex_decode("aabbcc", 6, out, sizeof out, &len, NULL), MIKEYD_SYNTAX);
    cr_expect_eq(hex_decode("a:bb", 4, out, sizeof out, &len, &err), MIKEYD_SYNTAX);
    cr_expect_not_null(strstr(err.text, "position 1"));
    cr_expect_eq(len, 0);
}

Test(hex, nothing_is_an_empty_string)
{
    char text[1];
    size_t len = 5;
    hex_encode(NULL, 0, text);
    cr_expect_str_eq(text, "");
    cr_expect_eq(hex_decode("", 0, NULL, 0, &len, NULL), MIKEYD_OK);
    cr_expect_eq(len, 0);
}
