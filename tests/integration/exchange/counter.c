/* COUNTER timestamps of peers without a clock (RFC 3830 6.6): each value once, upwards, for good.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "importer/importer.h"
#include "lab.h"

TestSuite(counter, .timeout = 60);

/* Where the T payload begins: after the header with its one SRTP-ID entry. */
#define T_AT (10 + 9)

static struct lab_result got;
static struct lab_bytes message;

/* T of 64 bits becomes a COUNTER of 32. The IV stays as it was: a COUNTER enters it with leading
 * zeros. */
static void make_counter(struct lab_bytes *m)
{
    m->data[T_AT + 1] = MIKEY_TS_COUNTER;
    memmove(m->data + T_AT + 2, m->data + T_AT + 6, m->len - T_AT - 6);
    m->len -= 4;
}

/* The peer's offer with that COUNTER. key: of the policy's generation. */
static void seal_counter(struct mikey_init *init, uint32_t value, const uint8_t *key)
{
    init->t = value;
    lab_seal(init, key, 32, &message);
    make_counter(&message);
    lab_remac(&message, init, key, 32);
}

/* The usual policy, in which both peers have no clock. key: a line of `keys`. */
static const char *policy_text(const char *key)
{
    static char text[8192];
    (void)snprintf(text, sizeof text,
                   "%sinterop:\n"
                   "  - {peer: \"" LAB_A "\", counter_timestamps: allowed}\n"
                   "  - {peer: \"" LAB_B "\", counter_timestamps: allowed}\n",
                   lab_policy_text(NULL, key, "legacy"));
    return text;
}

static void open_counters(struct lab *lab)
{
    lab_open_policy(lab, LAB_ANY, policy_text("  - {name: legacy, kind: psk}"));
}

static enum mikeyd_status send_counter(struct lab *lab, uint32_t value)
{
    struct mikey_init init = lab_peer_offer();
    seal_counter(&init, value, lab_psk);
    return lab_respond(lab, &message, NULL, &got);
}

Test(counter, is_accepted_while_it_rises)
{
    struct lab lab;
    static struct mikey_message reply;
    open_counters(&lab);
    lab_must(send_counter(&lab, 5), got);
    cr_assert_eq(got.key_count, 1);
    cr_assert_eq(mikey_parse(got.message.data, got.message.len, &reply, NULL, NULL), MIKEYD_OK);
    cr_assert_eq(reply.t.type, MIKEY_TS_COUNTER);
    cr_assert_eq(reply.t.value, 5);
    lab_must(send_counter(&lab, 6), got);
    lab_must(send_counter(&lab, 4000000000u), got);
    lab_must(send_counter(&lab, UINT32_MAX), got);
    lab_refused(send_counter(&lab, 0), got, MIKEYD_REPLAY);
    lab_close(&lab);
}

/* Between a clock and a COUNTER there is no order. */
Test(counter, a_bundle_of_one_is_updated_by_its_sender_alone)
{
    struct lab lab;
    static struct lab_result answered, update;
    open_counters(&lab);
    struct mikey_init init = lab_peer_offer();
    seal_counter(&init, 5, lab_psk);
    lab_must(lab_respond(&lab, &message, NULL, &answered), answered);
    struct exchange_request request = {.operation = EXCHANGE_UPDATE,
                                       .ticket = answered.ticket.data,
                                       .ticket_len = answered.ticket.len,
                                       .verify = true};
    lab_refused(lab_serve(lab.b, LAB_UID_B, &request, &update), update, MIKEYD_UNSUPPORTED);
    cr_assert_not_null(strstr(update.err.text, "COUNTER"), "%s", update.err.text);
    init.update = true;
    seal_counter(&init, 6, lab_psk);
    lab_must(lab_respond(&lab, &message, &answered.ticket, &got), got);
    lab_close(&lab);
}

Test(counter, decrypts_to_the_keys_of_its_sender)
{
    struct lab lab;
    struct mikey_session_key expected;
    open_counters(&lab);
    const struct mikey_init init = lab_peer_offer();
    lab_must(send_counter(&lab, 77), got);
    cr_assert_eq(mikey_session_key(MIKEY_PRF_HMAC_SHA256, init.keys, 1, init.csb_id, init.rand,
                                   init.rand_len, init.streams[0].suite, &expected, NULL),
                 MIKEYD_OK);
    cr_assert_eq(memcmp(&got.keys[0].value, &expected, sizeof expected), 0);
    lab_close(&lab);
}

