/* Files of the ceremony: keys in clear (private, into the secure heap), wrapped and public keys. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/private_file.h"
#include "base/secret.h"
#include "base/text.h"
#include "mikeyctl/key.h"

/* Hex digits of the longest key, a line end. */
#define HEX_FILE_MAX (2 * PROVISION_BITS_MAX / 8 + 2)

/* Reads to the end of the file; more than cap bytes is an error. */
static enum mikeyd_status read_to_end(int fd, const char *path, uint8_t *out, size_t cap,
                                      size_t *len, struct error *err)
{
    *len = 0;
    for (;;) {
        uint8_t beyond;
        const bool full = *len == cap;
        ssize_t got = read(fd, full ? &beyond : out + *len, full ? 1 : cap - *len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: %s", path, strerror(errno));
        if (got == 0)
            return MIKEYD_OK;
        if (full) {
            secret_wipe(&beyond, sizeof beyond);
            return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: longer than %zu bytes", path, cap);
        }
        *len += (size_t)got;
    }
}

enum mikeyd_status key_file_read_hex(const char *path, struct secret *out, struct error *err)
{
    struct secret SECRET_CLEANUP text = {0};
    size_t len = 0, bytes = 0;
    struct stat st;
    int fd = -1;
    enum mikeyd_status status = private_file_open("key file", path, &fd, &st, err);
    if (status != MIKEYD_OK)
        return status;
    if (!secret_make(&text, HEX_FILE_MAX))
        status = error_set(err, MIKEYD_INTERNAL, "secure heap exhausted");
    if (status == MIKEYD_OK)
        status = read_to_end(fd, path, text.data, text.len, &len, err);
    (void)close(fd);
    if (status != MIKEYD_OK)
        return status;
    if (len > 0 && text.data[len - 1] == '\n')
        len--;
    if (len > 0 && text.data[len - 1] == '\r')
        len--;
    if (!secret_make(out, len / 2 + 1))
        return error_set(err, MIKEYD_INTERNAL, "secure heap exhausted");
    /* The decoder's own words may quote what it read: they are not passed on. */
    if (len == 0 ||
        hex_decode((const char *)text.data, len, out->data, out->len, &bytes, NULL) != MIKEYD_OK) {
        secret_clear(out);
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: not one line of hex digits", path);
    }
    out->len = bytes; /* one byte less than the allocation: the wipe covers every byte written */
    return MIKEYD_OK;
}

enum mikeyd_status key_file_read(const char *path, uint8_t *out, size_t cap, size_t *len,
                                 struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: %s", path, strerror(errno));
    enum mikeyd_status status = read_to_end(fd, path, out, cap, len, err);
    (void)close(fd);
    return status;
}

enum mikeyd_status key_file_write(const char *path, const void *data, size_t len, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: %s", path, strerror(errno));
    const uint8_t *at = data;
    size_t left = len;
    while (left > 0) {
        ssize_t written = write(fd, at, left);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break;
        at += written;
        left -= (size_t)written;
    }
    const bool done = left == 0 && fsync(fd) == 0;
    const int why = errno;
    if (close(fd) != 0 || !done) {
        (void)unlink(path);
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: %s", path, strerror(why));
    }
    return MIKEYD_OK;
}
