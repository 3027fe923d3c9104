/* Clocks that stand wrong, step back or forth, and clock skews that change under a running service
 * (the clocks are moved with --wrap). */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "base/clock.h"
#include "lab.h"
#include "store/store_clock.h"

TestSuite(clock, .timeout = 120);

#define LEGACY "  - {name: legacy, kind: psk}"

static const struct exchange_stream one[] = {{.ssrc = 0x11223344}};
static struct lab_result offer, answer, got;
static struct lab_bytes message;
static struct error err;

static int64_t wall_offset_ms, boottime_offset_ms;

int64_t __real_clock_unix_ms(void);
int64_t __real_store_clock_boottime_ms(void);
int64_t __wrap_clock_unix_ms(void);
int64_t __wrap_clock_unix_now(void);
uint64_t __wrap_clock_ntp_now(void);
int64_t __wrap_store_clock_boottime_ms(void);

int64_t __wrap_clock_unix_ms(void)
{
    return __real_clock_unix_ms() + wall_offset_ms;
}

int64_t __wrap_clock_unix_now(void)
{
    return __wrap_clock_unix_ms() / 1000;
}

uint64_t __wrap_clock_ntp_now(void)
{
    const int64_t now = __wrap_clock_unix_ms();
    return clock_ntp_of_unix(now / 1000, (uint32_t)(now % 1000) * 1000000);
}

int64_t __wrap_store_clock_boottime_ms(void)
{
    return __real_store_clock_boottime_ms() + boottime_offset_ms;
}

static void step_clock(int64_t seconds)
{
    wall_offset_ms += seconds * 1000;
}

static void pass_time(int64_t seconds)
{
    step_clock(seconds);
    boottime_offset_ms += seconds * 1000;
}

static void set_skew(struct lab *lab, const char *skew)
{
    cr_assert_eq(lab_reload(lab, lab_policy_text(skew, LEGACY, "legacy"), &err), MIKEYD_OK, "%s",
                 err.text);
}

static void restart_with_skew(struct lab *lab, const char *skew)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/replay", lab->dir);
    lab_stop_service(lab);
    store_close(lab->store);
    cr_assert_eq(lmdb_store_open(path, 300, NULL, &lab->store, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(lab_start_service(lab, lab_policy_text(skew, LEGACY, "legacy"), &err), MIKEYD_OK,
                 "%s", err.text);
    lab_start_workers(lab);
}

/* A message whose T lies as far ahead as the skew allows. */
static void accept_with_t_ahead(struct lab *lab, unsigned seconds)
{
    struct mikey_init init = lab_peer_offer();
    init.t = clock_ntp_now() + ((uint64_t)seconds << 32);
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(lab, &message, NULL, &got), got);
}

static void discard_what_expired(struct lab *lab)
{
    struct store_stats before, after;
    store_get_stats(lab->store, &before);
    for (int i = 0; i < 130; i++)
        lab_must(lab_initiate(lab, one, 1, true, &offer), offer);
    store_get_stats(lab->store, &after);
    cr_assert_gt(after.expired, before.expired, "nothing was discarded");
}

static void expect_refused(struct lab *lab, const struct lab_bytes *old)
{
    cr_expect_neq(lab_respond(lab, old, NULL, &got), MIKEYD_OK, "answered again");
    cr_expect(lab_is_empty(&got));
}

Test(clock, a_message_is_answered_once_across_skews_wide_narrow_and_wider)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, "clock_skew: 149s");
    accept_with_t_ahead(&lab, 148);
    set_skew(&lab, "clock_skew: 1s");
    set_skew(&lab, "clock_skew: 3600s");
    pass_time(313);
    discard_what_expired(&lab);
    expect_refused(&lab, &message);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    lab_close(&lab);
}

