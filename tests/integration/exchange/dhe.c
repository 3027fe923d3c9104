/* Forward secrecy: methods psk-dhe and dhhmac (RFC 4650) between two ends, and what policy says. */
#include <string.h>

#include <criterion/criterion.h>

#include "exchange/service.h"
#include "lab.h"

TestSuite(dhe, .timeout = 300);

static const struct exchange_stream one[] = {{.ssrc = 0x11223344}};
static struct lab_result offer, answer, got;
static struct lab_bytes message;
static struct error err;

#define LEGACY "  - {name: legacy, kind: psk}"

static enum mikeyd_status initiate(struct lab *lab, enum policy_method method,
                                   struct lab_result *out)
{
    struct exchange_request request = {.operation = EXCHANGE_INITIATE,
                                       .from = LAB_A,
                                       .to = LAB_B,
                                       .streams = one,
                                       .stream_count = 1,
                                       .method = method,
                                       .verify = true};
    return lab_serve(lab->a, LAB_UID_A, &request, out);
}

static void call(struct lab *lab, enum policy_method method)
{
    lab_must(initiate(lab, method, &offer), offer);
    cr_assert_eq(offer.key_count, 0, "no keys before the answer");
    lab_must(lab_respond(lab, &offer.message, NULL, &answer), answer);
    lab_must(lab_confirm(lab, &offer.ticket, &answer.message, &got), got);
    cr_assert(lab_same_keys(&answer, &got));
}

static const struct mikey_method *method_of(const struct lab_bytes *bytes)
{
    static struct mikey_message m;
    cr_assert_eq(mikey_parse(bytes->data, bytes->len, &m, NULL, &err), MIKEYD_OK, "%s", err.text);
    return mikey_message_method(&m);
}

static uint8_t group_of(const struct lab_bytes *bytes)
{
    static struct mikey_message m;
    cr_assert_eq(mikey_parse(bytes->data, bytes->len, &m, NULL, &err), MIKEYD_OK, "%s", err.text);
    return m.dh_count == 0 ? 1 : m.dh[0].group;
}

/* ---- both ends */

Test(dhe, psk_dhe_gives_both_ends_the_same_keys_once_each)
{
    struct lab lab;
    static struct lab_result first;
    lab_open(&lab, LAB_ANY, "forward_secrecy: required");
    call(&lab, POLICY_METHOD_BY_POLICY);
    cr_assert_eq(method_of(&offer.message), &mikey_method_psk_dhe);
    cr_assert_eq(method_of(&answer.message), &mikey_method_psk_dhe);
    first = got;
    call(&lab, POLICY_METHOD_PSK_DHE);
    cr_assert_neq(memcmp(&first.keys[0].value, &got.keys[0].value, sizeof got.keys[0].value), 0);
    lab_refused(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got, MIKEYD_REPLAY);
    lab_refused(lab_respond(&lab, &offer.message, NULL, &got), got, MIKEYD_REPLAY);
    cr_assert_eq(lab_audit_count(&lab, "\"psk-dhe\""), 6);
    lab_close(&lab);
}

Test(dhe, dhhmac_gives_both_ends_the_same_keys)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    call(&lab, POLICY_METHOD_DHHMAC);
    cr_assert_eq(method_of(&offer.message), &mikey_method_dhhmac);
    cr_assert_eq(group_of(&offer.message), MIKEY_GROUP_X25519);
    cr_assert_eq(lab_audit_count(&lab, "\"dhhmac\""), 3);
    lab_close(&lab);
}

Test(dhe, both_methods_work_with_mikey_1)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, "algorithms: mikey-1, suites: [AES_CM_128_HMAC_SHA1_80]");
    call(&lab, POLICY_METHOD_DHHMAC);
    call(&lab, POLICY_METHOD_PSK_DHE);
    lab_close(&lab);
}

Test(dhe, oakley_5_is_used_where_the_policy_says_so_and_never_for_psk_dhe)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, "dh_group: oakley-5");
    call(&lab, POLICY_METHOD_DHHMAC);
    cr_assert_eq(group_of(&offer.message), MIKEY_GROUP_OAKLEY_5);
    call(&lab, POLICY_METHOD_PSK_DHE);
    cr_assert_eq(group_of(&offer.message), MIKEY_GROUP_X25519);
    lab_close(&lab);
}

