/*
 * Makers' modules as their documents describe them (tests/module/fault_vendor.h), in front of a real
 * token: a whole exchange works, or the limit is told. None of this ran on the makers' hardware.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <p11-kit/pkcs11.h>

#include "lab.h"
#include "pkcs11/token/internal.h"

TestSuite(vendors, .timeout = 60);

static const struct exchange_stream one[] = {{.ssrc = 0x11223344}};
static struct lab_result offer, answer, got;
static struct error err;

static void exchange(struct lab *lab)
{
    lab_must(lab_initiate(lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(lab, &offer.message, NULL, &answer), answer);
    lab_must(lab_confirm(lab, &offer.ticket, &answer.message, &got), got);
    cr_assert(lab_same_keys(&answer, &got));
}

static void write_plan(const struct lab *lab, const char *text)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/plan", lab->dir);
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(setenv("MIKEYD_FAULT_PLAN", path, 1), 0);
}

/* A token with its keys; the maker's module is in front of it from lab_start_service() on. */
static void emulate(struct lab *lab, enum lab_token need, const char *vendor, const char *plan)
{
    lab_open_token(lab, need);
    lab->module = FAULT_MODULE;
    cr_assert_eq(setenv("MIKEYD_FAULT_REAL", lab->fixture.module, 1), 0);
    cr_assert_eq(setenv("MIKEYD_FAULT_VENDOR", vendor, 1), 0);
    write_plan(lab, plan);
}

static struct token_facts start(struct lab *lab, const char *profile)
{
    struct token_facts facts;
    const char *policy = lab_policy_text(NULL, "  - {name: legacy, kind: psk}", "legacy");
    cr_assert_eq(lab_start_service(lab, policy, &err), MIKEYD_OK, "%s", err.text);
    lab_start_workers(lab);
    token_get_facts(lab->token, &facts);
    cr_assert_str_eq(facts.profile->name, profile);
    return facts;
}

Test(vendors, luna_counts_hmac_minimum_in_bits)
{
    struct lab lab;
    emulate(&lab, LAB_DERIVES, "bits maker=SafeNet", "# nothing\n");
    const struct token_facts facts = start(&lab, "luna");
    cr_expect_eq(facts.hmac_least[HMAC_SHA256], 8);
    exchange(&lab);
    lab_close(&lab);
}

Test(vendors, nshield_that_lost_a_key_begins_anew)
{
    struct lab lab;
    emulate(&lab, LAB_SIGNS, "maker=nCipher", "# nothing\n");
    (void)start(&lab, "nshield");
    exchange(&lab);
    write_plan(&lab, "C_SignInit 1 rv 0x82\n");
    exchange(&lab);
    cr_expect_eq(atomic_load(&lab.token->module->initialisations), 2, "a login does not show them");
    lab_close(&lab);
}

Test(vendors, cloudhsm_that_throttles_is_waited_for_and_never_begun_anew)
{
    struct lab lab;
    emulate(&lab, LAB_SIGNS, "noreadonly writesessions maker=Marvell throttle=3",
            "any 1 isolate\n");
    const struct token_facts facts = start(&lab, "cloudhsm");
    cr_expect(facts.read_write);
    cr_expect_not(facts.session_copies);
    cr_expect_not(facts.hkdf);
    for (int i = 0; i < 10; i++)
        exchange(&lab);
    cr_expect_eq(token_generation(lab.token), 1);
    lab_close(&lab);
}

/* The keys of a message are objects of one session: a refused call must not cost it. */
Test(vendors, cloudhsm_that_throttles_keeps_the_derived_keys_of_a_message)
{
    struct lab lab;
    struct token_facts facts;
    emulate(&lab, LAB_DERIVES, "noreadonly maker=Marvell throttle=2", "# nothing\n");
    (void)start(&lab, "cloudhsm");
    for (int i = 0; i < 10; i++)
        exchange(&lab);
    token_get_facts(lab.token, &facts);
    cr_expect(facts.prf_derive);
    cr_expect_gt(facts.derives, 0);
    cr_expect_eq(token_generation(lab.token), 1);
    lab_close(&lab);
}

