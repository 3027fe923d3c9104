/*
 * Sets of times, for what a store must remember of times without keeping each: which may have been
 * accepted, and of which the entries are gone. A set covers everything that was added to it and
 * may cover more, so it is right to refuse what it has, and never right to accept for it.
 *
 * Times are 64-bit NTP timestamps modulo 2^64 (RFC 3830 6.6), compared by difference: right across
 * the wrap of 2036. A clock that stood wrong for a while leaves a range of its own, so that the
 * times in between stay free.
 */
#ifndef STORE_STORE_TIMES_H
#define STORE_STORE_TIMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define STORE_RANGES 16
/* Ranges no further apart than this become one. */
#define STORE_TIMES_GAP (60ULL << 32)

struct store_range {
    uint64_t first, last;
};

struct store_times {
    struct store_range range[STORE_RANGES];
    size_t count;
};

bool store_times_have(const struct store_times *times, uint64_t t);
/* The range that has t, or NULL. */
const struct store_range *store_times_find(const struct store_times *times, uint64_t t);
/* Adds first to last. Without room for another range the two furthest in the past become one. */
void store_times_add(struct store_times *times, uint64_t first, uint64_t last);
void store_times_add_all(struct store_times *times, const struct store_times *more);

#define STORE_TIMES_BYTES (16 * STORE_RANGES)
void store_times_write(const struct store_times *times, struct byte_writer *out);
/* Everything that is left of `in`. False when it is no such set. */
bool store_times_read(struct byte_reader *in, struct store_times *times);

#endif
