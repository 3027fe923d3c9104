#include "mikeyd/listener.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "mikeyd/connection.h"

#define BACKLOG 128
#define ACCEPT_BATCH 32

struct listener {
    struct daemon *daemon;
    const char *path;
    int fd;
    bool bound;
    struct event *event;
    struct event *retry; /* after the process ran out of descriptors */
};

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

/* A socket file left by a daemon that was killed; one that is answered belongs to a running daemon.
 */
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
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(err, MIKEYD_INTERNAL, "socket: %s", strerror(errno));
    const bool answered =
        connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN;
    (void)close(fd);
    if (answered)
        return error_set(err, MIKEYD_INTERNAL, "another process answers on %s", address->sun_path);
    if (unlink(address->sun_path) != 0)
        return error_set(err, MIKEYD_INTERNAL, "%s: %s", address->sun_path, strerror(errno));
    return MIKEYD_OK;
}

static enum mikeyd_status group_by_name(const char *name, gid_t *out, struct error *err)
{
    struct group entry, *found = NULL;
    char buffer[4096];
    *out = (gid_t)-1;
    if (name == NULL)
        return MIKEYD_OK;
    if (getgrnam_r(name, &entry, buffer, sizeof buffer, &found) != 0 || found == NULL)
        return error_set(err, MIKEYD_INTERNAL, "listen: no group \"%s\"", name);
    *out = found->gr_gid;
    return MIKEYD_OK;
}

static enum mikeyd_status bind_socket(struct listener *listener, const struct config_listen *config,
                                      struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    gid_t group;
    if (strlen(listener->path) >= sizeof address.sun_path)
        return error_set(err, MIKEYD_INTERNAL, "%s: too long for a socket", listener->path);
    memcpy(address.sun_path, listener->path, strlen(listener->path) + 1);
    enum mikeyd_status status = check_folder(listener->path, err);
    if (status == MIKEYD_OK)
        status = remove_stale(&address, err);
    if (status == MIKEYD_OK)
        status = group_by_name(config->group, &group, err);
    if (status != MIKEYD_OK)
        return status;

    listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->fd < 0)
        return error_set(err, MIKEYD_INTERNAL, "socket: %s", strerror(errno));
    /* Nobody else may connect before group and mode are right. */
    const mode_t before = umask(0177);
    int result = bind(listener->fd, (const struct sockaddr *)&address, sizeof address);
    (void)umask(before);
    listener->bound = result == 0;
    if (result == 0 && group != (gid_t)-1)
        result = chown(listener->path, (uid_t)-1, group);
    if (result == 0)
        result = chmod(listener->path, config->mode);
    if (result == 0)
        result = listen(listener->fd, BACKLOG);
    if (result != 0)
        return error_set(err, MIKEYD_INTERNAL, "%s: %s", listener->path, strerror(errno));
    return MIKEYD_OK;
}

static void on_connection(evutil_socket_t fd, short events, void *context)
{
    (void)events;
    struct listener *listener = context;
    const struct timeval pause = {.tv_usec = 200000};
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client >= 0) {
            connection_open(listener->daemon, client);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            /* The waiting connection keeps the descriptor readable: look away for a while. */
            log_warning("accept: %s", strerror(errno));
            (void)event_del(listener->event);
            (void)event_add(listener->retry, &pause);
        }
        return;
    }
}

static void on_retry(evutil_socket_t fd, short events, void *context)
{
    (void)fd;
    (void)events;
    struct listener *listener = context;
    (void)event_add(listener->event, NULL);
}

static enum mikeyd_status listener_open(struct listener *listener, struct daemon *daemon,
                                        const struct config_listen *config, struct error *err)
{
    listener->daemon = daemon;
    listener->path = config->unix_path;
    enum mikeyd_status status = bind_socket(listener, config, err);
    if (status != MIKEYD_OK)
        return status;
    listener->event =
        event_new(daemon->base, listener->fd, EV_READ | EV_PERSIST, on_connection, listener);
    listener->retry = event_new(daemon->base, -1, 0, on_retry, listener);
    if (listener->event == NULL || listener->retry == NULL || event_add(listener->event, NULL) != 0)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    return MIKEYD_OK;
}

enum mikeyd_status listener_open_all(struct daemon *daemon, struct error *err)
{
    const struct config *config = daemon->config;
    daemon->listeners = calloc(config->listen_count, sizeof *daemon->listeners);
    if (daemon->listeners == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    daemon->listener_count = config->listen_count;
    for (size_t i = 0; i < config->listen_count; i++)
        daemon->listeners[i].fd = -1;
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0; i < config->listen_count && status == MIKEYD_OK; i++)
        status = listener_open(&daemon->listeners[i], daemon, &config->listen[i], err);
    return status;
}

void listener_close_all(struct daemon *daemon)
{
    for (size_t i = 0; i < daemon->listener_count; i++) {
        struct listener *listener = &daemon->listeners[i];
        if (listener->event != NULL)
            event_free(listener->event);
        if (listener->retry != NULL)
            event_free(listener->retry);
        if (listener->bound)
            (void)unlink(listener->path);
        if (listener->fd >= 0)
            (void)close(listener->fd);
    }
    free(daemon->listeners);
    daemon->listeners = NULL;
    daemon->listener_count = 0;
}
