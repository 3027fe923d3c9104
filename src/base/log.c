#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/visible.h"

static const char *log_program = "mikeyd";
static enum log_level log_threshold = LOG_LEVEL_INFO;
static int log_to_journal;

void log_open(const char *program, enum log_level threshold)
{
    log_program = program;
    log_threshold = threshold;
    log_to_journal = getenv("JOURNAL_STREAM") != NULL && !isatty(STDERR_FILENO);
}

void log_write(enum log_level level, const char *format, ...)
{
    if (level > log_threshold)
        return;
    char text[1024], line[1024];
    int at = log_to_journal ? snprintf(line, sizeof line, "<%d>", (int)level)
                            : snprintf(line, sizeof line, "%s: ", log_program);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (more < 0)
        return;
    /* What peers and tokens call themselves neither begins a line nor moves the cursor. */
    size_t len = (size_t)at;
    len += visible_text(text, strnlen(text, sizeof text), line + len, sizeof line - 1 - len);
    line[len++] = '\n';
    /* One write a line, so that lines of several threads do not mix. A log that cannot be written
     * is no error. */
    ssize_t ignored = write(STDERR_FILENO, line, len);
    (void)ignored;
}
