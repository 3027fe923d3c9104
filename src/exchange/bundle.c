#include "exchange/bundle.h"

#include <string.h>

#include "policy/policy.h"

bool bundle_set_identity(struct bundle_identity *to, const struct identity *from)
{
    if (from->len == 0 || from->len > IDENTITY_MAX)
        return false;
    to->type = from->type;
    to->len = (uint8_t)from->len;
    memmove(to->data, from->data, from->len); /* a bundle may be filled from itself */
    return true;
}

void bundle_turn(struct bundle *bundle)
{
    const struct bundle_identity initiator = bundle->initiator;
    bundle->initiator = bundle->responder;
    bundle->responder = initiator;
}

struct identity bundle_identity_view(const struct bundle_identity *identity)
{
    return (struct identity){.type = identity->type, .len = identity->len, .data = identity->data};
}

struct mikey_key_data bundle_key_view(const struct bundle_keys *keys, size_t index)
{
    const struct bundle_key *key = &keys->key[index];
    struct mikey_key_data view = {
        .type = key->type, .kv = MIKEY_KV_NULL, .key = key->key, .key_len = key->key_len};
    if (key->salt_len != 0) {
        view.salt = key->salt;
        view.salt_len = key->salt_len;
    }
    if (keys->mki_len != 0) {
        view.kv = MIKEY_KV_SPI;
        view.spi = key->mki;
        view.spi_len = keys->mki_len;
    }
    return view;
}

/* ---- writing */

static void write_short(struct byte_writer *out, const void *data, size_t len)
{
    if (len > UINT8_MAX)
        out->failed = true;
    writer_u8(out, (uint8_t)len);
    writer_bytes(out, data, len);
}

static void write_identity(struct byte_writer *out, const struct bundle_identity *identity)
{
    writer_u8(out, identity->type);
    write_short(out, identity->data, identity->len);
}

static void write_keys(struct byte_writer *out, const struct bundle_keys *keys)
{
    writer_u8(out, (uint8_t)keys->count);
    writer_u8(out, (uint8_t)keys->mki_len);
    for (size_t i = 0; i < keys->count; i++) {
        const struct bundle_key *key = &keys->key[i];
        writer_u8(out, key->type);
        write_short(out, key->key, key->key_len);
        write_short(out, key->salt, key->salt_len);
        writer_bytes(out, key->mki, keys->mki_len);
    }
    writer_u8(out, keys->has_dh);
    if (!keys->has_dh)
        return;
    writer_u8(out, keys->dh.group);
    writer_bytes(out, keys->dh.value, mikey_dh_len(keys->dh.group));
    writer_bytes(out, keys->dh.private, sizeof keys->dh.private);
}

void bundle_write(const struct bundle *bundle, const struct bundle_keys *keys,
                  struct byte_writer *out)
{
    writer_u8(out, (uint8_t)bundle->role);
    write_short(out, bundle->client, strlen(bundle->client));
    write_identity(out, &bundle->initiator);
    write_identity(out, &bundle->responder);
    write_short(out, bundle->key_name, strlen(bundle->key_name));
    writer_u32(out, bundle->generation);
    writer_u8(out, bundle->method);
    writer_u8(out, (uint8_t)bundle->algorithms);
    writer_u32(out, bundle->csb_id);
    writer_u8(out, bundle->t.type);
    write_short(out, bundle->t.raw, bundle->t.raw_len);
    writer_u64(out, bundle->t.value);
    write_short(out, bundle->rand, bundle->rand_len);
    writer_u32(out, bundle->updates);
    writer_u8(out, bundle->again);
    write_short(out, bundle->reference, strlen(bundle->reference));
    write_keys(out, keys);
    writer_u8(out, (uint8_t)bundle->stream_count);
    for (size_t i = 0; i < bundle->stream_count; i++) {
        writer_u32(out, bundle->streams[i].ssrc);
        writer_u32(out, bundle->streams[i].roc);
        writer_u8(out, (uint8_t)bundle->streams[i].suite);
    }
}

/* ---- reading */

/* A length byte of at most cap and as many bytes; returns the length, 0 with in->failed otherwise.
 */
static size_t read_short(struct byte_reader *in, void *out, size_t cap)
{
    size_t len = reader_u8(in);
    if (len > cap)
        in->failed = true;
    if (in->failed)
        return 0;
    reader_copy(in, out, len);
    return in->failed ? 0 : len;
}

