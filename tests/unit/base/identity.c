#include "base/identity.h"

#include <criterion/criterion.h>
#include <string.h>

static struct identity parsed(const char *text, uint8_t store[IDENTITY_MAX])
{
    struct identity identity;
    struct error err = {0};
    cr_assert_eq(identity_parse(text, store, &identity, &err), MIKEYD_OK, "%s: %s", text, err.text);
    return identity;
}

static void expect_round_trip(const char *text, uint8_t type)
{
    uint8_t store[IDENTITY_MAX];
    char back[IDENTITY_TEXT_MAX];
    struct identity identity = parsed(text, store);
    cr_expect_eq(identity.type, type, "%s has type %d", text, identity.type);
    identity_format(&identity, back);
    cr_expect_str_eq(back, text);
}

Test(identity, text_forms_have_their_types_and_come_back)
{
    expect_round_trip("sip:sbc-a@carrier.example", IDENTITY_URI);
    expect_round_trip("sips:alice@example.com;transport=tls", IDENTITY_URI);
    expect_round_trip("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", IDENTITY_URI);
    expect_round_trip("x-my+scheme.1:thing", IDENTITY_URI);
    expect_round_trip("alice@example.com", IDENTITY_NAI);
    expect_round_trip("j\xc3\xbcrgen@example.com", IDENTITY_NAI);
    expect_round_trip("hex:00ff10", IDENTITY_BYTES);
    expect_round_trip("nai:sip:old@pbx.example", IDENTITY_NAI);
    expect_round_trip("nai:abcd", IDENTITY_NAI);
    expect_round_trip("uri:alice@example.com", IDENTITY_URI);
    expect_round_trip("uri:uri:x", IDENTITY_URI);
    expect_round_trip("nai:hex:00ff", IDENTITY_NAI);
    expect_round_trip("uri:hex:00ff", IDENTITY_URI);
}

Test(identity, bytes_of_a_uri_are_its_text_without_the_terminator)
{
    uint8_t store[IDENTITY_MAX];
    const char *text = "sip:a@b";
    struct identity identity = parsed(text, store);
    cr_expect_eq(identity.len, 7);
    cr_expect_eq((const void *)identity.data, (const void *)text);
}

/* Every identity of one, two and four bytes of these, in every type. */
Test(identity, no_two_identities_share_a_text_and_each_text_reads_back)
{
    static const char *const bytes[] = {
        "abcd",    "\xab\xcd", "hex:abcd", "nai:abcd", "sip:a@b",  "a@b",
        "uri:a@b", "hex:",     "nai:",     "a:b@c",    "sip:a\nb", "7:hex:ab"};
    enum { COUNT = sizeof bytes / sizeof bytes[0] };
    static char texts[COUNT * 3][IDENTITY_TEXT_MAX];
    for (size_t i = 0; i < COUNT * 3; i++) {
        const struct identity identity = {(uint8_t)(i % 3), strlen(bytes[i / 3]),
                                          (const uint8_t *)bytes[i / 3]};
        identity_format(&identity, texts[i]);
        uint8_t store[IDENTITY_MAX];
        const struct identity back = parsed(texts[i], store);
        cr_expect(identity_equal(&back, &identity), "%s is another identity", texts[i]);
        for (size_t j = 0; j < i; j++)
            cr_expect_str_neq(texts[i], texts[j]);
    }
}

Test(identity, unknown_types_have_a_text_that_no_identity_has)
{
    struct identity identity = {7, 7, (const uint8_t *)"sip:a@b"};
    char text[IDENTITY_TEXT_MAX];
    uint8_t store[IDENTITY_MAX];
    identity_format(&identity, text);
    cr_expect_str_eq(text, "7:hex:7369703a614062");
    cr_expect_eq(identity_parse(text, store, &identity, NULL), MIKEYD_SYNTAX);
}

Test(identity, upper_case_hex_reads_as_the_same_bytes)
{
    uint8_t store[2][IDENTITY_MAX];
    struct identity a = parsed("hex:ABCD", store[0]), b = parsed("hex:abcd", store[1]);
    cr_expect(identity_equal(&a, &b));
}

