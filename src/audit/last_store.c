/* The latest mark of the replay store, found from the end of the log. */
#include "audit/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/chain.h"
#include "audit/tail.h"

#define STEP ((size_t)1 << 20)
/* Text of others has its quotes escaped, so that these bytes stand nowhere else. */
#define FIELD ",\"store\":\""
#define FIELD_LEN (sizeof FIELD - 1)
/* What is read twice, so that no mark is cut in two. */
#define OVERLAP (FIELD_LEN + AUDIT_STORE_MARK_MAX)

/* The last whole mark in the text, or nothing. */
static void find_in_text(const char *text, size_t len, char mark[AUDIT_STORE_MARK_MAX])
{
    const char *at = text, *const end = text + len;
    while ((at = memmem(at, (size_t)(end - at), FIELD, FIELD_LEN)) != NULL) {
        at += FIELD_LEN;
        const char *quote = memchr(at, '"', (size_t)(end - at));
        if (quote == NULL || quote - at >= AUDIT_STORE_MARK_MAX)
            continue;
        memcpy(mark, at, (size_t)(quote - at));
        mark[quote - at] = '\0';
    }
}

static enum mikeyd_status find_in_file(int fd, const char *path, char mark[AUDIT_STORE_MARK_MAX],
                                       struct error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        return error_set(err, MIKEYD_AUDIT_DOWN, "audit log %s: no regular file", path);
    char *text = malloc(STEP + OVERLAP);
    if (text == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t before = (size_t)info.st_size; before > 0 && *mark == '\0';) {
        const size_t from = before > STEP ? before - STEP : 0;
        const ssize_t got = pread(fd, text, before - from + OVERLAP, (off_t)from);
        if (got < 0) {
            status =
                error_set(err, MIKEYD_AUDIT_DOWN, "audit log %s: read: %s", path, strerror(errno));
            break;
        }
        find_in_text(text, (size_t)got, mark);
        before = from;
    }
    free(text);
    return status;
}

static enum mikeyd_status find_at(const char *path, char mark[AUDIT_STORE_MARK_MAX],
                                  struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return MIKEYD_OK;
    if (fd < 0)
        return error_set(err, MIKEYD_AUDIT_DOWN, "audit log %s: %s", path, strerror(errno));
    enum mikeyd_status status = find_in_file(fd, path, mark, err);
    (void)close(fd);
    return status;
}

/* In the rotated file that this one goes on from. */
static enum mikeyd_status find_in_previous(const char *path, char mark[AUDIT_STORE_MARK_MAX],
                                           struct error *err)
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
    return find_at(previous, mark, err);
}

enum mikeyd_status audit_last_store(const char *path, char mark[AUDIT_STORE_MARK_MAX],
                                    struct error *err)
{
    mark[0] = '\0';
    enum mikeyd_status status = find_at(path, mark, err);
    if (status == MIKEYD_OK && mark[0] == '\0')
        status = find_in_previous(path, mark, err);
    return status;
}
