/* Policies that change under a running service, and keys that rotate. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/clock.h"
#include "expiry.h"
#include "lab.h"
#include "pkcs11/token/internal.h"

TestSuite(reload, .timeout = 60);

#define LEGACY "  - {name: legacy, kind: psk}"
#define SECOND_WITH_FIRST                                                                          \
    "  - {name: legacy, kind: psk, generation: 2, previous: {generation: 1, until: 2099-01-01}}"

static const struct exchange_stream one[] = {{.ssrc = 0x11223344}};
static struct lab_result offer, answer, got;
static struct error err;

Test(reload, puts_another_policy_in_force)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    cr_assert_eq(lab_reload(&lab,
                            lab_policy_text("suites: [AES_256_CM_HMAC_SHA1_80]", LEGACY, "legacy"),
                            &err),
                 MIKEYD_OK, "%s", err.text);
    /* What was offered under the old policy is no longer allowed. */
    lab_refused(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got, MIKEYD_POLICY);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    cr_assert_eq(answer.keys[0].suite, SRTP_AES_256_CM_HMAC_SHA1_80);
    lab_close(&lab);
}

Test(reload, a_policy_whose_key_is_missing_does_not_replace_the_old)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    struct policy *before = exchange_service_policy(lab.service);
    cr_assert_eq(
        lab_reload(&lab, lab_policy_text(NULL, "  - {name: absent, kind: psk}", "absent"), &err),
        MIKEYD_TOKEN_DOWN);
    cr_assert_not_null(strstr(err.text, "mikeyd/psk/absent/1"), "%s", err.text);
    cr_assert_not_null(strstr(err.text, "mikeyctl key generate"), "%s", err.text);
    struct policy *after = exchange_service_policy(lab.service);
    cr_assert_eq(before, after);
    policy_unref(before);
    policy_unref(after);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    lab_close(&lab);
}

Test(reload, a_key_shorter_than_the_policy_asks_is_refused)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    cr_assert_eq(
        lab_reload(&lab, lab_policy_text(NULL, "  - {name: short, kind: psk}", "short"), &err),
        MIKEYD_POLICY);
    cr_assert_not_null(strstr(err.text, "128 bits"), "%s", err.text);
    lab_close(&lab);
}

/* As other tools unwrap a key: SoftHSM then says CKA_VALUE_LEN 0. */
static void unwrap_raw(CK_FUNCTION_LIST *f, CK_SLOT_ID slot, char *label)
{
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE kek, clear, arrived;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE generic = CKK_GENERIC_SECRET;
    CK_ULONG kek_len = 32, blob_len = 64;
    CK_BYTE value[16] = {7}, id[16] = {9}, blob[64];
    CK_ATTRIBUTE for_kek[] = {
        {CKA_VALUE_LEN, &kek_len, sizeof kek_len}, {CKA_WRAP, &yes, 1}, {CKA_UNWRAP, &yes, 1}};
    CK_ATTRIBUTE for_clear[] = {{CKA_CLASS, &class, sizeof class},
                                {CKA_KEY_TYPE, &generic, sizeof generic},
                                {CKA_SENSITIVE, &no, 1},
                                {CKA_EXTRACTABLE, &yes, 1},
                                {CKA_VALUE, value, sizeof value}};
    CK_ATTRIBUTE for_arrived[] = {{CKA_CLASS, &class, sizeof class},
                                  {CKA_KEY_TYPE, &generic, sizeof generic},
                                  {CKA_TOKEN, &yes, 1},
                                  {CKA_PRIVATE, &yes, 1},
                                  {CKA_SENSITIVE, &yes, 1},
                                  {CKA_EXTRACTABLE, &no, 1},
                                  {CKA_SIGN, &yes, 1},
                                  {CKA_ENCRYPT, &no, 1},
                                  {CKA_DECRYPT, &no, 1},
                                  {CKA_WRAP, &no, 1},
                                  {CKA_UNWRAP, &no, 1},
                                  {CKA_ID, id, sizeof id},
                                  {CKA_LABEL, label, (CK_ULONG)strlen(label)}};
    CK_MECHANISM generate = {CKM_AES_KEY_GEN, NULL, 0};
    CK_MECHANISM wrap = {MIKEYD_CKM_AES_KEY_WRAP_KWP_240, NULL, 0};
    cr_assert_eq(f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session),
                 CKR_OK);
    cr_assert_eq(f->C_GenerateKey(session, &generate, for_kek, 3, &kek), CKR_OK);
    cr_assert_eq(f->C_CreateObject(session, for_clear, 5, &clear), CKR_OK);
    cr_assert_eq(f->C_WrapKey(session, &wrap, kek, clear, blob, &blob_len), CKR_OK);
    cr_assert_eq(f->C_UnwrapKey(session, &wrap, kek, blob, blob_len, for_arrived, 13, &arrived),
                 CKR_OK);
    cr_assert_eq(f->C_CloseSession(session), CKR_OK);
}

