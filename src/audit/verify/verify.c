#include "audit/verify/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/file.h"
#include "audit/tail.h"
#include "audit/verify/files.h"
#include "audit/verify/internal.h"
#include "base/visible.h"

/* A daemon that is writing finishes its line within this. */
#define WRITER_WAIT_US 200000

const char *audit_problem_name(enum audit_problem_kind kind)
{
    static const char *const names[] = {
        [AUDIT_MALFORMED] = "malformed", [AUDIT_CHANGED] = "changed",
        [AUDIT_DROPPED] = "dropped",     [AUDIT_REORDERED] = "reordered",
        [AUDIT_SPLICED] = "spliced",     [AUDIT_FORKED] = "forked",
        [AUDIT_TRUNCATED] = "truncated", [AUDIT_SIGNATURE] = "signature",
        [AUDIT_UNCOVERED] = "unsigned",  [AUDIT_USES] = "uses",
        [AUDIT_MISSING] = "missing",
    };
    return (size_t)kind < sizeof names / sizeof names[0] ? names[kind] : "unknown";
}

void audit_problem_add(struct audit_verifier *v, enum audit_problem_kind kind, bool warning,
                       uint64_t line, uint64_t sequence, const char *format, ...)
{
    struct audit_verdict *verdict = v->verdict;
    if (warning)
        verdict->warnings++;
    else
        verdict->failures++;
    if (!warning && kind == AUDIT_MISSING)
        verdict->missing++;
    if (verdict->problem_count == AUDIT_PROBLEMS_MAX)
        return;
    struct audit_problem *problem = &verdict->problems[verdict->problem_count++];
    problem->kind = kind;
    problem->warning = warning;
    problem->line = line;
    problem->sequence = sequence;
    char text[sizeof problem->text];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    audit_copy_text(problem->text, sizeof problem->text, text);
    audit_copy_text(problem->file, sizeof problem->file, v->file);
}

void audit_copy_text(char *out, size_t cap, const char *text)
{
    (void)visible_text(text == NULL ? "" : text, text == NULL ? 0 : strlen(text), out, cap);
}

/* A writer at work may be in the middle of the last line: looked at once more. */
static enum audit_line_kind next_line(const struct audit_verifier *v)
{
    struct audit_line_reader *reader = v->reader;
    off_t before = ftello(reader->stream);
    enum audit_line_kind kind = audit_line_next(reader);
    if (kind != AUDIT_LINE_UNFINISHED || before < 0 || v->path == NULL ||
        !audit_file_has_writer(v->path))
        return kind;
    (void)usleep(WRITER_WAIT_US);
    clearerr(reader->stream);
    if (fseeko(reader->stream, before, SEEK_SET) != 0)
        return kind;
    reader->number--;
    return audit_line_next(reader);
}

/* Lines between two words about how far it is. */
#define TELL_LINES 1024

static void tell(const struct audit_verifier *v, uint64_t done)
{
    if (v->options->progress != NULL && v->bytes_total > 0)
        v->options->progress(v->options->progress_context, done, v->bytes_total);
}

static void read_stream(struct audit_verifier *v, FILE *stream)
{
    v->reader->stream = stream;
    v->reader->number = 0;
    for (;;) {
        enum audit_line_kind kind = next_line(v);
        if (kind == AUDIT_LINE_END)
            return;
        if (v->reader->number % TELL_LINES == 1)
            tell(v, v->bytes_before + (uint64_t)ftello(stream));
        const uint64_t want = v->begun ? v->chain.sequence + 1 : 0;
        if (kind == AUDIT_LINE_UNFINISHED) {
            audit_problem_add(v, AUDIT_TRUNCATED, false, v->reader->number, want,
                              "the last line is cut off after %zu bytes (record %" PRIu64
                              "): a crash, or a truncation; starting the writer cuts and records "
                              "it",
                              v->reader->len, want);
            return;
        }
        if (kind == AUDIT_LINE_OVERLONG) {
            audit_problem_add(v, AUDIT_MALFORMED, false, v->reader->number, want,
                              "this line is longer than any record");
            v->chain.sequence += v->begun ? 1 : 0;
            v->loose = true;
            continue;
        }
        audit_follow_line(v);
    }
}

/*
 * A log begins with its first record, or goes on from what is known from elsewhere. Otherwise what
 * stood in front can have been cut away, or the whole be another log. An anchor further down proves
 * what is here, not that nothing is missing in front.
 */
static void check_beginning(struct audit_verifier *v)
{
    const uint64_t first = v->verdict->first_sequence;
    if (v->begins_late)
        audit_problem_add(v, AUDIT_MISSING, v->anchor_seen, 0, first,
                          "the log begins with record %" PRIu64 ": what it continues was not given "
                          "and not found; give the older files, or record %" PRIu64
                          "'s hash as anchor",
                          first, first - 1);
}

