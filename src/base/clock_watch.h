/*
 * Notices steps of the wall clock, against the clock that never steps. A step is right or wrong,
 * and the clock does not tell which: it is doubtful until it has run on for a while, or has stepped
 * back to where it was.
 */
#ifndef BASE_CLOCK_WATCH_H
#define BASE_CLOCK_WATCH_H

#include <stdbool.h>
#include <stdint.h>

/* Less between two looks is slewing. */
#define CLOCK_WATCH_STEP_MS 1000

struct clock_watch {
    int64_t offset_ms; /* wall clock minus the other at the last look */
    /* For any thread to read. */
    _Atomic int64_t off_ms;   /* all steps since it was last believed */
    _Atomic int64_t until_ms; /* when it is believed again, by the clock that never steps */
};

void clock_watch_start(struct clock_watch *watch, int64_t wall_ms, int64_t boottime_ms);
/*
 * To be called every second or so. Returns by how much the wall clock has stepped since the last
 * call, 0 when it has not. After a step watch->off_ms is other than 0 for patience_ms.
 */
int64_t clock_watch_look(struct clock_watch *watch, int64_t wall_ms, int64_t boottime_ms,
                         int64_t patience_ms);

#endif
