/*
 * Operator log on stderr, one line a message, with systemd's priority prefix when stderr is the
 * journal. Never a key, PIN, ticket or message body: callers pass names, codes and counts.
 *
 * Logging never waits: a line that stderr does not take at once (a pipe that nobody reads) is
 * dropped and counted, and the next line that passes is preceded by how many were lost.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdatomic.h>
#include <stdint.h>

enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
};

/* program: prefix of each line; must outlive the process. threshold: the least urgent level that is
 * printed. Before the sandbox: stderr is opened once more where that keeps writing from waiting. */
void log_open(const char *program, enum log_level threshold);
/*
 * What cannot be seen comes out escaped (visible.h): a name from outside makes no line of its own.
 */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Lines lost since the start because stderr did not take them. */
uint64_t log_lost(void);

/*
 * For what others can cause as often as they like: one line in LOG_LIMIT_MS for each limit (static,
 * zeroed), which tells how many like it were held back since the last. Any thread.
 */
#define LOG_LIMIT_MS 10000
struct log_limit {
    _Atomic int64_t until_ms; /* monotonic */
    _Atomic uint64_t held_back;
};
void log_write_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
