/*
 * For LD_PRELOAD: the wall clock of a program, moved by as many milliseconds as stand in the file
 * that MIKEYD_TEST_CLOCK names (8 bytes of this machine, mapped: it may change at any time).
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int (*real_clock_gettime)(clockid_t, struct timespec *);
static const volatile int64_t *shift_ms;

static void __attribute__((constructor)) clock_shift_open(void)
{
    *(void **)&real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("MIKEYD_TEST_CLOCK");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof *shift_ms, PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        shift_ms = map;
    (void)close(fd);
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    int rc = real_clock_gettime(id, now);
    if (rc == 0 && id == CLOCK_REALTIME && shift_ms != NULL)
        now->tv_sec += *shift_ms / 1000;
    return rc;
}
