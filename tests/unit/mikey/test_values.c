/* Methods that exchange Diffie-Hellman values: dhhmac (RFC 4650) and psk-dhe. */
#include <criterion/criterion.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/secret.h"
#include "mikey/wire.h"
#include "support.h"

static struct error err;

/* An exchange, whole: each end's pair, and both messages. */
struct exchange {
    const struct mikey_method *method;
    struct call call;
    struct mikey_dh_pair own_i, own_r;
    struct mikey_dh sent;
    const uint8_t *mki_r; /* 4 bytes that the answer's own value carries; NULL: none */
    struct mikey_message i, r;
    uint8_t psk_key_i[MIKEY_PSK_KEY_LEN], psk_key_r[MIKEY_PSK_KEY_LEN];
};
static struct exchange x;

static struct mikey_dh view(const struct mikey_dh_pair *pair)
{
    return (struct mikey_dh){
        .group = pair->group, .value = pair->value, .len = mikey_dh_len(pair->group)};
}

static void begin(const struct mikey_method *method, enum mikey_algorithms algorithms)
{
    support_init();
    memset(&x, 0, sizeof x);
    x.method = method;
    call_make(&x.call, algorithms);
    x.call.init.key_count = 0;
    x.call.init.method = method;
    x.call.init.dh = &x.sent;
    x.call.init.stream_count = 1;
}

