/*
 * Landlock (landlock(7)): which files and ports this process can reach at all, whatever their modes
 * say. Debian 12's headers describe its second version; what later kernels add stands here.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/internal.h"

/* linux/landlock.h of Linux 6.12, as far as it is newer than 6.1. */
#define ACCESS_FS_TRUNCATE (1ULL << 14)        /* version 3 */
#define ACCESS_FS_IOCTL_DEV (1ULL << 15)       /* version 5 */
#define ACCESS_NET_BIND_TCP (1ULL << 0)        /* version 4 */
#define ACCESS_NET_CONNECT_TCP (1ULL << 1)     /* version 4 */
#define SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0) /* version 6 */
#define SCOPE_SIGNAL (1ULL << 1)               /* version 6 */
#define RULE_NET_PORT 2

struct ruleset_attributes {
    uint64_t fs, net, scope;
};
struct port_rule {
    uint64_t access, port;
};

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE                                                                                      \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                               \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |  \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | ACCESS_FS_TRUNCATE)
/* All that is asked of files, and granted or not: running programs and making devices nowhere. */
#define HANDLED                                                                                    \
    (READ | WRITE | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |                    \
     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM |  \
     LANDLOCK_ACCESS_FS_REFER | ACCESS_FS_IOCTL_DEV)
#define OF_FILES                                                                                   \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE |   \
     ACCESS_FS_TRUNCATE | ACCESS_FS_IOCTL_DEV)

struct ruleset {
    int fd;
    struct ruleset_attributes handled;
};

static enum mikeyd_status fail(const char *what, struct error *err)
{
    return error_set(err, MIKEYD_INTERNAL, "Landlock: %.200s: %s (see --no-sandbox in mikeyd(8))",
                     what, strerror(errno));
}

/* What a kernel of that version knows; it refuses a ruleset that asks for more. */
static struct ruleset_attributes known_to(int abi)
{
    struct ruleset_attributes known = {.fs = HANDLED};
    if (abi < 2)
        known.fs &= ~LANDLOCK_ACCESS_FS_REFER;
    if (abi < 3)
        known.fs &= ~ACCESS_FS_TRUNCATE;
    if (abi < 5)
        known.fs &= ~ACCESS_FS_IOCTL_DEV;
    if (abi >= 4)
        known.net = ACCESS_NET_BIND_TCP | ACCESS_NET_CONNECT_TCP;
    if (abi >= 6) {
        /* The service manager's socket may be an abstract one (sd_notify(3)). */
        const char *notify = getenv("NOTIFY_SOCKET");
        known.scope = SCOPE_SIGNAL;
        if (notify == NULL || notify[0] != '@')
            known.scope |= SCOPE_ABSTRACT_UNIX_SOCKET;
    }
    return known;
}

static enum mikeyd_status allow_path(const struct ruleset *set, const char *path, uint64_t access,
                                     struct error *err)
{
    struct stat facts;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) /* whoever needs it says so when it opens it */
        return MIKEYD_OK;
    if (fstat(fd, &facts) == 0 && !S_ISDIR(facts.st_mode))
        access &= OF_FILES;
    const struct landlock_path_beneath_attr rule = {.allowed_access = access & set->handled.fs,
                                                    .parent_fd = fd};
    long result = syscall(SYS_landlock_add_rule, set->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    enum mikeyd_status status = result == 0 ? MIKEYD_OK : fail(path, err);
    (void)close(fd);
    return status;
}

static enum mikeyd_status allow_paths(const struct ruleset *set, const char *const *paths,
                                      size_t count, uint64_t access, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0; i < count && status == MIKEYD_OK; i++)
        status = allow_path(set, paths[i], access, err);
    return status;
}

