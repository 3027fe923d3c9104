#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_sink.h"
#include "base/visible.h"

/* Less than PIPE_BUF: a pipe takes a line whole or not at all. */
#define LINE_MAX_BYTES 1024

static const char *log_program = "mikeyd";
static enum log_level log_threshold = LOG_LEVEL_INFO;
static bool log_to_journal;
static _Atomic uint64_t lost_in_all, lost_untold;

void log_open(const char *program, enum log_level threshold)
{
    log_program = program;
    log_threshold = threshold;
    log_to_journal = getenv("JOURNAL_STREAM") != NULL && !isatty(STDERR_FILENO);
    log_sink_open();
}

uint64_t log_lost(void)
{
    return atomic_load(&lost_in_all);
}

static bool put_line(enum log_level level, const char *text)
{
    char line[LINE_MAX_BYTES];
    const int prefix = log_to_journal ? snprintf(line, sizeof line, "<%d>", (int)level)
                                      : snprintf(line, sizeof line, "%s: ", log_program);
    /* What peers and tokens call themselves neither begins a line nor moves the cursor. */
    size_t len = (size_t)prefix;
    len += visible_text(text, strlen(text), line + len, sizeof line - 1 - len);
    line[len++] = '\n';
    return log_sink_put(line, len);
}

static void count_lost(uint64_t lines)
{
    atomic_fetch_add(&lost_untold, lines);
}

/* What was lost is told before the next line that passes. False while nothing passes. */
static bool tell_lost(void)
{
    char text[96];
    const uint64_t lines = atomic_exchange(&lost_untold, 0);
    if (lines == 0)
        return true;
    (void)snprintf(text, sizeof text, "%" PRIu64 " lines of this log were lost: nobody took them",
                   lines);
    if (put_line(LOG_LEVEL_WARNING, text))
        return true;
    count_lost(lines);
    return false;
}

static void write_text(enum log_level level, const char *text)
{
    if (tell_lost() && put_line(level, text))
        return;
    atomic_fetch_add(&lost_in_all, 1);
    count_lost(1);
}

void log_write(enum log_level level, const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    if (level > log_threshold)
        return;
    va_list args;
    va_start(args, format);
    const int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len >= 0)
        write_text(level, text);
}

void log_write_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    if (level > log_threshold)
        return;
    const int64_t now_ms = clock_monotonic_ms();
    int64_t until_ms = atomic_load(&limit->until_ms);
    /* Of several threads at once, one writes. */
    if (now_ms < until_ms ||
        !atomic_compare_exchange_strong(&limit->until_ms, &until_ms, now_ms + LOG_LIMIT_MS)) {
        atomic_fetch_add(&limit->held_back, 1);
        return;
    }
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const uint64_t held_back = atomic_exchange(&limit->held_back, 0);
    if (len >= 0 && (size_t)len < sizeof text && held_back != 0) {
        (void)snprintf(text + len, sizeof text - (size_t)len,
                       " (and %" PRIu64 " times more since the last such line)", held_back);
    }
    if (len >= 0)
        write_text(level, text);
}
