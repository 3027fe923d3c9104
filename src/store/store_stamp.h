/*
 * The sender's timestamps, unique for good though clocks may be set back and several daemons give
 * them out: the lowest bits of T, less than a microsecond, are the number of a lane. Within a lane T
 * only rises, and of a lane one daemon at a time has what lies ahead of the lane's mark.
 */
#ifndef STORE_STORE_STAMP_H
#define STORE_STORE_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define STORE_LANES 4096u
/* Set aside one second at a time: one write a second at most, and a restart is at most that early.
 * No timestamp is further ahead of the clock than that. */
#define STORE_STAMP_AHEAD (1ULL << 32)
#define STORE_STAMP_AHEAD_MS 1000

/* RFC 3830 6.6 timestamps are compared by signed difference, across the wrap of 2036. */
bool store_stamp_is_after(uint64_t a, uint64_t b);
/* Of the lane, not before now, later than all of its lane (last: NULL for none) and than `after`. */
uint64_t store_stamp_next(const uint64_t *last, unsigned lane, uint64_t now, const uint64_t *after);
/* CLOCK_SKEW when `after` (NULL: none) lies ahead of the clock by more than STORE_STAMP_AHEAD. */
enum mikeyd_status store_stamp_check_after(uint64_t now, const uint64_t *after, struct error *err);

#endif
