/* mikeyd_confirm_or_retry(): one further offer, when the daemon says which suites. */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "client/peer.h"

static const struct mikeyd_stream streams[] = {{.ssrc = 1, .suite = "AEAD_AES_256_GCM"},
                                               {.ssrc = 2, .suite = "AES_256_CM_HMAC_SHA1_32"},
                                               {.ssrc = 3}};
static const struct mikeyd_offer offer = {.from = "sip:a@x",
                                          .to = "sip:b@x",
                                          .streams = streams,
                                          .stream_count = 3,
                                          .method = MIKEYD_PSK_DHE,
                                          .verify = true,
                                          .sdp = true,
                                          .protocols = "mikey;keyp1",
                                          .reference = "call-1"};

static Mikeyd__Request *seen[4];
static size_t seen_count;
static bool second_fails;
static uint32_t refusal = MIKEYD_UNSUPPORTED;

/* Confirmations are refused with two suites; a key and a ticket come with them that must not. */
static void refuse(int fd, const Mikeyd__Request *request)
{
    uint8_t bytes[32] = {1};
    char first[] = "AES_256_CM_HMAC_SHA1_80", second[] = "AES_256_CM_HMAC_SHA1_32", text[] = "no";
    char *suites[] = {first, second};
    Mikeyd__Exchange exchange = MIKEYD__EXCHANGE__INIT;
    Mikeyd__Response response = MIKEYD__RESPONSE__INIT;
    exchange.suites = suites;
    exchange.n_suites = 2;
    exchange.ticket = (ProtobufCBinaryData){32, bytes};
    response.id = request->id;
    response.status = refusal;
    response.error = text;
    response.exchange = &exchange;
    peer_send(fd, &response);
}

static void script(int fd, int number)
{
    (void)number;
    Mikeyd__Request *request;
    while ((request = peer_read(fd)) != NULL) {
        cr_assert_lt(seen_count, 4);
        seen[seen_count++] = request;
        if (request->op_case == MIKEYD__REQUEST__OP_CONFIRM || second_fails)
            refuse(fd, request);
        else
            peer_send_exchange(fd, request->id);
    }
}

static struct peer peer;
static mikeyd_client *client;
static mikeyd_exchange *exchange;

static void start(void)
{
    peer_start(&peer, script);
    client = peer_connect(&peer);
}

static void stop(void)
{
    mikeyd_exchange_free(exchange);
    mikeyd_client_close(client);
    peer_stop(&peer);
    for (size_t i = 0; i < seen_count; i++)
        mikeyd__request__free_unpacked(seen[i], NULL);
}

TestSuite(client_again, .init = start, .fini = stop, .timeout = 60);

static void check_second_offer(const Mikeyd__Request *request)
{
    cr_assert_eq(request->op_case, MIKEYD__REQUEST__OP_INITIATE);
    const Mikeyd__Initiate *initiate = request->initiate;
    cr_expect_str_eq(initiate->from, "sip:a@x");
    cr_expect_str_eq(initiate->to, "sip:b@x");
    cr_expect_eq(initiate->method, MIKEYD_PSK_DHE);
    cr_expect(initiate->verify && initiate->sdp && initiate->again);
    cr_expect_str_eq(initiate->protocols, "mikey;keyp1");
    cr_expect_str_eq(initiate->reference, "call-1");
    cr_assert_eq(initiate->n_streams, 3);
    cr_expect_str_eq(initiate->streams[0]->suite, "AES_256_CM_HMAC_SHA1_80");
    cr_expect_str_eq(initiate->streams[1]->suite, "AES_256_CM_HMAC_SHA1_32");
    cr_expect_str_eq(initiate->streams[2]->suite, "AES_256_CM_HMAC_SHA1_80");
    cr_expect_eq(initiate->streams[2]->ssrc, 3);
}

