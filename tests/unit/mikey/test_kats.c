/* Known answers of kats.txt blocks A to I and of the published derivation vectors. */
#include <criterion/criterion.h>
#include <string.h>

#include "mikey/label.h"
#include "support.h"

TestSuite(kats, .init = support_init);

static const struct {
    const char *label;
    uint8_t encryption, mac;
    size_t encr, salt, auth;
} combinations[] = {
    {"encr16", 1, 1, 16, 14, 20},
    {"encr32", 3, 2, 32, 14, 32},
    {"encr16", 2, 1, 16, 8, 20},
};

static void check_message_keys(size_t psk_len, enum mikey_prf prf)
{
    char line[32];
    (void)snprintf(line, sizeof line, "  PSK%zu=", psk_len);
    size_t n = prf == MIKEY_PRF_1 ? 0 : 1;
    struct bytes psk_bytes = support_counting(0, psk_len);
    struct bytes rand = support_counting(0xa0, 16);
    struct mikey_psk psk;
    struct error err = {0};
    cr_assert_eq(mikey_host_psk(psk_bytes.data, psk_bytes.len, &psk, &err), MIKEYD_OK);
    struct mikey_message_keys *keys = support_keys();
    for (size_t i = 0; i < 3; i++) {
        struct mikey_derivation what = {.prf = prf,
                                        .csb_id = 0x12345678,
                                        .rand = rand.data,
                                        .rand_len = rand.len,
                                        .encryption = combinations[i].encryption,
                                        .mac = combinations[i].mac};
        cr_assert_eq(psk.ops->derive(&psk, &what, keys, &err), MIKEYD_OK, "%s", err.text);
        struct bytes encr = support_kat_at(line, "encr32=", n);
        struct bytes salt = support_kat_at(line, "salt14=", n);
        struct bytes auth = support_kat_at(line, "auth32=", n);
        support_equal(keys->encr, keys->encr_len, encr.data, combinations[i].encr, "encr");
        support_equal(keys->salt, keys->salt_len, salt.data, combinations[i].salt, "salt");
        support_equal(keys->auth, keys->auth_len, auth.data, combinations[i].auth, "auth");
        psk.ops->release(&psk, keys);
    }
    support_keys_free(keys);
    mikey_host_psk_clear(&psk);
}

Test(kats, block_a_message_keys_of_a_16_byte_psk)
{
    check_message_keys(16, MIKEY_PRF_1);
    check_message_keys(16, MIKEY_PRF_HMAC_SHA256);
}

Test(kats, block_a_message_keys_of_a_32_byte_psk)
{
    check_message_keys(32, MIKEY_PRF_1);
    check_message_keys(32, MIKEY_PRF_HMAC_SHA256);
}

Test(kats, block_a_message_keys_of_a_40_byte_psk_of_two_blocks)
{
    check_message_keys(40, MIKEY_PRF_1);
    check_message_keys(40, MIKEY_PRF_HMAC_SHA256);
}

static void check_prf(enum mikey_prf prf, uint32_t constant, uint8_t cs, const char *line,
                      const char *label)
{
    struct bytes tgk = support_counting(0x40, 16), rand = support_counting(0xa0, 16);
    struct bytes expected = support_kat(line, label);
    uint8_t text[MIKEY_LABEL_MAX], out[64];
    size_t len = mikey_label_write(text, constant, cs, 0x12345678, rand.data, rand.len);
    struct error err = {0};
    cr_assert_eq(mikey_prf_host(prf, tgk.data, tgk.len, text, len, out, expected.len, &err),
                 MIKEYD_OK);
    support_equal(out, expected.len, expected.data, expected.len, label);
}

Test(kats, block_b_keys_of_a_tgk)
{
    static const uint8_t cs[] = {1, 2, 254};
    for (size_t i = 0; i < sizeof cs; i++) {
        for (int prf = 0; prf < 2; prf++) {
            char line[32];
            (void)snprintf(line, sizeof line, "  cs=%u PRF %d", cs[i], prf);
            check_prf((enum mikey_prf)prf, MIKEY_LABEL_TEK, cs[i], line, "TEK16=");
            check_prf((enum mikey_prf)prf, MIKEY_LABEL_TEK, cs[i], line, "TEK32=");
            check_prf((enum mikey_prf)prf, MIKEY_LABEL_TGK_SALT, cs[i], line, "salt14=");
            check_prf((enum mikey_prf)prf, MIKEY_LABEL_TGK_SALT, cs[i], line, "salt12=");
            check_prf((enum mikey_prf)prf, MIKEY_LABEL_TGK_AUTH, cs[i], line, "auth20=");
            check_prf((enum mikey_prf)prf, MIKEY_LABEL_TGK_ENCR, cs[i], line, "encr16=");
        }
    }
}

static void check_call(enum mikey_algorithms algorithms, const char *block)
{
    struct call call;
    call_make(&call, algorithms);
    struct bytes i_message = support_kat_at(block, "    hex ", 0);
    struct bytes r_message = support_kat_at(block, "    hex ", 1);
    cr_assert_eq(call_seal(&call), MIKEYD_OK);
    support_equal(call.message, call.message_len, i_message.data, i_message.len, "I_MESSAGE");
    cr_assert_eq(call_answer(&call), MIKEYD_OK);
    support_equal(call.reply, call.reply_len, r_message.data, r_message.len, "R_MESSAGE");
    cr_assert_eq(call_verify(&call, r_message.data, r_message.len), MIKEYD_OK);
    call_free(&call);
}

