/* `tgk: derived`: both ends compute the TGK from the key of the pair, nothing of it is sent. */
#include <string.h>

#include <criterion/criterion.h>

#include "base/secret.h"
#include "keyholder/strategy.h"
#include "lab.h"

TestSuite(derived, .timeout = 60);

#define LEGACY "  - {name: legacy, kind: psk}"

static const struct exchange_stream one[] = {{.ssrc = 0x11223344}};
static struct lab_result offer, answer, got;
static struct lab_bytes message;
static struct error err;

static void call(struct lab *lab)
{
    lab_must(lab_initiate(lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(lab, &offer.message, NULL, &answer), answer);
    lab_must(lab_confirm(lab, &offer.ticket, &answer.message, &got), got);
    cr_assert(lab_same_keys(&answer, &got));
}

/* The session key a peer that has the PSK computes for the message, on the host. */
static void expect_keys_of(const struct lab_bytes *i_message, const uint8_t *psk, size_t psk_len,
                           enum mikey_algorithms algorithms, enum mikey_prf prf)
{
    static struct mikey_message m;
    struct mikey_psk key;
    struct mikey_session_key expected;
    uint8_t tgk[32];
    cr_assert_eq(mikey_parse(i_message->data, i_message->len, &m, NULL, &err), MIKEYD_OK);
    cr_assert_eq(mikey_message_method(&m), &mikey_method_psk_derived);
    cr_assert_eq(m.rand_len, 32);
    cr_assert_eq(mikey_host_psk(psk, psk_len, &key, &err), MIKEYD_OK);
    struct mikey_message_keys *keys = secret_alloc(sizeof *keys);
    struct mikey_psk_port port = {.psk = key, .keys = keys};
    const struct mikey_key holder = {.ops = &mikey_key_by_psk, .port = &port};
    cr_assert_eq(
        mikey_method_psk_derived.tgk(algorithms, m.csb_id, m.rand, m.rand_len, &holder, tgk, &err),
        MIKEYD_OK, "%s", err.text);
    const struct mikey_key_data data = {
        .type = MIKEY_KEY_TGK, .key = tgk, .key_len = mikey_method_psk_derived.tgk_len(algorithms)};
    cr_assert_eq(mikey_session_key(prf, &data, 1, m.csb_id, m.rand, m.rand_len, got.keys[0].suite,
                                   &expected, &err),
                 MIKEYD_OK, "%s", err.text);
    cr_assert_eq(memcmp(&got.keys[0].value, &expected, sizeof expected), 0);
    secret_release(keys, sizeof *keys);
    mikey_host_psk_clear(&key);
}

Test(derived, both_ends_have_the_keys_of_the_formula_with_mikey_256)
{
    struct lab lab;
    static struct lab_result first;
    lab_open(&lab, LAB_ANY, "tgk: derived");
    call(&lab);
    expect_keys_of(&offer.message, lab_psk, 32, MIKEY_ALGORITHMS_256, MIKEY_PRF_HMAC_SHA256);
    first = got;
    call(&lab);
    cr_assert_neq(memcmp(&first.keys[0].value, &got.keys[0].value, sizeof got.keys[0].value), 0);
    cr_assert_eq(lab_audit_count(&lab, "TGK derived"), 4);
    lab_close(&lab);
}

Test(derived, both_ends_have_the_keys_of_the_formula_with_mikey_1)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, "tgk: derived, algorithms: mikey-1, suites: [AES_CM_128_HMAC_SHA1_80]");
    call(&lab);
    expect_keys_of(&offer.message, lab_psk, 32, MIKEY_ALGORITHMS_1, MIKEY_PRF_1);
    lab_close(&lab);
}

Test(derived, works_with_a_psk_of_several_blocks)
{
    struct lab lab;
    uint8_t long_key[80];
    for (size_t i = 0; i < sizeof long_key; i++)
        long_key[i] = (uint8_t)(i + 1);
    lab_open_policy(&lab, LAB_ANY,
                    lab_policy_text("tgk: derived", "  - {name: long, kind: psk}", "long"));
    call(&lab);
    expect_keys_of(&offer.message, long_key, 80, MIKEY_ALGORITHMS_256, MIKEY_PRF_HMAC_SHA256);
    lab_close(&lab);
}

Test(derived, works_with_a_pair_key)
{
    struct lab lab;
    lab_open_token(&lab, LAB_ANY);
    lab_prepare_pairs(&lab, "core", 1);
    cr_assert_eq(
        lab_start_service(
            &lab, lab_policy_text("tgk: derived", "  - {name: core, kind: epsk}", "core"), &err),
        MIKEYD_OK, "%s", err.text);
    lab_start_workers(&lab);
    call(&lab);
    lab_close(&lab);
}

Test(derived, keys_are_there_at_once_without_verification)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, "tgk: derived, verification: allowed");
    lab_must(lab_initiate(&lab, one, 1, false, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    cr_assert(lab_same_keys(&offer, &answer));
    lab_close(&lab);
}

/* Strategy "derive" too: the session keys leave the token in the end, so the TGK has to. */
Test(derived, costs_two_hmacs_more_and_no_encryption_key)
{
    struct lab lab;
    struct token_facts before, after;
    lab_open(&lab, LAB_ANY, "tgk: derived");
    call(&lab);
    const bool in_token = lab_token_derives(&lab.fixture);
    for (int end = 0; end < 2; end++) {
        token_get_facts(lab.token, &before);
        if (end == 0)
            lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
        else
            lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
        token_get_facts(lab.token, &after);
        const unsigned macs = end == 0 ? 1 : 2, auth = in_token ? 0 : 2;
        cr_expect_eq(after.hmacs - before.hmacs, 2 + auth + macs);
        cr_expect_eq(after.derives - before.derives, in_token ? 1 : 0);
    }
    lab_close(&lab);
}

/* ---- what the policy of one end does not say */

Test(derived, transported_key_is_refused_where_it_shall_be_derived)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, "tgk: derived");
    const struct mikey_init init = lab_peer_offer();
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_POLICY);
    cr_assert_not_null(strstr(got.err.text, "tgk: derived"), "%s", got.err.text);
    lab_close(&lab);
}

