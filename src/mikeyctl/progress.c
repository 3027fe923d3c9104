#include "mikeyctl/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define TERMINAL_MS 200
#define LINES_MS 1000
#define LINE_MAX_LEN 200

static enum { TELL_TERMINALS, TELL_ALWAYS, TELL_NOBODY } mode;

void progress_always(void)
{
    if (mode != TELL_NOBODY)
        mode = TELL_ALWAYS;
}

void progress_never(void)
{
    mode = TELL_NOBODY;
}

static bool is_wanted(const struct progress *progress)
{
    if (mode == TELL_ALWAYS)
        return true;
    return mode == TELL_TERMINALS && isatty(STDERR_FILENO) == 1 &&
           !(progress->prints_lines && isatty(STDOUT_FILENO) == 1);
}

/* To the descriptor: what passes through stderr of the C library shows a carriage return. */
static void put(const char *text)
{
    const ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written; /* nobody can be told */
}

static void show(struct progress *progress, int64_t now_ms)
{
    const bool terminal = isatty(STDERR_FILENO) == 1;
    const uint64_t done = progress->done / progress->scale;
    const uint64_t total = progress->total / progress->scale;
    const double seconds = (double)(now_ms - progress->begun_ms) / 1000;
    const double rate = seconds > 0 ? (double)progress->done / seconds : 0;
    char line[LINE_MAX_LEN];
    int len = snprintf(line, sizeof line, "%s%s: %" PRIu64, terminal ? "\r\033[K" : "",
                       progress->what, done);
    if (progress->total > 0)
        len += snprintf(line + len, sizeof line - (size_t)len, " of %" PRIu64, total);
    len += snprintf(line + len, sizeof line - (size_t)len, "%s, %.0f%s/s", progress->unit,
                    rate / (double)progress->scale, progress->unit);
    if (progress->total > progress->done && rate > 0)
        len += snprintf(line + len, sizeof line - (size_t)len, ", %.0f s left",
                        (double)(progress->total - progress->done) / rate);
    (void)snprintf(line + len, sizeof line - (size_t)len, "%s", terminal ? "" : "\n");
    put(line);
    progress->shown = true;
    progress->shown_ms = now_ms;
}

void progress_set(struct progress *progress, uint64_t done)
{
    progress->done = done;
    if (mode == TELL_NOBODY)
        return;
    const int64_t now_ms = clock_monotonic_ms();
    if (progress->begun_ms == 0) {
        progress->begun_ms = progress->shown_ms = now_ms;
        return;
    }
    if (now_ms - progress->shown_ms < TERMINAL_MS || !is_wanted(progress))
        return;
    if (isatty(STDERR_FILENO) == 1 || now_ms - progress->shown_ms >= LINES_MS)
        show(progress, now_ms);
}

void progress_end(struct progress *progress)
{
    if (progress->begun_ms == 0 || !is_wanted(progress))
        return;
    if (isatty(STDERR_FILENO) != 1)
        show(progress, clock_monotonic_ms());
    else if (progress->shown)
        put("\r\033[K");
}
