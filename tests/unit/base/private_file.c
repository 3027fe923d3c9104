/* Which files nobody else can read. */
#include "base/private_file.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/posix_acl_xattr.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <criterion/criterion.h>

static char dir[] = "/tmp/mikeyd-private-XXXXXX";
static char path[64];

static void make_file(const char *name, mode_t mode)
{
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, "x\n", 2), 2);
    cr_assert_eq(fchmod(fd, mode), 0);
    cr_assert_eq(close(fd), 0);
}

static void setup(void)
{
    cr_assert_not_null(mkdtemp(dir));
}

static void teardown(void)
{
    char command[96];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(private_file, .init = setup, .fini = teardown);

static enum mikeyd_status open_it(struct error *err)
{
    struct stat st;
    int fd = -1;
    enum mikeyd_status status = private_file_open("PIN file", path, &fd, &st, err);
    if (fd >= 0)
        (void)close(fd);
    return status;
}

/* What setfacl writes: u::r, then this entry, g::group, m::r, o::- */
static void give_list(uint16_t tag, uint32_t id, uint16_t group)
{
    struct {
        struct posix_acl_xattr_header header;
        struct posix_acl_xattr_entry entry[5];
    } acl = {.header = {htole32(POSIX_ACL_XATTR_VERSION)},
             .entry = {{htole16(0x01), htole16(4), htole32(UINT32_MAX)},
                       {htole16(tag), htole16(4), htole32(id)},
                       {htole16(0x04), htole16(group), htole32(UINT32_MAX)},
                       {htole16(0x10), htole16(4), htole32(UINT32_MAX)},
                       {htole16(0x20), 0, htole32(UINT32_MAX)}}};
    if (tag == 0x08) { /* the kernel wants the group itself before groups by name */
        const struct posix_acl_xattr_entry named = acl.entry[1];
        acl.entry[1] = acl.entry[2];
        acl.entry[2] = named;
    }
    cr_assert_eq(setxattr(path, "system.posix_acl_access", &acl, sizeof acl, 0), 0);
    struct stat st;
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0440, "a list looks like 0440");
}

Test(private_file, list_that_names_this_user_alone_serves)
{
    struct error err = {0};
    make_file("pin", 0400);
    give_list(0x02, geteuid(), 0);
    cr_expect_eq(open_it(&err), MIKEYD_OK, "%s", err.text);
}

Test(private_file, list_that_names_others_is_refused)
{
    make_file("user", 0400);
    give_list(0x02, 12345, 0);
    cr_expect_eq(open_it(NULL), MIKEYD_INVALID_ARGUMENT, "another user");
    make_file("group", 0400);
    give_list(0x08, 12345, 0);
    cr_expect_eq(open_it(NULL), MIKEYD_INVALID_ARGUMENT, "a group by name");
    make_file("own-group", 0400);
    give_list(0x02, geteuid(), 4);
    cr_expect_eq(open_it(NULL), MIKEYD_INVALID_ARGUMENT, "the file's group");
}

Test(private_file, file_of_another_user_is_refused)
{
    struct error err = {0};
    if (geteuid() != 0)
        cr_skip_test("only root can give a file away");
    make_file("pin", 0400);
    cr_expect_eq(open_it(&err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(chown(path, 12345, 12345), 0);
    cr_expect_eq(open_it(&err), MIKEYD_INVALID_ARGUMENT);
    cr_expect_not_null(strstr(err.text, "12345"), "%s", err.text);
}

Test(private_file, what_is_no_file_is_refused)
{
    struct error err = {0};
    (void)snprintf(path, sizeof path, "%s/pipe", dir);
    cr_assert_eq(mkfifo(path, 0400), 0);
    cr_expect_eq(open_it(&err), MIKEYD_INVALID_ARGUMENT);
    cr_expect_not_null(strstr(err.text, "regular"), "%s", err.text);
}

Test(private_file, group_without_a_list_is_refused)
{
    struct error err = {0};
    make_file("pin", 0440);
    cr_expect_eq(open_it(&err), MIKEYD_INVALID_ARGUMENT);
    cr_expect_not_null(strstr(err.text, "0440"), "%s", err.text);
}

static bool link_from(const char *name, char link[64])
{
    (void)snprintf(link, 64, "%s/%s", dir, name);
    return symlink(path, link) == 0;
}

Test(private_file, link_of_another_user_is_refused)
{
    char link[64];
    struct error err = {0};
    if (geteuid() != 0)
        cr_skip_test("only root can give a link away");
    make_file("pin", 0400);
    cr_assert(link_from("..data", link));
    (void)snprintf(path, sizeof path, "%s", link);
    cr_expect_eq(open_it(&err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(lchown(link, 12345, 12345), 0);
    cr_expect_eq(open_it(&err), MIKEYD_INVALID_ARGUMENT);
    cr_expect_not_null(strstr(err.text, "12345"), "%s", err.text);
}

/* In a mount namespace of its own, and one of processes or not; the file on a mount of its own or
 * not: the status. */
static int in_namespaces(int namespaces, bool own_mount, mode_t mode)
{
    pid_t outer = fork();
    cr_assert_geq(outer, 0);
    if (outer == 0) {
        if (unshare(namespaces | CLONE_NEWNS) != 0 ||
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
            _exit(99);
        pid_t inner = fork();
        if (inner == 0) {
            if (own_mount && mount("none", dir, "tmpfs", 0, NULL) != 0)
                _exit(98);
            make_file("secret", mode);
            _exit((int)open_it(NULL));
        }
        int status = 0;
        (void)waitpid(inner, &status, 0);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 97);
    }
    int status = 0;
    cr_assert_eq(waitpid(outer, &status, 0), outer);
    cr_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) >= 97)
        cr_skip_test("needs the right to make namespaces");
    return WEXITSTATUS(status);
}

Test(private_file, secret_mounted_into_a_container_serves)
{
    cr_expect_eq(in_namespaces(CLONE_NEWPID, true, 0444), MIKEYD_OK);
    cr_expect_eq(in_namespaces(CLONE_NEWPID, true, 0440), MIKEYD_OK);
    cr_expect_eq(in_namespaces(CLONE_NEWPID, true, 0644), MIKEYD_OK, "Kubernetes' default");
}

Test(private_file, other_files_of_a_container_are_judged_by_their_mode)
{
    cr_expect_eq(in_namespaces(CLONE_NEWPID, false, 0444), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(in_namespaces(CLONE_NEWPID, true, 0666), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(in_namespaces(0, true, 0444), MIKEYD_INVALID_ARGUMENT, "a service of the host");
}
