/* What a keyholder computes, against the same by OpenSSL on the key in clear: bit for bit. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <openssl/evp.h>

#include "base/secret.h"
#include "keyholder/holder.h"
#include "lab.h"

static struct lab lab;
static struct lab_host host;
static struct door_answer answer;

static void stop(void)
{
    lab_close(&lab);
}
TestSuite(keyholder_use, .fini = stop, .timeout = 120);

static const enum mikey_algorithms both[] = {MIKEY_ALGORITHMS_1, MIKEY_ALGORITHMS_256};

static void assert_seals_like(const struct keys_name *name, enum mikey_algorithms algorithms,
                              const uint8_t *psk, size_t psk_len)
{
    uint8_t covered[2048], mac[32];
    const struct door_request request = lab_seal(name, algorithms);
    lab_host_open(&host, psk, psk_len);
    (void)lab_host_message(&host, algorithms, covered, mac);
    lab_host_close(&host);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert_eq(answer.seal.encrypted_len, sizeof lab_key_data);
    cr_assert_arr_eq(answer.seal.encrypted, covered + sizeof lab_head, sizeof lab_key_data);
    cr_assert_eq(answer.seal.mac_len, algorithms == MIKEY_ALGORITHMS_256 ? 32u : 20u);
    cr_assert_arr_eq(answer.seal.mac, mac, answer.seal.mac_len);
}

Test(keyholder_use, a_sealed_message_is_the_hosts)
{
    lab_open(&lab, LAB_ANY);
    const struct keys_name plain = lab_psk("plain"), whole = lab_psk("long");
    for (size_t i = 0; i < 2; i++) {
        assert_seals_like(&plain, both[i], lab_plain, sizeof lab_plain);
        cr_assert_str_eq(answer.prf, lab_token_derives(&lab.fixture) ? "derive" : "sign");
        assert_seals_like(&whole, both[i], lab_long, sizeof lab_long);
        cr_assert_str_eq(answer.prf, "sign", "three blocks");
    }
}

Test(keyholder_use, the_mac_on_the_host_is_the_same)
{
    lab_open(&lab, LAB_ANY);
    struct keys_name name = lab_psk("plain");
    name.how = KEYS_MAC_HOST | KEYS_NO_COPIES;
    assert_seals_like(&name, MIKEY_ALGORITHMS_256, lab_plain, sizeof lab_plain);
}

Test(keyholder_use, the_mac_on_the_host_costs_the_token_no_object)
{
    lab_open(&lab, LAB_SIGNS);
    struct keys_name name = lab_psk("plain");
    assert_seals_like(&name, MIKEY_ALGORITHMS_256, lab_plain, sizeof lab_plain);
    const struct door_facts before = lab_facts(&lab);
    cr_assert_gt(before.objects_created, 0);
    name.how = KEYS_MAC_HOST;
    assert_seals_like(&name, MIKEY_ALGORITHMS_256, lab_plain, sizeof lab_plain);
    cr_assert_eq(lab_facts(&lab).objects_created, before.objects_created);
}

Test(keyholder_use, a_key_is_copied_on_first_use_unless_the_policy_forbids_it)
{
    lab_make(&lab, lab_token_of_run(LAB_DERIVES));
    lab.config.session_copies = TOKEN_COPIES_ON;
    lab_start(&lab);
    struct keys_name name = lab_psk("plain");
    name.how = KEYS_NO_COPIES;
    const uint64_t first = lab_facts(&lab).objects_created;
    assert_seals_like(&name, MIKEY_ALGORITHMS_256, lab_plain, sizeof lab_plain);
    const uint64_t each = lab_facts(&lab).objects_created - first;
    name = lab_psk("long"); /* its three blocks, and the MAC's object */
    const uint64_t before = lab_facts(&lab).objects_created;
    assert_seals_like(&name, MIKEY_ALGORITHMS_256, lab_long, sizeof lab_long);
    cr_assert_eq(lab_facts(&lab).objects_created - before, 4);
    assert_seals_like(&name, MIKEY_ALGORITHMS_256, lab_long, sizeof lab_long);
    cr_assert_eq(lab_facts(&lab).objects_created - before, 5, "the copies are there");
    cr_assert_eq(each, 2, "encryption and authentication key");
}

