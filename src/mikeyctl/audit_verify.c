/* mikeyctl audit verify: the verdict in words and as JSON. */
#include <inttypes.h>
#include <stdlib.h>

#include "mikeyctl/audit_command.h"
#include "mikeyctl/progress.h"

static json_t *problem_json(const struct audit_problem *problem)
{
    return json_pack("{s:s, s:b, s:s, s:I, s:I, s:s}", "kind", audit_problem_name(problem->kind),
                     "warning", problem->warning, "file", problem->file, "line",
                     (json_int_t)problem->line, "seq", (json_int_t)problem->sequence, "text",
                     problem->text);
}

/* A bad log is a failure like any other: the object has an error as well. */
static json_t *verdict_json(const struct audit_verdict *verdict, const struct error *err)
{
    json_t *problems = json_array();
    for (size_t i = 0; i < verdict->problem_count; i++)
        (void)json_array_append_new(problems, problem_json(&verdict->problems[i]));
    json_t *object =
        json_pack("{s:b, s:b, s:I, s:I, s:I, s:I, s:s, s:s, s:s}", "good", verdict->good, "closed",
                  verdict->closed, "files", (json_int_t)verdict->file_count, "records",
                  (json_int_t)verdict->records, "first_seq", (json_int_t)verdict->first_sequence,
                  "last_seq", (json_int_t)verdict->last_sequence, "first_time", verdict->first_time,
                  "last_time", verdict->last_time, "last_hash", verdict->last_hash);
    json_t *more = json_pack(
        "{s:I, s:I, s:b, s:I, s:I, s:I, s:s, s:s, s:I, s:I, s:o}", "lost",
        (json_int_t)verdict->lost, "recoveries", (json_int_t)verdict->recoveries,
        "signatures_checked", verdict->signatures_checked, "checkpoints",
        (json_int_t)verdict->checkpoints, "good_signatures", (json_int_t)verdict->good_signatures,
        "covered_seq", (json_int_t)verdict->covered_sequence, "covered_time", verdict->covered_time,
        "signer", verdict->signer, "failures", (json_int_t)verdict->failures, "warnings",
        (json_int_t)verdict->warnings, "problems", problems);
    if (more != NULL && verdict->keyholders > 0)
        (void)json_object_set_new(more, "psk_uses",
                                  json_pack("{s:I, s:I, s:I}", "recorded",
                                            (json_int_t)verdict->uses_recorded, "counted",
                                            (json_int_t)verdict->uses_counted, "keyholders",
                                            (json_int_t)verdict->keyholders));
    if (more != NULL && verdict->ceremony_records > 0)
        (void)json_object_set_new(more, "ceremony",
                                  json_pack("{s:I, s:I, s:I}", "records",
                                            (json_int_t)verdict->ceremony_records, "last_seq",
                                            (json_int_t)verdict->ceremony_last, "covered_seq",
                                            (json_int_t)verdict->ceremony_covered));
    if (object == NULL || more == NULL || json_object_update(object, more) != 0) {
        json_decref(object);
        object = NULL;
    }
    json_decref(more);
    if (object != NULL && !verdict->good)
        (void)json_object_set_new(
            object, "error",
            json_pack("{s:s, s:s}", "code", status_name(err->status), "message", err->text));
    return object;
}

static void print_signatures(const struct audit_verdict *verdict)
{
    (void)printf("signatures  ");
    if (verdict->checkpoints == 0)
        (void)printf("no checkpoints\n");
    else if (!verdict->signatures_checked)
        (void)printf("%" PRIu64 " checkpoints by %s, NOT CHECKED (give --public-key)\n",
                     verdict->checkpoints, verdict->signer);
    else
        (void)printf("%" PRIu64 " of %" PRIu64 " checkpoints good (%s); covered up to record "
                     "%" PRIu64 "\n",
                     verdict->good_signatures, verdict->checkpoints, verdict->signer,
                     verdict->covered_sequence);
}

