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

Test(sdp, what_stacks_hand_over_is_read)
{
    reads("a=acap:1 key-mgmt:mikey AQIDBA==");
    reads("a=key-mgmt:mikey AQIDBA");
    reads("a=key-mgmt:mikey AQIDBA=");
    reads("a=key-mgmt:mikey AQ\r\n ID\r\n BA==\r\n");
    reads("a=key-mgmt:mikey AQIDB\nA==\n"); /* no line of SDP, though it looks like one */
    reads("AQID\nBA==\n");
    reads("AQIDBA");
    reads("KeyMgmt: prot=mikey; uri=\"rtsp://x/a,b;c\"; data=\"AQIDBA==\"\r\n");
    reads("keymgmt:prot=mikey;data=\"AQIDBA==\";uri=\"\"");
    reads("KeyMgmt: prot=keyp1; data=\"////\", prot=mikey; data=\"AQIDBA==\"");
    reads("v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=audio 9 RTP/SAVP 0\r\n"
          "a=key-mgmt:keyp1 ////\r\na=key-mgmt:mikey AQIDBA==\r\na=sendrecv\r\n");
    /* The same at session and media level. */
    reads("v=0\na=key-mgmt:mikey AQIDBA==\nm=audio 9 RTP/SAVP 0\na=key-mgmt:mikey AQIDBA==\n");
}

Test(sdp, two_messages_are_a_question)
{
    refuses("v=0\nm=audio 1 RTP/SAVP 0\na=key-mgmt:mikey AQIDBA==\n"
            "m=video 1 RTP/SAVP 0\na=key-mgmt:mikey AQIDBQ==\n");
    cr_assert_not_null(strstr(err.text, "several"), "%s", err.text);
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
    refuses("a=acap:1 crypto:1 AQIDBA==");
    refuses("v=0\r\ns=-\r\n");
    refuses("key-mgmt:mikey AQIDBA===");
    refuses("key-mgmt:mikey AQIDB");
    refuses("key-mgmt:mikey AQID-A==");
    refuses("AQAFg");
    refuses("key-mgmt:mikey AQI DBA==");
    refuses("AQI DBA==");
    refuses("KeyMgmt: prot=mikey; uri=\"x\"");
    refuses("KeyMgmt: prot=keyp1; data=\"AQIDBA==\"");
    refuses("KeyMgmt: prot=mikey; data=\"AQIDBA==\" x");
    refuses("KeyMgmt:");
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
