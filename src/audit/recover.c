/* Taking over a file at open, and coming back after the disk refused records. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/log.h"
#include "audit/tail.h"
#include "base/log.h"
#include "base/secret.h"

/* Writes one record of the log itself as number `sequence`, durably, and moves the chain to it. */
static enum mikeyd_status write_own(struct audit_log *log, const struct audit_record *record,
                                    const struct audit_internal *internal, uint64_t sequence,
                                    struct error *err)
{
    char line[AUDIT_LINE_MAX];
    size_t len = 0;
    struct audit_chain chain = log->chain;
    enum mikeyd_status status =
        audit_seal_own(log, record, internal, sequence, &chain, line, &len, err);
    if (status == MIKEYD_OK)
        status = audit_file_append(&log->file, line, len, err);
    if (status == MIKEYD_OK)
        status = audit_file_sync(&log->file, err);
    if (status != MIKEYD_OK)
        return status;
    log->chain = chain;
    log->uncovered++;
    pthread_mutex_lock(&log->lock);
    log->stats.records++;
    log->stats.commits++;
    log->stats.syncs++;
    log->stats.bytes += len;
    pthread_mutex_unlock(&log->lock);
    return MIKEYD_OK;
}

/* ---- at open ---- */

static enum mikeyd_status record_cut(struct audit_log *log, const struct audit_tail *tail,
                                     struct error *err)
{
    const struct audit_record record = {.event = AUDIT_RECOVERED,
                                        .detail = "the last writer was stopped in the middle of a "
                                                  "line, which was cut"};
    const struct audit_internal internal = {
        .cut_bytes = tail->cut_bytes,
        .cut_hash = tail->cut_hash,
        .previous_file = log->previous_name[0] == '\0' ? NULL : log->previous_name};
    return write_own(log, &record, &internal, log->chain.sequence + 1, err);
}

static enum mikeyd_status cut_unfinished(struct audit_file *file, const char *path,
                                         const struct audit_tail *tail, struct error *err)
{
    log_warning("audit log %s: cutting an unfinished line of %" PRIu64 " bytes", path,
                tail->cut_bytes);
    return audit_file_cut(file, tail->complete, err);
}

/*
 * A writer that is stopped while it rotates writes its last batch to the file that has its new name
 * already. An unfinished line there is cut as in the file itself; a whole file is only read.
 */
static enum mikeyd_status finish_previous(struct audit_log *log, struct audit_tail *tail,
                                          struct error *err)
{
    char folder[PATH_MAX], path[PATH_MAX];
    (void)snprintf(folder, sizeof folder, "%s", log->path);
    if (snprintf(path, sizeof path, "%s/%s", dirname(folder), log->previous_name) >=
        (int)sizeof path)
        return error_set(err, MIKEYD_AUDIT_DOWN, "audit log: path too long");
    *tail = (struct audit_tail){.cut_bytes = 0};
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &info) != 0) {
        if (fd >= 0)
            (void)close(fd);
        return error_set(err, MIKEYD_AUDIT_DOWN, "%s: %s", path, strerror(errno));
    }
    enum mikeyd_status status = audit_tail_read(fd, (uint64_t)info.st_size, log->hasher, tail, err);
    (void)close(fd);
    if (status != MIKEYD_OK || tail->cut_bytes == 0)
        return status;
    struct audit_file previous = AUDIT_FILE_CLOSED;
    status = audit_file_open(path, &previous, err);
    if (status == MIKEYD_OK)
        status = cut_unfinished(&previous, path, tail, err);
    audit_file_close(&previous);
    return status;
}

/* An empty file next to rotated ones goes on where the newest of them ends. */
static enum mikeyd_status continue_previous(struct audit_log *log, struct error *err)
{
    if (log->previous_name[0] == '\0')
        return MIKEYD_OK;
    struct audit_tail tail;
    enum mikeyd_status status = finish_previous(log, &tail, err);
    if (status != MIKEYD_OK)
        return status;
    if (tail.cut_bytes != 0)
        return record_cut(log, &tail, err);
    const struct audit_record record = {.event = AUDIT_ROTATE};
    const struct audit_internal internal = {.previous_file = log->previous_name};
    return write_own(log, &record, &internal, log->chain.sequence + 1, err);
}

