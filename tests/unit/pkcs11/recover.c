/* What goes wrong in tokens, made to happen by the fault module, and what becomes of it. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <openssl/evp.h>

#include "base/clock.h"
#include "base/secret.h"
#include "pkcs11/token/internal.h"
#include "support/fault_control.h"
#include "support/token_fixture.h"

#define KEYS 5

static struct token_fixture fixture;
static struct token_config config;
static struct token *token;
static struct token_session *session;
static struct fault_control control;
static uint8_t psk[KEYS][32];

/* ---- the stage */

static void plan(const char *text)
{
    fault_control_plan(&control, text);
}

static void stage(void)
{
    fault_control_make(&control, fixture.dir, "recover");
    fault_control_export(&control, fixture.module);
    for (uint8_t i = 0; i < KEYS; i++) {
        char name[8];
        memset(psk[i], 0x30 + i, sizeof psk[i]);
        (void)snprintf(name, sizeof name, "k%u", i);
        cr_assert(token_fixture_psk(&fixture, name, psk[i], sizeof psk[i]));
    }
    config = token_fixture_config(&fixture);
    config.module = FAULT_MODULE;
    config.call_timeout_ms = 300;
}

static void with_softhsm(void)
{
    cr_assert_eq(secret_heap_init(1 << 17, NULL), MIKEYD_OK);
    cr_assert(token_fixture_softhsm(&fixture, "unit"));
    stage();
}

static void with_nss(void)
{
    cr_assert_eq(secret_heap_init(1 << 17, NULL), MIKEYD_OK);
    cr_assert(token_fixture_nss(&fixture));
    stage();
}

static void teardown(void)
{
    plan(FAULT_NOTHING);
    fault_control_end(&control);
    token_session_release(session);
    token_close(token);
    token_fixture_remove(&fixture);
}

TestSuite(recover, .init = with_softhsm, .fini = teardown);
TestSuite(recover_nss, .init = with_nss, .fini = teardown);

static void open_token(void)
{
    struct error err = {0};
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_session_acquire(token, 100, &session, &err), MIKEYD_OK, "%s", err.text);
}

static const struct token_key *find(unsigned index)
{
    const struct token_key *key = NULL;
    struct error err = {0};
    char name[8];
    (void)snprintf(name, sizeof name, "k%u", index);
    cr_assert_eq(token_key_find(token, TOKEN_PSK, name, 1, &key, &err), MIKEYD_OK, "%s", err.text);
    return key;
}

static const uint8_t message[] = "a message of the peer";

static bool right_tag(unsigned index, const uint8_t *tag)
{
    uint8_t want[HMAC_TAG_MAX];
    size_t len = 0;
    return EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, psk[index], 32, message, sizeof message,
                     want, sizeof want, &len) != NULL &&
           memcmp(tag, want, sizeof want) == 0;
}

static enum mikeyd_status sign_by(struct token_session *by, const struct token_key *key,
                                  uint8_t *tag, struct error *err)
{
    struct hmac_job job = {.key = &key->block[0],
                           .hash = HMAC_SHA256,
                           .data = {message, NULL},
                           .len = {sizeof message, 0},
                           .tag = tag};
    return token_hmac_batch(by, &job, 1, err);
}

static enum mikeyd_status sign(unsigned index, struct error *err)
{
    uint8_t tag[HMAC_TAG_MAX];
    enum mikeyd_status status = sign_by(session, find(index), tag, err);
    if (status == MIKEYD_OK)
        cr_assert(right_tag(index, tag), "signed with another key");
    return status;
}

/* Until the token is tried again, which it is not with every request. */
static enum mikeyd_status sign_in_time(struct error *err)
{
    enum mikeyd_status status = sign(0, err);
    for (int i = 0; i < 500 && status != MIKEYD_OK; i++) {
        usleep(20000);
        status = sign(0, err);
    }
    return status;
}

static void wait_until_overdue(void)
{
    for (int i = 0; i < 500 && !token_overdue(token, clock_monotonic_ms()); i++)
        usleep(20000);
    cr_assert(token_overdue(token, clock_monotonic_ms()));
}

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

/* ---- recovered without anybody noticing */

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

/* ---- stale handles */

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

/* ---- what cannot be recovered */

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

