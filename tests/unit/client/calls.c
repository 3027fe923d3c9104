/* What goes over the wire, and what comes back of it, when the daemon behaves. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "client/peer.h"

static const struct mikeyd_stream streams[] = {
    {.ssrc = 0x11223344, .suite = "AEAD_AES_256_GCM", .roc = 7}, {.ssrc = 0}};
static const struct mikeyd_offer offer = {.from = "sip:a@x",
                                          .to = "sip:b@x",
                                          .streams = streams,
                                          .stream_count = 2,
                                          .method = MIKEYD_DHHMAC,
                                          .verify = true,
                                          .sdp = true,
                                          .reference = "call-1",
                                          .protocols = "mikey;keyp1"};

static Mikeyd__Request *seen;

static void script_remember(int fd, int number)
{
    (void)number;
    Mikeyd__Request *request = peer_read(fd);
    if (request != NULL) {
        seen = request;
        peer_send_exchange(fd, request->id);
    }
    peer_serve(fd, number);
}

static struct peer peer;
static mikeyd_client *client;

static void start(void)
{
    peer_start(&peer, script_remember);
    client = peer_connect(&peer);
}

static void stop(void)
{
    mikeyd_client_close(client);
    peer_stop(&peer);
    if (seen != NULL)
        mikeyd__request__free_unpacked(seen, NULL);
}

TestSuite(client_calls, .init = start, .fini = stop);

Test(client_calls, initiate_sends_the_whole_offer)
{
    mikeyd_exchange *exchange = NULL;
    cr_assert_eq(mikeyd_initiate(client, &offer, &exchange), MIKEYD_OK);
    mikeyd_exchange_free(exchange);
    cr_assert_eq(seen->op_case, MIKEYD__REQUEST__OP_INITIATE);
    cr_expect_str_eq(seen->initiate->from, "sip:a@x");
    cr_expect_str_eq(seen->initiate->to, "sip:b@x");
    cr_expect_eq(seen->initiate->method, 1);
    cr_expect(seen->initiate->verify && seen->initiate->sdp);
    cr_assert_eq(seen->initiate->n_streams, 2);
    cr_expect_eq(seen->initiate->streams[0]->ssrc, 0x11223344u);
    cr_expect_str_eq(seen->initiate->streams[0]->suite, "AEAD_AES_256_GCM");
    cr_expect_str_eq(seen->initiate->streams[1]->suite, "");
    cr_expect_eq(seen->initiate->streams[0]->roc, 7);
    cr_expect_eq(seen->initiate->streams[1]->roc, 0);
    cr_expect_str_eq(seen->initiate->reference, "call-1");
    cr_expect_str_eq(seen->initiate->protocols, "mikey;keyp1");
    cr_expect_str_eq(seen->on_behalf, "");
}

Test(client_calls, respond_sends_the_whole_answer)
{
    const uint32_t ssrcs[] = {5, 6}, rocs[] = {0, 9};
    const struct mikeyd_answer answer = {.as = "sip:b@x",
                                         .from = "sip:a@x",
                                         .rocs = rocs,
                                         .reference = "call-2",
                                         .error_message = true,
                                         .message = "\1sg",
                                         .message_len = 3,
                                         .ssrcs = ssrcs,
                                         .ssrc_count = 2,
                                         .ticket = "tick",
                                         .ticket_len = 4,
                                         .sdp = true};
    mikeyd_exchange *exchange = NULL;
    cr_assert_eq(mikeyd_respond(client, &answer, &exchange), MIKEYD_OK);
    mikeyd_exchange_free(exchange);
    cr_assert_eq(seen->op_case, MIKEYD__REQUEST__OP_RESPOND);
    cr_expect_str_eq(seen->respond->as, "sip:b@x");
    cr_expect_eq(seen->respond->message.len, 3);
    cr_expect_arr_eq(seen->respond->message.data, "\1sg", 3);
    cr_expect_str_eq(seen->respond->from, "sip:a@x");
    cr_expect_str_eq(seen->respond->reference, "call-2");
    cr_expect(seen->respond->error_message);
    cr_assert_eq(seen->respond->n_rocs, 2);
    cr_expect_eq(seen->respond->rocs[1], 9);
    cr_expect_arr_eq(seen->respond->ticket.data, "tick", 4);
    cr_assert_eq(seen->respond->n_ssrcs, 2);
    cr_expect_eq(seen->respond->ssrcs[1], 6);
    cr_expect(seen->respond->sdp);
    cr_expect_str_eq(seen->respond->protocols, ""); /* the daemon knows what that means */
}

