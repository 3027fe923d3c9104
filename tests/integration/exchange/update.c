/* Updates of a bundle (RFC 3830 4.5). */
#include <string.h>

#include <criterion/criterion.h>

#include "lab.h"

TestSuite(update, .timeout = 60);

static const struct exchange_stream one[] = {{.ssrc = 0x11223344}};
static struct lab_result offer, answer, got;

static void call(struct lab *lab)
{
    lab_must(lab_initiate(lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(lab, &offer.message, NULL, &answer), answer);
    lab_must(lab_confirm(lab, &offer.ticket, &answer.message, &got), got);
}

/* An update from the state in got and answer, which then hold the new state. */
static void update(struct lab *lab, const struct exchange_stream *streams, size_t count)
{
    static struct lab_bytes responder;
    responder = answer.ticket;
    lab_must(lab_update(lab, &got.ticket, streams, count, &offer), offer);
    cr_assert_eq(offer.key_count, 0);
    lab_must(lab_respond(lab, &offer.message, &responder, &answer), answer);
    lab_must(lab_confirm(lab, &offer.ticket, &answer.message, &got), got);
    cr_assert(lab_same_keys(&answer, &got));
}

Test(update, brings_new_keys_for_the_same_bundle)
{
    struct lab lab;
    static struct lab_result before;
    lab_open(&lab, LAB_ANY, "mki_bytes: 4");
    call(&lab);
    before = got;
    update(&lab, NULL, 0);
    cr_assert_eq(got.csb_id, before.csb_id);
    cr_assert_eq(got.key_count, 1);
    cr_assert_neq(memcmp(got.keys[0].value.key, before.keys[0].value.key, 32), 0);
    cr_assert_neq(memcmp(got.mki[0], before.mki[0], 4), 0, "a new key has a new MKI");
    static struct mikey_message m;
    cr_assert_eq(mikey_parse(offer.message.data, offer.message.len, &m, NULL, NULL), MIKEYD_OK);
    cr_assert(mikey_is_update(&m));
    lab_close(&lab);
}

Test(update, appends_streams_and_keeps_the_order)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    call(&lab);
    const struct exchange_stream more[] = {{.ssrc = 0}, {.ssrc = 9}};
    update(&lab, more, 2);
    cr_assert_eq(got.key_count, 3);
    cr_assert_eq(got.keys[0].ssrc, 0x11223344);
    cr_assert_neq(got.keys[1].ssrc, 0);
    cr_assert_eq(got.keys[2].ssrc, 9);
    update(&lab, NULL, 0);
    cr_assert_eq(got.key_count, 3);
    lab_close(&lab);
}

Test(update, follows_update)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    call(&lab);
    for (int i = 0; i < 3; i++)
        update(&lab, NULL, 0);
    lab_close(&lab);
}

Test(update, needs_the_responders_ticket)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    call(&lab);
    static struct lab_result refused;
    lab_must(lab_update(&lab, &got.ticket, NULL, 0, &offer), offer);
    lab_refused(lab_respond(&lab, &offer.message, NULL, &refused), refused, MIKEYD_TICKET_INVALID);
    cr_assert_not_null(strstr(refused.err.text, "ticket"), "%s", refused.err.text);
    lab_must(lab_respond(&lab, &offer.message, &answer.ticket, &refused), refused);
    lab_close(&lab);
}

Test(update, needs_the_initiators_ticket)
{
    struct lab lab;
    static const struct lab_bytes none;
    lab_open(&lab, LAB_ANY, NULL);
    lab_refused(lab_update(&lab, &none, NULL, 0, &got), got, MIKEYD_TICKET_INVALID);
    lab_close(&lab);
}

Test(update, does_not_take_the_ticket_of_another_bundle)
{
    struct lab lab;
    static struct lab_bytes other;
    lab_open(&lab, LAB_ANY, NULL);
    call(&lab);
    other = answer.ticket;
    call(&lab);
    lab_must(lab_update(&lab, &got.ticket, NULL, 0, &offer), offer);
    static struct lab_result refused;
    lab_refused(lab_respond(&lab, &offer.message, &other, &refused), refused,
                MIKEYD_TICKET_INVALID);
    lab_close(&lab);
}

