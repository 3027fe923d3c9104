/* Full disks, deleted files, killed writers: no record that was called durable is ever missing. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "audit/verify/verify.h"
#include "fixture.h"

TestSuite(audit_failure, .timeout = 120);

static struct audit_verdict verdict;
static struct error verify_error;

static enum mikeyd_status verify(const struct fixture *fixture)
{
    const char *const files[] = {fixture->path}, *const keys[] = {fixture->key_path};
    const struct audit_verify_options options = {
        .files = files, .file_count = 1, .public_keys = keys, .public_key_count = 1};
    memset(&verify_error, 0, sizeof verify_error);
    return audit_verify(&options, &verdict, &verify_error);
}

static void sleep_ms(long ms)
{
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

static void wait_healthy(struct audit_log *log)
{
    for (int i = 0; i < 100 && !audit_healthy(log); i++)
        sleep_ms(50);
    cr_assert(audit_healthy(log), "no recovery within 5 s");
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* RLIMIT_FSIZE ends a write half-way, as a full disk does. */
static uint64_t fill_up(struct audit_log *log, const struct fixture *fixture)
{
    size_t size;
    free(fixture_read(fixture->path, &size));
    (void)signal(SIGXFSZ, SIG_IGN);
    limit_file_size(size + 1000);
    const struct audit_record record = fixture_record();
    uint64_t last = 0;
    for (int i = 0; i < 50; i++) {
        uint64_t sequence;
        if (audit_append(log, &record, &sequence, NULL) == MIKEYD_OK)
            last = sequence;
    }
    cr_assert_eq(audit_wait(log, last, NULL), MIKEYD_AUDIT_DOWN);
    return last;
}

Test(audit_failure, full_disk_refuses_records_at_once)
{
    struct fixture fixture;
    fixture_make(&fixture);
    struct audit_log *log = fixture_open(&fixture, NULL);
    cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_OK);
    uint64_t last = fill_up(log, &fixture);
    cr_assert_not(audit_healthy(log));
    cr_assert_eq(audit_outcome(log, last), AUDIT_LOST);
    cr_assert_eq(audit_outcome(log, 1), AUDIT_ON_DISK);
    const struct audit_record record = fixture_record();
    uint64_t sequence;
    cr_assert_eq(audit_append(log, &record, &sequence, NULL), MIKEYD_AUDIT_DOWN);
    limit_file_size(RLIM_INFINITY);
    audit_close(log);
    fixture_drop(&fixture);
}

Test(audit_failure, log_recovers_without_restart_and_says_what_is_missing)
{
    struct fixture fixture;
    fixture_make(&fixture);
    struct audit_log *log = fixture_open(&fixture, NULL);
    cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_OK);
    uint64_t lost = fill_up(log, &fixture);
    limit_file_size(RLIM_INFINITY);
    wait_healthy(log);
    uint64_t after = fixture_append(log);
    cr_assert_gt(after, lost, "numbers are never used twice");
    cr_assert_eq(audit_wait(log, after, NULL), MIKEYD_OK);
    /* durable has passed the lost record, which is lost all the same. */
    cr_assert_gt(audit_durable(log), lost);
    cr_assert_eq(audit_outcome(log, lost), AUDIT_LOST);
    struct audit_stats stats;
    audit_get_stats(log, &stats);
    audit_close(log);
    cr_assert_eq(verify(&fixture), MIKEYD_OK, "%s", verify_error.text);
    cr_assert_eq(verdict.recoveries, 1);
    cr_assert_eq(verdict.lost, stats.lost);
    cr_assert_gt(verdict.lost, 0);
    fixture_drop(&fixture);
}

Test(audit_failure, removed_explanation_of_a_gap_is_noticed)
{
    struct fixture fixture;
    fixture_make(&fixture);
    struct audit_log *log = fixture_open(&fixture, NULL);
    cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_OK);
    (void)fill_up(log, &fixture);
    limit_file_size(RLIM_INFINITY);
    wait_healthy(log);
    audit_close(log);
    char *text = fixture_read(fixture.path, NULL);
    char *line = strstr(text, "\"event\":\"recovered\"");
    while (line[-1] != '\n')
        line--;
    char *next = strchr(line, '\n') + 1;
    memmove(line, next, strlen(next) + 1);
    fixture_replace(fixture.path, text, strlen(text));
    free(text);
    cr_assert_eq(verify(&fixture), MIKEYD_SYNTAX);
    cr_assert_eq(verdict.problems[0].kind, AUDIT_DROPPED);
    fixture_drop(&fixture);
}

