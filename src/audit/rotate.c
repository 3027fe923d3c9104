/* Going on in a new file: by size, or after somebody renamed the old one (SIGHUP). */
#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/log.h"
#include "base/log.h"

/* After a failed attempt: records go on into the old file, which loses nothing. */
#define ROTATE_RETRY_MS 60000

bool audit_rotate_due(const struct audit_log *log, int64_t now_ms)
{
    return log->options.rotate_bytes != 0 && log->file.durable >= log->options.rotate_bytes &&
           now_ms >= log->rotate_not_before_ms;
}

static void keep_name(struct audit_log *log, const char *path)
{
    char copy[PATH_MAX];
    (void)snprintf(copy, sizeof copy, "%s", path);
    (void)snprintf(log->previous_name, sizeof log->previous_name, "%s", basename(copy));
}

/*
 * The rotate record takes the first place of the new file. It is queued at the very moment the rest
 * of the queue becomes the old file's last batch, so that the chain runs from one into the other.
 */
static void switch_to(struct audit_log *log, struct audit_file *next)
{
    char fields[AUDIT_FIELDS_MAX];
    const struct audit_record record = {.event = AUDIT_ROTATE};
    const struct audit_internal internal = {.previous_file = log->previous_name};
    size_t len = audit_record_format(&record, &internal, fields);
    struct error err = {0};

    pthread_mutex_lock(&log->lock);
    audit_take_queue(log);
    bool queued = audit_log_push(log, fields, len, true);
    log->stats.rotations++;
    pthread_mutex_unlock(&log->lock);
    enum mikeyd_status status = audit_commit_batch(log, &err);
    /* The old file must end with a whole record, whatever happened. */
    if (status != MIKEYD_OK)
        (void)audit_file_cut(&log->file, log->file.durable, NULL);
    audit_file_close(&log->file);
    log->file = *next;
    *next = AUDIT_FILE_CLOSED;
    if (status == MIKEYD_OK && !queued)
        status = error_set(&err, MIKEYD_INTERNAL, "audit log: no room to rotate");
    if (status != MIKEYD_OK)
        audit_log_fail(log, &err);
}

static enum mikeyd_status rename_and_open(struct audit_log *log, struct audit_file *next,
                                          struct error *err)
{
    char target[PATH_MAX];
    char stamp[CLOCK_TEXT], compact[CLOCK_TEXT];
    size_t at = 0;
    clock_format_utc(clock_unix_ms(), stamp);
    /* 2027-01-31T01:02:03.456Z -> 20270131T010203Z */
    for (const char *c = stamp; *c != '\0' && *c != '.'; c++) {
        if (*c != '-' && *c != ':')
            compact[at++] = *c;
    }
    compact[at] = '\0';
    struct stat info;
    if (snprintf(target, sizeof target, "%s.%sZ-%" PRIu64, log->path, compact,
                 log->chain.sequence) >= (int)sizeof target ||
        stat(target, &info) == 0)
        return error_set(err, MIKEYD_AUDIT_DOWN, "no free name");
    if (rename(log->path, target) != 0)
        return error_set(err, MIKEYD_AUDIT_DOWN, "rename: %s", strerror(errno));
    enum mikeyd_status status = audit_file_open(log->path, next, err);
    if (status != MIKEYD_OK) {
        (void)rename(target, log->path);
        return status;
    }
    keep_name(log, target);
    return MIKEYD_OK;
}

void audit_rotate(struct audit_log *log)
{
    struct error err = {0};
    struct audit_file next = AUDIT_FILE_CLOSED;
    log->rotate_not_before_ms = clock_monotonic_ms() + ROTATE_RETRY_MS;
    if (!audit_file_is_at(&log->file, log->path)) {
        log_warning("audit log %s was renamed; send SIGHUP to go on in a new file", log->path);
        return;
    }
    /* A signature near the end lets the old file stand by itself. */
    if (log->signer.sign != NULL && log->uncovered > 0)
        audit_checkpoint_make(log, false);
    if (!atomic_load(&log->healthy))
        return;
    if (rename_and_open(log, &next, &err) != MIKEYD_OK) {
        log_warning("audit log %s is not rotated: %s", log->path, err.text);
        return;
    }
    log->rotate_not_before_ms = 0;
    switch_to(log, &next);
}

/* The name that the open file has now; empty when it cannot be told. */
static void current_name(struct audit_log *log)
{
    char link[64], path[PATH_MAX];
    log->previous_name[0] = '\0';
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", log->file.fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len <= 0)
        return;
    path[len] = '\0';
    if (audit_file_is_at(&log->file, path))
        keep_name(log, path);
}

enum mikeyd_status audit_rotate_external(struct audit_log *log, struct error *err)
{
    if (audit_file_is_at(&log->file, log->path))
        return MIKEYD_OK;
    struct audit_file next = AUDIT_FILE_CLOSED;
    enum mikeyd_status status = audit_file_open(log->path, &next, err);
    if (status != MIKEYD_OK)
        return status;
    if (next.written != 0) {
        audit_file_close(&next);
        return error_set(err, MIKEYD_AUDIT_DOWN,
                         "audit log: the new file %s is not empty; going on in the old one",
                         log->path);
    }
    current_name(log);
    switch_to(log, &next);
    return atomic_load(&log->healthy) ? MIKEYD_OK
                                      : error_set(err, MIKEYD_AUDIT_DOWN, "%s", log->failure.text);
}
