/* Each time lands in the bucket whose bound it does not exceed. */
#include <criterion/criterion.h>

#include "mikeyd/latency.h"

Test(latency, bound_belongs_to_its_bucket)
{
    struct latency latency = {0};
    for (size_t i = 0; i < LATENCY_BOUNDS; i++) {
        latency_add(&latency, latency_bound_us[i]);
        latency_add(&latency, (int64_t)latency_bound_us[i] + 1);
        cr_assert(i == 0 || latency_bound_us[i] > latency_bound_us[i - 1]);
    }
    cr_assert_eq(latency.bucket[0], 1);
    for (size_t i = 1; i < LATENCY_BOUNDS; i++)
        cr_assert_eq(latency.bucket[i], 2, "%zu", i);
    cr_assert_eq(latency.bucket[LATENCY_BOUNDS], 1);
}

Test(latency, time_that_went_back_is_none)
{
    struct latency latency = {0};
    latency_add(&latency, -5);
    latency_add(&latency, 7);
    latency_add(&latency, INT64_MAX / 2);
    cr_assert_eq(latency.bucket[0], 2);
    cr_assert_eq(latency.bucket[LATENCY_BOUNDS], 1);
    cr_assert_eq(latency.sum_us, (uint64_t)INT64_MAX / 2 + 7);
}
