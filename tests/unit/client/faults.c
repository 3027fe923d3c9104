/* A daemon that misbehaves: every fault ends the call with a status, and the next call recovers. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/peer.h"
#include "rpc/frame.h"

static enum mikeyd_status call_once(mikeyd_client *client)
{
    mikeyd_exchange *exchange = (mikeyd_exchange *)&client;
    enum mikeyd_status status = mikeyd_confirm(client, "t", 1, "\1", 1, &exchange);
    if (status == MIKEYD_OK)
        cr_expect_not_null(exchange);
    else
        cr_expect_null(exchange);
    mikeyd_exchange_free(exchange);
    return status;
}

/* The first connection plays the fault, the following ones serve. */
static void expect_fault_then_recovery(peer_script *script, enum mikeyd_status status)
{
    struct peer peer;
    peer_start(&peer, script);
    mikeyd_client *client = peer_connect(&peer);
    enum mikeyd_status first = call_once(client);
    cr_expect_eq(first, status, "%s: %s", mikeyd_status_name(first), mikeyd_client_error(client));
    cr_expect_neq(mikeyd_client_error(client)[0], '\0');
    cr_expect_eq(call_once(client), MIKEYD_OK, "%s", mikeyd_client_error(client));
    mikeyd_client_close(client);
    peer_stop(&peer);
}

/* Plays fault() on the first request of the first connection. */
#define SCRIPT(name)                                                                               \
    static void name##_fault(int fd, uint64_t id);                                                 \
    static void name(int fd, int number)                                                           \
    {                                                                                              \
        Mikeyd__Request *request = number == 0 ? peer_read(fd) : NULL;                             \
        if (request != NULL) {                                                                     \
            name##_fault(fd, request->id);                                                         \
            mikeyd__request__free_unpacked(request, NULL);                                         \
        }                                                                                          \
        if (number != 0)                                                                           \
            peer_serve(fd, number);                                                                \
    }                                                                                              \
    static void name##_fault(int fd, uint64_t id)

SCRIPT(hang_up)
{
    (void)fd;
    (void)id;
}

Test(client_faults, hanging_up_instead_of_an_answer)
{
    expect_fault_then_recovery(hang_up, MIKEYD_UNREACHABLE);
}

SCRIPT(half_close)
{
    (void)id;
    (void)shutdown(fd, SHUT_WR);
    (void)peer_read(fd); /* until the client goes */
}

Test(client_faults, half_closed_stream)
{
    expect_fault_then_recovery(half_close, MIKEYD_UNREACHABLE);
}

SCRIPT(garbage)
{
    (void)id;
    peer_write_frame(fd, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11);
    (void)peer_read(fd);
}

Test(client_faults, frame_that_is_no_message)
{
    expect_fault_then_recovery(garbage, MIKEYD_UNREACHABLE);
}

SCRIPT(oversized)
{
    (void)id;
    uint8_t header[RPC_HEADER];
    rpc_frame_put_length(header, RPC_FRAME_MAX + 1);
    peer_write(fd, header, sizeof header);
    (void)peer_read(fd);
}

Test(client_faults, frame_longer_than_allowed)
{
    expect_fault_then_recovery(oversized, MIKEYD_UNREACHABLE);
}

SCRIPT(largest_length)
{
    (void)id;
    peer_write(fd, "\xff\xff\xff\xff", RPC_HEADER);
    (void)peer_read(fd);
}

Test(client_faults, frame_of_four_gigabytes)
{
    expect_fault_then_recovery(largest_length, MIKEYD_UNREACHABLE);
}

SCRIPT(empty_frame)
{
    (void)id;
    peer_write_frame(fd, "", 0);
    (void)peer_read(fd);
}

Test(client_faults, empty_frame_answers_nothing)
{
    expect_fault_then_recovery(empty_frame, MIKEYD_UNREACHABLE);
}

SCRIPT(wrong_id)
{
    peer_send_exchange(fd, id + 1);
    (void)peer_read(fd);
}

Test(client_faults, answer_to_a_request_never_made)
{
    expect_fault_then_recovery(wrong_id, MIKEYD_UNREACHABLE);
}

SCRIPT(cut_frame)
{
    Mikeyd__Response response = MIKEYD__RESPONSE__INIT;
    response.id = id;
    size_t len;
    uint8_t *frame = peer_pack(&response, &len);
    peer_write(fd, frame, len - 1);
    free(frame);
}

