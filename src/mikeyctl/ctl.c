#include "mikeyctl/ctl.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/output.h"
#include "base/secret.h"
#include "base/text.h"
#include "base/visible.h"
#include "mikey/sdp.h"

/* No message, ticket or key file of ours is longer. */
#define FILE_MAX ((size_t)1 << 20)

/* ---- JSON memory: each block remembers its size, so that it can be wiped ---- */

union json_block {
    size_t size;
    max_align_t alignment;
};

static void *json_block_alloc(size_t size)
{
    if (size > SIZE_MAX - sizeof(union json_block))
        return NULL;
    union json_block *block = malloc(sizeof *block + size);
    if (block == NULL)
        return NULL;
    block->size = size;
    return block + 1;
}

static void json_block_free(void *memory)
{
    if (memory == NULL)
        return;
    union json_block *block = (union json_block *)memory - 1;
    secret_wipe(memory, block->size);
    free(block);
}

void ctl_wipe_json_memory(void)
{
    json_set_alloc_funcs(json_block_alloc, json_block_free);
}

/* ---- output ---- */

static bool write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t written = write(fd, text, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        text += written;
        len -= (size_t)written;
    }
    return true;
}

int ctl_print(json_t *object)
{
    /* Not through stdio, whose buffer would keep the keys. */
    char *text = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(object);
    if (text == NULL) {
        (void)fprintf(stderr, "mikeyctl: out of memory\n");
        return status_exit_code(MIKEYD_INTERNAL);
    }
    (void)fflush(stdout);
    bool written =
        write_all(STDOUT_FILENO, text, strlen(text)) && write_all(STDOUT_FILENO, "\n", 1);
    json_malloc_t allocate;
    json_free_t release;
    json_get_alloc_funcs(&allocate, &release);
    release(text);
    if (!written)
        output_failed(errno);
    return written ? 0 : status_exit_code(MIKEYD_INTERNAL);
}

/* A message is one line, whatever stands in it. */
static const char *one_line(const struct error *err, char out[VISIBLE_SIZE(sizeof err->text)])
{
    (void)visible_text(err->text, strnlen(err->text, sizeof err->text), out,
                       VISIBLE_SIZE(sizeof err->text));
    return out;
}

int ctl_fail(bool as_json, const struct error *err)
{
    char line[VISIBLE_SIZE(sizeof err->text)];
    if (as_json) {
        (void)ctl_print(json_pack("{s:{s:s, s:s}}", "error", "code", status_name(err->status),
                                  "message", err->text));
    } else {
        (void)fprintf(stderr, "mikeyctl: %s (%s)\n", one_line(err, line), status_name(err->status));
    }
    return status_exit_code(err->status);
}

static bool errors_as_json;

void ctl_errors_as_json(void)
{
    errors_as_json = true;
}

int ctl_usage(const char *synopsis, const char *format, ...)
{
    struct error err = {.status = MIKEYD_INVALID_ARGUMENT};
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err.text, sizeof err.text, format, args);
    va_end(args);
    if (errors_as_json)
        (void)ctl_fail(true, &err);
    char line[VISIBLE_SIZE(sizeof err.text)];
    (void)fprintf(stderr, "mikeyctl: %s\nusage: %s\n", one_line(&err, line), synopsis);
    return status_exit_code(err.status);
}

/* ---- arguments ---- */

static enum mikeyd_status read_stream(int fd, const char *name, char **text, size_t *len,
                                      struct error *err)
{
    size_t used = 0, capacity = 4096;
    char *buffer = malloc(capacity + 1);
    while (buffer != NULL) {
        ssize_t got = read(fd, buffer + used, capacity - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(buffer);
            return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: %s", name, strerror(errno));
        }
        if (got == 0) {
            buffer[used] = '\0';
            *text = buffer;
            *len = used;
            return MIKEYD_OK;
        }
        used += (size_t)got;
        if (used < capacity)
            continue;
        if (capacity >= FILE_MAX) {
            free(buffer);
            return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: longer than %zu bytes", name,
                             FILE_MAX);
        }
        capacity *= 2;
        char *larger = realloc(buffer, capacity + 1);
        if (larger == NULL)
            free(buffer);
        buffer = larger;
    }
    return error_set(err, MIKEYD_INTERNAL, "out of memory");
}

