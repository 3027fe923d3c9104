/* Sets of times: everything that was added is in, and what lies far from it is not. */
#include <criterion/criterion.h>

#include "store/store_times.h"

#define SECOND (1ULL << 32)
#define HOUR (3600 * SECOND)

Test(store_times, has_what_was_added_and_nothing_else)
{
    struct store_times times = {.count = 0};
    cr_expect_not(store_times_have(&times, 0));
    store_times_add(&times, 10 * HOUR, 11 * HOUR);
    cr_expect(store_times_have(&times, 10 * HOUR));
    cr_expect(store_times_have(&times, 11 * HOUR));
    cr_expect_not(store_times_have(&times, 10 * HOUR - 1));
    cr_expect_not(store_times_have(&times, 11 * HOUR + 1));
}

Test(store_times, neighbours_become_one)
{
    struct store_times times = {.count = 0};
    store_times_add(&times, 10 * HOUR, 10 * HOUR);
    store_times_add(&times, 30 * HOUR, 30 * HOUR);
    store_times_add(&times, 10 * HOUR + 30 * SECOND, 10 * HOUR + 30 * SECOND);
    store_times_add(&times, 10 * HOUR - 30 * SECOND, 10 * HOUR - 30 * SECOND);
    cr_expect_eq(times.count, 2);
    cr_expect(store_times_have(&times, 10 * HOUR - 30 * SECOND));
    cr_expect(store_times_have(&times, 10 * HOUR + 30 * SECOND));
    store_times_add(&times, 9 * HOUR, 40 * HOUR);
    cr_expect_eq(times.count, 1);
    cr_expect(store_times_have(&times, 9 * HOUR));
    cr_expect(store_times_have(&times, 40 * HOUR));
}

Test(store_times, a_clock_that_was_far_ahead_leaves_the_time_between_free)
{
    struct store_times times = {.count = 0};
    for (uint64_t t = 0; t < 100 * HOUR; t += 30 * SECOND)
        store_times_add(&times, t, t);
    store_times_add(&times, 200 * HOUR, 201 * HOUR);
    cr_expect_not(store_times_have(&times, 150 * HOUR));
    for (uint64_t t = 100 * HOUR; t < 150 * HOUR; t += HOUR)
        store_times_add(&times, t, t); /* few calls: a range each, more than there is room for */
    cr_expect_leq(times.count, STORE_RANGES);
    cr_expect_not(store_times_have(&times, 150 * HOUR));
    cr_expect(store_times_have(&times, 200 * HOUR));
    for (uint64_t t = 0; t < 150 * HOUR; t += HOUR)
        cr_assert(store_times_have(&times, t));
}

Test(store_times, goes_on_across_the_era_of_2036)
{
    struct store_times times = {.count = 0};
    for (uint64_t t = (uint64_t)0 - HOUR; t != HOUR; t += 30 * SECOND)
        store_times_add(&times, t, t + 60 * SECOND);
    cr_expect_eq(times.count, 1);
    cr_expect(store_times_have(&times, 0));
    cr_expect(store_times_have(&times, (uint64_t)0 - HOUR));
    cr_expect_not(store_times_have(&times, (uint64_t)0 - HOUR - 1));
    cr_expect_not(store_times_have(&times, 2 * HOUR));
}

Test(store_times, is_written_and_read)
{
    struct store_times times = {.count = 0}, read;
    uint8_t bytes[STORE_TIMES_BYTES];
    for (uint64_t i = 0; i < 2 * STORE_RANGES; i++)
        store_times_add(&times, i * HOUR, i * HOUR + SECOND);
    struct byte_writer w = writer_of(bytes, sizeof bytes);
    store_times_write(&times, &w);
    cr_assert_not(w.failed);
    struct byte_reader r = reader_of(bytes, w.len);
    cr_assert(store_times_read(&r, &read));
    cr_expect_eq(read.count, times.count);
    for (uint64_t i = 0; i < 2 * STORE_RANGES; i++)
        cr_expect(store_times_have(&read, i * HOUR));
    r = reader_of(bytes, w.len - 1);
    cr_expect_not(store_times_read(&r, &read));
}