Test(vendors, cloudhsm_that_throttles_for_long_is_busy_not_down)
{
    struct lab lab;
    struct token_facts facts;
    emulate(&lab, LAB_SIGNS, "noreadonly maker=Marvell", "# nothing\n");
    (void)start(&lab, "cloudhsm");
    write_plan(&lab, "C_SignInit 1+ rv 0x30\n");
    lab_refused(lab_initiate(&lab, one, 1, true, &offer), offer, MIKEYD_TOKEN_BUSY);
    token_get_facts(lab.token, &facts);
    cr_expect(facts.up);
    cr_expect_eq(token_generation(lab.token), 1);
    write_plan(&lab, "# nothing\n");
    exchange(&lab);
    lab_close(&lab);
}

static void rebind(struct lab *lab, const char *label, const uint8_t *value)
{
    cr_assert(token_fixture_destroy(&lab->fixture, label));
    cr_assert(token_fixture_key(
        &lab->fixture,
        &(struct token_fixture_key){
            .label = label, .value = value, .len = 32, .key_type = CKK_SHA256_HMAC}));
}

static void yubihsm(struct lab *lab)
{
    static const uint8_t tickets[32] = {0x77, 1, 2};
    emulate(lab, LAB_SIGNS, "noreadonly hashkeys nosessionobjects maker=Yubico model=YubiHSM",
            "# nothing\n");
    rebind(lab, "mikeyd/psk/legacy/1", lab_psk);
    rebind(lab, "mikeyd/ticket/tickets/1", tickets);
}

Test(vendors, yubihsm2_serves_with_keys_of_one_hash_and_macs_on_the_host)
{
    struct lab lab;
    yubihsm(&lab);
    const struct token_facts facts = start(&lab, "yubihsm2");
    cr_expect_not(facts.session_keys);
    cr_expect(facts.hash_keys);
    exchange(&lab);
    lab_close(&lab);
}

Test(vendors, key_of_the_other_hash_is_refused_with_what_to_do)
{
    struct lab lab;
    yubihsm(&lab);
    const char *policy = lab_policy_text("algorithms: mikey-1, suites: [AES_CM_128_HMAC_SHA1_80]",
                                         "  - {name: legacy, kind: psk}", "legacy");
    cr_assert_eq(lab_start_service(&lab, policy, &err), MIKEYD_OK, "%s", err.text);
    lab_start_workers(&lab);
    cr_expect_neq(lab_initiate(&lab, one, 1, true, &offer), MIKEYD_OK);
    cr_expect_not_null(strstr(offer.err.text, "the key serves one hash alone"), "%s",
                       offer.err.text);
    lab_close(&lab);
}

/* The same modules under names that nobody knows: what can be tried is found by trying. */
Test(vendors, unknown_maker_is_found_out_by_trying)
{
    struct lab lab;
    emulate(&lab, LAB_SIGNS, "noreadonly writesessions maker=Somebody", "any 1 isolate\n");
    const struct token_facts facts = start(&lab, "generic");
    cr_expect(facts.read_write);
    cr_expect(facts.session_keys);
    cr_expect_not(facts.shares_objects);
    exchange(&lab);
    lab_close(&lab);
}

Test(vendors, unknown_maker_whose_session_objects_need_write_sessions)
{
    struct lab lab;
    emulate(&lab, LAB_ANY, "writesessions maker=Somebody", "# nothing\n");
    const struct token_facts facts = start(&lab, "generic");
    cr_expect(facts.read_write);
    cr_expect(facts.session_keys);
    exchange(&lab);
    lab_close(&lab);
}

Test(vendors, unknown_maker_with_keys_of_one_hash)
{
    struct lab lab;
    yubihsm(&lab);
    cr_assert_eq(setenv("MIKEYD_FAULT_VENDOR", "hashkeys maker=Somebody", 1), 0);
    const struct token_facts facts = start(&lab, "generic");
    cr_expect(facts.hash_keys);
    cr_expect(facts.session_keys);
    exchange(&lab);
    lab_close(&lab);
}
