/* What the sandbox lets through and what it does not, seen from inside. */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/sandbox.h"

#ifndef MIKEYD_SANITIZED /* whose runtime cannot live in it */

static char own[64], foreign[64];

static void make_folders(void)
{
    (void)snprintf(own, sizeof own, "/tmp/mikeyd-sandbox-XXXXXX");
    (void)snprintf(foreign, sizeof foreign, "/tmp/mikeyd-foreign-XXXXXX");
    cr_assert_not_null(mkdtemp(own));
    cr_assert_not_null(mkdtemp(foreign));
}

static void remove_folder(const char *folder)
{
    pid_t child = fork();
    if (child == 0) {
        (void)execlp("rm", "rm", "-rf", folder, (char *)NULL);
        _exit(127);
    }
    (void)waitpid(child, NULL, 0);
}

static void remove_folders(void)
{
    remove_folder(own);
    remove_folder(foreign);
}

TestSuite(sandbox, .init = make_folders, .fini = remove_folders);

static const char *const own_path[] = {own};

static struct sandbox_profile module_profile(void)
{
    return (struct sandbox_profile){.writable = own_path, .writable_count = 1, .module = true};
}

static struct sandbox_profile bare_profile(void)
{
    return (struct sandbox_profile){.writable = own_path, .writable_count = 1};
}

/* In a process of its own: how it ended. */
static int inside(struct sandbox_profile profile, int (*work)(void))
{
    int status = -1;
    pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        struct error err = {0};
        struct sandbox_report report;
        bool in = sandbox_begin(&profile, &report, &err) == MIKEYD_OK &&
                  sandbox_enter(&profile, &err) == MIKEYD_OK;
        _exit(in ? work() : 99);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    return status;
}

static void expect_inside(struct sandbox_profile profile, int (*work)(void))
{
    int status = inside(profile, work);
    cr_assert(WIFEXITED(status), "signal %d", WTERMSIG(status));
    cr_assert_eq(WEXITSTATUS(status), 0, "step %d", WEXITSTATUS(status));
}

static bool landlock(int version)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= version;
}

static void need_landlock(int version)
{
    if (!landlock(version))
        cr_skip_test("this kernel's Landlock is older");
}

static bool refused(long result, int error)
{
    return result == -1 && errno == error;
}

