#include "audit/verify/files.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "audit/audit.h"
#include "audit/tail.h"
#include "audit/verify/lines.h"
#include "base/text.h"

struct entry {
    char *path;
    uint64_t first;                /* number of its first record; UINT64_MAX: an empty file */
    char previous[NAME_MAX + 1];   /* "" : none named */
    char prev[AUDIT_HASH_HEX + 1]; /* the hash that its first record continues */
    bool ceremony;
    dev_t device;
    ino_t inode;
};

struct set {
    struct entry *entries;
    size_t count, cap;
};

static void read_first(struct entry *entry, FILE *stream)
{
    struct audit_line_reader *reader = calloc(1, sizeof *reader);
    entry->first = UINT64_MAX;
    if (reader == NULL)
        return;
    reader->stream = stream;
    if (audit_line_next(reader) == AUDIT_LINE) {
        json_t *record = json_loadb(reader->text, reader->len, 0, NULL);
        json_int_t first = json_integer_value(json_object_get(record, "seq"));
        const char *previous = json_string_value(json_object_get(record, "previous_file"));
        entry->first = first > 0 ? (uint64_t)first : 0;
        const char *prev = json_string_value(json_object_get(record, "prev"));
        (void)snprintf(entry->prev, sizeof entry->prev, "%s", prev == NULL ? "" : prev);
        /* A name in the same folder, never a path: the file is not to be trusted yet. */
        if (previous != NULL && strchr(previous, '/') == NULL && strlen(previous) <= NAME_MAX)
            (void)snprintf(entry->previous, sizeof entry->previous, "%s", previous);
        json_decref(record);
    }
    free(reader);
}

static bool has_file(const struct set *set, const struct stat *info)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->entries[i].device == info->st_dev && set->entries[i].inode == info->st_ino)
            return true;
    }
    return false;
}

static bool make_room(struct set *set)
{
    if (set->count < set->cap)
        return true;
    size_t cap = set->cap == 0 ? 16 : 2 * set->cap;
    struct entry *entries = reallocarray(set->entries, cap, sizeof *entries);
    if (entries == NULL)
        return false;
    set->entries = entries;
    set->cap = cap;
    return true;
}

/* What logrotate and its like compress with; NULL: it is none of these. */
static const char *compression(FILE *stream)
{
    static const struct {
        const char *name;
        size_t len;
        uint8_t magic[6];
    } formats[] = {
        {"gzip", 2, {0x1f, 0x8b}},
        {"bzip2", 3, {'B', 'Z', 'h'}},
        {"xz", 6, {0xfd, '7', 'z', 'X', 'Z', 0}},
        {"zstd", 4, {0x28, 0xb5, 0x2f, 0xfd}},
    };
    uint8_t start[6] = {0};
    size_t len = fread(start, 1, sizeof start, stream);
    rewind(stream);
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (len >= formats[i].len &&
            memcmp(start, formats[i].magic, formats[i].len) == 0) /* public */
            return formats[i].name;
    }
    return NULL;
}

static bool is_ceremony(const char *path)
{
    const char *slash = strrchr(path, '/');
    return strstr(slash == NULL ? path : slash, AUDIT_CEREMONY_SUFFIX) != NULL;
}

/* INVALID_ARGUMENT when it cannot be read; OK and nothing added when it is in the set already. */
static enum mikeyd_status add(struct set *set, const char *path, struct error *err)
{
    struct stat info;
    FILE *stream = fopen(path, "re");
    if (stream == NULL || fstat(fileno(stream), &info) != 0 || !S_ISREG(info.st_mode)) {
        int reason = stream == NULL ? errno : EINVAL;
        if (stream != NULL)
            (void)fclose(stream);
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: %s", path, strerror(reason));
    }
    const char *compressed = compression(stream);
    if (compressed != NULL) {
        (void)fclose(stream);
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "%s is compressed (%s): decompress it and give the result", path,
                         compressed);
    }
    enum mikeyd_status status = MIKEYD_OK;
    struct entry entry = {
        .device = info.st_dev, .inode = info.st_ino, .ceremony = is_ceremony(path)};
    if (!has_file(set, &info)) {
        read_first(&entry, stream);
        entry.path = strdup(path);
        if (entry.path == NULL || !make_room(set) || set->count >= AUDIT_FILES_MAX) {
            free(entry.path);
            status = error_set(err, MIKEYD_INTERNAL, "too many files");
        } else {
            set->entries[set->count++] = entry;
        }
    }
    (void)fclose(stream);
    return status;
}

static bool join(const char *path, const char *name, char out[PATH_MAX])
{
    char copy[PATH_MAX];
    if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy)
        return false;
    return snprintf(out, PATH_MAX, "%s/%s", dirname(copy), name) < PATH_MAX;
}

