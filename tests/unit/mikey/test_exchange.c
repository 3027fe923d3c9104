/* Rules of a call beyond its bytes: streams, SSRCs, replies, updates, algorithm sets. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/secret.h"
#include "mikey/wire.h"
#include "support.h"

static struct call call;
static struct mikey_message m;
static struct error err;

static void start(void)
{
    support_init();
    call_make(&call, MIKEY_ALGORITHMS_256);
}

static void stop(void)
{
    call_free(&call);
}

TestSuite(exchange, .init = start, .fini = stop);

static void seal(void)
{
    cr_assert_eq(call_seal(&call), MIKEYD_OK);
    cr_assert_eq(mikey_parse(call.message, call.message_len, &m, NULL, &err), MIKEYD_OK, "%s",
                 err.text);
}

/* A reply whose CS map is what the test wants, with a right V. */
static enum mikeyd_status reply_with(const struct mikey_cs *cs)
{
    struct byte_writer w = writer_of(call.reply, sizeof call.reply);
    enum mikeyd_status status =
        call_reply_to(&call, &m, cs, call.init.rand, call.init.rand_len, &w, &err);
    call.reply_len = w.len;
    return status;
}

/* Puts the right V under a reply that was changed by hand. */
static void authenticate_reply(void)
{
    const struct mikey_derivation what = {.prf = MIKEY_PRF_HMAC_SHA256,
                                          .csb_id = call.init.csb_id,
                                          .rand = call.init.rand,
                                          .rand_len = call.init.rand_len,
                                          .mac = MIKEY_MAC_SHA256};
    const uint8_t *data[] = {call.reply, call.init.idi.data, call.init.idr.data, m.t.raw};
    size_t len[] = {call.reply_len - 32, call.init.idi.len, call.init.idr.len, 8};
    cr_assert_eq(call.psk.ops->derive(&call.psk, &what, call.keys, &err), MIKEYD_OK);
    cr_assert_eq(call.psk.ops->mac(&call.psk, call.keys, data, len, 4,
                                   &call.reply[call.reply_len - 32], &err),
                 MIKEYD_OK);
    call.psk.ops->release(&call.psk, call.keys);
}

#define CS_AT(i) (10 + 9 * (i)) /* policy, SSRC, ROC */

static void answer(void)
{
    seal();
    cr_assert_eq(call_answer(&call), MIKEYD_OK);
    cr_assert_eq(call_verify(&call, call.reply, call.reply_len), MIKEYD_OK);
}

static void answer_refused(enum mikeyd_status expected)
{
    authenticate_reply();
    cr_assert_eq(call_verify(&call, call.reply, call.reply_len), expected);
}

Test(exchange, a_responder_must_fill_in_the_open_ssrcs)
{
    answer();
    memset(&call.reply[CS_AT(1) + 1], 0, 4);
    answer_refused(MIKEYD_SYNTAX);
}

Test(exchange, a_responder_must_not_change_a_chosen_ssrc)
{
    answer();
    call.reply[CS_AT(0) + 1] ^= 1;
    answer_refused(MIKEYD_SYNTAX);
}

Test(exchange, a_responder_must_not_reuse_an_ssrc)
{
    answer();
    memcpy(&call.reply[CS_AT(1) + 1], &call.reply[CS_AT(0) + 1], 4);
    answer_refused(MIKEYD_SYNTAX);
}

Test(exchange, a_responder_must_not_change_policy_or_roc)
{
    answer();
    call.reply[CS_AT(0)] = 1;
    answer_refused(MIKEYD_SYNTAX);
    call.streams[0].roc = 5;
    answer();
    call.reply[CS_AT(0) + 8] = 6;
    answer_refused(MIKEYD_SYNTAX);
}

/* RFC 3830 6.1.1: the sender of a stream states its ROC, for the open one and for one that the
 * initiator does not know it of. */
Test(exchange, a_responder_may_state_the_roc_that_the_initiator_does_not)
{
    answer();
    call.reply[CS_AT(1) + 8] = 1;
    call.reply[CS_AT(0) + 8] = 2;
    answer_refused(MIKEYD_OK);
}

Test(exchange, the_authenticated_reply_helper_makes_right_replies)
{
    answer();
    call.reply[CS_AT(1) + 1] ^= 0x40; /* another SSRC of the responder's choice */
    authenticate_reply();
    cr_assert_eq(call_verify(&call, call.reply, call.reply_len), MIKEYD_OK);
}

