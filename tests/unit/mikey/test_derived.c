/* `tgk: derived`: the TGK that both ends compute, and the message that says so. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/secret.h"
#include "mikey/wire.h"
#include "support.h"

static struct call call;
static struct mikey_message m;
static struct error err;
static struct bytes rand_bytes;

static void start(void)
{
    support_init();
    call_make(&call, MIKEY_ALGORITHMS_256);
    rand_bytes = support_counting(0xa0, mikey_method_psk_derived.rand_len);
    call.init.rand = rand_bytes.data;
    call.init.rand_len = rand_bytes.len;
    call.init.key_count = 0;
    call.init.method = &mikey_method_psk_derived;
}

static void stop(void)
{
    call_free(&call);
}

TestSuite(derived, .init = start, .fini = stop);

static enum mikeyd_status parse(void)
{
    err = (struct error){0};
    return mikey_parse(call.message, call.message_len, &m, NULL, &err);
}

static void seal(void)
{
    cr_assert_eq(call_seal(&call), MIKEYD_OK);
    cr_assert_eq(parse(), MIKEYD_OK, "%s", err.text);
}

/* ---- the key */

static void derive(enum mikey_algorithms algorithms, uint32_t csb_id, const struct bytes *rand,
                   const struct mikey_psk *psk, struct bytes *tgk)
{
    tgk->len = mikey_method_psk_derived.tgk_len(algorithms);
    struct mikey_psk_port port = {.psk = *psk, .keys = call.keys};
    const struct mikey_key key = {.ops = &mikey_key_by_psk, .port = &port};
    cr_assert_eq(mikey_method_psk_derived.tgk(algorithms, csb_id, rand->data, rand->len, &key,
                                              tgk->data, &err),
                 MIKEYD_OK, "%s", err.text);
}

Test(derived, tgk_of_the_vectors)
{
    json_t *root = support_json("derived_tgk.json");
    const json_t *vectors = json_object_get(root, "derived_tgk");
    cr_assert_eq(json_array_size(vectors), 8);
    for (size_t i = 0; i < json_array_size(vectors); i++) {
        const json_t *v = json_array_get(vectors, i);
        struct bytes key = support_hex_string(json_string_value(json_object_get(v, "psk")));
        struct bytes rand = support_hex_string(json_string_value(json_object_get(v, "rand")));
        struct bytes tgk = support_hex_string(json_string_value(json_object_get(v, "tgk")));
        struct bytes csb = support_hex_string(json_string_value(json_object_get(v, "csb_id")));
        struct byte_reader r = reader_of(csb.data, csb.len);
        enum mikey_algorithms algorithms;
        cr_assert(mikey_algorithms_by_name(json_string_value(json_object_get(v, "algorithms")),
                                           &algorithms));
        struct mikey_psk psk;
        struct bytes made;
        cr_assert_eq(mikey_host_psk(key.data, key.len, &psk, &err), MIKEYD_OK);
        derive(algorithms, reader_u32(&r), &rand, &psk, &made);
        support_equal(made.data, made.len, tgk.data, tgk.len, "TGK");
        mikey_host_psk_clear(&psk);
    }
    json_decref(root);
}

Test(derived, tgk_changes_with_rand_and_bundle)
{
    struct bytes first, second,
        other_rand = support_counting(0xa1, mikey_method_psk_derived.rand_len);
    derive(MIKEY_ALGORITHMS_256, 1, &rand_bytes, &call.psk, &first);
    derive(MIKEY_ALGORITHMS_256, 2, &rand_bytes, &call.psk, &second);
    cr_expect_neq(memcmp(first.data, second.data, 32), 0);
    derive(MIKEY_ALGORITHMS_256, 1, &other_rand, &call.psk, &second);
    cr_expect_neq(memcmp(first.data, second.data, 32), 0);
}

Test(derived, the_constant_is_the_twelfth_group_of_e_and_no_other_label_has_it)
{
    static const uint32_t others[] = {
        MIKEY_LABEL_PSK_ENCR, MIKEY_LABEL_PSK_AUTH, MIKEY_LABEL_PSK_SALT, MIKEY_LABEL_TEK,
        MIKEY_LABEL_TGK_AUTH, MIKEY_LABEL_TGK_ENCR, MIKEY_LABEL_TGK_SALT, 0x2B288856u,
        0x1512B54Au,          0x220E99A2u,          0x1F4D675Bu, /* RFC 6043 */
    };
    /* e = 2.718281828 459045235 360287471 352662497 757247093 699959574 966967627 724076630
     * 353547594 571382178 525166427 427466391 ... */
    cr_expect_eq(MIKEY_LABEL_PSK_TGK, 427466391u);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_expect_neq(MIKEY_LABEL_PSK_TGK, others[i]);
}

