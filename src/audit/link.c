/* The ceremony's log beside the daemon's: how far it has come stands in the daemon's chain. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/log.h"
#include "audit/tail.h"
#include "base/log.h"
#include "base/secret.h"

/* Where the ceremony's log ends. Zeros and OK: there is none. A line that is being written is left
 * to the next look. */
static enum mikeyd_status look(const char *path, struct audit_chain *out, struct error *err)
{
    struct stat info;
    struct audit_tail tail;
    *out = (struct audit_chain){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return MIKEYD_OK;
    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        int reason = fd < 0 ? errno : EINVAL;
        if (fd >= 0)
            (void)close(fd);
        return error_set(err, MIKEYD_AUDIT_DOWN, "%s: %s", path, strerror(reason));
    }
    struct audit_hasher *hasher = audit_hasher_make();
    enum mikeyd_status status =
        hasher == NULL ? error_set(err, MIKEYD_INTERNAL, "out of memory")
                       : audit_tail_read(fd, (uint64_t)info.st_size, hasher, &tail, err);
    (void)close(fd);
    audit_hasher_free(hasher);
    if (status != MIKEYD_OK) {
        error_prefix(err, "%s", path);
        return status;
    }
    *out = tail.chain;
    return MIKEYD_OK;
}

static enum mikeyd_status append_link(struct audit_log *log, const struct audit_record *record,
                                      const struct audit_internal *internal, struct error *err)
{
    char fields[AUDIT_FIELDS_MAX];
    size_t len = audit_record_format(record, internal, fields);
    pthread_mutex_lock(&log->lock);
    bool queued =
        atomic_load(&log->healthy) && !log->closing && audit_log_push(log, fields, len, false);
    pthread_mutex_unlock(&log->lock);
    pthread_cond_signal(&log->work);
    return queued ? MIKEYD_OK : error_set(err, MIKEYD_AUDIT_DOWN, "audit log cannot be written");
}

enum mikeyd_status audit_link_ceremony(struct audit_log *log, struct error *err)
{
    char path[PATH_MAX], copy[PATH_MAX], detail[sizeof err->text];
    struct audit_chain now;
    struct error problem = {0};
    if (snprintf(path, sizeof path, "%s" AUDIT_CEREMONY_SUFFIX, log->path) >= (int)sizeof path)
        return error_set(err, MIKEYD_AUDIT_DOWN, "audit log: path too long");
    enum mikeyd_status found = look(path, &now, &problem);
    pthread_mutex_lock(&log->lock);
    const struct audit_chain before = log->linked;
    if (found == MIKEYD_OK)
        log->linked = now;
    pthread_mutex_unlock(&log->lock);
    if (found == MIKEYD_OK && now.sequence < before.sequence)
        found = error_set(&problem, MIKEYD_SYNTAX,
                          "%s ends with record %" PRIu64 ", and had come to record %" PRIu64, path,
                          now.sequence, before.sequence);
    if (found == MIKEYD_OK &&
        (now.sequence == 0 || secret_equal(now.hash, before.hash, AUDIT_HASH_LEN)))
        return MIKEYD_OK;
    (void)snprintf(copy, sizeof copy, "%s", path);
    (void)snprintf(detail, sizeof detail, "%s", problem.text);
    const struct audit_record record = {
        .event = AUDIT_CEREMONY, .status = found, .detail = found == MIKEYD_OK ? NULL : detail};
    const struct audit_internal internal = {.linked_file = basename(copy),
                                            .linked_sequence = now.sequence,
                                            .linked_hash = found == MIKEYD_OK ? now.hash : NULL};
    if (found != MIKEYD_OK)
        log_error("ceremony's audit log: %s", problem.text);
    return append_link(log, &record, &internal, err);
}
