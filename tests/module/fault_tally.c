#include "fault_tally.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fault_tally own, *tally = &own;

const char *fault_function_name(enum fault_function function)
{
#define FAULT_NAME(name) #name,
    static const char *const names[] = {FAULT_FUNCTIONS(FAULT_NAME)};
#undef FAULT_NAME
    return names[function];
}

static void open_tally(void)
{
    const char *path = getenv("MIKEYD_FAULT_TALLY");
    struct stat is;
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &is) == 0 && is.st_size >= (off_t)sizeof *tally) {
        void *map = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED)
            tally = map;
    }
    (void)close(fd);
    (void)atomic_fetch_add(&tally->loads, 1);
    atomic_store(&tally->sessions, 0);
    atomic_store(&tally->objects, 0);
}

struct fault_tally *fault_tally(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, open_tally);
    return tally;
}
