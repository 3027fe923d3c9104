/* Keys that are gone, and come back. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "recover_stage.h"

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