/* The bytes of "@FILE" or "@-", untouched. */
static enum mikeyd_status read_argument_file(const char *path, char **text, size_t *len,
                                             struct error *err)
{
    if (strcmp(path, "-") == 0)
        return read_stream(STDIN_FILENO, "stdin", text, len, err);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: %s", path, strerror(errno));
    enum mikeyd_status status = read_stream(fd, path, text, len, err);
    (void)close(fd);
    return status;
}

static enum mikeyd_status read_argument(const char *argument, char **text, size_t *len,
                                        struct error *err)
{
    if (argument[0] == '@') {
        enum mikeyd_status status = read_argument_file(argument + 1, text, len, err);
        if (status != MIKEYD_OK)
            return status;
        if (*len > 0 && (*text)[*len - 1] == '\n')
            (*len)--;
        if (*len > 0 && (*text)[*len - 1] == '\r')
            (*len)--;
        (*text)[*len] = '\0';
        return MIKEYD_OK;
    }
    *text = strdup(argument);
    if (*text == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    *len = strlen(*text);
    return MIKEYD_OK;
}

enum mikeyd_status ctl_argument_text(const char *argument, char **text, size_t *len,
                                     struct error *err)
{
    enum mikeyd_status status = read_argument(argument, text, len, err);
    if (status != MIKEYD_OK || *len != 0)
        return status;
    free(*text);
    *text = NULL;
    return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: empty",
                     argument[0] == '@' ? argument : "argument");
}

static bool is_even_hex(const char *text, size_t len)
{
    if (len == 0 || len % 2 != 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isxdigit((unsigned char)text[i]))
            return false;
    }
    return true;
}

/* RFC 3830 6.1: a message begins with version 1, in base64 "AQ" to "Af", which may be all hex
 * digits; as hexadecimal such a text would begin with another version. */
static bool reads_as_mikey_base64(const char *text, size_t len)
{
    return len >= 4 && text[0] == 'A' && text[1] >= 'Q' && text[1] <= 'f' && len % 4 == 0;
}

bool ctl_is_hexadecimal(const char *text, size_t len)
{
    return is_even_hex(text, len) && !reads_as_mikey_base64(text, len);
}

enum mikeyd_status ctl_decode_hexadecimal(const char *text, size_t len, uint8_t **bytes,
                                          size_t *bytes_len, struct error *err)
{
    *bytes = malloc(len);
    if (*bytes == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    return hex_decode(text, len, *bytes, len, bytes_len, err);
}

/* Decoding never lengthens. */
static enum mikeyd_status decode_text(const char *text, size_t len, uint8_t **bytes,
                                      size_t *bytes_len, struct error *err)
{
    if (ctl_is_hexadecimal(text, len))
        return ctl_decode_hexadecimal(text, len, bytes, bytes_len, err);
    *bytes = malloc(len);
    if (*bytes == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    return mikey_sdp_parse(text, len, *bytes, len, bytes_len, err);
}

enum mikeyd_status ctl_argument_bytes(const char *argument, uint8_t **bytes, size_t *len,
                                      struct error *err)
{
    char *text = NULL;
    size_t text_len = 0;
    enum mikeyd_status status = ctl_argument_text(argument, &text, &text_len, err);
    if (status != MIKEYD_OK)
        return status;
    uint8_t *out = NULL;
    status = decode_text(text, text_len, &out, len, err);
    free(text);
    if (status != MIKEYD_OK) {
        free(out);
        return status;
    }
    *bytes = out;
    return MIKEYD_OK;
}
