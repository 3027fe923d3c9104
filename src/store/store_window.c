#include "store/store_window.h"

#include "base/clock.h"

/* So far ahead of the time at hand does the set go, and before it, for peers whose clocks are late:
 * one write in half of it. After a loss it is what the store stays closed for beyond need, and
 * within the window anyway. */
#define REACH_AHEAD (2 * STORE_REACH_LITTLE)

bool store_reach_left(const struct store_times *reached, uint64_t t, uint64_t *left)
{
    const struct store_range *range = store_times_find(reached, t);
    if (range != NULL)
        *left = range->last - t;
    return range != NULL;
}

void store_reach_extend(struct store_times *reached, uint64_t t)
{
    store_times_add(reached, t - REACH_AHEAD, t + REACH_AHEAD);
}

/*
 * RFC 3830 5.4: the window from now on. And when the clock came back before, or little after, what
 * it had reached: until what was accepted then can pass no more. A message passes for half of the
 * window either way, so a range that is further off is no matter of now.
 */
int64_t store_reopens_at(const struct store_times reached[STORE_SERIES_COUNT], unsigned window_s)
{
    const uint64_t now = clock_ntp_now();
    const int64_t half_s = window_s / 2;
    int64_t wait_s = window_s;
    for (int i = 0; i < STORE_SERIES_COUNT; i++) {
        for (size_t j = 0; j < reached[i].count; j++) {
            const struct store_range *range = &reached[i].range[j];
            const int64_t first_s = clock_ntp_difference_ms(range->first, now) / 1000;
            const int64_t last_s = clock_ntp_difference_ms(range->last, now) / 1000;
            if (first_s <= half_s && last_s + half_s + 1 > wait_s)
                wait_s = last_s + half_s + 1;
        }
    }
    return clock_unix_now() + wait_s;
}

enum mikeyd_status store_refuse_until(int64_t until, const char *why, struct error *err)
{
    char text[CLOCK_TEXT];
    clock_format_utc(until * 1000, text);
    return error_set(err, MIKEYD_STORE_DOWN,
                     "replay track was lost (%s): nothing is accepted before %s", why, text);
}

enum mikeyd_status store_refuse_forgotten(const struct store_time *time, struct error *err)
{
    if (time->series == STORE_SERIES_TICKETS)
        return error_set(err, MIKEYD_TICKET_EXPIRED,
                         "the ticket is of a time whose replay entries are gone: it may have been "
                         "used");
    return error_set(err, MIKEYD_CLOCK_SKEW,
                     "the message's T is of a time whose replay entries are gone: it may have been "
                     "accepted before");
}
