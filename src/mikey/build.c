/* Pieces of messages as they are written (RFC 3830 6.1, 6.6, 6.7, 6.15). */
#include "mikey/wire.h"

void mikey_header_write(struct byte_writer *w, const struct mikey_header *header)
{
    writer_u8(w, MIKEY_VERSION);
    writer_u8(w, (uint8_t)header->type);
    writer_u8(w, header->next);
    writer_u8(w, (uint8_t)((header->v ? MIKEY_V_FLAG : 0u) | header->prf));
    writer_u32(w, header->csb_id);
    writer_u8(w, header->cs_announced);
    writer_u8(w, header->map_type);
    if (header->map_type != MIKEY_MAP_SRTP)
        return;
    for (size_t i = 0; i < header->cs_announced; i++) {
        writer_u8(w, header->cs[i].policy);
        writer_u32(w, header->cs[i].ssrc);
        writer_u32(w, header->cs[i].roc);
    }
}

void mikey_timestamp_write(struct byte_writer *w, uint8_t next, const struct mikey_timestamp *t)
{
    writer_u8(w, next);
    writer_u8(w, t->type);
    writer_bytes(w, t->raw, t->raw_len);
}

void mikey_identity_write(struct byte_writer *w, uint8_t next, const struct identity *identity)
{
    if (identity->len > UINT16_MAX) {
        w->failed = true;
        return;
    }
    writer_u8(w, next);
    writer_u8(w, identity->type);
    writer_u16(w, (uint16_t)identity->len);
    writer_bytes(w, identity->data, identity->len);
}

void mikey_extension_write(struct byte_writer *w, uint8_t next, uint8_t type, const void *data,
                           size_t len)
{
    if (len > UINT16_MAX) {
        w->failed = true;
        return;
    }
    writer_u8(w, next);
    writer_u8(w, type);
    writer_u16(w, (uint16_t)len);
    writer_bytes(w, data, len);
}

void mikey_dh_write(struct byte_writer *w, uint8_t next, const struct mikey_dh *dh)
{
    if (dh->spi_len > UINT8_MAX) {
        w->failed = true;
        return;
    }
    writer_u8(w, next);
    writer_u8(w, dh->group);
    writer_bytes(w, dh->value, dh->len);
    writer_u8(w, dh->spi_len != 0 ? MIKEY_KV_SPI : MIKEY_KV_NULL);
    if (dh->spi_len == 0)
        return;
    writer_u8(w, (uint8_t)dh->spi_len);
    writer_bytes(w, dh->spi, dh->spi_len);
}

uint8_t mikey_policy_number(const struct mikey_stream *streams, size_t index)
{
    unsigned seen = 0;
    uint8_t number = 0;
    for (size_t i = 0; streams[i].suite != streams[index].suite; i++) {
        unsigned bit = 1u << streams[i].suite;
        if ((seen & bit) == 0)
            number++;
        seen |= bit;
    }
    return number;
}

enum mikeyd_status mikey_writer_check(const struct byte_writer *w, struct error *err)
{
    if (w->failed || w->len > MIKEY_MESSAGE_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "the message does not fit");
    return MIKEYD_OK;
}

void mikey_kemac_iv(const uint8_t salt[14], uint32_t csb_id, uint64_t t, uint8_t iv[16])
{
    struct byte_writer w = writer_of(iv, 16);
    writer_u16(&w, 0);
    writer_u32(&w, csb_id);
    writer_u64(&w, t);
    writer_u16(&w, 0); /* counts the AES blocks */
    for (size_t i = 0; i < 14; i++)
        iv[i] ^= salt[i];
}
