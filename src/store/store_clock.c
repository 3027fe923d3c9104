#include "store/store_clock.h"

#include <time.h>

int64_t store_clock_boottime_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void store_clock_start(struct store_clock *clock, int64_t wall_ms, int64_t boottime_ms)
{
    clock->offset_ms = wall_ms - boottime_ms;
    clock->steady_since_ms = boottime_ms;
}

int64_t store_clock_cutoff(struct store_clock *clock, int64_t wall_ms, int64_t boottime_ms,
                           unsigned window_s)
{
    int64_t offset = wall_ms - boottime_ms;
    int64_t moved = offset - clock->offset_ms;
    /* Slewing is followed, so that it never adds up to a step. */
    clock->offset_ms = offset;
    if (moved > STORE_STEP_MS || moved < -STORE_STEP_MS)
        clock->steady_since_ms = boottime_ms;
    if (boottime_ms - clock->steady_since_ms < (int64_t)window_s * 1000)
        return STORE_NOTHING;
    return wall_ms / 1000 - STORE_GRACE_S;
}
