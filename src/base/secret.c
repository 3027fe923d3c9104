#include "base/secret.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <openssl/crypto.h>

static size_t heap_size; /* set once, before there are threads */

enum mikeyd_status secret_heap_init(size_t size, struct error *err)
{
    if (CRYPTO_secure_malloc_initialized())
        return MIKEYD_OK;
    /* 1: locked and excluded from dumps. 2: usable but not locked (RLIMIT_MEMLOCK): that is a
     * refusal here. */
    int result = CRYPTO_secure_malloc_init(size, 32);
    if (result != 1) {
        return error_set(
            err, MIKEYD_INTERNAL,
            "secure heap of %zu bytes cannot be locked in memory (raise RLIMIT_MEMLOCK)", size);
    }
    heap_size = size;
    return MIKEYD_OK;
}

size_t secret_heap_left(void)
{
    const size_t used = CRYPTO_secure_used();
    return used < heap_size ? heap_size - used : 0;
}

enum mikeyd_status secret_process_harden(struct error *err)
{
    const struct rlimit no_core = {0, 0};
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return error_set(err, MIKEYD_INTERNAL, "prctl(PR_SET_DUMPABLE): %s", strerror(errno));
    if (setrlimit(RLIMIT_CORE, &no_core) != 0)
        return error_set(err, MIKEYD_INTERNAL, "setrlimit(RLIMIT_CORE): %s", strerror(errno));
    return MIKEYD_OK;
}

void *secret_alloc(size_t len)
{
    return OPENSSL_secure_zalloc(len == 0 ? 1 : len);
}

void secret_release(void *memory, size_t len)
{
    OPENSSL_secure_clear_free(memory, len);
}

void secret_wipe(void *memory, size_t len)
{
    OPENSSL_cleanse(memory, len);
}

bool secret_make(struct secret *secret, size_t len)
{
    secret->data = secret_alloc(len);
    secret->len = secret->data == NULL ? 0 : len;
    return secret->data != NULL;
}

bool secret_copy(struct secret *secret, const void *data, size_t len)
{
    if (!secret_make(secret, len))
        return false;
    if (len != 0)
        memcpy(secret->data, data, len);
    return true;
}

void secret_clear(struct secret *secret)
{
    secret_release(secret->data, secret->len);
    secret->data = NULL;
    secret->len = 0;
}

bool secret_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}
