/*
 * Two tokens with the same keys, each behind a fault module with a plan of its own, and calls all the
 * while. Whatever becomes of one of them, no request fails, both ends have one key, the member is
 * back by itself, and the audit log knows of each use of a key.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "lab.h"
#include "support/fault_control.h"

/* The pauses that make it 2 s are held by tests of their own; here the machine is busy. */
#define BACK_MS 30000

static struct lab lab;

/* ---- two tokens */

static struct fault_control control[2];

static void plan(unsigned token, const char *text)
{
    fault_control_plan(&control[token], text);
}

/* A copy in a folder of its own: SoftHSM does not bear two processes that open one at the same
 * moment. */
static void copy_token(void)
{
    char command[640];
    (void)snprintf(command, sizeof command,
                   "mkdir '%1$s/copy' && cp -a '%1$s/tokens' '%1$s/copy/' && "
                   "sed 's|%1$s|%1$s/copy|' '%1$s/softhsm2.conf' > '%1$s/copy/softhsm2.conf'",
                   lab.token.dir);
    cr_assert_eq(system(command), 0, "%s", command);
}

static char *entry_of(unsigned token, const char *conf)
{
    char *entry = NULL;
    cr_assert_gt(asprintf(&entry,
                          "    call_timeout: 2s\n"
                          "    environment: {SOFTHSM2_CONF: \"%s/%s\", MIKEYD_FAULT_REAL: \"%s\", "
                          "MIKEYD_FAULT_PLAN: \"%s\", MIKEYD_FAULT_TALLY: \"%s\"}\n",
                          lab.token.dir, conf, lab.token.module, control[token].plan,
                          control[token].tally_file),
                 0);
    return entry;
}

static void write_config_of_two(void)
{
    char *one = entry_of(0, "softhsm2.conf"), *other = entry_of(1, "copy/softhsm2.conf"), *both;
    cr_assert_gt(
        asprintf(&both, "%s  - module: %s\n    uri: \"%s\"\n    pin_file: %s\n    sessions: 3\n%s",
                 one, FAULT_MODULE, lab.token.uri, lab.token.pin_file, other),
        0);
    lab_write_config(&lab, &(struct lab_config){.module = FAULT_MODULE, .token_extra = both});
    free(one);
    free(other);
    free(both);
}

static bool is_up(mikeyd_client *client, unsigned token)
{
    char *text = NULL;
    cr_assert_eq(mikeyd_client_status(client, false, &text), MIKEYD_OK);
    json_t *status = json_loads(text, 0, NULL);
    const json_t *member = json_array_get(json_object_get(status, "tokens"), token);
    const bool up = json_is_true(json_object_get(member, "up"));
    json_decref(status);
    free(text);
    return up;
}

/* Milliseconds until the token is as wanted. */
static int64_t wait_until(unsigned token, bool up)
{
    mikeyd_client *client = lab_client(&lab);
    const int64_t begun = clock_monotonic_ms();
    while (is_up(client, token) != up) {
        cr_assert_lt(clock_monotonic_ms() - begun, BACK_MS, "token %u is not %s", token,
                     up ? "up" : "down");
        (void)usleep(20000);
    }
    mikeyd_client_close(client);
    return clock_monotonic_ms() - begun;
}

static void make_lab(void)
{
    lab_make_on(&lab, TOKEN_FIXTURE_SOFTHSM, NULL);
    lab_key_must(&lab, (const char *const[]){"generate", "--kind", "audit", "--name", "lab", NULL});
    copy_token();
    fault_control_make(&control[0], lab.token.dir, "0");
    fault_control_make(&control[1], lab.token.dir, "1");
    write_config_of_two();
    lab_sign_audit(&lab, "");
    lab_start(&lab);
    (void)wait_until(0, true);
    (void)wait_until(1, true);
}

static void remove_lab(void)
{
    plan(0, FAULT_NOTHING);
    plan(1, FAULT_NOTHING);
    lab_remove(&lab);
    fault_control_end(&control[0]);
    fault_control_end(&control[1]);
}
TestSuite(failover, .init = make_lab, .fini = remove_lab, .timeout = 120);

/* Not strictly: a token that serves while it cannot sign is a warning, rightly. */
static void end_calls(void)
{
    lab_calls_end();
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    cr_assert_eq(lab_verify_audit(&lab), 0);
}

static void assert_failure_is_survived(const char *fault)
{
    lab_calls_begin(&lab);
    plan(0, fault);
    (void)wait_until(0, false);
    lab_calls_wait(20);
    plan(0, FAULT_NOTHING);
    (void)wait_until(0, true);
    end_calls();
}

/* ---- what becomes of a token */

Test(failover, a_keyholder_that_is_killed)
{
    lab_calls_begin(&lab);
    for (unsigned token = 0; token < 2; token++) {
        const pid_t killed = lab_keyholder(&lab, token);
        cr_assert_gt(killed, 0);
        cr_assert_eq(kill(killed, SIGKILL), 0);
        lab_calls_wait(20);
        const int64_t begun = clock_monotonic_ms();
        while (lab_keyholder(&lab, token) == 0 || lab_keyholder(&lab, token) == killed) {
            cr_assert_lt(clock_monotonic_ms() - begun, BACK_MS);
            (void)usleep(20000);
        }
        (void)wait_until(token, true);
    }
    end_calls();
}

