#include "support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/text.h"

void support_init(void)
{
    struct error err = {0};
    cr_assert_eq(secret_heap_init(1 << 20, &err), MIKEYD_OK, "%s", err.text);
}

struct bytes support_hex(const char *text, size_t text_len)
{
    struct bytes out = {0};
    struct error err = {0};
    cr_assert_eq(hex_decode(text, text_len, out.data, sizeof out.data, &out.len, &err), MIKEYD_OK,
                 "%s", err.text);
    return out;
}

struct bytes support_hex_string(const char *text)
{
    return support_hex(text, strlen(text));
}

struct bytes support_counting(uint8_t first, size_t len)
{
    struct bytes out = {.len = len};
    for (size_t i = 0; i < len; i++)
        out.data[i] = (uint8_t)(first + i);
    return out;
}

char *support_file(const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", VECTORS, name);
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f, "%s", path);
    size_t cap = 1 << 20;
    char *text = calloc(1, cap);
    cr_assert_not_null(text);
    size_t len = fread(text, 1, cap - 1, f);
    cr_assert(len > 0 && len < cap - 1);
    (void)fclose(f);
    return text;
}

json_t *support_json(const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", VECTORS, name);
    json_error_t error;
    json_t *json = json_load_file(path, 0, &error);
    cr_assert_not_null(json, "%s: %s", path, error.text);
    return json;
}

struct bytes support_kat_at(const char *section, const char *label, size_t n)
{
    char *text = support_file("kats.txt");
    char line[64];
    (void)snprintf(line, sizeof line, "\n%s", section);
    const char *at = strstr(text, line);
    cr_assert_not_null(at, "no section %s", section);
    for (size_t i = 0; i <= n; i++) {
        at = strstr(at + 1, label);
        cr_assert_not_null(at, "no %s in %s", label, section);
    }
    at += strlen(label);
    struct bytes out = support_hex(at, strspn(at, "0123456789abcdef"));
    free(text);
    return out;
}

struct bytes support_kat(const char *section, const char *label)
{
    return support_kat_at(section, label, 0);
}

struct mikey_message_keys *support_keys(void)
{
    struct mikey_message_keys *keys = secret_alloc(sizeof *keys);
    cr_assert_not_null(keys);
    return keys;
}

void support_keys_free(struct mikey_message_keys *keys)
{
    secret_release(keys, sizeof *keys);
}

void support_equal(const void *actual, size_t actual_len, const void *expected, size_t expected_len,
                   const char *what)
{
    char a[8300], b[8300];
    cr_assert(actual_len < 4096 && expected_len < 4096);
    hex_encode(actual, actual_len, a);
    hex_encode(expected, expected_len, b);
    cr_assert_str_eq(a, b, "%s", what);
}

static const uint8_t rand_of_block_c[] = {0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
                                          0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};
static const uint8_t tgk[] = {0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47,
                              0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f};
static const uint8_t salt[] = {0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66,
                               0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d};
static const uint8_t spi[] = {0, 0, 0, 1};

static struct identity nai(const char *text)
{
    return (struct identity){
        .type = IDENTITY_NAI, .len = strlen(text), .data = (const uint8_t *)text};
}

void call_make(struct call *call, enum mikey_algorithms algorithms)
{
    memset(call, 0, sizeof *call);
    struct bytes psk = support_counting(0, algorithms == MIKEY_ALGORITHMS_256 ? 32 : 16);
    struct error err = {0};
    cr_assert_eq(mikey_host_psk(psk.data, psk.len, &call->psk, &err), MIKEYD_OK, "%s", err.text);
    call->keys = support_keys();
    call->plain = secret_alloc(sizeof *call->plain);
    cr_assert_not_null(call->plain);
    call->streams[0] = (struct mikey_stream){.ssrc = 0x11223344};
    call->key = (struct mikey_key_data){.type = MIKEY_KEY_TGK_SALT,
                                        .kv = MIKEY_KV_SPI,
                                        .key = tgk,
                                        .key_len = sizeof tgk,
                                        .salt = salt,
                                        .salt_len = sizeof salt,
                                        .spi = spi,
                                        .spi_len = sizeof spi};
    call->init = (struct mikey_init){.algorithms = algorithms,
                                     .verify = true,
                                     .csb_id = 0x12345678,
                                     .t = 0xeb4f1a2b80000000,
                                     .rand = rand_of_block_c,
                                     .rand_len = sizeof rand_of_block_c,
                                     .idi = nai("alice@example.com"),
                                     .idr = nai("bob@example.com"),
                                     .streams = call->streams,
                                     .stream_count = 2,
                                     .keys = &call->key,
                                     .key_count = 1};
}

