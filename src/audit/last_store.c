/* The latest mark of the replay store. */
#include <string.h>

#include "audit/last.h"

#define FIELD ",\"store\":\""
#define FIELD_LEN (sizeof FIELD - 1)

/* The last whole mark in the text. */
static bool find_mark(const char *text, size_t len, void *out)
{
    const char *at = text, *const end = text + len;
    char *mark = out;
    while ((at = memmem(at, (size_t)(end - at), FIELD, FIELD_LEN)) != NULL) {
        at += FIELD_LEN;
        const char *quote = memchr(at, '"', (size_t)(end - at));
        if (quote == NULL || quote - at >= AUDIT_STORE_MARK_MAX)
            continue;
        memcpy(mark, at, (size_t)(quote - at));
        mark[quote - at] = '\0';
    }
    return *mark != '\0';
}

enum mikeyd_status audit_last_store(const char *path, char mark[AUDIT_STORE_MARK_MAX],
                                    struct error *err)
{
    mark[0] = '\0';
    const struct audit_last last = {
        .find = find_mark, .out = mark, .longest = FIELD_LEN + AUDIT_STORE_MARK_MAX};
    return audit_last_find(path, &last, err);
}
