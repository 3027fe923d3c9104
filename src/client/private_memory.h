/*
 * Memory for keys on their way through the client: whole pages outside core dumps, locked where
 * the process may lock, wiped when given back. Small blocks share pages in a pool.
 */
#ifndef CLIENT_PRIVATE_MEMORY_H
#define CLIENT_PRIVATE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* Zeroed, or NULL without memory. Thread-safe. */
void *private_alloc(size_t len);
/* len as it was asked for. Wiped first. NULL is allowed. */
void private_free(void *memory, size_t len);

/* A buffer that grows and never leaves a copy behind. Zero-initialise. */
struct private_buffer {
    uint8_t *data;
    size_t cap;
};

/* Room for at least cap bytes, the first `keep` bytes as before; -1 without memory. */
int private_buffer_reserve(struct private_buffer *buffer, size_t cap, size_t keep);
void private_buffer_free(struct private_buffer *buffer);

#endif