static void check_anchors(struct audit_verifier *v)
{
    const struct audit_verify_options *options = v->options;
    if (options->expect_sequence > v->chain.sequence)
        audit_problem_add(v, AUDIT_TRUNCATED, false, 0, v->chain.sequence,
                          "the log ends with record %" PRIu64 ", but reached %" PRIu64 " before",
                          v->chain.sequence, options->expect_sequence);
    if (options->anchor != NULL && !v->anchor_seen)
        audit_problem_add(v, AUDIT_TRUNCATED, false, 0, 0,
                          "no record has the hash %.64s: the log was cut or rewritten before it",
                          options->anchor);
}

/* What follows the last signed record could be replaced by whoever can write the file. */
static void check_covered_end(struct audit_verifier *v, bool written_now)
{
    const uint64_t last = v->chain.sequence;
    /* The checkpoint signs itself, too. */
    const uint64_t own = v->verdict->checkpoints > 0 ? v->verdict->covered_sequence + 1 : 0;
    const uint64_t covered = own > v->linked ? own : v->linked;
    const bool more = last > covered;
    if (!more && v->linked >= last)
        return;
    if (!more && (written_now || v->last_is_final))
        return;
    if (more)
        audit_problem_add(v, AUDIT_UNCOVERED, true, 0, last,
                          "%s: records %" PRIu64 " to %" PRIu64 " are covered by no signature%s: "
                          "anybody who can write the file can have written them",
                          written_now ? "being written" : "not closed", covered + 1, last,
                          written_now ? " yet" : "");
    else
        audit_problem_add(v, AUDIT_UNCOVERED, true, 0, last,
                          "not closed: the writer was killed, or the end was cut off after record "
                          "%" PRIu64 " (or it is still being written, by a user whose lock this "
                          "one cannot see)",
                          last);
}

static void check_end(struct audit_verifier *v, bool written_now)
{
    struct audit_verdict *verdict = v->verdict;
    if (verdict->records == 0) {
        audit_problem_add(v, AUDIT_TRUNCATED, false, 0, 0, "there is no record");
        return;
    }
    check_beginning(v);
    check_anchors(v);
    if (verdict->signatures_checked && verdict->checkpoints == 0 && v->linked == 0)
        audit_problem_add(v, AUDIT_UNCOVERED, false, 0, verdict->first_sequence,
                          "no checkpoint: nothing from record %" PRIu64 " on is signed",
                          verdict->first_sequence);
    else if (verdict->checkpoints > 0 || v->linked > 0)
        check_covered_end(v, written_now);
    verdict->last_sequence = v->chain.sequence;
    verdict->closed = v->last_is_final;
}

static enum mikeyd_status conclude(struct audit_verifier *v, struct error *err)
{
    struct audit_verdict *verdict = v->verdict;
    for (size_t i = 0; i < AUDIT_HASH_LEN; i++)
        (void)snprintf(verdict->last_hash + 2 * i, 3, "%02x", v->chain.hash[i]);
    verdict->good = verdict->failures == 0 && (!v->options->strict || verdict->warnings == 0);
    if (verdict->good)
        return MIKEYD_OK;
    for (size_t i = 0; i < verdict->problem_count; i++) {
        const struct audit_problem *problem = &verdict->problems[i];
        if (!problem->warning || v->options->strict)
            return error_set(err, MIKEYD_SYNTAX, "%s:%" PRIu64 ": %s: %s", problem->file,
                             problem->line, audit_problem_name(problem->kind), problem->text);
    }
    return error_set(err, MIKEYD_SYNTAX, "the log does not verify");
}

