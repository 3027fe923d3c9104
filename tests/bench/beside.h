/* Two daemons in turns, so that what else the machine does meets both. */
#ifndef BENCH_BESIDE_H
#define BENCH_BESIDE_H

#include "bench/load.h"

/* Prints rates and ratios (median, least, greatest of the rounds); false when something failed. */
bool beside_measure(struct load *one, struct load *other);

#endif