/* AQIDBA==: 1, 2, 3, 4. */
Test(client_calls, messages_may_come_as_sdp)
{
    static const char line[] = "a=key-mgmt:mikey AQIDBA==\r\n";
    struct mikeyd_answer answer = {
        .as = "sip:b@x", .message = line, .message_len = sizeof line - 1};
    mikeyd_exchange *exchange = NULL;
    cr_assert_eq(mikeyd_respond(client, &answer, &exchange), MIKEYD_OK);
    mikeyd_exchange_free(exchange);
    cr_assert_eq(seen->respond->message.len, 4);
    cr_expect_arr_eq(seen->respond->message.data, "\1\2\3\4", 4);
    answer.message = "a=key-mgmt:mikey ???";
    answer.message_len = 20;
    cr_assert_eq(mikeyd_respond(client, &answer, &exchange), MIKEYD_SYNTAX);
    cr_assert_eq(mikeyd_confirm(client, "t", 1, "no base64", 9, &exchange), MIKEYD_SYNTAX);
    cr_expect_neq(mikeyd_client_error(client)[0], '\0');
    cr_assert_eq(mikeyd_confirm(client, "t", 1, "AQIDBA", 6, &exchange), MIKEYD_OK);
    mikeyd_exchange_free(exchange);
}

/* AQIDBA==: 1, 2, 3, 4; AQIDBQ==: 1, 2, 3, 5. */
Test(client_calls, an_answer_is_for_one_line_and_names_what_sdp_offered)
{
    static const char sdp[] = "v=0\r\na=key-mgmt:mikey AQIDBA==\r\na=key-mgmt:keyp1 AA\r\n"
                              "m=audio 1 RTP/SAVP 0\r\nm=video 1 RTP/SAVP 0\r\n"
                              "a=key-mgmt:mikey AQIDBQ==\r\na=key-mgmt:keyp1 AA\r\n";
    struct mikeyd_answer answer = {
        .as = "sip:b@x", .message = sdp, .message_len = sizeof sdp - 1, .media = 2, .sdp = true};
    mikeyd_exchange *exchange = NULL;
    cr_assert_eq(mikeyd_respond(client, &answer, &exchange), MIKEYD_OK);
    mikeyd_exchange_free(exchange);
    cr_assert_eq(seen->respond->message.len, 4);
    cr_expect_eq(seen->respond->message.data[3], 5);
    cr_expect_str_eq(seen->respond->protocols, "mikey;keyp1");
    answer.media = 0;
    cr_expect_eq(mikeyd_respond(client, &answer, &exchange), MIKEYD_SYNTAX);
    cr_expect_not_null(strstr(mikeyd_client_error(client), "several"));
    answer.media = 3;
    cr_expect_eq(mikeyd_respond(client, &answer, &exchange), MIKEYD_SYNTAX);
    answer.message = "\1";
    answer.message_len = 1;
    cr_expect_eq(mikeyd_respond(client, &answer, &exchange), MIKEYD_INVALID_ARGUMENT);
}

Test(client_calls, levels_that_offer_different_protocols_are_not_answered_as_sdp)
{
    static const char sdp[] = "v=0\r\nm=audio 1 RTP/SAVP 0\r\na=key-mgmt:mikey AQIDBA==\r\n"
                              "m=video 1 RTP/SAVP 0\r\na=key-mgmt:keyp1 AA\r\n";
    struct mikeyd_answer answer = {
        .as = "sip:b@x", .message = sdp, .message_len = sizeof sdp - 1, .sdp = true};
    mikeyd_exchange *exchange = NULL;
    cr_assert_eq(mikeyd_respond(client, &answer, &exchange), MIKEYD_POLICY);
    cr_expect_null(seen);
    answer.sdp = false;
    cr_assert_eq(mikeyd_respond(client, &answer, &exchange), MIKEYD_OK);
    mikeyd_exchange_free(exchange);
    cr_expect_str_eq(seen->respond->protocols, "");
}

