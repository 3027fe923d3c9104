/* What goes wrong in a token, made to happen by the fault module, and what the front hears of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/clock.h"
#include "lab.h"
#include "support/fault_control.h"

static struct lab lab;
static struct door_answer answer;
static struct fault_control control;

static void plan(const char *text)
{
    fault_control_plan(&control, text);
}

static void make(enum lab_token need)
{
    lab_make(&lab, lab_token_of_run(need));
    fault_control_make(&control, lab.fixture.dir, "faults");
    fault_control_export(&control, lab.fixture.module);
    lab.config.module = FAULT_MODULE;
    lab.config.call_timeout_ms = 400;
}

static void stop(void)
{
    if (lab.holder != NULL)
        plan(FAULT_NOTHING);
    lab_close(&lab);
    fault_control_end(&control);
}
TestSuite(keyholder_faults, .fini = stop, .timeout = 120);

static struct door_request pair_request(void)
{
    const struct keys_name name = lab_pair(MIKEY_ALGORITHMS_256, false);
    return lab_seal(&name, MIKEY_ALGORITHMS_256);
}

static void assert_sealed_right(void)
{
    struct lab_host host;
    uint8_t key[32], covered[2048], mac[32];
    const struct keys_name name = lab_pair(MIKEY_ALGORITHMS_256, false);
    lab_pair_key(&name, key);
    lab_host_open(&host, key, sizeof key);
    (void)lab_host_message(&host, MIKEY_ALGORITHMS_256, covered, mac);
    lab_host_close(&host);
    cr_assert_eq(answer.status, MIKEYD_OK, "%s", answer.text);
    cr_assert_arr_eq(answer.seal.mac, mac, 32);
}

static void assert_served_through(const char *fault)
{
    char text[96];
    make(LAB_ANY);
    lab_start(&lab);
    const struct door_request request = pair_request();
    (void)lab_ask(&lab, &request, &answer);
    assert_sealed_right();
    (void)snprintf(text, sizeof text, "%s 1 %s\n",
                   lab_token_derives(&lab.fixture) ? "C_DeriveKey" : "C_Sign", fault);
    plan(text);
    (void)lab_ask(&lab, &request, &answer);
    assert_sealed_right();
    plan(FAULT_NOTHING);
    (void)lab_ask(&lab, &request, &answer);
    assert_sealed_right();
    cr_assert_eq(lab_facts(&lab).uses, 3);
}

Test(keyholder_faults, a_request_outlives_the_loss_of_all_sessions)
{
    assert_served_through("closeall");
}

Test(keyholder_faults, a_request_outlives_the_loss_of_the_login)
{
    assert_served_through("logout");
}

/* A pair key that was derived is gone with it: the request derives it again. */
Test(keyholder_faults, a_request_outlives_the_module_being_initialised_again)
{
    assert_served_through("finalize");
}

/* The keys that were derived for one message are gone with the session: all is done once more. */
Test(keyholder_faults, a_message_outlives_the_loss_of_its_session)
{
    struct lab_host host;
    uint8_t covered[2048], mac[32];
    make(LAB_DERIVES);
    lab_start(&lab);
    const struct keys_name name = lab_psk("plain");
    const struct door_request request = lab_seal(&name, MIKEY_ALGORITHMS_256);
    lab_host_open(&host, lab_plain, sizeof lab_plain);
    (void)lab_host_message(&host, MIKEY_ALGORITHMS_256, covered, mac);
    lab_host_close(&host);
    plan("C_Sign 1 rv 0xb3\n");
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert_arr_eq(answer.seal.mac, mac, 32);
    cr_assert_eq(lab_facts(&lab).uses, 1);
}

/* It waited already, and the session that stayed busy is given up. */
Test(keyholder_faults, a_request_that_a_busy_token_refused_is_not_repeated)
{
    make(LAB_SIGNS);
    lab_start(&lab);
    const struct keys_name name = lab_psk("plain");
    const struct door_request request = lab_seal(&name, MIKEY_ALGORITHMS_256);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    plan("C_SignInit 1+ rv 0x2\n");
    const unsigned long opened = atomic_load(&control.tally->calls[FAULT_C_OpenSession]);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_TOKEN_BUSY, "%s", answer.text);
    cr_assert_eq(atomic_load(&control.tally->calls[FAULT_C_OpenSession]) - opened, 1);
}

static uint64_t hmacs_of_forged(void)
{
    static const uint8_t text[] = "an R_MESSAGE", tag[32];
    const struct door_request request = {
        .op = DOOR_CHECK,
        .name = lab_psk("plain"),
        .tag = {.job = {.what = lab_derivation(MIKEY_ALGORITHMS_256, false),
                        .covered = {.data = {text}, .len = {sizeof text}, .parts = 1}},
                .tag = tag}};
    const uint64_t before = lab_facts(&lab).hmacs;
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_AUTH_FAILED, "%s", answer.text);
    return lab_facts(&lab).hmacs - before;
}

Test(keyholder_faults, a_forged_message_is_judged_once_though_a_session_is_lost)
{
    make(LAB_SIGNS);
    lab_start(&lab);
    const uint64_t hmacs = hmacs_of_forged();
    plan("C_SignInit 1 rv 0xb3\n");
    cr_assert_eq(hmacs_of_forged(), hmacs);
    cr_assert_eq(atomic_load(&control.tally->struck), 1);
}

