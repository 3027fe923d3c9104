/* What other makes of MIKEY send, and what they are told: RFC 3830 where it leaves room. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <openssl/rand.h>

#include "base/secret.h"
#include "lab.h"

TestSuite(peers, .timeout = 60);

static const struct exchange_stream one[] = {{.ssrc = 0x11223344}};
static const struct exchange_stream two[] = {{.ssrc = 0x11223344}, {.ssrc = 0}};
static struct lab_result offer, answer, got;
static struct lab_bytes message;

static void open_lab(struct lab *lab, const char *defaults, const char *interop)
{
    static char text[8192];
    (void)snprintf(text, sizeof text, "%s%s",
                   lab_policy_text(defaults, "  - {name: legacy, kind: psk}", "legacy"), interop);
    lab_open_policy(lab, LAB_ANY, text);
}

static enum mikeyd_status respond_from(struct lab *lab, const char *from, struct lab_result *out)
{
    struct exchange_request request = {.operation = EXCHANGE_RESPOND,
                                       .as = LAB_B,
                                       .from = from,
                                       .message = message.data,
                                       .message_len = message.len};
    return lab_serve(lab->b, LAB_UID_B, &request, out);
}

static enum mikeyd_status respond_with(struct lab *lab, const uint32_t *ssrcs, const uint32_t *rocs,
                                       size_t count, const struct lab_bytes *ticket,
                                       struct lab_result *out)
{
    struct exchange_request request = {.operation = EXCHANGE_RESPOND,
                                       .as = LAB_B,
                                       .ssrcs = ssrcs,
                                       .rocs = rocs,
                                       .ssrc_count = count,
                                       .message = offer.message.data,
                                       .message_len = offer.message.len,
                                       .ticket = ticket == NULL ? NULL : ticket->data,
                                       .ticket_len = ticket == NULL ? 0 : ticket->len};
    return lab_serve(lab->b, LAB_UID_B, &request, out);
}

/* ---- messages that leave out what the carrier or the RFC's defaults say */

#define IDS_OPTIONAL "interop: [{peer: \"" LAB_A "\", ids: optional}]\n"

Test(peers, a_message_without_ids_is_served_for_the_peer_that_the_carrier_names)
{
    struct lab lab;
    open_lab(&lab, NULL, IDS_OPTIONAL);
    struct mikey_init init = lab_peer_offer();
    init.idi.len = init.idr.len = 0;
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(respond_from(&lab, NULL, &got), got, MIKEYD_UNSUPPORTED);
    cr_assert_not_null(strstr(got.err.text, "--from"), "%s", got.err.text);
    lab_refused(respond_from(&lab, LAB_C, &got), got, MIKEYD_UNKNOWN_PEER);
    lab_refused(respond_from(&lab, LAB_B, &got), got, MIKEYD_AUTH_FAILED);
    lab_must(respond_from(&lab, LAB_A, &answer), answer);
    cr_assert_eq(answer.key_count, 1);
    /* RFC 3830 5.2: V covers the IDs as transported, so here none. */
    static struct mikey_message r;
    cr_assert_eq(mikey_parse(answer.message.data, answer.message.len, &r, NULL, NULL), MIKEYD_OK);
    cr_assert_eq(r.id_count, 0);
    lab_refused(respond_from(&lab, LAB_A, &got), got, MIKEYD_REPLAY);
    lab_close(&lab);
}

Test(peers, a_message_with_idi_alone_is_served_where_ids_are_optional)
{
    struct lab lab;
    open_lab(&lab, NULL, IDS_OPTIONAL);
    struct mikey_init init = lab_peer_offer();
    init.idr.len = 0;
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(respond_from(&lab, NULL, &answer), answer);
    lab_close(&lab);
}

