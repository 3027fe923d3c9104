/* A process that the monitor starts: with which descriptors, as which user. */
#ifndef MIKEYD_CHILD_H
#define MIKEYD_CHILD_H

#include <sys/types.h>

#include "base/error.h"

/* Descriptors that a child gets as 3, 4 ...: at most so many. */
#define CHILD_DESCRIPTORS_MAX 2

struct child_user {
    uid_t uid;
    gid_t gid;
    const char *name; /* NULL: as this process */
};

/* The user of that name; INVALID_ARGUMENT when there is none, or when it is root. */
enum mikeyd_status child_find_user(const char *name, struct child_user *out, struct error *err);

/*
 * Starts the program with these arguments (NULL-terminated), standard streams, and `count`
 * descriptors as 3 and up; nothing else is open in it. It dies with its parent. Signals that are
 * blocked here are not in it.
 */
enum mikeyd_status child_start(const char *program, char *const arguments[], const int *fds,
                               size_t count, const struct child_user *user, pid_t *out,
                               struct error *err);

#endif