Test(keyholder_faults, a_pair_key_that_failed_is_made_anew)
{
    make(LAB_ANY);
    lab_start(&lab);
    const struct door_request request = pair_request();
    (void)lab_ask(&lab, &request, &answer);
    assert_sealed_right();
    plan("C_Sign 1+ rv 0x30\nC_DeriveKey 1+ rv 0x30\n");
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_TOKEN_DOWN);
    plan(FAULT_NOTHING);
    const int64_t until_ms = clock_monotonic_ms() + 10000;
    unsigned asked = 3;
    for (; lab_ask(&lab, &request, &answer) != MIKEYD_OK && clock_monotonic_ms() < until_ms;
         asked++)
        (void)usleep(20000);
    assert_sealed_right();
    const struct door_facts facts = lab_facts(&lab);
    cr_assert_geq(facts.pair_misses, 2);
    cr_assert_eq(facts.uses, asked, "what failed counts, too");
}

static void send_request(int door, const struct door_request *request)
{
    static uint8_t memory[DOOR_MESSAGE_MAX];
    struct byte_writer out = writer_of(memory, sizeof memory);
    cr_assert_eq(door_write_request(request, &out, NULL), MIKEYD_OK);
    cr_assert_eq(door_send(door, &out, NULL), MIKEYD_OK);
}

static enum mikeyd_status receive_status(int door)
{
    struct error err = {0};
    cr_assert_eq(door_receive(door, LAB_WAIT_MS, lab.in, sizeof lab.in, &lab.in_len, &err),
                 MIKEYD_OK, "%s", err.text);
    cr_assert_eq(door_read_answer(lab.in, lab.in_len, NULL, &answer, &err), MIKEYD_OK, "%s",
                 err.text);
    return answer.status;
}

Test(keyholder_faults, a_request_that_finds_no_session_in_time_is_told_so)
{
    make(LAB_SIGNS);
    lab.config.sessions = 1;
    lab.config.call_timeout_ms = 5000;
    lab.options.wait_ms = 150;
    lab_start(&lab);
    const struct keys_name name = lab_psk("plain");
    const struct door_request request = lab_seal(&name, MIKEY_ALGORITHMS_256);
    int slow = lab_connect(&lab);
    plan("C_Sign 1 delay 1500\n");
    send_request(slow, &request);
    (void)usleep(300000);
    const int64_t start_ms = clock_monotonic_ms();
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_TOKEN_BUSY);
    cr_assert_lt(clock_monotonic_ms() - start_ms, 1000);
    cr_assert_eq(receive_status(slow), MIKEYD_OK, "%s", answer.text);
    (void)close(slow);
}

/* More requests than desks: those without one are refused by their header alone. */
Test(keyholder_faults, a_crowd_that_waits_is_refused_in_time_however_large)
{
    enum { CROWD = 24 };
    int door[CROWD];
    unsigned busy = 0, served = 0;
    make(LAB_SIGNS);
    lab.config.sessions = 1;
    lab.config.call_timeout_ms = 5000;
    lab.options.wait_ms = 150;
    lab_start(&lab);
    const struct keys_name name = lab_psk("plain");
    struct door_request request = lab_seal(&name, MIKEY_ALGORITHMS_256);
    plan("C_Sign 1 delay 1500\n");
    const int64_t start_ms = clock_monotonic_ms();
    for (uint32_t i = 0; i < CROWD; i++) {
        door[i] = lab_connect(&lab);
        request.id = 7000 + i;
        send_request(door[i], &request);
    }
    for (uint32_t i = CROWD; i-- > 0;) {
        const enum mikeyd_status status = receive_status(door[i]);
        cr_assert_eq(answer.id, 7000 + i);
        cr_assert_eq(answer.op, DOOR_SEAL);
        busy += status == MIKEYD_TOKEN_BUSY;
        served += status == MIKEYD_OK;
        if (status == MIKEYD_TOKEN_BUSY)
            cr_assert_lt(clock_monotonic_ms() - start_ms, 4000);
        (void)close(door[i]);
    }
    cr_assert_eq(busy + served, CROWD);
    cr_assert_geq(served, 1);
    cr_assert_gt(busy, 10);
    cr_assert_eq(lab_facts(&lab).uses, CROWD, "refused ones count as they were asked for");
}

Test(keyholder_faults, while_a_call_hangs_the_others_are_refused_at_once)
{
    make(LAB_SIGNS);
    lab_start(&lab);
    const struct keys_name name = lab_psk("plain");
    const struct door_request request = lab_seal(&name, MIKEY_ALGORITHMS_256);
    int hanging = lab_connect(&lab);
    plan("C_Sign 1 hang\n");
    send_request(hanging, &request);
    (void)usleep(900000);
    const int64_t start_ms = clock_monotonic_ms();
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_TOKEN_DOWN);
    cr_assert_lt(clock_monotonic_ms() - start_ms, 380); /* a call may take 400 */
    cr_assert_not(lab_facts(&lab).up);
    plan(FAULT_NOTHING);
    cr_assert_eq(receive_status(hanging), MIKEYD_OK, "%s", answer.text);
    (void)close(hanging);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
}