Test(peers, without_the_relaxation_both_ids_must_be_there)
{
    struct lab lab;
    open_lab(&lab, NULL, "");
    struct mikey_init init = lab_peer_offer();
    init.idi.len = init.idr.len = 0;
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(respond_from(&lab, LAB_A, &got), got, MIKEYD_UNSUPPORTED);
    cr_assert_not_null(strstr(got.err.text, "ids: optional"), "%s", got.err.text);
    lab_close(&lab);
}

Test(peers, a_carrier_that_names_another_initiator_is_refused)
{
    struct lab lab;
    open_lab(&lab, NULL, IDS_OPTIONAL);
    struct mikey_init init = lab_peer_offer();
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(respond_from(&lab, LAB_C, &got), got, MIKEYD_AUTH_FAILED);
    lab_must(respond_from(&lab, LAB_A, &answer), answer);
    lab_close(&lab);
}

/* Our own messages carry both IDs, whatever the peer may leave out. */
Test(peers, our_own_message_sent_back_is_refused_where_ids_are_optional)
{
    struct lab lab;
    open_lab(&lab, NULL, "interop: [{peer: \"" LAB_B "\", ids: optional}]\n");
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    struct exchange_request request = {.operation = EXCHANGE_RESPOND,
                                       .as = LAB_A,
                                       .from = LAB_B,
                                       .message = offer.message.data,
                                       .message_len = offer.message.len};
    lab_refused(lab_serve(lab.a, LAB_UID_A, &request, &got), got, MIKEYD_AUTH_FAILED);
    lab_close(&lab);
}

Test(peers, a_peer_that_sends_uris_as_nais_is_configured_so)
{
    struct lab lab;
    lab_open_policy(
        &lab, LAB_ANY,
        "policy: 1\n"
        "defaults: {provisioning: plaintext-allowed}\n"
        "keys: [{name: legacy, kind: psk}]\n"
        "nodes: [\"nai:sip:old@pbx\", \"" LAB_B "\", \"nai:" LAB_B "\"]\n"
        "pairs: [{initiator: \"nai:sip:old@pbx\", responder: \"nai:" LAB_B "\", key: legacy}]\n"
        "clients: [{name: b, uid: 1002, acts_as: [\"nai:" LAB_B "\"], may: [respond]}]\n");
    struct mikey_init init = lab_peer_offer();
    init.idi = (struct identity){IDENTITY_NAI, 11, (const uint8_t *)"sip:old@pbx"};
    init.idr.type = IDENTITY_NAI;
    lab_seal(&init, lab_psk, 32, &message);
    struct exchange_request request = {.operation = EXCHANGE_RESPOND,
                                       .as = "nai:" LAB_B,
                                       .message = message.data,
                                       .message_len = message.len};
    lab_must(lab_serve(lab.b, LAB_UID_B, &request, &answer), answer);
    cr_assert_eq(lab_audit_count(&lab, "\"from\":\"nai:sip:old@pbx\""), 1);
    lab_close(&lab);
}

/* The payload that ends where KEMAC begins, its one SP, is cut out. */
static void cut_sp(const struct mikey_init *init)
{
    static struct mikey_message m;
    cr_assert_eq(mikey_parse(message.data, message.len, &m, NULL, NULL), MIKEYD_OK);
    const size_t kemac = (size_t)(m.encrypted - m.bytes) - 4;
    const size_t id = (size_t)(m.id[1].data - m.bytes) - 4, sp = id + 4 + m.id[1].len;
    message.data[id] = 1; /* KEMAC follows */
    memmove(message.data + sp, message.data + kemac, message.len - kemac);
    message.len -= kemac - sp;
    lab_remac(&message, init, lab_psk, 32);
}

