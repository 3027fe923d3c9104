/*
 * How far long work is, how fast, and how long it will take: on stderr, when that is a terminal or
 * --progress was given, and never beside JSON. On a terminal one line that is written over; else a
 * line every second.
 */
#ifndef MIKEYCTL_PROGRESS_H
#define MIKEYCTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Before the work: --progress, or never. Without a call it is told to a terminal alone. */
void progress_always(void);
void progress_never(void);

struct progress {
    const char *what;  /* "deriving pair keys" */
    const char *unit;  /* " MB", or "" */
    uint64_t scale;    /* of one unit; 1 */
    uint64_t total;    /* 0: not known */
    bool prints_lines; /* the work itself tells a terminal of each step */
    /* its own */
    uint64_t done;
    int64_t begun_ms, shown_ms;
    bool shown;
};

/* done so far; quick when nothing is to be shown yet. The first call begins the clock. */
void progress_set(struct progress *progress, uint64_t done);
/* Shows the end, and leaves a terminal as it was. */
void progress_end(struct progress *progress);

#endif
