/*
 * Which entries may be discarded. The wall clock can step; an entry dropped during a step forward
 * would be missing once the clock is set right. So entries go only after the wall clock has run
 * beside the monotonic one for a whole window, and a little later than they expire.
 */
#ifndef STORE_STORE_CLOCK_H
#define STORE_STORE_CLOCK_H

#include <stdint.h>

/* Entries outlive their expiry by this much, so that small corrections of the clock do no harm. */
#define STORE_GRACE_S 10
/* A difference of more than this between the two clocks is a step, less is slewing. */
#define STORE_STEP_MS 1000
#define STORE_NOTHING INT64_MIN

struct store_clock {
    int64_t offset_ms;       /* wall clock minus monotonic clock */
    int64_t steady_since_ms; /* monotonic */
};

/* Milliseconds that never step and go on while the machine sleeps. */
int64_t store_clock_boottime_ms(void);
void store_clock_start(struct store_clock *clock, int64_t wall_ms, int64_t boottime_ms);
/* Entries that expired at or before the result (Unix seconds) may go; STORE_NOTHING for none. */
int64_t store_clock_cutoff(struct store_clock *clock, int64_t wall_ms, int64_t boottime_ms,
                           unsigned window_s);

#endif