Test(client_faults, disconnect_in_the_middle_of_a_frame)
{
    expect_fault_then_recovery(cut_frame, MIKEYD_UNREACHABLE);
}

static void send_status(int fd, uint64_t id, uint32_t status, const char *text)
{
    char copy[300];
    (void)strncpy(copy, text, sizeof copy - 1);
    copy[sizeof copy - 1] = '\0';
    Mikeyd__Response response = MIKEYD__RESPONSE__INIT;
    response.id = id;
    response.status = status;
    response.error = copy;
    peer_send(fd, &response);
}

SCRIPT(refusal)
{
    send_status(fd, id, MIKEYD_REPLAY, "this message was seen before");
}

Test(client_faults, refusal_keeps_its_status_and_sentence)
{
    struct peer peer;
    peer_start(&peer, refusal);
    mikeyd_client *client = peer_connect(&peer);
    cr_expect_eq(call_once(client), MIKEYD_REPLAY);
    cr_expect_str_eq(mikeyd_client_error(client), "this message was seen before");
    mikeyd_client_close(client);
    peer_stop(&peer);
}

SCRIPT(silent_refusal)
{
    send_status(fd, id, MIKEYD_POLICY, "");
}

Test(client_faults, refusal_without_a_sentence_has_its_name)
{
    struct peer peer;
    peer_start(&peer, silent_refusal);
    mikeyd_client *client = peer_connect(&peer);
    cr_expect_eq(call_once(client), MIKEYD_POLICY);
    cr_expect_str_eq(mikeyd_client_error(client), "POLICY");
    mikeyd_client_close(client);
    peer_stop(&peer);
}

SCRIPT(unknown_status)
{
    send_status(fd, id, 200, "x");
    peer_serve(fd, 0);
}

Test(client_faults, status_nobody_knows)
{
    expect_fault_then_recovery(unknown_status, MIKEYD_INTERNAL);
}

SCRIPT(client_side_status)
{
    send_status(fd, id, UINT32_MAX, "x");
    peer_serve(fd, 0);
}

Test(client_faults, status_that_would_be_negative)
{
    expect_fault_then_recovery(client_side_status, MIKEYD_INTERNAL);
}

SCRIPT(no_exchange)
{
    send_status(fd, id, MIKEYD_OK, "");
    peer_serve(fd, 0);
}

Test(client_faults, success_without_an_exchange)
{
    expect_fault_then_recovery(no_exchange, MIKEYD_INTERNAL);
}

/* A response with one key that the test spoils. */
static void send_key(int fd, uint64_t id, const char *suite, size_t key_len, size_t salt_len,
                     size_t mki_len, uint32_t cs)
{
    static uint8_t bytes[300];
    char suite_text[64];
    (void)strncpy(suite_text, suite, sizeof suite_text - 1);
    suite_text[sizeof suite_text - 1] = '\0';
    Mikeyd__Key key = MIKEYD__KEY__INIT, *keys[] = {&key};
    Mikeyd__Exchange exchange = MIKEYD__EXCHANGE__INIT;
    Mikeyd__Response response = MIKEYD__RESPONSE__INIT;
    key.cs = cs;
    key.suite = suite_text;
    key.master_key = (ProtobufCBinaryData){key_len, bytes};
    key.master_salt = (ProtobufCBinaryData){salt_len, bytes};
    key.mki = (ProtobufCBinaryData){mki_len, bytes};
    exchange.keys = keys;
    exchange.n_keys = 1;
    response.id = id;
    response.exchange = &exchange;
    peer_send(fd, &response);
}

static void impossible_keys(int fd, int number)
{
    static const struct {
        const char *suite;
        size_t key_len, salt_len, mki_len;
        uint32_t cs;
    } bad[] = {{"AEAD_AES_256_GCM", 33, 12, 0, 1},
               {"AEAD_AES_256_GCM", 32, 15, 0, 1},
               {"AEAD_AES_256_GCM", 16, 12, 0, 1},
               {"AEAD_AES_256_GCM", 0, 0, 0, 1},
               {"AEAD_AES_256_GCM", 32, 12, 256, 1},
               {"AEAD_AES_256_GCM", 32, 12, 0, 256},
               {"NULL", 32, 12, 0, 1},
               {"", 32, 12, 0, 1}};
    (void)number;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Mikeyd__Request *request = peer_read(fd);
        if (request == NULL)
            return;
        send_key(fd, request->id, bad[i].suite, bad[i].key_len, bad[i].salt_len, bad[i].mki_len,
                 bad[i].cs);
        mikeyd__request__free_unpacked(request, NULL);
    }
    peer_serve(fd, number);
}

