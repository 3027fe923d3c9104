#include "mutate.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define SPAN_MAX 8192

struct dice dice_of(unsigned seed)
{
    return (struct dice){seed * 2654435761u + 1};
}

uint32_t dice_roll(struct dice *dice, uint32_t bound)
{
    /* Xorshift, which never leaves 0. */
    uint32_t x = dice->state == 0 ? 1 : dice->state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    dice->state = x;
    return x % bound;
}

size_t mutate_splice(uint8_t *data, size_t size, size_t max, size_t at, size_t len,
                     const void *with, size_t with_len)
{
    if (at > size || len > size - at || size - len + with_len > max)
        return size;
    memmove(data + at + with_len, data + at + len, size - at - len);
    if (with_len != 0)
        memcpy(data + at, with, with_len);
    return size - len + with_len;
}

size_t mutate_span(uint8_t *data, size_t size, size_t max, size_t at, size_t len, size_t most)
{
    static uint8_t span[SPAN_MAX];
    if (at > size || len > size - at || len > sizeof span)
        return size;
    memcpy(span, data + at, len);
    const size_t fresh = LLVMFuzzerMutate(span, len, most < sizeof span ? most : sizeof span);
    return mutate_splice(data, size, max, at, len, span, fresh);
}

/* ---- lines */

struct line {
    size_t at, len; /* with its newline */
};

static struct line pick_line(const uint8_t *data, size_t size, struct dice *dice)
{
    size_t count = 0, at = 0;
    for (size_t i = 0; i < size; i++)
        count += data[i] == '\n';
    for (size_t skip = dice_roll(dice, (uint32_t)count + 1); skip > 0; skip--)
        at = (size_t)((const uint8_t *)memchr(data + at, '\n', size - at) - data) + 1;
    const uint8_t *end = memchr(data + at, '\n', size - at);
    return (struct line){at, (end == NULL ? size : (size_t)(end - data) + 1) - at};
}

static size_t value_at(const uint8_t *data, struct line line)
{
    for (size_t i = 0; i < line.len; i++) {
        if (data[line.at + i] == ':' || data[line.at + i] == '=')
            return i + 1;
    }
    return 0;
}

static size_t other_value(uint8_t *data, size_t size, size_t max, struct line line,
                          struct line other)
{
    static uint8_t copy[SPAN_MAX];
    const size_t to = value_at(data, line), from = value_at(data, other);
    if (other.len - from > sizeof copy)
        return size;
    memcpy(copy, data + other.at + from, other.len - from);
    return mutate_splice(data, size, max, line.at + to, line.len - to, copy, other.len - from);
}

static size_t other_number(uint8_t *data, size_t size, size_t max, struct line line,
                           struct dice *dice)
{
    static const char *const numbers[] = {
        "0",          "1",          "-1", "255", "65536",
        "2147483648", "4294967296", "",   "60s", "99999999999999999999"};
    for (size_t i = 0; i < line.len; i++) {
        size_t len = 0;
        while (i + len < line.len && isdigit(data[line.at + i + len]))
            len++;
        if (len != 0) {
            const char *number = numbers[dice_roll(dice, sizeof numbers / sizeof numbers[0])];
            return mutate_splice(data, size, max, line.at + i, len, number, strlen(number));
        }
    }
    return size;
}

size_t mutate_lines(uint8_t *data, size_t size, size_t max, struct dice *dice)
{
    static uint8_t copy[SPAN_MAX];
    if (size == 0)
        return LLVMFuzzerMutate(data, size, max);
    const struct line line = pick_line(data, size, dice), other = pick_line(data, size, dice);
    if (line.len > sizeof copy)
        return LLVMFuzzerMutate(data, size, max);
    memcpy(copy, data + line.at, line.len);
    switch (dice_roll(dice, 8)) {
    case 0:
        return mutate_splice(data, size, max, line.at, line.len, NULL, 0);
    case 1:
        return mutate_splice(data, size, max, other.at, 0, copy, line.len);
    case 2: /* to another place */
        size = mutate_splice(data, size, max, line.at, line.len, NULL, 0);
        return mutate_splice(data, size, max, other.at < line.at ? other.at : line.at, 0, copy,
                             line.len);
    case 3:
        return mutate_splice(data, size, max, line.at, 0, "  ", 1 + dice_roll(dice, 2));
    case 4:
        return other_value(data, size, max, line, other);
    case 5:
        return other_number(data, size, max, line, dice);
    case 6:
        return mutate_span(data, size, max, line.at, line.len, line.len + 64);
    default:
        return LLVMFuzzerMutate(data, size, max);
    }
}
