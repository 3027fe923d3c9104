/* Calls that hang, and slow tokens. */
#include <pthread.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <openssl/hmac.h>

#include "base/clock.h"
#include "recover_stage.h"

/* ---- deadlines */

static void *sign_in_thread(void *argument)
{
    struct token_session *by = argument;
    uint8_t tag[HMAC_TAG_MAX];
    struct error err = {0};
    (void)sign_by(by, find(0), tag, &err);
    return NULL;
}

static void wait_until_overdue(void)
{
    for (int i = 0; i < 500 && !token_overdue(token, clock_monotonic_ms()); i++)
        usleep(20000);
    cr_assert(token_overdue(token, clock_monotonic_ms()));
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

/* ---- a rescan, and requests meanwhile */

static void *rescan_in_thread(void *argument)
{
    struct error err = {0};
    *(enum mikeyd_status *)argument = token_rescan(token, &err);
    return NULL;
}

Test(recover, rescan_that_takes_long_keeps_nobody_waiting)
{
    enum mikeyd_status rescan = MIKEYD_INTERNAL;
    struct error err = {0};
    pthread_t thread;
    open_token();
    plan("C_GetAttributeValue 3 hang\n");
    cr_assert_eq(pthread_create(&thread, NULL, rescan_in_thread, &rescan), 0);
    for (int i = 0; i < 5000 && atomic_load(&token->reader.busy_since_ms) == 0; i++)
        usleep(1000);
    cr_assert_neq(atomic_load(&token->reader.busy_since_ms), 0, "keys are not read beside");
    for (unsigned i = 0; i < 4 * KEYS; i++) {
        cr_expect_eq(sign(i % KEYS, &err), MIKEYD_OK, "%s", err.text);
        usleep(1000);
    }
    plan(FAULT_NOTHING);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_expect_eq(rescan, MIKEYD_OK);
    cr_expect_eq(token->reader.handle, CK_INVALID_HANDLE, "a session stays open");
}

/* What cannot be done beside the requests is done without them. */
static void rescan_with(const char *faults)
{
    static const uint8_t more[32] = {7};
    struct error err = {0};
    cr_assert(token_fixture_psk(&fixture, "more", more, 32));
    plan(faults);
    cr_expect_eq(token_rescan(token, &err), MIKEYD_OK, "%s: %s", faults, err.text);
    plan(FAULT_NOTHING);
    const struct token_key *key = NULL;
    cr_expect_eq(token_key_find(token, TOKEN_PSK, "more", 1, &key, &err), MIKEYD_OK, "%s: %s",
                 faults, err.text);
    for (unsigned i = 0; i < KEYS; i++)
        cr_expect_eq(sign(i, &err), MIKEYD_OK, "%s: %s", faults, err.text);
    cr_expect_eq(token->reader.handle, CK_INVALID_HANDLE, "%s: a session stays open", faults);
    cr_assert(token_fixture_destroy(&fixture, "mikeyd/psk/more/1"));
}

Test(recover, rescan_whose_session_fails_is_made_again)
{
    open_token();
    rescan_with("C_OpenSession 1 rv 0xb1\n");
    rescan_with("C_FindObjectsInit 1 rv 0xb3\n");
    rescan_with("C_GetAttributeValue 5 rv 0x30\n");
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

/* The second object is of another session, and goes with its call; both tags are right. */
static void two_macs(unsigned long *handle)
{
    const uint8_t *const data[1] = {message};
    const size_t len[1] = {sizeof message};
    uint8_t tags[2][HMAC_TAG_MAX], expected[HMAC_TAG_MAX];
    unsigned expected_len = sizeof expected;
    const struct token_message two[2] = {{data, len, 1, tags[0]}, {data, len, 1, tags[1]}};
    struct error err = {0};
    cr_assert_not_null(
        HMAC(EVP_sha256(), psk[1], 32, message, sizeof message, expected, &expected_len));
    cr_assert_eq(token_hmac_two(session, HMAC_SHA256, psk[1], 32, two, handle, &err), MIKEYD_OK,
                 "%s", err.text);
    cr_expect_arr_eq(tags[0], expected, 32);
    cr_expect_arr_eq(tags[1], expected, 32);
}

Test(recover, slow_token_makes_two_macs_side_by_side)
{
    struct token_facts before, after;
    unsigned long handle = 0;
    plan("C_SignInit 1+ delay 20\n");
    open_token();
    cr_assert_not_null(token->assist);
    token_get_facts(token, &before);
    const long objects = atomic_load(&control.tally->objects);
    two_macs(&handle);
    token_get_facts(token, &after);
    cr_expect_eq(after.objects_created - before.objects_created, 2);
    cr_expect_eq(atomic_load(&control.tally->objects) - objects, 1, "one is the caller's");
    /* One that fails beside is made here after all. */
    plan("C_CreateObject 1 rv 0x30\nC_SignInit 1+ delay 20\n");
    two_macs(&handle);
    plan("C_SignInit 2 rv 0x30\nC_SignInit 1+ delay 20\n");
    two_macs(&handle);
    token_object_destroy(session, handle);
}
