#include "base/clock.h"

#include <stdio.h>
#include <time.h>

/* Seconds from 1900-01-01 (NTP) to 1970-01-01 (Unix). */
#define NTP_UNIX_OFFSET 2208988800LL

uint64_t clock_ntp_of_unix(int64_t seconds, uint32_t nanoseconds)
{
    /* The seconds wrap modulo 2^32 by design (next in 2036). */
    uint64_t upper = (uint64_t)(seconds + NTP_UNIX_OFFSET) << 32;
    return upper | ((uint64_t)nanoseconds << 32) / 1000000000ULL;
}

uint64_t clock_ntp_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return clock_ntp_of_unix(now.tv_sec, (uint32_t)now.tv_nsec);
}

int64_t clock_ntp_difference_ms(uint64_t a, uint64_t b)
{
    int64_t difference = (int64_t)(a - b);
    int64_t seconds = difference >> 32;
    int64_t fraction = (int64_t)(((uint64_t)difference & 0xffffffffULL) * 1000 >> 32);
    return seconds * 1000 + fraction;
}

int64_t clock_unix_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_unix_now(void)
{
    return clock_unix_ms() / 1000;
}

int64_t clock_monotonic_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000;
}

void clock_format_utc(int64_t unix_ms, char out[CLOCK_TEXT])
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm utc;
    if (gmtime_r(&seconds, &utc) == NULL) {
        out[0] = '\0';
        return;
    }
    char date[CLOCK_TEXT];
    (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(out, CLOCK_TEXT, "%.20s.%03dZ", date, (int)(unix_ms % 1000));
}
