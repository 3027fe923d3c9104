/* Handles of before: none is used for what it means now. */
#include <openssl/evp.h>
#include <string.h>

#include <criterion/criterion.h>

#include "recover_stage.h"

Test(recover, handles_of_before_never_sign_with_another_key)
{
    struct error err = {0};
    plan("any 1 shuffle\n");
    open_token();
    for (unsigned i = 0; i < KEYS; i++)
        cr_assert_eq(sign(i, &err), MIKEYD_OK, "%s", err.text);
    unsigned long before[KEYS];
    for (unsigned i = 0; i < KEYS; i++)
        before[i] = find(i)->block[0].handle;
    unsigned moved = 0; /* SoftHSM's own order varies, too: one round may come out as it was */
    for (unsigned round = 0; round < 6; round++) {
        plan("any 1 shuffle\nC_SignInit 2 finalize\n");
        for (unsigned i = 0; i < KEYS; i++)
            cr_assert_eq(sign(i, &err), MIKEYD_OK, "%s", err.text);
        for (unsigned i = 0; i < KEYS; i++)
            moved += find(i)->block[0].handle != before[i] ? 1 : 0;
    }
    cr_assert_gt(moved, 0, "the module did not shuffle");
    cr_expect_eq(token_generation(token), 7);
}

/* As another program may do: an object goes, and one that it makes gets the number. */
Test(recover, health_check_finds_another_object_under_the_old_handle)
{
    struct error err = {0};
    CK_SESSION_HANDLE other = 0;
    CK_OBJECT_HANDLE last = 0, made = 0;
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL no = CK_FALSE;
    uint8_t id[16] = {0x2b}, value[32] = {0x4f, 1};
    CK_ATTRIBUTE at[] = {{CKA_CLASS, &class, sizeof class},
                         {CKA_KEY_TYPE, &type, sizeof type},
                         {CKA_TOKEN, &no, sizeof no},
                         {CKA_ID, id, sizeof id},
                         {CKA_VALUE, value, sizeof value}};
    plan("any 1 shuffle\n");
    open_token();
    cr_assert_eq(token_check_health(token, &err), MIKEYD_OK, "%s", err.text);
    for (unsigned i = 0; i < KEYS; i++)
        last = find(i)->block[0].original > last ? find(i)->block[0].original : last;
    cr_assert_eq(token->f->C_OpenSession(token->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL,
                                         NULL, &other),
                 CKR_OK);
    cr_assert_eq(token->f->C_DestroyObject(other, last), CKR_OK);
    cr_assert_eq(token->f->C_CreateObject(other, at, sizeof at / sizeof at[0], &made), CKR_OK);
    cr_assert_eq(made, last);
    cr_expect_eq(token_check_health(token, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "is no longer there"), "%s", err.text);
    cr_assert_eq(token->f->C_CloseSession(other), CKR_OK);
}

/* The object of a message's authentication key, which the message needs twice. No key of the token
 * has these bytes. */
static const uint8_t clear_key[32] = {0x77, 1, 2, 3};

static enum mikeyd_status sign_in_clear(unsigned long *handle, struct error *err)
{
    const uint8_t *const data[1] = {message};
    const size_t len[1] = {sizeof message};
    uint8_t tag[HMAC_TAG_MAX] = {0}, want[HMAC_TAG_MAX];
    size_t want_len = 0;
    enum mikeyd_status status = token_hmac_bytes(session, HMAC_SHA256, clear_key, sizeof clear_key,
                                                 data, len, 1, handle, tag, err);
    cr_assert_not_null(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, clear_key, sizeof clear_key,
                                 message, sizeof message, want, sizeof want, &want_len));
    cr_assert(status != MIKEYD_OK || memcmp(tag, want, sizeof want) == 0, "another key's tag");
    return status;
}