void call_free(struct call *call)
{
    mikey_host_psk_clear(&call->psk);
    support_keys_free(call->keys);
    secret_release(call->plain, sizeof *call->plain);
}

const struct mikey_key *call_key(struct call *call)
{
    call->port = (struct mikey_psk_port){.psk = call->psk, .keys = call->keys};
    call->holder = (struct mikey_key){.ops = &mikey_key_by_psk, .port = &call->port};
    return &call->holder;
}

enum mikeyd_status call_open(struct call *call, const struct mikey_message *m, const uint8_t *rand,
                             size_t rand_len, struct error *err)
{
    return mikey_open_init(m, rand, rand_len, call_key(call), NULL, call->plain, call->data,
                           &call->data_count, NULL, NULL, err);
}

enum mikeyd_status call_reply_to(struct call *call, const struct mikey_message *m,
                                 const struct mikey_cs *cs, const uint8_t *rand, size_t rand_len,
                                 struct byte_writer *out, struct error *err)
{
    struct mikey_covered covered;
    uint8_t v[HMAC_TAG_MAX];
    enum mikeyd_status status = mikey_draft_reply(m, cs, &call->answer_rules, out, &covered, err);
    if (status == MIKEYD_OK)
        status = mikey_open_init(m, rand, rand_len, call_key(call), &covered, call->plain,
                                 call->data, &call->data_count, v, NULL, err);
    if (status == MIKEYD_OK)
        writer_bytes(out, v, m->mac_len);
    return status;
}

enum mikeyd_status call_seal(struct call *call)
{
    struct byte_writer w = writer_of(call->message, sizeof call->message);
    struct error err = {0};
    enum mikeyd_status status = mikey_seal_init(&call->init, call_key(call), call->plain, &w, &err);
    call->message_len = w.len;
    return status;
}

enum mikeyd_status call_authenticate(struct call *call, const uint8_t *bytes, size_t len)
{
    static struct mikey_message m;
    struct error err = {0};
    enum mikeyd_status status = mikey_parse(bytes, len, &m, NULL, &err);
    if (status != MIKEYD_OK)
        return status;
    const uint8_t *rand = mikey_is_update(&m) ? call->init.rand : m.rand;
    size_t rand_len = mikey_is_update(&m) ? call->init.rand_len : m.rand_len;
    return call_open(call, &m, rand, rand_len, &err);
}

enum mikeyd_status call_answer(struct call *call)
{
    static struct mikey_message m;
    struct error err = {0};
    struct byte_writer w = writer_of(call->reply, sizeof call->reply);
    enum mikeyd_status status = call_authenticate(call, call->message, call->message_len);
    if (status != MIKEYD_OK)
        return status;
    cr_assert_eq(mikey_parse(call->message, call->message_len, &m, NULL, &err), MIKEYD_OK);
    if (m.cs_count == 2 && m.cs[1].ssrc == 0)
        m.cs[1].ssrc = 0x55667788;
    static struct mikey_cs cs[MIKEY_CS_MAX];
    memcpy(cs, m.cs, sizeof cs);
    cr_assert_eq(mikey_parse(call->message, call->message_len, &m, NULL, &err), MIKEYD_OK);
    const bool update = mikey_is_update(&m);
    status = call_reply_to(call, &m, cs, update ? call->init.rand : m.rand,
                           update ? call->init.rand_len : m.rand_len, &w, &err);
    call->reply_len = w.len;
    return status;
}

enum mikeyd_status call_verify(struct call *call, const uint8_t *bytes, size_t len)
{
    static struct mikey_message r;
    struct error err = {0};
    enum mikeyd_status status = mikey_parse(bytes, len, &r, NULL, &err);
    if (status != MIKEYD_OK)
        return status;
    struct mikey_expected_reply expected = {.algorithms = call->init.algorithms,
                                            .csb_id = call->init.csb_id,
                                            .rand = call->init.rand,
                                            .rand_len = call->init.rand_len,
                                            .idi = call->init.idi,
                                            .idr = call->init.idr,
                                            .streams = call->init.streams,
                                            .stream_count = call->init.stream_count,
                                            .rules = call->verify_rules};
    expected.t = (struct mikey_timestamp){.raw_len = 8, .value = call->init.t};
    struct byte_writer w = writer_of(expected.t.raw, 8);
    writer_u64(&w, call->init.t);
    return mikey_verify_reply(&r, &expected, call_key(call), &err);
}
