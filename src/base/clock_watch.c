#include "base/clock_watch.h"

void clock_watch_start(struct clock_watch *watch, int64_t wall_ms, int64_t boottime_ms)
{
    watch->offset_ms = wall_ms - boottime_ms;
    watch->off_ms = 0;
    watch->until_ms = 0;
}

static bool is_step(int64_t ms)
{
    return ms > CLOCK_WATCH_STEP_MS || ms < -CLOCK_WATCH_STEP_MS;
}

int64_t clock_watch_look(struct clock_watch *watch, int64_t wall_ms, int64_t boottime_ms,
                         int64_t patience_ms)
{
    const int64_t offset_ms = wall_ms - boottime_ms;
    const int64_t step_ms = offset_ms - watch->offset_ms;
    watch->offset_ms = offset_ms;
    if (is_step(step_ms)) {
        watch->off_ms += step_ms;
        watch->until_ms = boottime_ms + patience_ms;
    } else if (boottime_ms >= watch->until_ms) {
        watch->off_ms = 0;
    }
    if (!is_step(watch->off_ms))
        watch->off_ms = 0; /* back where it was */
    return is_step(step_ms) ? step_ms : 0;
}
