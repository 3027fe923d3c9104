/* Sessions, logins and modules that are lost come back without anybody noticing. */
#include <string.h>

#include <criterion/criterion.h>

#include "recover_stage.h"

static void expect_recovery(const char *faults, uint64_t generation)
{
    struct error err = {0};
    open_token();
    cr_assert_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
    plan(faults);
    for (unsigned i = 0; i < KEYS; i++)
        cr_assert_eq(sign(i, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(token_generation(token), generation, "generation %lu",
                 (unsigned long)token_generation(token));
    struct token_facts facts;
    token_get_facts(token, &facts);
    cr_expect(facts.up);
}

Test(recover, invalid_session_is_replaced)
{
    expect_recovery("C_SignInit 1 rv 0xb3\n", 1);
}

Test(recover, active_operation_costs_the_session)
{
    expect_recovery("C_SignInit 1 rv 0x90\n", 1);
}

/* Between C_SignInit and C_Sign: the operation stays active in the session. */
Test(recover, session_of_a_refused_call_is_dropped)
{
    struct error err = {0};
    open_token();
    plan("C_Sign 1 rv 0x68\n");
    cr_expect_eq(sign(0, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_eq(session->handle, CK_INVALID_HANDLE, "still in use with an active operation");
    cr_expect_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
}

Test(recover, lost_login_is_repeated)
{
    expect_recovery("C_SignInit 1 logout\n", 2);
}

Test(recover, lost_sessions_are_opened_again)
{
    expect_recovery("C_SignInit 1 closeall\n", 2);
}

Test(recover, finalised_module_is_initialised_again)
{
    expect_recovery("C_SignInit 1 finalize\n", 2);
}

Test(recover, device_error_ends_in_reinitialisation)
{
    expect_recovery("C_Sign 1 rv 0x30\n", 2);
}

Test(recover, removed_device_ends_in_reinitialisation)
{
    expect_recovery("C_Sign 1 rv 0x32\n", 2);
}

Test(recover_nss, finalised_module_is_initialised_again)
{
    expect_recovery("C_SignInit 1 finalize\n", 2);
}

Test(recover, first_call_of_a_new_session_may_fail_too)
{
    expect_recovery("C_SignInit 1 rv 0xb3\nC_OpenSession 1 rv 0x30\n", 2);
}

/* Its sessions would be as many more with every recovery. */
Test(recover, module_that_is_not_finalised_keeps_no_session_of_before)
{
    struct error err = {0};
    CK_SESSION_INFO info;
    open_token();
    cr_assert_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
    const CK_SESSION_HANDLE before = session->handle, keeper = token->keeper.handle;
    plan("C_Finalize 1+ rv 0x05\nC_Sign 1 rv 0x30\n");
    cr_assert_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_generation(token), 2);
    cr_expect_neq(token->f->C_GetSessionInfo(before, &info), CKR_OK);
    cr_expect_neq(token->f->C_GetSessionInfo(keeper, &info), CKR_OK);
}

/* ---- several tokens on one module */

Test(recover, token_on_the_same_module_follows_a_reinitialisation)
{
    struct token *other = NULL;
    struct token_session *other_session = NULL;
    struct error err = {0};
    uint8_t tag[HMAC_TAG_MAX];
    struct token_config same = config;
    open_token();
    cr_assert_eq(token_open(&same, &other, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_session_acquire(other, 100, &other_session, &err), MIKEYD_OK);
    plan("C_Sign 1 rv 0x30\n");
    cr_assert_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
    const struct token_key *key = NULL;
    cr_assert_eq(token_key_find(other, TOKEN_PSK, "k2", 1, &key, &err), MIKEYD_OK);
    cr_assert_eq(sign_by(other_session, key, tag, &err), MIKEYD_OK, "%s", err.text);
    cr_expect(right_tag(2, tag));
    cr_expect_eq(token_generation(other), 2);
    token_session_release(other_session);
    token_close(other);
    cr_expect_eq(sign(1, &err), MIKEYD_OK, "%s", err.text);
}

/* Its old number may be another thread's session by now. */
Test(recover, session_of_the_health_check_is_not_kept_over_a_reinitialisation)
{
    struct error err = {0};
    open_token();
    cr_assert_eq(token_check_health(token, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_neq(token->guest.handle, CK_INVALID_HANDLE);
    plan("C_Sign 1 rv 0x30\n");
    cr_assert_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(token->guest.handle, CK_INVALID_HANDLE);
    cr_expect_eq(token_check_health(token, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(token_generation(token), 2);
}
