/* How long something took, as a histogram of fixed bounds: room of its own, no allocation. One thread. */
#ifndef MIKEYD_LATENCY_H
#define MIKEYD_LATENCY_H

#include <stddef.h>
#include <stdint.h>

#define LATENCY_BOUNDS 14

struct latency {
    uint64_t bucket[LATENCY_BOUNDS + 1]; /* not cumulative; the last one is over every bound */
    uint64_t sum_us;
};

/* Where the time of a request goes; the rest is this process's own work. */
enum latency_stage {
    LATENCY_QUEUE, /* until a worker took it */
    LATENCY_TOKEN, /* keyholders, and what they wait for */
    LATENCY_STORE, /* the replay store */
    LATENCY_DISK,  /* until its audit record was on the disk */
    LATENCY_STAGES
};

/* Microseconds, growing. A bucket holds what is at most its bound. */
extern const uint32_t latency_bound_us[LATENCY_BOUNDS];
/* A clock that went back counts as no time. */
void latency_add(struct latency *latency, int64_t us);

#endif
