#include "base/private_file.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/posix_acl_xattr.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ACL_NAME "system.posix_acl_access"
#define ACL_ENTRIES_MAX 32
/* Tags of linux/posix_acl.h, which only the kernel sees. */
enum { TAG_USER_OBJ = 0x01, TAG_USER = 0x02, TAG_MASK = 0x10 };

struct acl {
    struct posix_acl_xattr_header header;
    struct posix_acl_xattr_entry entry[ACL_ENTRIES_MAX];
};

/* The number of entries; 0 where there is no list, -1 for one that cannot be judged. */
static int acl_read(int fd, struct acl *acl)
{
    ssize_t len = fgetxattr(fd, ACL_NAME, acl, sizeof *acl);
    if (len < 0)
        return errno == ENODATA || errno == ENOTSUP ? 0 : -1;
    const size_t entries = (size_t)len - sizeof acl->header;
    if ((size_t)len < sizeof acl->header || entries % sizeof acl->entry[0] != 0 ||
        le32toh(acl->header.a_version) != POSIX_ACL_XATTR_VERSION)
        return -1;
    return (int)(entries / sizeof acl->entry[0]);
}

/* An entry that gives anything to anybody but the owner, this user or root. The mask gives nothing
 * by itself. */
static bool entry_is_for_others(const struct posix_acl_xattr_entry *entry)
{
    const uint16_t tag = le16toh(entry->e_tag);
    if (le16toh(entry->e_perm) == 0 || tag == TAG_USER_OBJ || tag == TAG_MASK)
        return false;
    const uid_t user = le32toh(entry->e_id);
    return tag != TAG_USER || (user != geteuid() && user != 0);
}

static bool is_for_owner_and_us(int fd, const struct stat *st)
{
    struct acl acl;
    if ((st->st_mode & (S_IRWXG | S_IRWXO)) == 0)
        return true; /* with a list: its mask shuts out all it names */
    const int count = acl_read(fd, &acl);
    for (int i = 0; i < count; i++) {
        if (entry_is_for_others(&acl.entry[i]))
            return false;
    }
    return count > 0;
}

/* The first process namespace has this number on every machine (include/linux/proc_ns.h). */
#define FIRST_PID_NAMESPACE "pid:[4026531836]"

static bool in_a_container(void)
{
    char name[64];
    const ssize_t len = readlink("/proc/self/ns/pid", name, sizeof name - 1);
    if (len <= 0)
        return false;
    name[len] = '\0';
    return strcmp(name, FIRST_PID_NAMESPACE) != 0;
}

static bool mount_of(int fd, const char *path, uint64_t *id)
{
    struct statx found;
    if (statx(fd, path, path[0] == '\0' ? AT_EMPTY_PATH : 0, STATX_MNT_ID, &found) != 0 ||
        (found.stx_mask & STATX_MNT_ID) == 0)
        return false;
    *id = found.stx_mnt_id;
    return true;
}

static bool is_given_to_this_container(int fd, const struct stat *st)
{
    uint64_t mount = 0, root = 0;
    return (st->st_mode & (S_IWGRP | S_IXGRP | S_IWOTH | S_IXOTH)) == 0 && in_a_container() &&
           mount_of(fd, "", &mount) && mount_of(AT_FDCWD, "/", &root) && mount != root;
}

static enum mikeyd_status check_open(const char *what, const char *path, int fd, struct stat *st,
                                     struct error *err)
{
    if (fstat(fd, st) != 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s %s: %s", what, path, strerror(errno));
    if (!S_ISREG(st->st_mode))
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s %s is not a regular file", what, path);
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "%s %s belongs to user %lu: it must be this user's or root's", what, path,
                         (unsigned long)st->st_uid);
    const mode_t special = S_ISUID | S_ISGID | S_ISVTX | S_IXUSR;
    if ((st->st_mode & special) == 0 &&
        (is_for_owner_and_us(fd, st) || is_given_to_this_container(fd, st)))
        return MIKEYD_OK;
    return error_set(err, MIKEYD_INVALID_ARGUMENT,
                     "%s %s has mode %04o: others can read it; make it 0400 or 0600", what, path,
                     (unsigned)(st->st_mode & 07777));
}

/* Whoever made the link chose the file. */
static enum mikeyd_status check_link(const char *what, const char *path, struct error *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s %s: %s", what, path, strerror(errno));
    if (!S_ISLNK(st.st_mode) || st.st_uid == geteuid() || st.st_uid == 0)
        return MIKEYD_OK;
    return error_set(err, MIKEYD_INVALID_ARGUMENT,
                     "%s %s is a symbolic link of user %lu: it must be this user's or root's", what,
                     path, (unsigned long)st.st_uid);
}

enum mikeyd_status private_file_open(const char *what, const char *path, int *fd, struct stat *st,
                                     struct error *err)
{
    enum mikeyd_status status = check_link(what, path, err);
    if (status != MIKEYD_OK)
        return status;
    /* NONBLOCK: a FIFO in its place must not stop anybody. */
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*fd < 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s %s: %s", what, path, strerror(errno));
    status = check_open(what, path, *fd, st, err);
    if (status != MIKEYD_OK) {
        (void)close(*fd);
        *fd = -1;
    }
    return status;
}

enum mikeyd_status private_file_read(const char *what, const char *path, size_t most,
                                     struct secret *out, struct error *err)
{
    int fd = -1;
    struct stat st;
    enum mikeyd_status status = private_file_open(what, path, &fd, &st, err);
    if (status != MIKEYD_OK)
        return status;
    if (st.st_size < 0 || (size_t)st.st_size > most)
        status = error_set(err, MIKEYD_INVALID_ARGUMENT, "%s %s: longer than %zu bytes", what, path,
                           most);
    else if (!secret_make(out, (size_t)st.st_size + 1))
        status = error_set(err, MIKEYD_INTERNAL, "out of memory");
    for (size_t at = 0; status == MIKEYD_OK && at < out->len - 1;) {
        const ssize_t got = read(fd, out->data + at, out->len - 1 - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            status = error_set(err, MIKEYD_INVALID_ARGUMENT, "%s %s: %s", what, path,
                               got == 0 ? "changed while it was read" : strerror(errno));
            break;
        }
        at += (size_t)got;
    }
    (void)close(fd);
    return status;
}