Test(exchange, we_do_not_answer_with_wrong_ssrcs_ourselves)
{
    seal();
    struct mikey_cs cs[2] = {m.cs[0], m.cs[1]};
    cr_assert_eq(reply_with(cs), MIKEYD_INVALID_ARGUMENT, "left open");
    cs[1].ssrc = cs[0].ssrc;
    cr_assert_eq(reply_with(cs), MIKEYD_INVALID_ARGUMENT, "reused");
    cs[1].ssrc = 1;
    cs[0].ssrc = 2;
    cr_assert_eq(reply_with(cs), MIKEYD_INVALID_ARGUMENT, "changed");
    cs[0] = m.cs[0];
    cr_assert_eq(reply_with(cs), MIKEYD_OK);
}

Test(exchange, two_open_ssrcs_must_be_filled_differently)
{
    call.streams[0].ssrc = 0;
    seal();
    struct mikey_cs cs[2] = {m.cs[0], m.cs[1]};
    cs[0].ssrc = cs[1].ssrc = 77;
    cr_assert_eq(reply_with(cs), MIKEYD_INVALID_ARGUMENT);
    cs[1].ssrc = 78;
    cr_assert_eq(reply_with(cs), MIKEYD_OK);
    cr_assert_eq(call_verify(&call, call.reply, call.reply_len), MIKEYD_OK);
}

Test(exchange, the_reply_repeats_the_timestamp)
{
    answer();
    call.reply[CS_AT(2) + 9] ^= 1; /* last byte of T: np, type, value */
    answer_refused(MIKEYD_SYNTAX);
}

Test(exchange, the_reply_is_for_this_bundle)
{
    answer();
    call.reply[4] ^= 1;
    answer_refused(MIKEYD_SYNTAX);
}

Test(exchange, the_reply_names_the_responder_that_was_called)
{
    answer();
    call.reply[CS_AT(2) + 10 + 4] ^= 1; /* first letter of bob */
    answer_refused(MIKEYD_SYNTAX);
}

Test(exchange, the_reply_uses_the_algorithms_of_the_call)
{
    answer();
    call.reply[3] = 0; /* PRF MIKEY-1 */
    answer_refused(MIKEYD_UNSUPPORTED);
}

Test(exchange, the_reply_has_as_many_streams_as_the_call)
{
    answer();
    call.init.stream_count = 1;
    cr_assert_eq(call_verify(&call, call.reply, call.reply_len), MIKEYD_SYNTAX);
}

Test(exchange, an_i_message_is_no_answer_to_itself)
{
    seal();
    cr_assert_eq(call_verify(&call, call.message, call.message_len), MIKEYD_SYNTAX);
}

Test(exchange, a_reply_is_no_i_message)
{
    answer();
    struct mikey_message r;
    cr_assert_eq(mikey_parse(call.reply, call.reply_len, &r, NULL, &err), MIKEYD_OK);
    cr_assert_eq(call_open(&call, &r, call.init.rand, 16, &err), MIKEYD_INVALID_ARGUMENT);
}

Test(exchange, v_covers_t_alone_for_a_peer_that_wants_it_so)
{
    seal();
    call.answer_rules.v_covers_t_only = true;
    cr_assert_eq(call_answer(&call), MIKEYD_OK);
    cr_assert_eq(call_verify(&call, call.reply, call.reply_len), MIKEYD_AUTH_FAILED);
    call.verify_rules.v_covers_t_only = true;
    cr_assert_eq(call_verify(&call, call.reply, call.reply_len), MIKEYD_OK);
    call.answer_rules.v_covers_t_only = false;
    cr_assert_eq(call_answer(&call), MIKEYD_OK);
    cr_assert_eq(call_verify(&call, call.reply, call.reply_len), MIKEYD_AUTH_FAILED);
}

Test(exchange, v_covers_the_identities_also_when_the_reply_does_not_carry_them)
{
    answer();
    call.init.idi.data = (const uint8_t *)"mallory@example.c";
    cr_assert_eq(call_verify(&call, call.reply, call.reply_len), MIKEYD_AUTH_FAILED);
}

Test(exchange, an_authenticated_error_is_told_from_a_reply)
{
    seal();
    struct byte_writer w = writer_of(call.reply, sizeof call.reply);
    cr_assert_eq(mikey_build_error(&m, &(struct mikey_refusal){.number = 9}, m.rand, m.rand_len,
                                   call_key(&call), &w, &err),
                 MIKEYD_OK);
    cr_assert_eq(call_verify(&call, call.reply, w.len), MIKEYD_OK);
    struct mikey_message r;
    cr_assert_eq(mikey_parse(call.reply, w.len, &r, NULL, &err), MIKEYD_OK);
    cr_assert_eq(r.type, MIKEY_TYPE_ERROR);
    cr_assert_eq(r.error[0], 9);
    call.reply[w.len - 1] ^= 1;
    cr_assert_eq(call_verify(&call, call.reply, w.len), MIKEYD_AUTH_FAILED);
}

