/* What an initiator makes of an error message (RFC 3830 5.1.1, 5.1.2): a proof, or a hint. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "base/secret.h"
#include "lab.h"

TestSuite(errors, .timeout = 60);

#define LEGACY "  - {name: legacy, kind: psk}"
#define THREE "suites: [AEAD_AES_256_GCM, AES_256_CM_HMAC_SHA1_80, AES_256_CM_HMAC_SHA1_32]"

static const struct exchange_stream one[] = {{.ssrc = 0x11223344}};
static struct lab_result offer, answer, got;

static void set_policy(struct lab *lab, const char *defaults)
{
    struct error err = {0};
    cr_assert_eq(lab_reload(lab, lab_policy_text(defaults, LEGACY, "legacy"), &err), MIKEYD_OK,
                 "%s", err.text);
}

static enum mikeyd_status initiate(struct lab *lab, enum policy_method method, bool again)
{
    struct exchange_request request = {.operation = EXCHANGE_INITIATE,
                                       .from = LAB_A,
                                       .to = LAB_B,
                                       .streams = one,
                                       .stream_count = 1,
                                       .method = method,
                                       .verify = true,
                                       .again = again};
    return lab_serve(lab->a, LAB_UID_A, &request, &offer);
}

/* B's answer under that policy, an error message; then A's policy is in force again. */
static void refuse(struct lab *lab, const char *defaults)
{
    struct exchange_request request = {.operation = EXCHANGE_RESPOND,
                                       .as = LAB_B,
                                       .error_message = true,
                                       .message = offer.message.data,
                                       .message_len = offer.message.len};
    set_policy(lab, defaults);
    cr_assert_neq(lab_serve(lab->b, LAB_UID_B, &request, &answer), MIKEYD_OK);
    cr_assert_neq(answer.message.len, 0, "%s", answer.err.text);
    cr_assert_eq(answer.key_count, 0);
    set_policy(lab, THREE);
}

#define TWO "suites: [AES_256_CM_HMAC_SHA1_32, AES_256_CM_HMAC_SHA1_80], error_messages: sent"

Test(errors, a_proven_error_says_what_the_peer_takes_in_the_order_of_our_policy)
{
    struct lab lab;
    static const enum policy_method methods[] = {POLICY_METHOD_PSK, POLICY_METHOD_DHHMAC,
                                                 POLICY_METHOD_PSK_DHE};
    lab_open_policy(&lab, LAB_ANY, lab_policy_text(THREE, LEGACY, "legacy"));
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        lab_must(initiate(&lab, methods[i], false), offer);
        refuse(&lab, TWO);
        lab_refused(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got,
                    MIKEYD_UNSUPPORTED);
        cr_assert_eq(got.suite_count, 2, "%s", got.err.text);
        cr_assert_eq(got.suites[0], SRTP_AES_256_CM_HMAC_SHA1_80);
        cr_assert_eq(got.suites[1], SRTP_AES_256_CM_HMAC_SHA1_32);
    }
    lab_close(&lab);
}

/* The policy of suites decides, whatever the peer would like. */
Test(errors, what_the_policy_does_not_allow_is_not_offered)
{
    struct lab lab;
    lab_open_policy(&lab, LAB_ANY, lab_policy_text(THREE, LEGACY, "legacy"));
    lab_must(initiate(&lab, POLICY_METHOD_PSK, false), offer);
    refuse(&lab, TWO);
    set_policy(&lab, "suites: [AEAD_AES_256_GCM, AES_256_CM_HMAC_SHA1_32]");
    lab_refused(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got, MIKEYD_UNSUPPORTED);
    cr_assert_eq(got.suite_count, 1);
    cr_assert_eq(got.suites[0], SRTP_AES_256_CM_HMAC_SHA1_32);
    set_policy(&lab, "suites: [AEAD_AES_256_GCM]");
    lab_refused(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got, MIKEYD_UNSUPPORTED);
    cr_assert_eq(got.suite_count, 0);
    lab_close(&lab);
}