Test(peers, no_sp_means_the_defaults_of_srtp_where_it_is_optional)
{
    struct lab lab;
    static const char suites[] = "suites: [AES_CM_128_HMAC_SHA1_80]";
    struct mikey_init init = lab_peer_offer();
    open_lab(&lab, suites, "interop: [{peer: \"" LAB_A "\", sp: optional}]\n");
    lab_seal(&init, lab_psk, 32, &message);
    cut_sp(&init);
    lab_must(respond_from(&lab, NULL, &answer), answer);
    cr_assert_eq(answer.keys[0].suite, SRTP_AES_CM_128_HMAC_SHA1_80);
    lab_close(&lab);
    open_lab(&lab, suites, "");
    lab_refused(respond_from(&lab, NULL, &got), got, MIKEYD_UNSUPPORTED);
    cr_assert_not_null(strstr(got.err.text, "sp: optional"), "%s", got.err.text);
    lab_close(&lab);
}

Test(peers, the_default_suite_must_be_allowed_all_the_same)
{
    struct lab lab;
    struct mikey_init init = lab_peer_offer();
    open_lab(&lab, NULL, "interop: [{peer: \"" LAB_A "\", sp: optional}]\n");
    lab_seal(&init, lab_psk, 32, &message);
    cut_sp(&init);
    lab_refused(respond_from(&lab, NULL, &got), got, MIKEYD_POLICY);
    lab_close(&lab);
}

Test(peers, an_open_ssrc_without_a_reply_to_tell_it_is_refused)
{
    struct lab lab;
    open_lab(&lab, "verification: allowed", "");
    struct mikey_init init = lab_peer_offer();
    struct mikey_stream stream = {.ssrc = 0, .suite = SRTP_AEAD_AES_256_GCM};
    init.streams = &stream;
    init.verify = false;
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(respond_from(&lab, NULL, &got), got, MIKEYD_UNSUPPORTED);
    cr_assert_not_null(strstr(got.err.text, "SSRC"), "%s", got.err.text);
    stream.ssrc = 5;
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(respond_from(&lab, NULL, &answer), answer);
    lab_close(&lab);
}

/* ---- keys and their MKIs */

static uint8_t tgks[3][32] = {{1}, {2}, {3}};
static const uint8_t mkis[3][4] = {{1}, {2}, {3}};

static void use_keys(struct mikey_init *init, struct mikey_key_data keys[2], size_t first)
{
    for (size_t i = 0; i < 2; i++)
        keys[i] = (struct mikey_key_data){.type = MIKEY_KEY_TGK,
                                          .kv = MIKEY_KV_SPI,
                                          .key = tgks[first + i],
                                          .key_len = 32,
                                          .spi = mkis[first + i],
                                          .spi_len = 4};
    init->keys = keys;
    init->key_count = 2;
}

Test(peers, several_keys_are_taken_each_with_its_mki)
{
    struct lab lab;
    static struct lab_bytes ticket;
    struct mikey_key_data keys[2];
    struct mikey_stream streams[2] = {{.ssrc = 1, .suite = SRTP_AEAD_AES_256_GCM},
                                      {.ssrc = 2, .suite = SRTP_AEAD_AES_256_GCM}};
    open_lab(&lab, NULL, "");
    struct mikey_init init = lab_peer_offer();
    use_keys(&init, keys, 0);
    init.streams = streams;
    init.stream_count = 2;
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(respond_from(&lab, NULL, &answer), answer);
    cr_assert_eq(answer.key_count, 4);
    for (size_t i = 0; i < 4; i++) {
        struct mikey_session_key expected;
        cr_expect_eq(answer.keys[i].cs, 1 + i / 2);
        cr_expect_eq(answer.keys[i].mki_len, 4);
        cr_expect_eq(memcmp(answer.mki[i], mkis[i % 2], 4), 0);
        cr_assert_eq(mikey_session_key(MIKEY_PRF_HMAC_SHA256, &keys[i % 2], answer.keys[i].cs,
                                       init.csb_id, init.rand, init.rand_len, SRTP_AEAD_AES_256_GCM,
                                       &expected, NULL),
                     MIKEYD_OK);
        cr_expect_eq(memcmp(&answer.keys[i].value, &expected, sizeof expected), 0);
    }
    /* An update without keys keeps them all. */
    ticket = answer.ticket;
    init.update = true;
    init.key_count = 0;
    init.t++;
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(&lab, &message, &ticket, &got), got);
    cr_assert(lab_same_keys(&got, &answer));
    lab_close(&lab);
}