Test(exchange, streams_of_different_suites_get_a_policy_each_and_equal_ones_share)
{
    struct mikey_stream streams[7];
    for (int i = 0; i < 7; i++)
        streams[i] = (struct mikey_stream){.ssrc = (uint32_t)i + 1,
                                           .suite = (enum srtp_suite)(i % SRTP_SUITE_COUNT)};
    call.init.streams = streams;
    call.init.stream_count = 7;
    seal();
    cr_assert_eq(m.cs_count, 7);
    cr_assert_eq(m.sp_count, 6);
    for (size_t i = 0; i < 7; i++) {
        enum srtp_suite suite;
        cr_assert_eq(mikey_sp_suite(mikey_find_sp(&m, m.cs[i].policy), &suite, &err), MIKEYD_OK);
        cr_assert_eq(suite, streams[i].suite);
    }
    cr_assert_eq(reply_with(m.cs), MIKEYD_OK);
    cr_assert_eq(call_verify(&call, call.reply, call.reply_len), MIKEYD_OK);
}

Test(exchange, a_call_with_255_streams_is_set_up)
{
    static struct mikey_stream streams[MIKEY_CS_MAX];
    static uint8_t large[8192];
    struct byte_writer w = writer_of(large, sizeof large);
    for (uint32_t i = 0; i < MIKEY_CS_MAX; i++)
        streams[i] = (struct mikey_stream){.ssrc = i + 1, .roc = i};
    call.init.streams = streams;
    call.init.stream_count = MIKEY_CS_MAX;
    cr_assert_eq(mikey_seal_init(&call.init, call_key(&call), call.plain, &w, &err), MIKEYD_OK);
    cr_assert_eq(mikey_parse(large, w.len, &m, NULL, &err), MIKEYD_OK);
    cr_assert_eq(m.cs[254].roc, 254);
}

Test(exchange, an_update_authenticates_with_the_rand_of_the_first_message_only)
{
    call.init.update = true;
    seal();
    cr_assert(mikey_is_update(&m));
    cr_assert_eq(m.encrypted_len, 41);
    cr_assert_eq(call_authenticate(&call, call.message, call.message_len), MIKEYD_OK);
    static const uint8_t other[16] = {1};
    cr_assert_eq(call_open(&call, &m, other, 16, &err), MIKEYD_AUTH_FAILED);
    cr_assert_eq(call_open(&call, &m, NULL, 0, &err), MIKEYD_UNSUPPORTED);
}

Test(exchange, an_update_may_come_without_keys_and_an_initial_message_may_not)
{
    call.init.key_count = 0;
    cr_assert_eq(call_seal(&call), MIKEYD_INVALID_ARGUMENT);
    call.init.update = true;
    seal();
    cr_assert_eq(m.encrypted_len, 0);
    call.data_count = 1;
    cr_assert_eq(call_authenticate(&call, call.message, call.message_len), MIKEYD_OK);
    cr_assert_eq(call.data_count, 0);
}

Test(exchange, what_cannot_be_sent_is_not_sealed)
{
    const struct mikey_init good = call.init;
    call.init.rand_len = 15;
    cr_assert_eq(call_seal(&call), MIKEYD_INVALID_ARGUMENT, "short RAND");
    call.init = good;
    call.init.stream_count = 256;
    cr_assert_eq(call_seal(&call), MIKEYD_INVALID_ARGUMENT, "too many streams");
    call.init = good;
    call.init.idi.len = 0;
    cr_assert_eq(call_seal(&call), MIKEYD_INVALID_ARGUMENT, "IDr alone");
    call.init = good;
    call.streams[1].ssrc = call.streams[0].ssrc;
    cr_assert_eq(call_seal(&call), MIKEYD_INVALID_ARGUMENT, "one SSRC twice");
    call.streams[1].suite = SRTP_SUITE_COUNT;
    call.streams[1].ssrc = 0;
    cr_assert_eq(call_seal(&call), MIKEYD_INVALID_ARGUMENT, "no such suite");
    call.streams[1].suite = SRTP_AEAD_AES_256_GCM;
    cr_assert_eq(call_seal(&call), MIKEYD_OK);
}

