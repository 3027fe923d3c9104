/* What a token is tried for as it is opened. */
#include <string.h>

#include <criterion/criterion.h>

#include "recover_stage.h"

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
