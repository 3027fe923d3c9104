/* Tokens that have no time, or no session left. */
#include <string.h>

#include <criterion/criterion.h>

#include "recover_stage.h"

/* What is in the session may not be had again. */
Test(recover, busy_token_keeps_the_session)
{
    struct error err = {0};
    open_token();
    const uint64_t openings = session->openings;
    plan("C_SignInit 1 rv 0x2\nC_Sign 2 rv 0x2\n");
    for (unsigned i = 0; i < KEYS; i++)
        cr_assert_eq(sign(i, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(session->openings, openings);
    cr_expect_eq(token_generation(token), 1);
}

Test(recover, session_that_stayed_busy_is_not_used_again)
{
    struct error err = {0};
    open_token();
    plan("C_SignInit 1+ rv 0x2\n");
    cr_expect_eq(sign(0, &err), MIKEYD_TOKEN_BUSY, "%s", err.text);
    const uint64_t openings = session->openings;
    plan(FAULT_NOTHING);
    cr_expect_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(session->openings, openings + 1);
    cr_expect_eq(token_generation(token), 1);
}

/* Other programs may have taken them: beginning anew would be no help, and harm the keys in use. */
Test(recover, no_session_left_is_waited_for_and_then_busy)
{
    struct error err = {0};
    open_token();
    token_session_drop(session);
    plan("C_OpenSession 1 rv 0xb1\nC_OpenSession 2 rv 0xb1\n");
    cr_expect_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
    token_session_drop(session);
    plan("C_OpenSession 1+ rv 0xb1\n");
    cr_expect_eq(sign(0, &err), MIKEYD_TOKEN_BUSY, "%s", err.text);
    plan(FAULT_NOTHING);
    cr_expect_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(token_generation(token), 1);
}

static void encrypt(unsigned long handle, uint8_t data[53])
{
    static const uint8_t iv[16] = {1, 2, 3};
    struct error err = {0};
    memset(data, 0x5a, 53);
    cr_assert_eq(token_aes_ctr(session, handle, iv, data, 53, &err), MIKEYD_OK, "%s", err.text);
}

/* Whatever call of a message it is that a token has no time for. */
Test(recover_nss, derived_keys_outlive_busy_answers)
{
    open_token();
    struct error err = {0};
    unsigned long mac = 0, cipher = 0;
    uint8_t tag[2][HMAC_TAG_MAX], data[2][53];
    const uint8_t *const text[1] = {message};
    const size_t len[1] = {sizeof message};
    for (int busy = 0; busy < 2; busy++) {
        plan(busy == 0 ? FAULT_NOTHING
                       : "C_DeriveKey 2 rv 0x2\nC_SignInit 1 rv 0x2\nC_Sign 1 rv 0x2\n"
                         "C_EncryptInit 1 rv 0x2\nC_Encrypt 1 rv 0x2\n");
        cr_assert_eq(token_prf_derive(session, &find(0)->block[0], HMAC_SHA256, message, 16,
                                      TOKEN_DERIVED_HMAC, 32, &mac, &err),
                     MIKEYD_OK, "%s", err.text);
        cr_assert_eq(token_prf_derive(session, &find(0)->block[0], HMAC_SHA256, message, 16,
                                      TOKEN_DERIVED_AES, 32, &cipher, &err),
                     MIKEYD_OK, "%s", err.text);
        encrypt(cipher, data[busy]);
        cr_assert_eq(token_hmac_handle(session, mac, HMAC_SHA256, text, len, 1, tag[busy], &err),
                     MIKEYD_OK, "%s", err.text);
        token_object_destroy(session, cipher);
        token_object_destroy(session, mac);
    }
    cr_expect_arr_eq(data[0], data[1], sizeof data[0]);
    cr_expect_arr_eq(tag[0], tag[1], sizeof tag[0]);
    cr_expect_eq(session->derived_count, 0);
}

/* An operation that somebody left active. */
static void leave_active(unsigned index, CK_MECHANISM_TYPE type)
{
    CK_MECHANISM mechanism = {type, NULL, 0};
    cr_assert_eq(token->f->C_SignInit(session->handle, &mechanism, find(index)->block[0].handle),
                 CKR_OK);
}

Test(recover, operation_of_another_key_is_not_gone_on_with)
{
    struct error err = {0};
    open_token();
    leave_active(1, CKM_SHA256_HMAC);
    cr_expect_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
    leave_active(1, CKM_SHA256_HMAC);
    session->begun = find(1)->block[0].handle;
    cr_expect_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
}

/* What was begun before is over: what is active now is something else by the same key. */
Test(recover, operation_that_a_busy_token_left_is_gone_on_with_once)
{
    struct error err = {0};
    open_token();
    plan("C_Sign 1 rv 0x2\n");
    cr_assert_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
    leave_active(0, CKM_SHA_1_HMAC);
    cr_expect_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(token_generation(token), 1, "a tag of another length made it begin anew");
}