Test(keyholder_use, each_direction_of_a_pair_has_its_own_key)
{
    uint8_t key[2][32];
    lab_open(&lab, LAB_ANY);
    for (size_t i = 0; i < 2; i++) {
        for (int reverse = 0; reverse < 2; reverse++) {
            const struct keys_name name = lab_pair(both[i], reverse != 0);
            lab_pair_key(&name, key[reverse]);
            assert_seals_like(&name, both[i], key[reverse], 32);
            assert_seals_like(&name, both[i], key[reverse], 32); /* now it is at hand */
        }
        cr_assert_arr_neq(key[0], key[1], 32);
    }
    const struct door_facts facts = lab_facts(&lab);
    cr_assert_eq(facts.pair_misses, 4);
    cr_assert_eq(facts.pair_hits, 4);
    cr_assert_eq(facts.pair_entries, 4);
}

Test(keyholder_use, a_pair_key_is_prepared_before_it_is_asked_for)
{
    uint8_t key[32];
    lab_open(&lab, LAB_ANY);
    const struct keys_name name = lab_pair(MIKEY_ALGORITHMS_256, false);
    const struct door_request prepare = {.op = DOOR_PREPARE, .name = name};
    cr_assert_eq(lab_ask(&lab, &prepare, &answer), MIKEYD_OK, "%s", answer.text);
    lab_pair_key(&name, key);
    assert_seals_like(&name, MIKEY_ALGORITHMS_256, key, sizeof key);
    const struct door_facts facts = lab_facts(&lab);
    cr_assert_eq(facts.pair_hits, 1);
    cr_assert_eq(facts.uses, 1, "what is prepared is not used yet");
}

/* ---- opening */

struct arrived {
    uint8_t covered[2048], mac[32];
    size_t covered_len;
    struct mikey_covered reply;
    struct door_request request;
};

static void arrive(struct arrived *message, enum mikey_algorithms algorithms)
{
    static const uint8_t reply[] = "an R_MESSAGE", ids[] = "identities and timestamp";
    lab_host_open(&host, lab_plain, sizeof lab_plain);
    message->covered_len = lab_host_message(&host, algorithms, message->covered, message->mac);
    message->reply =
        (struct mikey_covered){.data = {reply, ids}, .len = {sizeof reply, sizeof ids}, .parts = 2};
    message->request = (struct door_request){.op = DOOR_OPEN,
                                             .name = lab_psk("plain"),
                                             .open = {.what = lab_derivation(algorithms, true),
                                                      .t = LAB_T,
                                                      .covered = message->covered,
                                                      .covered_len = message->covered_len,
                                                      .encrypted_at = sizeof lab_head,
                                                      .encrypted_len = sizeof lab_key_data,
                                                      .mac = message->mac,
                                                      .reply = &message->reply}};
}

static void host_tag(const struct mikey_covered *covered, enum mikey_algorithms algorithms,
                     uint8_t tag[32])
{
    const struct mikey_key_tag job = {.what = lab_derivation(algorithms, false),
                                      .covered = *covered};
    cr_assert_eq(host.key.ops->tag(&host.key, &job, tag, NULL), MIKEYD_OK);
}

Test(keyholder_use, an_authentic_message_opens_and_is_answered)
{
    struct arrived message;
    uint8_t v[32];
    lab_open(&lab, LAB_ANY);
    for (size_t i = 0; i < 2; i++) {
        arrive(&message, both[i]);
        host_tag(&message.reply, both[i], v);
        cr_assert_eq(lab_ask(&lab, &message.request, &answer), MIKEYD_OK, "%s", answer.text);
        cr_assert_eq(answer.open.plain_len, sizeof lab_key_data);
        cr_assert_arr_eq(answer.open.plain, lab_key_data, sizeof lab_key_data);
        cr_assert_eq(answer.open.v_len, both[i] == MIKEY_ALGORITHMS_256 ? 32u : 20u);
        cr_assert_arr_eq(answer.open.v, v, answer.open.v_len);
        message.request.open.reply = NULL;
        cr_assert_eq(lab_ask(&lab, &message.request, &answer), MIKEYD_OK, "%s", answer.text);
        cr_assert_eq(answer.open.v_len, 0);
        lab_host_close(&host);
    }
}

