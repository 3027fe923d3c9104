#include "mikeyd/confinement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sandbox/sandbox.h"
#include "store/redis_wire.h"

#define PATHS_MAX 128

/* Pointers into the configuration, but for the folders. */
struct path_list {
    const char *path[PATHS_MAX];
    size_t count;
};

struct confinement {
    bool wanted;
    struct sandbox_report report;
    struct sandbox_profile profile;
    struct path_list readable, writable, folders; /* folders: ours to free */
    uint16_t ports[2 * CONFIG_REDIS_MAX];         /* of the replay store */
    size_t port_count;
};

static void add(struct path_list *list, const char *path)
{
    if (list->count < PATHS_MAX)
        list->path[list->count++] = path;
}

/* The folder a file stands in: files are replaced by renaming, and a rule follows the old one. */
static void add_folder_of(struct confinement *c, struct path_list *list, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    char *folder = len == 0 ? strdup(".") : strndup(path, len);
    if (folder == NULL || c->folders.count == PATHS_MAX) {
        free(folder);
        return;
    }
    add(&c->folders, folder);
    add(list, folder);
}

static void add_file(struct confinement *c, const char *path)
{
    add_folder_of(c, &c->readable, path);
    add(&c->readable, path); /* where a symbolic link leads */
}

static void add_ports(struct confinement *c, const char *const *addresses, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t port = 0;
        if (redis_address_check(addresses[i], &port, NULL) == MIKEYD_OK && port != 0)
            c->ports[c->port_count++] = port;
    }
}

/* Files are read again for each connection: a new password takes no restart. */
static void add_redis(struct confinement *c, const struct config_redis *redis)
{
    const char *const files[] = {redis->password_file, redis->tls_ca, redis->tls_certificate,
                                 redis->tls_key};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (files[i] != NULL)
            add_file(c, files[i]);
    }
    add_ports(c, redis->servers, redis->server_count);
    add_ports(c, redis->sentinels, redis->sentinel_count);
}

static void add_replay(struct confinement *c, const struct config *config)
{
    if (config->replay_redis != NULL) {
        add_redis(c, config->replay_redis);
        return;
    }
    /* The machine's boot, by which a crash of it is told from one of ours. */
    add(&c->readable, "/proc/sys/kernel/random/boot_id");
    add(&c->writable, config->replay_lmdb);
    add_folder_of(c, &c->readable, config->replay_lmdb);
}

static void collect_paths(struct confinement *c, const struct config *config)
{
    add_file(c, config->path);
    add_file(c, config->policy);
    for (size_t i = 0; i < config->officer_count; i++)
        add_file(c, config->officers[i].public_key);
    add_replay(c, config);
    add_folder_of(c, &c->writable, config->audit_file);
    for (size_t i = 0; i < config->listen_count; i++)
        add_folder_of(c, &c->writable, config->listen[i].unix_path);
}

static void fill_profile(struct confinement *c, const struct config *config)
{
    collect_paths(c, config);
    c->profile = (struct sandbox_profile){
        .readable = c->readable.path,
        .readable_count = c->readable.count,
        .writable = c->writable.path,
        .writable_count = c->writable.count,
        .bind_ports = &config->metrics_port,
        .bind_count = config->metrics_address == NULL ? 0 : 1,
        .connect_ports = c->ports,
        .connect_count = c->port_count,
    };
}

enum mikeyd_status confinement_begin(const struct config *config, bool wanted,
                                     struct confinement **out, struct error *err)
{
    struct confinement *c = calloc(1, sizeof *c);
    if (c == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    *out = c;
    c->wanted = wanted;
    if (!wanted) {
        log_warning("no sandbox: --no-sandbox is given");
        return MIKEYD_OK;
    }
    fill_profile(c, config);
    enum mikeyd_status status = sandbox_begin(&c->profile, &c->report, err);
    if (status == MIKEYD_OK && c->report.landlock_abi == 0)
        log_warning("sandbox without Landlock (%s): file modes and the service manager's "
                    "settings alone keep this process from other files and ports",
                    c->report.landlock);
    else if (status == MIKEYD_OK)
        log_notice("sandbox: Landlock %s", c->report.landlock);
    return status;
}

enum mikeyd_status confinement_enter(const struct confinement *confinement, struct error *err)
{
    return confinement->wanted ? sandbox_enter(&confinement->profile, err) : MIKEYD_OK;
}

const char *confinement_seccomp(const struct confinement *confinement)
{
    return confinement->wanted ? "on" : "off";
}

const char *confinement_landlock(const struct confinement *confinement)
{
    return confinement->wanted ? confinement->report.landlock : "off";
}

void confinement_free(struct confinement *confinement)
{
    if (confinement == NULL)
        return;
    for (size_t i = 0; i < confinement->folders.count; i++)
        free((char *)(uintptr_t)confinement->folders.path[i]);
    free(confinement);
}
