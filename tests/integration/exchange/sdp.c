/* Bidding down (RFC 4567 4.1.4): what SDP offers is held against what the initiator signed. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "lab.h"

TestSuite(sdp, .timeout = 60);

static const struct exchange_stream one[] = {{.ssrc = 0x11223344}};
static struct lab_result offer, answer, got;
static struct lab_bytes message;

static enum mikeyd_status initiate(struct lab *lab, enum policy_method method, bool sdp,
                                   const char *protocols)
{
    struct exchange_request request = {.operation = EXCHANGE_INITIATE,
                                       .from = LAB_A,
                                       .to = LAB_B,
                                       .streams = one,
                                       .stream_count = 1,
                                       .method = method,
                                       .verify = true,
                                       .sdp = sdp,
                                       .protocols = protocols};
    return lab_serve(lab->a, LAB_UID_A, &request, &offer);
}

static enum mikeyd_status respond(struct lab *lab, const struct lab_bytes *to, bool sdp,
                                  const char *protocols, struct lab_result *out)
{
    struct exchange_request request = {.operation = EXCHANGE_RESPOND,
                                       .as = LAB_B,
                                       .message = to->data,
                                       .message_len = to->len,
                                       .sdp = sdp,
                                       .protocols = protocols};
    return lab_serve(lab->b, LAB_UID_B, &request, out);
}

/* An offer of these protocols that arrives as one of those. */
static void meets(struct lab *lab, const char *offered, const char *arrives,
                  enum mikeyd_status expected)
{
    static const enum policy_method methods[] = {POLICY_METHOD_PSK, POLICY_METHOD_DHHMAC,
                                                 POLICY_METHOD_PSK_DHE};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        lab_must(initiate(lab, methods[i], true, offered), offer);
        if (expected == MIKEYD_OK) {
            lab_must(respond(lab, &offer.message, true, arrives, &answer), answer);
            lab_must(lab_confirm(lab, &offer.ticket, &answer.message, &got), got);
            cr_assert(lab_same_keys(&answer, &got));
        } else {
            lab_refused(respond(lab, &offer.message, true, arrives, &got), got, expected);
            cr_assert_not_null(strstr(got.err.text, "4.1.4"), "%s", got.err.text);
        }
    }
}

Test(sdp, the_list_that_arrives_must_be_the_list_that_was_signed)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    meets(&lab, NULL, NULL, MIKEYD_OK);
    meets(&lab, NULL, "mikey", MIKEYD_OK);
    meets(&lab, "mikey;keyp1;keyp2", "mikey;keyp1;keyp2", MIKEYD_OK);
    /* Peeled off, added, in another order, in other letters. */
    meets(&lab, "mikey;keyp1;keyp2", "mikey", MIKEYD_POLICY);
    meets(&lab, "mikey;keyp1;keyp2", NULL, MIKEYD_POLICY);
    meets(&lab, "mikey;keyp1;keyp2", "mikey;keyp1", MIKEYD_POLICY);
    meets(&lab, "mikey;keyp1", "keyp1;mikey", MIKEYD_POLICY);
    meets(&lab, "mikey;keyp1", "mikey;KEYP1", MIKEYD_POLICY);
    meets(&lab, "mikey", "mikey;keyp1", MIKEYD_POLICY);
    lab_close(&lab);
}

Test(sdp, a_list_is_made_of_protocols_and_belongs_to_sdp)
{
    struct lab lab;
    static const char *const bad[] = {"keyp1", "mikey;", "mikey;;keyp1", "mikey;mikey",
                                      "mikey key"};
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(initiate(&lab, POLICY_METHOD_PSK, true, NULL), offer);
    message = offer.message;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lab_refused(initiate(&lab, POLICY_METHOD_PSK, true, bad[i]), offer,
                    MIKEYD_INVALID_ARGUMENT);
        lab_refused(respond(&lab, &message, true, bad[i], &got), got, MIKEYD_INVALID_ARGUMENT);
    }
    lab_refused(initiate(&lab, POLICY_METHOD_PSK, false, "mikey"), offer, MIKEYD_INVALID_ARGUMENT);
    lab_refused(respond(&lab, &message, false, "mikey", &got), got, MIKEYD_INVALID_ARGUMENT);
    lab_must(respond(&lab, &message, true, NULL, &answer), answer);
    lab_close(&lab);
}

/* A peer of another make signs no list. Of MIKEY alone there is nothing to peel off. */
Test(sdp, a_peer_that_may_leave_the_list_out_is_believed_about_mikey_alone)
{
    struct lab lab;
    static char text[8192];
    (void)snprintf(text, sizeof text, "%sinterop: [{peer: \"" LAB_A "\", sdp_ids: optional}]\n",
                   lab_policy_text(NULL, "  - {name: legacy, kind: psk}", "legacy"));
    lab_open_policy(&lab, LAB_ANY, text);
    lab_must(initiate(&lab, POLICY_METHOD_PSK, false, NULL), offer);
    lab_refused(respond(&lab, &offer.message, true, "mikey;keyp1", &got), got, MIKEYD_POLICY);
    lab_must(initiate(&lab, POLICY_METHOD_PSK, false, NULL), offer);
    lab_must(respond(&lab, &offer.message, true, NULL, &got), got);
    /* What it does sign must agree all the same. */
    lab_must(initiate(&lab, POLICY_METHOD_PSK, true, "mikey;keyp1"), offer);
    lab_refused(respond(&lab, &offer.message, true, NULL, &got), got, MIKEYD_POLICY);
    lab_close(&lab);
}
