#include "store/store_times.h"

static uint64_t range_length(struct store_range range)
{
    return range.last - range.first;
}

static uint64_t saturating_sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* From the first time of one to the last of the two: what lies between them is taken in. */
static struct store_range range_join(struct store_range from, struct store_range to)
{
    const uint64_t end = saturating_sum(to.first - from.first, range_length(to));
    const uint64_t own = range_length(from);
    return (struct store_range){from.first, from.first + (end > own ? end : own)};
}

/* `later` begins within `range`, or less than a gap after it. */
static bool range_reaches(struct store_range range, struct store_range later)
{
    return later.first - range.first <= saturating_sum(range_length(range), STORE_TIMES_GAP);
}

const struct store_range *store_times_find(const struct store_times *times, uint64_t t)
{
    for (size_t i = 0; i < times->count; i++) {
        if (t - times->range[i].first <= range_length(times->range[i]))
            return &times->range[i];
    }
    return NULL;
}

bool store_times_have(const struct store_times *times, uint64_t t)
{
    return store_times_find(times, t) != NULL;
}

static struct store_range take_range(struct store_times *times, size_t i)
{
    const struct store_range range = times->range[i];
    times->range[i] = times->range[--times->count];
    return range;
}

/* The range that begins furthest in the past of t. */
static size_t find_oldest(const struct store_times *times, uint64_t t)
{
    size_t oldest = 0;
    for (size_t i = 1; i < times->count; i++) {
        if ((int64_t)(times->range[i].first - t) < (int64_t)(times->range[oldest].first - t))
            oldest = i;
    }
    return oldest;
}

void store_times_add(struct store_times *times, uint64_t first, uint64_t last)
{
    struct store_range fresh = {first, last};
    for (size_t i = 0; i < times->count;) {
        const struct store_range other = times->range[i];
        const bool before = range_reaches(other, fresh), after = range_reaches(fresh, other);
        if (!before && !after) {
            i++;
            continue;
        }
        (void)take_range(times, i);
        fresh = before ? range_join(other, fresh) : range_join(fresh, other);
        i = 0; /* the longer one may reach others */
    }
    if (times->count == STORE_RANGES) {
        const struct store_range oldest = take_range(times, find_oldest(times, first));
        const struct store_range next = take_range(times, find_oldest(times, first));
        times->range[times->count++] = range_join(oldest, next);
    }
    times->range[times->count++] = fresh;
}

void store_times_add_all(struct store_times *times, const struct store_times *more)
{
    for (size_t i = 0; i < more->count; i++)
        store_times_add(times, more->range[i].first, more->range[i].last);
}

void store_times_write(const struct store_times *times, struct byte_writer *out)
{
    for (size_t i = 0; i < times->count; i++) {
        writer_u64(out, times->range[i].first);
        writer_u64(out, times->range[i].last);
    }
}

bool store_times_read(struct byte_reader *in, struct store_times *times)
{
    *times = (struct store_times){.count = 0};
    while (reader_left(in) != 0 && !in->failed && times->count < STORE_RANGES) {
        times->range[times->count].first = reader_u64(in);
        times->range[times->count++].last = reader_u64(in);
    }
    return reader_done(in);
}
