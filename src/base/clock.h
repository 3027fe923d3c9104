/*
 * Clocks: NTP timestamps (RFC 3830 6.6: 32.32 fixed point, era by signed difference) and a
 * monotonic clock.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/*
 * Now as a 64-bit NTP-UTC timestamp: seconds since 1900 in the upper half, fraction in the lower.
 */
uint64_t clock_ntp_now(void);
uint64_t clock_ntp_of_unix(int64_t seconds, uint32_t nanoseconds);
/* a - b in milliseconds, modulo 2^64 as signed: right across the wrap of 2036. Saturates at INT64
 * limits. */
int64_t clock_ntp_difference_ms(uint64_t a, uint64_t b);
/* Unix seconds, for expiry times and audit records. */
int64_t clock_unix_now(void);
/* Milliseconds and microseconds that never step back. */
int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);
/* RFC 3339 UTC with milliseconds, "2026-11-21T23:51:19.123Z"; out has CLOCK_TEXT bytes. */
#define CLOCK_TEXT 32
void clock_format_utc(int64_t unix_ms, char out[CLOCK_TEXT]);
int64_t clock_unix_ms(void);

#endif
