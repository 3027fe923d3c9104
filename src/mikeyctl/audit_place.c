#include "mikeyctl/audit_place.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/verify/files.h"
#include "audit/verify/lines.h"
#include "base/text.h"
#include "mikeyctl/audit_command.h"

/* ---- the place ---- */

enum mikeyd_status audit_place_load(const char *path, struct audit_place *out, struct error *err)
{
    json_error_t where;
    *out = (struct audit_place){0};
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return MIKEYD_OK;
    json_t *object = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
    const json_int_t sequence = json_integer_value(json_object_get(object, "seq"));
    const char *hash = json_string_value(json_object_get(object, "hash"));
    const bool good = sequence > 0 && hash != NULL && strlen(hash) == AUDIT_HASH_HEX;
    if (good) {
        out->sequence = (uint64_t)sequence;
        (void)snprintf(out->hash, sizeof out->hash, "%s", hash);
    }
    json_decref(object);
    return good ? MIKEYD_OK
                : error_set(err, MIKEYD_INVALID_ARGUMENT,
                            "%s: no state of a follower; remove it to begin with the first record",
                            path);
}

static bool write_place(void *context, FILE *stream)
{
    const struct audit_place *place = context;
    return fprintf(stream, "{\"seq\":%" PRIu64 ",\"hash\":\"%s\"}\n", place->sequence,
                   place->hash) > 0;
}

enum mikeyd_status audit_place_save(const char *path, const struct audit_place *place,
                                    struct error *err)
{
    struct audit_place copy = *place;
    return audit_write_whole(path, write_place, &copy, err);
}

/* ---- reading on ---- */

struct audit_tailer {
    const char *log;
    struct audit_hasher *hasher;
    struct audit_line_reader *reader;
    FILE *stream; /* NULL: none is open */
    struct stat file;
    uint64_t first; /* number of its first record */
    bool moved;     /* the log goes on elsewhere: what is here is complete */
    struct audit_place place;
    uint64_t seen; /* the last record read, done with or not */
    bool at_place; /* the record of the place, or a later one, was met */
};

struct audit_tailer *audit_tailer_make(const char *log)
{
    struct audit_tailer *tailer = calloc(1, sizeof *tailer);
    if (tailer == NULL)
        return NULL;
    tailer->log = log;
    tailer->hasher = audit_hasher_make();
    tailer->reader = calloc(1, sizeof *tailer->reader);
    if (tailer->hasher != NULL && tailer->reader != NULL)
        return tailer;
    audit_tailer_free(tailer);
    return NULL;
}

static void close_file(struct audit_tailer *tailer)
{
    if (tailer->stream != NULL)
        (void)fclose(tailer->stream);
    tailer->stream = NULL;
    tailer->moved = false;
}

void audit_tailer_free(struct audit_tailer *tailer)
{
    if (tailer == NULL)
        return;
    close_file(tailer);
    audit_hasher_free(tailer->hasher);
    free(tailer->reader);
    free(tailer);
}

void audit_tailer_seek(struct audit_tailer *tailer, const struct audit_place *place)
{
    close_file(tailer);
    tailer->place = *place;
    tailer->seen = 0;
    tailer->at_place = false;
}

