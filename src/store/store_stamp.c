#include "store/store_stamp.h"

#include <inttypes.h>
#include <stddef.h>

#include "base/clock.h"

#define STAMP_TICK ((uint64_t)STORE_LANES)

bool store_stamp_is_after(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) > 0;
}

/* The first timestamp of the lane that is not before t. */
static uint64_t stamp_in_lane(uint64_t t, unsigned lane)
{
    return t + ((lane - t) & (STAMP_TICK - 1));
}

uint64_t store_stamp_next(const uint64_t *last, unsigned lane, uint64_t now, const uint64_t *after)
{
    uint64_t least = now;
    if (last != NULL && !store_stamp_is_after(least, *last))
        least = *last + 1;
    if (after != NULL && !store_stamp_is_after(least, *after))
        least = *after + 1;
    return stamp_in_lane(least, lane);
}

enum mikeyd_status store_stamp_check_after(uint64_t now, const uint64_t *after, struct error *err)
{
    if (after == NULL || store_stamp_is_after(now + STORE_STAMP_AHEAD, *after))
        return MIKEYD_OK;
    return error_set(err, MIKEYD_CLOCK_SKEW,
                     "the clock stands %" PRId64
                     " ms before the bundle's last message: it was set back; start a new "
                     "bundle, or set the clock right",
                     clock_ntp_difference_ms(*after, now));
}
