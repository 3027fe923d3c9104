/* What a network can do to a message: nothing of it may yield a key or a reply. */
#include <string.h>

#include <criterion/criterion.h>

#include "base/clock.h"
#include "lab.h"

TestSuite(hostile, .timeout = 120);

static const struct exchange_stream one[] = {{.ssrc = 0x11223344}};
static struct lab_result offer, answer, got;

static uint64_t ntp_shifted(int64_t ms)
{
    int64_t unix_ms = clock_unix_ms() + ms;
    return clock_ntp_of_unix(unix_ms / 1000, (uint32_t)(unix_ms % 1000) * 1000000u);
}

Test(hostile, a_message_is_answered_once)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    lab_refused(lab_respond(&lab, &offer.message, NULL, &got), got, MIKEYD_REPLAY);
    lab_close(&lab);
}

Test(hostile, a_replay_costs_no_token_call)
{
    struct lab lab;
    struct token_facts before, after;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    token_get_facts(lab.token, &before);
    lab_refused(lab_respond(&lab, &offer.message, NULL, &got), got, MIKEYD_REPLAY);
    token_get_facts(lab.token, &after);
    cr_assert_eq(after.calls, before.calls);
    lab_close(&lab);
}

Test(hostile, a_replay_is_refused_after_a_restart)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    lab_restart(&lab);
    lab_refused(lab_respond(&lab, &offer.message, NULL, &got), got, MIKEYD_REPLAY);
    lab_close(&lab);
}

Test(hostile, a_second_message_with_the_same_time_is_refused_whatever_it_says)
{
    struct lab lab;
    static struct lab_bytes message;
    lab_open(&lab, LAB_ANY, NULL);
    struct mikey_init init = lab_peer_offer();
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(&lab, &message, NULL, &answer), answer);
    struct mikey_stream other = {.ssrc = 0x77, .suite = SRTP_AES_256_CM_HMAC_SHA1_80};
    init.streams = &other;
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_REPLAY);
    init.t++;
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(&lab, &message, NULL, &got), got);
    lab_close(&lab);
}

Test(hostile, a_message_that_fails_its_mac_does_not_block_the_true_one)
{
    struct lab lab;
    static struct lab_bytes forged;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    forged = offer.message;
    forged.data[forged.len - 1] ^= 1;
    lab_refused(lab_respond(&lab, &forged, NULL, &got), got, MIKEYD_AUTH_FAILED);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    lab_close(&lab);
}

static void clock_case(int64_t ms, enum mikeyd_status expected)
{
    struct lab lab;
    static struct lab_bytes message;
    lab_open(&lab, LAB_ANY, "clock_skew: 20s");
    struct mikey_init init = lab_peer_offer();
    init.t = ntp_shifted(ms);
    lab_seal(&init, lab_psk, 32, &message);
    if (expected == MIKEYD_OK)
        lab_must(lab_respond(&lab, &message, NULL, &got), got);
    else
        lab_refused(lab_respond(&lab, &message, NULL, &got), got, expected);
    lab_close(&lab);
}

Test(hostile, a_clock_far_behind_is_refused)
{
    clock_case(-22000, MIKEYD_CLOCK_SKEW);
}

Test(hostile, a_clock_far_ahead_is_refused)
{
    clock_case(22000, MIKEYD_CLOCK_SKEW);
}

Test(hostile, a_clock_a_little_behind_is_accepted)
{
    clock_case(-15000, MIKEYD_OK);
}

Test(hostile, a_clock_a_little_ahead_is_accepted)
{
    clock_case(15000, MIKEYD_OK);
}

/* Where the T payload begins: after the header with its one SRTP-ID entry. */
#define T_AT (10 + 9)

Test(hostile, ntp_and_short_ntp_timestamps_are_accepted)
{
    struct lab lab;
    static struct lab_bytes message;
    lab_open(&lab, LAB_ANY, NULL);
    struct mikey_init init = lab_peer_offer();
    lab_seal(&init, lab_psk, 32, &message);
    message.data[T_AT + 1] = MIKEY_TS_NTP;
    lab_remac(&message, &init, lab_psk, 32);
    lab_must(lab_respond(&lab, &message, NULL, &got), got);

    init.t = (ntp_shifted(1000) >> 32) << 32; /* a T without a fraction, and not the one before */
    lab_seal(&init, lab_psk, 32, &message);
    message.data[T_AT + 1] = MIKEY_TS_NTP_UTC_32;
    memmove(message.data + T_AT + 6, message.data + T_AT + 10, message.len - T_AT - 10);
    message.len -= 4;
    lab_remac(&message, &init, lab_psk, 32);
    lab_must(lab_respond(&lab, &message, NULL, &got), got);
    lab_close(&lab);
}

