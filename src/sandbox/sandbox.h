/*
 * What a process gives up for good, in two steps. sandbox_begin() comes before the first thread,
 * file and module: no capability, no new privileges, and with Landlock (landlock(7)) no file,
 * folder or port but those of its profile. sandbox_enter() comes when everything is open: no system
 * call that serving does not need (seccomp), and no code but what is loaded. Both hold for every
 * thread and cannot be undone. Built with sanitizers, neither does anything: never for service.
 */
#ifndef SANDBOX_SANDBOX_H
#define SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * One kind of process. Paths are files, or folders with all beneath; one that does not exist is
 * left out, for whoever opens it to tell. All memory is the caller's; needed during the calls only.
 */
struct sandbox_profile {
    const char *const *readable;
    size_t readable_count;
    const char *const *writable; /* read, written, made and removed */
    size_t writable_count;
    const uint16_t *bind_ports; /* TCP; 0 is the kernel's choice */
    size_t bind_count;
    const uint16_t *connect_ports; /* TCP; none: no new Internet socket at all */
    size_t connect_count;
    /* Someone else's PKCS#11 module lives here: the system's folders can be read (not /proc, /sys,
     * /home, /root and /boot), devices used, and the calls that modules make are allowed. */
    bool module;
    bool late_code; /* files can be mapped as code while serving */
};

/* What became of Landlock, which a kernel may lack: the one layer that is done without then. */
struct sandbox_report {
    int landlock_abi;  /* 0: none */
    char landlock[64]; /* for people: "Landlock 7: files, ports", or why it is missing */
};

/*
 * Call in the only thread. The descriptors that are open already stay usable. INTERNAL when
 * something is refused; a kernel without Landlock is no failure but said in *report.
 */
enum mikeyd_status sandbox_begin(const struct sandbox_profile *profile,
                                 struct sandbox_report *report, struct error *err);

/*
 * INTERNAL when the kernel refuses. Calls outside the list fail with EPERM, so that a PKCS#11
 * module that tries something unusual sees an error and not a crash; starting programs, tracing
 * and changing identity kill the process: nothing honest does that here.
 */
enum mikeyd_status sandbox_enter(const struct sandbox_profile *profile, struct error *err);

#endif
