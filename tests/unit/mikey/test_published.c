/* The published vectors of the PRFs and of pre-shared key exchanges (tests/vectors/README.md). */
#include <criterion/criterion.h>
#include <string.h>

#include "mikey/label.h"
#include "support.h"

TestSuite(published, .init = support_init);

static struct bytes field(const json_t *v, const char *name)
{
    return support_hex_string(json_string_value(json_object_get(v, name)));
}

static json_int_t number(const json_t *v, const char *name)
{
    return json_integer_value(json_object_get(v, name));
}

static const char *name_of(const json_t *v)
{
    return json_string_value(json_object_get(v, "name"));
}

static uint32_t word(const struct bytes *bytes)
{
    struct byte_reader r = reader_of(bytes->data, bytes->len);
    cr_assert_eq(bytes->len, 4);
    return reader_u32(&r);
}

/* Calls check with each vector of the file, of which there are so many. */
static void each(const char *file, size_t count, void (*check)(const json_t *vector))
{
    json_t *root = support_json(file);
    const json_t *list = json_object_get(root, "vectors");
    cr_assert_str_eq(json_string_value(json_object_get(root, "format")), "mikey-vectors-1");
    cr_assert_eq(json_array_size(list), count);
    for (size_t i = 0; i < count; i++)
        check(json_array_get(list, i));
    json_decref(root);
}

static void check_prf(const json_t *v)
{
    const bool first = strcmp(json_string_value(json_object_get(v, "prf")), "MIKEY-1") == 0;
    const struct bytes key = field(v, "inkey"), constant = field(v, "constant"),
                       csb = field(v, "csb_id"), rand = field(v, "rand"), text = field(v, "label"),
                       expected = field(v, "outkey");
    uint8_t label[MIKEY_LABEL_MAX], out[64];
    struct error err = {0};
    const size_t len = mikey_label_write(label, word(&constant), (uint8_t)number(v, "cs_id"),
                                         word(&csb), rand.data, rand.len);
    support_equal(label, len, text.data, text.len, name_of(v));
    cr_assert_leq(expected.len, sizeof out);
    cr_assert_eq(mikey_prf_host(first ? MIKEY_PRF_1 : MIKEY_PRF_HMAC_SHA256, key.data, key.len,
                                label, len, out, expected.len, &err),
                 MIKEYD_OK, "%s", err.text);
    support_equal(out, expected.len, expected.data, expected.len, name_of(v));
}

Test(published, every_prf_vector)
{
    each("prf.json", 64, check_prf);
}

static struct mikey_message parsed;

static void check_message_keys(const json_t *v, const struct mikey_message *m,
                               const struct mikey_psk *psk)
{
    const struct bytes encr = field(v, "encr_key"), auth = field(v, "auth_key"),
                       salt = field(v, "salt_key");
    const bool sha256 = auth.len == 32;
    const struct mikey_derivation what = {.prf = m->prf,
                                          .csb_id = m->csb_id,
                                          .rand = m->rand,
                                          .rand_len = m->rand_len,
                                          .encryption = sha256 ? 3 : 1,
                                          .mac = sha256 ? 2 : 1};
    struct error err = {0};
    struct mikey_message_keys *keys = support_keys();
    cr_assert_eq(psk->ops->derive(psk, &what, keys, &err), MIKEYD_OK, "%s", err.text);
    support_equal(keys->encr, keys->encr_len, encr.data, encr.len, "encr_key");
    support_equal(keys->auth, keys->auth_len, auth.data, auth.len, "auth_key");
    support_equal(keys->salt, keys->salt_len, salt.data, salt.len, "salt_key");
    psk->ops->release(psk, keys);
    support_keys_free(keys);
}

static void check_sessions(const json_t *v, const struct mikey_message *m,
                           const struct mikey_key_data *data)
{
    const json_t *list = json_object_get(v, "crypto_sessions");
    cr_assert_eq(json_array_size(list), m->cs_count);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *session = json_array_get(list, i);
        const struct bytes tek = field(session, "tek"), salt = field(session, "salt");
        uint8_t label[MIKEY_LABEL_MAX], out[32];
        struct error err = {0};
        const uint8_t cs = (uint8_t)number(session, "cs_id");
        size_t len = mikey_label_write(label, MIKEY_LABEL_TEK, cs, m->csb_id, m->rand, m->rand_len);
        cr_assert_eq(
            mikey_prf_host(m->prf, data->key, data->key_len, label, len, out, tek.len, &err),
            MIKEYD_OK);
        support_equal(out, tek.len, tek.data, tek.len, "TEK");
        if (data->salt_len == 0) {
            len =
                mikey_label_write(label, MIKEY_LABEL_TGK_SALT, cs, m->csb_id, m->rand, m->rand_len);
            cr_assert_eq(
                mikey_prf_host(m->prf, data->key, data->key_len, label, len, out, salt.len, &err),
                MIKEYD_OK);
            support_equal(out, salt.len, salt.data, salt.len, "salt");
        } else {
            support_equal(data->salt, data->salt_len, salt.data, salt.len, "salt");
        }
    }
}

static void check_exchange(const json_t *v)
{
    struct call call;
    enum mikey_algorithms algorithms;
    struct error err = {0};
    const struct bytes psk = field(v, "psk"), plain = field(v, "key_data"), tgk = field(v, "tgk"),
                       expected = field(v, "r_message");
    struct bytes message = field(v, "i_message");
    cr_assert(
        mikey_algorithms_by_name(json_string_value(json_object_get(v, "algorithms")), &algorithms));
    call_make(&call, algorithms);
    mikey_host_psk_clear(&call.psk);
    cr_assert_eq(mikey_host_psk(psk.data, psk.len, &call.psk, &err), MIKEYD_OK);
    cr_assert_eq(mikey_parse(message.data, message.len, &parsed, NULL, &err), MIKEYD_OK, "%s: %s",
                 name_of(v), err.text);
    check_message_keys(v, &parsed, &call.psk);
    cr_assert_eq(call_open(&call, &parsed, parsed.rand, parsed.rand_len, &err), MIKEYD_OK, "%s: %s",
                 name_of(v), err.text);
    cr_assert_eq(call.data_count, 1);
    support_equal(call.plain->bytes, plain.len, plain.data, plain.len, "key data");
    support_equal(call.data[0].key, call.data[0].key_len, tgk.data, tgk.len, "TGK");
    check_sessions(v, &parsed, &call.data[0]);

    struct mikey_cs cs[2] = {parsed.cs[0], parsed.cs[parsed.cs_count - 1]};
    if (parsed.cs_count == 2)
        cs[1].ssrc = 0x55667788;
    uint8_t out[512];
    struct byte_writer w = writer_of(out, sizeof out);
    cr_assert_eq(call_reply_to(&call, &parsed, cs, parsed.rand, parsed.rand_len, &w, &err),
                 MIKEYD_OK, "%s: %s", name_of(v), err.text);
    support_equal(out, w.len, expected.data, expected.len, name_of(v));
    message.data[message.len - 1] ^= 1;
    cr_assert_eq(mikey_parse(message.data, message.len, &parsed, NULL, &err), MIKEYD_OK);
    cr_assert_eq(call_open(&call, &parsed, parsed.rand, parsed.rand_len, &err), MIKEYD_AUTH_FAILED);
    call_free(&call);
}

Test(published, every_pre_shared_key_exchange)
{
    each("mikey_psk.json", 9, check_exchange);
}