Test(peers, a_new_key_under_the_mki_of_the_old_one_is_refused)
{
    struct lab lab;
    static struct lab_bytes ticket;
    struct mikey_key_data keys[2];
    open_lab(&lab, NULL, "");
    struct mikey_init init = lab_peer_offer();
    use_keys(&init, keys, 0);
    init.key_count = 1;
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(respond_from(&lab, NULL, &answer), answer);
    ticket = answer.ticket;
    init.update = true;
    init.t++;
    lab_seal(&init, lab_psk, 32, &message); /* the same key once more */
    lab_must(lab_respond(&lab, &message, &ticket, &got), got);
    keys[0].key = tgks[2];
    init.t++;
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(lab_respond(&lab, &message, &ticket, &got), got, MIKEYD_UNSUPPORTED);
    cr_assert_not_null(strstr(got.err.text, "MKI"), "%s", got.err.text);
    keys[0].spi = mkis[2];
    init.t++;
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(&lab, &message, &ticket, &got), got);
    lab_close(&lab);
}

static void call_and_update(struct lab *lab, const struct exchange_stream *streams, size_t count)
{
    static struct lab_bytes responder;
    lab_must(lab_initiate(lab, streams, count, true, &offer), offer);
    lab_must(lab_respond(lab, &offer.message, NULL, &answer), answer);
    lab_must(lab_confirm(lab, &offer.ticket, &answer.message, &got), got);
    cr_assert_eq(got.keys[0].mki_len, 0);
    responder = answer.ticket;
    lab_must(lab_update(lab, &got.ticket, NULL, 0, &offer), offer);
    lab_must(lab_respond(lab, &offer.message, &responder, &answer), answer);
    lab_must(lab_confirm(lab, &offer.ticket, &answer.message, &got), got);
    cr_assert(lab_same_keys(&answer, &got));
}

/* RFC 3830 4.5. */
Test(peers, an_update_of_several_streams_carries_an_spi)
{
    struct lab lab;
    open_lab(&lab, NULL, "");
    call_and_update(&lab, two, 2);
    cr_assert_eq(got.keys[0].mki_len, 4);
    cr_assert_eq(memcmp(got.mki[0], got.mki[1], 4), 0);
    call_and_update(&lab, one, 1);
    cr_assert_eq(got.keys[0].mki_len, 0);
    lab_close(&lab);
}

Test(peers, an_update_carries_no_spi_where_the_policy_says_never)
{
    struct lab lab;
    open_lab(&lab, "mki_bytes: 0", "");
    call_and_update(&lab, two, 2);
    cr_assert_eq(got.keys[0].mki_len, 0);
    lab_close(&lab);
}

/* ---- ROC (RFC 3830 6.1.1) */