Test(kats, block_c_call_with_mikey_1)
{
    check_call(MIKEY_ALGORITHMS_1, "C. ");
}

Test(kats, block_d_call_with_mikey_256)
{
    check_call(MIKEY_ALGORITHMS_256, "D. ");
}

/* Opens an I_MESSAGE of kats.txt under the PSK of block C and checks its key data. */
static void check_opens(const char *block, const char *plain_block, const char *plain_label,
                        struct mikey_message *m, struct call *call)
{
    struct bytes message = support_kat(block, "    hex ");
    struct bytes plain = support_kat(plain_block, plain_label);
    static uint8_t bytes[4096];
    memcpy(bytes, message.data, message.len);
    struct error err = {0};
    cr_assert_eq(mikey_parse(bytes, message.len, m, NULL, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(call_open(call, m, m->rand, m->rand_len, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(call->data_count, 1);
    support_equal(call->plain->bytes, plain.len, plain.data, plain.len, "key data");
}

static void check_reply(const char *block, struct mikey_message *m, struct call *call)
{
    struct bytes expected = support_kat_at(block, "    hex ", 1);
    struct mikey_cs cs[2] = {m->cs[0], m->cs[1]};
    cs[1].ssrc = 0x55667788;
    uint8_t out[512];
    struct byte_writer w = writer_of(out, sizeof out);
    struct error err = {0};
    cr_assert_eq(call_reply_to(call, m, cs, m->rand, m->rand_len, &w, &err), MIKEYD_OK, "%s",
                 err.text);
    support_equal(out, w.len, expected.data, expected.len, "R_MESSAGE");
}

static struct mikey_message parsed;

Test(kats, block_e_counter_timestamp)
{
    struct call call;
    call_make(&call, MIKEY_ALGORITHMS_1);
    check_opens("E. ", "C. ", "key data plaintext ", &parsed, &call);
    cr_assert_eq(parsed.t.type, MIKEY_TS_COUNTER);
    cr_assert_eq(parsed.t.value, 7);
    check_reply("E. ", &parsed, &call);
    call_free(&call);
}

Test(kats, block_f_message_without_ids)
{
    struct call call;
    call_make(&call, MIKEY_ALGORITHMS_1);
    check_opens("F. ", "C. ", "key data plaintext ", &parsed, &call);
    cr_assert_eq(parsed.id_count, 0);
    cr_assert_not(parsed.v);
    call.init.idi.len = call.init.idr.len = 0;
    call.init.verify = false;
    struct bytes expected = support_kat("F. ", "    hex ");
    cr_assert_eq(call_seal(&call), MIKEYD_OK);
    support_equal(call.message, call.message_len, expected.data, expected.len, "I_MESSAGE");
    call_free(&call);
}

Test(kats, block_g_aes_key_wrap)
{
    struct call call;
    call_make(&call, MIKEY_ALGORITHMS_1);
    check_opens("G. ", "G. ", "plain ", &parsed, &call);
    call_free(&call);
}

Test(kats, block_h_update_authenticates_with_the_stored_rand)
{
    struct call call;
    call_make(&call, MIKEY_ALGORITHMS_1);
    struct bytes message = support_kat("H. ", "    hex ");
    cr_assert_eq(call_authenticate(&call, message.data, message.len), MIKEYD_OK);
    struct error err = {0};
    cr_assert_eq(mikey_parse(message.data, message.len, &parsed, NULL, &err), MIKEYD_OK);
    cr_assert(mikey_is_update(&parsed));
    cr_assert_eq(call.data_count, 0);
    call_free(&call);
}

Test(kats, block_i_authenticated_error)
{
    struct call call;
    call_make(&call, MIKEY_ALGORITHMS_1);
    struct bytes expected = support_kat("I. ", "    hex ");
    cr_assert_eq(call_verify(&call, expected.data, expected.len), MIKEYD_OK);
    cr_assert_eq(call_seal(&call), MIKEYD_OK);
    cr_assert_eq(call_authenticate(&call, call.message, call.message_len), MIKEYD_OK);
    struct error err = {0};
    cr_assert_eq(mikey_parse(call.message, call.message_len, &parsed, NULL, &err), MIKEYD_OK);
    uint8_t out[256];
    struct byte_writer w = writer_of(out, sizeof out);
    cr_assert_eq(mikey_build_error(&parsed, &(struct mikey_refusal){.number = 10}, parsed.rand,
                                   parsed.rand_len, call_key(&call), &w, &err),
                 MIKEYD_OK);
    support_equal(out, w.len, expected.data, expected.len, "error message");
    call_free(&call);
}

Test(kats, block_i_unauthenticated_error)
{
    struct call call;
    call_make(&call, MIKEY_ALGORITHMS_1);
    cr_assert_eq(call_seal(&call), MIKEYD_OK);
    struct error err = {0};
    cr_assert_eq(mikey_parse(call.message, call.message_len, &parsed, NULL, &err), MIKEYD_OK);
    struct bytes expected = support_kat("   unauthenticated", "failure: ");
    uint8_t out[256];
    struct byte_writer w = writer_of(out, sizeof out);
    cr_assert_eq(
        mikey_build_error(&parsed, &(struct mikey_refusal){.number = 0}, NULL, 0, NULL, &w, &err),
        MIKEYD_OK);
    support_equal(out, w.len, expected.data, expected.len, "error message");
    cr_assert_eq(call_verify(&call, out, w.len), MIKEYD_SYNTAX, "without V it proves nothing");
    call_free(&call);
}
