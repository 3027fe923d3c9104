/*
 * Where a follower stands in a log, in a file of its own; and reading on from there, across
 * rotations. Only reads: takes no lock, and the log's writer does not notice.
 */
#ifndef MIKEYCTL_AUDIT_PLACE_H
#define MIKEYCTL_AUDIT_PLACE_H

#include <jansson.h>
#include <stdbool.h>

#include "audit/chain.h"
#include "base/error.h"

/* The last record that is done with; sequence 0: none. */
struct audit_place {
    uint64_t sequence;
    char hash[AUDIT_HASH_HEX + 1];
};

/* OK with sequence 0 when there is no such file. INVALID_ARGUMENT when it does not read. */
enum mikeyd_status audit_place_load(const char *path, struct audit_place *out, struct error *err);
/* A reader sees the old file or the whole new one, also after a power failure. */
enum mikeyd_status audit_place_save(const char *path, const struct audit_place *place,
                                    struct error *err);

struct audit_tailer;
/* log: the file that is written now, borrowed. NULL when memory runs out. */
struct audit_tailer *audit_tailer_make(const char *log);
void audit_tailer_free(struct audit_tailer *tailer);
/* The next record will be the one after this place. */
void audit_tailer_seek(struct audit_tailer *tailer, const struct audit_place *place);

enum audit_tailer_step {
    AUDIT_TAILER_RECORD, /* *record is the caller's */
    AUDIT_TAILER_WAIT,   /* nothing more for now */
    AUDIT_TAILER_NOTE    /* err says something that people should know; go on */
};
/* verifies: the record matches its own hash, and follows the one before. */
enum audit_tailer_step audit_tailer_next(struct audit_tailer *tailer, json_t **record,
                                         bool *verifies, struct audit_place *place,
                                         struct error *err);

#endif
