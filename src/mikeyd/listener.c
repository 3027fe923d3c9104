#include "mikeyd/listener.h"

#include <grp.h>
#include <stdlib.h>

#include "mikeyd/acceptor.h"
#include "mikeyd/connection.h"
#include "mikeyd/unix_socket.h"

#define ACCEPT_A_SECOND 2000

struct listener {
    struct unix_socket socket;
    struct acceptor *acceptor;
    gid_t group; /* (gid_t)-1: this process's own */
};

static void on_accepted(void *context, int fd, const struct sockaddr_storage *peer)
{
    (void)peer;
    connection_open(context, fd);
}

static enum mikeyd_status listener_open(struct listener *listener, struct daemon *daemon,
                                        const struct config_listen *config, struct error *err)
{
    enum mikeyd_status status = unix_socket_listen(&listener->socket, config->unix_path,
                                                   config->mode, listener->group, err);
    if (status != MIKEYD_OK)
        return status;
    const struct acceptor_config accept = {.base = daemon->base,
                                           .fd = listener->socket.fd,
                                           .name = config->unix_path,
                                           .a_second = ACCEPT_A_SECOND,
                                           .accepted = on_accepted,
                                           .context = daemon};
    return acceptor_open(&accept, &listener->acceptor, err);
}

static enum mikeyd_status find_group(const char *name, gid_t *out, struct error *err)
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

enum mikeyd_status listener_make_all(struct daemon *daemon, struct error *err)
{
    const struct config *config = daemon->config;
    daemon->listeners = calloc(config->listen_count, sizeof *daemon->listeners);
    if (daemon->listeners == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    daemon->listener_count = config->listen_count;
    for (size_t i = 0; i < config->listen_count; i++)
        daemon->listeners[i].socket = (struct unix_socket){.fd = -1, .lock_fd = -1};
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0; i < config->listen_count && status == MIKEYD_OK; i++)
        status = find_group(config->listen[i].group, &daemon->listeners[i].group, err);
    return status;
}

enum mikeyd_status listener_open_all(struct daemon *daemon, struct error *err)
{
    const struct config *config = daemon->config;
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0; i < config->listen_count && status == MIKEYD_OK; i++)
        status = listener_open(&daemon->listeners[i], daemon, &config->listen[i], err);
    return status;
}

void listener_close_all(struct daemon *daemon)
{
    for (size_t i = 0; i < daemon->listener_count; i++) {
        struct listener *listener = &daemon->listeners[i];
        acceptor_close(listener->acceptor);
        unix_socket_close(&listener->socket);
    }
    free(daemon->listeners);
    daemon->listeners = NULL;
    daemon->listener_count = 0;
}
