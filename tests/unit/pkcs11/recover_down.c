/* What cannot be recovered: a token that is down, and comes back. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/clock.h"
#include "recover_stage.h"

Test(recover, lasting_error_names_token_operation_and_ckr)
{
    struct error err = {0};
    open_token();
    plan("C_Sign 1+ rv 0x30\n");
    cr_expect_eq(sign(0, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "token unit: C_Sign: CKR_DEVICE_ERROR"), "%s", err.text);
    plan(FAULT_NOTHING);
    cr_expect_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
}

Test(recover, refusal_of_the_arguments_is_not_retried)
{
    struct error err = {0};
    open_token();
    plan("C_SignInit 1 rv 0x68\n");
    cr_expect_eq(sign(0, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "CKR_KEY_FUNCTION_NOT_PERMITTED"), "%s", err.text);
    cr_expect_eq(token_generation(token), 1);
}

/* Requests are kept off for longer and longer; the health check, whose pauses are the front's, finds
 * the token well as soon as it is. */
Test(recover, health_check_brings_a_token_back_that_requests_must_not_try_yet)
{
    struct error err = {0};
    open_token();
    plan("C_Sign 1+ rv 0x32\nC_GetSlotList 1+ rv 0x30\n");
    cr_expect_eq(sign(0, &err), MIKEYD_TOKEN_DOWN);
    while (token->probe_wait_ms < 5000) {
        atomic_store(&token->next_probe_ms, 0);
        cr_assert_eq(sign(0, &err), MIKEYD_TOKEN_DOWN);
    }
    /* For a request it would be an hour, so that it cannot be one that comes first. */
    atomic_store(&token->next_probe_ms, clock_monotonic_ms() + 3600000);
    plan(FAULT_NOTHING);
    cr_expect_eq(sign(0, &err), MIKEYD_TOKEN_DOWN);
    enum mikeyd_status health = MIKEYD_TOKEN_DOWN;
    for (int i = 0; i < 500 && health != MIKEYD_OK; i++) {
        usleep(20000);
        health = token_check_health(token, &err);
    }
    cr_expect_eq(health, MIKEYD_OK, "%s", err.text);
    cr_expect_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
}

Test(recover, token_that_is_gone_is_refused_at_once_and_comes_back)
{
    struct error err = {0};
    struct token_facts facts;
    open_token();
    plan("C_Sign 1+ rv 0x32\nC_GetSlotList 1+ rv 0x30\n");
    cr_expect_eq(sign(0, &err), MIKEYD_TOKEN_DOWN);
    token_get_facts(token, &facts);
    cr_expect_not(facts.up);
    plan("C_GetSlotList 1+ delay 1000\n");
    const int64_t start = clock_monotonic_ms();
    cr_expect_eq(sign(0, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_lt(clock_monotonic_ms() - start, 250);
    cr_expect_not_null(strstr(err.text, "CKR_DEVICE_ERROR"), "%s", err.text);
    plan(FAULT_NOTHING);
    cr_expect_eq(sign_in_time(&err), MIKEYD_OK, "%s", err.text);
    token_get_facts(token, &facts);
    cr_expect(facts.up);
}

Test(recover, no_slots_is_a_failure)
{
    struct error err = {0};
    open_token();
    /* As a p11-kit connection without server: everything works, nothing is there. */
    char tokens[160], away[160];
    (void)snprintf(tokens, sizeof tokens, "%s/tokens", fixture.dir);
    (void)snprintf(away, sizeof away, "%s/away", fixture.dir);
    cr_assert_eq(rename(tokens, away), 0);
    cr_expect_eq(sign(0, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_neq(token_check_health(token, &err), MIKEYD_OK);
    cr_assert_eq(rename(away, tokens), 0);
    cr_expect_eq(sign_in_time(&err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(token_check_health(token, &err), MIKEYD_OK, "%s", err.text);
}

Test(recover_nss, cipher_text_of_a_wrong_length_is_none)
{
    static const char *const plans[] = {"C_Encrypt 1 short\n", "C_Encrypt 1 long\n"};
    static const uint8_t iv[16] = {1, 2, 3};
    struct error err = {0};
    open_token();
    for (size_t i = 0; i < 2; i++) {
        uint8_t data[53], before[53];
        unsigned long handle = 0;
        memset(before, 0x5a, sizeof before);
        memcpy(data, before, sizeof data);
        cr_assert_eq(token_prf_derive(session, &find(0)->block[0], HMAC_SHA256, message, 16,
                                      TOKEN_DERIVED_AES, 32, &handle, &err),
                     MIKEYD_OK, "%s", err.text);
        plan(plans[i]);
        cr_expect_eq(token_aes_ctr(session, handle, iv, data, sizeof data, &err), MIKEYD_TOKEN_DOWN,
                     "%s", plans[i]);
        cr_expect_arr_eq(data, before, sizeof data, "nothing came");
        plan(FAULT_NOTHING);
        token_object_destroy(session, handle);
    }
}
