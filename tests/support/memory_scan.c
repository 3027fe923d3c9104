#include "support/memory_scan.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK ((size_t)1 << 20)
#define OVERLAP 128

static void count_hits(const uint8_t *data, size_t len, struct memory_pattern *pattern)
{
    const uint8_t *at = data;
    size_t left = len;
    while ((at = memmem(at, left, pattern->bytes, pattern->len)) != NULL) {
        pattern->hits++;
        at++;
        left = len - (size_t)(at - data);
    }
}

static size_t scan_mapping(int memory, uint64_t from, uint64_t to, uint8_t *buffer,
                           struct memory_pattern *patterns, size_t count)
{
    size_t seen = 0, kept = 0;
    while (from < to) {
        size_t want = to - from > CHUNK ? CHUNK : (size_t)(to - from);
        ssize_t got = pread(memory, buffer + kept, want, (off_t)from);
        if (got <= 0)
            break;
        size_t len = kept + (size_t)got;
        for (size_t i = 0; i < count; i++) {
            /* Only matches that end in new bytes: the overlap was counted with the chunk before. */
            size_t skip = kept >= patterns[i].len ? kept - patterns[i].len + 1 : 0;
            count_hits(buffer + skip, len - skip, &patterns[i]);
        }
        seen += (size_t)got;
        from += (uint64_t)got;
        kept = len < OVERLAP ? len : OVERLAP;
        memmove(buffer, buffer + len - kept, kept);
    }
    return seen;
}

size_t memory_scan(pid_t pid, struct memory_pattern *patterns, size_t count, char where[256])
{
    char path[64], line[512];
    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "r");
    (void)snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    int memory = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *buffer = malloc(CHUNK + OVERLAP);
    size_t seen = 0, before = 0;
    for (size_t i = 0; i < count; i++)
        patterns[i].hits = 0;
    if (where != NULL)
        where[0] = '\0';
    while (maps != NULL && memory >= 0 && buffer != NULL &&
           fgets(line, sizeof line, maps) != NULL) {
        unsigned long long from, to;
        char access[8];
        if (sscanf(line, "%llx-%llx %7s", &from, &to, access) != 3 || access[0] != 'r' ||
            strstr(line, "[vvar]") != NULL)
            continue;
        seen += scan_mapping(memory, from, to, buffer, patterns, count);
        size_t hits = 0;
        for (size_t i = 0; i < count; i++)
            hits += patterns[i].hits;
        if (where != NULL && before == 0 && hits > 0)
            (void)snprintf(where, 256, "%.*s", (int)strcspn(line, "\n"), line);
        before = hits;
    }
    free(buffer);
    if (memory >= 0)
        close(memory);
    if (maps != NULL)
        fclose(maps);
    return seen;
}

void memory_hmac_pads(const uint8_t *key, size_t len, uint8_t inner[64], uint8_t outer[64])
{
    for (size_t i = 0; i < 64; i++) {
        uint8_t byte = i < len ? key[i] : 0;
        inner[i] = byte ^ 0x36;
        outer[i] = byte ^ 0x5c;
    }
}