Test(hostile, our_own_message_sent_back_is_refused)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    struct exchange_request request = {.operation = EXCHANGE_RESPOND,
                                       .as = LAB_A,
                                       .message = offer.message.data,
                                       .message_len = offer.message.len};
    lab_refused(lab_serve(lab.a, LAB_UID_A, &request, &got), got, MIKEYD_AUTH_FAILED);
    lab_close(&lab);
}

Test(hostile, a_message_from_the_responder_to_itself_is_refused)
{
    struct lab lab;
    static struct lab_bytes message;
    lab_open(&lab, LAB_ANY, NULL);
    struct mikey_init init = lab_peer_offer();
    init.idi = init.idr;
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_AUTH_FAILED);
    lab_close(&lab);
}

Test(hostile, our_own_message_is_no_reply)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_refused(lab_confirm(&lab, &offer.ticket, &offer.message, &got), got, MIKEYD_AUTH_FAILED);
    lab_close(&lab);
}

Test(hostile, a_message_without_idr_is_refused)
{
    struct lab lab;
    static struct lab_bytes message;
    lab_open(&lab, LAB_ANY, NULL);
    struct mikey_init init = lab_peer_offer();
    init.idr.len = 0;
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_UNSUPPORTED);
    lab_close(&lab);
}

Test(hostile, a_message_to_another_node_is_refused)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    struct exchange_request request = {.operation = EXCHANGE_RESPOND,
                                       .as = LAB_C,
                                       .message = offer.message.data,
                                       .message_len = offer.message.len};
    lab_refused(lab_serve(lab.b, 1003, &request, &got), got, MIKEYD_AUTH_FAILED);
    lab_close(&lab);
}

Test(hostile, a_client_cannot_answer_for_a_node_it_does_not_act_as)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    struct exchange_request request = {.operation = EXCHANGE_RESPOND,
                                       .as = LAB_B,
                                       .message = offer.message.data,
                                       .message_len = offer.message.len};
    lab_refused(lab_serve(lab.a, LAB_UID_A, &request, &got), got, MIKEYD_NOT_ENTITLED);
    lab_refused(lab_serve(lab.a, 4242, &request, &got), got, MIKEYD_NOT_ENTITLED);
    cr_assert_geq(lab_audit_count(&lab, "NOT_ENTITLED"), 2);
    lab_close(&lab);
}

Test(hostile, the_other_algorithm_set_is_refused)
{
    struct lab lab;
    static struct lab_bytes message;
    lab_open(&lab, LAB_ANY, NULL);
    struct mikey_init init = lab_peer_offer();
    struct mikey_stream stream = {.ssrc = 1, .suite = SRTP_AES_CM_128_HMAC_SHA1_80};
    init.algorithms = MIKEY_ALGORITHMS_1;
    init.streams = &stream;
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_UNSUPPORTED);
    lab_close(&lab);
}

Test(hostile, a_suite_the_policy_does_not_list_is_refused)
{
    struct lab lab;
    static struct lab_bytes message;
    lab_open(&lab, LAB_ANY, NULL);
    struct mikey_init init = lab_peer_offer();
    struct mikey_stream stream = {.ssrc = 1, .suite = SRTP_AES_256_CM_HMAC_SHA1_32};
    init.streams = &stream;
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_POLICY);
    lab_close(&lab);
}

Test(hostile, a_message_that_wants_no_reply_is_refused_where_one_is_required)
{
    struct lab lab;
    static struct lab_bytes message;
    lab_open(&lab, LAB_ANY, NULL);
    struct mikey_init init = lab_peer_offer();
    init.verify = false;
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_POLICY);
    lab_close(&lab);
}

Test(hostile, a_short_tgk_is_refused)
{
    struct lab lab;
    static struct lab_bytes message;
    lab_open(&lab, LAB_ANY, NULL);
    struct mikey_init init = lab_peer_offer();
    struct mikey_key_data key = *init.keys;
    key.key_len = 16; /* for a suite of 256 bits */
    init.keys = &key;
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_UNSUPPORTED);
    lab_close(&lab);
}

Test(hostile, one_tek_for_two_streams_of_one_ssrc_is_refused)
{
    struct lab lab;
    static struct lab_bytes message;
    lab_open(&lab, LAB_ANY, NULL);
    struct mikey_init init = lab_peer_offer();
    uint8_t salt[12] = {1};
    struct mikey_key_data key = *init.keys;
    struct mikey_stream streams[2] = {init.streams[0], init.streams[0]};
    streams[1].ssrc++;
    key.type = MIKEY_KEY_TEK_SALT;
    key.salt = salt;
    key.salt_len = sizeof salt;
    init.keys = &key;
    init.streams = streams;
    init.stream_count = 2;
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(&lab, &message, NULL, &got), got);
    cr_assert_eq(memcmp(got.keys[0].value.key, key.key, 32), 0, "a TEK is the session key itself");
    /* The second stream's SSRC made equal to the first's. */
    init.t++;
    lab_seal(&init, lab_psk, 32, &message);
    memcpy(message.data + 10 + 9 + 1, message.data + 10 + 1, 4);
    lab_remac(&message, &init, lab_psk, 32);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_UNSUPPORTED);
    cr_assert_not_null(strstr(got.err.text, "same SSRC"), "%s", got.err.text);
    lab_close(&lab);
}

