/* The a=key-mgmt attribute. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "mikey/sdp.h"
#include "support.h"

static uint8_t out[256];
static size_t out_len;
static struct error err;

static enum mikeyd_status parse(const char *text)
{
    err = (struct error){0};
    return mikey_sdp_parse(text, strlen(text), out, sizeof out, &out_len, &err);
}

static void reads(const char *text)
{
    cr_assert_eq(parse(text), MIKEYD_OK, "%s: %s", text, err.text);
    support_equal(out, out_len, "\x01\x02\x03\x04", 4, text);
}

static void refuses(const char *text)
{
    cr_assert_eq(parse(text), MIKEYD_SYNTAX, "%s", text);
    cr_assert_neq(err.text[0], '\0');
}

Test(sdp, line_attribute_and_bare_text_are_read)
{
    reads("a=key-mgmt:mikey AQIDBA==");
    reads("a=key-mgmt: mikey AQIDBA==");
    reads("key-mgmt:mikey AQIDBA==");
    reads("AQIDBA==");
    reads("a=key-mgmt:mikey AQIDBA==\r\n");
}

Test(sdp, everything_else_is_refused)
{
    refuses("");
    refuses("a=key-mgmt:");
    refuses("a=key-mgmt:mikey");
    refuses("a=key-mgmt:mikey ");
    refuses("a=key-mgmt:MIKEY AQIDBA==");
    refuses("a=key-mgmt:keyp1 AQIDBA==");
    refuses("a=key-mgmt:mikeyAQIDBA==");
    refuses("a=key-mgmt:mikey  AQIDBA==");
    refuses("a=key-mgmt:  mikey AQIDBA==");
    refuses("a=crypto:1 AQIDBA==");
    refuses("a=acap:1 key-mgmt:mikey AQIDBA==");
    refuses("key-mgmt:mikey AQIDBA== ");
    refuses("key-mgmt:mikey AQI DBA==");
    refuses("key-mgmt:mikey AQIDBA=");
    refuses("AQAFgM");
}

Test(sdp, what_is_written_is_read_for_every_length)
{
    for (size_t len = 1; len < 200; len++) {
        struct bytes message = support_counting(7, len);
        char *line = malloc(mikey_sdp_size(len));
        cr_assert_not_null(line);
        mikey_sdp_format(message.data, len, line);
        cr_assert_eq(strlen(line) + 1, mikey_sdp_size(len));
        cr_assert_eq(parse(line), MIKEYD_OK);
        support_equal(out, out_len, message.data, len, "message");
        free(line);
    }
}

Test(sdp, a_message_larger_than_the_buffer_is_refused)
{
    struct bytes message = support_counting(0, 257);
    char line[512];
    cr_assert(mikey_sdp_size(257) <= sizeof line);
    mikey_sdp_format(message.data, message.len, line);
    cr_assert_eq(parse(line), MIKEYD_SYNTAX);
}
