/*
 * Rules of the window (RFC 3830 5.4) that hold for every store: how far ahead the times that may be
 * accepted are noted, when a store that lost track opens again, and what refusals say.
 */
#ifndef STORE_STORE_WINDOW_H
#define STORE_STORE_WINDOW_H

#include "store/store.h"
#include "store/store_times.h"

/* How much of the set lies ahead of t; false when the set has not even t. */
bool store_reach_left(const struct store_times *reached, uint64_t t, uint64_t *left);
/* Less than this is left: time to extend the set. */
#define STORE_REACH_LITTLE (30ULL << 32)
/* Adds t, and a minute before and after it. */
void store_reach_extend(struct store_times *reached, uint64_t t);

/*
 * When a store that loses track now may open at the earliest, Unix seconds. reached: by series,
 * every time that may have been accepted.
 */
int64_t store_reopens_at(const struct store_times reached[STORE_SERIES_COUNT], unsigned window_s);

/* STORE_DOWN: track was lost. until: Unix seconds. */
enum mikeyd_status store_refuse_until(int64_t until, const char *why, struct error *err);
/* What is said of a time whose entries may be gone. */
enum mikeyd_status store_refuse_forgotten(const struct store_time *time, struct error *err);

#endif
