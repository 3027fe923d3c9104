#include "mikeyd/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128
#define LOCK_SUFFIX ".lock"

/* Whoever can write to the folder can put another socket in our place. */
static enum mikeyd_status check_folder(const char *path, struct error *err)
{
    char copy[sizeof((struct sockaddr_un *)0)->sun_path];
    struct stat info;
    (void)strncpy(copy, path, sizeof copy - 1);
    copy[sizeof copy - 1] = '\0';
    const char *folder = dirname(copy);
    if (stat(folder, &info) != 0)
        return error_set(err, MIKEYD_INTERNAL, "%s: %s", folder, strerror(errno));
    if (info.st_uid != 0 && info.st_uid != geteuid())
        return error_set(err, MIKEYD_INTERNAL, "%s belongs to another user", folder);
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return error_set(err, MIKEYD_INTERNAL, "%s can be written by others", folder);
    return MIKEYD_OK;
}

/* The lock goes with the process, however it ends. Its file stays: removing it would let two
 * processes hold locks on two files of one name. */
static enum mikeyd_status take_lock(struct unix_socket *self, struct error *err)
{
    char path[sizeof((struct sockaddr_un *)0)->sun_path + sizeof LOCK_SUFFIX];
    (void)snprintf(path, sizeof path, "%s" LOCK_SUFFIX, self->path);
    self->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (self->lock_fd < 0)
        return error_set(err, MIKEYD_INTERNAL, "%s: %s", path, strerror(errno));
    if (flock(self->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return MIKEYD_OK;
    if (errno == EWOULDBLOCK) {
        return error_set(err, MIKEYD_INTERNAL, "another process serves %s: it holds %s", self->path,
                         path);
    }
    return error_set(err, MIKEYD_INTERNAL, "%s: %s", path, strerror(errno));
}

/* We hold the lock, so only a program without one can serve what lies there. A refused connection
 * alone proves that nobody does: EACCES, for one, comes from a live socket of another user. */
static enum mikeyd_status check_unserved(const struct sockaddr_un *address, struct error *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set(err, MIKEYD_INTERNAL, "socket: %s", strerror(errno));
    const int reason =
        connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ? 0 : errno;
    (void)close(fd);
    if (reason == ECONNREFUSED)
        return MIKEYD_OK;
    if (reason == 0 || reason == EAGAIN)
        return error_set(err, MIKEYD_INTERNAL, "another process answers on %s", address->sun_path);
    return error_set(err, MIKEYD_INTERNAL,
                     "%s: another process may serve it (%s): remove it if none does",
                     address->sun_path, strerror(reason));
}

static enum mikeyd_status remove_stale(const struct sockaddr_un *address, struct error *err)
{
    struct stat info;
    if (lstat(address->sun_path, &info) != 0) {
        return errno == ENOENT
                   ? MIKEYD_OK
                   : error_set(err, MIKEYD_INTERNAL, "%s: %s", address->sun_path, strerror(errno));
    }
    if (!S_ISSOCK(info.st_mode))
        return error_set(err, MIKEYD_INTERNAL, "%s is not a socket", address->sun_path);
    enum mikeyd_status status = check_unserved(address, err);
    if (status == MIKEYD_OK && unlink(address->sun_path) != 0)
        status = error_set(err, MIKEYD_INTERNAL, "%s: %s", address->sun_path, strerror(errno));
    return status;
}

/* Remembers what it made, for the end. */
static int bind_here(struct unix_socket *self, const struct sockaddr_un *address)
{
    struct stat info;
    /* Nobody else may connect before group and mode are right. */
    const mode_t before = umask(0177);
    int result = bind(self->fd, (const struct sockaddr *)address, sizeof *address);
    (void)umask(before);
    if (result == 0)
        result = lstat(self->path, &info);
    if (result != 0)
        return result;
    self->bound = true;
    self->device = info.st_dev;
    self->inode = info.st_ino;
    return 0;
}

static enum mikeyd_status open_socket(struct unix_socket *self, const struct sockaddr_un *address,
                                      mode_t mode, gid_t group, struct error *err)
{
    self->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (self->fd < 0)
        return error_set(err, MIKEYD_INTERNAL, "socket: %s", strerror(errno));
    int result = bind_here(self, address);
    if (result == 0 && group != (gid_t)-1)
        result = chown(self->path, (uid_t)-1, group);
    if (result == 0)
        result = chmod(self->path, mode);
    if (result == 0)
        result = listen(self->fd, BACKLOG);
    if (result != 0)
        return error_set(err, MIKEYD_INTERNAL, "%s: %s", self->path, strerror(errno));
    return MIKEYD_OK;
}

enum mikeyd_status unix_socket_listen(struct unix_socket *self, const char *path, mode_t mode,
                                      gid_t group, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *self = (struct unix_socket){.path = path, .fd = -1, .lock_fd = -1};
    if (strlen(path) >= sizeof address.sun_path)
        return error_set(err, MIKEYD_INTERNAL, "%s: too long for a socket", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    enum mikeyd_status status = check_folder(path, err);
    if (status == MIKEYD_OK)
        status = take_lock(self, err);
    if (status == MIKEYD_OK)
        status = remove_stale(&address, err);
    if (status == MIKEYD_OK)
        status = open_socket(self, &address, mode, group, err);
    return status;
}

void unix_socket_close(struct unix_socket *self)
{
    struct stat info;
    if (self->bound && lstat(self->path, &info) == 0 && info.st_dev == self->device &&
        info.st_ino == self->inode)
        (void)unlink(self->path);
    self->bound = false;
    if (self->fd >= 0)
        (void)close(self->fd);
    /* Last: until here nobody else may put a socket there. */
    if (self->lock_fd >= 0)
        (void)close(self->lock_fd);
    self->fd = self->lock_fd = -1;
}
