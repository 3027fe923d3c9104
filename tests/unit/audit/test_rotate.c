/* New files: the chain runs from one into the next, and verification finds its way back. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "audit/verify/verify.h"
#include "fixture.h"

TestSuite(audit_rotate, .timeout = 60);

static struct audit_verdict verdict;
static struct error verify_error;

static enum mikeyd_status verify_from(const struct fixture *fixture, const char *path,
                                      const char *anchor)
{
    const char *const files[] = {path}, *const keys[] = {fixture->key_path};
    const struct audit_verify_options options = {.files = files,
                                                 .file_count = 1,
                                                 .public_keys = keys,
                                                 .public_key_count = 1,
                                                 .strict = true,
                                                 .anchor = anchor};
    memset(&verify_error, 0, sizeof verify_error);
    return audit_verify(&options, &verdict, &verify_error);
}

static enum mikeyd_status verify(const struct fixture *fixture, const char *path)
{
    return verify_from(fixture, path, NULL);
}

static void write_rotated(struct fixture *fixture, unsigned records)
{
    const struct audit_options options = {.signer = &fixture->signer, .rotate_bytes = 20000};
    struct audit_log *log = fixture_open(fixture, &options);
    for (unsigned i = 0; i < records; i++)
        cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_OK);
    audit_close(log);
}

static unsigned list_rotated(const struct fixture *fixture, char newest[128])
{
    unsigned count = 0;
    DIR *listing = opendir(fixture->folder);
    newest[0] = '\0';
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        if (strncmp(entry->d_name, "audit.jsonl.2", 13) != 0)
            continue;
        count++;
        if (strlen(entry->d_name) >= strlen(newest) && strcmp(entry->d_name, newest) > 0)
            (void)snprintf(newest, 128, "%.127s", entry->d_name);
    }
    (void)closedir(listing);
    return count;
}

Test(audit_rotate, log_of_many_files_verifies_from_its_newest)
{
    struct fixture fixture;
    fixture_make(&fixture);
    write_rotated(&fixture, 300);
    char newest[128];
    unsigned rotated = list_rotated(&fixture, newest);
    cr_assert_geq(rotated, 4);
    cr_assert_eq(verify(&fixture, fixture.path), MIKEYD_OK, "%s", verify_error.text);
    cr_assert_eq(verdict.file_count, rotated + 1);
    cr_assert_eq(verdict.first_sequence, 1);
    fixture_drop(&fixture);
}

Test(audit_rotate, record_changed_in_an_older_file_is_named_with_that_file)
{
    struct fixture fixture;
    fixture_make(&fixture);
    write_rotated(&fixture, 300);
    char newest[128], path[256];
    (void)list_rotated(&fixture, newest);
    (void)snprintf(path, sizeof path, "%s/%s", fixture.folder, newest);
    size_t len;
    char *text = fixture_read(path, &len);
    strstr(text, "sbc-b")[4] = 'c';
    fixture_replace(path, text, len);
    free(text);
    cr_assert_eq(verify(&fixture, fixture.path), MIKEYD_SYNTAX);
    cr_assert_eq(verdict.problems[0].kind, AUDIT_CHANGED);
    cr_assert_str_eq(verdict.problems[0].file, newest);
    fixture_drop(&fixture);
}

Test(audit_rotate, missing_older_file_fails_unless_it_is_known)
{
    struct fixture fixture;
    fixture_make(&fixture);
    write_rotated(&fixture, 100);
    char newest[128], path[256];
    (void)list_rotated(&fixture, newest);
    (void)snprintf(path, sizeof path, "%s/%s", fixture.folder, newest);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(verify(&fixture, fixture.path), MIKEYD_SYNTAX);
    cr_assert_eq(verdict.problems[0].kind, AUDIT_MISSING);
    cr_assert_eq(verdict.failures, 1);
    /* Its last hash was written down when it was verified before it went to the archive. */
    size_t len;
    char anchor[65] = "", *text = fixture_read(fixture.path, NULL);
    const char *first = fixture_line(text, 0, &len);
    memcpy(anchor, first + len - 1 - 75 - 65, 64);
    free(text);
    cr_assert_eq(verify_from(&fixture, fixture.path, anchor), MIKEYD_OK, "%s", verify_error.text);
    fixture_drop(&fixture);
}