/* May be empty. */
static void read_text(struct byte_reader *in, char *out, size_t cap)
{
    size_t len = read_short(in, out, cap - 1);
    out[len] = '\0';
    /* A NUL inside would make two different names compare equal. */
    if (strlen(out) != len)
        in->failed = true;
}

static void read_name(struct byte_reader *in, char *out, size_t cap)
{
    read_text(in, out, cap);
    if (out[0] == '\0')
        in->failed = true;
}

static void read_identity(struct byte_reader *in, struct bundle_identity *out)
{
    out->type = reader_u8(in);
    out->len = (uint8_t)read_short(in, out->data, sizeof out->data);
    if (out->len == 0)
        in->failed = true;
}

static void read_streams(struct byte_reader *in, struct bundle *bundle)
{
    bundle->stream_count = reader_u8(in);
    for (size_t i = 0; i < bundle->stream_count; i++) {
        bundle->streams[i].ssrc = reader_u32(in);
        bundle->streams[i].roc = reader_u32(in);
        uint8_t suite = reader_u8(in);
        if (suite >= SRTP_SUITE_COUNT)
            in->failed = true;
        bundle->streams[i].suite = (enum srtp_suite)suite;
    }
}

static void read_dh(struct byte_reader *in, struct bundle_keys *keys)
{
    const uint8_t present = reader_u8(in);
    keys->has_dh = present == 1;
    if (present > 1)
        in->failed = true;
    if (!keys->has_dh)
        return;
    keys->dh.group = reader_u8(in);
    if (mikey_dh_len(keys->dh.group) == 0)
        in->failed = true;
    reader_copy(in, keys->dh.value, mikey_dh_len(keys->dh.group));
    reader_copy(in, keys->dh.private, sizeof keys->dh.private);
}

static void read_keys(struct byte_reader *in, struct bundle_keys *keys)
{
    keys->count = reader_u8(in);
    keys->mki_len = reader_u8(in);
    if (keys->count == 0 || keys->count > BUNDLE_KEYS_MAX)
        in->failed = true;
    for (size_t i = 0; !in->failed && i < keys->count; i++) {
        struct bundle_key *key = &keys->key[i];
        key->type = reader_u8(in);
        key->key_len = read_short(in, key->key, sizeof key->key);
        key->salt_len = read_short(in, key->salt, sizeof key->salt);
        reader_copy(in, key->mki, keys->mki_len);
        if (key->type > MIKEY_KEY_TEK_SALT)
            in->failed = true;
    }
    read_dh(in, keys);
    /* A key of no bytes is one that waits for the peer's value. */
    for (size_t i = 0; !in->failed && i < keys->count; i++) {
        if ((keys->key[i].key_len == 0) != keys->has_dh)
            in->failed = true;
    }
}

bool bundle_read(struct byte_reader *in, struct bundle *bundle, struct bundle_keys *keys)
{
    uint8_t role = reader_u8(in);
    bundle->role = (enum bundle_role)role;
    read_name(in, bundle->client, sizeof bundle->client);
    read_identity(in, &bundle->initiator);
    read_identity(in, &bundle->responder);
    read_name(in, bundle->key_name, sizeof bundle->key_name);
    bundle->generation = reader_u32(in);
    bundle->method = reader_u8(in);
    uint8_t algorithms = reader_u8(in);
    bundle->algorithms = (enum mikey_algorithms)algorithms;
    bundle->csb_id = reader_u32(in);
    bundle->t.type = reader_u8(in);
    bundle->t.raw_len = (uint8_t)read_short(in, bundle->t.raw, sizeof bundle->t.raw);
    bundle->t.value = reader_u64(in);
    bundle->rand_len = read_short(in, bundle->rand, sizeof bundle->rand);
    bundle->updates = reader_u32(in);
    const uint8_t again = reader_u8(in);
    bundle->again = again == 1;
    read_text(in, bundle->reference, sizeof bundle->reference);
    read_keys(in, keys);
    read_streams(in, bundle);
    return reader_done(in) && again <= 1 && role >= BUNDLE_AWAITS_REPLY &&
           role <= BUNDLE_RESPONDER && bundle->method != POLICY_METHOD_BY_POLICY &&
           bundle->method < POLICY_METHOD_END && algorithms <= MIKEY_ALGORITHMS_256 &&
           bundle->t.type <= MIKEY_TS_NTP_UTC_32 && bundle->rand_len != 0 &&
           bundle->stream_count != 0;
}