enum mikeyd_status audit_recover_open(struct audit_log *log, struct error *err)
{
    struct audit_tail tail;
    enum mikeyd_status status = audit_file_open(log->path, &log->file, err);
    if (status != MIKEYD_OK)
        return status;
    status = audit_tail_read(log->file.fd, log->file.written, log->hasher, &tail, err);
    if (status != MIKEYD_OK) {
        error_prefix(err, "%s", log->path);
        return status;
    }
    log->chain = tail.chain;
    if (tail.complete == 0)
        audit_tail_find_previous(log->path, log->hasher, log->previous_name, &log->chain);
    if (tail.cut_bytes != 0) {
        status = cut_unfinished(&log->file, log->path, &tail, err);
        return status == MIKEYD_OK ? record_cut(log, &tail, err) : status;
    }
    if (tail.complete == 0)
        return continue_previous(log, err);
    return MIKEYD_OK;
}

/* ---- while failing ---- */

/* Every complete line after the last durable one is by this process: nobody else wrote meanwhile.
 */
static bool extra_is_ours(const struct audit_log *log, const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, '\n', len - at);
        if (end == NULL)
            return true;
        size_t line = (size_t)(end - text) - at;
        if (memmem(text + at, line, log->origin, log->origin_len) == NULL)
            return false;
        at += line + 1;
    }
    return true;
}

