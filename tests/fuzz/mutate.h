/*
 * Mutations that keep the shape of what they change, for the targets' LLVMFuzzerCustomMutator. All
 * of them work in place on data of `size` bytes with room for `max`, and return the new size.
 */
#ifndef TESTS_FUZZ_MUTATE_H
#define TESTS_FUZZ_MUTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

/* What libFuzzer's seed becomes: numbers below `bound` (not 0), the same again for the same seed. */
struct dice {
    uint32_t state;
};
struct dice dice_of(unsigned seed);
uint32_t dice_roll(struct dice *dice, uint32_t bound);

/* The bytes at `at` are replaced by libFuzzer's mutation of them; the rest moves. `most`: bytes that
 * they may become. */
size_t mutate_span(uint8_t *data, size_t size, size_t max, size_t at, size_t len, size_t most);
/* They are replaced by others. Unchanged when that does not fit. */
size_t mutate_splice(uint8_t *data, size_t size, size_t max, size_t at, size_t len,
                     const void *with, size_t with_len);

/* A line goes, stands twice, changes place with another, is indented otherwise, gets another line's
 * value after its colon or equals sign, another number, or is mutated by itself. */
size_t mutate_lines(uint8_t *data, size_t size, size_t max, struct dice *dice);

/* A MIKEY message: a field of the header, a payload's body, payloads gone, doubled, moved or new;
 * next payload and lengths are set right again, the MAC is as long as it says. Bytes that are no
 * message, and one in eight others, are mutated as bytes. */
size_t mutate_mikey(uint8_t *data, size_t size, size_t max, struct dice *dice);

/* The body of a client's frame: a Request (mikeyd.proto) with another operation or other fields. */
size_t mutate_request(uint8_t *data, size_t size, size_t max, struct dice *dice);

#endif