Test(dhe, works_with_pair_keys_and_a_psk_of_several_blocks)
{
    struct lab lab;
    lab_open_token(&lab, LAB_ANY);
    lab_prepare_pairs(&lab, "core", 1);
    const char *const keys = "  - {name: core, kind: epsk}\n  - {name: long, kind: psk}";
    cr_assert_eq(lab_start_service(&lab, lab_policy_text("mki_bytes: 4", keys, "core"), &err),
                 MIKEYD_OK, "%s", err.text);
    lab_start_workers(&lab);
    call(&lab, POLICY_METHOD_PSK_DHE);
    cr_assert_eq(got.keys[0].mki_len, 4);
    cr_assert_eq(lab_reload(&lab, lab_policy_text(NULL, keys, "long"), &err), MIKEYD_OK);
    call(&lab, POLICY_METHOD_PSK_DHE);
    lab_close(&lab);
}

Test(dhe, an_open_ssrc_is_filled_in_by_the_responder)
{
    struct lab lab;
    static const struct exchange_stream two[] = {{.ssrc = 7}, {.ssrc = 0}};
    lab_open(&lab, LAB_ANY, "forward_secrecy: required");
    lab_must(lab_initiate(&lab, two, 2, true, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    cr_assert(lab_same_keys(&answer, &got));
    cr_assert_neq(got.keys[1].ssrc, 0);
    lab_close(&lab);
}

/* One request to the keyholder a message: seal; open with the answer's MAC and K_psk; open. */
Test(dhe, each_message_is_one_call_of_the_keyholder)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, "forward_secrecy: required");
    call(&lab, POLICY_METHOD_BY_POLICY);
    const uint64_t before = lab_facts(&lab).uses;
    call(&lab, POLICY_METHOD_BY_POLICY);
    cr_assert_eq(lab_facts(&lab).uses - before, 3);
    lab_close(&lab);
}

/* ---- what a message may cost before it is known to be authentic */

static unsigned made, agreed;

enum mikeyd_status __real_mikey_dh_make(uint8_t group, struct mikey_dh_pair *out,
                                        struct error *why);
enum mikeyd_status __wrap_mikey_dh_make(uint8_t group, struct mikey_dh_pair *out,
                                        struct error *why);
enum mikeyd_status __wrap_mikey_dh_make(uint8_t group, struct mikey_dh_pair *out, struct error *why)
{
    made++;
    return __real_mikey_dh_make(group, out, why);
}

enum mikeyd_status __real_mikey_dh_agree(const struct mikey_dh_pair *own, const uint8_t *peer,
                                         size_t peer_len, uint8_t *shared, struct error *why);
enum mikeyd_status __wrap_mikey_dh_agree(const struct mikey_dh_pair *own, const uint8_t *peer,
                                         size_t peer_len, uint8_t *shared, struct error *why);
enum mikeyd_status __wrap_mikey_dh_agree(const struct mikey_dh_pair *own, const uint8_t *peer,
                                         size_t peer_len, uint8_t *shared, struct error *why)
{
    agreed++;
    return __real_mikey_dh_agree(own, peer, peer_len, shared, why);
}

static void value_of(const struct lab_bytes *bytes, uint8_t out[MIKEY_DH_VALUE_MAX])
{
    static struct mikey_message m;
    cr_assert_eq(mikey_parse(bytes->data, bytes->len, &m, NULL, &err), MIKEYD_OK, "%s", err.text);
    memcpy(out, m.dh[0].value, m.dh[0].len);
}