/* The last record of the file has this hash (hex). */
static bool ends_with(const char *path, struct audit_hasher *hasher, const char *hash)
{
    struct audit_sealed sealed;
    char text[AUDIT_LINE_MAX + 2], hex[AUDIT_HASH_HEX + 1];
    FILE *stream = fopen(path, "re");
    if (stream == NULL)
        return false;
    if (fseeko(stream, -(off_t)sizeof text, SEEK_END) != 0)
        rewind(stream); /* it is shorter than that */
    size_t len = fread(text, 1, sizeof text, stream);
    (void)fclose(stream);
    if (len == 0 || text[len - 1] != '\n')
        return false;
    const char *before = memrchr(text, '\n', len - 1);
    const char *line = before == NULL ? text : before + 1;
    if (audit_chain_read(hasher, line, len - 1 - (size_t)(line - text), &sealed, NULL) != MIKEYD_OK)
        return false;
    hex_encode(sealed.hash, AUDIT_HASH_LEN, hex);
    return strcmp(hex, hash) == 0;
}

/* The file next to `newest`, by its name one of the same log, that ends with this hash. */
static bool find_by_end(const char *newest, struct audit_hasher *hasher, const char *hash,
                        char path[PATH_MAX])
{
    char folder[PATH_MAX], base_copy[PATH_MAX];
    bool found = false;
    if (snprintf(folder, sizeof folder, "%s", newest) >= (int)sizeof folder)
        return false;
    (void)snprintf(base_copy, sizeof base_copy, "%s", newest);
    const char *base = basename(base_copy);
    DIR *listing = opendir(dirname(folder));
    if (listing == NULL)
        return false;
    for (struct dirent *entry; !found && (entry = readdir(listing)) != NULL;)
        found = strncmp(entry->d_name, base, strlen(base)) == 0 &&
                join(newest, entry->d_name, path) && ends_with(path, hasher, hash);
    (void)closedir(listing);
    return found;
}

/* The file that this one continues: where its name says, unless logrotate has given that name to
 * another since. */
static bool find_older(const struct set *set, size_t index, struct audit_hasher *hasher,
                       char path[PATH_MAX])
{
    const struct entry *entry = &set->entries[index];
    char name[NAME_MAX + 1];
    struct audit_chain ignored = {0};
    struct stat info;
    (void)snprintf(name, sizeof name, "%s", entry->previous);
    /* An empty newest file (a crash while rotating) names nobody: the rotated file that goes
     * furthest is the one it would continue. */
    if (entry->first == UINT64_MAX)
        audit_tail_find_previous(entry->path, hasher, name, &ignored);
    if (name[0] == '\0')
        return false;
    if (join(entry->path, name, path) && stat(path, &info) == 0 &&
        (entry->first == UINT64_MAX || ends_with(path, hasher, entry->prev)))
        return true;
    return find_by_end(set->entries[0].path, hasher, entry->prev, path) ||
           /* Damaged at its end: verification says so. */
           (join(entry->path, name, path) && stat(path, &info) == 0);
}

/* Goes back from file to file; one that is archived elsewhere is missing, which the chain tells. */
static enum mikeyd_status add_older(struct set *set, struct audit_hasher *hasher, struct error *err)
{
    for (size_t i = 0; i < set->count; i++) {
        char path[PATH_MAX];
        enum mikeyd_status status =
            find_older(set, i, hasher, path) ? add(set, path, err) : MIKEYD_OK;
        if (status != MIKEYD_OK)
            return status;
    }
    return MIKEYD_OK;
}

/* Ceremony steps beside the daemon stand in a file beside its own. */
static enum mikeyd_status add_ceremony(struct set *set, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0, count = set->count; i < count && status == MIKEYD_OK; i++) {
        char path[PATH_MAX];
        struct stat info;
        if (!set->entries[i].ceremony &&
            snprintf(path, sizeof path, "%s" AUDIT_CEREMONY_SUFFIX, set->entries[i].path) <
                (int)sizeof path &&
            stat(path, &info) == 0)
            status = add(set, path, err);
    }
    return status;
}

static int by_first(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    if (left->ceremony != right->ceremony)
        return left->ceremony ? 1 : -1;
    return left->first < right->first ? -1 : left->first > right->first;
}

enum mikeyd_status audit_files_find(const char *const *given, size_t given_count,
                                    struct audit_hasher *hasher, struct audit_files *out,
                                    struct error *err)
{
    struct set set = {0};
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0; i < given_count && status == MIKEYD_OK; i++)
        status = add(&set, given[i], err);
    if (status == MIKEYD_OK)
        status = add_older(&set, hasher, err);
    if (status == MIKEYD_OK)
        status = add_ceremony(&set, err);
    if (set.count > 1)
        qsort(set.entries, set.count, sizeof *set.entries, by_first);
    out->paths = calloc(set.count + 1, sizeof *out->paths);
    if (out->paths == NULL)
        status = error_set(err, MIKEYD_INTERNAL, "out of memory");
    for (size_t i = 0; i < set.count; i++) {
        out->ceremony += set.entries[i].ceremony ? 0 : 1;
        if (out->paths != NULL)
            out->paths[out->count++] = set.entries[i].path;
        else
            free(set.entries[i].path);
    }
    free(set.entries);
    return status;
}

void audit_files_free(struct audit_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->paths[i]);
    free(files->paths);
    *files = (struct audit_files){0};
}
