/*
 * Health of OpenSSL's random number generator, the one source of random numbers here: RAND_bytes() for
 * what others may see, RAND_priv_bytes() for keys. What it gives is told by nobody but this check.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include "base/error.h"

/*
 * Call once at the start, after secret_heap_init() and before the first random number is used.
 * MIKEYD_INTERNAL when the generator is not up, a draw fails, a draw of 32 bytes is one byte 32 times,
 * or two of the four draws are equal. It finds a generator that is dead or stuck, not one that is weak.
 */
enum mikeyd_status random_check(struct error *err);

#endif
