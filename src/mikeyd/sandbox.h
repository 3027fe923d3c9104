/*
 * seccomp: once everything is open, the process gives up every system call that serving does not
 * need. Inherited by all threads; cannot be undone.
 */
#ifndef MIKEYD_SANDBOX_H
#define MIKEYD_SANDBOX_H

#include "base/error.h"

/*
 * INTERNAL when the kernel refuses. Calls outside the list fail with EPERM, so that a PKCS#11
 * module that tries something unusual sees an error and not a crash; starting programs, tracing
 * and changing identity kill the process: nothing honest does that here.
 */
enum mikeyd_status sandbox_enter(struct error *err);

#endif
