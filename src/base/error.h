/*
 * An error: the status a program acts on and a sentence a person acts on. The first error wins;
 * text never holds a key, PIN, ticket or message body.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <mikeyd/status.h>

struct error {
    enum mikeyd_status status;
    char text[240];
};

/* Fills err (may be NULL) and returns status, so that a failing function can end in `return
 * error_set(...)`. */
enum mikeyd_status error_set(struct error *err, enum mikeyd_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " in front of the text already there: a caller names where ("policy.yaml", "token
 * mikeyd-lab"). */
void error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "REPLAY" for MIKEYD_REPLAY; "UNKNOWN_STATUS" for a number outside the enum. Never NULL. */
const char *status_name(enum mikeyd_status status);

/* The exit status of interfaces: 0 done, 2 protocol, 3 policy, 4 token, 5 unreachable, 6 internal,
 * 1 usage, 7 PIN refused (a supervisor must not try again). */
int status_exit_code(enum mikeyd_status status);

#endif
