#include "base/clock.h"

#include <criterion/criterion.h>
#include <time.h>

Test(clock, ntp_counts_from_1900)
{
    cr_expect_eq(clock_ntp_of_unix(0, 0), 2208988800ULL << 32);
    /* 2000-01-01T00:00:00Z, the day after the one RFC 5905 figure 4 gives as 3155587200. */
    cr_expect_eq(clock_ntp_of_unix(946684800, 0) >> 32, 3155673600ULL);
}

Test(clock, fraction_is_a_binary_one)
{
    cr_expect_eq(clock_ntp_of_unix(0, 500000000) & 0xffffffffULL, 0x80000000ULL);
    cr_expect_eq(clock_ntp_of_unix(0, 999999999) & 0xffffffffULL, 0xfffffffbULL);
}

Test(clock, era_wraps_in_2036)
{
    /* 2036-02-07T06:28:16Z is second 0 of era 1. */
    cr_expect_eq(clock_ntp_of_unix(2085978496, 0), 0);
    cr_expect_eq(clock_ntp_of_unix(2085978495, 0) >> 32, 0xffffffffULL);
}

Test(clock, difference_is_right_across_the_wrap)
{
    uint64_t before = clock_ntp_of_unix(2085978495, 0);
    uint64_t after = clock_ntp_of_unix(2085978496, 500000000);
    cr_expect_eq(clock_ntp_difference_ms(after, before), 1500);
    cr_expect_eq(clock_ntp_difference_ms(before, after), -1500);
    cr_expect_eq(clock_ntp_difference_ms(before, before), 0);
}

Test(clock, difference_of_half_an_era_does_not_overflow)
{
    int64_t far = clock_ntp_difference_ms(1ULL << 63, 0);
    cr_expect_eq(far, -2147483648LL * 1000);
}

Test(clock, ntp_now_agrees_with_the_system_clock)
{
    uint64_t now = clock_ntp_of_unix(time(NULL), 0);
    int64_t difference = clock_ntp_difference_ms(clock_ntp_now(), now);
    cr_expect(difference >= -1000 && difference < 5000, "%lld ms", (long long)difference);
}

Test(clock, monotonic_does_not_step_back)
{
    int64_t last = clock_monotonic_us();
    for (int i = 0; i < 10000; i++) {
        int64_t now = clock_monotonic_us();
        cr_assert_geq(now, last);
        last = now;
    }
}

Test(clock, utc_text_is_rfc_3339_with_milliseconds)
{
    char text[CLOCK_TEXT];
    clock_format_utc(0, text);
    cr_expect_str_eq(text, "1970-01-01T00:00:00.000Z");
    clock_format_utc(1795305079123LL, text);
    cr_expect_str_eq(text, "2026-11-21T23:51:19.123Z");
}