Test(identity, what_has_no_form_is_syntax)
{
    static const char *const bad[] = {
        "",
        "alice",
        "hex:",
        "uri:",
        "nai:",
        "nai:hex:",
        "nai:a b",
        "hex:abc",
        "hex:zz",
        "@example.com",
        "alice@",
        "a@b@c",
        "sip:",
        ":x",
        "1sip:x",
        "sip:a b",
        "sip:a\tb",
        "sip:a\r\nb: c",
        "a\x7f@b",
        "a\x01@b",
        "sip:\xff\xfe",
        "sip:\xc0\xaf",
        "sip:\xc2\x85",
        "sip:\xed\xa0\x80" /* surrogate */,
        "s\xc3\xbcp:x",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t store[IDENTITY_MAX];
        struct identity identity;
        struct error err = {0};
        cr_expect_eq(identity_parse(bad[i], store, &identity, &err), MIKEYD_SYNTAX, "took \"%s\"",
                     bad[i]);
        cr_expect_neq(err.text[0], '\0');
        cr_expect_null(identity.data);
    }
}

Test(identity, longest_is_taken_and_one_more_is_not)
{
    char text[IDENTITY_MAX + 2];
    uint8_t store[IDENTITY_MAX];
    struct identity identity;
    memset(text, 'a', sizeof text);
    text[3] = ':';
    text[IDENTITY_MAX] = '\0';
    cr_expect_eq(identity_parse(text, store, &identity, NULL), MIKEYD_OK);
    text[IDENTITY_MAX] = 'a';
    text[IDENTITY_MAX + 1] = '\0';
    cr_expect_eq(identity_parse(text, store, &identity, NULL), MIKEYD_SYNTAX);
}

Test(identity, longest_byte_string_is_taken_and_one_more_is_not)
{
    char text[4 + 2 * (IDENTITY_MAX + 1) + 1] = "hex:";
    uint8_t store[IDENTITY_MAX];
    struct identity identity;
    memset(text + 4, 'a', sizeof text - 4);
    text[4 + 2 * IDENTITY_MAX] = '\0';
    cr_expect_eq(identity_parse(text, store, &identity, NULL), MIKEYD_OK);
    cr_expect_eq(identity.len, IDENTITY_MAX);
    char back[IDENTITY_TEXT_MAX];
    identity_format(&identity, back);
    cr_expect_str_eq(back, text);
    text[4 + 2 * IDENTITY_MAX] = 'a';
    text[4 + 2 * IDENTITY_MAX + 2] = '\0';
    cr_expect_eq(identity_parse(text, store, &identity, NULL), MIKEYD_SYNTAX);
}

Test(identity, types_make_different_identities_of_the_same_bytes)
{
    const uint8_t *bytes = (const uint8_t *)"sip:a@b";
    struct identity uri = {IDENTITY_URI, 7, bytes}, nai = {IDENTITY_NAI, 7, bytes};
    cr_expect_not(identity_equal(&uri, &nai));
    char text[IDENTITY_TEXT_MAX];
    /* An NAI whose bytes look like a URI must not print as that URI. */
    identity_format(&nai, text);
    cr_expect_str_eq(text, "nai:sip:a@b");
}

Test(identity, comparison_is_byte_by_byte)
{
    struct identity lower = {IDENTITY_URI, 7, (const uint8_t *)"sip:a@b"};
    struct identity upper = {IDENTITY_URI, 7, (const uint8_t *)"sip:a@B"};
    struct identity shorter = {IDENTITY_URI, 6, (const uint8_t *)"sip:a@b"};
    cr_expect_not(identity_equal(&lower, &upper));
    cr_expect_not(identity_equal(&lower, &shorter));
    cr_expect(identity_equal(&lower, &lower));
}

Test(identity, bytes_that_would_break_a_log_line_print_as_hex)
{
    struct identity identity = {IDENTITY_URI, 7, (const uint8_t *)"sip:a\nb"};
    char text[IDENTITY_TEXT_MAX];
    identity_format(&identity, text);
    cr_expect_str_eq(text, "uri:hex:7369703a610a62");
}

Test(identity, overlong_identity_from_the_wire_is_cut)
{
    uint8_t bytes[1000];
    memset(bytes, 'a', sizeof bytes);
    struct identity identity = {IDENTITY_URI, sizeof bytes, bytes};
    char text[IDENTITY_TEXT_MAX];
    identity_format(&identity, text);
    size_t len = strlen(text);
    cr_expect_lt(len, sizeof text);
    cr_expect_str_eq(text + len - 3, "...");
    cr_expect_eq(strncmp(text, "uri:hex:6161", 12), 0);
}