Test(recover, object_destroyed_elsewhere_is_gone_and_the_others_stay)
{
    struct error err = {0};
    open_token();
    const struct token_key *lost = find(1);
    uint8_t tag[HMAC_TAG_MAX];
    cr_assert_eq(sign(1, &err), MIKEYD_OK, "%s", err.text);
    cr_assert(token_fixture_destroy(&fixture, "mikeyd/psk/k1/1"));
    cr_expect_eq(sign_by(session, lost, tag, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_eq(sign_by(session, lost, tag, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "gone"), "%s", err.text);
    cr_expect_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(sign(4, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(token_check_health(token, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "mikeyd/psk/k1/1"), "%s", err.text);
}

static void make_again(const struct token_key *key, unsigned number)
{
    char label[32];
    (void)snprintf(label, sizeof label, "mikeyd/psk/k%u/1", number);
    const struct token_fixture_key again = {
        .label = label, .value = psk[number], .len = 32, .id = key->block[0].id};
    cr_assert(token_fixture_key(&fixture, &again));
}

Test(recover, key_that_was_away_in_a_recovery_is_found_when_it_is_back)
{
    struct error err = {0};
    uint8_t tag[HMAC_TAG_MAX];
    open_token();
    const struct token_key *lost = find(1);
    cr_assert(token_fixture_destroy(&fixture, "mikeyd/psk/k1/1"));
    cr_expect_eq(sign_by(session, lost, tag, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_eq(sign_by(session, lost, tag, &err), MIKEYD_TOKEN_DOWN);
    make_again(lost, 1);
    cr_expect_eq(sign_by(session, lost, tag, &err), MIKEYD_TOKEN_DOWN, "looked at every request");
    atomic_store(&token->next_look_ms, 0);
    cr_expect_eq(sign_by(session, lost, tag, &err), MIKEYD_OK, "%s", err.text);
    cr_expect(right_tag(1, tag));
    cr_expect_eq(token_check_health(token, &err), MIKEYD_OK, "%s", err.text);
}

Test(recover, health_check_finds_a_key_that_is_back)
{
    struct error err = {0};
    open_token();
    const struct token_key *lost = find(1);
    cr_assert(token_fixture_destroy(&fixture, "mikeyd/psk/k1/1"));
    cr_expect_eq(token_check_health(token, &err), MIKEYD_TOKEN_DOWN);
    make_again(lost, 1);
    atomic_store(&token->next_look_ms, 0);
    cr_expect_eq(token_check_health(token, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(sign(1, &err), MIKEYD_OK, "%s", err.text);
}

/* A store that is not mounted: the token is there, a search finds nothing and says CKR_OK. */
Test(recover, token_that_lost_all_its_keys_is_down_until_they_are_back)
{
    struct error err = {0};
    struct token_facts facts;
    char label[32];
    uint8_t tag[HMAC_TAG_MAX];
    open_token();
    const struct token_key *key[KEYS];
    for (unsigned i = 0; i < KEYS; i++) {
        key[i] = find(i);
        (void)snprintf(label, sizeof label, "mikeyd/psk/k%u/1", i);
        cr_assert(token_fixture_destroy(&fixture, label));
    }
    for (unsigned i = 0; i < 2; i++) {
        cr_expect_eq(sign_by(session, key[0], tag, &err), MIKEYD_TOKEN_DOWN);
        token_get_facts(token, &facts);
        cr_expect_not(facts.up);
        usleep(300000);
    }
    for (unsigned i = 0; i < KEYS; i++) {
        (void)snprintf(label, sizeof label, "mikeyd/psk/k%u/1", i);
        const struct token_fixture_key again = {
            .label = label, .value = psk[i], .len = 32, .id = key[i]->block[0].id};
        cr_assert(token_fixture_key(&fixture, &again));
    }
    enum mikeyd_status status = MIKEYD_TOKEN_DOWN;
    for (int i = 0; i < 500 && status != MIKEYD_OK; i++) {
        usleep(20000);
        status = sign_by(session, key[0], tag, &err);
    }
    cr_expect_eq(status, MIKEYD_OK, "%s", err.text);
    cr_expect(right_tag(0, tag));
}

/* ---- the start */

Test(recover, wrong_hmac_refuses_the_token)
{
    struct error err = {0};
    plan("C_Sign 8 corrupt\n");
    cr_expect_eq(token_open(&config, &token, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "RFC 4231 case 2"), "%s", err.text);
}

Test(recover, refused_object_is_named_with_what_it_means)
{
    struct error err = {0};
    plan("C_CreateObject 1+ rv 0xd1\n"
         "C_Sign 2 corrupt\n");
    cr_expect_eq(token_open(&config, &token, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "what the token computed is no HMAC"), "%s", err.text);
    plan("C_CreateObject 2+ rv 0x31\n");
    cr_expect_eq(token_open(&config, &token, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "C_CreateObject: CKR_DEVICE_MEMORY: the token is full"),
                       "%s", err.text);
}

Test(recover_nss, wrong_derivation_only_switches_it_off)
{
    struct token_facts facts;
    plan("C_DeriveKey 1 rv 0x70\n");
    open_token();
    token_get_facts(token, &facts);
    cr_expect_not(facts.prf_derive);
    cr_expect(facts.hkdf);
}

Test(recover_nss, derived_key_that_signs_wrongly_switches_derivation_off)
{
    struct token_facts facts;
    plan("C_Sign 11 corrupt\n");
    open_token();
    token_get_facts(token, &facts);
    cr_expect_not(facts.prf_derive);
}

/* SoftHSM and NSS mean bytes; others say 64 and mean bits. */
Test(recover, hmac_minimum_in_bytes)
{
    open_token();
    cr_expect_eq(token->hmac_min[HMAC_SHA1], 20);
    cr_expect_eq(token->hmac_min[HMAC_SHA256], 32);
}

Test(recover_nss, hmac_minimum_in_bits)
{
    plan("C_GetMechanismInfo 1+ minimum 64\n");
    open_token();
    cr_expect_eq(token->hmac_min[HMAC_SHA1], 8);
    cr_expect_eq(token->hmac_min[HMAC_SHA256], 8);
}

/* NSS copies keys and imports EPSKs where nothing is wrong. */
Test(recover_nss, session_objects_that_other_sessions_do_not_see_are_not_relied_on)
{
    struct error err = {0};
    struct token_facts facts;
    plan("any 1 isolate\n");
    open_token();
    token_get_facts(token, &facts);
    cr_expect_not(facts.session_copies);
    cr_expect_not(facts.hkdf);
    cr_expect_eq(token_key_warm(session, find(0), &err), MIKEYD_OK);
    cr_expect_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(token_generation(token), 1, "a recovery was needed");
}

Test(recover, fewer_sessions_than_wanted)
{
    struct error err = {0};
    struct token_facts facts;
    plan("C_OpenSession 4+ rv 0xb1\n"); /* the keeper, two of the pool */
    open_token();
    token_get_facts(token, &facts);
    cr_expect_eq(facts.sessions, 2);
    cr_expect_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
}

/* ---- deadlines */

static void *sign_in_thread(void *argument)
{
    struct token_session *by = argument;
    uint8_t tag[HMAC_TAG_MAX];
    struct error err = {0};
    (void)sign_by(by, find(0), tag, &err);
    return NULL;
}

Test(recover, hanging_call_refuses_the_others_at_once)
{
    struct token_session *other = NULL;
    struct error err = {0};
    struct token_facts facts;
    pthread_t thread;
    open_token();
    cr_assert_eq(token_session_acquire(token, 100, &other, &err), MIKEYD_OK, "%s", err.text);
    plan("C_Sign 1 hang\n");
    cr_assert_eq(pthread_create(&thread, NULL, sign_in_thread, other), 0);
    cr_expect_not(token_overdue(token, clock_monotonic_ms()));
    wait_until_overdue();
    token_get_facts(token, &facts);
    cr_expect_not(facts.up);
    const int64_t start = clock_monotonic_ms();
    cr_expect_eq(sign(0, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_lt(clock_monotonic_ms() - start, 200, "as long as the call may take");
    plan(FAULT_NOTHING);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_expect_not(token_overdue(token, clock_monotonic_ms()));
    cr_expect_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
    token_session_release(other);
}

Test(recover, recovery_gives_up_on_a_hanging_call)
{
    struct token_session *other = NULL;
    struct error err = {0};
    pthread_t thread;
    open_token();
    cr_assert_eq(token_session_acquire(token, 100, &other, &err), MIKEYD_OK, "%s", err.text);
    plan("C_GetAttributeValue 1 hang\nC_Sign 1 rv 0x30\n");
    cr_assert_eq(pthread_create(&thread, NULL, sign_in_thread, other), 0);
    wait_until_overdue();
    const int64_t start = clock_monotonic_ms();
    cr_expect_eq(sign(0, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_lt(clock_monotonic_ms() - start, 5000);
    plan(FAULT_NOTHING);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_expect_eq(sign(0, &err), MIKEYD_OK, "%s", err.text);
    token_session_release(other);
}

/* ---- slow tokens */

Test(recover, slow_token_shares_a_batch_between_sessions)
{
    struct hmac_job jobs[6];
    uint8_t tags[6][HMAC_TAG_MAX];
    struct error err = {0};
    plan("C_SignInit 1+ delay 50\n");
    open_token();
    for (size_t i = 0; i < 6; i++)
        jobs[i] = (struct hmac_job){.key = &find(0)->block[0],
                                    .hash = HMAC_SHA256,
                                    .data = {message, NULL},
                                    .len = {sizeof message, 0},
                                    .tag = tags[i]};
    const int64_t start = clock_monotonic_ms();
    cr_assert_eq(token_hmac_batch(session, jobs, 6, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_lt(clock_monotonic_ms() - start, 290, "six calls of 50 ms one after the other");
    for (size_t i = 0; i < 6; i++)
        cr_expect(right_tag(0, tags[i]));
}

Test(recover, slow_token_recovers_amid_a_batch)
{
    struct hmac_job jobs[6];
    uint8_t tags[6][HMAC_TAG_MAX];
    struct error err = {0};
    plan("C_SignInit 1+ delay 2\n");
    open_token();
    for (unsigned i = 0; i < 6; i++)
        jobs[i] = (struct hmac_job){.key = &find(i % KEYS)->block[0],
                                    .hash = HMAC_SHA256,
                                    .data = {message, NULL},
                                    .len = {sizeof message, 0},
                                    .tag = tags[i]};
    plan("C_SignInit 3 rv 0x30\n");
    cr_assert_eq(token_hmac_batch(session, jobs, 6, &err), MIKEYD_OK, "%s", err.text);
    for (unsigned i = 0; i < 6; i++)
        cr_expect(right_tag(i % KEYS, tags[i]));
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
