/*
 * The byte reader and writer (base/bytes.h), exhaustively: every sequence of up to DEPTH operations
 * on every buffer of up to LEN bytes, beside a model of what they promise. A step outside the buffer
 * is a crash.
 */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "guarded.h"

#define LEN 9
#define DEPTH 4

static const uint8_t content[LEN] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
static unsigned long checked;

/* What an operation reads: a number of so many bytes, or so many bytes as a view, copy or reader. */
enum kind { NUMBER, VIEW, COPY, SUB };
static const struct {
    enum kind kind;
    size_t len;
} operations[] = {{NUMBER, 1},     {NUMBER, 2},         {NUMBER, 4}, {NUMBER, 8},      {VIEW, 0},
                  {VIEW, 1},       {VIEW, 3},           {VIEW, 9},   {VIEW, SIZE_MAX}, {COPY, 0},
                  {COPY, 5},       {COPY, 9},           {SUB, 0},    {SUB, 2},         {SUB, 9},
                  {SUB, SIZE_MAX}, {VIEW, SIZE_MAX - 1}};
#define OPERATIONS (sizeof operations / sizeof operations[0])

static uint64_t number(struct byte_reader *r, size_t len)
{
    return len == 1   ? reader_u8(r)
           : len == 2 ? reader_u16(r)
           : len == 4 ? reader_u32(r)
                      : reader_u64(r);
}

/* One operation, against what is left of the buffer by the model. */
static void read_one(struct byte_reader *r, size_t operation)
{
    const size_t len = operations[operation].len, at = r->at;
    const bool fits = !r->failed && len <= r->len - r->at;
    uint64_t expected = 0;
    for (size_t i = 0; fits && i < len && i < 8; i++)
        expected = expected << 8 | r->data[at + i];
    uint8_t copy[16];
    memset(copy, 0xEE, sizeof copy);
    struct byte_reader sub;
    switch (operations[operation].kind) {
    case NUMBER:
        HOLDS(number(r, len) == (fits ? expected : 0));
        break;
    case VIEW:
        HOLDS(reader_bytes(r, len) == (fits ? r->data + at : NULL));
        break;
    case COPY:
        reader_copy(r, copy, len);
        for (size_t i = 0; i < len; i++)
            HOLDS(copy[i] == (fits ? r->data[at + i] : 0));
        HOLDS(copy[len] == 0xEE);
        break;
    case SUB:
        sub = reader_sub(r, len);
        HOLDS(sub.failed == !fits && (!fits || (sub.data == r->data + at && sub.len == len)));
        HOLDS(fits || reader_u8(&sub) == 0);
        break;
    }
    HOLDS(r->failed == !fits);
    HOLDS(r->at <= r->len && (!fits || r->at == at + len));
    HOLDS(reader_left(r) <= r->len && reader_done(r) == (fits && r->at == r->len));
    checked++;
}

static void read_all(const struct byte_reader *from, int depth)
{
    for (size_t operation = 0; depth > 0 && operation < OPERATIONS; operation++) {
        struct byte_reader r = *from;
        read_one(&r, operation);
        read_all(&r, depth - 1);
    }
}

/* ---- the writer: the same buffers, from behind */

static void write_all(uint8_t *room, size_t cap, const struct byte_writer *from, int depth)
{
    static const uint8_t data[LEN + 1] = {9, 8, 7, 6, 5, 4, 3, 2, 1};
    static const size_t lens[] = {1, 2, 4, 8, 0, 3, 9, 10, SIZE_MAX};
    for (size_t operation = 0; depth > 0 && operation < sizeof lens / sizeof lens[0] + 1;
         operation++) {
        struct byte_writer w = *from;
        const size_t len = operation == 9 ? 2 : lens[operation];
        const bool room_left = !w.failed && len <= cap - w.len;
        const size_t before = w.len;
        if (operation == 0)
            writer_u8(&w, 1);
        else if (operation == 1)
            writer_u16(&w, 0x0102);
        else if (operation == 2)
            writer_u32(&w, 1);
        else if (operation == 3)
            writer_u64(&w, 1);
        else if (operation < 8)
            writer_bytes(&w, data, len);
        else if (operation == 8)
            HOLDS(writer_room(&w, len) == NULL);
        if (operation == 9) { /* over what stands there */
            writer_patch_u16(&w, 1, 0x0304);
            HOLDS(w.failed == (from->failed || before < 3));
        } else {
            HOLDS(w.failed == !room_left && w.len == (room_left ? before + len : before));
        }
        HOLDS(w.len <= cap && w.data == room);
        checked++;
        write_all(room, cap, &w, depth - 1);
    }
}

int main(void)
{
    for (size_t len = 0; len <= LEN; len++) {
        struct byte_reader r = reader_of(guarded_end(content, len), len);
        read_all(&r, DEPTH);
        r = reader_of(guarded_begin(content, len), len);
        read_all(&r, DEPTH - 1);
        uint8_t *room = (uint8_t *)(uintptr_t)guarded_end(content, len);
        struct byte_writer w = writer_of(room, len);
        write_all(room, len, &w, DEPTH);
    }
    (void)printf("%lu operations of reader and writer\n", checked);
    return 0;
}