/* A program built for a later library must not be half understood. */
Test(client_calls, reserved_members_must_be_zero)
{
    mikeyd_exchange *exchange = NULL;
    struct mikeyd_offer later = offer;
    later.reserved[4] = "later";
    cr_expect_eq(mikeyd_initiate(client, &later, &exchange), MIKEYD_INVALID_ARGUMENT);
    struct mikeyd_stream stream = {.ssrc = 1, .reserved = {NULL, "later"}};
    later = offer;
    later.streams = &stream;
    later.stream_count = 1;
    cr_expect_eq(mikeyd_initiate(client, &later, &exchange), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(mikeyd_update(client, "t", 1, &stream, 1, true, true, &exchange),
                 MIKEYD_INVALID_ARGUMENT);
    const struct mikeyd_answer answer = {
        .as = "sip:b@x", .message = "\1", .message_len = 1, .reserved = {"later"}};
    cr_expect_eq(mikeyd_respond(client, &answer, &exchange), MIKEYD_INVALID_ARGUMENT);
    cr_expect_null(seen);
}

Test(client_calls, confirm_sends_ticket_and_reply)
{
    mikeyd_exchange *exchange = NULL;
    cr_assert_eq(mikeyd_confirm(client, "tick", 4, "\1eply", 5, &exchange), MIKEYD_OK);
    mikeyd_exchange_free(exchange);
    cr_assert_eq(seen->op_case, MIKEYD__REQUEST__OP_CONFIRM);
    cr_expect_arr_eq(seen->confirm->ticket.data, "tick", 4);
    cr_expect_arr_eq(seen->confirm->reply.data, "\1eply", 5);
}

Test(client_calls, update_sends_ticket_and_new_streams)
{
    mikeyd_exchange *exchange = NULL;
    cr_assert_eq(mikeyd_update(client, "tick", 4, streams, 1, true, true, &exchange), MIKEYD_OK);
    mikeyd_exchange_free(exchange);
    cr_assert_eq(seen->op_case, MIKEYD__REQUEST__OP_UPDATE);
    cr_expect_arr_eq(seen->update->ticket.data, "tick", 4);
    cr_expect_eq(seen->update->n_streams, 1);
    cr_expect(seen->update->verify);
    cr_expect(seen->update->sdp);
}

Test(client_calls, answer_becomes_an_exchange)
{
    mikeyd_exchange *exchange = NULL;
    cr_assert_eq(mikeyd_initiate(client, &offer, &exchange), MIKEYD_OK);
    size_t len;
    const uint8_t *message = mikeyd_exchange_message(exchange, &len);
    cr_assert_eq(len, 9);
    cr_expect_arr_eq(message, "message-1", 9);
    const uint8_t *ticket = mikeyd_exchange_ticket(exchange, &len);
    cr_assert_eq(len, 6);
    cr_expect_arr_eq(ticket, "ticket", 6);
    cr_expect_str_eq(mikeyd_exchange_from(exchange), "sip:a@x");
    cr_expect_str_eq(mikeyd_exchange_to(exchange), "sip:b@x");
    cr_expect_eq(mikeyd_exchange_csb_id(exchange), 1);
    cr_expect_str_eq(mikeyd_exchange_sdp(exchange), "a=key-mgmt:mikey bWVzc2FnZS0x");
    mikeyd_exchange_free(exchange);
}

Test(client_calls, keys_arrive_whole)
{
    mikeyd_exchange *exchange = NULL;
    cr_assert_eq(mikeyd_initiate(client, &offer, &exchange), MIKEYD_OK);
    const struct mikeyd_srtp_key *key;
    cr_assert_eq(mikeyd_exchange_keys(exchange, &key), 1);
    cr_expect(key->cs == 1 && key->ssrc == 0x11223344 && key->roc == 2);
    cr_expect_str_eq(key->suite, "AEAD_AES_256_GCM");
    cr_expect(key->key_len == 32 && key->salt_len == 12 && key->mki_len == 1);
    for (size_t i = 0; i < 32; i++)
        cr_expect_eq(key->key[i], peer_key_byte(i));
    cr_expect(key->salt[2] == 3 && key->salt[3] == 0 && key->mki[0] == 7);
    mikeyd_exchange_free(exchange);
}

Test(client_calls, missing_arguments_are_refused_before_anything_is_sent)
{
    mikeyd_exchange *exchange = (mikeyd_exchange *)&peer;
    struct mikeyd_offer bad = offer;
    struct mikeyd_answer answer = {.as = "sip:b@x"};
    bad.to = NULL;
    cr_expect_eq(mikeyd_initiate(client, &bad, &exchange), MIKEYD_INVALID_ARGUMENT);
    cr_expect_null(exchange);
    bad = offer;
    bad.stream_count = 0;
    cr_expect_eq(mikeyd_initiate(client, &bad, &exchange), MIKEYD_INVALID_ARGUMENT);
    bad.stream_count = 256;
    cr_expect_eq(mikeyd_initiate(client, &bad, &exchange), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(mikeyd_initiate(client, NULL, &exchange), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(mikeyd_initiate(client, &offer, NULL), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(mikeyd_initiate(NULL, &offer, &exchange), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(mikeyd_respond(client, &answer, &exchange), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(mikeyd_confirm(client, NULL, 0, "r", 1, &exchange), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(mikeyd_confirm(client, "t", 1, NULL, 0, &exchange), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(mikeyd_update(client, NULL, 0, NULL, 0, true, false, &exchange),
                 MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(mikeyd_submit_initiate(client, &offer, NULL, NULL), MIKEYD_INVALID_ARGUMENT);
    cr_expect_neq(mikeyd_client_error(client)[0], '\0');
    cr_expect_null(seen);
}

Test(client_calls, request_larger_than_a_frame_is_refused)
{
    size_t len = 300 * 1024;
    uint8_t *message = calloc(1, len);
    message[0] = 1; /* MIKEY, not text */
    const struct mikeyd_answer answer = {.as = "sip:b@x", .message = message, .message_len = len};
    mikeyd_exchange *exchange = NULL;
    cr_expect_eq(mikeyd_respond(client, &answer, &exchange), MIKEYD_INVALID_ARGUMENT);
    free(message);
    /* The connection is as good as before. */
    cr_assert_eq(mikeyd_initiate(client, &offer, &exchange), MIKEYD_OK);
    mikeyd_exchange_free(exchange);
}

Test(client_open, address_is_an_absolute_path)
{
    mikeyd_client *none = (mikeyd_client *)&peer;
    cr_expect_eq(mikeyd_client_open("unix:relative", &none), MIKEYD_INVALID_ARGUMENT);
    cr_expect_null(none);
    cr_expect_eq(mikeyd_client_open("http://x", &none), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(mikeyd_client_open("", &none), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(mikeyd_client_open(NULL, &none), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(mikeyd_client_open("unix:/x", NULL), MIKEYD_INVALID_ARGUMENT);
    char path[200];
    memset(path, '/', sizeof path);
    path[sizeof path - 1] = '\0';
    cr_expect_eq(mikeyd_client_open(path, &none), MIKEYD_INVALID_ARGUMENT);
}

Test(client_open, nobody_there_is_unreachable)
{
    mikeyd_client *none = NULL;
    cr_expect_eq(mikeyd_client_open("unix:/nonexistent/mikeyd.sock", &none), MIKEYD_UNREACHABLE);
    cr_expect_null(none);
    cr_expect_not_null(strstr(mikeyd_client_error(NULL), "/nonexistent/mikeyd.sock"));
    mikeyd_client_close(none);
}

Test(client_open, a_bare_path_is_an_address)
{
    struct peer other;
    peer_start(&other, peer_serve);
    mikeyd_client *bare = NULL;
    cr_expect_eq(mikeyd_client_open(other.address + strlen("unix:"), &bare), MIKEYD_OK);
    mikeyd_client_close(bare);
    peer_stop(&other);
}
