#include "mikeyd/latency.h"

const uint32_t latency_bound_us[LATENCY_BOUNDS] = {250,    500,     1000,    2500,   5000,
                                                   10000,  25000,   50000,   100000, 250000,
                                                   500000, 1000000, 2500000, 5000000};

void latency_add(struct latency *latency, int64_t us)
{
    const uint64_t took = us < 0 ? 0 : (uint64_t)us;
    size_t at = 0;
    while (at < LATENCY_BOUNDS && took > latency_bound_us[at])
        at++;
    latency->bucket[at]++;
    latency->sum_us += took;
}