/* One value stands ready for the next answer; only an authentic message uses it up. */
static void forge_and_answer(struct lab *lab, enum policy_method method, unsigned ready)
{
    static struct lab_result refused;
    uint8_t first[MIKEY_DH_VALUE_MAX] = {0}, second[MIKEY_DH_VALUE_MAX] = {0};
    lab_must(initiate(lab, method, &offer), offer);
    made = agreed = 0;
    for (int i = 0; i < 30; i++) {
        message = offer.message;
        message.data[message.len - 1 - (size_t)i % 20] ^= 1;
        lab_refused(lab_respond(lab, &message, NULL, &refused), refused, MIKEYD_AUTH_FAILED);
    }
    cr_assert_eq(made, 1 - ready, "%u values made for 30 forged messages", made);
    cr_assert_eq(agreed, 0);
    lab_must(lab_respond(lab, &offer.message, NULL, &answer), answer);
    cr_assert_eq(made, 1 - ready);
    cr_assert_eq(agreed, 1);
    value_of(&answer.message, first);
    lab_must(initiate(lab, method, &offer), offer);
    lab_must(lab_respond(lab, &offer.message, NULL, &answer), answer);
    value_of(&answer.message, second);
    cr_assert_neq(memcmp(first, second, sizeof first), 0, "a value serves one answer");
}

Test(dhe, forged_messages_cost_no_exchange_and_leave_the_value_for_the_next)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, "dh_group: oakley-5");
    forge_and_answer(&lab, POLICY_METHOD_DHHMAC, 0);
    forge_and_answer(&lab, POLICY_METHOD_PSK_DHE, 0);
    /* One that is ready in another group does not serve. */
    static struct lab_result refused;
    lab_must(initiate(&lab, POLICY_METHOD_DHHMAC, &offer), offer);
    offer.message.data[offer.message.len - 1] ^= 1;
    lab_refused(lab_respond(&lab, &offer.message, NULL, &refused), refused, MIKEYD_AUTH_FAILED);
    call(&lab, POLICY_METHOD_PSK_DHE);
    lab_close(&lab);
}

/* The value was in an answer whose MAC was made: it is in no other, though nobody got that answer. */
Test(dhe, an_authentic_message_that_is_refused_uses_its_value_up)
{
    static const uint8_t zeros[32];
    static struct lab_result refused;
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    const struct mikey_dh dh = {.group = MIKEY_GROUP_X25519, .value = zeros, .len = 32};
    struct mikey_init init = lab_peer_offer();
    init.key_count = 0;
    init.method = &mikey_method_dhhmac;
    init.dh = &dh;
    lab_seal(&init, lab_psk, 32, &message);
    made = 0;
    lab_refused(lab_respond(&lab, &message, NULL, &refused), refused, MIKEYD_SYNTAX);
    cr_assert_eq(made, 1);
    static const struct worker_ready none;
    cr_assert_eq(memcmp(lab.b->ready, &none, sizeof none), 0);
    lab_close(&lab);
}

/* ---- updates */

static void update(struct lab *lab)
{
    static struct lab_bytes responder;
    responder = answer.ticket;
    lab_must(lab_update(lab, &got.ticket, NULL, 0, &offer), offer);
    lab_must(lab_respond(lab, &offer.message, &responder, &answer), answer);
    lab_must(lab_confirm(lab, &offer.ticket, &answer.message, &got), got);
    cr_assert(lab_same_keys(&answer, &got));
}

Test(dhe, updates_bring_new_values_and_new_keys)
{
    static const enum policy_method methods[] = {POLICY_METHOD_PSK_DHE, POLICY_METHOD_DHHMAC};
    struct lab lab;
    static struct lab_result before;
    lab_open(&lab, LAB_ANY, "mki_bytes: 4");
    for (size_t i = 0; i < 2; i++) {
        call(&lab, methods[i]);
        for (int n = 0; n < 2; n++) {
            before = got;
            update(&lab);
            cr_assert_eq(got.csb_id, before.csb_id);
            cr_assert_neq(memcmp(got.keys[0].value.key, before.keys[0].value.key, 32), 0);
            cr_assert_neq(memcmp(got.mki[0], before.mki[0], 4), 0, "a new key has a new MKI");
        }
    }
    lab_close(&lab);
}

