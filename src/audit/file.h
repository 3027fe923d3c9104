/*
 * The log's file: appended to, cut back to its last durable byte after a failure; and the lock file
 * beside it, PATH.lock, which only its writer can open: a lock on the log itself could be had by
 * everybody who may read it. Used by the committer thread only (and by open, before that thread
 * runs).
 */
#ifndef AUDIT_FILE_H
#define AUDIT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct audit_file {
    int fd;           /* -1: closed */
    uint64_t written; /* bytes handed to the kernel */
    uint64_t durable; /* bytes that fdatasync confirmed */
};

#define AUDIT_FILE_CLOSED ((struct audit_file){-1, 0, 0})

/* Takes the lock of the log at path; it goes with the descriptor. AUDIT_DOWN when another process
 * has it. */
enum mikeyd_status audit_file_lock(const char *path, int *out, struct error *err);
/* True when a writer holds that lock; false also when this user cannot see it. Takes no lock. */
bool audit_file_has_writer(const char *path);

/*
 * Opens or creates (0640) a regular file. AUDIT_DOWN with the reason. A new file's name is durable
 * on return; made by root, it belongs to the owner of its folder.
 */
enum mikeyd_status audit_file_open(const char *path, struct audit_file *out, struct error *err);
void audit_file_close(struct audit_file *file);
enum mikeyd_status audit_file_append(struct audit_file *file, const void *data, size_t len,
                                     struct error *err);
/* One fdatasync; then everything written is durable. Fails when the file has been deleted. */
enum mikeyd_status audit_file_sync(struct audit_file *file, struct error *err);
/* Cuts the file to len bytes, durably. Never makes it longer: AUDIT_DOWN when it is shorter. */
enum mikeyd_status audit_file_cut(struct audit_file *file, uint64_t len, struct error *err);
/* True when path names the open file. */
bool audit_file_is_at(const struct audit_file *file, const char *path);
/* Makes renames and creations in path's folder durable. */
enum mikeyd_status audit_file_sync_folder(const char *path, struct error *err);

#endif