Test(audit_failure, deleted_file_is_a_failure_and_a_new_one_is_begun)
{
    struct fixture fixture;
    fixture_make(&fixture);
    struct audit_log *log = fixture_open(&fixture, NULL);
    cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_OK);
    cr_assert_eq(unlink(fixture.path), 0);
    cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_AUDIT_DOWN);
    wait_healthy(log);
    cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_OK);
    audit_close(log);
    cr_assert_eq(verify(&fixture), MIKEYD_SYNTAX, "what was deleted is missing");
    cr_assert_eq(verdict.problems[0].kind, AUDIT_MISSING);
    cr_assert_eq(verdict.failures, 1);
    fixture_drop(&fixture);
}

/* Writes five records, lets `cut` do its work, writes on; the number of the refused record. */
static uint64_t write_around(struct fixture *fixture, void (*cut)(const struct fixture *fixture))
{
    struct audit_log *log = fixture_open(fixture, NULL);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_OK);
    cut(fixture);
    uint64_t refused = fixture_append(log);
    cr_assert_eq(audit_wait(log, refused, NULL), MIKEYD_AUDIT_DOWN);
    wait_healthy(log);
    cr_assert_eq(audit_outcome(log, refused), AUDIT_LOST);
    cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_OK);
    audit_close(log);
    size_t len;
    char *text = fixture_read(fixture->path, &len), number[40];
    cr_assert_eq(strlen(text), len, "no NUL bytes");
    (void)snprintf(number, sizeof number, "{\"seq\":%" PRIu64 ",", refused);
    cr_assert_null(strstr(text, number), "the refused record is dropped");
    cr_assert_not_null(strstr(text, "it was cut from "));
    free(text);
    return refused;
}

static void truncate_to_nothing(const struct fixture *fixture)
{
    cr_assert_eq(truncate(fixture->path, 0), 0);
}

static void truncate_in_a_line(const struct fixture *fixture)
{
    size_t len;
    char *text = fixture_read(fixture->path, NULL);
    char *line = fixture_line(text, 3, &len);
    cr_assert_eq(truncate(fixture->path, line - text + 100), 0);
    free(text);
}

/* What logrotate does with `copytruncate`. */
static void copy_and_truncate(const struct fixture *fixture)
{
    char copy[128];
    size_t len;
    char *text = fixture_read(fixture->path, &len);
    (void)snprintf(copy, sizeof copy, "%s.1", fixture->path);
    fixture_replace(copy, text, len);
    free(text);
    truncate_to_nothing(fixture);
}

Test(audit_failure, truncated_file_is_never_filled_with_zeros_and_misses_what_was_cut)
{
    struct fixture fixture;
    fixture_make(&fixture);
    (void)write_around(&fixture, truncate_to_nothing);
    cr_assert_eq(verify(&fixture), MIKEYD_SYNTAX);
    cr_assert_eq(verdict.failures, 1, "%s", verify_error.text);
    cr_assert_eq(verdict.problems[0].kind, AUDIT_MISSING);
    /* The next start goes on as ever. */
    fixture_write(&fixture, 3);
    cr_assert_eq(verify(&fixture), MIKEYD_SYNTAX);
    cr_assert_eq(verdict.failures, 1, "%s", verify_error.text);
    fixture_drop(&fixture);
}

Test(audit_failure, file_truncated_in_a_line_keeps_its_whole_records)
{
    struct fixture fixture;
    fixture_make(&fixture);
    (void)write_around(&fixture, truncate_in_a_line);
    cr_assert_eq(verify(&fixture), MIKEYD_SYNTAX);
    cr_assert_eq(verdict.problems[0].kind, AUDIT_DROPPED);
    cr_assert_eq(verdict.problems[0].line, 4);
    cr_assert_eq(verdict.failures, 1, "%s", verify_error.text);
    fixture_drop(&fixture);
}