Test(counter, that_does_not_rise_is_refused_whatever_the_message_says)
{
    struct lab lab;
    open_counters(&lab);
    lab_must(send_counter(&lab, 50), got);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_REPLAY);
    struct mikey_init init = lab_peer_offer();
    init.csb_id++;
    seal_counter(&init, 50, lab_psk);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_REPLAY);
    seal_counter(&init, 49, lab_psk);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_REPLAY);
    seal_counter(&init, 51, lab_psk);
    lab_must(lab_respond(&lab, &message, NULL, &got), got);
    lab_close(&lab);
}

Test(counter, of_a_forged_message_counts_for_nothing)
{
    struct lab lab;
    open_counters(&lab);
    struct mikey_init init = lab_peer_offer();
    seal_counter(&init, 1000, lab_psk);
    message.data[message.len - 1] ^= 1;
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_AUTH_FAILED);
    lab_must(send_counter(&lab, 7), got);
    lab_close(&lab);
}

Test(counter, is_refused_from_a_peer_that_is_not_known_to_have_no_clock)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    lab_refused(send_counter(&lab, 5), got, MIKEYD_UNSUPPORTED);
    cr_expect_not_null(strstr(got.err.text, "counter_timestamps: allowed"), "%s", got.err.text);
    cr_assert_eq(lab_reload(&lab, policy_text("  - {name: legacy, kind: psk}"), &got.err),
                 MIKEYD_OK, "%s", got.err.text);
    lab_must(send_counter(&lab, 5), got);
    lab_close(&lab);
}

/* The key of that pair, as the importer has it for the EPSK of the test. */
static void seal_imported(struct mikey_init *init, uint32_t value)
{
    uint8_t epsk[32], epskx[32], key[32];
    struct importer_pair pair;
    memset(epsk, 0x5a, sizeof epsk);
    cr_assert_eq(importer_extract(IMPORTER_SHA256, epsk, 32, epskx, NULL), MIKEYD_OK);
    cr_assert_eq(
        importer_pair("core", 1, &init->idi, &init->idr, MIKEY_ALGORITHMS_256, &pair, NULL),
        MIKEYD_OK);
    cr_assert_eq(
        importer_expand(IMPORTER_SHA256, epskx, pair.info, pair.info_len, key, sizeof key, NULL),
        MIKEYD_OK);
    seal_counter(init, value, key);
}

/* Keys of pairs differ though their EPSK is one, and a peer may count for each of them. */
Test(counter, to_another_responder_is_another_one_under_an_imported_key)
{
    struct lab lab;
    uint8_t store[IDENTITY_MAX];
    struct mikey_init init = lab_peer_offer();
    struct exchange_request request = {
        .operation = EXCHANGE_RESPOND, .as = LAB_C, .message = message.data};
    lab_open_policy(&lab, LAB_DERIVES,
                    "policy: 1\n"
                    "defaults: {provisioning: plaintext-allowed}\n"
                    "keys: [{name: core, kind: epsk}]\n"
                    "nodes: [\"" LAB_A "\", \"" LAB_B "\", \"" LAB_C "\"]\n"
                    "mesh: [{nodes: [\"" LAB_A "\", \"" LAB_B "\", \"" LAB_C "\"], key: core}]\n"
                    "clients:\n"
                    "  - {name: sbc-b, uid: 1002, acts_as: [\"" LAB_B "\"], may: [respond]}\n"
                    "  - {name: sbc-c, uid: 1003, acts_as: [\"" LAB_C "\"], may: [respond]}\n"
                    "interop: [{peer: \"" LAB_A "\", counter_timestamps: allowed}]\n");
    seal_imported(&init, 100);
    lab_must(lab_respond(&lab, &message, NULL, &got), got);
    cr_assert_eq(identity_parse(LAB_C, store, &init.idr, NULL), MIKEYD_OK);
    seal_imported(&init, 7);
    request.message_len = message.len;
    lab_must(lab_serve(lab.a, 1003, &request, &got), got);
    seal_imported(&init, 6);
    request.message_len = message.len;
    lab_refused(lab_serve(lab.a, 1003, &request, &got), got, MIKEYD_REPLAY);
    lab_close(&lab);
}

Test(counter, of_another_initiator_is_another_one)
{
    struct lab lab;
    open_counters(&lab);
    lab_must(send_counter(&lab, 100), got);
    struct mikey_init init = lab_peer_offer();
    const struct identity a = init.idi;
    init.idi = init.idr;
    init.idr = a;
    seal_counter(&init, 1, lab_psk);
    struct exchange_request request = {.operation = EXCHANGE_RESPOND,
                                       .as = LAB_A,
                                       .message = message.data,
                                       .message_len = message.len};
    lab_must(lab_serve(lab.a, LAB_UID_A, &request, &got), got);
    lab_close(&lab);
}

