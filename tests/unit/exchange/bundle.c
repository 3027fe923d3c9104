/* The contents of a ticket: what is written is what is read, and nothing else is read. */
#include <string.h>

#include <criterion/criterion.h>

#include "exchange/bundle.h"

static struct bundle bundle, back;
static struct bundle_keys keys, back_keys;
static struct bundle_key *const key = &keys.key[0];
static uint8_t bytes[BUNDLE_BYTES_MAX];

static void fill(void)
{
    const struct identity a = {.type = IDENTITY_URI, .len = 7, .data = (const uint8_t *)"sip:a@b"};
    const struct identity b = {.type = IDENTITY_NAI, .len = 3, .data = (const uint8_t *)"c@d"};
    memset(&bundle, 0, sizeof bundle);
    memset(&keys, 0, sizeof keys);
    bundle.role = BUNDLE_RESPONDER;
    strcpy(bundle.client, "sbc-a");
    cr_assert(bundle_set_identity(&bundle.initiator, &a));
    cr_assert(bundle_set_identity(&bundle.responder, &b));
    strcpy(bundle.key_name, "core");
    bundle.generation = 7;
    bundle.method = 3;
    bundle.algorithms = MIKEY_ALGORITHMS_256;
    bundle.csb_id = 0xfedcba98;
    bundle.t = (struct mikey_timestamp){
        .type = MIKEY_TS_NTP_UTC, .raw_len = 8, .raw = {1, 2, 3}, .value = 0x0102030000000000};
    memset(bundle.rand, 9, 16);
    bundle.rand_len = 16;
    bundle.updates = 3;
    bundle.again = true;
    strcpy(bundle.reference, "a84b4c76e66710@pc33.example");
    keys.count = 1;
    keys.mki_len = 4;
    memset(key->mki, 8, 4);
    key->type = MIKEY_KEY_TGK_SALT;
    memset(key->key, 7, 32);
    key->key_len = 32;
    memset(key->salt, 6, 14);
    key->salt_len = 14;
    bundle.streams[0] = (struct mikey_stream){1, 2, SRTP_AES_CM_128_HMAC_SHA1_32};
    bundle.streams[1] = (struct mikey_stream){3, 4, SRTP_AEAD_AES_256_GCM};
    bundle.stream_count = 2;
}

static size_t write_all(void)
{
    struct byte_writer w = writer_of(bytes, sizeof bytes);
    bundle_write(&bundle, &keys, &w);
    cr_assert_not(w.failed);
    return w.len;
}

static bool read_all(size_t len)
{
    struct byte_reader r = reader_of(bytes, len);
    memset(&back, 0, sizeof back);
    memset(&back_keys, 0, sizeof back_keys);
    return bundle_read(&r, &back, &back_keys);
}

Test(bundle, reads_what_it_wrote)
{
    fill();
    cr_assert(read_all(write_all()));
    cr_assert_eq(memcmp(&back, &bundle, sizeof bundle), 0);
    cr_assert_eq(memcmp(&back_keys, &keys, sizeof keys), 0);
}

Test(bundle, the_largest_fits)
{
    fill();
    memset(bundle.client, 'c', BUNDLE_NAME_MAX - 1);
    memset(bundle.key_name, 'k', KEYS_NAME_MAX - 1);
    bundle.initiator.len = bundle.responder.len = IDENTITY_MAX;
    bundle.rand_len = BUNDLE_RAND_MAX;
    memset(bundle.reference, 'r', BUNDLE_REFERENCE_MAX - 1);
    keys.count = BUNDLE_KEYS_MAX;
    keys.mki_len = BUNDLE_MKI_MAX;
    for (size_t i = 0; i < BUNDLE_KEYS_MAX; i++) {
        keys.key[i].type = MIKEY_KEY_TGK_SALT;
        keys.key[i].key_len = BUNDLE_TGK_MAX;
        keys.key[i].salt_len = BUNDLE_SALT_MAX;
    }
    bundle.stream_count = MIKEY_CS_MAX;
    cr_assert(read_all(write_all()));
    cr_assert_eq(back.stream_count, MIKEY_CS_MAX);
}