Test(peers, both_ends_state_the_rocs_of_streams_that_run)
{
    struct lab lab;
    static struct lab_bytes ticket;
    const struct exchange_stream streams[] = {{.ssrc = 0x11223344, .roc = 7}, {.ssrc = 0}};
    const uint32_t ssrc = 0x55667788, roc = 9, later = 10;
    open_lab(&lab, NULL, "");
    lab_must(lab_initiate(&lab, streams, 2, true, &offer), offer);
    lab_must(respond_with(&lab, &ssrc, &roc, 1, NULL, &answer), answer);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    cr_assert(lab_same_keys(&answer, &got));
    cr_assert_eq(got.keys[0].roc, 7);
    cr_assert_eq(got.keys[1].ssrc, ssrc);
    cr_assert_eq(got.keys[1].roc, 9);
    /* An update states the ROC of a stream that runs, and adds none for it. */
    ticket = answer.ticket;
    const struct exchange_stream running[] = {{.ssrc = 0x11223344, .roc = 8}};
    lab_must(lab_update(&lab, &got.ticket, running, 1, &offer), offer);
    const uint32_t theirs = 0x11223344; /* whose ROC the initiator states */
    lab_refused(respond_with(&lab, &theirs, &later, 1, &ticket, &got), got,
                MIKEYD_INVALID_ARGUMENT);
    lab_must(respond_with(&lab, &ssrc, &later, 1, &ticket, &answer), answer);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    cr_assert(lab_same_keys(&answer, &got));
    cr_assert_eq(got.key_count, 2);
    cr_assert_eq(got.keys[0].roc, 8);
    cr_assert_eq(got.keys[1].roc, 10, "what it was at the last message is out of date");
    lab_close(&lab);
}

Test(peers, a_responder_states_the_roc_of_its_own_stream_in_an_update)
{
    struct lab lab;
    static struct lab_bytes ticket;
    const uint32_t ssrc = 0x55667788, roc = 3;
    open_lab(&lab, NULL, "");
    lab_must(lab_initiate(&lab, two, 2, true, &offer), offer);
    lab_must(respond_with(&lab, &ssrc, NULL, 1, NULL, &answer), answer);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    ticket = answer.ticket;
    lab_must(lab_update(&lab, &got.ticket, NULL, 0, &offer), offer);
    lab_refused(respond_with(&lab, &ssrc, NULL, 1, &ticket, &got), got, MIKEYD_INVALID_ARGUMENT);
    lab_must(respond_with(&lab, &ssrc, &roc, 1, &ticket, &answer), answer);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    cr_assert_eq(got.keys[1].roc, 3);
    cr_assert(lab_same_keys(&answer, &got));
    lab_close(&lab);
}

/* ---- error messages (RFC 3830 5.1.2) */

static enum mikeyd_status respond_or_tell(struct lab *lab, const struct lab_bytes *to)
{
    struct exchange_request request = {.operation = EXCHANGE_RESPOND,
                                       .as = LAB_B,
                                       .error_message = true,
                                       .message = to->data,
                                       .message_len = to->len};
    return lab_serve(lab->b, LAB_UID_B, &request, &answer);
}

/* An offer of a suite that B's policy does not allow any more. */
static void offer_old_suite(struct lab *lab, const char *defaults)
{
    struct error err = {0};
    open_lab(lab, NULL, "");
    lab_must(lab_initiate(lab, one, 1, true, &offer), offer);
    cr_assert_eq(
        lab_reload(lab, lab_policy_text(defaults, "  - {name: legacy, kind: psk}", "legacy"), &err),
        MIKEYD_OK, "%s", err.text);
}

#define ONE_SUITE "suites: [AES_256_CM_HMAC_SHA1_80]"

Test(peers, a_refused_peer_is_told_why_when_the_policy_says_so)
{
    struct lab lab;
    struct error err = {0};
    offer_old_suite(&lab, ONE_SUITE ", error_messages: sent");
    cr_assert_eq(respond_or_tell(&lab, &offer.message), MIKEYD_POLICY);
    cr_assert_neq(answer.message.len, 0);
    cr_assert_eq(answer.key_count, 0);
    cr_assert_eq(answer.ticket.len, 0);
    /* The initiator, under the policy that it began with. */
    cr_assert_eq(
        lab_reload(&lab, lab_policy_text(NULL, "  - {name: legacy, kind: psk}", "legacy"), &err),
        MIKEYD_OK);
    lab_refused(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got, MIKEYD_UNSUPPORTED);
    cr_assert_not_null(strstr(got.err.text, "(authentic): 10"), "%s", got.err.text);
    cr_assert_not_null(strstr(got.err.text, "would take AES_256_CM_HMAC_SHA1_80"), "%s",
                       got.err.text);
    /* Changed on the way, it proves nothing. */
    answer.message.data[answer.message.len - 1] ^= 1;
    lab_refused(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got, MIKEYD_AUTH_FAILED);
    lab_close(&lab);
}

