/*
 * Secret memory: OpenSSL's secure heap (locked, outside core dumps, guard pages), wiped on release.
 * Every key, TGK, PIN or message key of a process lives here and nowhere else.
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * A secret byte string: owned, in the secure heap. Printing one does not compile: there is no
 * accessor that yields text. Zero-initialise; release with secret_clear() or SECRET_CLEANUP.
 */
struct secret {
    uint8_t *data;
    size_t len;
};

/* Call once, before any secret is made. size: bytes, a power of two. MIKEYD_INTERNAL when memory
 * cannot be locked. */
enum mikeyd_status secret_heap_init(size_t size, struct error *err);
/* Bytes of it that are free. A PKCS#11 module in this process takes of them, too. */
size_t secret_heap_left(void);

/* Makes the process undumpable (PR_SET_DUMPABLE 0, RLIMIT_CORE 0). */
enum mikeyd_status secret_process_harden(struct error *err);

/* Zeroed secret memory, or NULL: never from the ordinary heap once secret_heap_init() has run. */
void *secret_alloc(size_t len);
/* Wipes len bytes and gives them back. NULL is allowed. */
void secret_release(void *memory, size_t len);
/* Wipes memory that is not in the secure heap (stack, frame buffers). */
void secret_wipe(void *memory, size_t len);

bool secret_make(struct secret *secret, size_t len);
bool secret_copy(struct secret *secret, const void *data, size_t len);
void secret_clear(struct secret *secret);
#define SECRET_CLEANUP __attribute__((cleanup(secret_clear)))

/* The one comparison for secrets, MACs and digests: constant time in len. */
bool secret_equal(const void *a, const void *b, size_t len);

#endif
