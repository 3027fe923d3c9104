#include "base/secret.h"
#include "mikey/message.h"
#include "mikey/wire.h"

/* RFC 3830 6.14: for SRTP both ends of an interval are 48-bit indices, ROC || SEQ. */
#define SRTP_INDEX_LEN 6

static enum mikeyd_status read_validity(struct byte_reader *r, struct mikey_key_data *key,
                                        struct error *err)
{
    switch (key->kv) {
    case MIKEY_KV_NULL:
        return MIKEYD_OK;
    case MIKEY_KV_SPI:
        key->spi_len = reader_u8(r);
        key->spi = reader_bytes(r, key->spi_len);
        if (!r->failed && key->spi_len == 0)
            return error_set(err, MIKEYD_SYNTAX, "key data: empty SPI");
        return MIKEYD_OK;
    case MIKEY_KV_INTERVAL:
        key->from_len = reader_u8(r);
        key->from = reader_bytes(r, key->from_len);
        key->to_len = reader_u8(r);
        key->to = reader_bytes(r, key->to_len);
        if (!r->failed && (key->from_len != SRTP_INDEX_LEN || key->to_len != SRTP_INDEX_LEN))
            return error_set(err, MIKEYD_SYNTAX, "key data: interval is not two 48-bit indices");
        return MIKEYD_OK;
    default:
        return error_set(err, MIKEYD_UNSUPPORTED, "key data: validity type %u", key->kv);
    }
}

static enum mikeyd_status read_one(struct byte_reader *r, uint8_t *next, struct mikey_key_data *key,
                                   struct error *err)
{
    *next = reader_u8(r);
    uint8_t kinds = reader_u8(r);
    *key = (struct mikey_key_data){.type = kinds >> 4, .kv = kinds & 0x0F};
    if (!r->failed && key->type > MIKEY_KEY_TEK_SALT)
        return error_set(err, MIKEYD_UNSUPPORTED, "key data: key type %u", key->type);
    key->key_len = reader_u16(r);
    key->key = reader_bytes(r, key->key_len);
    if (key->type == MIKEY_KEY_TGK_SALT || key->type == MIKEY_KEY_TEK_SALT) {
        key->salt_len = reader_u16(r);
        key->salt = reader_bytes(r, key->salt_len);
        if (!r->failed && key->salt_len == 0)
            return error_set(err, MIKEYD_SYNTAX, "key data: empty salt");
    }
    enum mikeyd_status status = read_validity(r, key, err);
    if (status != MIKEYD_OK)
        return status;
    if (r->failed)
        return error_set(err, MIKEYD_SYNTAX, "key data: ends inside a sub-payload");
    if (key->key_len == 0)
        return error_set(err, MIKEYD_SYNTAX, "key data: empty key");
    return MIKEYD_OK;
}

/*
 * Several keys of one CSB are told apart by MKI or interval only, and an SRTP context has one MKI
 * length for life (RFC 3711 3.2.1, RFC 3830 A.1): anything else would leave the choice to chance.
 */
static enum mikeyd_status check_validities(const struct mikey_key_data *keys, size_t count,
                                           struct error *err)
{
    for (size_t i = 0; count > 1 && i < count; i++) {
        if (keys[i].kv == MIKEY_KV_NULL || keys[i].kv != keys[0].kv ||
            keys[i].spi_len != keys[0].spi_len) {
            return error_set(err, MIKEYD_SYNTAX,
                             "key data: several keys without SPIs of one length or intervals");
        }
        for (size_t j = 0; keys[i].kv == MIKEY_KV_SPI && j < i; j++) {
            if (secret_equal(keys[i].spi, keys[j].spi, keys[i].spi_len))
                return error_set(err, MIKEYD_SYNTAX, "key data: two keys with the same SPI");
        }
    }
    return MIKEYD_OK;
}

enum mikeyd_status mikey_parse_key_data(const uint8_t *data, size_t len, struct mikey_key_data *out,
                                        size_t *count, struct error *err)
{
    struct byte_reader r = reader_of(data, len);
    uint8_t next = MIKEY_PAYLOAD_KEY_DATA;
    *count = 0;
    /* RFC 3830 6.13: the first sub-payload is not announced; Encr data simply starts with one. */
    size_t found = 0;
    for (; next == MIKEY_PAYLOAD_KEY_DATA; found++) {
        if (found == MIKEY_KEY_DATA_MAX) {
            return error_set(err, MIKEYD_UNSUPPORTED, "key data: more than %d keys",
                             MIKEY_KEY_DATA_MAX);
        }
        enum mikeyd_status status = read_one(&r, &next, &out[found], err);
        if (status != MIKEYD_OK)
            return status;
    }
    if (next != MIKEY_PAYLOAD_LAST)
        return error_set(err, MIKEYD_SYNTAX, "key data: next payload %u", next);
    if (!reader_done(&r))
        return error_set(err, MIKEYD_SYNTAX, "key data: bytes left over");
    enum mikeyd_status status = check_validities(out, found, err);
    if (status == MIKEYD_OK)
        *count = found;
    return status;
}

static bool writable(const struct mikey_key_data *key)
{
    bool salted = key->type == MIKEY_KEY_TGK_SALT || key->type == MIKEY_KEY_TEK_SALT;
    if (key->type > MIKEY_KEY_TEK_SALT || key->key_len == 0 || key->key_len > UINT16_MAX)
        return false;
    if (salted ? key->salt_len == 0 || key->salt_len > UINT16_MAX : key->salt_len != 0)
        return false;
    switch (key->kv) {
    case MIKEY_KV_NULL:
        return true;
    case MIKEY_KV_SPI:
        return key->spi_len >= 1 && key->spi_len <= UINT8_MAX;
    case MIKEY_KV_INTERVAL:
        return key->from_len == SRTP_INDEX_LEN && key->to_len == SRTP_INDEX_LEN;
    default:
        return false;
    }
}

static void write_one(struct byte_writer *w, uint8_t next, const struct mikey_key_data *key)
{
    writer_u8(w, next);
    writer_u8(w, (uint8_t)(key->type << 4 | key->kv));
    writer_u16(w, (uint16_t)key->key_len);
    writer_bytes(w, key->key, key->key_len);
    if (key->salt_len != 0) {
        writer_u16(w, (uint16_t)key->salt_len);
        writer_bytes(w, key->salt, key->salt_len);
    }
    if (key->kv == MIKEY_KV_SPI) {
        writer_u8(w, (uint8_t)key->spi_len);
        writer_bytes(w, key->spi, key->spi_len);
    } else if (key->kv == MIKEY_KV_INTERVAL) {
        writer_u8(w, (uint8_t)key->from_len);
        writer_bytes(w, key->from, key->from_len);
        writer_u8(w, (uint8_t)key->to_len);
        writer_bytes(w, key->to, key->to_len);
    }
}

enum mikeyd_status mikey_key_data_write(struct byte_writer *w, const struct mikey_key_data *keys,
                                        size_t count, struct error *err)
{
    if (count > MIKEY_KEY_DATA_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "more than %d keys", MIKEY_KEY_DATA_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!writable(&keys[i]))
            return error_set(err, MIKEYD_INVALID_ARGUMENT, "key %zu cannot be written", i + 1);
        write_one(w, i + 1 < count ? MIKEY_PAYLOAD_KEY_DATA : MIKEY_PAYLOAD_LAST, &keys[i]);
    }
    if (check_validities(keys, count, err) != MIKEYD_OK)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "keys cannot be told apart");
    return MIKEYD_OK;
}
