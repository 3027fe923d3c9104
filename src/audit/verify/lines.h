/* A file line by line, with a bound on a line's length and so on memory. */
#ifndef AUDIT_LINES_H
#define AUDIT_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "audit/chain.h"

enum audit_line_kind {
    AUDIT_LINE,            /* whole */
    AUDIT_LINE_OVERLONG,   /* more than AUDIT_LINE_MAX: skipped */
    AUDIT_LINE_UNFINISHED, /* the file ends before its newline */
    AUDIT_LINE_END         /* nothing left */
};

struct audit_line_reader {
    FILE *stream;                  /* borrowed */
    uint64_t number;               /* of the line read last, from 1 */
    size_t len;                    /* of `text`, without newline */
    char text[AUDIT_LINE_MAX + 1]; /* NUL terminated after AUDIT_LINE */
};

enum audit_line_kind audit_line_next(struct audit_line_reader *reader);

#endif
