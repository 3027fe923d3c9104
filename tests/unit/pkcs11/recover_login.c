/* PIN and login: what a refusal costs, and who is sent the PIN. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "recover_stage.h"

Test(recover, wrong_pin_at_login_is_tried_once)
{
    struct error err = {0};
    open_token();
    /* A second attempt would succeed. */
    plan("C_SignInit 1 logout\nC_Login 1 rv 0xa0\n");
    cr_expect_eq(sign(0, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "CKR_PIN_INCORRECT"), "%s", err.text);
    for (int i = 0; i < 3; i++) {
        usleep(300000);
        cr_expect_eq(sign(0, &err), MIKEYD_TOKEN_DOWN);
        cr_expect_not_null(strstr(err.text, "PIN"), "%s", err.text);
    }
}

/* The second C_Login would succeed. An unchanged file is not worth it: logrotate sends SIGHUP, too.
 */
Test(recover, refused_pin_is_tried_again_when_its_file_changed_and_the_operator_asks)
{
    struct error err = {0};
    open_token();
    plan("C_SignInit 1 logout\nC_Login 1 rv 0xa0\n");
    cr_assert_eq(sign(0, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "SIGHUP"), "%s", err.text);
    cr_expect_eq(token_rescan(token, &err), MIKEYD_TOKEN_DOWN, "tried with the same file");
    cr_assert_eq(utimensat(AT_FDCWD, config.pin_file, NULL, 0), 0);
    usleep(300000);
    cr_expect_eq(sign(0, &err), MIKEYD_TOKEN_DOWN, "tried though nobody asked");
    cr_expect_eq(token_rescan(token, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
}

/* CKR_FUNCTION_FAILED, but CKF_USER_PIN_COUNT_LOW from then on. */
Test(recover, attempt_that_the_token_counts_is_a_refusal_whatever_it_is_called)
{
    struct error err = {0};
    open_token();
    plan("C_SignInit 1 logout\nC_Login 1 rv 0x06\nC_GetTokenInfo 3+ flags 0x10000\n");
    cr_expect_eq(sign(0, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "not tried again"), "%s", err.text);
}

/* Whoever puts a token of the same label in its place is not sent the PIN. */
Test(recover, another_token_of_the_same_label_is_not_sent_the_pin)
{
    struct error err = {0};
    char tokens[160], away[160], other[160];
    open_token();
    (void)snprintf(tokens, sizeof tokens, "%s/tokens", fixture.dir);
    (void)snprintf(away, sizeof away, "%s/away", fixture.dir);
    (void)snprintf(other, sizeof other, "%s/other", fixture.dir);
    cr_assert_eq(rename(tokens, away), 0);
    cr_assert_eq(mkdir(tokens, 0700), 0);
    cr_assert_eq(system("softhsm2-util --init-token --free --label unit --pin " TOKEN_FIXTURE_PIN
                        " --so-pin 1234 >/dev/null"),
                 0);
    plan("C_Sign 1 rv 0x30\nC_Login 1+ rv 0xa0\n");
    cr_expect_eq(sign(0, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "another one of its name"), "%s", err.text);
    plan(FAULT_NOTHING);
    cr_assert_eq(rename(tokens, other), 0);
    cr_assert_eq(rename(away, tokens), 0);
    cr_expect_eq(sign_in_time(&err), MIKEYD_OK, "%s", err.text);
}

static void expect_no_login(const char *faults, const char *reason)
{
    struct error err = {0};
    plan(faults);
    cr_expect_eq(token_open(&config, &token, &err), MIKEYD_PIN_REFUSED);
    cr_expect_not_null(strstr(err.text, reason), "%s", err.text);
}

Test(recover, no_login_on_the_final_try)
{
    expect_no_login("C_GetTokenInfo 1+ flags 0x20000\n", "one attempt is left");
}

Test(recover, no_login_when_the_pin_is_locked)
{
    expect_no_login("C_GetTokenInfo 1+ flags 0x40000\n", "locked");
}
