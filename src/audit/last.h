/* The search behind audit_last_store() and audit_last_policy(). */
#ifndef AUDIT_LAST_H
#define AUDIT_LAST_H

#include <stdbool.h>
#include <stddef.h>

#include "audit/audit.h"

struct audit_last {
    /* Takes the last one of the text, if one is in it. Text of others has its quotes escaped, so that
     * a field's name between its quotes stands nowhere else. */
    bool (*find)(const char *text, size_t len, void *out);
    void *out;
    size_t longest; /* bytes of what is looked for */
};

/* Looks into the log at path, then into the rotated one before it. OK also when it is nowhere. */
enum mikeyd_status audit_last_find(const char *path, const struct audit_last *what,
                                   struct error *err);

#endif