/* The CSB ID is the initiator's to choose, so another peer may choose the same. */
Test(update, does_not_take_the_ticket_of_another_pair)
{
    struct lab lab;
    struct error err = {0};
    uint8_t store[IDENTITY_MAX];
    static struct lab_bytes message;
    static struct lab_result refused;
    static const uint8_t third[32] = {3, 1, 4, 1, 5, 9, 2, 6};
    static const char policy[] =
        "policy: 1\n"
        "defaults: {provisioning: plaintext-allowed}\n"
        "keys: [{name: legacy, kind: psk}, {name: second, kind: psk}, {name: third, kind: psk}]\n"
        "nodes: [\"" LAB_A "\", \"" LAB_B "\", \"" LAB_C "\"]\n"
        "pairs:\n"
        "  - {initiator: \"" LAB_A "\", responder: \"" LAB_B "\", key: legacy}\n"
        "  - {initiator: \"" LAB_C "\", responder: \"" LAB_B "\", key: second}\n"
        "  - {initiator: \"" LAB_A "\", responder: \"" LAB_C "\", key: third}\n"
        "clients:\n"
        "  - {name: sbc-b, uid: 1002, acts_as: [\"" LAB_B "\", \"" LAB_C "\"], may: [respond]}\n";
    lab_open_token(&lab, LAB_ANY);
    lab_import(&lab, TOKEN_PSK, "second", 1, lab_psk_2, sizeof lab_psk_2);
    lab_import(&lab, TOKEN_PSK, "third", 1, third, sizeof third);
    cr_assert_eq(lab_start_service(&lab, policy, &err), MIKEYD_OK, "%s", err.text);
    lab_start_workers(&lab);
    struct mikey_init init = lab_peer_offer();
    const struct identity a = init.idi, b = init.idr;
    struct identity c;
    cr_assert_eq(identity_parse(LAB_C, store, &c, NULL), MIKEYD_OK);
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(&lab, &message, NULL, &answer), answer);
    init.update = true;
    init.t++;
    init.idi = c;
    lab_seal(&init, lab_psk_2, sizeof lab_psk_2, &message);
    lab_refused(lab_respond(&lab, &message, &answer.ticket, &refused), refused,
                MIKEYD_TICKET_INVALID);
    init.idi = a;
    init.idr = c;
    lab_seal(&init, third, sizeof third, &message);
    struct exchange_request request = {.operation = EXCHANGE_RESPOND,
                                       .as = LAB_C,
                                       .message = message.data,
                                       .message_len = message.len,
                                       .ticket = answer.ticket.data,
                                       .ticket_len = answer.ticket.len};
    lab_refused(lab_serve(lab.b, LAB_UID_B, &request, &refused), refused, MIKEYD_TICKET_INVALID);
    init.idr = b;
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(&lab, &message, &answer.ticket, &got), got);
    lab_close(&lab);
}

Test(update, keeps_the_algorithms_of_its_bundle)
{
#define SUITE "suites: [AES_CM_128_HMAC_SHA1_80], algorithms: "
    struct lab lab;
    struct error err = {0};
    static struct lab_bytes message;
    static const char key[] = "  - {name: legacy, kind: psk}";
    lab_open(&lab, LAB_ANY, SUITE "mikey-256");
    struct mikey_init init = lab_peer_offer();
    const struct mikey_stream stream = {.ssrc = 0x99, .suite = SRTP_AES_CM_128_HMAC_SHA1_80};
    init.streams = &stream;
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(&lab, &message, NULL, &answer), answer);
    cr_assert_eq(lab_reload(&lab, lab_policy_text(SUITE "mikey-1", key, "legacy"), &err), MIKEYD_OK,
                 "%s", err.text);
    init.update = true;
    init.algorithms = MIKEY_ALGORITHMS_1;
    init.t++;
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(lab_respond(&lab, &message, &answer.ticket, &got), got, MIKEYD_TICKET_INVALID);
    lab_close(&lab);
#undef SUITE
}

/* What was allowed when the bundle began need not be today. */
Test(update, is_not_offered_where_the_policy_has_changed)
{
    struct lab lab;
    struct error err = {0};
    static const char *const defaults[] = {
        "suites: [AES_CM_128_HMAC_SHA1_80], algorithms: mikey-1",
        "suites: [AES_256_CM_HMAC_SHA1_80], algorithms: mikey-256",
        "suites: [AES_CM_128_HMAC_SHA1_80], algorithms: mikey-256",
    };
    static const char key[] = "  - {name: legacy, kind: psk}";
    lab_open(&lab, LAB_ANY, defaults[2]);
    call(&lab);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(lab_reload(&lab, lab_policy_text(defaults[i], key, "legacy"), &err), MIKEYD_OK,
                     "%s", err.text);
        if (i < 2)
            lab_refused(lab_update(&lab, &got.ticket, NULL, 0, &offer), offer, MIKEYD_POLICY);
    }
    update(&lab, NULL, 0);
    lab_close(&lab);
}

Test(update, asks_for_the_answer_that_the_policy_requires)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, "verification: required");
    call(&lab);
    struct exchange_request request = {
        .operation = EXCHANGE_UPDATE, .ticket = got.ticket.data, .ticket_len = got.ticket.len};
    lab_refused(lab_serve(lab.a, LAB_UID_A, &request, &offer), offer, MIKEYD_POLICY);
    request.verify = true;
    lab_must(lab_serve(lab.a, LAB_UID_A, &request, &offer), offer);
    lab_close(&lab);
}

