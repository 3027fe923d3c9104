#include "mikeyd/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Exit status of a child that could not become the program, as of a shell. */
#define CANNOT_RUN 127
#define FIRST_FD 3

enum mikeyd_status child_find_user(const char *name, struct child_user *out, struct error *err)
{
    errno = 0;
    const struct passwd *entry = getpwnam(name);
    if (entry == NULL)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "users: there is no user %.60s%s%s", name,
                         errno == 0 ? "" : ": ", errno == 0 ? "" : strerror(errno));
    if (entry->pw_uid == 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "users: %.60s is root: name another user",
                         name);
    *out = (struct child_user){.uid = entry->pw_uid, .gid = entry->pw_gid, .name = name};
    return MIKEYD_OK;
}

/* ---- between fork and exec: system calls only */

static bool become(const struct child_user *user)
{
    if (user == NULL || user->name == NULL)
        return true;
    return initgroups(user->name, user->gid) == 0 &&
           setresgid(user->gid, user->gid, user->gid) == 0 &&
           setresuid(user->uid, user->uid, user->uid) == 0;
}

/* First out of the way of their new numbers, then onto them. */
static bool place_descriptors(const int *fds, size_t count)
{
    int moved[CHILD_DESCRIPTORS_MAX];
    for (size_t i = 0; i < count; i++) {
        moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FIRST_FD + (int)count);
        if (moved[i] < 0)
            return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (dup2(moved[i], FIRST_FD + (int)i) < 0)
            return false;
    }
    return close_range((unsigned)FIRST_FD + (unsigned)count, ~0U, 0) == 0;
}

static void run(const char *program, char *const arguments[], const int *fds, size_t count,
                const struct child_user *user, pid_t parent)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (!place_descriptors(fds, count) || !become(user))
        _exit(CANNOT_RUN);
    /* After the change of user, which clears it. The parent may be gone already. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(CANNOT_RUN);
    (void)execv(program, arguments);
    _exit(CANNOT_RUN);
}

enum mikeyd_status child_start(const char *program, char *const arguments[], const int *fds,
                               size_t count, const struct child_user *user, pid_t *out,
                               struct error *err)
{
    const pid_t parent = getpid();
    if (count > CHILD_DESCRIPTORS_MAX)
        return error_set(err, MIKEYD_INTERNAL, "%zu descriptors for a child", count);
    const pid_t pid = fork();
    if (pid < 0)
        return error_set(err, MIKEYD_INTERNAL, "fork: %s", strerror(errno));
    if (pid == 0)
        run(program, arguments, fds, count, user, parent);
    *out = pid;
    return MIKEYD_OK;
}
