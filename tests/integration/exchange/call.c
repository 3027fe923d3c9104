/* Call set-up: both ends of a call end with the same keys, in every way a call can be set up. */
#include <criterion/criterion.h>

#include "base/clock.h"
#include "expiry.h"
#include "lab.h"

TestSuite(call, .timeout = 60);

static const struct exchange_stream one[] = {{.ssrc = 0x11223344}};

/* One whole call; returns the confirmed result at the initiator in *got. */
static void call(struct lab *lab, const struct exchange_stream *streams, size_t count,
                 struct lab_result *got)
{
    static struct lab_result offer, answer;
    lab_must(lab_initiate(lab, streams, count, true, &offer), offer);
    cr_assert_eq(offer.key_count, 0, "no key before the reply");
    lab_must(lab_respond(lab, &offer.message, NULL, &answer), answer);
    lab_must(lab_confirm(lab, &offer.ticket, &answer.message, got), *got);
    cr_assert(lab_same_keys(&answer, got));
}

Test(call, both_ends_get_the_same_keys)
{
    struct lab lab;
    static struct lab_result got;
    lab_open(&lab, LAB_ANY, NULL);
    call(&lab, one, 1, &got);
    cr_assert_eq(got.key_count, 1);
    cr_assert_eq(got.keys[0].cs, 1);
    cr_assert_eq(got.keys[0].ssrc, 0x11223344);
    cr_assert_eq(got.keys[0].suite, SRTP_AEAD_AES_256_GCM, "the policy's first");
    cr_assert_gt(got.audit_sequence, 0);
    lab_close(&lab);
}

Test(call, every_suite_of_mikey_256)
{
    struct lab lab;
    static struct lab_result got;
    lab_open(&lab, LAB_ANY,
             "suites: [AES_CM_128_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_32, AES_256_CM_HMAC_SHA1_80, "
             "AES_256_CM_HMAC_SHA1_32, AEAD_AES_128_GCM, AEAD_AES_256_GCM]");
    for (int i = 0; i < SRTP_SUITE_COUNT; i++) {
        const struct exchange_stream stream = {.ssrc = 7,
                                               .suite = srtp_suite_info((enum srtp_suite)i)->name};
        call(&lab, &stream, 1, &got);
        cr_assert_eq((int)got.keys[0].suite, i);
    }
    lab_close(&lab);
}

Test(call, every_suite_of_mikey_1)
{
    struct lab lab;
    static struct lab_result got;
    lab_open(&lab, LAB_ANY,
             "algorithms: mikey-1, suites: [AES_CM_128_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_32, "
             "AEAD_AES_128_GCM]");
    static const enum srtp_suite suites[] = {SRTP_AES_CM_128_HMAC_SHA1_80,
                                             SRTP_AES_CM_128_HMAC_SHA1_32, SRTP_AEAD_AES_128_GCM};
    for (size_t i = 0; i < 3; i++) {
        const struct exchange_stream stream = {.ssrc = 7,
                                               .suite = srtp_suite_info(suites[i])->name};
        call(&lab, &stream, 1, &got);
        cr_assert_eq(got.keys[0].suite, suites[i]);
    }
    lab_close(&lab);
}

Test(call, streams_have_keys_of_their_own_and_open_ssrcs_are_filled)
{
    struct lab lab;
    static struct lab_result got;
    lab_open(&lab, LAB_ANY, NULL);
    const struct exchange_stream streams[] = {
        {.ssrc = 1}, {.ssrc = 0}, {.ssrc = 3, .suite = "AES_256_CM_HMAC_SHA1_80"}, {.ssrc = 0}};
    call(&lab, streams, 4, &got);
    cr_assert_eq(got.key_count, 4);
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(got.keys[i].cs, i + 1);
        cr_assert_neq(got.keys[i].ssrc, 0);
        for (size_t j = 0; j < i; j++) {
            cr_assert_neq(got.keys[i].ssrc, got.keys[j].ssrc);
            cr_assert_neq(memcmp(got.keys[i].value.key, got.keys[j].value.key, 32), 0);
        }
    }
    cr_assert_eq(got.keys[2].suite, SRTP_AES_256_CM_HMAC_SHA1_80);
    lab_close(&lab);
}