Test(client_again, a_refused_suite_is_offered_again_once)
{
    cr_assert_eq(mikeyd_confirm_or_retry(client, &offer, "t", 1, "\1", 1, &exchange),
                 MIKEYD_UNSUPPORTED);
    cr_assert_not_null(exchange);
    size_t len;
    cr_expect_not_null(mikeyd_exchange_message(exchange, &len));
    cr_expect_not_null(mikeyd_exchange_ticket(exchange, &len));
    cr_expect_not_null(strstr(mikeyd_client_error(client), "new offer"));
    cr_assert_eq(seen_count, 2);
    check_second_offer(seen[1]);
}

Test(client_again, nothing_is_offered_by_a_plain_confirmation)
{
    cr_assert_eq(mikeyd_confirm(client, "t", 1, "\1", 1, &exchange), MIKEYD_UNSUPPORTED);
    cr_assert_null(exchange);
    cr_assert_eq(seen_count, 1);
}

Test(client_again, nothing_is_offered_after_another_refusal)
{
    refusal = MIKEYD_AUTH_FAILED;
    cr_assert_eq(mikeyd_confirm_or_retry(client, &offer, "t", 1, "\1", 1, &exchange),
                 MIKEYD_AUTH_FAILED);
    cr_assert_null(exchange);
    cr_assert_eq(seen_count, 1);
}

Test(client_again, a_second_offer_that_fails_says_so)
{
    second_fails = true;
    cr_assert_eq(mikeyd_confirm_or_retry(client, &offer, "t", 1, "\1", 1, &exchange),
                 MIKEYD_UNSUPPORTED);
    cr_assert_null(exchange);
    cr_expect_not_null(strstr(mikeyd_client_error(client), "offering again: no"), "%s",
                       mikeyd_client_error(client));
    cr_assert_eq(seen_count, 2);
}

Test(client_again, arguments_are_checked_before_anything_is_sent)
{
    cr_expect_eq(mikeyd_confirm_or_retry(client, NULL, "t", 1, "\1", 1, &exchange),
                 MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(mikeyd_confirm_or_retry(client, &offer, NULL, 0, "\1", 1, &exchange),
                 MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(mikeyd_submit_confirm_or_retry(client, &offer, "t", 1, "\1", 1, NULL, NULL),
                 MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(seen_count, 0);
}

static int answered;
static enum mikeyd_status callback_status;

static void done(void *user, enum mikeyd_status status, mikeyd_exchange *result)
{
    (void)user;
    answered++;
    callback_status = status;
    exchange = result;
}

Test(client_again, an_event_loop_is_called_back_once)
{
    cr_assert_eq(mikeyd_submit_confirm_or_retry(client, &offer, "t", 1, "\1", 1, done, NULL),
                 MIKEYD_OK);
    while (answered == 0) {
        struct pollfd fd = {.fd = mikeyd_client_fd(client), .events = mikeyd_client_events(client)};
        cr_assert_eq(poll(&fd, 1, 30000), 1);
        cr_assert_eq(mikeyd_client_dispatch(client), MIKEYD_OK);
    }
    cr_assert_eq(answered, 1);
    cr_assert_eq(callback_status, MIKEYD_UNSUPPORTED);
    cr_assert_not_null(exchange);
    cr_assert_eq(seen_count, 2);
    check_second_offer(seen[1]);
}

Test(client_again, nothing_is_offered_for_who_has_cancelled)
{
    cr_assert_eq(mikeyd_submit_confirm_or_retry(client, &offer, "t", 1, "\1", 1, done, NULL),
                 MIKEYD_OK);
    cr_assert_eq(mikeyd_cancel(client, done, NULL), 1);
    /* The refusal comes before the first answer, an offer would go out before the second request. */
    for (int i = 0; i < 2; i++) {
        mikeyd_exchange *other = NULL;
        cr_assert_eq(mikeyd_initiate(client, &offer, &other), MIKEYD_OK);
        mikeyd_exchange_free(other);
    }
    cr_assert_eq(answered, 0);
    cr_assert_eq(seen_count, 3);
    for (size_t i = 1; i < 3; i++)
        cr_assert_not(seen[i]->initiate->again);
}