Test(client_faults, keys_that_cannot_be_reach_nobody)
{
    struct peer peer;
    peer_start(&peer, impossible_keys);
    mikeyd_client *client = peer_connect(&peer);
    for (int i = 0; i < 8; i++)
        cr_expect_eq(call_once(client), MIKEYD_INTERNAL, "key %d was taken", i);
    cr_expect_eq(call_once(client), MIKEYD_OK);
    mikeyd_client_close(client);
    peer_stop(&peer);
}

/* 60,000 empty keys are 120 KB packed and 50 times that unpacked. */
SCRIPT(swelling)
{
    (void)id;
    size_t count = 60000;
    uint8_t *body = malloc(2 * count + 8);
    size_t at = 0;
    body[at++] = 0x22; /* field 4, exchange */
    size_t inner = 2 * count;
    body[at++] = (uint8_t)(inner | 0x80);
    body[at++] = (uint8_t)(inner >> 7 | 0x80);
    body[at++] = (uint8_t)(inner >> 14);
    for (size_t i = 0; i < count; i++) {
        body[at++] = 0x1a; /* field 3, keys */
        body[at++] = 0;
    }
    peer_write_frame(fd, body, at);
    free(body);
    (void)peer_read(fd);
}

Test(client_faults, answer_that_swells_when_unpacked)
{
    expect_fault_then_recovery(swelling, MIKEYD_UNREACHABLE);
}

static void slow_bytes(int fd, int number)
{
    (void)number;
    Mikeyd__Request *request = peer_read(fd);
    if (request == NULL)
        return;
    Mikeyd__Response response = MIKEYD__RESPONSE__INIT;
    char text[] = "slow";
    response.id = request->id;
    response.status = MIKEYD_CLOCK_SKEW;
    response.error = text;
    size_t len;
    uint8_t *frame = peer_pack(&response, &len);
    for (size_t i = 0; i < len; i++) {
        peer_write(fd, frame + i, 1);
        (void)usleep(2000);
    }
    free(frame);
    mikeyd__request__free_unpacked(request, NULL);
}

Test(client_faults, answer_that_comes_byte_by_byte)
{
    struct peer peer;
    peer_start(&peer, slow_bytes);
    mikeyd_client *client = peer_connect(&peer);
    cr_expect_eq(call_once(client), MIKEYD_CLOCK_SKEW);
    cr_expect_str_eq(mikeyd_client_error(client), "slow");
    mikeyd_client_close(client);
    peer_stop(&peer);
}

/* Serves one request a connection, and hangs up when its answer has been read. */
static void one_each(int fd, int number)
{
    (void)number;
    Mikeyd__Request *request = peer_read(fd);
    if (request == NULL)
        return;
    peer_send_exchange(fd, request->id);
    mikeyd__request__free_unpacked(request, NULL);
    (void)usleep(10000);
}

Test(client_faults, daemon_that_restarted_meanwhile_is_found_again_by_the_next_call)
{
    struct peer peer;
    peer_start(&peer, one_each);
    mikeyd_client *client = peer_connect(&peer);
    for (int i = 0; i < 5; i++) {
        cr_expect_eq(call_once(client), MIKEYD_OK, "%s", mikeyd_client_error(client));
        (void)usleep(40000); /* let it hang up */
    }
    mikeyd_client_close(client);
    peer_stop(&peer);
}

Test(client_faults, daemon_that_is_gone_is_unreachable)
{
    struct peer peer;
    peer_start(&peer, one_each);
    mikeyd_client *client = peer_connect(&peer);
    cr_expect_eq(call_once(client), MIKEYD_OK);
    peer_stop(&peer);
    cr_expect_eq(call_once(client), MIKEYD_UNREACHABLE);
    mikeyd_client_close(client);
}

/* Keeps the first request, and answers it after the second came. */
static void late(int fd, int number)
{
    Mikeyd__Request *first = peer_read(fd), *second = peer_read(fd);
    if (first != NULL && second != NULL) {
        peer_send_exchange(fd, first->id);
        peer_send_exchange(fd, second->id);
    }
    if (first != NULL)
        mikeyd__request__free_unpacked(first, NULL);
    if (second != NULL)
        mikeyd__request__free_unpacked(second, NULL);
    peer_serve(fd, number);
}

