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
#include "mikey/dissect.h"
#include "mikey/sdp.h"

/* tests/run installs it; where somebody runs this without, that is said and not passed over. */
static void need_tshark(void)
{
    if (system("command -v tshark text2pcap >/dev/null") == 0)
        return;
    (void)fprintf(stderr, "SKIPPED: no tshark here, nothing was compared with it\n");
    cr_skip_test("no tshark");
}

TestSuite(dissection, .init = need_tshark);

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

/* What tshark prints of one payload sent over UDP to `port`, with these options; free() it. */
static char *tshark(struct lab *lab, const uint8_t *bytes, size_t len, const char *port,
                    const char *const options[4])
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
    cr_assert_eq(
        lab_run(lab, (const char *const[]){"tshark", "-r", pcap, "-o", "udp.check_checksum:false",
                                           options[0], options[1], options[2], options[3], NULL}),
        0);
    return lab_read_file(out);
}

static char *dissect(struct lab *lab, const uint8_t *bytes, size_t len, const char *port)
{
    return tshark(lab, bytes, len, port, (const char *const[4]){"-V"});
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

static const char *payload_by_number(unsigned long number)
{
    static const char *const names[] = {[1] = "KEMAC", [2] = "PKE",
                                        [3] = "DH",    [4] = "SIGN",
                                        [5] = "T",     [6] = "ID",
                                        [7] = "CERT",  [8] = "CHASH",
                                        [9] = "V",     [10] = "SP",
                                        [11] = "RAND", [12] = "ERR",
                                        [14] = "IDR",  [21] = "General Extension",
                                        [26] = "SAKKE"};
    return number < sizeof names / sizeof names[0] && names[number] != NULL ? names[number] : "?";
}

/* tshark's list of next payloads, "5,11,1,0", up to the end of the chain, against ours. */
static void expect_same_payloads(const char *list, const json_t *payloads, size_t line)
{
    size_t count = 0;
    for (char *end; *list >= '0' && *list <= '9'; list = *end == ',' ? end + 1 : end) {
        unsigned long number = strtoul(list, &end, 10);
        if (number == 0)
            break;
        const json_t *ours = json_object_get(json_array_get(payloads, count++), "payload");
        cr_assert(json_is_string(ours), "line %zu: tshark has payload %zu, number %lu", line, count,
                  number);
        cr_expect_str_eq(json_string_value(ours), payload_by_number(number), "line %zu", line);
    }
    cr_expect_eq(count, json_array_size(payloads), "line %zu: tshark has %zu payloads", line,
                 count);
}

/* The first line that begins with a digit: tshark has something to say about root before it. */
static const char *line_of_numbers(const char *text)
{
    while (*text != '\0' && (*text < '0' || *text > '9')) {
        text += strcspn(text, "\n");
        text += *text == '\n' ? 1 : 0;
    }
    return text;
}

/* True when both could read the sample. */
static bool sample_agrees(struct lab *lab, const uint8_t *bytes, size_t len, size_t line)
{
    json_t *ours = mikey_dissect(bytes, len);
    cr_assert_not_null(ours);
    char *whole = dissect(lab, bytes, len, "2269");
    const bool both = json_is_true(json_object_get(ours, "valid")) &&
                      strstr(whole, "Multimedia Internet KEYing") != NULL &&
                      strstr(whole, "Malformed") == NULL;
    free(whole);
    if (both) {
        char *list = tshark(lab, bytes, len, "2269",
                            (const char *const[4]){"-T", "fields", "-e", "mikey.next_payload"});
        expect_same_payloads(line_of_numbers(list), json_object_get(ours, "payloads"), line);
        free(list);
    }
    json_decref(ours);
    return both;
}

/* Base64 up to a tab or the end of the line. */
static bool text_agrees(struct lab *lab, const char *text, size_t line)
{
    uint8_t bytes[4096];
    size_t len = 0;
    return mikey_sdp_parse(text, strcspn(text, "\t"), bytes, sizeof bytes, &len, NULL) ==
               MIKEYD_OK &&
           sample_agrees(lab, bytes, len, line);
}

/* Messages of others, and our own known answers: all methods, updates, errors. */
Test(dissection, decode_and_tshark_see_the_same_payloads_in_every_sample_both_read, .timeout = 240)
{
    static const struct {
        const char *path, *before; /* what stands before a message in its line */
        size_t least;
    } files[] = {{VECTORS "/samples.tsv", "", 6}, {VECTORS "/kats.txt", "    b64 ", 12}};
    struct lab lab;
    lab_make(&lab, NULL);
    for (size_t i = 0; i < 2; i++) {
        char *text = lab_read_file(files[i].path), *save = NULL;
        size_t line = 0, both = 0;
        for (char *at = strtok_r(text, "\n", &save); at != NULL; at = strtok_r(NULL, "\n", &save)) {
            const size_t skip = strlen(files[i].before);
            line++;
            if (strncmp(at, files[i].before, skip) == 0)
                both += text_agrees(&lab, at + skip, line) ? 1 : 0;
        }
        cr_expect_geq(both, files[i].least, "%s: only %zu samples were compared", files[i].path,
                      both);
        free(text);
    }
    lab_remove(&lab);
}
