/* The PIN's file: who may read it is private_file_open()'s to judge; what stands in it is judged
 * here, before a token sees it, because a token locks after a few wrong PINs. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/private_file.h"
#include "pkcs11/token/internal.h"

#define PIN_FILE_MAX 512

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

/*
 * What an editor or a copy from Windows puts around a PIN, and no PIN has: without a word the token
 * would be sent it and count an attempt. NULL: nothing of it.
 */
static const char *pin_oddity(const struct secret *pin, size_t len)
{
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf};
    if (len >= sizeof mark && secret_equal(pin->data, mark, sizeof mark))
        return "begins with a byte order mark: save it as UTF-8 without one";
    if (len > 0 && pin->data[len - 1] == '\r')
        return "ends in CR LF: save it with a line end of LF alone";
    if (len > 0 && (pin->data[len - 1] == ' ' || pin->data[len - 1] == '\t'))
        return "has blanks behind the PIN: remove them";
    if (len > 0 && (pin->data[0] == ' ' || pin->data[0] == '\t'))
        return "has blanks before the PIN: remove them";
    if (len == 0 || memchr(pin->data, '\n', len) != NULL || memchr(pin->data, '\0', len) != NULL)
        return "must hold one line";
    return NULL;
}

/* One line: editors and `echo` end it with a newline that is not part of the PIN. */
static enum mikeyd_status pin_trim(struct secret *pin, const char *path, struct error *err)
{
    size_t len = pin->len;
    if (pin->data[len - 1] == '\n')
        len--;
    const char *odd = pin_oddity(pin, len);
    if (odd != NULL)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "PIN file %s %s (the token was not asked)",
                         path, odd);
    SECRET_CLEANUP struct secret whole = *pin;
    *pin = (struct secret){0};
    if (!secret_copy(pin, whole.data, len))
        return error_set(err, MIKEYD_INTERNAL, "secure heap is full");
    return MIKEYD_OK;
}

static struct pin_file_mark mark_of(const struct stat *st)
{
    return (struct pin_file_mark){.device = st->st_dev,
                                  .inode = st->st_ino,
                                  .size = st->st_size,
                                  .changed = st->st_ctim,
                                  .modified = st->st_mtim};
}

enum mikeyd_status token_pin_read(const char *path, struct secret *out, struct pin_file_mark *mark,
                                  struct error *err)
{
    struct stat st;
    int fd = -1;
    if (path == NULL || path[0] == '\0')
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "the token needs a PIN: no pin_file given");
    enum mikeyd_status status = private_file_open("PIN file", path, &fd, &st, err);
    if (status != MIKEYD_OK)
        return status;
    *mark = mark_of(&st);
    if (st.st_size <= 0 || st.st_size > PIN_FILE_MAX)
        status = error_set(err, MIKEYD_INVALID_ARGUMENT, "PIN file %s must have 1 to %d bytes",
                           path, PIN_FILE_MAX);
    if (status == MIKEYD_OK)
        status = pin_read_all(fd, path, (size_t)st.st_size, out, err);
    if (status == MIKEYD_OK)
        status = pin_trim(out, path, err);
    (void)close(fd);
    if (status != MIKEYD_OK)
        secret_clear(out);
    return status;
}

bool token_pin_file_is(const char *path, const struct pin_file_mark *mark)
{
    struct stat st;
    if (path == NULL || stat(path, &st) != 0)
        return false;
    const struct pin_file_mark now = mark_of(&st);
    return now.device == mark->device && now.inode == mark->inode && now.size == mark->size &&
           now.changed.tv_sec == mark->changed.tv_sec &&
           now.changed.tv_nsec == mark->changed.tv_nsec &&
           now.modified.tv_sec == mark->modified.tv_sec &&
           now.modified.tv_nsec == mark->modified.tv_nsec;
}