/* A peer of RFC 4650: its value, and updates that have none and keep the TGK (3.1). */
static void peer_calls(struct lab *lab, struct mikey_init *init, struct mikey_dh_pair *pair)
{
    static struct mikey_dh dh;
    cr_assert_eq(mikey_dh_make(MIKEY_GROUP_X25519, pair, &err), MIKEYD_OK);
    dh = (struct mikey_dh){.group = MIKEY_GROUP_X25519, .value = pair->value, .len = 32};
    *init = lab_peer_offer();
    init->key_count = 0;
    init->method = &mikey_method_dhhmac;
    init->dh = &dh;
    lab_seal(init, lab_psk, 32, &message);
    lab_must(lab_respond(lab, &message, NULL, &answer), answer);
    init->update = true;
}

Test(dhe, an_update_without_a_value_keeps_the_keys_and_may_add_streams)
{
    struct lab lab;
    struct mikey_init init;
    struct mikey_dh_pair pair;
    lab_open(&lab, LAB_ANY, NULL);
    peer_calls(&lab, &init, &pair);
    static struct lab_result before;
    before = answer;
    const struct mikey_stream streams[] = {init.streams[0],
                                           {.ssrc = 0x77, .suite = SRTP_AEAD_AES_256_GCM}};
    init.dh = NULL;
    init.streams = streams;
    init.stream_count = 2;
    init.t++;
    lab_seal(&init, lab_psk, 32, &message);
    made = agreed = 0;
    lab_must(lab_respond(&lab, &message, &before.ticket, &answer), answer);
    cr_assert_eq(made + agreed, 0);
    cr_assert_eq(answer.key_count, 2);
    cr_assert_eq(memcmp(&answer.keys[0].value, &before.keys[0].value, sizeof got.keys[0].value), 0);
    cr_assert_eq(answer.keys[1].ssrc, 0x77);
    static struct mikey_message m;
    cr_assert_eq(mikey_parse(answer.message.data, answer.message.len, &m, NULL, &err), MIKEYD_OK,
                 "%s", err.text);
    cr_assert_eq(m.type, MIKEY_TYPE_DHHMAC_RESP);
    cr_assert_eq(m.dh_count, 0, "neither DHr nor DHi");
    /* And one with a value again, in the same bundle. */
    const struct mikey_dh dh = {.group = MIKEY_GROUP_X25519, .value = pair.value, .len = 32};
    init.dh = &dh;
    init.t++;
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(&lab, &message, &answer.ticket, &got), got);
    cr_assert_neq(memcmp(&got.keys[0].value, &before.keys[0].value, sizeof got.keys[0].value), 0);
    lab_close(&lab);
}

/* RFC 3711 3.2.1, RFC 3830 A.1: one length of MKI, and another one for another key. */
Test(dhe, a_new_value_under_the_old_mki_or_one_of_another_length_is_refused)
{
    static const struct {
        const char *mki;
        size_t len;
        enum mikeyd_status status;
    } mkis[] = {{"\1\2\3\4", 4, MIKEYD_UNSUPPORTED},
                {"\1\2\3", 3, MIKEYD_UNSUPPORTED},
                {"", 0, MIKEYD_UNSUPPORTED},
                {"\1\2\3\5", 4, MIKEYD_OK}};
    struct lab lab;
    struct mikey_dh_pair pair;
    lab_open(&lab, LAB_ANY, NULL);
    cr_assert_eq(mikey_dh_make(MIKEY_GROUP_X25519, &pair, &err), MIKEYD_OK);
    struct mikey_dh dh = {.group = MIKEY_GROUP_X25519, .value = pair.value, .len = 32};
    struct mikey_init init = lab_peer_offer();
    init.key_count = 0;
    init.method = &mikey_method_dhhmac;
    init.dh = &dh;
    dh.spi = (const uint8_t *)mkis[0].mki;
    dh.spi_len = 4;
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(&lab, &message, NULL, &answer), answer);
    init.update = true;
    for (size_t i = 0; i < 4; i++) {
        dh.spi = (const uint8_t *)mkis[i].mki;
        dh.spi_len = mkis[i].len;
        init.t++;
        lab_seal(&init, lab_psk, 32, &message);
        cr_expect_eq(lab_respond(&lab, &message, &answer.ticket, &got), mkis[i].status, "%zu: %s",
                     i, got.err.text);
    }
    lab_close(&lab);
}