Test(peers, nothing_is_told_unless_policy_and_client_want_it)
{
    struct lab lab;
    offer_old_suite(&lab, ONE_SUITE);
    lab_refused(respond_or_tell(&lab, &offer.message), answer, MIKEYD_POLICY);
    lab_close(&lab);
    offer_old_suite(&lab, ONE_SUITE ", error_messages: sent");
    lab_refused(lab_respond(&lab, &offer.message, NULL, &got), got, MIKEYD_POLICY);
    lab_close(&lab);
}

Test(peers, a_forged_message_gets_no_mac_and_a_replayed_one_no_answer)
{
    struct lab lab;
    static struct mikey_message m;
    open_lab(&lab, "error_messages: sent", "");
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    message = offer.message;
    message.data[message.len - 1] ^= 1;
    cr_assert_eq(respond_or_tell(&lab, &message), MIKEYD_AUTH_FAILED);
    cr_assert_eq(mikey_parse(answer.message.data, answer.message.len, &m, NULL, NULL), MIKEYD_OK);
    cr_assert_eq(m.type, MIKEY_TYPE_ERROR);
    cr_assert_not(m.has_v);
    cr_assert_eq(m.error[0], 0);
    lab_refused(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got, MIKEYD_AUTH_FAILED);
    cr_assert_not_null(strstr(got.err.text, "not proven"), "%s", got.err.text);
    lab_must(lab_respond(&lab, &offer.message, NULL, &got), got);
    lab_refused(respond_or_tell(&lab, &offer.message), answer, MIKEYD_REPLAY);
    lab_close(&lab);
}

/* ---- forged messages */

static unsigned random_numbers;

/* Stands before OpenSSL's in this program. */
int RAND_bytes(unsigned char *out, int len)
{
    int (*real)(unsigned char *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "RAND_bytes");
    random_numbers++;
    return real(out, len);
}

Test(peers, nothing_is_chosen_one_by_one_for_a_forged_message)
{
    struct lab lab;
    static struct exchange_stream open[255];
    open_lab(&lab, NULL, "");
    lab_must(lab_initiate(&lab, open, 255, true, &offer), offer);
    message = offer.message;
    message.data[message.len - 1] ^= 1;
    random_numbers = 0;
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_AUTH_FAILED);
    cr_assert_leq(random_numbers, 1);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    for (size_t i = 0; i < 255; i++) {
        for (size_t j = 0; j < i; j++)
            cr_assert_neq(answer.keys[i].ssrc, answer.keys[j].ssrc);
    }
    lab_close(&lab);
}

/* ---- the client's own name for a call */

Test(peers, the_reference_is_in_the_records_of_the_whole_call)
{
    struct lab lab;
    open_lab(&lab, NULL, "");
    struct exchange_request request = {.operation = EXCHANGE_INITIATE,
                                       .from = LAB_A,
                                       .to = LAB_B,
                                       .reference = "a84b4c76e66710@pc33",
                                       .streams = one,
                                       .stream_count = 1,
                                       .verify = true};
    lab_must(lab_serve(lab.a, LAB_UID_A, &request, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    lab_must(lab_update(&lab, &got.ticket, NULL, 0, &offer), offer);
    cr_assert_eq(lab_audit_count(&lab, "\"reference\":\"a84b4c76e66710@pc33\""), 3);
    static char longest[200];
    memset(longest, 'r', sizeof longest - 1);
    request.reference = longest;
    lab_refused(lab_serve(lab.a, LAB_UID_A, &request, &got), got, MIKEYD_INVALID_ARGUMENT);
    lab_close(&lab);
}