Test(update, counts_as_an_exchange_under_its_key)
{
    struct lab lab;
    lab_open_policy(
        &lab, LAB_ANY,
        lab_policy_text(NULL, "  - {name: legacy, kind: psk, max_exchanges: 4}", "legacy"));
    call(&lab); /* one at each end */
    lab_must(lab_update(&lab, &got.ticket, NULL, 0, &offer), offer);
    lab_must(lab_update(&lab, &got.ticket, NULL, 0, &offer), offer);
    lab_refused(lab_update(&lab, &got.ticket, NULL, 0, &offer), offer, MIKEYD_POLICY);
    lab_close(&lab);
}

Test(update, is_answered_once)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    call(&lab);
    static struct lab_bytes ticket;
    ticket = answer.ticket;
    lab_must(lab_update(&lab, &got.ticket, NULL, 0, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, &ticket, &answer), answer);
    lab_refused(lab_respond(&lab, &offer.message, &ticket, &got), got, MIKEYD_REPLAY);
    lab_refused(lab_respond(&lab, &offer.message, &answer.ticket, &got), got, MIKEYD_REPLAY);
    lab_close(&lab);
}

Test(update, older_than_the_bundle_is_refused)
{
    struct lab lab;
    static struct lab_bytes message;
    lab_open(&lab, LAB_ANY, NULL);
    struct mikey_init init = lab_peer_offer();
    const uint64_t first = init.t;
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(&lab, &message, NULL, &answer), answer);
    init.update = true;
    init.t = first - 1;
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(lab_respond(&lab, &message, &answer.ticket, &got), got, MIKEYD_REPLAY);
    init.t = first + 1;
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(&lab, &message, &answer.ticket, &got), got);
    lab_close(&lab);
}

Test(update, without_a_key_keeps_the_old_one_and_may_add_streams)
{
    struct lab lab;
    static struct lab_bytes message;
    lab_open(&lab, LAB_ANY, NULL);
    struct mikey_init init = lab_peer_offer();
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(&lab, &message, NULL, &answer), answer);
    const struct mikey_stream streams[] = {init.streams[0],
                                           {.ssrc = 0x77, .suite = SRTP_AES_256_CM_HMAC_SHA1_80}};
    init.update = true;
    init.key_count = 0;
    init.streams = streams;
    init.stream_count = 2;
    init.t++;
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(&lab, &message, &answer.ticket, &got), got);
    cr_assert_eq(got.key_count, 2);
    cr_assert_eq(memcmp(&got.keys[0].value, &answer.keys[0].value, sizeof got.keys[0].value), 0);
    cr_assert_eq(got.keys[1].ssrc, 0x77);
    lab_close(&lab);
}

Test(update, cannot_drop_or_renumber_streams)
{
    struct lab lab;
    static struct lab_bytes message;
    lab_open(&lab, LAB_ANY, NULL);
    struct mikey_init init = lab_peer_offer();
    struct mikey_stream streams[] = {init.streams[0],
                                     {.ssrc = 0x77, .suite = SRTP_AEAD_AES_256_GCM}};
    init.streams = streams;
    init.stream_count = 2;
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(&lab, &message, NULL, &answer), answer);
    init.update = true;
    init.t++;
    init.stream_count = 1;
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(lab_respond(&lab, &message, &answer.ticket, &got), got, MIKEYD_UNSUPPORTED);
    cr_assert_not_null(strstr(got.err.text, "leaves out"), "%s", got.err.text);
    init.t++;
    init.stream_count = 2;
    streams[0].ssrc = 0x78;
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(lab_respond(&lab, &message, &answer.ticket, &got), got, MIKEYD_UNSUPPORTED);
    lab_close(&lab);
}

Test(update, keeps_the_length_of_the_mki)
{
    struct lab lab;
    struct error err = {0};
    lab_open(&lab, LAB_ANY, "mki_bytes: 4");
    call(&lab);
    cr_assert_eq(
        lab_reload(&lab, lab_policy_text("mki_bytes: 2", "  - {name: legacy, kind: psk}", "legacy"),
                   &err),
        MIKEYD_OK, "%s", err.text);
    update(&lab, NULL, 0);
    cr_assert_eq(got.keys[0].mki_len, 4);
    lab_close(&lab);
}

Test(update, a_new_bundle_takes_no_ticket)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    call(&lab);
    static struct lab_result second;
    lab_must(lab_initiate(&lab, one, 1, true, &second), second);
    lab_refused(lab_respond(&lab, &second.message, &answer.ticket, &got), got,
                MIKEYD_INVALID_ARGUMENT);
    lab_close(&lab);
}

Test(update, outlives_the_process)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    call(&lab);
    lab_restart(&lab);
    update(&lab, NULL, 0);
    lab_close(&lab);
}
