/* Key data sub-payloads (RFC 3830 6.13, 6.14). */
#include <criterion/criterion.h>
#include <string.h>

#include "mikey/wire.h"
#include "support.h"

TestSuite(key_data, .init = support_init);

static struct bytes bytes;
static struct mikey_key_data keys[MIKEY_KEY_DATA_MAX];
static size_t count;
static struct error err;

static enum mikeyd_status parse(const char *hex)
{
    bytes = support_hex_string(hex);
    err = (struct error){0};
    return mikey_parse_key_data(bytes.data, bytes.len, keys, &count, &err);
}

static void refused(const char *hex, enum mikeyd_status status, const char *text)
{
    cr_assert_eq(parse(hex), status, "%s: %s", hex, err.text);
    cr_assert_not_null(strstr(err.text, text), "%s: %s", hex, err.text);
    cr_assert_eq(count, 0);
}

Test(key_data, each_type_and_validity_is_read)
{
    cr_assert_eq(parse("00000002aabb"), MIKEYD_OK);
    cr_assert_eq(keys[0].type, MIKEY_KEY_TGK);
    cr_assert_eq(keys[0].key_len, 2);
    cr_assert_eq(parse("00110002aabb0001cc0201ff"), MIKEYD_OK);
    cr_assert_eq(keys[0].type, MIKEY_KEY_TGK_SALT);
    cr_assert_eq(keys[0].salt[0], 0xcc);
    cr_assert_eq(keys[0].spi_len, 2);
    cr_assert_eq(parse("00220002aabb0600000000000106000000000009"), MIKEYD_OK);
    cr_assert_eq(keys[0].kv, MIKEY_KV_INTERVAL);
    cr_assert_eq(keys[0].from[5], 1);
    cr_assert_eq(keys[0].to[5], 9);
    cr_assert_eq(parse("00300002aabb0001cc"), MIKEYD_OK);
    cr_assert_eq(keys[0].type, MIKEY_KEY_TEK_SALT);
}

Test(key_data, several_keys_with_spis_are_read)
{
    cr_assert_eq(parse("14010001aa0101"
                       "00010001bb0102"),
                 MIKEYD_OK);
    cr_assert_eq(count, 2);
    cr_assert_eq(keys[1].key[0], 0xbb);
}

Test(key_data, every_truncation_is_refused)
{
    static const char whole[] = "14110002aabb0001cc01010011000211220001330102";
    cr_assert_eq(parse(whole), MIKEYD_OK);
    for (size_t len = 0; len < strlen(whole); len += 2) {
        char cut[64] = {0};
        memcpy(cut, whole, len);
        cr_assert_eq(parse(cut), MIKEYD_SYNTAX, "%zu digits", len);
    }
}

Test(key_data, malformed_entries_are_refused)
{
    refused("00000002aabb00", MIKEYD_SYNTAX, "left over");
    refused("0d000002aabb", MIKEYD_SYNTAX, "next payload 13");
    refused("00000000", MIKEYD_SYNTAX, "empty key");
    refused("00100001aa0000", MIKEYD_SYNTAX, "empty salt");
    refused("00010001aa00", MIKEYD_SYNTAX, "empty SPI");
    refused("00020001aa0400000001040000000f", MIKEYD_SYNTAX, "48-bit");
}

Test(key_data, kinds_of_other_modes_are_unsupported)
{
    refused("00400001aa", MIKEYD_UNSUPPORTED, "key type 4");
    refused("00f00001aa", MIKEYD_UNSUPPORTED, "key type 15");
    refused("00030001aa", MIKEYD_UNSUPPORTED, "validity type 3");
}

Test(key_data, keys_that_cannot_be_told_apart_are_refused)
{
    refused("14000001aa00000001bb", MIKEYD_SYNTAX, "without SPIs");
    refused("14010001aa010100000001bb", MIKEYD_SYNTAX, "without SPIs");
    refused("14010001aa010100010001bb020002", MIKEYD_SYNTAX, "of one length");
    refused("14010001aa010100010001bb0101", MIKEYD_SYNTAX, "same SPI");
}

Test(key_data, eight_keys_are_read_and_nine_are_not)
{
    for (unsigned n = 8; n < 10; n++) {
        char text[256] = {0};
        for (unsigned i = 0; i < n; i++)
            (void)snprintf(text + strlen(text), 16, "%s010001aa01%02x", i + 1 < n ? "14" : "00", i);
        cr_assert_eq(parse(text), n == 8 ? MIKEYD_OK : MIKEYD_UNSUPPORTED);
    }
}

Test(key_data, what_is_written_is_read_back)
{
    uint8_t out[256];
    cr_assert_eq(parse("14110002aabb0001cc0101"
                       "00310002112200013301ff"),
                 MIKEYD_OK);
    struct byte_writer w = writer_of(out, sizeof out);
    cr_assert_eq(mikey_key_data_write(&w, keys, count, &err), MIKEYD_OK);
    support_equal(out, w.len, bytes.data, bytes.len, "key data");
}

Test(key_data, entries_that_cannot_stand_on_the_wire_are_not_written)
{
    static const uint8_t one[1];
    const struct mikey_key_data bad[] = {
        {.type = 4, .key = one, .key_len = 1},
        {.type = MIKEY_KEY_TGK, .key = one, .key_len = 0},
        {.type = MIKEY_KEY_TGK_SALT, .key = one, .key_len = 1},
        {.type = MIKEY_KEY_TGK, .key = one, .key_len = 1, .salt = one, .salt_len = 1},
        {.kv = MIKEY_KV_SPI, .key = one, .key_len = 1},
        {.kv = MIKEY_KV_INTERVAL, .key = one, .key_len = 1},
        {.kv = 3, .key = one, .key_len = 1},
        {.key = one, .key_len = 65536},
    };
    uint8_t out[64];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct byte_writer w = writer_of(out, sizeof out);
        cr_assert_eq(mikey_key_data_write(&w, &bad[i], 1, &err), MIKEYD_INVALID_ARGUMENT, "%zu", i);
    }
}