Test(call, the_responder_chooses_open_ssrcs_in_order)
{
    struct lab lab;
    static struct lab_result offer, answer, got;
    lab_open(&lab, LAB_ANY, NULL);
    const struct exchange_stream streams[] = {{.ssrc = 0}, {.ssrc = 5}, {.ssrc = 0}};
    const uint32_t ssrcs[] = {0xa1, 0xa2};
    lab_must(lab_initiate(&lab, streams, 3, true, &offer), offer);
    struct exchange_request request = {.operation = EXCHANGE_RESPOND,
                                       .as = LAB_B,
                                       .message = offer.message.data,
                                       .message_len = offer.message.len,
                                       .ssrcs = ssrcs,
                                       .ssrc_count = 2};
    lab_must(lab_serve(lab.b, LAB_UID_B, &request, &answer), answer);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    cr_assert_eq(got.keys[0].ssrc, 0xa1);
    cr_assert_eq(got.keys[1].ssrc, 5);
    cr_assert_eq(got.keys[2].ssrc, 0xa2);
    lab_close(&lab);
}

Test(call, a_wrong_ssrc_list_does_not_cost_the_message)
{
    struct lab lab;
    static struct lab_result offer, answer;
    lab_open(&lab, LAB_ANY, NULL);
    const struct exchange_stream streams[] = {{.ssrc = 0}, {.ssrc = 5}};
    const uint32_t ssrcs[] = {5, 6};
    lab_must(lab_initiate(&lab, streams, 2, true, &offer), offer);
    struct exchange_request request = {.operation = EXCHANGE_RESPOND,
                                       .as = LAB_B,
                                       .message = offer.message.data,
                                       .message_len = offer.message.len,
                                       .ssrcs = ssrcs,
                                       .ssrc_count = 1};
    lab_refused(lab_serve(lab.b, LAB_UID_B, &request, &answer), answer, MIKEYD_INVALID_ARGUMENT);
    request.ssrcs = &ssrcs[1];
    lab_must(lab_serve(lab.b, LAB_UID_B, &request, &answer), answer);
    lab_close(&lab);
}

Test(call, the_other_direction_works_too)
{
    struct lab lab;
    static struct lab_result offer, answer, got;
    lab_open(&lab, LAB_ANY, NULL);
    struct exchange_request request = {.operation = EXCHANGE_INITIATE,
                                       .from = LAB_B,
                                       .to = LAB_A,
                                       .streams = one,
                                       .stream_count = 1,
                                       .verify = true};
    lab_must(lab_serve(lab.b, LAB_UID_B, &request, &offer), offer);
    request = (struct exchange_request){.operation = EXCHANGE_RESPOND,
                                        .as = LAB_A,
                                        .message = offer.message.data,
                                        .message_len = offer.message.len};
    lab_must(lab_serve(lab.a, LAB_UID_A, &request, &answer), answer);
    request = (struct exchange_request){.operation = EXCHANGE_CONFIRM,
                                        .ticket = offer.ticket.data,
                                        .ticket_len = offer.ticket.len,
                                        .message = answer.message.data,
                                        .message_len = answer.message.len};
    lab_must(lab_serve(lab.b, LAB_UID_B, &request, &got), got);
    cr_assert(lab_same_keys(&answer, &got));
    lab_close(&lab);
}