Test(keyholder_use, a_forged_message_gives_neither_key_data_nor_a_right_mac)
{
    struct arrived message;
    uint8_t v[32], right_mac[32];
    lab_open(&lab, LAB_ANY);
    arrive(&message, MIKEY_ALGORITHMS_256);
    host_tag(&message.reply, MIKEY_ALGORITHMS_256, v);
    /* The control: what is searched for below does stand in the answer to the authentic one. */
    cr_assert_eq(lab_ask(&lab, &message.request, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert(lab_holds(lab.in, lab.in_len, lab_key_data, 16));
    cr_assert(lab_holds(lab.in, lab.in_len, v, 16));
    memcpy(right_mac, message.mac, sizeof right_mac);
    for (size_t byte = 0; byte < 32; byte += 31) {
        message.mac[byte] ^= 1;
        cr_assert_eq(lab_ask(&lab, &message.request, &answer), MIKEYD_AUTH_FAILED);
        cr_assert_not(lab_holds(lab.in, lab.in_len, lab_key_data, 8));
        cr_assert_not(lab_holds(lab.in, lab.in_len, v, 8));
        cr_assert_not(lab_holds(lab.in, lab.in_len, right_mac, 8));
        message.mac[byte] ^= 1;
    }
    message.covered[3] ^= 0x80;
    cr_assert_eq(lab_ask(&lab, &message.request, &answer), MIKEYD_AUTH_FAILED);
    cr_assert_eq(lab_facts(&lab).uses, 4, "the forged ones, too");
    lab_host_close(&host);
}

static uint64_t hmacs_of(const struct door_request *request, enum mikeyd_status expected)
{
    const uint64_t before = lab_facts(&lab).hmacs;
    cr_assert_eq(lab_ask(&lab, request, &answer), expected, "%s", answer.text);
    return lab_facts(&lab).hmacs - before;
}

Test(keyholder_use, a_flood_of_forged_messages_costs_two_hmacs_and_the_mac_each)
{
    struct arrived message;
    lab_open(&lab, LAB_SIGNS);
    /* As on a token whose calls take long. */
    lab.holder->spreads = true;
    arrive(&message, MIKEY_ALGORITHMS_256);
    message.request.open.reply = NULL;
    cr_assert_eq(hmacs_of(&message.request, MIKEYD_OK), 7);
    message.mac[0] ^= 1;
    cr_assert_eq(hmacs_of(&message.request, MIKEYD_AUTH_FAILED), 7, "nobody could know");
    for (int i = 0; i < 3; i++)
        cr_assert_eq(hmacs_of(&message.request, MIKEYD_AUTH_FAILED), 3);
    message.mac[0] ^= 1;
    /* Authenticated first, an honest one costs no more HMACs, but more rounds. */
    for (int i = 0; i < 16; i++) {
        cr_assert_eq(lab.holder->wary, 16u - (unsigned)i);
        cr_assert_eq(hmacs_of(&message.request, MIKEYD_OK), 7);
    }
    cr_assert_eq(lab.holder->wary, 0, "the flood is over");
    lab_host_close(&host);
}

/* Both MACs are computed before one is believed: V of a forged message must not come out. */
Test(keyholder_use, v_computed_beside_the_check_comes_out_of_authentic_messages_only)
{
    struct arrived message;
    uint8_t v[32];
    lab_open(&lab, LAB_SIGNS);
    lab.holder->spreads = true;
    arrive(&message, MIKEY_ALGORITHMS_256);
    host_tag(&message.reply, MIKEY_ALGORITHMS_256, v);
    cr_assert_eq(hmacs_of(&message.request, MIKEYD_OK), 8);
    cr_assert_eq(lab_ask(&lab, &message.request, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert_eq(answer.open.v_len, 32);
    cr_assert_arr_eq(answer.open.v, v, 32);
    cr_assert(lab_holds(lab.in, lab.in_len, v, 16));
    message.mac[0] ^= 1;
    cr_assert_eq(lab_ask(&lab, &message.request, &answer), MIKEYD_AUTH_FAILED);
    cr_assert_not(lab_holds(lab.in, lab.in_len, v, 8));
    cr_assert_not(lab_holds(lab.in, lab.in_len, lab_key_data, 8));
    /* Of a flood each costs as little as ever. */
    for (int i = 0; i < 3; i++)
        cr_assert_eq(hmacs_of(&message.request, MIKEYD_AUTH_FAILED), 3);
    lab_host_close(&host);
}

/* ---- V, and keys that come out */

Test(keyholder_use, tags_are_the_hosts_and_checked)
{
    struct arrived message;
    uint8_t v[32];
    lab_open(&lab, LAB_ANY);
    arrive(&message, MIKEY_ALGORITHMS_256);
    host_tag(&message.reply, MIKEY_ALGORITHMS_256, v);
    struct door_request request = {
        .op = DOOR_TAG,
        .name = lab_psk("plain"),
        .tag = {
            .job = {.what = lab_derivation(MIKEY_ALGORITHMS_256, false), .covered = message.reply},
            .tag = v}};
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert_eq(answer.bytes.len, 32);
    cr_assert_arr_eq(answer.bytes.data, v, 32);
    request.op = DOOR_CHECK;
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    v[31] ^= 1;
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_AUTH_FAILED);
    v[31] ^= 1;
    cr_assert_not(lab_holds(lab.in, lab.in_len, v, 8));
    cr_assert_eq(lab_facts(&lab).uses, 3, "the wrong V, too");
    lab_host_close(&host);
}

Test(keyholder_use, a_derived_tgk_is_the_hosts)
{
    uint8_t want[32];
    lab_open(&lab, LAB_ANY);
    lab_host_open(&host, lab_plain, sizeof lab_plain);
    for (size_t i = 0; i < 2; i++) {
        const size_t len = both[i] == MIKEY_ALGORITHMS_256 ? 32 : 16;
        struct door_request request = {.op = DOOR_TGK,
                                       .name = lab_psk("plain"),
                                       .tgk = {.what = lab_derivation(both[i], false),
                                               .purpose = MIKEY_TGK_DERIVED,
                                               .len = len}};
        cr_assert_eq(
            host.key.ops->tgk(&host.key, &request.tgk.what, MIKEY_TGK_DERIVED, want, len, NULL),
            MIKEYD_OK);
        cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
        cr_assert_eq(answer.bytes.len, len);
        cr_assert_arr_eq(answer.bytes.data, want, len);
    }
    lab_host_close(&host);
}

Test(keyholder_use, the_ticket_key_of_a_day_is_an_hmac_over_its_number)
{
    static const uint8_t text[] = {'m', 'i', 'k', 'e', 'y', 'd', ' ',  't', 'i',
                                   'c', 'k', 'e', 't', 0,   0,   0x4f, 0x1a};
    uint8_t want[32];
    size_t len = 0;
    lab_open(&lab, LAB_ANY);
    struct door_request request = {.op = DOOR_TICKET_KEY_OF_DAY,
                                   .ticket = {.name = "tickets", .generation = 1, .day = 0x4f1a}};
    cr_assert_not_null(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, lab_ticket, sizeof lab_ticket,
                                 text, sizeof text, want, sizeof want, &len));
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert_eq(answer.bytes.len, 32);
    cr_assert_arr_eq(answer.bytes.data, want, 32);
    request.ticket.generation = 2;
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_TOKEN_DOWN);
}

/* ---- refusals */

Test(keyholder_use, a_key_that_is_not_here_is_named)
{
    lab_open(&lab, LAB_ANY);
    struct keys_name name = lab_psk("nobody");
    struct door_request request = lab_seal(&name, MIKEY_ALGORITHMS_256);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_TOKEN_DOWN);
    cr_assert_not_null(strstr(answer.text, "mikeyd/psk/nobody/1"), "%s", answer.text);
    name = lab_pair(MIKEY_ALGORITHMS_256, false);
    name.name = "other";
    request = lab_seal(&name, MIKEY_ALGORITHMS_256);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_TOKEN_DOWN);
    cr_assert_not_null(strstr(answer.text, "`mikeyctl key derive --name other`"), "%s",
                       answer.text);
    cr_assert_not_null(strstr(answer.text, LAB_A " -> " LAB_B), "%s", answer.text);
}