Test(hostile, no_flipped_bit_of_an_offer_passes)
{
    struct lab lab;
    static struct lab_bytes message;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    for (size_t bit = 0; bit < 8 * offer.message.len; bit++) {
        message = offer.message;
        message.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum mikeyd_status status = lab_respond(&lab, &message, NULL, &got);
        cr_assert_neq(status, MIKEYD_OK, "bit %zu", bit);
        cr_assert(lab_is_empty(&got), "bit %zu", bit);
    }
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    lab_close(&lab);
}

Test(hostile, no_flipped_bit_of_a_reply_passes)
{
    struct lab lab;
    static struct lab_bytes reply;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    for (size_t bit = 0; bit < 8 * answer.message.len; bit++) {
        reply = answer.message;
        reply.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum mikeyd_status status = lab_confirm(&lab, &offer.ticket, &reply, &got);
        cr_assert_neq(status, MIKEYD_OK, "bit %zu", bit);
        cr_assert(lab_is_empty(&got), "bit %zu", bit);
    }
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    lab_close(&lab);
}

Test(hostile, no_truncated_message_passes)
{
    struct lab lab;
    static struct lab_bytes message;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    message = offer.message;
    for (message.len = 0; message.len < offer.message.len; message.len++) {
        cr_assert_neq(lab_respond(&lab, &message, NULL, &got), MIKEYD_OK, "%zu", message.len);
        cr_assert(lab_is_empty(&got));
    }
    lab_close(&lab);
}

Test(hostile, an_error_message_is_a_hint_that_spoils_nothing)
{
    struct lab lab;
    static struct lab_bytes error;
    static struct mikey_message m;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    cr_assert_eq(mikey_parse(offer.message.data, offer.message.len, &m, NULL, NULL), MIKEYD_OK);
    struct byte_writer w = writer_of(error.data, sizeof error.data);
    cr_assert_eq(
        mikey_build_error(&m, &(struct mikey_refusal){.number = 0}, NULL, 0, NULL, &w, NULL),
        MIKEYD_OK);
    error.len = w.len;
    lab_refused(lab_confirm(&lab, &offer.ticket, &error, &got), got, MIKEYD_AUTH_FAILED);
    cr_assert_not_null(strstr(got.err.text, "authentication failure"), "%s", got.err.text);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    lab_close(&lab);
}

/* One of each kind, so that none is taken for another: counted by its status, recorded with who asked
 * for what, and nothing released for it. */
Test(hostile, refusals_are_counted_and_recorded)
{
    static struct lab_bytes damaged;
    struct lab lab;
    struct exchange_stats stats;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    damaged = offer.message;
    damaged.data[damaged.len - 1] ^= 1;
    lab_refused(lab_respond(&lab, &damaged, NULL, &got), got, MIKEYD_AUTH_FAILED);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    lab_refused(lab_respond(&lab, &offer.message, NULL, &got), got, MIKEYD_REPLAY);
    lab_refused(lab_confirm(&lab, &damaged, &answer.message, &got), got, MIKEYD_TICKET_INVALID);
    exchange_service_stats(lab.service, &stats);
    for (int status = 1; status < MIKEYD_STATUS_COUNT; status++) {
        const bool refused = status == MIKEYD_AUTH_FAILED || status == MIKEYD_REPLAY ||
                             status == MIKEYD_TICKET_INVALID;
        cr_assert_eq(stats.refused[status], refused ? 1 : 0, "%s: %lu",
                     status_name((enum mikeyd_status)status), (unsigned long)stats.refused[status]);
    }
    cr_assert_eq(stats.initiated, 1);
    cr_assert_eq(stats.responded, 1);
    cr_assert_eq(stats.confirmed, 0);
    cr_assert_eq(stats.keys_released, 1);
#define RECORD(result, client, operation)                                                          \
    "\"event\":\"refused\",\"result\":\"" result "\",\"client\":\"" client                         \
    "\",\"operation\":\"" operation "\""
    cr_assert_eq(lab_audit_count(&lab, RECORD("AUTH_FAILED", "sbc-b", "respond")), 1);
    cr_assert_eq(lab_audit_count(&lab, RECORD("REPLAY", "sbc-b", "respond")), 1);
    cr_assert_eq(lab_audit_count(&lab, RECORD("TICKET_INVALID", "sbc-a", "confirm")), 1);
#undef RECORD
    cr_assert_eq(lab_audit_count(&lab, "\"event\":\"refused\""), 3);
    lab_close(&lab);
}
