/*
 * Bounded reading and writing of network byte order. A reader or writer that would step outside its
 * buffer sets `failed`, yields zeros or writes nothing, and stays failed: callers check once, at
 * the end.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct byte_reader {
    const uint8_t *data;
    size_t len;
    size_t at;
    bool failed;
};

struct byte_reader reader_of(const void *data, size_t len);
uint8_t reader_u8(struct byte_reader *r);
uint16_t reader_u16(struct byte_reader *r);
uint32_t reader_u32(struct byte_reader *r);
uint64_t reader_u64(struct byte_reader *r);
/* A view into the buffer, or NULL (and failed) when fewer than len bytes are left. */
const uint8_t *reader_bytes(struct byte_reader *r, size_t len);
/* Copies len bytes out; zeros them on failure. */
void reader_copy(struct byte_reader *r, void *out, size_t len);
/* The next len bytes as a reader of their own (a failed one when they are not there). */
struct byte_reader reader_sub(struct byte_reader *r, size_t len);
size_t reader_left(const struct byte_reader *r);
/* True when nothing failed and nothing is left: the end of every parse. */
bool reader_done(const struct byte_reader *r);

struct byte_writer {
    uint8_t *data;
    size_t cap;
    size_t len;
    bool failed;
};

struct byte_writer writer_of(void *data, size_t cap);
void writer_u8(struct byte_writer *w, uint8_t value);
void writer_u16(struct byte_writer *w, uint16_t value);
void writer_u32(struct byte_writer *w, uint32_t value);
void writer_u64(struct byte_writer *w, uint64_t value);
void writer_bytes(struct byte_writer *w, const void *data, size_t len);
/* Room for len bytes to be filled by the caller, or NULL (and failed). */
uint8_t *writer_room(struct byte_writer *w, size_t len);
/* Overwrites two bytes written earlier, for lengths known late. */
void writer_patch_u16(struct byte_writer *w, size_t at, uint16_t value);

#endif