Test(failover, a_keyholder_that_is_stopped)
{
    lab_calls_begin(&lab);
    const pid_t stopped = lab_keyholder(&lab, 0);
    cr_assert_eq(kill(stopped, SIGSTOP), 0);
    (void)wait_until(0, false);
    lab_calls_wait(20);
    (void)kill(stopped, SIGCONT); /* unless it was replaced */
    (void)wait_until(0, true);
    end_calls();
}

Test(failover, a_module_that_hangs_in_every_call)
{
    assert_failure_is_survived("* 1+ hang\n");
}

Test(failover, a_token_that_fails_every_call)
{
    assert_failure_is_survived("* 1+ rv 0x30\n");
}

Test(failover, a_module_that_dies_in_every_signature)
{
    assert_failure_is_survived("C_Sign 1+ die\n");
}

Test(failover, a_module_that_says_a_wrong_length)
{
    assert_failure_is_survived("C_Sign 1+ short\n");
}

/* Replaced by a successor that is logged in already: the member is never down. */
Test(failover, a_module_that_leaks)
{
    lab_calls_begin(&lab);
    const pid_t leaking = lab_keyholder(&lab, 0);
    plan(0, "C_Sign 1+ leak 262144\n");
    mikeyd_client *client = lab_client(&lab);
    const int64_t begun = clock_monotonic_ms();
    while (kill(leaking, 0) == 0) {
        cr_assert_lt(clock_monotonic_ms() - begun, 2 * BACK_MS, "it was not replaced");
        cr_assert(is_up(client, 0));
        (void)usleep(20000);
    }
    plan(0, FAULT_NOTHING);
    cr_assert(is_up(client, 0));
    mikeyd_client_close(client);
    end_calls();
}

/* The module says so, and its sessions are gone. */
Test(failover, a_token_that_is_lost_and_found)
{
    assert_failure_is_survived("* 1+ lost\n");
}

/* SoftHSM says nothing of it: there are no objects any more. */
Test(failover, a_token_whose_folder_is_gone_and_comes_back)
{
    char tokens[LAB_PATH + 32], away[LAB_PATH + 32];
    (void)snprintf(tokens, sizeof tokens, "%s/tokens", lab.token.dir);
    (void)snprintf(away, sizeof away, "%s/away", lab.token.dir);
    lab_calls_begin(&lab);
    cr_assert_eq(rename(tokens, away), 0);
    (void)wait_until(0, false);
    lab_calls_wait(20);
    cr_assert_eq(rename(away, tokens), 0);
    (void)wait_until(0, true);
    end_calls();
}

Test(failover, a_token_without_sessions_to_give)
{
    lab_calls_begin(&lab);
    plan(0, "* 1+ sessions 1\nC_Sign 1 closeall\n");
    lab_calls_wait(60);
    plan(0, FAULT_NOTHING);
    (void)wait_until(0, true);
    end_calls();
}

Test(failover, a_token_that_throttles)
{
    lab_calls_begin(&lab);
    plan(0, "C_SignInit 5% rv 0x06\n");
    lab_calls_wait(60);
    plan(0, FAULT_NOTHING);
    (void)wait_until(0, true);
    end_calls();
}

Test(failover, a_token_whose_slots_move)
{
    lab_calls_begin(&lab);
    plan(0, "* 1+ slots 5\nC_Sign 1 finalize\n");
    lab_calls_wait(60);
    (void)wait_until(0, true);
    end_calls();
}

/* A new keyholder that does not get through C_Login holds up nobody, and is replaced. */
Test(failover, a_login_that_hangs_at_the_start)
{
    lab_calls_begin(&lab);
    plan(0, "C_Login 1+ hang\n");
    const pid_t killed = lab_keyholder(&lab, 0);
    cr_assert_gt(killed, 0);
    cr_assert_eq(kill(killed, SIGKILL), 0);
    (void)wait_until(0, false);
    lab_calls_wait(60);
    plan(0, FAULT_NOTHING);
    (void)wait_until(0, true);
    end_calls();
}

static unsigned long logins(void)
{
    return atomic_load(&control[0].tally->calls[FAULT_C_Login]);
}

/* The other member serves; the PIN is tried once for the start, and once for each SIGHUP. */
Test(failover, a_pin_that_is_refused_is_tried_once_for_each_act_of_the_operator)
{
    lab_calls_begin(&lab);
    plan(0, "C_Login 1+ rv 0xa0\n");
    const unsigned long before = logins();
    cr_assert_eq(kill(lab_keyholder(&lab, 0), SIGKILL), 0);
    cr_assert(lab_file_gets(lab.log, "CKR_PIN_INCORRECT"));
    (void)wait_until(0, false);
    lab_calls_wait(200);
    cr_expect_eq(logins(), before + 1);
    plan(0, FAULT_NOTHING);
    cr_expect_eq(kill(lab.daemon, SIGHUP), 0);
    (void)wait_until(0, true);
    cr_expect_eq(logins(), before + 2);
    end_calls();
}