Test(call, without_verification_both_ends_have_keys_at_once)
{
    struct lab lab;
    static struct lab_result offer, answer;
    lab_open(&lab, LAB_ANY, "verification: allowed");
    lab_must(lab_initiate(&lab, one, 1, false, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    cr_assert_eq(answer.message.len, 0, "no reply that was not asked for");
    cr_assert(lab_same_keys(&offer, &answer));
    lab_close(&lab);
}

Test(call, verification_that_the_policy_requires_cannot_be_left_out)
{
    struct lab lab;
    static struct lab_result offer;
    lab_open(&lab, LAB_ANY, "verification: required");
    lab_refused(lab_initiate(&lab, one, 1, false, &offer), offer, MIKEYD_POLICY);
    lab_close(&lab);
}

Test(call, an_open_ssrc_needs_a_reply)
{
    struct lab lab;
    static struct lab_result offer;
    lab_open(&lab, LAB_ANY, "verification: allowed");
    const struct exchange_stream open_stream = {.ssrc = 0};
    lab_refused(lab_initiate(&lab, &open_stream, 1, false, &offer), offer, MIKEYD_INVALID_ARGUMENT);
    lab_close(&lab);
}

Test(call, the_mki_travels_and_is_the_same_at_both_ends)
{
    struct lab lab;
    static struct lab_result got;
    lab_open(&lab, LAB_ANY, "mki_bytes: 4");
    call(&lab, one, 1, &got);
    cr_assert_eq(got.keys[0].mki_len, 4);
    lab_close(&lab);
}

Test(call, a_psk_of_several_blocks_works)
{
    struct lab lab;
    static struct lab_result got;
    lab_open_policy(&lab, LAB_ANY, lab_policy_text(NULL, "  - {name: long, kind: psk}", "long"));
    call(&lab, one, 1, &got);
    lab_close(&lab);
}

Test(call, a_psk_weaker_than_the_session_key_does_not_transport_it)
{
    struct lab lab;
    static struct lab_result got;
    lab_open_policy(&lab, LAB_ANY,
                    lab_policy_text("min_psk_bits: 128, suites: [AES_CM_128_HMAC_SHA1_80, "
                                    "AEAD_AES_256_GCM]",
                                    "  - {name: short, kind: psk}", "short"));
    call(&lab, one, 1, &got);
    const struct exchange_stream strong = {.ssrc = 1, .suite = "AEAD_AES_256_GCM"};
    lab_refused(lab_initiate(&lab, &strong, 1, true, &got), got, MIKEYD_POLICY);
    lab_close(&lab);
}

/* Whatever the token: a pair key has 256 bits, and no more strength than its EPSK. */
Test(call, an_epsk_weaker_than_the_session_key_does_not_transport_it)
{
    struct lab lab;
    static struct lab_result got;
    lab_open_token(&lab, LAB_ANY);
    lab_import(&lab, TOKEN_EPSK, "weak", 1, lab_psk, 16);
    if (!lab_token_derives(&lab.fixture))
        lab_derive_pairs(&lab, "weak", 1, MIKEY_ALGORITHMS_256);
    static const char key[] = "  - {name: weak, kind: epsk}";
    struct error err = {0};
    cr_expect_eq(lab_start_service(&lab, lab_policy_text("min_psk_bits: 256", key, "weak"), &err),
                 MIKEYD_POLICY);
    cr_expect_not_null(strstr(err.text, "128 bits"), "%s", err.text);
    cr_assert_eq(lab_start_service(&lab,
                                   lab_policy_text("min_psk_bits: 128, suites: "
                                                   "[AES_CM_128_HMAC_SHA1_80, AEAD_AES_256_GCM]",
                                                   key, "weak"),
                                   &err),
                 MIKEYD_OK, "%s", err.text);
    lab_start_workers(&lab);
    call(&lab, one, 1, &got);
    const struct exchange_stream strong = {.ssrc = 1, .suite = "AEAD_AES_256_GCM"};
    lab_refused(lab_initiate(&lab, &strong, 1, true, &got), got, MIKEYD_POLICY);
    lab_close(&lab);
}

Test(call, sdp_ids_are_required_of_an_sdp_offer)
{
    struct lab lab;
    static struct lab_result offer, answer;
    lab_open(&lab, LAB_ANY, NULL);
    for (int sdp = 0; sdp < 2; sdp++) {
        struct exchange_request request = {.operation = EXCHANGE_INITIATE,
                                           .from = LAB_A,
                                           .to = LAB_B,
                                           .streams = one,
                                           .stream_count = 1,
                                           .verify = true,
                                           .sdp = sdp == 1};
        lab_must(lab_serve(lab.a, LAB_UID_A, &request, &offer), offer);
        request = (struct exchange_request){.operation = EXCHANGE_RESPOND,
                                            .as = LAB_B,
                                            .message = offer.message.data,
                                            .message_len = offer.message.len,
                                            .sdp = true};
        if (sdp == 1)
            lab_must(lab_serve(lab.b, LAB_UID_B, &request, &answer), answer);
        else
            lab_refused(lab_serve(lab.b, LAB_UID_B, &request, &answer), answer, MIKEYD_POLICY);
    }
    lab_close(&lab);
}

Test(call, the_largest_bundle_fits)
{
    struct lab lab;
    static struct lab_result got;
    static struct exchange_stream streams[255];
    for (uint32_t i = 0; i < 255; i++)
        streams[i].ssrc = i + 1;
    lab_open(&lab, LAB_ANY, "mki_bytes: 128");
    call(&lab, streams, 255, &got);
    cr_assert_eq(got.key_count, 255);
    lab_close(&lab);
}

Test(call, a_csb_id_is_kept_for_an_hour)
{
    struct lab lab;
    static struct lab_result offer;
    lab_open(&lab, LAB_ANY, NULL);
    const int64_t now = clock_unix_now();
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    int64_t kept = lab_latest_expiry(&lab) - now;
    cr_expect(kept >= 3600 && kept < 3610, "%lld s", (long long)kept);
    lab_close(&lab);
}