/* Nor what the policy allows the pair, but not this client. */
Test(errors, what_the_client_may_not_use_is_not_offered)
{
    struct lab lab;
    struct error err = {0};
    static const char may[] = "may: [initiate, respond]";
    static char text[8192];
    lab_open_policy(&lab, LAB_ANY, lab_policy_text(THREE, LEGACY, "legacy"));
    lab_must(initiate(&lab, POLICY_METHOD_PSK, false), offer);
    refuse(&lab, TWO);
    const char *policy = lab_policy_text(THREE, LEGACY, "legacy");
    const char *at = strstr(policy, may); /* sbc-a's, which is the first client */
    cr_assert_not_null(at);
    (void)snprintf(text, sizeof text, "%.*ssuites: [AEAD_AES_256_GCM, AES_256_CM_HMAC_SHA1_32], %s",
                   (int)(at - policy), policy, at);
    cr_assert_eq(lab_reload(&lab, text, &err), MIKEYD_OK, "%s", err.text);
    lab_refused(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got, MIKEYD_UNSUPPORTED);
    cr_assert_eq(got.suite_count, 1);
    cr_assert_eq(got.suites[0], SRTP_AES_256_CM_HMAC_SHA1_32);
    lab_close(&lab);
}

/* As the peer itself would say it: with V. */
static void prove(const struct mikey_refusal *why, struct lab_bytes *out)
{
    static struct mikey_message m;
    struct mikey_psk psk;
    struct error err = {0};
    cr_assert_eq(mikey_parse(offer.message.data, offer.message.len, &m, NULL, NULL), MIKEYD_OK);
    cr_assert_eq(mikey_host_psk(lab_psk, sizeof lab_psk, &psk, &err), MIKEYD_OK, "%s", err.text);
    struct mikey_message_keys *keys = secret_alloc(sizeof *keys);
    struct mikey_psk_port port = {.psk = psk, .keys = keys};
    const struct mikey_key holder = {.ops = &mikey_key_by_psk, .port = &port};
    struct byte_writer w = writer_of(out->data, sizeof out->data);
    cr_assert_eq(mikey_build_error(&m, why, m.rand, m.rand_len, &holder, &w, &err), MIKEYD_OK, "%s",
                 err.text);
    out->len = w.len;
    secret_release(keys, sizeof *keys);
    mikey_host_psk_clear(&psk);
}

/* A peer that could not read the offer has nothing to say of its suites. */
Test(errors, a_proven_error_about_the_key_brings_no_new_offer)
{
    struct lab lab;
    static struct lab_bytes error;
    struct mikey_refusal why = {.suites = UINT32_C(1) << SRTP_AES_256_CM_HMAC_SHA1_32};
    lab_open_policy(&lab, LAB_ANY, lab_policy_text(THREE, LEGACY, "legacy"));
    lab_must(initiate(&lab, POLICY_METHOD_PSK, false), offer);
    why.number = 0;
    prove(&why, &error);
    lab_refused(lab_confirm(&lab, &offer.ticket, &error, &got), got, MIKEYD_AUTH_FAILED);
    cr_assert_not_null(strstr(got.err.text, "(authentic)"), "%s", got.err.text);
    cr_assert_eq(got.suite_count, 0);
    why.number = 10;
    prove(&why, &error);
    lab_refused(lab_confirm(&lab, &offer.ticket, &error, &got), got, MIKEYD_UNSUPPORTED);
    cr_assert_eq(got.suite_count, 1);
    lab_close(&lab);
}