/* RFC 4650 4.2 prints "2 (NULL)" where RFC 3830 and the registry have 0. */
Test(dhe, a_peer_that_follows_the_print_of_rfc_4650_is_understood)
{
    struct lab lab;
    struct mikey_dh_pair pair;
    lab_open(&lab, LAB_ANY, NULL);
    cr_assert_eq(mikey_dh_make(MIKEY_GROUP_X25519, &pair, &err), MIKEYD_OK);
    const struct mikey_dh dh = {.group = MIKEY_GROUP_X25519, .value = pair.value, .len = 32};
    struct mikey_init init = lab_peer_offer();
    init.key_count = 0;
    init.method = &mikey_method_dhhmac;
    init.dh = &dh;
    lab_seal(&init, lab_psk, 32, &message);
    uint8_t *encryption = &message.data[message.len - 32 - 4]; /* Encr alg, length, Mac alg, MAC */
    cr_assert_eq(*encryption, 0);
    *encryption = 2;
    lab_remac(&message, &init, lab_psk, 32);
    lab_must(lab_respond(&lab, &message, NULL, &got), got);
    lab_close(&lab);
}

/* RFC 3830 6.12: error 6, Invalid DH. */
Test(dhe, a_peer_of_another_group_is_told_so)
{
    struct lab lab;
    static struct mikey_message m;
    lab_open(&lab, LAB_ANY, "dh_group: oakley-5");
    lab_must(initiate(&lab, POLICY_METHOD_DHHMAC, &offer), offer);
    cr_assert_eq(lab_reload(&lab, lab_policy_text("error_messages: sent", LEGACY, "legacy"), &err),
                 MIKEYD_OK, "%s", err.text);
    struct exchange_request request = {.operation = EXCHANGE_RESPOND,
                                       .as = LAB_B,
                                       .error_message = true,
                                       .message = offer.message.data,
                                       .message_len = offer.message.len};
    cr_assert_eq(lab_serve(lab.b, LAB_UID_B, &request, &got), MIKEYD_POLICY);
    cr_assert_eq(mikey_parse(got.message.data, got.message.len, &m, NULL, &err), MIKEYD_OK, "%s",
                 err.text);
    cr_assert_eq(m.type, MIKEY_TYPE_ERROR);
    cr_assert_eq(m.error[0], 6);
    lab_close(&lab);
}

Test(dhe, an_update_without_a_value_is_authenticated_and_of_its_bundle)
{
    struct lab lab;
    struct mikey_init init;
    struct mikey_dh_pair pair;
    static struct lab_result refused;
    lab_open(&lab, LAB_ANY, NULL);
    peer_calls(&lab, &init, &pair);
    init.dh = NULL;
    init.t++;
    lab_seal(&init, lab_psk_2, 32, &message);
    lab_refused(lab_respond(&lab, &message, &answer.ticket, &refused), refused, MIKEYD_AUTH_FAILED);
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(lab_respond(&lab, &message, NULL, &refused), refused, MIKEYD_TICKET_INVALID);
    lab_must(lab_respond(&lab, &message, &answer.ticket, &got), got);
    lab_close(&lab);
}

/* We sent a value: an answer without one gives no keys. */
Test(dhe, an_answer_without_values_to_an_offer_with_one_is_refused)
{
    struct lab lab;
    static struct lab_result refused;
    lab_open(&lab, LAB_ANY, NULL);
    call(&lab, POLICY_METHOD_DHHMAC);
    lab_must(lab_update(&lab, &got.ticket, NULL, 0, &offer), offer);
    /* The answer to a message that is like ours but for the value. */
    struct mikey_init init = lab_peer_offer();
    static struct mikey_message m;
    cr_assert_eq(mikey_parse(offer.message.data, offer.message.len, &m, NULL, &err), MIKEYD_OK);
    init.key_count = 0;
    init.method = &mikey_method_dhhmac;
    init.update = true;
    init.csb_id = m.csb_id;
    init.t = m.t.value;
    init.streams =
        &(const struct mikey_stream){.ssrc = one[0].ssrc, .suite = SRTP_AEAD_AES_256_GCM};
    lab_seal(&init, lab_psk, 32, &message);
    cr_assert_eq(mikey_parse(message.data, message.len, &m, NULL, &err), MIKEYD_OK, "%s", err.text);
    static struct lab_bytes draft;
    struct mikey_covered covered;
    struct byte_writer w = writer_of(draft.data, sizeof draft.data);
    cr_assert_eq(mikey_draft_exchange(&m, m.cs, NULL, &init.idi, &w, &covered, &err), MIKEYD_OK,
                 "%s", err.text);
    draft.len = w.len + m.mac_len;
    lab_remac(&draft, &init, lab_psk, 32);
    lab_refused(lab_confirm(&lab, &offer.ticket, &draft, &refused), refused, MIKEYD_SYNTAX);
    cr_assert_not_null(strstr(refused.err.text, "no Diffie-Hellman values"), "%s",
                       refused.err.text);
    lab_close(&lab);
}