/* What stands after the last durable byte is left of a write of ours that failed. */
static enum mikeyd_status check_extra(struct audit_log *log, uint64_t size, struct error *err)
{
    size_t extra = (size_t)(size - log->durable_bytes);
    if (extra > 2U * AUDIT_QUEUE_BYTES)
        return error_set(err, MIKEYD_AUDIT_DOWN, "audit log: somebody else wrote to it");
    char *text = malloc(extra + 1);
    if (text == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    ssize_t n = pread(log->file.fd, text, extra, (off_t)log->durable_bytes);
    bool ours = n == (ssize_t)extra && extra_is_ours(log, text, extra);
    free(text);
    return ours ? MIKEYD_OK
                : error_set(err, MIKEYD_AUDIT_DOWN, "audit log: somebody else wrote to it");
}

/* Its last durable byte still ends the last durable record. */
static bool is_whole(const struct audit_log *log, uint64_t size)
{
    struct audit_tail tail;
    return size >= log->durable_bytes &&
           audit_tail_read(log->file.fd, log->durable_bytes, log->hasher, &tail, NULL) ==
               MIKEYD_OK &&
           tail.cut_bytes == 0 &&
           (log->durable_bytes == 0 ||
            secret_equal(tail.chain.hash, log->chain.hash, AUDIT_HASH_LEN));
}

/*
 * Somebody else made the file shorter (truncate, logrotate's copytruncate). `refused` bytes at its
 * end are of a write of ours, whose callers were told that it failed: dropped. What is left of the
 * older records stays, but for a line that was cut in the middle. The chain goes on from the last
 * durable record all the same: where that stands in a copy, the two are one log; where it does not,
 * the chain says what is missing.
 */
static enum mikeyd_status take_shortened(struct audit_log *log, uint64_t size, uint64_t refused,
                                         struct error *err)
{
    struct audit_tail tail;
    struct audit_chain ignored = {0};
    const uint64_t left = size > refused ? size - refused : 0;
    enum mikeyd_status status = audit_tail_read(log->file.fd, left, log->hasher, &tail, err);
    if (status == MIKEYD_OK && tail.chain.sequence > log->chain.sequence)
        status = error_set(err, MIKEYD_AUDIT_DOWN, "audit log: another file stands in its place");
    if (status == MIKEYD_OK)
        status = audit_file_cut(&log->file, tail.complete, err);
    if (status != MIKEYD_OK)
        return status;
    log_error("audit log %s: somebody else cut it from %" PRIu64 " to %" PRIu64 " bytes", log->path,
              log->durable_bytes, left);
    log->cut_from = log->durable_bytes;
    log->durable_bytes = tail.complete;
    if (tail.complete == 0)
        audit_tail_find_previous(log->path, log->hasher, log->previous_name, &ignored);
    return MIKEYD_OK;
}

/* Brings the open file to where the next record can be written. refused: bytes at its end that a
 * failed write of ours can have left, as far as that is known. */
static enum mikeyd_status settle(struct audit_log *log, uint64_t refused, struct error *err)
{
    struct stat info;
    if (fstat(log->file.fd, &info) != 0)
        return error_set(err, MIKEYD_AUDIT_DOWN, "audit log: fstat: %s", strerror(errno));
    const uint64_t size = (uint64_t)info.st_size;
    if (!is_whole(log, size))
        return size < log->durable_bytes + refused
                   ? take_shortened(log, size, refused, err)
                   : error_set(err, MIKEYD_AUDIT_DOWN,
                               "audit log: another file stands in its place");
    enum mikeyd_status status = check_extra(log, size, err);
    return status == MIKEYD_OK ? audit_file_cut(&log->file, log->durable_bytes, err) : status;
}

/* By its name again: deleted, renamed or on a file system that was mounted anew. */
static enum mikeyd_status open_again(struct audit_log *log, struct error *err)
{
    enum mikeyd_status status = audit_file_open(log->path, &log->file, err);
    if (status != MIKEYD_OK)
        return status;
    if (log->file.written != 0) {
        status = settle(log, 0, err);
        if (status != MIKEYD_OK)
            audit_file_close(&log->file);
        return status;
    }
    struct audit_chain previous = {0};
    log->durable_bytes = 0;
    audit_tail_find_previous(log->path, log->hasher, log->previous_name, &previous);
    if (!secret_equal(previous.hash, log->chain.hash, AUDIT_HASH_LEN))
        log->previous_name[0] = '\0';
    return MIKEYD_OK;
}

static void describe_failure(const struct audit_log *log, char *out, size_t cap)
{
    int at = snprintf(out, cap, "%s; not writable for %" PRId64 " s", log->failure.text,
                      (clock_monotonic_ms() - log->failing_since_ms + 999) / 1000);
    if (log->cut_from != 0 && at > 0 && (size_t)at < cap)
        (void)snprintf(out + at, cap - (size_t)at,
                       "; it was cut from %" PRIu64 " to %" PRIu64 " bytes", log->cut_from,
                       log->file.durable);
}

static enum mikeyd_status write_recovered(struct audit_log *log, struct error *err)
{
    char detail[sizeof log->failure.text + 128];
    pthread_mutex_lock(&log->lock);
    uint64_t sequence = log->last_sequence + 1;
    pthread_mutex_unlock(&log->lock);
    describe_failure(log, detail, sizeof detail);
    const struct audit_record record = {.event = AUDIT_RECOVERED,
                                        .count = sequence - 1 - log->chain.sequence,
                                        .psk_uses = log->lost_psk_uses,
                                        .detail = detail};
    const bool first = log->file.durable == 0 && log->previous_name[0] != '\0';
    const struct audit_internal internal = {.previous_file = first ? log->previous_name : NULL};
    enum mikeyd_status status = write_own(log, &record, &internal, sequence, err);
    if (status == MIKEYD_OK) {
        log->cut_from = 0;
        log->lost_psk_uses = 0;
    }
    return status;
}

static enum mikeyd_status retry(struct audit_log *log, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    if (log->file.fd >= 0) {
        log->durable_bytes = log->file.durable;
        if (!audit_file_is_at(&log->file, log->path) || log->failed_tries % 4 == 3) {
            /* Whatever is left of the failed write is ours alone while we hold the lock. */
            (void)settle(log, log->file.written - log->file.durable, NULL);
            audit_file_close(&log->file);
        }
    }
    if (log->file.fd < 0)
        status = open_again(log, err);
    else
        status = settle(log, log->file.written - log->file.durable, err);
    if (status == MIKEYD_OK)
        status = write_recovered(log, err);
    return status;
}

void audit_recover_retry(struct audit_log *log)
{
    struct error err = {0};
    if (retry(log, &err) != MIKEYD_OK) {
        log->failed_tries++;
        log->retry_at_ms = clock_monotonic_ms() + AUDIT_RETRY_MS;
        if (log->failed_tries % 60 == 1)
            log_error("%s; still no key leaves", err.text);
        return;
    }
    log_notice("audit log %s can be written again", log->path);
    pthread_mutex_lock(&log->lock);
    log->last_sequence = log->chain.sequence;
    atomic_store(&log->durable, log->chain.sequence);
    atomic_store(&log->healthy, true);
    pthread_cond_broadcast(&log->settled);
    pthread_mutex_unlock(&log->lock);
    if (log->options.committed != NULL)
        log->options.committed(log->options.committed_context);
}