static void sign_in_clear_after(const char *text)
{
    struct error err = {0};
    unsigned long handle = 0;
    struct token_facts before, after;
    plan("any 1 shuffle\n");
    open_token();
    for (int round = 0; round < 2; round++) {
        if (round == 1)
            plan(text);
        token_get_facts(token, &before);
        cr_assert_eq(sign_in_clear(&handle, &err), MIKEYD_OK, "%s", err.text);
        token_get_facts(token, &after);
        cr_expect_eq(after.objects_created - before.objects_created, 1, "round %d", round);
    }
    token_object_destroy(session, handle);
}

Test(recover, key_in_clear_is_made_anew_when_its_session_was_lost)
{
    sign_in_clear_after("any 1 shuffle\nC_SignInit 1 rv 0xb3\n");
    cr_expect_eq(token_generation(token), 1);
}

Test(recover, key_in_clear_is_made_anew_after_a_reinitialisation)
{
    sign_in_clear_after("any 1 shuffle\nC_SignInit 1 finalize\n");
    cr_expect_eq(token_generation(token), 2);
}

Test(recover, key_in_clear_is_made_anew_when_another_thread_reinitialised)
{
    struct error err = {0};
    uint8_t tag[HMAC_TAG_MAX];
    unsigned long handle = 0;
    struct token_session *other = NULL;
    plan("any 1 shuffle\n");
    open_token();
    cr_assert_eq(token_session_acquire(token, 100, &other, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(sign_in_clear(&handle, &err), MIKEYD_OK, "%s", err.text);
    plan("any 1 shuffle\nC_SignInit 1 finalize\n");
    cr_assert_eq(sign_by(other, find(1), tag, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_generation(token), 2);
    cr_assert_eq(sign_in_clear(&handle, &err), MIKEYD_OK, "%s", err.text);
    token_object_destroy(session, handle);
    token_session_release(other);
}

Test(recover, failing_key_in_clear_leaves_nothing_behind)
{
    struct error err = {0};
    unsigned long handle = 0;
    open_token();
    plan("C_SignInit 1+ rv 0x68\n");
    cr_assert_neq(sign_in_clear(&handle, &err), MIKEYD_OK);
    token_object_destroy(session, handle);
    plan(FAULT_NOTHING);
    for (int i = 0; i < 20; i++) {
        handle = 0;
        cr_assert_eq(sign_in_clear(&handle, &err), MIKEYD_OK, "%s", err.text);
        token_object_destroy(session, handle);
    }
}

/* The new pair key gets the number that the old one had. */
Test(recover_nss, derived_object_of_before_is_refused)
{
    cr_assert(token_fixture_key(
        &fixture,
        &(struct token_fixture_key){.label = "mikeyd/epsk/e/1", .value = psk[0], .len = 32}));
    open_token();
    const struct token_key *epsk = NULL;
    struct token_object old, fresh;
    struct error err = {0};
    uint8_t tag[HMAC_TAG_MAX];
    cr_assert_eq(token_key_find(token, TOKEN_EPSK, "e", 1, &epsk, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_hkdf_pair(session, epsk, message, 8, &old, &err), MIKEYD_OK, "%s", err.text);
    plan("C_SignInit 1 finalize\n");
    cr_assert_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_hkdf_pair(session, epsk, message, 9, &fresh, &err), MIKEYD_OK, "%s",
                 err.text);
    cr_assert_eq(old.handle, fresh.handle, "%lu is not %lu", old.handle, fresh.handle);
    struct hmac_job job = {.key = &old,
                           .hash = HMAC_SHA256,
                           .data = {message, NULL},
                           .len = {sizeof message, 0},
                           .tag = tag};
    cr_expect_neq(old.generation, token_generation(token));
    cr_expect_eq(token_hmac_batch(session, &job, 1, &err), MIKEYD_TOKEN_DOWN);
    job.key = &fresh;
    cr_expect_eq(token_hmac_batch(session, &job, 1, &err), MIKEYD_OK, "%s", err.text);
}

Test(recover_nss, pair_key_outlives_the_session_that_asked_for_it)
{
    cr_assert(token_fixture_key(
        &fixture,
        &(struct token_fixture_key){.label = "mikeyd/epsk/e/1", .value = psk[0], .len = 32}));
    open_token();
    const struct token_key *epsk = NULL;
    struct token_object pair;
    struct error err = {0};
    uint8_t tag[HMAC_TAG_MAX];
    cr_assert_eq(token_key_find(token, TOKEN_EPSK, "e", 1, &epsk, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_hkdf_pair(session, epsk, message, 8, &pair, &err), MIKEYD_OK, "%s",
                 err.text);
    plan("C_SignInit 1 rv 0xb3\n");
    struct hmac_job job = {.key = &pair,
                           .hash = HMAC_SHA256,
                           .data = {message, NULL},
                           .len = {sizeof message, 0},
                           .tag = tag};
    cr_expect_eq(token_hmac_batch(session, &job, 1, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(token_generation(token), 1);
}

Test(recover_nss, derived_keys_die_with_their_session)
{
    open_token();
    struct error err = {0};
    unsigned long handle = 0, second = 0;
    uint8_t tag[HMAC_TAG_MAX];
    const uint8_t *const data[1] = {message};
    const size_t len[1] = {sizeof message};
    cr_assert_eq(token_prf_derive(session, &find(0)->block[0], HMAC_SHA256, message, 16,
                                  TOKEN_DERIVED_HMAC, 32, &handle, &err),
                 MIKEYD_OK, "%s", err.text);
    plan("C_SignInit 1 rv 0xb3\n");
    cr_assert_eq(sign(1, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(token_hmac_handle(session, handle, HMAC_SHA256, data, len, 1, tag, &err),
                 MIKEYD_TOKEN_DOWN);
    cr_expect_eq(token_prf_derive(session, &find(0)->block[0], HMAC_SHA256, message, 16,
                                  TOKEN_DERIVED_HMAC, 32, &second, &err),
                 MIKEYD_TOKEN_DOWN, "half of the keys are of another session");
    token_object_destroy(session, handle);
    cr_assert_eq(token_prf_derive(session, &find(0)->block[0], HMAC_SHA256, message, 16,
                                  TOKEN_DERIVED_HMAC, 32, &handle, &err),
                 MIKEYD_OK, "%s", err.text);
    cr_expect_eq(token_hmac_handle(session, handle, HMAC_SHA256, data, len, 1, tag, &err),
                 MIKEYD_OK, "%s", err.text);
    token_object_destroy(session, handle);
}

/* A handle is a number: it may name a key that others made, and a PSK signs like a derived key. */
Test(recover_nss, only_what_the_session_derived_is_used)
{
    open_token();
    struct error err = {0};
    unsigned long mac = 0, cipher = 0;
    uint8_t tag[HMAC_TAG_MAX], data[16] = {0};
    const uint8_t *const text[1] = {message};
    const size_t len[1] = {sizeof message};
    cr_assert_eq(token_prf_derive(session, &find(0)->block[0], HMAC_SHA256, message, 16,
                                  TOKEN_DERIVED_HMAC, 32, &mac, &err),
                 MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_prf_derive(session, &find(0)->block[0], HMAC_SHA256, message, 16,
                                  TOKEN_DERIVED_AES, 32, &cipher, &err),
                 MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_hmac_handle(session, mac, HMAC_SHA256, text, len, 1, tag, &err), MIKEYD_OK,
                 "%s", err.text);
    cr_assert_eq(token_aes_ctr(session, cipher, data, data, sizeof data, &err), MIKEYD_OK, "%s",
                 err.text);
    /* Both objects stay in the token. */
    token_derived_forget(session, mac);
    token_derived_forget(session, cipher);
    cr_expect_eq(token_hmac_handle(session, mac, HMAC_SHA256, text, len, 1, tag, &err),
                 MIKEYD_TOKEN_DOWN);
    cr_expect_eq(token_aes_ctr(session, cipher, data, data, sizeof data, &err), MIKEYD_TOKEN_DOWN);
}