Test(counter, begins_anew_with_a_new_generation_of_the_key)
{
    struct lab lab;
    struct error err = {0};
    open_counters(&lab);
    lab_must(send_counter(&lab, 100), got);
    cr_assert_eq(
        lab_reload(&lab, policy_text("  - {name: legacy, kind: psk, generation: 2}"), &err),
        MIKEYD_OK, "%s", err.text);
    struct mikey_init init = lab_peer_offer();
    seal_counter(&init, 3, lab_psk_2);
    lab_must(lab_respond(&lab, &message, NULL, &got), got);
    seal_counter(&init, 101, lab_psk);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_AUTH_FAILED);
    lab_close(&lab);
}

Test(counter, updates_a_bundle_that_began_with_one)
{
    struct lab lab;
    static struct lab_bytes ticket;
    open_counters(&lab);
    lab_must(send_counter(&lab, 10), got);
    ticket = got.ticket;
    struct mikey_init init = lab_peer_offer();
    init.update = true;
    seal_counter(&init, 10, lab_psk);
    lab_refused(lab_respond(&lab, &message, &ticket, &got), got, MIKEYD_REPLAY);
    seal_counter(&init, 11, lab_psk);
    lab_must(lab_respond(&lab, &message, &ticket, &got), got);
    lab_close(&lab);
}

/* T of the two kinds have no common order, and nothing else separates their key streams. */
Test(counter, and_clock_do_not_mix_in_a_bundle)
{
    struct lab lab;
    static struct lab_bytes ticket;
    open_counters(&lab);
    lab_must(send_counter(&lab, 10), got);
    ticket = got.ticket;
    struct mikey_init init = lab_peer_offer();
    init.update = true;
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(lab_respond(&lab, &message, &ticket, &got), got, MIKEYD_UNSUPPORTED);
    cr_assert_not_null(strstr(got.err.text, "COUNTER"), "%s", got.err.text);
    init = lab_peer_offer();
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(&lab, &message, NULL, &got), got);
    ticket = got.ticket;
    init.update = true;
    seal_counter(&init, UINT32_MAX, lab_psk);
    lab_refused(lab_respond(&lab, &message, &ticket, &got), got, MIKEYD_UNSUPPORTED);
    lab_close(&lab);
}

/* Closes the store, lets `damage` happen to its directory, and goes on with it. */
static void reopen_store(struct lab *lab, unsigned window_s, const char *damage)
{
    char command[256], path[128];
    struct error err = {0};
    lab_stop_service(lab);
    store_close(lab->store);
    (void)snprintf(path, sizeof path, "%s/replay", lab->dir);
    (void)snprintf(command, sizeof command, "cd %s && %s", path, damage);
    cr_assert_eq(system(command), 0);
    cr_assert_eq(lmdb_store_open(path, window_s, NULL, &lab->store, &err), MIKEYD_OK, "%s",
                 err.text);
    lab->config.store = lab->store;
    cr_assert_eq(exchange_service_open(&lab->config, lab->policy, &lab->service, &err), MIKEYD_OK,
                 "%s", err.text);
    lab_start_workers(lab);
}

Test(counter, is_refused_after_a_restart_as_before)
{
    struct lab lab;
    open_counters(&lab);
    lab_must(send_counter(&lab, 100), got);
    reopen_store(&lab, 120, "true");
    lab_refused(send_counter(&lab, 100), got, MIKEYD_REPLAY);
    lab_must(send_counter(&lab, 101), got);
    lab_close(&lab);
}

Test(counter, is_refused_for_good_once_track_was_lost)
{
    struct lab lab;
    static const struct exchange_stream one[] = {{.ssrc = 1}};
    static struct lab_result offer;
    open_counters(&lab);
    lab_must(send_counter(&lab, 100), got);
    reopen_store(&lab, 1, "rm data.mdb");
    sleep(2);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &got), got);
    lab_refused(send_counter(&lab, 101), got, MIKEYD_STORE_DOWN);
    cr_assert_not_null(strstr(got.err.text, "counters-lost"), "%s", got.err.text);
    reopen_store(&lab, 1, "rm counters-lost");
    lab_must(send_counter(&lab, 101), got);
    lab_close(&lab);
}
