#include "audit/tail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.h"

static enum mikeyd_status read_at(int fd, char *buffer, size_t len, uint64_t from,
                                  struct error *err)
{
    size_t at = 0;
    while (at < len) {
        ssize_t n = pread(fd, buffer + at, len - at, (off_t)(from + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_set(err, MIKEYD_AUDIT_DOWN, "audit log: read: %s",
                             n < 0 ? strerror(errno) : "file became shorter");
        at += (size_t)n;
    }
    return MIKEYD_OK;
}

/* The walk over the lines of the part that was read. */
struct walk {
    const char *text;
    size_t len;
    size_t at;       /* next line */
    bool has_before; /* `chain` holds a record that the next must follow */
    struct audit_chain chain;
};

/* One line is right by itself and follows the one before. */
static enum mikeyd_status walk_line(struct walk *walk, size_t line_len, struct audit_hasher *hasher,
                                    struct error *err)
{
    struct audit_sealed sealed;
    enum mikeyd_status status =
        audit_chain_read(hasher, walk->text + walk->at, line_len, &sealed, err);
    if (status != MIKEYD_OK)
        return status;
    if (!sealed.intact)
        return error_set(err, MIKEYD_SYNTAX, "record %" PRIu64 " was changed", sealed.sequence);
    if (walk->has_before && (!secret_equal(sealed.prev, walk->chain.hash, AUDIT_HASH_LEN) ||
                             sealed.sequence <= walk->chain.sequence))
        return error_set(err, MIKEYD_SYNTAX, "record %" PRIu64 " does not follow record %" PRIu64,
                         sealed.sequence, walk->chain.sequence);
    walk->has_before = true;
    walk->chain.sequence = sealed.sequence;
    memcpy(walk->chain.hash, sealed.hash, AUDIT_HASH_LEN);
    return MIKEYD_OK;
}

/* Stops at the first line without end or with a NUL: what a crash leaves, and JSON never has. */
static enum mikeyd_status walk_lines(struct walk *walk, struct audit_hasher *hasher,
                                     struct error *err)
{
    while (walk->at < walk->len) {
        const char *line = walk->text + walk->at;
        const char *end = memchr(line, '\n', walk->len - walk->at);
        if (end == NULL || memchr(line, '\0', (size_t)(end - line)) != NULL)
            break;
        enum mikeyd_status status = walk_line(walk, (size_t)(end - line), hasher, err);
        if (status != MIKEYD_OK)
            return status;
        walk->at += (size_t)(end - line) + 1;
    }
    return MIKEYD_OK;
}

enum mikeyd_status audit_tail_read(int fd, uint64_t size, struct audit_hasher *hasher,
                                   struct audit_tail *out, struct error *err)
{
    memset(out, 0, sizeof *out);
    if (size == 0)
        return MIKEYD_OK;
    uint64_t from = size > AUDIT_TAIL_BYTES ? size - AUDIT_TAIL_BYTES : 0;
    struct walk walk = {.len = (size_t)(size - from)};
    char *text = malloc(walk.len);
    if (text == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    walk.text = text;
    enum mikeyd_status status = read_at(fd, text, walk.len, from, err);
    if (status == MIKEYD_OK && from != 0) {
        /* The part begins in the middle of a line. */
        const char *end = memchr(text, '\n', walk.len);
        walk.at = end == NULL ? walk.len : (size_t)(end - text) + 1;
    }
    if (status == MIKEYD_OK)
        status = walk_lines(&walk, hasher, err);
    if (status == MIKEYD_OK && from != 0 && !walk.has_before)
        status = error_set(err, MIKEYD_SYNTAX, "no record in the last %u bytes", AUDIT_TAIL_BYTES);
    if (status == MIKEYD_OK) {
        out->chain = walk.chain;
        out->complete = from + walk.at;
        out->cut_bytes = size - out->complete;
        status = audit_hash(hasher, text + walk.at, walk.len - walk.at, out->cut_hash, err);
    }
    free(text);
    return status;
}

static bool read_sibling(const char *folder, const char *name, struct audit_hasher *hasher,
                         struct audit_chain *chain)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    struct stat info;
    struct audit_tail tail;
    bool ok = fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
              audit_tail_read(fd, (uint64_t)info.st_size, hasher, &tail, NULL) == MIKEYD_OK &&
              tail.chain.sequence != 0;
    (void)close(fd);
    if (ok)
        *chain = tail.chain;
    return ok;
}

void audit_tail_find_previous(const char *path, struct audit_hasher *hasher,
                              char name[NAME_MAX + 1], struct audit_chain *chain)
{
    char folder_copy[PATH_MAX], base_copy[PATH_MAX];
    name[0] = '\0';
    if (snprintf(folder_copy, sizeof folder_copy, "%s", path) >= (int)sizeof folder_copy)
        return;
    (void)snprintf(base_copy, sizeof base_copy, "%s", path);
    const char *folder = dirname(folder_copy);
    const char *base = basename(base_copy);
    size_t base_len = strlen(base);
    DIR *listing = opendir(folder);
    if (listing == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        struct audit_chain found;
        const char *rest = entry->d_name + base_len;
        /* Rotated names go on with a number or a date; "audit.jsonl.ceremony" is another log. */
        if (strncmp(entry->d_name, base, base_len) != 0 || (rest[0] != '.' && rest[0] != '-') ||
            rest[1] < '0' || rest[1] > '9' || !read_sibling(folder, entry->d_name, hasher, &found))
            continue;
        if (name[0] == '\0' || found.sequence > chain->sequence) {
            *chain = found;
            (void)snprintf(name, NAME_MAX + 1, "%s", entry->d_name);
        }
    }
    (void)closedir(listing);
}