static enum mikeyd_status prepare(struct audit_verifier *v, struct error *err)
{
    memset(v->verdict, 0, sizeof *v->verdict);
    v->scan_lines = AUDIT_SCAN_LINES;
    v->hasher = audit_hasher_make();
    v->history = calloc(AUDIT_HISTORY, sizeof *v->history);
    v->reader = calloc(1, sizeof *v->reader);
    v->uses = audit_uses_make();
    if (v->hasher == NULL || v->history == NULL || v->reader == NULL || v->uses == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    return audit_public_keys_load(v, err);
}

static void finish(struct audit_verifier *v)
{
    audit_public_keys_free(v);
    audit_hasher_free(v->hasher);
    free(v->history);
    free(v->reader);
    free(v->uses);
    free(v->links);
}

static enum mikeyd_status read_file(struct audit_verifier *v, const char *path, bool *written_now,
                                    struct error *err)
{
    FILE *stream = fopen(path, "re");
    if (stream == NULL)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: %s", path, strerror(errno));
    v->path = path;
    const char *slash = strrchr(path, '/');
    v->file = slash == NULL ? path : slash + 1;
    read_stream(v, stream);
    const off_t end = ftello(stream);
    v->bytes_before += end > 0 ? (uint64_t)end : 0;
    bool failed = ferror(stream) != 0;
    *written_now = audit_file_has_writer(path);
    (void)fclose(stream);
    if (failed)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: cannot be read", path);
    v->verdict->file_count++;
    return MIKEYD_OK;
}

static enum mikeyd_status read_files(struct audit_verifier *v, char *const *paths, size_t count,
                                     bool *written_now, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    struct stat info;
    for (size_t i = 0; i < count; i++)
        v->bytes_total += stat(paths[i], &info) == 0 ? (uint64_t)info.st_size : 0;
    for (size_t i = 0; i < count && status == MIKEYD_OK; i++)
        status = read_file(v, paths[i], written_now, err);
    tell(v, v->bytes_total);
    return status;
}

/* What is wrong with the ceremony's log is wrong with the whole. */
static void merge(struct audit_verdict *into, const struct audit_verdict *ceremony,
                  const struct audit_verifier *v)
{
    const uint64_t own = ceremony->checkpoints > 0 ? ceremony->covered_sequence + 1 : 0;
    into->ceremony_records = ceremony->records;
    into->ceremony_last = ceremony->last_sequence;
    into->ceremony_covered = own > v->linked ? own : v->linked;
    into->file_count += ceremony->file_count;
    into->failures += ceremony->failures;
    into->warnings += ceremony->warnings;
    into->missing += ceremony->missing;
    for (size_t i = 0; i < ceremony->problem_count && into->problem_count < AUDIT_PROBLEMS_MAX; i++)
        into->problems[into->problem_count++] = ceremony->problems[i];
}

/* The ceremony's log beside the daemon's, which v has read. */
static enum mikeyd_status verify_ceremony(struct audit_verifier *v, const struct audit_files *files,
                                          struct error *err)
{
    char *const *paths = files->paths + files->ceremony;
    const size_t count = files->count - files->ceremony;
    /* Anchors are known of the daemon's. */
    struct audit_verify_options options = *v->options;
    options.expect_sequence = 0;
    options.anchor = NULL;
    options.progress = NULL;
    struct audit_verdict *verdict = calloc(1, sizeof *verdict);
    if (verdict == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    struct audit_verifier ceremony = {.options = &options, .verdict = verdict};
    bool written_now = false;
    enum mikeyd_status status = prepare(&ceremony, err);
    if (status == MIKEYD_OK)
        status = read_files(&ceremony, paths, count, &written_now, err);
    if (status == MIKEYD_OK) {
        audit_links_check(v, &ceremony, paths, count);
        check_end(&ceremony, written_now);
        merge(v->verdict, verdict, &ceremony);
    }
    finish(&ceremony);
    free(verdict);
    return status;
}

enum mikeyd_status audit_verify(const struct audit_verify_options *options,
                                struct audit_verdict *verdict, struct error *err)
{
    struct audit_verifier v = {.options = options, .verdict = verdict};
    struct audit_files files = {0};
    bool written_now = false;
    enum mikeyd_status status = prepare(&v, err);
    if (status == MIKEYD_OK)
        status = audit_files_find(options->files, options->file_count, v.hasher, &files, err);
    /* The ceremony's log alone is a log like any other. */
    if (files.ceremony == 0)
        files.ceremony = files.count;
    if (status == MIKEYD_OK)
        status = read_files(&v, files.paths, files.ceremony, &written_now, err);
    if (status == MIKEYD_OK) {
        check_end(&v, written_now);
        if (files.ceremony < files.count)
            status = verify_ceremony(&v, &files, err);
        else
            audit_links_check(&v, NULL, NULL, 0);
    }
    if (status == MIKEYD_OK)
        status = conclude(&v, err);
    audit_files_free(&files);
    finish(&v);
    return status;
}

enum mikeyd_status audit_verify_stream(const struct audit_verify_options *options, FILE *stream,
                                       struct audit_verdict *verdict, struct error *err)
{
    struct audit_verifier v = {.options = options, .verdict = verdict, .file = "(stream)"};
    enum mikeyd_status status = prepare(&v, err);
    if (status == MIKEYD_OK) {
        read_stream(&v, stream);
        verdict->file_count = 1;
        check_end(&v, false);
        status = conclude(&v, err);
    }
    finish(&v);
    return status;
}