Test(keyholder_use, a_token_that_only_signs_refuses_what_must_be_derived)
{
    lab_open(&lab, LAB_SIGNS);
    struct keys_name name = lab_psk("plain");
    name.how = KEYS_MUST_DERIVE;
    const struct door_request request = lab_seal(&name, MIKEY_ALGORITHMS_256);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_POLICY);
    cr_assert_not_null(strstr(answer.text, "plain"), "%s", answer.text);
    cr_assert_not_null(strstr(answer.text, "token lab"), "%s", answer.text);
    cr_assert_eq(lab_facts(&lab).uses, 1, "what is refused counts as it was asked for");
}

Test(keyholder_use, a_token_that_derives_does_what_must_be_derived)
{
    lab_open(&lab, LAB_DERIVES);
    struct keys_name name = lab_psk("plain");
    name.how = KEYS_MUST_DERIVE;
    assert_seals_like(&name, MIKEY_ALGORITHMS_256, lab_plain, sizeof lab_plain);
    name = lab_psk("long");
    name.how = KEYS_MUST_DERIVE;
    const struct door_request request = lab_seal(&name, MIKEY_ALGORITHMS_256);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_POLICY, "it derives from one block");
}

Test(keyholder_use, a_key_whose_value_could_leave_the_token_is_refused)
{
    uint8_t value[32] = {1};
    lab_make(&lab, lab_token_of_run(LAB_SIGNS));
    cr_assert(
        token_fixture_key(&lab.fixture, &(struct token_fixture_key){.label = "mikeyd/psk/loose/1",
                                                                    .value = value,
                                                                    .len = sizeof value,
                                                                    .extractable = true}));
    lab.config.provisioning = true; /* or the token would not be opened at all */
    lab_start(&lab);
    const struct keys_name name = lab_psk("loose");
    const struct door_request request = lab_seal(&name, MIKEY_ALGORITHMS_256);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_POLICY);
    cr_assert_not_null(strstr(answer.text, "mikeyd/psk/loose/1 is refused"), "%s", answer.text);
}