Test(audit_failure, file_copied_and_truncated_by_logrotate_is_one_log_with_its_copy)
{
    struct fixture fixture;
    fixture_make(&fixture);
    (void)write_around(&fixture, copy_and_truncate);
    cr_assert_eq(verify(&fixture), MIKEYD_OK, "%s", verify_error.text);
    cr_assert_eq(verdict.file_count, 2);
    cr_assert_eq(verdict.first_sequence, 1);
    cr_assert_eq(verdict.lost, 1);
    fixture_drop(&fixture);
}

/* The real one, with names that stay (dateext). */
Test(audit_failure, logrotate_with_copytruncate_and_with_rename_loses_nothing)
{
    struct fixture fixture;
    char command[512];
    fixture_make(&fixture);
    struct audit_log *log = fixture_open(&fixture, NULL);
    cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_OK);
    (void)snprintf(
        command, sizeof command,
        "cd %s && printf '%s {\n copytruncate\n rotate 9\n dateext\n dateformat -%%%%s\n}\n' "
        ">rotate.conf "
        "&& PATH=$PATH:/usr/sbin logrotate -f -s state rotate.conf && test ! -s audit.jsonl",
        fixture.folder, fixture.path);
    cr_assert_eq(system(command), 0);
    cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_AUDIT_DOWN);
    wait_healthy(log);
    cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_OK);
    sleep_ms(1100); /* names go by the second */
    (void)snprintf(
        command, sizeof command,
        "cd %s && printf '%s {\n create\n rotate 9\n dateext\n dateformat -%%%%s\n}\n' "
        ">rotate.conf "
        "&& PATH=$PATH:/usr/sbin logrotate -f -s state rotate.conf && test ! -s audit.jsonl",
        fixture.folder, fixture.path);
    cr_assert_eq(system(command), 0);
    cr_assert_eq(audit_reopen(log, NULL), MIKEYD_OK);
    cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_OK);
    audit_close(log);
    cr_assert_eq(verify(&fixture), MIKEYD_OK, "%s", verify_error.text);
    cr_assert_eq(verdict.file_count, 3);
    fixture_drop(&fixture);
}

/* logrotate's numbers move on: what was audit.jsonl.1 is audit.jsonl.2 the next day. */
Test(audit_failure, files_that_logrotate_numbers_anew_are_found)
{
    struct fixture fixture;
    char command[512];
    fixture_make(&fixture);
    struct audit_log *log = fixture_open(&fixture, NULL);
    for (int day = 0; day < 4; day++) {
        cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_OK);
        (void)snprintf(command, sizeof command,
                       "cd %s && printf '%s {\n create\n rotate 9\n}\n' >rotate.conf && "
                       "PATH=$PATH:/usr/sbin logrotate -f -s state rotate.conf",
                       fixture.folder, fixture.path);
        cr_assert_eq(system(command), 0);
        cr_assert_eq(audit_reopen(log, NULL), MIKEYD_OK);
    }
    audit_close(log);
    cr_assert_eq(verify(&fixture), MIKEYD_OK, "%s", verify_error.text);
    cr_assert_eq(verdict.file_count, 5);
    cr_assert_eq(verdict.first_sequence, 1);
    fixture_drop(&fixture);
}

Test(audit_failure, unfinished_line_is_cut_and_recorded_at_the_next_start)
{
    struct fixture fixture;
    fixture_make(&fixture);
    fixture_write(&fixture, 10);
    size_t len;
    char *text = fixture_read(fixture.path, &len);
    fixture_replace(fixture.path, text, len - 40);
    free(text);
    fixture_write(&fixture, 1);
    cr_assert_eq(verify(&fixture), MIKEYD_OK, "%s", verify_error.text);
    cr_assert_eq(verdict.recoveries, 1);
    text = fixture_read(fixture.path, NULL);
    cr_assert_not_null(strstr(text, "\"cut_bytes\":"));
    free(text);
    fixture_drop(&fixture);
}

