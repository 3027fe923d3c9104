#include "audit/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

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

/* What root makes for a service, the service has to be able to use. */
static void give_to_folder_owner(int fd, const char *path)
{
    char copy[PATH_MAX];
    struct stat folder;
    if (geteuid() != 0 || snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy ||
        stat(dirname(copy), &folder) != 0)
        return;
    if (fchown(fd, folder.st_uid, folder.st_gid) != 0)
        log_warning("audit log: %s stays root's: %s", path, strerror(errno));
}

static bool lock_name(const char *path, char out[PATH_MAX])
{
    return snprintf(out, PATH_MAX, "%s.lock", path) < PATH_MAX;
}

enum mikeyd_status audit_file_lock(const char *path, int *out, struct error *err)
{
    char name[PATH_MAX];
    struct stat held, named;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (!lock_name(path, name))
        return error_set(err, MIKEYD_AUDIT_DOWN, "audit log: path too long");
    int fd = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0)
            give_to_folder_owner(fd, name);
    }
    if (fd < 0)
        return fail(err, name);
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        const bool busy = errno == EAGAIN || errno == EACCES;
        enum mikeyd_status status =
            busy ? error_set(err, MIKEYD_AUDIT_DOWN,
                             "audit log: another process is writing to this file")
                 : fail(err, name);
        (void)close(fd);
        return status;
    }
    if (fstat(fd, &held) != 0 || stat(name, &named) != 0 || held.st_ino != named.st_ino) {
        (void)close(fd);
        return error_set(err, MIKEYD_AUDIT_DOWN, "audit log: %s was replaced", name);
    }
    *out = fd;
    return MIKEYD_OK;
}

bool audit_file_has_writer(const char *path)
{
    char name[PATH_MAX];
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int fd = lock_name(path, name) ? open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0)
        return false;
    bool held = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_WRLCK;
    (void)close(fd);
    return held;
}

static enum mikeyd_status measure(struct audit_file *file, struct error *err)
{
    struct stat info;
    if (fstat(file->fd, &info) != 0)
        return fail(err, "fstat");
    if (!S_ISREG(info.st_mode))
        return error_set(err, MIKEYD_AUDIT_DOWN, "audit log: not a regular file");
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
        made = file.fd >= 0;
    }
    if (file.fd < 0)
        return fail(err, path);
    if (made)
        give_to_folder_owner(file.fd, path);
    enum mikeyd_status status = measure(&file, err);
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
    struct stat info;
    if (fstat(file->fd, &info) != 0)
        return fail(err, "fstat");
    /* Somebody else cut it. ftruncate() would fill it with zeros. */
    if ((uint64_t)info.st_size < len)
        return error_set(err, MIKEYD_AUDIT_DOWN, "audit log: somebody else cut it");
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