Test(exchange, a_buffer_too_small_ends_without_a_message_and_without_keys_in_it)
{
    seal();
    size_t whole = call.message_len;
    for (size_t cap = 0; cap < whole; cap++) {
        uint8_t small[1024] = {0};
        struct byte_writer w = writer_of(small, cap);
        cr_assert_eq(mikey_seal_init(&call.init, call_key(&call), call.plain, &w, &err),
                     MIKEYD_INVALID_ARGUMENT, "%zu", cap);
        cr_assert_eq(w.len, 0);
        cr_assert_null(memmem(small, sizeof small, call.key.key, call.key.key_len), "%zu", cap);
    }
}

/* Seals, then writes other algorithm numbers into header and KEMAC. */
static enum mikeyd_status with_algorithms(uint8_t prf, uint8_t encryption)
{
    seal();
    call.message[3] = (uint8_t)((call.message[3] & 0x80) | prf);
    call.message[m.encrypted - m.bytes - 3] = encryption;
    return call_authenticate(&call, call.message, call.message_len);
}

Test(exchange, mixed_and_null_algorithms_are_unsupported_before_any_key_is_used)
{
    static enum mikeyd_status (*const never)(void *, struct hmac_job *, size_t, struct error *);
    const struct mikey_hmac_ops none = {.hmac_batch = never};
    seal();
    const struct mikey_hmac_ops *host = call.psk.hmac;
    for (uint8_t prf = 0; prf < 2; prf++) {
        for (uint8_t encryption = 0; encryption < 4; encryption++) {
            if (prf == 1 && encryption == 3)
                continue;
            call.psk.hmac = host;
            seal();
            call.message[3] = (uint8_t)(0x80 | prf);
            call.message[m.encrypted - m.bytes - 3] = encryption;
            call.psk.hmac = &none; /* a call of it would crash */
            cr_assert_eq(call_authenticate(&call, call.message, call.message_len),
                         MIKEYD_UNSUPPORTED, "PRF %u encryption %u", prf, encryption);
        }
    }
    call.psk.hmac = host;
    cr_assert_eq(with_algorithms(1, 3), MIKEYD_OK);
}

/* Derives as the host does, but reports the encryption key as one that stays in the token. */
static enum mikeyd_status extend_in_token(const struct mikey_psk *psk,
                                          const struct mikey_derivation *what,
                                          struct mikey_message_keys *keys, struct error *why)
{
    enum mikeyd_status status = mikey_psk_by_hmac.extend(psk, what, keys, why);
    keys->encr_len = 0;
    return status;
}

static void take_block_g(struct bytes *block)
{
    struct bytes psk = support_counting(0, 16);
    *block = support_kat("G. ", "    hex ");
    mikey_host_psk_clear(&call.psk);
    cr_assert_eq(mikey_host_psk(psk.data, psk.len, &call.psk, &err), MIKEYD_OK);
}

Test(exchange, key_wrap_needs_the_key_on_the_host)
{
    static struct bytes block;
    take_block_g(&block);
    struct mikey_psk_ops in_token = mikey_psk_by_hmac;
    in_token.extend = extend_in_token;
    cr_assert_eq(mikey_parse(block.data, block.len, &m, NULL, &err), MIKEYD_OK);
    cr_assert_eq(call_open(&call, &m, m.rand, m.rand_len, &err), MIKEYD_OK);
    call.psk.ops = &in_token;
    cr_assert_eq(call_open(&call, &m, m.rand, m.rand_len, &err), MIKEYD_UNSUPPORTED);
    cr_assert_eq(call.data_count, 0);
}

/* Puts the right MAC under block G after it was changed by hand. */
static void remac(struct bytes *block)
{
    const struct mikey_derivation what = {.prf = MIKEY_PRF_1,
                                          .csb_id = m.csb_id,
                                          .rand = m.rand,
                                          .rand_len = m.rand_len,
                                          .mac = MIKEY_MAC_SHA1};
    struct mikey_key_tag job = {.what = what,
                                .covered = {.data = {block->data}, .len = {m.mac_at}, .parts = 1}};
    const struct mikey_key *key = call_key(&call);
    cr_assert_eq(key->ops->tag(key, &job, block->data + m.mac_at, &err), MIKEYD_OK);
}

Test(exchange, damaged_wrapped_keys_are_refused_and_wiped)
{
    static struct bytes block;
    static const uint8_t zeros[32];
    take_block_g(&block);
    cr_assert_eq(mikey_parse(block.data, block.len, &m, NULL, &err), MIKEYD_OK);
    block.data[m.encrypted - m.bytes + 5] ^= 1;
    remac(&block);
    cr_assert_eq(call_open(&call, &m, m.rand, m.rand_len, &err), MIKEYD_AUTH_FAILED);
    cr_assert_not_null(strstr(err.text, "wrapped key data"), "%s", err.text);
    support_equal(call.plain->bytes, 32, zeros, 32, "plain");
}

