#include "base/bytes.h"

#include <criterion/criterion.h>
#include <string.h>

Test(bytes, reader_takes_numbers_in_network_order)
{
    const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    struct byte_reader r = reader_of(data, sizeof data);
    cr_expect_eq(reader_u8(&r), 0x01);
    cr_expect_eq(reader_u16(&r), 0x0203);
    cr_expect_eq(reader_u32(&r), 0x04050607u);
    cr_expect_eq(reader_u64(&r), 0x08090a0b0c0d0e0fULL);
    cr_expect(reader_done(&r));
}

Test(bytes, reader_that_overruns_yields_zero_and_stays_failed)
{
    const uint8_t data[] = {0xff, 0xff, 0xff};
    struct byte_reader r = reader_of(data, sizeof data);
    cr_expect_eq(reader_u32(&r), 0u);
    cr_expect(r.failed);
    cr_expect_eq(reader_u8(&r), 0);
    cr_expect_null(reader_bytes(&r, 1));
    cr_expect_eq(reader_left(&r), 0);
    cr_expect_not(reader_done(&r));
}

Test(bytes, reader_refuses_lengths_that_would_wrap)
{
    const uint8_t data[] = {1, 2, 3, 4};
    struct byte_reader r = reader_of(data, sizeof data);
    (void)reader_u16(&r);
    cr_expect_null(reader_bytes(&r, SIZE_MAX));
    cr_expect(r.failed);
}

Test(bytes, reader_copy_zeroes_its_target_on_failure)
{
    const uint8_t data[] = {1, 2};
    uint8_t out[3] = {9, 9, 9};
    struct byte_reader r = reader_of(data, sizeof data);
    reader_copy(&r, out, sizeof out);
    const uint8_t zeros[3] = {0};
    cr_expect_arr_eq(out, zeros, sizeof out);
    cr_expect(r.failed);
}

Test(bytes, reader_is_not_done_while_bytes_are_left)
{
    const uint8_t data[] = {1, 2};
    struct byte_reader r = reader_of(data, sizeof data);
    (void)reader_u8(&r);
    cr_expect_not(reader_done(&r));
    cr_expect_eq(reader_left(&r), 1);
}

Test(bytes, sub_reader_ends_where_it_was_told)
{
    const uint8_t data[] = {1, 2, 3, 4};
    struct byte_reader r = reader_of(data, sizeof data);
    struct byte_reader sub = reader_sub(&r, 3);
    cr_expect_eq(reader_left(&sub), 3);
    (void)reader_u32(&sub);
    cr_expect(sub.failed);
    cr_expect_not(r.failed);
    cr_expect_eq(reader_u8(&r), 4);
}

Test(bytes, sub_reader_that_is_not_there_is_failed)
{
    const uint8_t data[] = {1};
    struct byte_reader r = reader_of(data, sizeof data);
    struct byte_reader sub = reader_sub(&r, 2);
    cr_expect(sub.failed);
    cr_expect(r.failed);
    cr_expect_not(reader_done(&sub));
}

Test(bytes, writer_puts_numbers_in_network_order)
{
    uint8_t out[15];
    struct byte_writer w = writer_of(out, sizeof out);
    writer_u8(&w, 0x01);
    writer_u16(&w, 0x0203);
    writer_u32(&w, 0x04050607u);
    writer_u64(&w, 0x08090a0b0c0d0e0fULL);
    const uint8_t want[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    cr_expect_not(w.failed);
    cr_expect_eq(w.len, sizeof want);
    cr_expect_arr_eq(out, want, sizeof want);
}

Test(bytes, writer_without_room_writes_nothing_and_stays_failed)
{
    uint8_t out[4] = {0xaa, 0xaa, 0xaa, 0xaa};
    struct byte_writer w = writer_of(out, 3);
    writer_u32(&w, 0x01020304u);
    cr_expect(w.failed);
    writer_u8(&w, 1);
    cr_expect_eq(w.len, 0);
    const uint8_t want[] = {0xaa, 0xaa, 0xaa, 0xaa};
    cr_expect_arr_eq(out, want, sizeof want);
}

Test(bytes, writer_patches_only_what_was_written)
{
    uint8_t out[8] = {0};
    struct byte_writer w = writer_of(out, sizeof out);
    writer_u32(&w, 0);
    writer_patch_u16(&w, 2, 0x1234);
    cr_expect_not(w.failed);
    cr_expect_eq(out[2], 0x12);
    cr_expect_eq(out[3], 0x34);
    writer_patch_u16(&w, 3, 0x5678);
    cr_expect(w.failed);
    cr_expect_eq(out[3], 0x34);
}

Test(bytes, writer_takes_empty_pieces)
{
    uint8_t out[1];
    struct byte_writer w = writer_of(out, 0);
    writer_bytes(&w, NULL, 0);
    cr_expect_not(w.failed);
    cr_expect_eq(w.len, 0);
}
