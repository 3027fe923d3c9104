#include "base/bytes.h"

#include <string.h>

struct byte_reader reader_of(const void *data, size_t len)
{
    return (struct byte_reader){.data = data, .len = len};
}

const uint8_t *reader_bytes(struct byte_reader *r, size_t len)
{
    if (r->failed || len > r->len - r->at) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *bytes = r->data + r->at;
    r->at += len;
    return bytes;
}

static uint64_t reader_number(struct byte_reader *r, size_t len)
{
    const uint8_t *bytes = reader_bytes(r, len);
    uint64_t value = 0;
    for (size_t i = 0; bytes != NULL && i < len; i++)
        value = value << 8 | bytes[i];
    return value;
}

uint8_t reader_u8(struct byte_reader *r)
{
    return (uint8_t)reader_number(r, 1);
}

uint16_t reader_u16(struct byte_reader *r)
{
    return (uint16_t)reader_number(r, 2);
}

uint32_t reader_u32(struct byte_reader *r)
{
    return (uint32_t)reader_number(r, 4);
}

uint64_t reader_u64(struct byte_reader *r)
{
    return reader_number(r, 8);
}

void reader_copy(struct byte_reader *r, void *out, size_t len)
{
    const uint8_t *bytes = reader_bytes(r, len);
    if (len == 0)
        return;
    if (bytes == NULL)
        memset(out, 0, len);
    else
        memcpy(out, bytes, len);
}

struct byte_reader reader_sub(struct byte_reader *r, size_t len)
{
    const uint8_t *bytes = reader_bytes(r, len);
    return (struct byte_reader){
        .data = bytes, .len = bytes == NULL ? 0 : len, .failed = bytes == NULL};
}

size_t reader_left(const struct byte_reader *r)
{
    return r->failed ? 0 : r->len - r->at;
}

bool reader_done(const struct byte_reader *r)
{
    return !r->failed && r->at == r->len;
}

struct byte_writer writer_of(void *data, size_t cap)
{
    return (struct byte_writer){.data = data, .cap = cap};
}

uint8_t *writer_room(struct byte_writer *w, size_t len)
{
    if (w->failed || len > w->cap - w->len) {
        w->failed = true;
        return NULL;
    }
    uint8_t *room = w->data + w->len;
    w->len += len;
    return room;
}

static void writer_number(struct byte_writer *w, uint64_t value, size_t len)
{
    uint8_t *room = writer_room(w, len);
    for (size_t i = 0; room != NULL && i < len; i++)
        room[i] = (uint8_t)(value >> (8 * (len - 1 - i)));
}

void writer_u8(struct byte_writer *w, uint8_t value)
{
    writer_number(w, value, 1);
}

void writer_u16(struct byte_writer *w, uint16_t value)
{
    writer_number(w, value, 2);
}

void writer_u32(struct byte_writer *w, uint32_t value)
{
    writer_number(w, value, 4);
}

void writer_u64(struct byte_writer *w, uint64_t value)
{
    writer_number(w, value, 8);
}

void writer_bytes(struct byte_writer *w, const void *data, size_t len)
{
    uint8_t *room = writer_room(w, len);
    if (room != NULL && len != 0)
        memcpy(room, data, len);
}

void writer_patch_u16(struct byte_writer *w, size_t at, uint16_t value)
{
    if (w->failed || w->len < 2 || at > w->len - 2) {
        w->failed = true;
        return;
    }
    w->data[at] = (uint8_t)(value >> 8);
    w->data[at + 1] = (uint8_t)value;
}