Test(bundle, refuses_every_truncation_and_a_byte_too_many)
{
    fill();
    size_t len = write_all();
    for (size_t i = 0; i < len; i++)
        cr_assert_not(read_all(i), "%zu", i);
    bytes[len] = 0;
    cr_assert_not(read_all(len + 1));
}

/* Positions of single fields in the bytes that fill() leads to. */
#define AT_ROLE 0
#define AT_CLIENT 1
#define AT_METHOD (1 + 1 + 5 + 2 + 7 + 2 + 3 + 1 + 4 + 4)
#define AT_ALGORITHMS (AT_METHOD + 1)

Test(bundle, refuses_numbers_out_of_range)
{
    static const struct {
        size_t at;
        uint8_t value;
    } cases[] = {{AT_ROLE, 0},     {AT_ROLE, 4},       {AT_CLIENT, 0}, {AT_CLIENT + 2, 0},
                 {AT_CLIENT, 255}, {AT_ALGORITHMS, 2}, {AT_METHOD, 0}, {AT_METHOD, 4}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fill();
        size_t len = write_all();
        bytes[cases[i].at] = cases[i].value;
        cr_assert_not(read_all(len), "case %zu", i);
    }
    fill();
    size_t len = write_all();
    bytes[len - 1] = SRTP_SUITE_COUNT;
    cr_assert_not(read_all(len), "suite");
}

Test(bundle, refuses_no_key_and_more_than_there_is_room_for)
{
    fill();
    keys.count = 0;
    cr_assert_not(read_all(write_all()));
    fill();
    size_t len = write_all();
    uint8_t *count = NULL;
    for (size_t i = 0; i + 4 < len; i++) {
        /* One key, MKIs of 4 bytes, TGK+SALT, 32 bytes. */
        if (memcmp(bytes + i, (uint8_t[]){1, 4, MIKEY_KEY_TGK_SALT, 32}, 4) == 0)
            count = bytes + i;
    }
    cr_assert_not_null(count);
    *count = BUNDLE_KEYS_MAX + 1;
    cr_assert_not(read_all(len));
}

Test(bundle, refuses_an_empty_key_and_no_stream)
{
    fill();
    key->key_len = 0;
    cr_assert_not(read_all(write_all()));
    fill();
    bundle.stream_count = 0;
    cr_assert_not(read_all(write_all()));
}

static void fill_waiting(uint8_t group)
{
    fill();
    bundle.role = BUNDLE_AWAITS_REPLY;
    key->key_len = key->salt_len = 0;
    memset(key->key, 0, sizeof key->key);
    memset(key->salt, 0, sizeof key->salt);
    keys.has_dh = true;
    keys.dh.group = group;
    memset(keys.dh.value, 5, mikey_dh_len(group));
    memset(keys.dh.private, 4, sizeof keys.dh.private);
}

Test(bundle, a_value_that_waits_is_read_back)
{
    static const uint8_t groups[] = {MIKEY_GROUP_X25519, MIKEY_GROUP_OAKLEY_5};
    for (size_t i = 0; i < 2; i++) {
        fill_waiting(groups[i]);
        size_t len = write_all();
        cr_assert(read_all(len));
        cr_assert_eq(memcmp(&back_keys, &keys, sizeof keys), 0);
        for (size_t n = 0; n < len; n++)
            cr_assert_not(read_all(n), "%zu", n);
    }
}

Test(bundle, a_value_beside_a_key_and_of_no_group_is_refused)
{
    fill_waiting(MIKEY_GROUP_X25519);
    key->key_len = 32;
    cr_assert_not(read_all(write_all()));
    fill_waiting(7);
    cr_assert_not(read_all(write_all()));
}

Test(bundle, the_key_view_carries_salt_and_mki)
{
    fill();
    struct mikey_key_data view = bundle_key_view(&keys, 0);
    cr_assert_eq(view.kv, MIKEY_KV_SPI);
    cr_assert_eq(view.spi_len, 4);
    cr_assert_eq(view.salt_len, 14);
    keys.mki_len = 0;
    key->salt_len = 0;
    view = bundle_key_view(&keys, 0);
    cr_assert_eq(view.kv, MIKEY_KV_NULL);
    cr_assert_null(view.salt);
}
