/*
 * An independent dissector (tshark) reads what the daemon sends, as UDP to MIKEY's port and inside
 * SDP, without complaint.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab.h"

static void path_in(char out[LAB_PATH + 16], const struct lab *lab, const char *name)
{
    (void)snprintf(out, LAB_PATH + 16, "%s/%s", lab->dir, name);
}

/* One packet for text2pcap: offsets and bytes. */
static void write_packet(FILE *file, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (i % 16 == 0)
            (void)fprintf(file, "%s%06zx", i == 0 ? "" : "\n", i);
        (void)fprintf(file, " %02x", bytes[i]);
    }
    (void)fprintf(file, "\n");
}

/* The dissection of one payload sent over UDP to `port`; free() it. */
static char *dissect(struct lab *lab, const uint8_t *bytes, size_t len, const char *port)
{
    char hex[LAB_PATH + 16], pcap[LAB_PATH + 16], out[LAB_PATH + 16], ports[32];
    path_in(hex, lab, "packet.hex");
    path_in(pcap, lab, "packet.pcap");
    path_in(out, lab, "out");
    FILE *file = fopen(hex, "w");
    cr_assert_not_null(file);
    write_packet(file, bytes, len);
    cr_assert_eq(fclose(file), 0);
    (void)snprintf(ports, sizeof ports, "%s,%s", port, port);
    cr_assert_eq(
        lab_run(lab, (const char *const[]){"text2pcap", "-q", "-u", ports, hex, pcap, NULL}), 0);
    cr_assert_eq(lab_run(lab, (const char *const[]){"tshark", "-r", pcap, "-V", "-o",
                                                    "udp.check_checksum:false", NULL}),
                 0);
    return lab_read_file(out);
}

static void expect_mikey(struct lab *lab, const uint8_t *bytes, size_t len, const char *type,
                         bool all_known)
{
    char *text = dissect(lab, bytes, len, "2269");
    cr_expect_not_null(strstr(text, "Multimedia Internet KEYing"), "not taken for MIKEY: %s", text);
    cr_expect_not_null(strstr(text, type), "not %s: %s", type, text);
    cr_expect_null(strstr(text, "Malformed"), "%s", text);
    cr_expect_null(strstr(text, "Expert Info (Error"), "%s", text);
    cr_expect_null(strstr(text, "Expert Info (Warning"), "%s", text);
    if (all_known)
        cr_expect_null(strstr(text, "Unknown"), "%s", text);
    free(text);
}

static void use_mikey_1(struct lab *lab)
{
    char text[1024];
    (void)snprintf(text, sizeof text,
                   "policy: 1\n"
                   "defaults: {suites: [AES_CM_128_HMAC_SHA1_80], algorithms: mikey-1}\n"
                   "keys: [ {name: pbx, kind: psk, generation: 1} ]\n"
                   "nodes: [\"" LAB_A "\", \"" LAB_B "\"]\n"
                   "pairs: [ {initiator: \"" LAB_A "\", responder: \"" LAB_B "\", key: pbx} ]\n"
                   "clients:\n"
                   "  - {name: lab, uid: %u, acts_as: [\"" LAB_A "\", \"" LAB_B
                   "\"], may: [initiate, respond]}\n",
                   (unsigned)getuid());
    lab_write_file(lab->policy, text);
}

/* One exchange, with two streams of which the responder chooses one; each message through tshark.
 */
