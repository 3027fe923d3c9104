#include "guarded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE ((size_t)4096)
#define PAGES ((size_t)17)

void (*model_explain)(void);

_Noreturn void model_fail(const char *file, int line, const char *condition)
{
    if (model_explain != NULL)
        model_explain();
    (void)fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}

/* PAGES of memory between two that cannot be touched. */
static uint8_t *room(void)
{
    static uint8_t *made;
    if (made == NULL) {
        uint8_t *map =
            mmap(NULL, (PAGES + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        HOLDS(map != MAP_FAILED);
        HOLDS(mprotect(map + PAGE, PAGES * PAGE, PROT_READ | PROT_WRITE) == 0);
        made = map + PAGE;
    }
    return made;
}

const uint8_t *guarded_end(const uint8_t *data, size_t len)
{
    uint8_t *at = room() + PAGES * PAGE - len;
    HOLDS(len <= PAGES * PAGE);
    memcpy(at, data, len);
    return at;
}

const uint8_t *guarded_begin(const uint8_t *data, size_t len)
{
    HOLDS(len <= PAGES * PAGE);
    return memcpy(room(), data, len);
}