Test(client_faults, call_without_an_answer_ends_at_its_time_and_the_late_answer_does_no_harm)
{
    struct peer peer;
    peer_start(&peer, late);
    mikeyd_client *client = peer_connect(&peer);
    mikeyd_client_set_timeout(client, 50);
    cr_expect_eq(call_once(client), MIKEYD_UNREACHABLE);
    cr_expect_not_null(strstr(mikeyd_client_error(client), "no answer within 50 ms"));
    mikeyd_client_set_timeout(client, 0);
    cr_expect_eq(call_once(client), MIKEYD_OK, "%s", mikeyd_client_error(client));
    cr_expect_eq(call_once(client), MIKEYD_OK);
    mikeyd_client_close(client);
    peer_stop(&peer);
}

static void report(int fd, int number)
{
    (void)number;
    Mikeyd__Request *request = peer_read(fd);
    if (request == NULL)
        return;
    char text[] = "{\"checks\":true}";
    Mikeyd__Response response = MIKEYD__RESPONSE__INIT;
    response.id = request->id;
    if (request->op_case == MIKEYD__REQUEST__OP_STATUS && request->status->checks)
        response.report = text;
    peer_send(fd, &response);
    mikeyd__request__free_unpacked(request, NULL);
    peer_serve(fd, number);
}

Test(client_faults, status_is_the_report_of_the_daemon)
{
    struct peer peer;
    peer_start(&peer, report);
    mikeyd_client *client = peer_connect(&peer);
    char *json = NULL;
    cr_assert_eq(mikeyd_client_status(client, true, &json), MIKEYD_OK);
    cr_expect_str_eq(json, "{\"checks\":true}");
    free(json);
    mikeyd_client_close(client);
    peer_stop(&peer);
}

/* A refusal that brings an error message, and a key that it must not bring. */
static void refuse_with_message(int fd, int number)
{
    (void)number;
    Mikeyd__Request *request;
    while ((request = peer_read(fd)) != NULL) {
        uint8_t bytes[32] = {1, 6};
        char suite[] = "AEAD_AES_256_GCM", text[] = "no";
        Mikeyd__Key key = MIKEYD__KEY__INIT, *keys[] = {&key};
        Mikeyd__Exchange exchange = MIKEYD__EXCHANGE__INIT;
        Mikeyd__Response response = MIKEYD__RESPONSE__INIT;
        key.cs = 1;
        key.suite = suite;
        key.master_key = (ProtobufCBinaryData){32, bytes};
        key.master_salt = (ProtobufCBinaryData){12, bytes};
        exchange.keys = keys;
        exchange.n_keys = 1;
        exchange.message = (ProtobufCBinaryData){2, bytes};
        response.id = request->id;
        response.status = MIKEYD_POLICY;
        response.error = text;
        response.exchange = &exchange;
        peer_send(fd, &response);
        mikeyd__request__free_unpacked(request, NULL);
    }
}

Test(client_faults, an_error_message_comes_to_who_asked_for_it_and_nothing_else_does)
{
    struct peer peer;
    peer_start(&peer, refuse_with_message);
    mikeyd_client *client = peer_connect(&peer);
    struct mikeyd_answer answer = {.as = "sip:b@x", .message = "\1", .message_len = 1};
    mikeyd_exchange *exchange = NULL;
    cr_assert_eq(mikeyd_respond(client, &answer, &exchange), MIKEYD_POLICY);
    cr_assert_null(exchange);
    answer.error_message = true;
    cr_assert_eq(mikeyd_respond(client, &answer, &exchange), MIKEYD_POLICY);
    cr_assert_not_null(exchange);
    size_t len;
    cr_assert_eq(mikeyd_exchange_message(exchange, &len)[1], 6);
    cr_assert_eq(len, 2);
    cr_assert_eq(mikeyd_exchange_keys(exchange, NULL), 0);
    mikeyd_exchange_free(exchange);
    cr_assert_eq(mikeyd_confirm(client, "t", 1, "\1", 1, &exchange), MIKEYD_POLICY);
    cr_assert_null(exchange);
    mikeyd_client_close(client);
    peer_stop(&peer);
}
