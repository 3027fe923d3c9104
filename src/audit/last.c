/* What the latest record that has it says, found from the end of the log. */
#include "audit/last.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/chain.h"
#include "audit/tail.h"

#define STEP ((size_t)1 << 20)

static enum mikeyd_status find_in_file(int fd, const char *path, const struct audit_last *what,
                                       bool *found, struct error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        return error_set(err, MIKEYD_AUDIT_DOWN, "audit log %s: no regular file", path);
    char *text = malloc(STEP + what->longest);
    if (text == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t before = (size_t)info.st_size; before > 0 && !*found;) {
        const size_t from = before > STEP ? before - STEP : 0;
        /* A little is read twice, so that nothing is cut in two. */
        const ssize_t got = pread(fd, text, before - from + what->longest, (off_t)from);
        if (got < 0) {
            status =
                error_set(err, MIKEYD_AUDIT_DOWN, "audit log %s: read: %s", path, strerror(errno));
            break;
        }
        *found = what->find(text, (size_t)got, what->out);
        before = from;
    }
    free(text);
    return status;
}

static enum mikeyd_status find_at(const char *path, const struct audit_last *what, bool *found,
                                  struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return MIKEYD_OK;
    if (fd < 0)
        return error_set(err, MIKEYD_AUDIT_DOWN, "audit log %s: %s", path, strerror(errno));
    enum mikeyd_status status = find_in_file(fd, path, what, found, err);
    (void)close(fd);
    return status;
}

/* In the rotated file that this one goes on from. */
static enum mikeyd_status find_in_previous(const char *path, const struct audit_last *what,
                                           bool *found, struct error *err)
{
    char name[NAME_MAX + 1], folder[PATH_MAX], previous[PATH_MAX];
    struct audit_chain chain = {0};
    struct audit_hasher *hasher = audit_hasher_make();
    if (hasher == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    audit_tail_find_previous(path, hasher, name, &chain);
    audit_hasher_free(hasher);
    if (name[0] == '\0')
        return MIKEYD_OK;
    (void)snprintf(folder, sizeof folder, "%s", path);
    if (snprintf(previous, sizeof previous, "%s/%s", dirname(folder), name) >= (int)sizeof previous)
        return error_set(err, MIKEYD_AUDIT_DOWN, "audit log: path too long");
    return find_at(previous, what, found, err);
}

enum mikeyd_status audit_last_find(const char *path, const struct audit_last *what,
                                   struct error *err)
{
    bool found = false;
    enum mikeyd_status status = find_at(path, what, &found, err);
    return status == MIKEYD_OK && !found ? find_in_previous(path, what, &found, err) : status;
}
