#include "gate/memory.h"

#include <errno.h>
#include <event2/event.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/secret.h"

static void wiping_free(void *memory)
{
    if (memory != NULL)
        secret_wipe(memory, malloc_usable_size(memory));
    free(memory);
}

/* Never in place or by the C library, which would leave a copy behind. */
static void *wiping_realloc(void *memory, size_t size)
{
    void *larger = malloc(size);
    if (larger == NULL || memory == NULL)
        return larger;
    const size_t had = malloc_usable_size(memory);
    memcpy(larger, memory, had < size ? had : size);
    wiping_free(memory);
    return larger;
}

/* Half locked would mean that memory runs out at the limit: all, or not at all. */
static void lock_all(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY &&
        mlockall(MCL_CURRENT | MCL_FUTURE) == 0)
        return;
    log_warning("memory is not locked (RLIMIT_MEMLOCK is not unlimited): session keys on their way "
                "may be written to swap");
}

void memory_protect(void)
{
    event_set_mem_functions(malloc, wiping_realloc, wiping_free);
    lock_all();
}
