#include "base/psk_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/private_file.h"
#include "base/text.h"

#define FILE_MAX ((size_t)1 << 20)

/* NULL, or what is wrong with it. */
static const char *take_key(const char *hex, size_t len, struct secret *out)
{
    if (len % 2 != 0 || len / 2 < PSK_BYTES_MIN || len / 2 > PSK_BYTES_MAX)
        return "a key has 64 to 128 hexadecimal digits (RFC 9257 6)";
    if (!secret_make(out, len / 2))
        return "out of memory";
    size_t used = 0;
    if (hex_decode(hex, len, out->data, out->len, &used, NULL) != MIKEYD_OK)
        return "the key is not hexadecimal";
    uint8_t any = 0;
    for (size_t i = 0; i < out->len; i++)
        any |= out->data[i];
    return any == 0 ? "the key is zero" : NULL;
}

/* The same as a client's name in the policy. */
static bool take_name(const char *text, size_t len, char out[PSK_NAME_MAX + 1])
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._-";
    if (len == 0 || len > PSK_NAME_MAX || strspn(text, allowed) < len)
        return false;
    memcpy(out, text, len);
    out[len] = '\0';
    return true;
}

/* RFC 9257 6 item 2: a key that two names have is a key of neither. */
static const char *check_unique(const struct psk_file *file, const struct psk_entry *entry)
{
    for (size_t i = 0; i < file->count; i++) {
        const struct psk_entry *other = &file->entries[i];
        if (strcmp(other->name, entry->name) == 0)
            return "the name stands twice";
        if (other->key.len == entry->key.len &&
            secret_equal(other->key.data, entry->key.data, entry->key.len))
            return "the key is another client's, too (RFC 9257 6)";
    }
    return NULL;
}

static const char *take_line(const char *line, size_t len, struct psk_file *out)
{
    const char *colon = memchr(line, ':', len);
    if (colon == NULL)
        return "not NAME:HEX";
    if (out->count == PSK_ENTRIES_MAX)
        return "too many clients";
    struct psk_entry entry = {{0}, {0}};
    if (!take_name(line, (size_t)(colon - line), entry.name))
        return "a name has 1 to 64 letters, digits, \".\", \"_\" or \"-\"";
    const char *wrong = take_key(colon + 1, len - (size_t)(colon + 1 - line), &entry.key);
    if (wrong == NULL)
        wrong = check_unique(out, &entry);
    if (wrong == NULL)
        out->entries[out->count++] = entry;
    else
        secret_clear(&entry.key);
    return wrong;
}

static enum mikeyd_status take_lines(const char *path, const char *text, struct psk_file *out,
                                     struct error *err)
{
    for (unsigned number = 1; *text != '\0'; number++) {
        const size_t len = strcspn(text, "\n");
        const size_t used = len != 0 && text[len - 1] == '\r' ? len - 1 : len;
        const char *wrong = used == 0 || text[0] == '#' ? NULL : take_line(text, used, out);
        if (wrong != NULL)
            return error_set(err, MIKEYD_INVALID_ARGUMENT, "PSK file %s:%u: %s", path, number,
                             wrong);
        text += len + (text[len] == '\n');
    }
    return out->count != 0 ? MIKEYD_OK
                           : error_set(err, MIKEYD_INVALID_ARGUMENT, "PSK file %s: no key", path);
}

enum mikeyd_status psk_file_load(const char *path, struct psk_file *out, struct error *err)
{
    struct secret text SECRET_CLEANUP = {0};
    *out = (struct psk_file){.entries = calloc(PSK_ENTRIES_MAX, sizeof *out->entries)};
    enum mikeyd_status status = out->entries == NULL
                                    ? error_set(err, MIKEYD_INTERNAL, "out of memory")
                                    : private_file_read("PSK file", path, FILE_MAX, &text, err);
    if (status == MIKEYD_OK)
        status = take_lines(path, (const char *)text.data, out, err);
    if (status != MIKEYD_OK)
        psk_file_clear(out);
    return status;
}

void psk_file_clear(struct psk_file *file)
{
    for (size_t i = 0; i < file->count; i++)
        secret_clear(&file->entries[i].key);
    free(file->entries);
    *file = (struct psk_file){0};
}