static const char *in_folder(const char *folder, const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* ---- code */

static const uint8_t code[4096] = {0xc3}; /* ret */

static int run_written_code(void)
{
    int fd = open(in_folder(own, "code"), O_RDWR | O_CREAT, 0700);
    if (fd < 0 || write(fd, code, sizeof code) != (ssize_t)sizeof code)
        return 1;
    void *at = mmap(NULL, sizeof code, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    return at == MAP_FAILED && errno == EPERM ? 0 : 2;
}

Test(sandbox, code_written_to_a_file_does_not_run)
{
    expect_inside(module_profile(), run_written_code);
}

static int make_memory_executable(void)
{
    void *both =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (both != MAP_FAILED || errno != EPERM)
        return 1;
    void *data = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        return 2;
    return refused(mprotect(data, 4096, PROT_READ | PROT_EXEC), EPERM) ? 0 : 3;
}

Test(sandbox, memory_is_never_made_executable)
{
    struct sandbox_profile late = module_profile();
    late.late_code = true;
    expect_inside(module_profile(), make_memory_executable);
    expect_inside(late, make_memory_executable);
}

static int map_late(void)
{
    int fd = open("/bin/true", O_RDONLY);
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED ? 1 : 0;
}

Test(sandbox, late_code_is_mapped_where_the_profile_says_so)
{
    struct sandbox_profile late = module_profile();
    late.late_code = true;
    expect_inside(late, map_late);
    cr_assert_neq(inside(module_profile(), map_late), 0);
}

static void *library;

static int load_again(void)
{
    if (dlclose(library) != 0)
        return 1;
    return dlopen("libsoftokn3.so", RTLD_NOW | RTLD_LOCAL) != NULL ? 0 : 2;
}

Test(sandbox, library_that_is_unloaded_can_be_loaded_again)
{
    library = dlopen("libsoftokn3.so", RTLD_NOW | RTLD_LOCAL);
    cr_assert_not_null(library, "%s", dlerror());
    expect_inside(module_profile(), load_again);
}

static int run_a_program(void)
{
    char name[] = "true";
    char *argv[] = {name, NULL};
    (void)execv("/bin/true", argv);
    return 1;
}

Test(sandbox, running_a_program_ends_the_process)
{
    int status = inside(module_profile(), run_a_program);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%d", status);
}

/* ---- files */

static int reach_own_memory(void)
{
    return refused(open("/proc/self/mem", O_RDWR), EACCES) &&
                   refused(open("/proc/self/maps", O_RDONLY), EACCES) &&
                   open("/proc/meminfo", O_RDONLY) >= 0
               ? 0
               : 1;
}

Test(sandbox, process_memory_is_no_file)
{
    need_landlock(1);
    expect_inside(module_profile(), reach_own_memory);
}

static int reach_files(void)
{
    if (open(in_folder(own, "new"), O_WRONLY | O_CREAT | O_EXCL, 0600) < 0 ||
        rename(in_folder(own, "new"), in_folder(own, "new")) != 0 ||
        unlink(in_folder(own, "new")) != 0)
        return 1;
    if (!refused(open(in_folder(foreign, "new"), O_WRONLY | O_CREAT, 0600), EACCES))
        return 2;
    if (!refused(unlink(in_folder(foreign, "there")), EACCES))
        return 3;
    if (!refused(open(in_folder(foreign, "there"), O_WRONLY), EACCES) ||
        !refused(open(in_folder(foreign, "there"), O_RDONLY | O_TRUNC), EACCES))
        return 4;
    return refused(open("/root", O_RDONLY | O_DIRECTORY), EACCES) ? 0 : 5;
}

static void make_foreign_file(void)
{
    int fd = open(in_folder(foreign, "there"), O_WRONLY | O_CREAT, 0644);
    cr_assert(fd >= 0);
    (void)close(fd);
}

Test(sandbox, files_are_made_in_own_folders_only)
{
    need_landlock(3);
    make_foreign_file();
    expect_inside(module_profile(), reach_files);
    cr_assert_eq(access(in_folder(foreign, "there"), F_OK), 0);
}

static int read_anything_else(void)
{
    return open(own, O_RDONLY | O_DIRECTORY) >= 0 &&
                   refused(open("/etc/passwd", O_RDONLY), EACCES) &&
                   refused(open(in_folder(foreign, "there"), O_RDONLY), EACCES) &&
                   refused(mkdir(in_folder(own, "folder"), 0700), EPERM)
               ? 0
               : 1;
}

Test(sandbox, process_without_a_module_reads_its_own_folders_only)
{
    need_landlock(1);
    make_foreign_file();
    expect_inside(bare_profile(), read_anything_else);
}

static int make_setuid_files(void)
{
    int fd = open(in_folder(own, "file"), O_RDWR | O_CREAT, 0644);
    if (fd < 0 || fchmod(fd, 0640) != 0)
        return 1;
    if (!refused(fchmod(fd, 04755), EPERM) || !refused(fchmod(fd, 02755), EPERM))
        return 2;
    if (!refused(open(in_folder(own, "new"), O_WRONLY | O_CREAT, 04755), EPERM) ||
        !refused(open(own, O_WRONLY | O_TMPFILE, 04755), EPERM) ||
        !refused(creat(in_folder(own, "new"), 04755), EPERM) ||
        !refused(syscall(SYS_open, in_folder(own, "new"), O_WRONLY | O_CREAT, 04755), EPERM))
        return 3;
    /* Where no file is made, what stands in the place of the mode means nothing. */
    if (syscall(SYS_openat, AT_FDCWD, in_folder(own, "file"), O_RDONLY, 04755) < 0)
        return 4;
    return refused(chmod(in_folder(own, "file"), 0777), EPERM) ? 0 : 5;
}

Test(sandbox, no_file_runs_as_its_owner)
{
    expect_inside(module_profile(), make_setuid_files);
}

/* ---- network */

static struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static int make_sockets(void)
{
    const int families[] = {AF_INET, AF_INET6, AF_NETLINK, AF_PACKET};
    for (int i = 0; i < 4; i++) {
        if (!refused(socket(families[i], SOCK_DGRAM, 0), EPERM))
            return i + 1;
    }
    return socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ? 0 : 5;
}

Test(sandbox, no_internet_socket_without_a_network_hsm)
{
    expect_inside(module_profile(), make_sockets);
}

/* Listening sockets outside; their ports. */
static uint16_t listen_here(void)
{
    struct sockaddr_in address = loopback(0);
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(fd, 4), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin_port);
}

static uint16_t hsm_port, other_port;

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return connect(fd, (struct sockaddr *)&address, sizeof address);
}

static int connect_both(void)
{
    if (connect_to(hsm_port) != 0)
        return 1;
    if (!refused(connect_to(other_port), EACCES))
        return 2;
    if (!refused(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), EPERM))
        return 3;
    struct sockaddr_in address = loopback(0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return refused(bind(fd, (struct sockaddr *)&address, sizeof address), EACCES) ? 0 : 4;
}

Test(sandbox, connects_to_the_ports_of_the_hsm_only)
{
    need_landlock(4);
    hsm_port = listen_here();
    other_port = listen_here();
    struct sandbox_profile profile = module_profile();
    profile.connect_ports = &hsm_port;
    profile.connect_count = 1;
    expect_inside(profile, connect_both);
}

static int outer_fd = -1;

/* A descriptor from before, disconnected and pointed elsewhere. */
static int redirect_old_socket(void)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    struct sockaddr_in address = loopback(other_port);
    if (connect(outer_fd, &none, sizeof none) != 0)
        return 1;
    return refused(connect(outer_fd, (struct sockaddr *)&address, sizeof address), EACCES) ? 0 : 2;
}

Test(sandbox, old_connection_does_not_lead_elsewhere)
{
    need_landlock(4);
    hsm_port = listen_here();
    other_port = listen_here();
    struct sockaddr_in address = loopback(hsm_port);
    outer_fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(outer_fd, (struct sockaddr *)&address, sizeof address), 0);
    expect_inside(module_profile(), redirect_old_socket);
}

