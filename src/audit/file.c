#include "audit/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static enum mikeyd_status fail(struct error *err, const char *what)
{
    int reason = errno;
    return error_set(err, MIKEYD_AUDIT_DOWN, "audit log: %s: %s", what, strerror(reason));
}

enum mikeyd_status audit_file_sync_folder(const char *path, struct error *err)
{
    char copy[PATH_MAX];
    if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy)
        return error_set(err, MIKEYD_AUDIT_DOWN, "audit log: path too long");
    int folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return fail(err, "open folder");
    enum mikeyd_status status = MIKEYD_OK;
    /* EINVAL: a file system that keeps no folders to sync. */
    if (fsync(folder) != 0 && errno != EINVAL)
        status = fail(err, "fsync folder");
    (void)close(folder);
    return status;
}

static enum mikeyd_status lock_and_measure(struct audit_file *file, struct error *err)
{
    struct stat info;
    if (fstat(file->fd, &info) != 0)
        return fail(err, "fstat");
    if (!S_ISREG(info.st_mode))
        return error_set(err, MIKEYD_AUDIT_DOWN, "audit log: not a regular file");
    if (flock(file->fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return error_set(err, MIKEYD_AUDIT_DOWN,
                             "audit log: another process is writing to this file");
        return fail(err, "flock");
    }
    /* Taken after the lock: a writer that ended a moment ago may have added to it. */
    if (fstat(file->fd, &info) != 0)
        return fail(err, "fstat");
    file->written = (uint64_t)info.st_size;
    file->durable = (uint64_t)info.st_size;
    return MIKEYD_OK;
}

enum mikeyd_status audit_file_open(const char *path, struct audit_file *out, struct error *err)
{
    struct audit_file file = AUDIT_FILE_CLOSED;
    bool made = false;
    file.fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NONBLOCK);
    if (file.fd < 0 && errno == ENOENT) {
        file.fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        made = true;
    }
    if (file.fd < 0)
        return fail(err, path);
    enum mikeyd_status status = lock_and_measure(&file, err);
    if (status == MIKEYD_OK && made)
        status = audit_file_sync_folder(path, err);
    if (status != MIKEYD_OK) {
        audit_file_close(&file);
        return status;
    }
    *out = file;
    return MIKEYD_OK;
}

void audit_file_close(struct audit_file *file)
{
    if (file->fd >= 0)
        (void)close(file->fd);
    *file = AUDIT_FILE_CLOSED;
}

enum mikeyd_status audit_file_append(struct audit_file *file, const void *data, size_t len,
                                     struct error *err)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = write(file->fd, at, len);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return fail(err, "write");
        }
        at += n;
        len -= (size_t)n;
        file->written += (uint64_t)n;
    }
    return MIKEYD_OK;
}

enum mikeyd_status audit_file_sync(struct audit_file *file, struct error *err)
{
    if (fdatasync(file->fd) != 0)
        return fail(err, "fdatasync");
    struct stat info;
    if (fstat(file->fd, &info) != 0)
        return fail(err, "fstat");
    /* A record that nobody can find again is no record. */
    if (info.st_nlink == 0)
        return error_set(err, MIKEYD_AUDIT_DOWN, "audit log: the file was deleted");
    if ((uint64_t)info.st_size != file->written)
        return error_set(err, MIKEYD_AUDIT_DOWN, "audit log: somebody else changed its length");
    file->durable = file->written;
    return MIKEYD_OK;
}

enum mikeyd_status audit_file_cut(struct audit_file *file, uint64_t len, struct error *err)
{
    if (ftruncate(file->fd, (off_t)len) != 0)
        return fail(err, "ftruncate");
    /* fsync: the shorter length is metadata that fdatasync may leave behind. */
    if (fsync(file->fd) != 0)
        return fail(err, "fsync");
    file->written = len;
    file->durable = len;
    return MIKEYD_OK;
}

bool audit_file_is_at(const struct audit_file *file, const char *path)
{
    struct stat open_file, named;
    return file->fd >= 0 && fstat(file->fd, &open_file) == 0 && stat(path, &named) == 0 &&
           open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}