static enum mikeyd_status seal(uint8_t group)
{
    cr_assert_eq(mikey_dh_make(group, &x.own_i, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(mikey_dh_make(group, &x.own_r, &err), MIKEYD_OK, "%s", err.text);
    x.sent = view(&x.own_i);
    return call_seal(&x.call);
}

/* As the responder: opens the message and answers it with x.own_r. */
static enum mikeyd_status answer(const uint8_t *message, size_t len)
{
    struct mikey_covered covered;
    uint8_t v[HMAC_TAG_MAX];
    struct byte_writer w = writer_of(x.call.reply, sizeof x.call.reply);
    struct mikey_dh own = view(&x.own_r);
    own.spi = x.mki_r;
    own.spi_len = x.mki_r == NULL ? 0 : 4;
    x.call.reply_len = 0;
    enum mikeyd_status status = mikey_parse(message, len, &x.i, NULL, &err);
    if (status == MIKEYD_OK && !mikey_is_init(&x.i))
        return MIKEYD_UNSUPPORTED;
    const bool same = mikey_message_method(&x.i) == x.method && mikey_idr(&x.i) != NULL &&
                      mikey_is_update(&x.i) == x.call.init.update;
    if (status == MIKEYD_OK && !same)
        status = MIKEYD_POLICY; /* not what the responder was told to take */
    const uint8_t *rand = x.i.rand_len == 0 ? x.call.init.rand : x.i.rand;
    const size_t rand_len = x.i.rand_len == 0 ? x.call.init.rand_len : x.i.rand_len;
    if (status == MIKEYD_OK)
        status = mikey_draft_exchange(&x.i, x.i.cs, &own, &x.call.init.idi, &w, &covered, &err);
    if (status == MIKEYD_OK)
        status = mikey_open_init(&x.i, rand, rand_len, call_key(&x.call), &covered, x.call.plain,
                                 x.call.data, &x.call.data_count, v, x.psk_key_r, &err);
    if (status == MIKEYD_OK) {
        writer_bytes(&w, v, x.i.mac_len);
        x.call.reply_len = w.len;
    }
    return status;
}

static enum mikeyd_status verify(const uint8_t *reply, size_t len)
{
    struct mikey_expected_reply expected = {.algorithms = x.call.init.algorithms,
                                            .csb_id = x.call.init.csb_id,
                                            .rand = x.call.init.rand,
                                            .rand_len = x.call.init.rand_len,
                                            .idi = x.call.init.idi,
                                            .idr = x.call.init.idr,
                                            .streams = x.call.init.streams,
                                            .stream_count = x.call.init.stream_count,
                                            .method = x.method,
                                            .dh = &x.sent};
    expected.t = (struct mikey_timestamp){.raw_len = 8, .value = x.call.init.t};
    struct byte_writer w = writer_of(expected.t.raw, 8);
    writer_u64(&w, x.call.init.t);
    enum mikeyd_status status = mikey_parse(reply, len, &x.r, NULL, &err);
    return status != MIKEYD_OK
               ? status
               : mikey_verify_exchange(&x.r, &expected, call_key(&x.call), x.psk_key_i, &err);
}

/* The TGK as one end has it. */
static struct bytes tgk_of(bool initiator)
{
    static struct bytes tgk;
    uint8_t shared[MIKEY_DH_VALUE_MAX];
    const struct mikey_dh *theirs = initiator ? &x.r.dh[0] : &x.i.dh[0];
    const struct mikey_dh_pair *own = initiator ? &x.own_i : &x.own_r;
    cr_assert_eq(mikey_dh_agree(own, theirs->value, theirs->len, shared, &err), MIKEYD_OK, "%s",
                 err.text);
    const struct mikey_agreed agreed = {.algorithms = x.call.init.algorithms,
                                        .group = own->group,
                                        .shared = shared,
                                        .psk_key = initiator ? x.psk_key_i : x.psk_key_r,
                                        .value_i = initiator ? own->value : theirs->value,
                                        .value_r = initiator ? theirs->value : own->value,
                                        .len = theirs->len,
                                        .rand = x.call.init.rand,
                                        .rand_len = x.call.init.rand_len};
    cr_assert_eq(x.method->combine(&agreed, tgk.data, &tgk.len, &err), MIKEYD_OK);
    return tgk;
}

static void complete(void)
{
    cr_assert_eq(answer(x.call.message, x.call.message_len), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(verify(x.call.reply, x.call.reply_len), MIKEYD_OK, "%s", err.text);
    const struct bytes i = tgk_of(true), r = tgk_of(false);
    support_equal(i.data, i.len, r.data, r.len, "TGK");
}

TestSuite(values, .timeout = 120);

/* ---- known answers */

static struct bytes field(const json_t *v, const char *name)
{
    return support_hex_string(json_string_value(json_object_get(v, name)));
}

static void take_vector(struct mikey_dh_pair *pair, uint8_t group, const struct bytes *private,
                        const struct bytes *value)
{
    pair->group = group;
    memcpy(pair->private, private->data, private->len);
    memcpy(pair->value, value->data, value->len);
}

static void exchange_of_the_vectors(const json_t *v)
{
    const bool mixed = strcmp(json_string_value(json_object_get(v, "method")), "psk-dhe") == 0;
    const bool curve = strcmp(json_string_value(json_object_get(v, "group")), "X25519") == 0;
    const uint8_t group = curve ? MIKEY_GROUP_X25519 : MIKEY_GROUP_OAKLEY_5;
    enum mikey_algorithms algorithms;
    cr_assert(
        mikey_algorithms_by_name(json_string_value(json_object_get(v, "algorithms")), &algorithms));
    begin(mixed ? &mikey_method_psk_dhe : &mikey_method_dhhmac, algorithms);
    const struct bytes psk = field(v, "psk"), rand = field(v, "rand"), xi = field(v, "xi"),
                       xr = field(v, "xr"), tgk = field(v, "tgk"), vi = field(v, "value_i"),
                       vr = field(v, "value_r"), i = field(v, "i_message"),
                       r = field(v, "r_message");
    mikey_host_psk_clear(&x.call.psk);
    cr_assert_eq(mikey_host_psk(psk.data, psk.len, &x.call.psk, &err), MIKEYD_OK);
    x.call.init.rand = rand.data;
    x.call.init.rand_len = rand.len;
    take_vector(&x.own_i, group, &xi, &vi);
    take_vector(&x.own_r, group, &xr, &vr);
    x.sent = view(&x.own_i);
    cr_assert_eq(answer(i.data, i.len), MIKEYD_OK, "%s", err.text);
    support_equal(x.call.reply, x.call.reply_len, r.data, r.len, "answer");
    cr_assert_eq(verify(r.data, r.len), MIKEYD_OK, "%s", err.text);
    for (int end = 0; end < 2; end++) {
        const struct bytes made = tgk_of(end == 0);
        support_equal(made.data, made.len, tgk.data, tgk.len, "TGK");
    }
    if (mixed) {
        const struct bytes k_psk = field(v, "k_psk");
        support_equal(x.psk_key_r, 32, k_psk.data, k_psk.len, "K_psk");
    }
    call_free(&x.call);
}

static void exchanges_of(const char *file, size_t count)
{
    support_init();
    json_t *root = support_json(file);
    const json_t *list = json_object_get(root, "vectors");
    cr_assert_eq(json_array_size(list), count);
    for (size_t n = 0; n < count; n++)
        exchange_of_the_vectors(json_array_get(list, n));
    json_decref(root);
}

Test(values, exchanges_of_the_vectors_in_both_roles)
{
    exchanges_of("psk_dhe.json", 3);
    exchanges_of("dhhmac.json", 6);
}

/* The private values of block J are SHA-512 hashes, as big-endian numbers. */
static void take_oakley(struct mikey_dh_pair *pair, const char *seed, const char *block,
                        const char *label)
{
    unsigned len = 0;
    const struct bytes value = support_kat(block, label);
    cr_assert_eq(value.len, 192);
    pair->group = MIKEY_GROUP_OAKLEY_5;
    memcpy(pair->value, value.data, 192);
    cr_assert_eq(EVP_Digest(seed, strlen(seed), pair->private, &len, EVP_sha512(), NULL), 1);
}

Test(values, block_j_dhhmac_with_oakley_5)
{
    begin(&mikey_method_dhhmac, MIKEY_ALGORITHMS_1);
    take_oakley(&x.own_i, "xi", "J. ", "g^xi = ");
    take_oakley(&x.own_r, "xr", "J. ", "g^xr = ");
    x.sent = view(&x.own_i);
    const struct bytes i = support_kat_at("J. ", "    hex ", 0);
    const struct bytes r = support_kat_at("J. ", "    hex ", 1);
    cr_assert_eq(answer(i.data, i.len), MIKEYD_OK, "%s", err.text);
    support_equal(x.call.reply, x.call.reply_len, r.data, r.len, "R_MESSAGE");
    cr_assert_eq(verify(r.data, r.len), MIKEYD_OK, "%s", err.text);
    /* And as the initiator: no stream of the block has an SP. */
    const struct bytes tgk = support_kat("J. ", "TGK  = ");
    for (int end = 0; end < 2; end++) {
        const struct bytes made = tgk_of(end == 0);
        support_equal(made.data, made.len, tgk.data, tgk.len, "TGK");
    }
    call_free(&x.call);
}

Test(values, blocks_j2_and_j3_keep_leading_zeros)
{
    static struct mikey_dh_pair i, r;
    uint8_t shared[192], other[192];
    support_init();
    take_oakley(&i, "xi", "J. ", "g^xi = ");
    take_oakley(&r, "xr104", "J2. ", "g^xr = ");
    const struct bytes tgk = support_kat("J2. ", "TGK  = ");
    cr_assert_eq(tgk.data[0], 0);
    cr_assert_eq(mikey_dh_agree(&i, r.value, 192, shared, &err), MIKEYD_OK, "%s", err.text);
    support_equal(shared, 192, tgk.data, tgk.len, "TGK");
    take_oakley(&r, "yr165", "J3. ", "g^xr = ");
    cr_assert_eq(r.value[0], 0);
    cr_assert_eq(mikey_dh_agree(&i, r.value, 192, shared, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(mikey_dh_agree(&r, i.value, 192, other, &err), MIKEYD_OK, "%s", err.text);
    support_equal(shared, 192, other, 192, "TGK");
}

/* ---- values that are none */

static void refused_value(const struct mikey_dh_pair *own, const uint8_t *value, size_t len)
{
    static const uint8_t zeros[MIKEY_DH_VALUE_MAX];
    uint8_t shared[MIKEY_DH_VALUE_MAX];
    memset(shared, 0x5a, sizeof shared);
    cr_expect_eq(mikey_dh_agree(own, value, len, shared, &err), MIKEYD_SYNTAX);
    if (len == mikey_dh_len(own->group))
        support_equal(shared, len, zeros, len, "nothing is left");
}

Test(values, points_of_small_order_are_refused)
{
    /* RFC 7748 6.1: 0, 1, the two points of order 8, p - 1, p, p + 1. */
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    static struct mikey_dh_pair own;
    support_init();
    cr_assert_eq(mikey_dh_make(MIKEY_GROUP_X25519, &own, &err), MIKEYD_OK);
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        const struct bytes point = support_hex_string(points[i]);
        refused_value(&own, point.data, point.len);
    }
    refused_value(&own, own.value, 31);
}

Test(values, numbers_outside_the_group_are_refused)
{
    static struct mikey_dh_pair own, other;
    uint8_t value[192] = {0};
    support_init();
    cr_assert_eq(mikey_dh_make(MIKEY_GROUP_OAKLEY_5, &own, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(mikey_dh_make(MIKEY_GROUP_OAKLEY_5, &other, &err), MIKEYD_OK);
    refused_value(&own, value, 192); /* 0 */
    value[191] = 1;
    refused_value(&own, value, 192);
    const struct bytes p = support_kat("J. ", "p = ");
    memcpy(value, p.data, 192);
    refused_value(&own, value, 192); /* p */
    value[191]--;
    refused_value(&own, value, 192); /* p - 1 */
    memset(value, 0xff, 192);
    refused_value(&own, value, 192);
    refused_value(&own, other.value, 191);
    uint8_t a[192], b[192];
    cr_assert_eq(mikey_dh_agree(&own, other.value, 192, a, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(mikey_dh_agree(&other, own.value, 192, b, &err), MIKEYD_OK, "%s", err.text);
    support_equal(a, 192, b, 192, "shared");
}

Test(values, no_other_group_is_there)
{
    static struct mikey_dh_pair own;
    support_init();
    for (unsigned group = 1; group < 255; group++)
        cr_assert_eq(mikey_dh_make((uint8_t)group, &own, &err), MIKEYD_UNSUPPORTED);
}

/* ---- messages */

static const struct {
    const struct mikey_method *method;
    uint8_t group;
} methods[] = {{&mikey_method_dhhmac, MIKEY_GROUP_X25519},
               {&mikey_method_dhhmac, MIKEY_GROUP_OAKLEY_5},
               {&mikey_method_psk_dhe, MIKEY_GROUP_X25519}};

#define EACH_METHOD(n) for (size_t n = 0; n < 2 * sizeof methods / sizeof methods[0]; n++)

static void begin_nth(size_t n)
{
    begin(methods[n / 2].method, n % 2 == 0 ? MIKEY_ALGORITHMS_256 : MIKEY_ALGORITHMS_1);
    cr_assert_eq(seal(methods[n / 2].group), MIKEYD_OK);
}

Test(values, both_ends_have_one_tgk)
{
    EACH_METHOD(n)
    {
        begin_nth(n);
        complete();
        cr_expect(x.i.v, "the answer is a part of the method");
        cr_expect_eq(x.i.encryption, MIKEY_ENCR_NULL);
        call_free(&x.call);
    }
}

Test(values, an_update_has_no_rand_and_a_new_tgk)
{
    EACH_METHOD(n)
    {
        begin_nth(n);
        complete();
        const struct bytes first = tgk_of(true);
        x.call.init.update = true;
        x.call.init.t++;
        cr_assert_eq(seal(methods[n / 2].group), MIKEYD_OK);
        complete();
        cr_expect_eq(x.i.rand_len, 0);
        const struct bytes second = tgk_of(true);
        cr_expect_neq(memcmp(first.data, second.data, first.len), 0);
        call_free(&x.call);
    }
}

Test(values, no_flipped_bit_of_either_message_passes)
{
    EACH_METHOD(n)
    {
        begin_nth(n);
        static uint8_t message[1024];
        memcpy(message, x.call.message, x.call.message_len);
        for (size_t bit = 0; bit < 8 * x.call.message_len; bit++) {
            message[bit / 8] ^= (uint8_t)(1u << bit % 8);
            cr_assert_neq(answer(message, x.call.message_len), MIKEYD_OK, "I bit %zu", bit);
            message[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        cr_assert_eq(answer(message, x.call.message_len), MIKEYD_OK, "%s", err.text);
        const size_t len = x.call.reply_len;
        for (size_t bit = 0; bit < 8 * len; bit++) {
            x.call.reply[bit / 8] ^= (uint8_t)(1u << bit % 8);
            cr_assert_neq(verify(x.call.reply, len), MIKEYD_OK, "R bit %zu", bit);
            x.call.reply[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        cr_assert_eq(verify(x.call.reply, len), MIKEYD_OK, "%s", err.text);
        call_free(&x.call);
    }
}

Test(values, no_shorter_message_passes)
{
    EACH_METHOD(n)
    {
        begin_nth(n);
        for (size_t len = 0; len < x.call.message_len; len++)
            cr_assert_neq(answer(x.call.message, len), MIKEYD_OK);
        complete();
        for (size_t len = 0; len < x.call.reply_len; len++)
            cr_assert_neq(verify(x.call.reply, len), MIKEYD_OK);
        call_free(&x.call);
    }
}

Test(values, an_answer_without_the_mark_is_refused)
{
    begin(&mikey_method_psk_dhe, MIKEY_ALGORITHMS_256);
    cr_assert_eq(seal(MIKEY_GROUP_X25519), MIKEYD_OK);
    /* The responder takes part in dhhmac only, which a stripped mark would ask it to. */
    x.method = &mikey_method_dhhmac;
    x.call.init.method = &mikey_method_dhhmac;
    cr_assert_eq(call_seal(&x.call), MIKEYD_OK);
    cr_assert_eq(answer(x.call.message, x.call.message_len), MIKEYD_OK, "%s", err.text);
    x.method = &mikey_method_psk_dhe;
    cr_assert_eq(verify(x.call.reply, x.call.reply_len), MIKEYD_POLICY);
    call_free(&x.call);
}

Test(values, a_mark_of_ours_that_is_not_known_is_refused)
{
    begin(&mikey_method_psk_dhe, MIKEY_ALGORITHMS_256);
    cr_assert_eq(seal(MIKEY_GROUP_X25519), MIKEYD_OK);
    uint8_t *at = memmem(x.call.message, x.call.message_len, "mikeyd psk-dhe", 14);
    cr_assert_not_null(at);
    at[13] = 'f';
    cr_assert_eq(mikey_parse(x.call.message, x.call.message_len, &x.i, NULL, &err),
                 MIKEYD_UNSUPPORTED);
    cr_assert_not_null(strstr(err.text, "does not know"), "%s", err.text);
    call_free(&x.call);
}

Test(values, an_answer_to_another_value_is_refused)
{
    EACH_METHOD(n)
    {
        begin_nth(n);
        cr_assert_eq(answer(x.call.message, x.call.message_len), MIKEYD_OK);
        static struct mikey_dh_pair other;
        cr_assert_eq(mikey_dh_make(x.own_i.group, &other, &err), MIKEYD_OK);
        x.sent = view(&other);
        cr_assert_eq(verify(x.call.reply, x.call.reply_len), MIKEYD_SYNTAX);
        call_free(&x.call);
    }
}

/* What an answer may differ in from what was sent, and what is said then: before any key is used,
 * because a right MAC does not make it an answer to us. */
static const struct {
    enum {
        ITS_BUNDLE,
        ITS_T,
        ITS_ALGORITHMS,
        ITS_IDI,
        ITS_IDR,
        ITS_MKI,
        ITS_STREAMS,
        OWN_MKI
    } what;
    enum mikeyd_status status;
    const char *said;
} differences[] = {
    {ITS_BUNDLE, MIKEYD_SYNTAX, "another crypto session bundle"},
    {ITS_T, MIKEYD_SYNTAX, "does not repeat the timestamp"},
    {ITS_ALGORITHMS, MIKEYD_UNSUPPORTED, "other algorithms"},
    {ITS_IDI, MIKEYD_SYNTAX, "another initiator or responder"},
    {ITS_IDR, MIKEYD_SYNTAX, "another initiator or responder"},
    {ITS_MKI, MIKEYD_SYNTAX, "does not give back"},
    {ITS_STREAMS, MIKEYD_SYNTAX, "other crypto sessions"},
    {OWN_MKI, MIKEYD_SYNTAX, "another MKI"},
};

static void differ(size_t n)
{
    struct mikey_init *init = &x.call.init;
    switch (differences[n].what) {
    case ITS_BUNDLE:
        init->csb_id++;
        break;
    case ITS_T:
        init->t++;
        break;
    case ITS_ALGORITHMS:
        init->algorithms = MIKEY_ALGORITHMS_1;
        break;
    case ITS_IDI:
        init->idi.len--;
        break;
    case ITS_IDR:
        init->idr.len--;
        break;
    case ITS_MKI:
        x.sent.spi = (const uint8_t *)"\1\2\3\5";
        break;
    case ITS_STREAMS:
        init->stream_count = 2;
        break;
    case OWN_MKI:
        x.mki_r = (const uint8_t *)"\1\2\3\5";
        break;
    }
}

Test(values, an_answer_that_differs_is_refused_by_what_differs)
{
    EACH_METHOD(n)
    {
        for (size_t i = 0; i < sizeof differences / sizeof differences[0]; i++) {
            begin_nth(n);
            if (differences[i].what == ITS_ALGORITHMS &&
                x.call.init.algorithms == MIKEY_ALGORITHMS_1) {
                call_free(&x.call);
                continue;
            }
            x.call.streams[1].ssrc = 0x77;
            x.sent.spi = (const uint8_t *)"\1\2\3\4";
            x.sent.spi_len = 4;
            const struct mikey_init init = x.call.init;
            const struct mikey_dh sent = x.sent;
            differ(i);
            cr_assert_eq(call_seal(&x.call), MIKEYD_OK);
            cr_assert_eq(answer(x.call.message, x.call.message_len), MIKEYD_OK, "%s", err.text);
            x.call.init = init;
            x.sent = sent;
            cr_expect_eq(verify(x.call.reply, x.call.reply_len), differences[i].status, "%zu: %s",
                         i, err.text);
            cr_expect_not_null(strstr(err.text, differences[i].said), "%zu: %s", i, err.text);
            call_free(&x.call);
        }
    }
}

Test(values, an_answer_in_another_group_is_refused)
{
    begin(&mikey_method_dhhmac, MIKEY_ALGORITHMS_256);
    cr_assert_eq(seal(MIKEY_GROUP_X25519), MIKEYD_OK);
    cr_assert_eq(answer(x.call.message, x.call.message_len), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(verify(x.call.reply, x.call.reply_len), MIKEYD_OK, "%s", err.text);
    /* DHr becomes a value of OAKLEY 5, which is longer. */
    const size_t at = (size_t)(x.r.dh[0].value - x.r.bytes), more = 192 - 32;
    uint8_t *reply = x.call.reply;
    cr_assert_lt(x.call.reply_len + more, sizeof x.call.reply);
    memmove(reply + at + 192, reply + at + 32, x.call.reply_len - at - 32);
    memset(reply + at, 7, 192);
    reply[at - 1] = MIKEY_GROUP_OAKLEY_5;
    cr_assert_eq(verify(reply, x.call.reply_len + more), MIKEYD_SYNTAX);
    cr_assert_not_null(strstr(err.text, "another Diffie-Hellman group"), "%s", err.text);
    call_free(&x.call);
}

/* The key's holder takes no more than that in one call. */
Test(values, an_answer_longer_than_one_mac_covers_is_refused)
{
    static uint8_t reply[MIKEY_COVERED_MAX + 2048];
    begin(&mikey_method_dhhmac, MIKEY_ALGORITHMS_256);
    cr_assert_eq(seal(MIKEY_GROUP_X25519), MIKEYD_OK);
    cr_assert_eq(answer(x.call.message, x.call.message_len), MIKEYD_OK, "%s", err.text);
    /* Behind T an extension that nobody knows. */
    const size_t t = MIKEY_HEADER_MIN + 9 * x.call.init.stream_count, len = MIKEY_COVERED_MAX;
    struct byte_writer w = writer_of(reply, sizeof reply);
    writer_bytes(&w, x.call.reply, t + 10);
    writer_u8(&w, reply[t]);
    writer_u8(&w, 9);
    writer_u16(&w, (uint16_t)len);
    (void)writer_room(&w, len);
    writer_bytes(&w, x.call.reply + t + 10, x.call.reply_len - t - 10);
    cr_assert_not(w.failed);
    reply[t] = MIKEY_PAYLOAD_EXTENSION;
    cr_assert_eq(verify(reply, w.len), MIKEYD_UNSUPPORTED);
    cr_assert_not_null(strstr(err.text, "more than"), "%s", err.text);
    call_free(&x.call);
}

/* A draft answers the message it is for: with a value of its group, or without one where it has
 * none (RFC 4650 3.1). */
Test(values, a_draft_has_a_value_exactly_when_the_message_has_one)
{
    static uint8_t room[1024];
    struct mikey_covered covered;
    begin(&mikey_method_dhhmac, MIKEY_ALGORITHMS_256);
    for (int without = 0; without < 2; without++) {
        cr_assert_eq(seal(MIKEY_GROUP_X25519), MIKEYD_OK);
        x.call.init.update = without == 1;
        x.call.init.dh = without == 1 ? NULL : &x.sent;
        cr_assert_eq(call_seal(&x.call), MIKEYD_OK);
        cr_assert_eq(mikey_parse(x.call.message, x.call.message_len, &x.i, NULL, &err), MIKEYD_OK,
                     "%s", err.text);
        const struct mikey_dh own = view(&x.own_r);
        struct mikey_dh other = own;
        other.group = MIKEY_GROUP_OAKLEY_5;
        const struct mikey_dh *const values[] = {&own, NULL, &other};
        for (int i = 0; i < 3; i++) {
            struct byte_writer w = writer_of(room, sizeof room);
            const enum mikeyd_status status =
                mikey_draft_exchange(&x.i, x.i.cs, values[i], &x.call.init.idi, &w, &covered, &err);
            cr_expect_eq(status, i == without ? MIKEYD_OK : MIKEYD_INVALID_ARGUMENT, "%d %d",
                         without, i);
        }
    }
    call_free(&x.call);
}

/* The message with those bytes put in at a place. */
static size_t insert(const void *bytes, size_t len, size_t at, uint8_t out[1024])
{
    cr_assert_leq(x.call.message_len + len, 1024);
    memcpy(out, x.call.message, at);
    if (len != 0)
        memcpy(out + at, bytes, len);
    memcpy(out + at + len, x.call.message + at, x.call.message_len - at);
    return x.call.message_len + len;
}

/* Only an update has a TGK to keep, and only one of plain DHHMAC keeps it. */
Test(values, a_message_without_a_value_is_an_update_of_dhhmac_alone)
{
    static uint8_t message[1024];
    const char *mark = mikey_method_psk_dhe.mark;
    begin(&mikey_method_dhhmac, MIKEY_ALGORITHMS_256);
    cr_assert_eq(seal(MIKEY_GROUP_X25519), MIKEYD_OK);
    x.call.init.update = true;
    x.call.init.dh = NULL;
    x.call.init.sdp_ids = mark;
    cr_assert_eq(call_seal(&x.call), MIKEYD_OK);
    cr_assert_eq(mikey_parse(x.call.message, x.call.message_len, &x.i, NULL, &err), MIKEYD_OK, "%s",
                 err.text);
    cr_assert_eq(x.i.dh_count, 0);

    /* T, which stands behind the header, is followed by a RAND: then it is no update. */
    const size_t t = 10 + 9 * x.i.cs_count;
    uint8_t rand[2 + 16] = {x.call.message[t], 16};
    size_t len = insert(rand, sizeof rand, t + 10, message);
    message[t] = MIKEY_PAYLOAD_RAND;
    cr_expect_eq(mikey_parse(message, len, &x.i, NULL, &err), MIKEYD_SYNTAX);
    cr_expect_not_null(strstr(err.text, "one Diffie-Hellman value"), "%s", err.text);

    /* The text of the SDP list as a vendor's. */
    len = insert(NULL, 0, 0, message);
    uint8_t *text = memmem(message, len, mark, strlen(mark));
    cr_assert_not_null(text);
    cr_assert_eq(text[-3], MIKEY_EXTENSION_SDP_IDS);
    text[-3] = MIKEY_EXTENSION_VENDOR;
    cr_expect_eq(mikey_parse(message, len, &x.i, NULL, &err), MIKEYD_SYNTAX);
    cr_expect_not_null(strstr(err.text, "which it is not"), "%s", err.text);
    call_free(&x.call);
}

Test(values, an_mki_goes_with_the_value)
{
    begin(&mikey_method_psk_dhe, MIKEY_ALGORITHMS_256);
    cr_assert_eq(seal(MIKEY_GROUP_X25519), MIKEYD_OK);
    x.sent.spi = (const uint8_t *)"\1\2\3\4";
    x.sent.spi_len = 4;
    cr_assert_eq(call_seal(&x.call), MIKEYD_OK);
    complete();
    cr_expect_eq(x.i.dh[0].spi_len, 4);
    cr_expect_eq(x.r.dh[1].spi_len, 4);
    call_free(&x.call);
}

Test(values, what_cannot_be_exchanged_is_not_sealed)
{
    begin(&mikey_method_dhhmac, MIKEY_ALGORITHMS_256);
    cr_assert_eq(seal(MIKEY_GROUP_X25519), MIKEYD_OK);
    x.call.init.dh = NULL;
    cr_expect_eq(call_seal(&x.call), MIKEYD_INVALID_ARGUMENT, "no value");
    x.call.init.dh = &x.sent;
    x.call.init.key_count = 1;
    cr_expect_eq(call_seal(&x.call), MIKEYD_INVALID_ARGUMENT, "a key beside");
    x.call.init.key_count = 0;
    x.call.init.idr.len = 0;
    cr_expect_eq(call_seal(&x.call), MIKEYD_INVALID_ARGUMENT, "no IDr");
    call_free(&x.call);
    begin(&mikey_method_psk_dhe, MIKEY_ALGORITHMS_256);
    cr_assert_eq(seal(MIKEY_GROUP_X25519), MIKEYD_OK);
    x.call.init.update = true;
    x.call.init.dh = NULL;
    cr_expect_eq(call_seal(&x.call), MIKEYD_INVALID_ARGUMENT, "an update of psk-dhe has a value");
    call_free(&x.call);
}

Test(values, psk_and_rand_are_in_the_key_of_the_pair)
{
    uint8_t first[MIKEY_PSK_KEY_LEN];
    begin(&mikey_method_psk_dhe, MIKEY_ALGORITHMS_256);
    cr_assert_eq(seal(MIKEY_GROUP_X25519), MIKEYD_OK);
    complete();
    memcpy(first, x.psk_key_i, sizeof first);
    const struct bytes rand = support_counting(0xa1, 16);
    x.call.init.rand = rand.data;
    cr_assert_eq(call_seal(&x.call), MIKEYD_OK);
    complete();
    cr_expect_neq(memcmp(first, x.psk_key_i, sizeof first), 0);
    call_free(&x.call);
}
