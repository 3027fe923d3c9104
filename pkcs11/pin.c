#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pkcs11/internal.h"

#define PIN_FILE_MAX 512

/* The file must be readable by its owner alone, and the owner be this user or root. */
static enum mikeyd_status pin_file_check(int fd, const char *path, size_t *size, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return error_set(err, MIKEYD_TOKEN_DOWN, "PIN file %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "PIN file %s is not a regular file", path);
    const mode_t mode = st.st_mode & 07777;
    if (mode != 0400 && mode != 0600)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "PIN file %s has mode %04o: it must be 0400 or 0600", path,
                         (unsigned)mode);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "PIN file %s belongs to user %lu: it must be this user's or root's", path,
                         (unsigned long)st.st_uid);
    if (st.st_size <= 0 || st.st_size > PIN_FILE_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "PIN file %s must have 1 to %d bytes", path,
                         PIN_FILE_MAX);
    *size = (size_t)st.st_size;
    return MIKEYD_OK;
}

static enum mikeyd_status pin_read_all(int fd, const char *path, size_t size, struct secret *out,
                                       struct error *err)
{
    if (!secret_make(out, size))
        return error_set(err, MIKEYD_INTERNAL, "secure heap is full");
    size_t have = 0;
    while (have < size) {
        ssize_t got = read(fd, out->data + have, size - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return error_set(err, MIKEYD_TOKEN_DOWN, "PIN file %s: cannot be read", path);
        have += (size_t)got;
    }
    return MIKEYD_OK;
}

/* One line: editors and `echo` end it with a newline that is not part of the PIN. */
static enum mikeyd_status pin_trim(struct secret *pin, const char *path, struct error *err)
{
    size_t len = pin->len;
    if (pin->data[len - 1] == '\n')
        len--;
    if (len == 0 || memchr(pin->data, '\n', len) != NULL || memchr(pin->data, '\0', len) != NULL)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "PIN file %s must hold one line", path);
    SECRET_CLEANUP struct secret whole = *pin;
    *pin = (struct secret){0};
    if (!secret_copy(pin, whole.data, len))
        return error_set(err, MIKEYD_INTERNAL, "secure heap is full");
    return MIKEYD_OK;
}

enum mikeyd_status token_pin_read(const char *path, struct secret *out, struct error *err)
{
    if (path == NULL || path[0] == '\0')
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "the token needs a PIN: no pin_file given");
    /* NONBLOCK: a FIFO in its place must not stop the daemon. */
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        if (errno == ELOOP)
            return error_set(err, MIKEYD_INVALID_ARGUMENT, "PIN file %s is a symbolic link", path);
        return error_set(err, MIKEYD_TOKEN_DOWN, "PIN file %s: %s", path, strerror(errno));
    }
    size_t size = 0;
    enum mikeyd_status status = pin_file_check(fd, path, &size, err);
    if (status == MIKEYD_OK)
        status = pin_read_all(fd, path, size, out, err);
    if (status == MIKEYD_OK)
        status = pin_trim(out, path, err);
    (void)close(fd);
    if (status != MIKEYD_OK)
        secret_clear(out);
    return status;
}
