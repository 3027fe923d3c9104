/*
 * The user that stands for all whom the kernel cannot name here: SO_PEERCRED shows every user of
 * another user namespace that is not mapped into ours as this one (user_namespaces(7)). It is
 * nobody in particular, and so entitles to nothing.
 */
#ifndef BASE_OVERFLOW_UID_H
#define BASE_OVERFLOW_UID_H

#include <sys/types.h>

/* /proc/sys/kernel/overflowuid, read once; the kernel's default where that cannot be read. */
uid_t overflow_uid(void);

#endif
