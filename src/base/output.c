#include "base/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/visible.h"

void output_hold_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) != -1 || errno != EBADF)
            continue;
        /* The lowest free number is this one. Opened the wrong way round: reading from a closed
         * input and writing to a closed output stay errors. */
        (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
}

/* What the C library writes to, and the beginning of a character that is not whole yet. */
struct output {
    int fd;
    uint8_t pending[4];
    size_t pending_len;
    int reason; /* of the first failure; 0: none */
};

static struct output standard_output = {.fd = STDOUT_FILENO},
                     standard_error = {.fd = STDERR_FILENO};

static bool write_all(struct output *output, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(output->fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (output->reason == 0)
                output->reason = n < 0 ? errno : EIO;
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* Bytes that begin a character of UTF-8 and end before it does. */
static bool is_unfinished(const uint8_t *bytes, size_t len)
{
    const uint8_t first = bytes[0];
    const size_t need = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 1;
    if (first > 0xf4 || len >= need)
        return false;
    for (size_t i = 1; i < len; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return false;
    }
    return true;
}

static bool put(struct output *output, const uint8_t *bytes, size_t len, bool last)
{
    char out[1024];
    size_t filled = 0;
    for (size_t at = 0; at < len;) {
        char form[VISIBLE_STEP];
        size_t form_len = 1, used = 1;
        if (!last && is_unfinished(bytes + at, len - at)) {
            output->pending_len = len - at;
            memcpy(output->pending, bytes + at, output->pending_len);
            break;
        }
        if (bytes[at] == '\n' || bytes[at] == '\t')
            form[0] = (char)bytes[at];
        else
            used = visible_step(bytes + at, len - at, form, &form_len);
        if (filled + form_len > sizeof out) {
            if (!write_all(output, out, filled))
                return false;
            filled = 0;
        }
        memcpy(out + filled, form, form_len);
        filled += form_len;
        at += used;
    }
    return write_all(output, out, filled);
}

static ssize_t put_through(void *cookie, const char *data, size_t len)
{
    struct output *output = cookie;
    const uint8_t *bytes = (const uint8_t *)data;
    size_t left = len;
    /* The character begun last time, byte by byte until it is whole or none. */
    while (output->pending_len > 0 && left > 0) {
        uint8_t joined[sizeof output->pending + 1];
        const size_t have = output->pending_len;
        memcpy(joined, output->pending, have);
        joined[have] = *bytes++;
        left--;
        output->pending_len = 0;
        if (!put(output, joined, have + 1, false))
            return 0;
    }
    return put(output, bytes, left, false) ? (ssize_t)len : 0;
}

static FILE *stream_of(struct output *output)
{
    const cookie_io_functions_t functions = {.write = put_through};
    FILE *stream = fopencookie(output, "w", functions);
    if (stream != NULL)
        (void)setvbuf(stream, NULL, isatty(output->fd) == 1 ? _IOLBF : _IOFBF, 0);
    return stream;
}

void output_make_visible(void)
{
    FILE *out = stream_of(&standard_output), *error = stream_of(&standard_error);
    if (out != NULL)
        stdout = out;
    if (error != NULL) {
        (void)setvbuf(error, NULL, _IOLBF, 0);
        stderr = error;
    }
}

void output_failed(int reason)
{
    if (standard_output.reason == 0)
        standard_output.reason = reason;
}

enum mikeyd_status output_finish(struct error *err)
{
    errno = 0;
    const bool flushed = fflush(stdout) == 0 && ferror(stdout) == 0;
    if (standard_output.pending_len > 0) {
        const size_t len = standard_output.pending_len;
        standard_output.pending_len = 0;
        (void)put(&standard_output, standard_output.pending, len, true);
    }
    if (!flushed)
        output_failed(errno != 0 ? errno : EIO);
    if (standard_output.reason == 0)
        return MIKEYD_OK;
    return error_set(err, MIKEYD_INTERNAL, "standard output: %s", strerror(standard_output.reason));
}