static void exchange_and_dissect(struct lab *lab, bool sdp, bool all_known)
{
    const struct mikeyd_stream streams[] = {{.ssrc = 0x11223344}, {.ssrc = 0, .suite = NULL}};
    struct mikeyd_offer offer = {.from = LAB_A,
                                 .to = LAB_B,
                                 .streams = streams,
                                 .stream_count = 2,
                                 .verify = true,
                                 .sdp = sdp};
    mikeyd_client *client = lab_client(lab);
    mikeyd_exchange *offered = NULL, *answered = NULL;
    size_t len, reply_len;
    cr_assert_eq(mikeyd_initiate(client, &offer, &offered), MIKEYD_OK, "%s",
                 mikeyd_client_error(client));
    const uint8_t *message = mikeyd_exchange_message(offered, &len);
    struct mikeyd_answer answer = {.as = LAB_B, .message = message, .message_len = len};
    cr_assert_eq(mikeyd_respond(client, &answer, &answered), MIKEYD_OK, "%s",
                 mikeyd_client_error(client));
    const uint8_t *reply = mikeyd_exchange_message(answered, &reply_len);
    expect_mikey(lab, message, len, "Pre-shared", all_known);
    expect_mikey(lab, reply, reply_len, "PSK ver", all_known);
    mikeyd_exchange_free(offered);
    mikeyd_exchange_free(answered);
    mikeyd_client_close(client);
}

Test(dissection, messages_of_mikey_1_are_known_to_tshark_to_the_last_field, .timeout = 120)
{
    struct lab lab;
    lab_make(&lab, NULL);
    use_mikey_1(&lab);
    lab_start(&lab);
    exchange_and_dissect(&lab, false, true);
    lab_remove(&lab);
}

/* The dissector predates RFC 6043: it reads the frame but calls PRF 1, AES-CM-256 and HMAC-SHA-256
 * unknown. */
Test(dissection, messages_of_mikey_256_are_well_formed_to_tshark, .timeout = 120)
{
    struct lab lab;
    lab_make(&lab, NULL);
    lab_start(&lab);
    exchange_and_dissect(&lab, false, false);
    lab_remove(&lab);
}

Test(dissection, an_offer_in_sdp_is_mikey_to_tshark, .timeout = 120)
{
    struct lab lab;
    lab_make(&lab, NULL);
    use_mikey_1(&lab);
    lab_start(&lab);
    exchange_and_dissect(&lab, true, true);
    mikeyd_client *client = lab_client(&lab);
    const struct mikeyd_stream stream = {.ssrc = 0x11223344};
    struct mikeyd_offer offer = {.from = LAB_A,
                                 .to = LAB_B,
                                 .streams = &stream,
                                 .stream_count = 1,
                                 .verify = true,
                                 .sdp = true};
    mikeyd_exchange *offered = NULL;
    cr_assert_eq(mikeyd_initiate(client, &offer, &offered), MIKEYD_OK);
    char invite[4096];
    char body[2048];
    (void)snprintf(body, sizeof body,
                   "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n%s\r\n"
                   "m=audio 49170 RTP/SAVP 0\r\n",
                   mikeyd_exchange_sdp(offered));
    int len =
        snprintf(invite, sizeof invite,
                 "INVITE " LAB_B " SIP/2.0\r\nFrom: <" LAB_A ">;tag=1\r\nTo: <" LAB_B
                 ">\r\nCall-ID: 1@lab\r\n"
                 "CSeq: 1 INVITE\r\nContent-Type: application/sdp\r\nContent-Length: %zu\r\n\r\n%s",
                 strlen(body), body);
    char *text = dissect(&lab, (const uint8_t *)invite, (size_t)len, "5060");
    cr_expect_not_null(strstr(text, "Multimedia Internet KEYing"), "%s", text);
    cr_expect_null(strstr(text, "Malformed"), "%s", text);
    free(text);
    mikeyd_exchange_free(offered);
    mikeyd_client_close(client);
    lab_remove(&lab);
}

Test(dissection, a_damaged_message_is_noticed, .timeout = 120)
{
    struct lab lab;
    lab_make(&lab, NULL);
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    mikeyd_exchange *offered = NULL;
    size_t len;
    cr_assert_eq(lab_initiate(client, &offered), MIKEYD_OK);
    const uint8_t *message = mikeyd_exchange_message(offered, &len);
    /* The control: without its last 40 bytes the same message must not pass. */
    char *text = dissect(&lab, message, len - 40, "2269");
    cr_expect_not_null(strstr(text, "Malformed"), "%s", text);
    free(text);
    mikeyd_exchange_free(offered);
    mikeyd_client_close(client);
    lab_remove(&lab);
}
