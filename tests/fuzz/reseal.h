/* I_MESSAGES whose key data a fuzzer can change: opened and sealed again with the PSK of its build. */
#ifndef TESTS_FUZZ_RESEAL_H
#define TESTS_FUZZ_RESEAL_H

#include "mikey/exchange.h"
#include "mutate.h"

/* RAND of the first message, for updates, which have none. */
extern const uint8_t reseal_earlier_rand[16];

/* mutate_mikey(); the key data is what it was, or a mutation of it, or new; the MAC is right. */
size_t reseal_mutate(uint8_t *data, size_t size, size_t max, const struct mikey_key *key,
                     struct dice *dice);

#endif
