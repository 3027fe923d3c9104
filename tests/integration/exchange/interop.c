/* Relaxations for one peer: how V is formed (libmikey covers T alone). */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "base/secret.h"
#include "lab.h"

TestSuite(interop, .timeout = 60);

static const struct exchange_stream one[] = {{.ssrc = 0x11223344}};
static struct lab_result offer, answer, got;
static struct lab_bytes message;

/* The usual policy, in which the peers named expect V over T alone. */
static void open_lab(struct lab *lab, const char *interop)
{
    static char text[8192];
    (void)snprintf(text, sizeof text, "%sinterop:\n%s",
                   lab_policy_text(NULL, "  - {name: legacy, kind: psk}", "legacy"), interop);
    lab_open_policy(lab, LAB_ANY, text);
}

#define T_ONLY(peer) "  - {peer: \"" peer "\", v_covers_ids: false}\n"

/* What a peer that has the PSK says to the reply, on the host. */
static enum mikeyd_status verify(const struct mikey_init *init, bool t_only)
{
    static struct mikey_message r;
    struct mikey_psk key;
    struct error err = {0};
    cr_assert_eq(mikey_parse(answer.message.data, answer.message.len, &r, NULL, &err), MIKEYD_OK);
    cr_assert_eq(mikey_host_psk(lab_psk, 32, &key, &err), MIKEYD_OK);
    struct mikey_message_keys *keys = secret_alloc(sizeof *keys);
    struct mikey_expected_reply expected = {.algorithms = init->algorithms,
                                            .csb_id = init->csb_id,
                                            .t = r.t,
                                            .rand = init->rand,
                                            .rand_len = init->rand_len,
                                            .idi = init->idi,
                                            .idr = init->idr,
                                            .streams = init->streams,
                                            .stream_count = init->stream_count,
                                            .rules = {.v_covers_t_only = t_only}};
    struct mikey_psk_port port = {.psk = key, .keys = keys};
    const struct mikey_key holder = {.ops = &mikey_key_by_psk, .port = &port};
    enum mikeyd_status status = mikey_verify_reply(&r, &expected, &holder, &err);
    secret_release(keys, sizeof *keys);
    mikey_host_psk_clear(&key);
    return status;
}

static void answer_to_peer(struct lab *lab, bool t_only)
{
    const struct mikey_init init = lab_peer_offer();
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(lab, &message, NULL, &answer), answer);
    cr_expect_eq(verify(&init, t_only), MIKEYD_OK);
    cr_expect_eq(verify(&init, !t_only), MIKEYD_AUTH_FAILED);
}

Test(interop, v_covers_the_identities_for_everybody_else)
{
    struct lab lab;
    open_lab(&lab, T_ONLY(LAB_B)); /* that is the answering end itself */
    answer_to_peer(&lab, false);
    lab_close(&lab);
}

Test(interop, v_covers_t_alone_for_a_peer_known_to_want_that)
{
    struct lab lab;
    open_lab(&lab, T_ONLY(LAB_A));
    answer_to_peer(&lab, true);
    lab_close(&lab);
}

Test(interop, both_ends_can_have_it_so)
{
    struct lab lab;
    open_lab(&lab, T_ONLY(LAB_A) T_ONLY(LAB_B));
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    cr_assert(lab_same_keys(&answer, &got));
    lab_close(&lab);
}

Test(interop, one_end_alone_is_refused_by_the_other)
{
    struct lab lab;
    open_lab(&lab, T_ONLY(LAB_A));
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    lab_refused(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got, MIKEYD_AUTH_FAILED);
    lab_close(&lab);
}