static int reach_abstract_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "%s", foreign);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return refused(connect(fd, (struct sockaddr *)&address, sizeof address), EPERM) ? 0 : 1;
}

Test(sandbox, abstract_sockets_of_others_are_out_of_reach)
{
    need_landlock(6);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "%s", foreign);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(fd, 1), 0);
    expect_inside(module_profile(), reach_abstract_socket);
}

static int send_as_the_resolver(void)
{
    char byte = 1;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    /* Not connected: refused by the socket, not by the sandbox. */
    return fd >= 0 && refused(sendmmsg(fd, &message, 1, 0), ENOTCONN) ? 0 : 1;
}

Test(sandbox, names_of_network_hsms_can_be_resolved)
{
    struct sandbox_profile profile = module_profile();
    profile.connect_ports = &hsm_port;
    profile.connect_count = 1;
    expect_inside(profile, send_as_the_resolver);
}

/* ---- the process */

static int have_no_privilege(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{1, 1, 1}, {1, 1, 1}};
    struct sandbox_report report;
    struct error err;
    const struct sandbox_profile profile = module_profile();
    if (sandbox_begin(&profile, &report, &err) != MIKEYD_OK)
        return 1;
    if (syscall(SYS_capget, &header, data) != 0)
        return 2;
    for (int i = 0; i < 2; i++) {
        if ((data[i].effective | data[i].permitted | data[i].inheritable) != 0)
            return 3;
    }
    for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++) {
        if (geteuid() == 0 && prctl(PR_CAPBSET_READ, i, 0, 0, 0) != 0)
            return 4;
    }
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 5;
    /* A program started by root has all of them again, without the locked securebit. */
    return geteuid() != 0 || (prctl(PR_GET_SECUREBITS) & 3) == 3 ? 0 : 6;
}

Test(sandbox, root_keeps_no_capability)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        _exit(have_no_privilege());
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0, "step %d", WEXITSTATUS(status));
}

static int read_and_set_a_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1;
    return refused(setrlimit(RLIMIT_NOFILE, &limit), EPERM) ? 0 : 2;
}

Test(sandbox, limits_can_be_read_but_not_set)
{
    expect_inside(module_profile(), read_and_set_a_limit);
}

static int signal_another(void)
{
    return refused(syscall(SYS_tgkill, getppid(), getppid(), 0), EPERM) &&
                   syscall(SYS_tgkill, getpid(), getpid(), 0) == 0
               ? 0
               : 1;
}

Test(sandbox, signals_reach_this_process_only)
{
    expect_inside(module_profile(), signal_another);
}

static void *make_a_socket(void *result)
{
    *(bool *)result = refused(socket(AF_INET, SOCK_STREAM, 0), EPERM);
    return NULL;
}

static int started_thread_is_in_it(void)
{
    pthread_t thread;
    bool held = false;
    if (pthread_create(&thread, NULL, make_a_socket, &held) != 0 || pthread_join(thread, NULL) != 0)
        return 1;
    return held ? 0 : 2;
}

Test(sandbox, threads_can_be_started_and_are_in_it)
{
    expect_inside(module_profile(), started_thread_is_in_it);
}

/* ---- a kernel that lacks a layer */

static int begin_without_landlock(int error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (filter == NULL ||
        seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint32_t)error), SYS_landlock_create_ruleset, 0) !=
            0 ||
        seccomp_load(filter) != 0)
        return 1;
    struct sandbox_report report;
    struct error err = {0};
    const struct sandbox_profile profile = module_profile();
    if (sandbox_begin(&profile, &report, &err) != MIKEYD_OK)
        return 2;
    if (report.landlock_abi != 0 || strstr(report.landlock, "missing: ") != report.landlock)
        return 3;
    /* The other layers hold. */
    if (sandbox_enter(&profile, &err) != MIKEYD_OK)
        return 4;
    return make_sockets() + signal_another();
}

Test(sandbox, kernel_without_landlock_is_told_and_served)
{
    const int errors[] = {ENOSYS, EOPNOTSUPP};
    for (int i = 0; i < 2; i++) {
        int status = -1;
        pid_t child = fork();
        if (child == 0)
            _exit(begin_without_landlock(errors[i]));
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert_eq(status, 0, "step %d", WEXITSTATUS(status));
    }
}

static int begin_when_rules_fail(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (filter == NULL ||
        seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SYS_landlock_restrict_self, 0) != 0 ||
        seccomp_load(filter) != 0)
        return 1;
    struct sandbox_report report;
    struct error err = {0};
    const struct sandbox_profile profile = module_profile();
    return sandbox_begin(&profile, &report, &err) == MIKEYD_INTERNAL &&
                   strstr(err.text, "Landlock") != NULL
               ? 0
               : 2;
}

Test(sandbox, landlock_that_fails_is_a_refusal)
{
    need_landlock(1);
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        _exit(begin_when_rules_fail());
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0, "step %d", WEXITSTATUS(status));
}

#endif
