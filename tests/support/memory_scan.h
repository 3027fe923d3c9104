/*
 * Looks through another process's memory for byte patterns: every readable mapping, from outside,
 * as root would with a debugger. Tests use it to show where a key does not stand, and in a control
 * where it does.
 */
#ifndef SUPPORT_MEMORY_SCAN_H
#define SUPPORT_MEMORY_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct memory_pattern {
    const char *name;
    const uint8_t *bytes;
    size_t len;  /* 8 .. 128 */
    size_t hits; /* filled in */
};

/*
 * Counts each pattern in process pid, which should be stopped or blocked meanwhile. Returns the
 * number of bytes looked at, 0 when the process cannot be read. where (may be NULL): the first
 * mapping that held a hit, as text of at most 256 bytes.
 */
size_t memory_scan(pid_t pid, struct memory_pattern *patterns, size_t count, char where[256]);

/*
 * The two 64-byte blocks that HMAC hashes first for a key of at most 64 bytes (RFC 2104): key ^
 * ipad and key ^ opad. An HMAC implementation keeps them, or a hash state made from them, while a
 * key is in use.
 */
void memory_hmac_pads(const uint8_t *key, size_t len, uint8_t inner[64], uint8_t outer[64]);

#endif
