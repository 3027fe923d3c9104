/* The ways to run the PRF on a token: the same bytes on the wire, and no call too many. */
#include <string.h>

#include <criterion/criterion.h>

#include "base/secret.h"
#include "keyholder/strategy.h"
#include "lab.h"

TestSuite(prf, .timeout = 60);

static const struct exchange_stream one[] = {{.ssrc = 0x11223344}};
static struct lab_result offer, answer, got;

static uint64_t hmacs(struct lab *lab)
{
    struct token_facts facts;
    token_get_facts(lab->token, &facts);
    return facts.hmacs;
}

static uint64_t derives(struct lab *lab)
{
    struct token_facts facts;
    token_get_facts(lab->token, &facts);
    return facts.derives;
}

static uint64_t objects(struct lab *lab)
{
    struct token_facts facts;
    token_get_facts(lab->token, &facts);
    return facts.objects_created;
}

static uint64_t calls(struct lab *lab)
{
    struct token_facts facts;
    token_get_facts(lab->token, &facts);
    return facts.calls;
}

static void warm_up(struct lab *lab)
{
    lab_must(lab_initiate(lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(lab, &offer.message, NULL, &answer), answer);
}

Test(prf, sign_needs_six_hmacs_and_the_mac)
{
    struct lab lab;
    lab_open(&lab, LAB_SIGNS, NULL);
    warm_up(&lab);
    uint64_t before = hmacs(&lab);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    cr_assert_eq(hmacs(&lab) - before, 6 + 1, "initiate: the MAC of the I_MESSAGE");
    before = hmacs(&lab);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    cr_assert_eq(hmacs(&lab) - before, 6 + 2, "respond: the MACs of both messages");
    before = hmacs(&lab);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    cr_assert_eq(hmacs(&lab) - before, 2 + 1, "confirm: the authentication key alone");
    cr_assert_eq(derives(&lab), 0);
    lab_close(&lab);
}

Test(prf, sign_makes_one_object_a_message_and_destroys_it)
{
    struct lab lab;
    lab_open(&lab, LAB_SIGNS, NULL);
    warm_up(&lab);
    uint64_t made = objects(&lab), before = calls(&lab);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    cr_assert_eq(objects(&lab) - made, 1);
    cr_assert_eq(calls(&lab) - before, 6 + 3, "create, sign, destroy");
    made = objects(&lab);
    before = calls(&lab);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    cr_assert_eq(objects(&lab) - made, 1, "one for the incoming MAC and V");
    cr_assert_eq(calls(&lab) - before, 6 + 4, "create, sign, sign, destroy");
    made = objects(&lab);
    before = calls(&lab);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    cr_assert_eq(objects(&lab) - made, 1);
    cr_assert_eq(calls(&lab) - before, 2 + 3);
    lab_close(&lab);
}

Test(prf, the_object_of_a_refused_message_is_destroyed)
{
    struct lab lab;
    lab_open(&lab, LAB_SIGNS, NULL);
    warm_up(&lab);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    static struct lab_bytes forged;
    forged = offer.message;
    forged.data[forged.len - 1] ^= 1;
    /* Where calls are slow, as behind p11-kit on a busy machine, the first forgery has all keys made at once. */
    lab_refused(lab_respond(&lab, &forged, NULL, &got), got, MIKEYD_AUTH_FAILED);
    uint64_t before = calls(&lab);
    lab_refused(lab_respond(&lab, &forged, NULL, &got), got, MIKEYD_AUTH_FAILED);
    cr_assert_eq(calls(&lab) - before, 2 + 3, "the authentication key; create, sign, destroy");
    /* Authentic, and refused for what it says: a suite that this pair may not use. */
    struct mikey_init init = lab_peer_offer();
    struct mikey_stream stream = {.ssrc = 1, .suite = SRTP_AES_256_CM_HMAC_SHA1_32};
    init.streams = &stream;
    lab_seal(&init, lab_psk, 32, &forged);
    before = calls(&lab);
    lab_refused(lab_respond(&lab, &forged, NULL, &got), got, MIKEYD_POLICY);
    cr_assert_eq(calls(&lab) - before, 6 + 4);
    lab_close(&lab);
}

Test(prf, mac_on_the_host_needs_six_hmacs)
{
    struct lab lab;
    lab_open(&lab, LAB_SIGNS, "mac: host");
    warm_up(&lab);
    const uint64_t made = objects(&lab);
    uint64_t before = hmacs(&lab);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    cr_assert_eq(hmacs(&lab) - before, 6);
    before = hmacs(&lab);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    cr_assert_eq(hmacs(&lab) - before, 6);
    cr_assert_eq(objects(&lab), made);
    lab_close(&lab);
}

Test(prf, derive_needs_two_derivations_and_the_salt)
{
    struct lab lab;
    lab_open(&lab, LAB_DERIVES, "prf: derive");
    warm_up(&lab);
    uint64_t signs = hmacs(&lab), made = derives(&lab);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    cr_assert_eq(derives(&lab) - made, 2);
    cr_assert_eq(hmacs(&lab) - signs, 2 + 1, "two for the salt, one MAC");
    made = derives(&lab);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    cr_assert_eq(derives(&lab) - made, 2);
    made = derives(&lab);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    cr_assert_eq(derives(&lab) - made, 1, "the authentication key alone");
    cr_assert(lab_same_keys(&answer, &got));
    cr_assert_gt(lab_audit_count(&lab, "\"derive\""), 0);
    lab_close(&lab);
}

/* Seals one and the same I_MESSAGE by a strategy over the token. */
static void seal_by(struct lab *lab, const struct mikey_psk_ops *ops, const struct mikey_init *init,
                    struct lab_bytes *out)
{
    struct error err = {0};
    struct token_session *session = NULL;
    const struct token_key *key = NULL;
    cr_assert_eq(token_session_acquire(lab->token, 100, &session, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_key_find(lab->token, TOKEN_PSK, "legacy", 1, &key, &err), MIKEYD_OK);
    const struct mikey_psk psk = {.ops = ops,
                                  .hmac = &keyholder_hmac_token,
                                  .service = session,
                                  .blocks = {&key->block[0]},
                                  .block_count = 1};
    struct mikey_message_keys *keys = secret_alloc(sizeof *keys);
    struct mikey_psk_port port = {.psk = psk, .keys = keys};
    const struct mikey_key holder = {.ops = &mikey_key_by_psk, .port = &port};
    struct mikey_plain plain;
    struct byte_writer w = writer_of(out->data, sizeof out->data);
    cr_assert_eq(mikey_seal_init(init, &holder, &plain, &w, &err), MIKEYD_OK, "%s", err.text);
    out->len = w.len;
    secret_release(keys, sizeof *keys);
    token_session_release(session);
}

static void compare_strategies(enum mikey_algorithms algorithms)
{
    struct lab lab;
    static struct lab_bytes by_host, by_sign, by_derive;
    lab_open(&lab, LAB_DERIVES, NULL);
    struct mikey_init init = lab_peer_offer();
    struct mikey_stream stream = {.ssrc = 5, .suite = SRTP_AES_CM_128_HMAC_SHA1_80};
    init.algorithms = algorithms;
    init.streams = &stream;
    lab_seal(&init, lab_psk, 32, &by_host);
    seal_by(&lab, &keyholder_psk_sign, &init, &by_sign);
    seal_by(&lab, &keyholder_psk_derive, &init, &by_derive);
    cr_assert_eq(by_host.len, by_sign.len);
    cr_assert_eq(by_host.len, by_derive.len);
    cr_assert_eq(memcmp(by_host.data, by_sign.data, by_host.len), 0, "sign");
    cr_assert_eq(memcmp(by_host.data, by_derive.data, by_host.len), 0, "derive");
    lab_close(&lab);
}

Test(prf, derive_sign_and_host_give_the_same_bytes_with_mikey_256)
{
    compare_strategies(MIKEY_ALGORITHMS_256);
}

Test(prf, derive_sign_and_host_give_the_same_bytes_with_mikey_1)
{
    compare_strategies(MIKEY_ALGORITHMS_1);
}

Test(prf, a_pair_key_derives_too)
{
    struct lab lab;
    lab_open_policy(&lab, LAB_DERIVES,
                    lab_policy_text("prf: derive", "  - {name: core, kind: epsk}", "core"));
    warm_up(&lab);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    cr_assert(lab_same_keys(&answer, &got));
    lab_close(&lab);
}

Test(prf, a_key_of_several_blocks_is_signed_with_where_the_policy_lets_it)
{
    struct lab lab;
    struct error err = {0};
    const char *keys = "  - {name: long, kind: psk}";
    lab_open_policy(&lab, LAB_DERIVES, lab_policy_text(NULL, keys, "long"));
    warm_up(&lab);
    cr_assert_eq(lab_reload(&lab, lab_policy_text("prf: derive", keys, "long"), &err),
                 MIKEYD_POLICY);
    lab_close(&lab);
}