/* A bundle goes on by the method it began with: a psk update would carry its keys under the PSK. */
Test(dhe, a_bundle_is_not_updated_by_another_method)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    call(&lab, POLICY_METHOD_PSK_DHE);
    struct mikey_init init = lab_peer_offer();
    init.update = true;
    init.csb_id = got.csb_id;
    lab_seal(&init, lab_psk, 32, &message);
    static struct lab_result refused;
    lab_refused(lab_respond(&lab, &message, &answer.ticket, &refused), refused, MIKEYD_POLICY);
    cr_assert_not_null(strstr(refused.err.text, "another method"), "%s", refused.err.text);
    lab_close(&lab);
}

/* ---- policy and downgrade */

Test(dhe, psk_is_refused_at_both_ends_where_secrecy_is_required)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, "forward_secrecy: required");
    lab_refused(initiate(&lab, POLICY_METHOD_PSK, &offer), offer, MIKEYD_POLICY);
    const struct mikey_init init = lab_peer_offer();
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_POLICY);
    cr_assert_not_null(strstr(got.err.text, "forward secrecy"), "%s", got.err.text);
    call(&lab, POLICY_METHOD_DHHMAC);
    lab_close(&lab);
}

Test(dhe, preferred_offers_psk_dhe_and_takes_psk)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, "forward_secrecy: preferred");
    call(&lab, POLICY_METHOD_BY_POLICY);
    cr_assert_eq(method_of(&offer.message), &mikey_method_psk_dhe);
    const struct mikey_init init = lab_peer_offer();
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(lab_respond(&lab, &message, NULL, &got), got);
    call(&lab, POLICY_METHOD_PSK);
    lab_close(&lab);
}

Test(dhe, off_offers_psk)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, "forward_secrecy: off");
    call(&lab, POLICY_METHOD_BY_POLICY);
    cr_assert_eq(method_of(&offer.message), &mikey_method_psk);
    lab_close(&lab);
}

/* Whatever answers a psk-dhe offer, the initiator takes keys of psk-dhe or none. */
Test(dhe, an_answer_of_less_is_refused_and_spoils_nothing)
{
    struct lab lab;
    static struct lab_result dhe, other, refused;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(initiate(&lab, POLICY_METHOD_PSK_DHE, &dhe), dhe);
    static const enum policy_method lesser[] = {POLICY_METHOD_PSK, POLICY_METHOD_DHHMAC};
    for (size_t i = 0; i < 2; i++) {
        lab_must(initiate(&lab, lesser[i], &other), other);
        lab_must(lab_respond(&lab, &other.message, NULL, &answer), answer);
        cr_assert_neq(lab_confirm(&lab, &dhe.ticket, &answer.message, &refused), MIKEYD_OK);
        cr_assert(lab_is_empty(&refused));
    }
    lab_must(lab_respond(&lab, &dhe.message, NULL, &answer), answer);
    lab_must(lab_confirm(&lab, &dhe.ticket, &answer.message, &got), got);
    lab_close(&lab);
}

