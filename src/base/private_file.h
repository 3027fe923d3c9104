/*
 * Files that hold a secret: a PIN, a key in clear. One is opened only if no other user can read it.
 *
 * That is so where mode and access control list give nobody but the owner (this user or root) and
 * this user anything: mode 0400 or 0600, or 0440 whose group bits are the mask of a list that names
 * this user alone, as systemd writes credentials. In a container (a process namespace of its own)
 * Docker and Kubernetes hand secrets over in a mount of their own and leave the mode at 0444 or
 * 0440: who is in the container is who was given the secret, so there others may read, not write.
 * Symbolic links, with which Kubernetes changes all files of a secret at once, are followed when
 * this user or root made them.
 */
#ifndef BASE_PRIVATE_FILE_H
#define BASE_PRIVATE_FILE_H

#include <sys/stat.h>

#include "base/error.h"
#include "base/secret.h"

/* what: "PIN file", for the error. *fd: to be closed by the caller. INVALID_ARGUMENT. */
enum mikeyd_status private_file_open(const char *what, const char *path, int *fd, struct stat *st,
                                     struct error *err);

/* The whole of one, of at most so many bytes, in secret memory and with a zero byte behind it (which
 * out->len counts). */
enum mikeyd_status private_file_read(const char *what, const char *path, size_t most,
                                     struct secret *out, struct error *err);

#endif