static bool is_private(const char *name)
{
    static const char *const names[] = {"proc", "sys", "home", "root", "boot", ".", ".."};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

/*
 * A module's libraries, its configuration and its client's sockets may stand anywhere. Nobody's
 * home is among it, nor /proc, where a process's memory is a file: of that only what libraries ask
 * about the machine.
 */
static enum mikeyd_status allow_system(const struct ruleset *set, struct error *err)
{
    static const char *const machine[] = {"/proc/cpuinfo",      "/proc/meminfo", "/proc/stat",
                                          "/proc/uptime",       "/proc/loadavg", "/proc/sys",
                                          "/sys/devices/system"};
    DIR *root = opendir("/");
    enum mikeyd_status status = root == NULL ? fail("/", err) : MIKEYD_OK;
    for (struct dirent *entry; status == MIKEYD_OK && (entry = readdir(root)) != NULL;) {
        char path[sizeof entry->d_name + 1];
        (void)snprintf(path, sizeof path, "/%s", entry->d_name);
        if (!is_private(entry->d_name))
            status = allow_path(set, path, READ, err);
    }
    if (root != NULL)
        (void)closedir(root);
    if (status == MIKEYD_OK)
        status = allow_paths(set, machine, sizeof machine / sizeof machine[0], READ, err);
    /* Devices that are there: /dev/null, random numbers, an HSM's own. */
    if (status == MIKEYD_OK)
        status = allow_path(set, "/dev", READ | LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_FS_IOCTL_DEV,
                            err);
    return status;
}

static enum mikeyd_status allow_ports(const struct ruleset *set, const uint16_t *ports,
                                      size_t count, uint64_t access, struct error *err)
{
    if ((set->handled.net & access) == 0)
        return MIKEYD_OK;
    for (size_t i = 0; i < count; i++) {
        const struct port_rule rule = {.access = access, .port = ports[i]};
        if (syscall(SYS_landlock_add_rule, set->fd, RULE_NET_PORT, &rule, 0) != 0)
            return fail("port", err);
    }
    return MIKEYD_OK;
}

static enum mikeyd_status allow_profile(const struct ruleset *set,
                                        const struct sandbox_profile *profile, struct error *err)
{
    enum mikeyd_status status = profile->module ? allow_system(set, err) : MIKEYD_OK;
    if (status == MIKEYD_OK)
        status = allow_paths(set, profile->readable, profile->readable_count, READ, err);
    if (status == MIKEYD_OK)
        status = allow_paths(set, profile->writable, profile->writable_count, READ | WRITE, err);
    if (status == MIKEYD_OK)
        status =
            allow_ports(set, profile->bind_ports, profile->bind_count, ACCESS_NET_BIND_TCP, err);
    if (status == MIKEYD_OK)
        status = allow_ports(set, profile->connect_ports, profile->connect_count,
                             ACCESS_NET_CONNECT_TCP, err);
    return status;
}

/* Older kernels know a shorter structure, and refuse a longer one unless the rest is zero. */
static enum mikeyd_status make(int abi, struct ruleset *out, struct error *err)
{
    out->handled = known_to(abi);
    out->fd = (int)syscall(SYS_landlock_create_ruleset, &out->handled, sizeof out->handled, 0);
    return out->fd >= 0 ? MIKEYD_OK : fail("landlock_create_ruleset", err);
}

enum mikeyd_status landlock_confine(const struct sandbox_profile *profile,
                                    struct sandbox_report *report, struct error *err)
{
    struct ruleset set;
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) { /* not built in (ENOSYS), or not switched on (EOPNOTSUPP) */
        (void)snprintf(report->landlock, sizeof report->landlock, "missing: %s", strerror(errno));
        return MIKEYD_OK;
    }
    enum mikeyd_status status = make((int)abi, &set, err);
    if (status != MIKEYD_OK)
        return status;
    status = allow_profile(&set, profile, err);
    if (status == MIKEYD_OK && syscall(SYS_landlock_restrict_self, set.fd, 0) != 0)
        status = fail("landlock_restrict_self", err);
    (void)close(set.fd);
    report->landlock_abi = (int)abi;
    (void)snprintf(report->landlock, sizeof report->landlock, "version %ld: files%s%s", abi,
                   set.handled.net != 0 ? ", ports" : "",
                   set.handled.scope != 0 ? ", signals" : "");
    return status;
}
