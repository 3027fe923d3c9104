/* The layers of the sandbox, each by itself. */
#ifndef SANDBOX_INTERNAL_H
#define SANDBOX_INTERNAL_H

#include "sandbox/sandbox.h"

/* Gives up every capability, for this thread and all that it starts, and the way back to them:
 * no_new_privs, bounding set, securebits. What cannot be given up is an error. */
enum mikeyd_status privileges_drop(struct error *err);
/* Confines this thread and all that it starts to the profile's files and ports. */
enum mikeyd_status landlock_confine(const struct sandbox_profile *profile,
                                    struct sandbox_report *report, struct error *err);
/* Confines all threads to the system calls of the profile. */
enum mikeyd_status seccomp_confine(const struct sandbox_profile *profile, struct error *err);

#endif
