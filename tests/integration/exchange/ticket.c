/* Tickets: whose they are, what they serve, how long, and how often. */
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "lab.h"

TestSuite(ticket, .timeout = 60);

static const struct exchange_stream one[] = {{.ssrc = 0x11223344}};
static struct lab_result offer, answer, got;

static void offer_and_answer(struct lab *lab)
{
    lab_must(lab_initiate(lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(lab, &offer.message, NULL, &answer), answer);
}

Test(ticket, confirms_once)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    offer_and_answer(&lab);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    lab_refused(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got, MIKEYD_REPLAY);
    lab_close(&lab);
}

Test(ticket, outlives_the_process)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    offer_and_answer(&lab);
    lab_restart(&lab);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    cr_assert(lab_same_keys(&answer, &got));
    lab_close(&lab);
}

Test(ticket, of_another_client_is_refused)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    offer_and_answer(&lab);
    struct exchange_request request = {.operation = EXCHANGE_CONFIRM,
                                       .ticket = offer.ticket.data,
                                       .ticket_len = offer.ticket.len,
                                       .message = answer.message.data,
                                       .message_len = answer.message.len};
    lab_refused(lab_serve(lab.b, LAB_UID_B, &request, &got), got, MIKEYD_TICKET_INVALID);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    lab_close(&lab);
}

Test(ticket, of_another_exchange_does_not_fit_the_reply)
{
    struct lab lab;
    static struct lab_result other;
    lab_open(&lab, LAB_ANY, NULL);
    offer_and_answer(&lab);
    lab_must(lab_initiate(&lab, one, 1, true, &other), other);
    cr_assert_neq(lab_confirm(&lab, &other.ticket, &answer.message, &got), MIKEYD_OK);
    cr_assert(lab_is_empty(&got));
    lab_close(&lab);
}

Test(ticket, expires)
{
    struct lab lab;
    struct error err = {0};
    lab_open_token(&lab, LAB_ANY);
    lab.config.ticket_s = 1;
    cr_assert_eq(lab_start_service(
                     &lab, lab_policy_text(NULL, "  - {name: legacy, kind: psk}", "legacy"), &err),
                 MIKEYD_OK, "%s", err.text);
    lab_start_workers(&lab);
    offer_and_answer(&lab);
    sleep(2);
    lab_refused(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got,
                MIKEYD_TICKET_EXPIRED);
    lab_close(&lab);
}

Test(ticket, cannot_be_made_to_live_longer)
{
    struct lab lab;
    static struct lab_bytes ticket;
    lab_open(&lab, LAB_ANY, NULL);
    offer_and_answer(&lab);
    ticket = offer.ticket;
    ticket.data[18] ^= 1; /* of the expiry in the header */
    lab_refused(lab_confirm(&lab, &ticket, &answer.message, &got), got, MIKEYD_TICKET_INVALID);
    lab_close(&lab);
}

Test(ticket, no_flipped_bit_passes)
{
    struct lab lab;
    static struct lab_bytes ticket;
    lab_open(&lab, LAB_ANY, NULL);
    offer_and_answer(&lab);
    for (size_t bit = 0; bit < 8 * offer.ticket.len; bit++) {
        ticket = offer.ticket;
        ticket.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum mikeyd_status status = lab_confirm(&lab, &ticket, &answer.message, &got);
        cr_assert(status == MIKEYD_TICKET_INVALID || status == MIKEYD_TICKET_EXPIRED, "bit %zu: %s",
                  bit, status_name(status));
        cr_assert(lab_is_empty(&got));
    }
    for (ticket = offer.ticket, ticket.len = 0; ticket.len < offer.ticket.len; ticket.len++)
        cr_assert_eq(lab_confirm(&lab, &ticket, &answer.message, &got), MIKEYD_TICKET_INVALID);
    lab_close(&lab);
}

Test(ticket, serves_only_its_own_step)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    offer_and_answer(&lab);
    lab_refused(lab_update(&lab, &offer.ticket, NULL, 0, &got), got, MIKEYD_TICKET_INVALID);
    static struct lab_result confirmed;
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &confirmed), confirmed);
    lab_refused(lab_confirm(&lab, &confirmed.ticket, &answer.message, &got), got,
                MIKEYD_TICKET_INVALID);
    lab_close(&lab);
}

Test(ticket, without_a_ticket_key_there_is_no_service)
{
    struct lab lab;
    struct error err = {0};
    lab_open_token(&lab, LAB_ANY);
    lab_destroy(&lab, TOKEN_TICKET, "tickets", 1);
    cr_assert_eq(lab_start_service(
                     &lab, lab_policy_text(NULL, "  - {name: legacy, kind: psk}", "legacy"), &err),
                 MIKEYD_TOKEN_DOWN);
    cr_assert_not_null(strstr(err.text, "mikeyctl key generate"), "%s", err.text);
    lab_close(&lab);
}

Test(ticket, made_before_a_rotation_of_the_ticket_key_is_still_good)
{
    struct lab lab;
    struct error err = {0};
    const char *policy = lab_policy_text(NULL, "  - {name: legacy, kind: psk}", "legacy");
    lab_open_policy(&lab, LAB_ANY, policy);
    offer_and_answer(&lab);
    lab_import(&lab, TOKEN_TICKET, "tickets", 2, lab_psk_2, 32);
    cr_assert_eq(lab_reload(&lab, policy, &err), MIKEYD_OK, "%s", err.text);
    static struct lab_result fresh;
    lab_must(lab_initiate(&lab, one, 1, true, &fresh), fresh);
    cr_assert_eq(fresh.ticket.data[7], 2, "sealed under the new generation");
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    lab_close(&lab);
}