/* RFC 4567 8: forged errors can be used for bidding down. */
Test(errors, an_error_that_proves_nothing_names_no_suite)
{
    struct lab lab;
    static struct mikey_message m;
    static struct lab_bytes forged, forged_first;
    lab_open_policy(&lab, LAB_ANY, lab_policy_text(THREE, LEGACY, "legacy"));
    lab_must(initiate(&lab, POLICY_METHOD_PSK, false), offer);
    cr_assert_eq(mikey_parse(offer.message.data, offer.message.len, &m, NULL, NULL), MIKEYD_OK);
    struct byte_writer w = writer_of(forged.data, sizeof forged.data);
    const struct mikey_refusal why = {.number = 10,
                                      .suites = UINT32_C(1) << SRTP_AES_256_CM_HMAC_SHA1_32};
    cr_assert_eq(mikey_build_error(&m, &why, NULL, 0, NULL, &w, NULL), MIKEYD_OK);
    forged.len = w.len;
    lab_refused(lab_confirm(&lab, &offer.ticket, &forged, &got), got, MIKEYD_UNSUPPORTED);
    cr_assert_not_null(strstr(got.err.text, "not proven"), "%s", got.err.text);
    cr_assert_eq(got.suite_count, 0);
    forged_first = forged;
    /* Nor does one that was true, for another exchange or changed on the way. */
    refuse(&lab, TWO);
    const struct lab_bytes proven = answer.message;
    forged = proven;
    for (size_t i = 0; i < proven.len; i++) {
        forged.data[i] ^= 1;
        (void)lab_confirm(&lab, &offer.ticket, &forged, &got);
        cr_assert_eq(got.suite_count, 0, "byte %zu", i);
        forged.data[i] ^= 1;
    }
    lab_must(initiate(&lab, POLICY_METHOD_PSK, false), offer);
    cr_assert_neq(lab_confirm(&lab, &offer.ticket, &proven, &got), MIKEYD_OK);
    cr_assert_eq(got.suite_count, 0);
    lab_refused(lab_confirm(&lab, &offer.ticket, &forged_first, &got), got, MIKEYD_AUTH_FAILED);
    cr_assert_not_null(strstr(got.err.text, "another exchange"), "%s", got.err.text);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    lab_close(&lab);
}

Test(errors, an_error_of_the_second_offer_brings_no_third)
{
    struct lab lab;
    lab_open_policy(&lab, LAB_ANY, lab_policy_text(THREE, LEGACY, "legacy"));
    lab_must(initiate(&lab, POLICY_METHOD_PSK, true), offer);
    refuse(&lab, TWO);
    lab_refused(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got, MIKEYD_UNSUPPORTED);
    cr_assert_eq(got.suite_count, 0);
    cr_assert_not_null(strstr(got.err.text, "would take"), "%s", got.err.text);
    lab_close(&lab);
}

/* Its bundle goes on by the suites that it has. */
Test(errors, an_error_of_an_update_brings_no_new_offer)
{
    struct lab lab;
    static struct lab_result update;
    static struct lab_bytes ticket;
    static const struct exchange_stream more[] = {{.ssrc = 0x55667788}};
    lab_open_policy(&lab, LAB_ANY, lab_policy_text(THREE, LEGACY, "legacy"));
    lab_must(initiate(&lab, POLICY_METHOD_PSK, false), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    ticket = answer.ticket;
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    lab_must(lab_update(&lab, &got.ticket, more, 1, &update), update);
    struct exchange_request request = {.operation = EXCHANGE_RESPOND,
                                       .as = LAB_B,
                                       .error_message = true,
                                       .message = update.message.data,
                                       .message_len = update.message.len,
                                       .ticket = ticket.data,
                                       .ticket_len = ticket.len};
    set_policy(&lab, TWO);
    cr_assert_neq(lab_serve(lab.b, LAB_UID_B, &request, &answer), MIKEYD_OK);
    cr_assert_neq(answer.message.len, 0, "%s", answer.err.text);
    set_policy(&lab, THREE);
    cr_assert_neq(lab_confirm(&lab, &update.ticket, &answer.message, &got), MIKEYD_OK);
    cr_assert_eq(got.suite_count, 0);
    lab_close(&lab);
}
