/* The files of one log, oldest first. */
#ifndef AUDIT_VERIFY_FILES_H
#define AUDIT_VERIFY_FILES_H

#include "audit/chain.h"

#define AUDIT_FILES_MAX 4096

struct audit_files {
    char **paths;
    size_t count;
    size_t ceremony; /* from here on, the ceremony's log */
};

/*
 * Orders the given files by their first record, the daemon's log before the ceremony's (which is
 * told by its name), and adds the older ones that they name ("previous_file") and the ceremony's as
 * far as these stand in the same folder. INVALID_ARGUMENT when a given file cannot be read.
 */
enum mikeyd_status audit_files_find(const char *const *given, size_t given_count,
                                    struct audit_hasher *hasher, struct audit_files *out,
                                    struct error *err);
void audit_files_free(struct audit_files *files);

#endif
