/* Where the lines of the log go: stderr, without ever waiting for it. For log.c alone. */
#ifndef BASE_LOG_SINK_H
#define BASE_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>

void log_sink_open(void);
/* False when the line was not taken at once. One write a line, so that lines of several threads do
 * not mix. */
bool log_sink_put(const char *line, size_t len);

#endif