Test(clock, a_message_is_answered_once_across_a_restart_with_a_narrower_skew)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, "clock_skew: 149s");
    accept_with_t_ahead(&lab, 148);
    restart_with_skew(&lab, "clock_skew: 1s");
    set_skew(&lab, "clock_skew: 3600s");
    pass_time(313);
    discard_what_expired(&lab);
    expect_refused(&lab, &message);
    restart_with_skew(&lab, "clock_skew: 3600s");
    expect_refused(&lab, &message);
    lab_close(&lab);
}

Test(clock, a_wider_skew_takes_late_messages_that_were_never_answered)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, "clock_skew: 1s");
    struct mikey_init init = lab_peer_offer();
    init.t -= (uint64_t)3 << 32;
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_CLOCK_SKEW);
    set_skew(&lab, "clock_skew: 60s");
    lab_must(lab_respond(&lab, &message, NULL, &got), got);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_REPLAY);
    lab_close(&lab);
}

Test(clock, one_that_was_wrong_once_stops_no_initiate)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    step_clock(3600);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    step_clock(-3600);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    lab_close(&lab);
}

/* It ran ahead for hours: the time that it is now was used before. */
Test(clock, one_that_was_wrong_for_long_stops_no_initiate)
{
    struct lab lab;
    static struct lab_bytes early;
    lab_open(&lab, LAB_ANY, NULL);
    for (int hour = 0; hour < 5; hour++) {
        lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
        lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
        early = offer.message;
        pass_time(3600);
    }
    step_clock(-3600);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    expect_refused(&lab, &early);
    lab_close(&lab);
}

Test(clock, an_update_after_a_step_back_is_later_than_its_bundle_or_refused)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    static struct lab_bytes responder, initiator;
    responder = answer.ticket;
    initiator = got.ticket;
    step_clock(-30);
    lab_refused(lab_update(&lab, &initiator, NULL, 0, &offer), offer, MIKEYD_CLOCK_SKEW);
    cr_expect_not_null(strstr(offer.err.text, "new bundle"), "%s", offer.err.text);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    step_clock(30);
    lab_must(lab_update(&lab, &initiator, NULL, 0, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, &responder, &answer), answer);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    lab_close(&lab);
}

/* Of two hosts whose clocks differ the one that is behind updates later than the other did, or not
 * yet: T has one order in a bundle, whoever sent it. */
Test(clock, an_end_that_is_behind_updates_later_than_the_other_or_not_yet)
{
    struct lab lab;
    static struct lab_result called, update;
    static struct mikey_message first, second;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &called), called);
    cr_assert_eq(mikey_parse(offer.message.data, offer.message.len, &first, NULL, &err), MIKEYD_OK);
    struct exchange_request request = {.operation = EXCHANGE_UPDATE,
                                       .ticket = called.ticket.data,
                                       .ticket_len = called.ticket.len,
                                       .verify = true};
    step_clock(-30);
    lab_refused(lab_serve(lab.b, LAB_UID_B, &request, &update), update, MIKEYD_CLOCK_SKEW);
    step_clock(30);
    lab_must(lab_serve(lab.b, LAB_UID_B, &request, &update), update);
    cr_assert_eq(mikey_parse(update.message.data, update.message.len, &second, NULL, &err),
                 MIKEYD_OK);
    cr_assert_gt((int64_t)(second.t.value - first.t.value), 0);
    lab_close(&lab);
}

Test(clock, one_set_back_lets_no_ticket_be_confirmed_twice)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    static struct lab_bytes ticket, reply;
    ticket = offer.ticket;
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    reply = answer.message;
    lab_must(lab_confirm(&lab, &ticket, &reply, &got), got);
    pass_time(330);
    discard_what_expired(&lab);
    step_clock(-200);
    lab_refused(lab_confirm(&lab, &ticket, &reply, &got), got, MIKEYD_TICKET_EXPIRED);
    cr_expect_not_null(strstr(got.err.text, "may have been used"), "%s", got.err.text);
    lab_close(&lab);
}