static struct mikey_init derived_offer(void)
{
    static uint8_t rand[33];
    struct mikey_init init = lab_peer_offer();
    memset(rand, 0x5c, sizeof rand);
    init.rand = rand;
    init.rand_len = 32;
    init.key_count = 0;
    init.method = &mikey_method_psk_derived;
    return init;
}

Test(derived, derived_key_is_refused_where_it_shall_be_transported)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    const struct mikey_init init = derived_offer();
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_POLICY);
    cr_assert_not_null(strstr(got.err.text, "tgk: transported"), "%s", got.err.text);
    lab_close(&lab);
}

Test(derived, short_rand_is_refused)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, "tgk: derived");
    const struct mikey_init init = derived_offer();
    lab_seal(&init, lab_psk, 32, &message);
    /* RAND follows T: one byte less of it, and the MAC made right again. */
    const size_t rand_at = 10 + 9 + 10;
    cr_assert_eq(message.data[rand_at + 1], 32);
    message.data[rand_at + 1] = 31;
    memmove(message.data + rand_at + 33, message.data + rand_at + 34, message.len - rand_at - 34);
    message.len--;
    struct mikey_init shorter = init;
    shorter.rand_len = 31;
    lab_remac(&message, &shorter, lab_psk, 32);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_UNSUPPORTED);
    cr_assert_not_null(strstr(got.err.text, "RAND"), "%s", got.err.text);
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(&lab, &message, NULL, &got), got);
    lab_close(&lab);
}

Test(derived, updates_are_refused_in_words)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, "tgk: derived");
    call(&lab);
    static struct lab_result refused;
    lab_refused(lab_update(&lab, &got.ticket, NULL, 0, &refused), refused, MIKEYD_UNSUPPORTED);
    cr_assert_not_null(strstr(refused.err.text, "tgk: derived"), "%s", refused.err.text);
    struct mikey_init init = lab_peer_offer();
    init.update = true;
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(lab_respond(&lab, &message, &answer.ticket, &refused), refused, MIKEYD_UNSUPPORTED);
    cr_assert_not_null(strstr(refused.err.text, "tgk: derived"), "%s", refused.err.text);
    lab_close(&lab);
}

Test(derived, an_mki_has_no_place)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, "tgk: derived, mki_bytes: 4");
    lab_refused(lab_initiate(&lab, one, 1, true, &offer), offer, MIKEYD_UNSUPPORTED);
    cr_assert_not_null(strstr(offer.err.text, "mki_bytes"), "%s", offer.err.text);
    lab_close(&lab);
}

/* ---- the ways to run the PRF */

static void derive_by(struct lab *lab, const struct mikey_psk_ops *ops,
                      enum mikey_algorithms algorithms, uint8_t tgk[32])
{
    static const uint8_t rand[32] = {1, 2, 3};
    struct token_session *session = NULL;
    const struct token_key *key = NULL;
    cr_assert_eq(token_session_acquire(lab->token, 100, &session, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_key_find(lab->token, TOKEN_PSK, "legacy", 1, &key, &err), MIKEYD_OK);
    struct mikey_psk psk = {.ops = ops,
                            .hmac = &keyholder_hmac_token,
                            .service = session,
                            .blocks = {&key->block[0]},
                            .block_count = 1};
    const bool on_host = ops == NULL;
    if (on_host)
        cr_assert_eq(mikey_host_psk(lab_psk, 32, &psk, &err), MIKEYD_OK);
    struct mikey_message_keys *keys = secret_alloc(sizeof *keys);
    memset(tgk, 0, 32);
    struct mikey_psk_port port = {.psk = psk, .keys = keys};
    const struct mikey_key holder = {.ops = &mikey_key_by_psk, .port = &port};
    cr_assert_eq(mikey_method_psk_derived.tgk(algorithms, 7, rand, sizeof rand, &holder, tgk, &err),
                 MIKEYD_OK, "%s", err.text);
    secret_release(keys, sizeof *keys);
    if (on_host)
        mikey_host_psk_clear(&psk);
    token_session_release(session);
}

Test(derived, every_strategy_gives_the_same_tgk)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    for (int i = 0; i < 2; i++) {
        const enum mikey_algorithms set = i == 0 ? MIKEY_ALGORITHMS_1 : MIKEY_ALGORITHMS_256;
        uint8_t by_host[32], by_sign[32], by_derive[32];
        derive_by(&lab, NULL, set, by_host);
        derive_by(&lab, &keyholder_psk_sign, set, by_sign);
        derive_by(&lab, &keyholder_psk_derive, set, by_derive);
        cr_expect_eq(memcmp(by_host, by_sign, 32), 0);
        cr_expect_eq(memcmp(by_host, by_derive, 32), 0);
    }
    lab_close(&lab);
}