Test(reload, a_key_of_unknown_length_is_refused)
{
    struct lab lab;
    lab_open(&lab, LAB_SIGNS, NULL);
    if (lab.fixture.kind != TOKEN_FIXTURE_SOFTHSM)
        cr_skip_test("no key wrap behind p11-kit");
    char label[] = "mikeyd/psk/strange/1";
    unwrap_raw(lab.token->f, lab.token->slot, label);
    cr_assert_eq(
        lab_reload(&lab, lab_policy_text(NULL, "  - {name: strange, kind: psk}", "strange"), &err),
        MIKEYD_POLICY);
    cr_assert_not_null(strstr(err.text, "length"), "%s", err.text);
    lab_close(&lab);
}

Test(reload, prf_derive_is_refused_on_a_token_that_cannot)
{
    struct lab lab;
    lab_open(&lab, LAB_SIGNS, NULL);
    cr_assert_eq(lab_reload(&lab, lab_policy_text("prf: derive", LEGACY, "legacy"), &err),
                 MIKEYD_POLICY);
    cr_assert_not_null(strstr(err.text, "prf: derive"), "%s", err.text);
    lab_close(&lab);
}

/* How long after its receipt the entry of a message expires, the policy having changed or not. */
static int64_t entry_kept(const char *before, const char *after)
{
    struct lab lab;
    static struct lab_bytes message;
    lab_open(&lab, LAB_ANY, before);
    cr_assert_eq(lab_reload(&lab, lab_policy_text(after, LEGACY, "legacy"), &err), MIKEYD_OK, "%s",
                 err.text);
    const struct mikey_init init = lab_peer_offer();
    const int64_t now = clock_unix_now();
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(&lab, &message, NULL, &got), got);
    const int64_t kept = lab_latest_expiry(&lab) - now;
    lab_close(&lab);
    return kept;
}

/* Requests under the first policy may still be under way. */
Test(reload, narrower_skew_does_not_shorten_the_life_of_replay_entries)
{
    cr_expect_geq(entry_kept("clock_skew: 200s", "clock_skew: 10s"), 402);
}

Test(reload, wider_skew_prolongs_the_life_of_replay_entries)
{
    cr_expect_geq(entry_kept("clock_skew: 10s", "clock_skew: 200s"), 402);
}

Test(reload, a_rotation_refuses_no_call)
{
    struct lab lab;
    static struct lab_bytes old_message;
    lab_open(&lab, LAB_ANY, NULL);
    /* Under way when the policy changes: an offer, and an exchange that waits for its reply. */
    lab_must(lab_initiate(&lab, one, 1, true, &got), got);
    old_message = got.message;
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    cr_assert_eq(lab_reload(&lab, lab_policy_text(NULL, SECOND_WITH_FIRST, "legacy"), &err),
                 MIKEYD_OK, "%s", err.text);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    lab_must(lab_respond(&lab, &old_message, NULL, &got), got);
    /* New offers use the new generation: the old key alone no longer reads them. */
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    cr_assert_eq(lab_reload(&lab, lab_policy_text(NULL, LEGACY, "legacy"), &err), MIKEYD_OK);
    lab_refused(lab_respond(&lab, &offer.message, NULL, &got), got, MIKEYD_AUTH_FAILED);
    cr_assert_eq(lab_audit_count(&lab, "legacy/2"), 4);
    lab_close(&lab);
}

Test(reload, after_its_window_the_previous_generation_is_refused)
{
    struct lab lab;
    static char keys[160], until[CLOCK_TEXT];
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    static struct lab_result late;
    lab_must(lab_initiate(&lab, one, 1, true, &late), late);
    clock_format_utc((clock_unix_now() + 1) * 1000, until);
    (void)snprintf(keys, sizeof keys,
                   "  - {name: legacy, kind: psk, generation: 2, previous: {generation: 1, until: "
                   "%.19sZ}}",
                   until);
    cr_assert_eq(lab_reload(&lab, lab_policy_text(NULL, keys, "legacy"), &err), MIKEYD_OK, "%s",
                 err.text);
    sleep(3);
    lab_refused(lab_respond(&lab, &late.message, NULL, &got), got, MIKEYD_AUTH_FAILED);
    lab_refused(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got, MIKEYD_POLICY);
    lab_close(&lab);
}

Test(reload, at_most_two_keys_are_tried)
{
    struct lab lab;
    struct token_facts before, after;
    static struct lab_bytes forged;
    lab_open_policy(&lab, LAB_ANY, lab_policy_text(NULL, SECOND_WITH_FIRST, "legacy"));
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    forged = offer.message;
    forged.data[forged.len - 1] ^= 1;
    token_get_facts(lab.token, &before);
    lab_refused(lab_respond(&lab, &forged, NULL, &got), got, MIKEYD_AUTH_FAILED);
    token_get_facts(lab.token, &after);
    if (lab_token_derives(&lab.fixture)) {
        cr_assert_eq(after.derives - before.derives, 2 * 1, "the authentication key alone");
        cr_assert_eq(after.hmacs - before.hmacs, 2 * 1);
    } else {
        cr_assert_eq(after.hmacs - before.hmacs, 2 * (2 + 1));
    }
    lab_close(&lab);
}

Test(reload, a_key_made_after_the_start_is_found)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    lab_import(&lab, TOKEN_PSK, "fresh", 1, lab_psk_2, 32);
    cr_assert_eq(
        lab_reload(&lab, lab_policy_text(NULL, "  - {name: fresh, kind: psk}", "fresh"), &err),
        MIKEYD_OK, "%s", err.text);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    lab_close(&lab);
}