static void print_verdict(const struct audit_verdict *verdict)
{
    (void)printf("%s\n", verdict->good ? "GOOD: the log is what its writer wrote"
                                       : "BAD: the log does not verify");
    (void)printf("records     %" PRIu64 " to %" PRIu64 " in %zu file%s, %s to %s\n",
                 verdict->first_sequence, verdict->last_sequence, verdict->file_count,
                 verdict->file_count == 1 ? "" : "s", verdict->first_time, verdict->last_time);
    print_signatures(verdict);
    if (verdict->keyholders > 0)
        (void)printf("key uses    %" PRIu64 " recorded; %" PRIu64 " counted and signed by %" PRIu64
                     " keyholder%s\n",
                     verdict->uses_recorded, verdict->uses_counted, verdict->keyholders,
                     verdict->keyholders == 1 ? "" : "s");
    if (verdict->ceremony_records > 0)
        (void)printf("ceremony    %" PRIu64 " records beside the daemon, up to %" PRIu64
                     "; covered up to record %" PRIu64 "\n",
                     verdict->ceremony_records, verdict->ceremony_last, verdict->ceremony_covered);
    if (verdict->recoveries > 0)
        (void)printf("recoveries  %" PRIu64 ", %" PRIu64 " records refused by the disk (no key was "
                     "released for them)\n",
                     verdict->recoveries, verdict->lost);
    (void)printf("last hash   %s   (--anchor next time; --expect-seq %" PRIu64 ")\n",
                 verdict->last_hash, verdict->last_sequence);
    for (size_t i = 0; i < verdict->problem_count; i++) {
        const struct audit_problem *problem = &verdict->problems[i];
        (void)printf("%s  %s", problem->warning ? "warning" : "FAILURE", problem->file);
        if (problem->line != 0)
            (void)printf(":%" PRIu64, problem->line);
        if (problem->sequence != 0)
            (void)printf(" record %" PRIu64, problem->sequence);
        (void)printf(": %s: %s\n", audit_problem_name(problem->kind), problem->text);
    }
    uint64_t found = verdict->failures + verdict->warnings;
    if (found > verdict->problem_count)
        (void)printf("... and %" PRIu64 " more\n", found - verdict->problem_count);
}

static void tell(void *context, uint64_t done, uint64_t total)
{
    struct progress *progress = context;
    progress->total = total;
    progress_set(progress, done);
    if (done >= total)
        progress_end(progress);
}

struct audit_verify_options audit_verify_options_of(const struct audit_arguments *arguments)
{
    static struct progress progress = {.what = "verifying", .unit = " kB", .scale = 1000};
    progress.prints_lines = arguments->html == NULL;
    return (struct audit_verify_options){.progress = tell,
                                         .progress_context = &progress,
                                         .files = arguments->files,
                                         .file_count = arguments->file_count,
                                         .public_keys = arguments->public_keys,
                                         .public_key_count = arguments->public_key_count,
                                         .expect_sequence = arguments->expect_sequence,
                                         .anchor = arguments->anchor,
                                         .strict = arguments->strict};
}

int audit_exit_code(const struct audit_arguments *arguments, const struct audit_verdict *verdict,
                    enum mikeyd_status status)
{
    /* Nothing is wrong with what was given, but that it is not all. */
    const bool incomplete = status == MIKEYD_SYNTAX && verdict->missing > 0 &&
                            verdict->missing == verdict->failures &&
                            !(arguments->strict && verdict->warnings > 0);
    return status_exit_code(incomplete ? MIKEYD_INVALID_ARGUMENT : status);
}

int audit_command_verify(const struct audit_arguments *arguments)
{
    struct error err = {0};
    const struct audit_verify_options options = audit_verify_options_of(arguments);
    struct audit_verdict *verdict = calloc(1, sizeof *verdict);
    if (verdict == NULL) {
        (void)error_set(&err, MIKEYD_INTERNAL, "out of memory");
        return ctl_fail(arguments->json, &err);
    }
    enum mikeyd_status status = audit_verify(&options, verdict, &err);
    int result = audit_exit_code(arguments, verdict, status);
    if (status != MIKEYD_OK && status != MIKEYD_SYNTAX) {
        result = ctl_fail(arguments->json, &err);
    } else if (arguments->json) {
        json_t *object = verdict_json(verdict, &err);
        int printed = object == NULL ? status_exit_code(MIKEYD_INTERNAL) : ctl_print(object);
        if (printed != 0)
            result = printed;
    } else {
        print_verdict(verdict);
    }
    free(verdict);
    return result;
}