/* It is asked for while the keys of the message are in use. */
Test(derived, deriving_leaves_the_message_keys_alone)
{
    seal();
    cr_assert_eq(call_authenticate(&call, call.message, call.message_len), MIKEYD_OK);
    struct mikey_message_keys before;
    memcpy(&before, call.keys, sizeof before);
    struct bytes tgk;
    derive(MIKEY_ALGORITHMS_256, m.csb_id, &rand_bytes, &call.psk, &tgk);
    cr_expect_eq(memcmp(before.auth, call.keys->auth, sizeof before.auth), 0);
    cr_expect_eq(before.auth_len, call.keys->auth_len);
    static const uint8_t zeros[sizeof before.scratch];
    cr_expect_eq(memcmp(call.keys->scratch, zeros, sizeof zeros), 0, "intermediate values remain");
    call.psk.ops->release(&call.psk, call.keys);
}

/* ---- the message */

Test(derived, message_carries_no_key_and_is_authenticated)
{
    seal();
    cr_expect_eq(mikey_message_method(&m), &mikey_method_psk_derived);
    cr_expect_not(mikey_is_update(&m));
    cr_expect_eq(m.encrypted_len, 0);
    cr_expect_eq(m.mac_len, 32);
    cr_assert_eq(call_answer(&call), MIKEYD_OK);
    cr_expect_eq(call_verify(&call, call.reply, call.reply_len), MIKEYD_OK);
}

Test(derived, message_with_sdp_ids_carries_both_extensions)
{
    call.init.sdp_ids = "mikey";
    seal();
    cr_expect_eq(m.extension_count, 2);
    cr_expect_eq(mikey_message_method(&m), &mikey_method_psk_derived);
    cr_expect_eq(call_answer(&call), MIKEYD_OK);
}

Test(derived, no_flipped_bit_passes)
{
    seal();
    for (size_t bit = 0; bit < 8 * call.message_len; bit++) {
        call.message[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_neq(call_authenticate(&call, call.message, call.message_len), MIKEYD_OK,
                      "bit %zu", bit);
        call.message[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_expect_eq(call_answer(&call), MIKEYD_OK);
}

Test(derived, what_cannot_be_derived_is_not_sealed)
{
    call.init.rand_len = mikey_method_psk_derived.rand_len - 1;
    cr_expect_eq(call_seal(&call), MIKEYD_INVALID_ARGUMENT, "a short RAND");
    call.init.rand_len++;
    call.init.key_count = 1;
    cr_expect_eq(call_seal(&call), MIKEYD_INVALID_ARGUMENT, "a key beside");
    call.init.key_count = 0;
    call.init.update = true;
    cr_expect_eq(call_seal(&call), MIKEYD_INVALID_ARGUMENT, "an update");
    call.init.update = false;
    cr_expect_eq(call_seal(&call), MIKEYD_OK);
}

static void refused_as_syntax(const char *text)
{
    cr_assert_eq(parse(), MIKEYD_SYNTAX, "%s", err.text);
    cr_assert_not_null(strstr(err.text, text), "%s", err.text);
}

/* The mark's text, to be spoiled. */
static uint8_t *mark(void)
{
    uint8_t *at = memmem(call.message, call.message_len, mikey_method_psk_derived.mark,
                         strlen(mikey_method_psk_derived.mark));
    cr_assert_not_null(at);
    return at;
}

Test(derived, message_without_key_or_mark_is_refused)
{
    seal();
    mark()[0] ^= 1;
    refused_as_syntax("without key data");
}

Test(derived, mark_of_another_extension_type_is_none)
{
    seal();
    mark()[-3] = 9;
    refused_as_syntax("without key data");
}

Test(derived, longer_mark_is_none)
{
    seal();
    /* One byte more of text: the next payload's first byte, so the message falls apart or has no
     * mark; in no case is it one of these. */
    mark()[-1]++;
    cr_assert_neq(parse(), MIKEYD_OK);
}

/* A message sealed with a key, and the mark put in by hand behind T. */
static void seal_marked(void)
{
    const char *const text = mikey_method_psk_derived.mark;
    call.init.method = NULL;
    call.init.key_count = 1;
    cr_assert_eq(call_seal(&call), MIKEYD_OK);
    const size_t t_at = 10 + 9 * 2, after = t_at + 10, more = 4 + strlen(text);
    const uint8_t next = call.message[t_at];
    memmove(&call.message[after + more], &call.message[after], call.message_len - after);
    struct byte_writer w = writer_of(&call.message[after], more);
    mikey_extension_write(&w, next, MIKEY_EXTENSION_VENDOR, text, strlen(text));
    call.message[t_at] = MIKEY_PAYLOAD_EXTENSION;
    call.message_len += more;
}

Test(derived, mark_beside_a_key_is_refused)
{
    seal_marked();
    refused_as_syntax("derived TGK");
}

Test(derived, mark_in_an_update_is_refused)
{
    call.init.update = true;
    seal_marked();
    refused_as_syntax("derived TGK");
}