/* The number of its first record; 0: it has none yet. */
static uint64_t first_number(struct audit_tailer *tailer, const char *path)
{
    struct audit_sealed sealed = {0};
    FILE *stream = fopen(path, "re");
    if (stream == NULL)
        return 0;
    tailer->reader->stream = stream;
    if (audit_line_next(tailer->reader) != AUDIT_LINE ||
        audit_chain_read(tailer->hasher, tailer->reader->text, tailer->reader->len, &sealed,
                         NULL) != MIKEYD_OK)
        sealed.sequence = 0;
    (void)fclose(stream);
    return sealed.sequence;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The file that has the record after the place: the last one that begins at or before it, but not
 * the one that was just read to its end. */
static size_t choose(struct audit_tailer *tailer, char *const *paths, size_t count, bool onward)
{
    size_t chosen = 0;
    struct stat info;
    for (size_t i = 0; i < count; i++) {
        const uint64_t first = first_number(tailer, paths[i]);
        if (first != 0 && first <= tailer->place.sequence + 1)
            chosen = i;
    }
    if (onward && chosen + 1 < count && stat(paths[chosen], &info) == 0 &&
        is_same_file(&info, &tailer->file))
        chosen++;
    return chosen;
}

static enum mikeyd_status open_file(struct audit_tailer *tailer, bool onward, struct error *err)
{
    struct audit_files files = {0};
    close_file(tailer);
    enum mikeyd_status status = audit_files_find(&tailer->log, 1, tailer->hasher, &files, err);
    if (status == MIKEYD_OK) {
        /* The ceremony's log alone is a log like any other. */
        const size_t count = files.ceremony == 0 ? files.count : files.ceremony;
        const char *path = files.paths[choose(tailer, files.paths, count, onward)];
        tailer->first = first_number(tailer, path);
        tailer->stream = fopen(path, "re");
        if (tailer->stream == NULL || fstat(fileno(tailer->stream), &tailer->file) != 0) {
            status = error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: %s", path, strerror(errno));
            close_file(tailer);
        }
    }
    audit_files_free(&files);
    tailer->reader->number = 0;
    return status;
}

static enum audit_tailer_step begin_again(struct audit_tailer *tailer, const char *why,
                                          struct error *err)
{
    const uint64_t sequence = tailer->place.sequence;
    audit_tailer_seek(tailer, &(struct audit_place){0});
    (void)error_set(err, MIKEYD_SYNTAX,
                    "%s: %s record %" PRIu64 ", up to which it was followed before: it is another "
                    "log; it is followed from its first record on",
                    tailer->log, why, sequence);
    return AUDIT_TAILER_NOTE;
}

/* No further line for now: has the log been cut, or does it go on in another file? */
static enum audit_tailer_step at_end(struct audit_tailer *tailer, off_t at, struct error *err)
{
    struct stat here, log;
    clearerr(tailer->stream);
    if (fseeko(tailer->stream, at, SEEK_SET) != 0 || fstat(fileno(tailer->stream), &here) != 0 ||
        here.st_size < at) {
        close_file(tailer); /* a failed write was taken back: find the place anew */
        return AUDIT_TAILER_WAIT;
    }
    if (stat(tailer->log, &log) != 0 || log.st_size == 0)
        return AUDIT_TAILER_WAIT;
    if (is_same_file(&log, &tailer->file)) {
        if (tailer->place.sequence > 0 && tailer->seen > 0 && !tailer->at_place)
            return begin_again(tailer, "it ends before", err);
        return AUDIT_TAILER_WAIT;
    }
    /* The writer has moved on: once more to the end of this one, then to the next. */
    if (!tailer->moved) {
        tailer->moved = true;
        return AUDIT_TAILER_RECORD;
    }
    if (open_file(tailer, true, err) != MIKEYD_OK || is_same_file(&here, &tailer->file))
        return AUDIT_TAILER_WAIT;
    /* What goes on begins after the place; what does not has to prove that it holds it. */
    tailer->at_place = tailer->first > tailer->place.sequence;
    tailer->seen = 0;
    return AUDIT_TAILER_RECORD;
}

static bool follows(const struct audit_tailer *tailer, const struct audit_sealed *sealed,
                    const json_t *record)
{
    char prev[AUDIT_HASH_HEX + 1];
    const char *event = json_string_value(json_object_get(record, "event"));
    hex_encode(sealed->prev, AUDIT_HASH_LEN, prev);
    if (tailer->place.sequence == 0)
        return sealed->sequence == 1;
    /* What a failed write took back may have been seen here: its numbers are counted as lost. */
    if (event != NULL && strcmp(event, "recovered") == 0)
        return true;
    return sealed->sequence == tailer->place.sequence + 1 && strcmp(prev, tailer->place.hash) == 0;
}

/* A whole line. RECORD without a record: it is behind the place. */
static enum audit_tailer_step take_line(struct audit_tailer *tailer, json_t **record,
                                        bool *verifies, struct error *err)
{
    const struct audit_line_reader *reader = tailer->reader;
    struct audit_sealed sealed;
    char hash[AUDIT_HASH_HEX + 1];
    if (audit_chain_read(tailer->hasher, reader->text, reader->len, &sealed, err) != MIKEYD_OK) {
        (void)error_set(err, MIKEYD_SYNTAX, "%s: a line after record %" PRIu64 " is no record",
                        tailer->log, tailer->seen);
        return AUDIT_TAILER_NOTE;
    }
    tailer->seen = sealed.sequence;
    hex_encode(sealed.hash, AUDIT_HASH_LEN, hash);
    if (sealed.sequence <= tailer->place.sequence) {
        const bool other = sealed.sequence == tailer->place.sequence && !tailer->at_place &&
                           strcmp(hash, tailer->place.hash) != 0;
        tailer->at_place = tailer->at_place || sealed.sequence == tailer->place.sequence;
        return other ? begin_again(tailer, "has another", err) : AUDIT_TAILER_RECORD;
    }
    *record = json_loadb(reader->text, reader->len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(*record)) {
        json_decref(*record);
        *record = NULL;
        (void)error_set(err, MIKEYD_SYNTAX, "%s: record %" PRIu64 " is no JSON", tailer->log,
                        sealed.sequence);
        return AUDIT_TAILER_NOTE;
    }
    *verifies = sealed.intact && follows(tailer, &sealed, *record);
    tailer->at_place = true;
    tailer->place.sequence = sealed.sequence;
    (void)snprintf(tailer->place.hash, sizeof tailer->place.hash, "%s", hash);
    return AUDIT_TAILER_RECORD;
}

enum audit_tailer_step audit_tailer_next(struct audit_tailer *tailer, json_t **record,
                                         bool *verifies, struct audit_place *place,
                                         struct error *err)
{
    enum audit_tailer_step step = AUDIT_TAILER_RECORD;
    *record = NULL;
    while (step == AUDIT_TAILER_RECORD && *record == NULL) {
        /* Between a rename and the new file there is none. */
        if (tailer->stream == NULL && open_file(tailer, false, err) != MIKEYD_OK)
            return AUDIT_TAILER_WAIT;
        tailer->reader->stream = tailer->stream;
        const off_t at = ftello(tailer->stream);
        const enum audit_line_kind kind = audit_line_next(tailer->reader);
        if (kind == AUDIT_LINE_END || kind == AUDIT_LINE_UNFINISHED)
            step = at_end(tailer, at, err);
        else if (kind == AUDIT_LINE)
            step = take_line(tailer, record, verifies, err);
    }
    *place = tailer->place;
    return step;
}