/* ---- what the door carries */

struct searched {
    const char *what;
    uint8_t bytes[32];
    size_t len;
};

/* The message keys that seal and open use, by the host. */
static size_t message_keys(struct searched *out, const uint8_t *psk, size_t len)
{
    const struct mikey_derivation what = lab_derivation(MIKEY_ALGORITHMS_256, true);
    struct mikey_psk_port *port = &host.port;
    lab_host_open(&host, psk, len);
    cr_assert_eq(port->psk.ops->derive(&port->psk, &what, port->keys, NULL), MIKEYD_OK);
    out[0] = (struct searched){.what = "encryption key", .len = port->keys->encr_len};
    memcpy(out[0].bytes, port->keys->encr, out[0].len);
    out[1] = (struct searched){.what = "authentication key", .len = port->keys->auth_len};
    memcpy(out[1].bytes, port->keys->auth, out[1].len);
    out[2] = (struct searched){.what = "salting key", .len = port->keys->salt_len};
    memcpy(out[2].bytes, port->keys->salt, out[2].len);
    port->psk.ops->release(&port->psk, port->keys);
    lab_host_close(&host);
    return 3;
}

static size_t what_must_not_leave(struct searched *out)
{
    const struct keys_name name = lab_pair(MIKEY_ALGORITHMS_256, false);
    size_t count = message_keys(out, lab_plain, sizeof lab_plain);
    out[count] = (struct searched){.what = "pair key", .len = 32};
    lab_pair_key(&name, out[count++].bytes);
    count += message_keys(out + count, out[count - 1].bytes, 32);
    const uint8_t *const keys[] = {lab_plain, lab_long, lab_long + 32, lab_ticket, lab_epsk};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        out[count] = (struct searched){.what = "a key of the token", .len = 32};
        memcpy(out[count++].bytes, keys[i], 32);
    }
    return count;
}

static const char *found_in_answer(const struct searched *searched, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        /* Any eight bytes of it. */
        for (size_t at = 0; at + 8 <= searched[i].len; at++) {
            if (lab_holds(lab.in, lab.in_len, searched[i].bytes + at, 8))
                return searched[i].what;
        }
    }
    return NULL;
}

Test(keyholder_use, no_answer_carries_a_key_of_the_token_or_of_a_message)
{
    struct searched searched[16];
    struct arrived message;
    lab_open(&lab, LAB_ANY);
    const size_t count = what_must_not_leave(searched);
    arrive(&message, MIKEY_ALGORITHMS_256);
    lab_host_close(&host);
    const struct keys_name plain = lab_psk("plain"), pair = lab_pair(MIKEY_ALGORITHMS_256, false);
    const struct door_request requests[] = {
        lab_seal(&plain, MIKEY_ALGORITHMS_256),
        lab_seal(&pair, MIKEY_ALGORITHMS_256),
        message.request,
        {.op = DOOR_TAG,
         .name = plain,
         .tag.job = {.what = lab_derivation(MIKEY_ALGORITHMS_256, false),
                     .covered = message.reply}},
        {.op = DOOR_TGK,
         .name = pair,
         .tgk = {.what = lab_derivation(MIKEY_ALGORITHMS_256, false),
                 .purpose = MIKEY_TGK_DERIVED,
                 .len = 32}},
        {.op = DOOR_TICKET_KEY_OF_DAY,
         .ticket = {.name = "tickets", .generation = 1, .day = 20000}},
        {.op = DOOR_FACTS},
        {.op = DOOR_KEYS},
        {.op = DOOR_PROOF_OF,
         .proof = {.count = 1, .entry = {{.kind = KEYS_PSK, .name = "plain", .generation = 1}}}},
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        cr_assert_eq(lab_ask(&lab, &requests[i], &answer), MIKEYD_OK, "%s", answer.text);
        const char *found = found_in_answer(searched, count);
        cr_assert_null(found, "answer %zu carries: %s", i, found);
    }
    /* The control: the search does find what is there. */
    memcpy(lab.in + 5, searched[1].bytes + 3, 8);
    cr_assert_str_eq(found_in_answer(searched, count), "authentication key");
}