/* A policy that was tightened meanwhile holds for what is under way. */
Test(dhe, a_psk_ticket_is_not_confirmed_once_secrecy_is_required)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(initiate(&lab, POLICY_METHOD_PSK, &offer), offer);
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    cr_assert_eq(
        lab_reload(&lab, lab_policy_text("forward_secrecy: required", LEGACY, "legacy"), &err),
        MIKEYD_OK);
    lab_refused(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got, MIKEYD_POLICY);
    lab_close(&lab);
}

Test(dhe, another_group_than_the_policys_is_refused)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, "dh_group: oakley-5");
    lab_must(initiate(&lab, POLICY_METHOD_DHHMAC, &offer), offer);
    cr_assert_eq(lab_reload(&lab, lab_policy_text(NULL, LEGACY, "legacy"), &err), MIKEYD_OK);
    lab_refused(lab_respond(&lab, &offer.message, NULL, &got), got, MIKEYD_POLICY);
    cr_assert_not_null(strstr(got.err.text, "oakley-5"), "%s", got.err.text);
    lab_close(&lab);
}

Test(dhe, no_answer_wanted_means_no_offer)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, "forward_secrecy: preferred, verification: allowed");
    lab_refused(lab_initiate(&lab, one, 1, false, &offer), offer, MIKEYD_INVALID_ARGUMENT);
    cr_assert_not_null(strstr(offer.err.text, "verification"), "%s", offer.err.text);
    lab_close(&lab);
}

/* ---- what is damaged or not a value */

Test(dhe, no_flipped_bit_passes_and_none_spoils_the_exchange)
{
    static const enum policy_method methods[] = {POLICY_METHOD_PSK_DHE, POLICY_METHOD_DHHMAC};
    struct lab lab;
    static struct lab_result refused;
    lab_open(&lab, LAB_ANY, NULL);
    for (size_t n = 0; n < 2; n++) {
        lab_must(initiate(&lab, methods[n], &offer), offer);
        for (size_t bit = 0; bit < 8 * offer.message.len; bit++) {
            message = offer.message;
            message.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            cr_assert_neq(lab_respond(&lab, &message, NULL, &refused), MIKEYD_OK, "bit %zu", bit);
            cr_assert(lab_is_empty(&refused));
        }
        lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
        for (size_t bit = 0; bit < 8 * answer.message.len; bit++) {
            message = answer.message;
            message.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            cr_assert_neq(lab_confirm(&lab, &offer.ticket, &message, &refused), MIKEYD_OK,
                          "bit %zu", bit);
            cr_assert(lab_is_empty(&refused));
        }
        lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
        cr_assert(lab_same_keys(&answer, &got));
    }
    lab_close(&lab);
}

/* A peer with the right PSK that sends a point of small order, to know the Diffie-Hellman secret. */
Test(dhe, a_point_of_small_order_under_a_right_mac_gives_no_keys)
{
    static const struct mikey_method *const methods[] = {&mikey_method_psk_dhe,
                                                         &mikey_method_dhhmac};
    static const uint8_t zeros[32];
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    for (size_t i = 0; i < 2; i++) {
        const struct mikey_dh dh = {.group = MIKEY_GROUP_X25519, .value = zeros, .len = 32};
        struct mikey_init init = lab_peer_offer();
        init.csb_id += (uint32_t)i;
        init.key_count = 0;
        init.method = methods[i];
        init.dh = &dh;
        lab_seal(&init, lab_psk, 32, &message);
        lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_SYNTAX);
        cr_assert_not_null(strstr(got.err.text, "small order"), "%s", got.err.text);
    }
    lab_close(&lab);
}

/* RFC 4650 3: a lone ID is the responder's; who calls is then for the carrier to say. */
Test(dhe, our_own_message_sent_back_is_refused)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(initiate(&lab, POLICY_METHOD_DHHMAC, &offer), offer);
    struct exchange_request request = {.operation = EXCHANGE_RESPOND,
                                       .as = LAB_A,
                                       .message = offer.message.data,
                                       .message_len = offer.message.len};
    lab_refused(lab_serve(lab.a, LAB_UID_A, &request, &got), got, MIKEYD_AUTH_FAILED);
    lab_refused(lab_confirm(&lab, &offer.ticket, &offer.message, &got), got, MIKEYD_AUTH_FAILED);
    lab_close(&lab);
}