/* What a power failure leaves of blocks that were never written. */
Test(audit_failure, blocks_of_zeros_are_cut_at_the_next_start)
{
    struct fixture fixture;
    fixture_make(&fixture);
    fixture_write(&fixture, 10);
    static const char zeros[5000];
    FILE *file = fopen(fixture.path, "a");
    cr_assert_eq(fwrite(zeros, 1, sizeof zeros, file), sizeof zeros);
    cr_assert_gt(fprintf(file, "half a line\nand more"), 0);
    (void)fclose(file);
    fixture_write(&fixture, 1);
    cr_assert_eq(verify(&fixture), MIKEYD_OK, "%s", verify_error.text);
    fixture_drop(&fixture);
}

Test(audit_failure, changed_tail_is_refused_at_start)
{
    struct fixture fixture;
    fixture_make(&fixture);
    fixture_write(&fixture, 10);
    size_t len;
    char *text = fixture_read(fixture.path, &len);
    strstr(text, "sbc-b")[4] = 'c';
    fixture_replace(fixture.path, text, len);
    free(text);
    struct audit_options options = {.path = fixture.path};
    struct audit_log *log = NULL;
    struct error err = {0};
    cr_assert_eq(audit_open(&options, &log, &err), MIKEYD_SYNTAX);
    cr_assert_not_null(strstr(err.text, "record"), "%s", err.text);
    fixture_drop(&fixture);
}

/* Each record that is left is right by itself. */
Test(audit_failure, tail_that_lacks_a_record_is_refused_at_start)
{
    struct fixture fixture;
    fixture_make(&fixture);
    fixture_write(&fixture, 10);
    size_t len;
    char *text = fixture_read(fixture.path, NULL);
    char *line = fixture_line(text, 5, &len);
    char *next = strchr(line, '\n') + 1;
    memmove(line, next, strlen(next) + 1);
    fixture_replace(fixture.path, text, strlen(text));
    free(text);
    struct audit_options options = {.path = fixture.path};
    struct audit_log *log = NULL;
    struct error err = {0};
    cr_assert_eq(audit_open(&options, &log, &err), MIKEYD_SYNTAX);
    cr_assert_not_null(strstr(err.text, "does not follow"), "%s", err.text);
    fixture_drop(&fixture);
}

/* ---- kill -9 ---- */

struct shared {
    _Atomic uint64_t announced; /* the highest number the child called durable */
};

static void child_appends(struct fixture *fixture, struct shared *shared)
{
    const struct audit_options options = {.path = fixture->path,
                                          .signer = &fixture->signer,
                                          .checkpoint_records = 50,
                                          .rotate_bytes = 200000};
    struct audit_log *log = NULL;
    if (audit_open(&options, &log, NULL) != MIKEYD_OK)
        _exit(1);
    const struct audit_record record = fixture_record();
    for (;;) {
        uint64_t sequence = 0;
        for (int i = 0; i < 7; i++) {
            if (audit_append(log, &record, &sequence, NULL) != MIKEYD_OK)
                _exit(2);
        }
        shared->announced = audit_durable(log);
        if (sequence % 5 == 0)
            (void)audit_wait(log, sequence, NULL);
    }
}

Test(audit_failure, killed_writer_loses_nothing_that_was_durable)
{
    struct fixture fixture;
    fixture_make(&fixture);
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(shared, MAP_FAILED);
    unsigned seed = (unsigned)getpid();
    for (int round = 0; round < 20; round++) {
        pid_t child = fork();
        if (child == 0)
            child_appends(&fixture, shared);
        sleep_ms(20 + rand_r(&seed) % 60);
        cr_assert_eq(kill(child, SIGKILL), 0);
        int status;
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFSIGNALED(status), "the child ended by itself: %d", WEXITSTATUS(status));
        fixture_write(&fixture, 1);
        cr_assert_eq(verify(&fixture), MIKEYD_OK, "round %d: %s", round, verify_error.text);
        cr_assert_geq(verdict.last_sequence, shared->announced);
        cr_assert_eq(verdict.first_sequence, 1);
    }
    cr_assert_gt(shared->announced, 100);
    fixture_drop(&fixture);
}