Test(exchange, key_data_longer_than_any_is_refused_before_a_key_is_used)
{
    seal();
    m.encrypted_len = MIKEY_PLAIN_MAX + 1;
    cr_assert_eq(call_open(&call, &m, m.rand, m.rand_len, &err), MIKEYD_UNSUPPORTED);
    m.encrypted_len = 1;
    m.mac_at = MIKEY_COVERED_MAX + 1;
    cr_assert_eq(call_open(&call, &m, m.rand, m.rand_len, &err), MIKEYD_UNSUPPORTED);
}

/* Counts what a message asks of the PSK. */
static size_t hmacs;

static enum mikeyd_status counting_batch(void *service, struct hmac_job *jobs, size_t count,
                                         struct error *why)
{
    hmacs += count;
    return mikey_host_hmac.hmac_batch(service, jobs, count, why);
}

Test(exchange, a_forged_message_costs_two_hmacs_unless_the_keys_come_at_once)
{
    struct mikey_hmac_ops counting = mikey_host_hmac;
    counting.hmac_batch = counting_batch;
    seal();
    call.psk.hmac = &counting;
    hmacs = 0;
    cr_assert_eq(call_authenticate(&call, call.message, call.message_len), MIKEYD_OK);
    cr_assert_eq(hmacs, 6);
    cr_assert_eq(call.data_count, 1);
    call.message[call.message_len - 1] ^= 1;
    hmacs = 0;
    cr_assert_eq(call_authenticate(&call, call.message, call.message_len), MIKEYD_AUTH_FAILED);
    cr_assert_eq(hmacs, 2);
    call.psk.keys_at_once = true;
    hmacs = 0;
    cr_assert_eq(call_authenticate(&call, call.message, call.message_len), MIKEYD_AUTH_FAILED);
    cr_assert_eq(hmacs, 6);
}

Test(exchange, nothing_of_a_forged_message_comes_out)
{
    static const uint8_t zeros[64];
    seal();
    uint8_t v[HMAC_TAG_MAX];
    memset(v, 0xee, sizeof v);
    memset(call.plain, 0xee, sizeof *call.plain);
    call.message[call.message_len - 1] ^= 1;
    struct mikey_cs cs[2] = {m.cs[0], m.cs[1]};
    cs[1].ssrc = 9;
    struct mikey_covered covered;
    struct byte_writer w = writer_of(call.reply, sizeof call.reply);
    cr_assert_eq(mikey_draft_reply(&m, cs, &call.answer_rules, &w, &covered, &err), MIKEYD_OK);
    cr_assert_eq(mikey_open_init(&m, m.rand, m.rand_len, call_key(&call), &covered, call.plain,
                                 call.data, &call.data_count, v, NULL, &err),
                 MIKEYD_AUTH_FAILED);
    cr_assert_eq(call.data_count, 0);
    support_equal(v, m.mac_len, zeros, m.mac_len, "V");
    support_equal(call.plain->bytes, m.encrypted_len, zeros, m.encrypted_len, "key data");
}

Test(exchange, sdp_ids_travel_under_the_mac)
{
    call.init.sdp_ids = "mikey";
    seal();
    cr_assert_eq(m.extension_count, 1);
    cr_assert_eq(m.extension[0].type, MIKEY_EXTENSION_SDP_IDS);
    support_equal(m.extension[0].data, m.extension[0].len, "mikey", 5, "SDP IDs");
    cr_assert_eq(call_authenticate(&call, call.message, call.message_len), MIKEYD_OK);
}

/* At the moment of encryption: is the key data anywhere in the message buffer, ordinary memory? */
static bool clear_key_seen;

static enum mikeyd_status aes_cm_looking(const struct mikey_psk *psk,
                                         struct mikey_message_keys *keys, const uint8_t iv[16],
                                         uint8_t *data, size_t len, struct error *why)
{
    for (size_t i = 0; i + call.key.key_len <= sizeof call.message; i++) {
        if (secret_equal(call.message + i, call.key.key, call.key.key_len))
            clear_key_seen = true;
    }
    return mikey_psk_by_hmac.aes_cm(psk, keys, iv, data, len, why);
}

Test(exchange, key_data_in_the_clear_stays_in_secure_memory)
{
    struct mikey_psk_ops looking = mikey_psk_by_hmac;
    looking.aes_cm = aes_cm_looking;
    call.psk.ops = &looking;
    clear_key_seen = false;
    seal();
    call.psk.ops = &mikey_psk_by_hmac;
    cr_assert_not(clear_key_seen);
    cr_assert_eq(call_authenticate(&call, call.message, call.message_len), MIKEYD_OK);
}
