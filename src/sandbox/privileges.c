/* Capabilities (capabilities(7)): root without them is a user who owns some files. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/internal.h"

#define SECUREBITS                                                                                 \
    (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |                               \
     SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |       \
     SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

static enum mikeyd_status fail(const char *what, struct error *err)
{
    return error_set(err, MIKEYD_INTERNAL, "%s: %s (see --no-sandbox in mikeyd(8))", what,
                     strerror(errno));
}

/*
 * Root could lock as much memory as it liked, by capability. The limit has to say so now: key
 * memory that cannot be locked is a refusal to start.
 */
static void keep_locking(void)
{
    const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    (void)setrlimit(RLIMIT_MEMLOCK, &unlimited); /* EPERM to others: their limit is configured */
}

/* Needs CAP_SETPCAP; who lacks it has no more to give up here than what capset() takes. */
static enum mikeyd_status empty_the_bounds(struct error *err)
{
    (void)prctl(PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0);
    for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0;
         capability++) {
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EPERM)
            return fail("prctl(PR_CAPBSET_DROP)", err);
    }
    return MIKEYD_OK;
}

enum mikeyd_status privileges_drop(struct error *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}, {0}};
    keep_locking();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return fail("prctl(PR_SET_NO_NEW_PRIVS)", err);
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
        return fail("prctl(PR_CAP_AMBIENT)", err);
    enum mikeyd_status status = empty_the_bounds(err);
    if (status == MIKEYD_OK && syscall(SYS_capset, &header, none) != 0)
        status = fail("capset", err);
    return status;
}
