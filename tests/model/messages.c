/*
 * The readers of foreign bytes, exhaustively within bounds. Each input lies before a page that
 * cannot be read, and goes through the promises of the fuzz target of that reader.
 *
 *   key data   every input of up to 2 bytes; of 3 bytes with --all
 *   payloads   in an I_MESSAGE, an R_MESSAGE and an error message: each payload type, with every body
 *              of up to 2 bytes
 *   samples    of every message of vectors/samples.tsv: every truncation; every value of every byte;
 *              each pair of the first 80 bytes with the values at which lengths break. Of the shortest
 *              one in addition every value of every byte of every truncation
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stdbool.h>

#include <openssl/evp.h>

#include "guarded.h"

/* tests/fuzz/fuzz_parse.c and fuzz_key_data.c, by other names. */
int fuzz_parse(const uint8_t *data, size_t len);
int fuzz_key_data(const uint8_t *data, size_t len);

#define SAMPLES_MAX 64
#define SAMPLE_MAX 2048

static struct {
    uint8_t bytes[SAMPLE_MAX];
    size_t len;
} sample[SAMPLES_MAX];
static size_t sample_count;
static unsigned long checked;
static uint8_t input[SAMPLE_MAX];
static size_t input_len;

static void explain(void)
{
    for (size_t i = 0; i < input_len; i++)
        (void)fprintf(stderr, "%02x", input[i]);
    (void)fprintf(stderr, "\n");
}

static void parse(size_t len)
{
    input_len = len;
    (void)fuzz_parse(guarded_end(input, len), len);
    checked++;
}

static void key_data(size_t len)
{
    input_len = len;
    (void)fuzz_key_data(guarded_end(input, len), len);
    checked++;
}

/* Every content of input[at] .. input[at + count - 1]. */
static void every(size_t at, size_t count, void (*look)(size_t len), size_t len)
{
    if (count == 0) {
        look(len);
        return;
    }
    for (unsigned value = 0; value < 256; value++) {
        input[at] = (uint8_t)value;
        every(at + 1, count - 1, look, len);
    }
}

static void every_payload(void)
{
    static const uint8_t types[] = {0, 1, 6, 7, 8};
    for (size_t t = 0; t < sizeof types; t++) {
        for (unsigned payload = 0; payload < 256; payload++) {
            /* No sessions, the SRTP map; then one payload. */
            const uint8_t header[] = {1, types[t], (uint8_t)payload, 0, 0, 0, 0, 1, 0, 0};
            memcpy(input, header, sizeof header);
            const bool known = payload <= 12 || payload == 20 || payload == 21;
            for (size_t len = 0; len <= (known ? 3 : 1); len++) {
                input[10] = 0; /* next payload: last */
                every(len > 1 ? 11 : 10, len > 1 ? len - 1 : len, parse, sizeof header + len);
            }
        }
    }
}

static void read_samples(const char *path)
{
    static char line[8192];
    FILE *file = fopen(path, "r");
    HOLDS(file != NULL);
    while (fgets(line, sizeof line, file) != NULL && sample_count < SAMPLES_MAX) {
        static uint8_t bytes[8192];
        const size_t text = strcspn(line, "\t\n");
        const int len = EVP_DecodeBlock(bytes, (const uint8_t *)line, (int)text);
        size_t pad = 0;
        while (pad < 2 && text > pad && line[text - 1 - pad] == '=')
            pad++;
        if (len <= 0 || (size_t)len - pad > SAMPLE_MAX)
            continue; /* a comment, or longer than what is done here */
        sample[sample_count].len = (size_t)len - pad;
        memcpy(sample[sample_count++].bytes, bytes, (size_t)len - pad);
    }
    (void)fclose(file);
    HOLDS(sample_count >= 4);
}

static void single_changes(const uint8_t *bytes, size_t len)
{
    memcpy(input, bytes, len);
    for (size_t at = 0; at < len; at++) {
        every(at, 1, parse, len);
        input[at] = bytes[at];
    }
}

static void double_changes(const uint8_t *bytes, size_t len)
{
    static const uint8_t values[] = {0, 1, 0x7F, 0x80, 0xFF};
    const size_t most = len < 80 ? len : 80;
    memcpy(input, bytes, len);
    for (size_t one = 0; one < most; one++) {
        for (size_t two = one + 1; two < most; two++) {
            for (size_t v = 0; v < sizeof values * sizeof values; v++) {
                input[one] = values[v / sizeof values];
                input[two] = values[v % sizeof values];
                parse(len);
            }
            input[two] = bytes[two];
        }
        input[one] = bytes[one];
    }
}

int main(int argc, char **argv)
{
    size_t shortest = 0;
    model_explain = explain;
    for (size_t len = 0; len <= (argc > 1 && strcmp(argv[1], "--all") == 0 ? 3 : 2); len++)
        every(0, len, key_data, len);
    every_payload();
    read_samples(MIKEYD_SAMPLES);
    for (size_t i = 0; i < sample_count; i++) {
        memcpy(input, sample[i].bytes, sample[i].len);
        for (size_t len = 0; len <= sample[i].len; len++)
            parse(len);
        single_changes(sample[i].bytes, sample[i].len);
        double_changes(sample[i].bytes, sample[i].len);
        if (sample[i].len < sample[shortest].len)
            shortest = i;
    }
    for (size_t len = 1; len < sample[shortest].len; len++)
        single_changes(sample[shortest].bytes, len);
    (void)printf("%lu inputs; %zu samples\n", checked, sample_count);
    return 0;
}
