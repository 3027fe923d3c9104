/* mikeyd/sdp.h: descriptions as a program reads and writes them. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include <mikeyd/sdp.h>

#include "client/peer.h"

#define OFFER                                                                                      \
    "v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\n"                                                  \
    "a=key-mgmt:mikey AQAAAAAAAAAE\r\n"                                                            \
    "m=audio 49000 RTP/SAVP 98\r\na=sendonly\r\n"                                                  \
    "m=video 0 RTP/SAVPF 31\r\n"

static mikeyd_sdp *must_read(const char *text)
{
    mikeyd_sdp *sdp = NULL;
    cr_assert_eq(mikeyd_sdp_read(text, strlen(text), &sdp), MIKEYD_OK, "%s",
                 mikeyd_client_error(NULL));
    return sdp;
}

Test(client_sdp, a_description_outlives_its_text)
{
    char text[] = OFFER;
    mikeyd_sdp *sdp = must_read(text);
    memset(text, 'x', sizeof text);
    const struct mikeyd_sdp_message *messages;
    cr_assert_eq(mikeyd_sdp_messages(sdp, &messages), 1);
    cr_expect_eq(messages[0].len, 9);
    cr_expect_eq(messages[0].level, 0);
    cr_expect_str_eq(messages[0].uri, "");
    const struct mikeyd_sdp_media *lines;
    cr_assert_eq(mikeyd_sdp_media_lines(sdp, &lines), 2);
    cr_expect_str_eq(lines[0].kind, "audio");
    cr_expect_str_eq(lines[0].profile, "RTP/SAVP");
    cr_expect_eq(lines[0].port, 49000);
    cr_expect_eq(lines[0].direction, MIKEYD_SDP_SENDONLY);
    cr_expect(lines[0].secure && !lines[0].disabled && lines[1].disabled);
    cr_expect_eq(lines[1].message, 0);
    cr_expect(lines[1].first_cs == 3 && lines[1].cs_count == 2);
    cr_expect_str_eq(mikeyd_sdp_protocols(sdp), "mikey");
    cr_expect_eq(mikeyd_sdp_compare(NULL, sdp, 1), MIKEYD_SDP_RENEWED);
    cr_expect_eq(mikeyd_sdp_compare(sdp, sdp, 1), MIKEYD_SDP_UNCHANGED);
    mikeyd_sdp_free(sdp);
}

Test(client_sdp, headers_have_their_uris)
{
    mikeyd_sdp *sdp = must_read("KeyMgmt: prot=mikey; uri=\"rtsp://x/a\"; data=\"AQID\","
                                "prot=mikey; data=\"AQIE\"");
    const struct mikeyd_sdp_message *messages;
    cr_assert_eq(mikeyd_sdp_messages(sdp, &messages), 2);
    cr_expect_str_eq(messages[0].uri, "rtsp://x/a");
    cr_expect_str_eq(messages[1].uri, "");
    mikeyd_sdp_free(sdp);
}

Test(client_sdp, what_cannot_be_read_is_refused)
{
    mikeyd_sdp *sdp = (mikeyd_sdp *)1;
    cr_expect_eq(mikeyd_sdp_read("a=key-mgmt:mikey ?", 18, &sdp), MIKEYD_SYNTAX);
    cr_expect_null(sdp);
    cr_expect_neq(mikeyd_client_error(NULL)[0], '\0');
    cr_expect_eq(mikeyd_sdp_read("", 0, &sdp), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(mikeyd_sdp_read(NULL, 1, &sdp), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(mikeyd_sdp_read("v=0", 3, NULL), MIKEYD_INVALID_ARGUMENT);
    mikeyd_sdp_free(NULL);
    sdp = must_read("v=0\nm=audio 1 RTP/SAVP 0\na=key-mgmt:mikey AQID\n"
                    "m=audio 1 RTP/SAVP 0\na=key-mgmt:keyp1 AQID\n");
    cr_expect_null(mikeyd_sdp_protocols(sdp));
    mikeyd_sdp_free(sdp);
}

/* The list before the message is made, and the description with it. */
Test(client_sdp, an_offer_is_written)
{
    static const char base[] = "v=0\r\na=key-mgmt:keyp1 AAAA\r\nm=audio 1 RTP/SAVP 0\r\n";
    char *out = NULL;
    cr_assert_eq(mikeyd_sdp_offer_protocols(base, sizeof base - 1, 0, &out), MIKEYD_OK);
    cr_expect_str_eq(out, "mikey;keyp1");
    free(out);
    cr_expect_eq(mikeyd_sdp_offer_protocols(base, sizeof base - 1, 1, &out), MIKEYD_POLICY);
    cr_expect_null(out);
    cr_expect_eq(mikeyd_sdp_offer_protocols(base, sizeof base - 1, 2, &out),
                 MIKEYD_INVALID_ARGUMENT);

    struct peer peer;
    peer_start(&peer, peer_serve);
    mikeyd_client *client = peer_connect(&peer);
    const struct mikeyd_stream stream = {.ssrc = 1};
    const struct mikeyd_offer offer = {
        .from = "sip:a@x", .to = "sip:b@x", .streams = &stream, .stream_count = 1};
    mikeyd_exchange *exchange = NULL;
    cr_assert_eq(mikeyd_initiate(client, &offer, &exchange), MIKEYD_OK);
    cr_assert_eq(mikeyd_sdp_put(base, sizeof base - 1, exchange, 0, &out), MIKEYD_OK);
    cr_expect_str_eq(out, "v=0\r\na=key-mgmt:mikey bWVzc2FnZS0x\r\na=key-mgmt:keyp1 AAAA\r\n"
                          "m=audio 1 RTP/SAVP 0\r\n");
    free(out);
    cr_expect_eq(mikeyd_sdp_put(base, sizeof base - 1, exchange, 2, &out), MIKEYD_INVALID_ARGUMENT);
    cr_expect_null(out);
    cr_assert_eq(mikeyd_rtsp_header(exchange, "rtsp://x/a", &out), MIKEYD_OK);
    cr_expect_str_eq(out, "KeyMgmt: prot=mikey; uri=\"rtsp://x/a\"; data=\"bWVzc2FnZS0x\"");
    free(out);
    cr_expect_eq(mikeyd_rtsp_header(exchange, "rtsp://x\r\n", &out), MIKEYD_INVALID_ARGUMENT);
    cr_expect_null(out);
    mikeyd_exchange_free(exchange);
    mikeyd_client_close(client);
    peer_stop(&peer);
}