Test(audit_rotate, reopen_after_an_external_rename_goes_on_in_a_new_file)
{
    struct fixture fixture;
    fixture_make(&fixture);
    struct audit_log *log = fixture_open(&fixture, NULL);
    cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_OK);
    char moved[128];
    (void)snprintf(moved, sizeof moved, "%s.1", fixture.path);
    cr_assert_eq(rename(fixture.path, moved), 0);
    /* Still goes to the renamed file. */
    cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_OK);
    cr_assert_eq(audit_reopen(log, NULL), MIKEYD_OK);
    uint64_t last = fixture_append(log);
    cr_assert_eq(audit_wait(log, last, NULL), MIKEYD_OK);
    cr_assert_eq(audit_reopen(log, NULL), MIKEYD_OK, "without a rename: nothing to do");
    audit_close(log);
    char *text = fixture_read(fixture.path, NULL);
    cr_assert_not_null(strstr(text, "\"previous_file\":\"audit.jsonl.1\""));
    free(text);
    cr_assert_eq(verify(&fixture, fixture.path), MIKEYD_OK, "%s", verify_error.text);
    cr_assert_eq(verdict.file_count, 2);
    fixture_drop(&fixture);
}

Test(audit_rotate, reopen_refuses_a_file_with_content)
{
    struct fixture fixture;
    fixture_make(&fixture);
    struct audit_log *log = fixture_open(&fixture, NULL);
    char moved[128];
    (void)snprintf(moved, sizeof moved, "%s.1", fixture.path);
    cr_assert_eq(rename(fixture.path, moved), 0);
    fixture_replace(fixture.path, "something\n", 10);
    cr_assert_eq(audit_reopen(log, NULL), MIKEYD_AUDIT_DOWN);
    cr_assert_eq(audit_wait(log, fixture_append(log), NULL), MIKEYD_OK, "goes on in the old one");
    audit_close(log);
    fixture_drop(&fixture);
}

/* A crash between renaming and the first record of the new file. */
/* The last batch goes to the old file under its new name: kill -9 can leave a line of it
 * unfinished. */
Test(audit_rotate, line_left_unfinished_in_the_rotated_file_is_cut_and_recorded)
{
    struct fixture fixture;
    fixture_make(&fixture);
    fixture_write(&fixture, 5);
    char moved[128];
    (void)snprintf(moved, sizeof moved, "%s.20270101T000000Z-6", fixture.path);
    cr_assert_eq(rename(fixture.path, moved), 0);
    FILE *old = fopen(moved, "a");
    cr_assert(old != NULL && fputs("{\"seq\":6,\"time\":\"2027", old) > 0 && fclose(old) == 0);
    fixture_replace(fixture.path, "", 0);
    cr_assert_eq(verify(&fixture, moved), MIKEYD_SYNTAX, "the line is not unfinished");
    fixture_write(&fixture, 5);
    cr_assert_eq(verify(&fixture, fixture.path), MIKEYD_OK, "%s", verify_error.text);
    cr_assert_eq(verdict.file_count, 2);
    cr_assert_eq(verdict.first_sequence, 1);
    fixture_drop(&fixture);
}

Test(audit_rotate, start_with_an_empty_file_continues_the_rotated_one)
{
    struct fixture fixture;
    fixture_make(&fixture);
    fixture_write(&fixture, 5);
    char moved[128];
    (void)snprintf(moved, sizeof moved, "%s.20270101T000000Z-6", fixture.path);
    cr_assert_eq(rename(fixture.path, moved), 0);
    fixture_replace(fixture.path, "", 0);
    fixture_write(&fixture, 5);
    cr_assert_eq(verify(&fixture, fixture.path), MIKEYD_OK, "%s", verify_error.text);
    cr_assert_eq(verdict.file_count, 2);
    cr_assert_eq(verdict.first_sequence, 1);
    fixture_drop(&fixture);
}
