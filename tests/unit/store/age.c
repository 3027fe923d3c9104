/* A store that is older than the audit log says: lost track, as after a crash of the machine. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/fixture.h"

TestSuite(store_age, .init = store_fixture_start, .fini = store_fixture_stop);

static char mark[STORE_MARK];

/* A first start, an entry, a clean end; the mark is what the log would hold. */
static void leave_with_mark(uint64_t number)
{
    struct replay_store *store = open_store_with(WINDOW, mark);
    cr_assert_eq(closed_until(store), 0);
    cr_assert_eq(insert_number(store, number, 60, NULL), MIKEYD_OK);
    store_get_mark(store, mark);
    store_close(store);
}

static void run(const char *command)
{
    cr_assert_eq(system(command), 0, "%s", command);
}

static void copy_store(void)
{
    char command[256];
    (void)snprintf(command, sizeof command, "cp -a %s %s.copy", store_path, store_path);
    run(command);
}

static void restore_store(void)
{
    char command[256];
    (void)snprintf(command, sizeof command, "cp -a %s.copy/. %s; rm -rf %s.copy", store_path,
                   store_path, store_path);
    run(command);
}

static void expect_lost(const char *witness, const char *why)
{
    struct replay_store *store = open_store_with(WINDOW, witness);
    struct error err = {0};
    cr_expect_geq(closed_until(store), clock_unix_now() + WINDOW - 2);
    cr_expect_eq(lookup_number(store, 7, &err), MIKEYD_STORE_DOWN);
    cr_expect_not_null(strstr(err.text, why), "%s", err.text);
    store_get_mark(store, mark);
    store_close(store);
}

Test(store_age, a_store_that_goes_on_opens_at_once)
{
    for (uint64_t i = 0; i < 3; i++)
        leave_with_mark(i);
    struct replay_store *store = open_store_with(WINDOW, mark);
    cr_expect_eq(closed_until(store), 0);
    cr_expect_eq(lookup_number(store, 0, NULL), MIKEYD_REPLAY);
    store_close(store);
}

Test(store_age, a_store_restored_from_a_copy_is_lost_track)
{
    leave_with_mark(1);
    copy_store();
    leave_with_mark(2);
    restore_store();
    expect_lost(mark, "restored");
    /* It heals: the log has the new mark. */
    time_passes(WINDOW + 1);
    struct replay_store *store = open_store_with(WINDOW, mark);
    time_passes(WINDOW + 1);
    cr_expect_eq(insert_number(store, 2, 60, NULL), MIKEYD_OK);
    store_get_mark(store, mark);
    store_close(store);
    store = open_store_with(WINDOW, mark);
    cr_expect_eq(closed_until(store), 0);
    store_close(store);
}

Test(store_age, a_store_restored_as_it_was_while_in_use_is_lost_track)
{
    struct replay_store *store = open_store_with(WINDOW, "");
    cr_assert_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    copy_store();
    cr_assert_eq(insert_number(store, 2, 60, NULL), MIKEYD_OK);
    store_get_mark(store, mark);
    store_close(store);
    restore_store();
    expect_lost(mark, "restored");
}

Test(store_age, an_emptied_folder_is_no_first_start)
{
    leave_with_mark(1);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -f %s/*", store_path);
    run(command);
    expect_lost(mark, "which is gone");
}

Test(store_age, another_store_is_lost_track)
{
    leave_with_mark(1);
    expect_lost("0123456789abcdef/3", "another replay store");
}

Test(store_age, a_log_without_a_mark_proves_nothing)
{
    leave_with_mark(1);
    expect_lost("", "never seen");
}

Test(store_age, a_damaged_mark_proves_nothing)
{
    leave_with_mark(1);
    expect_lost("0123", "damaged");
}

/* The record with the latest mark never reached the log: the store is the younger one. */
Test(store_age, death_before_the_record_is_no_loss)
{
    leave_with_mark(1);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        struct replay_store *store = open_store_with(WINDOW, mark);
        (void)insert_number(store, 2, 60, NULL);
        (void)kill(getpid(), SIGKILL);
    }
    int how = 0;
    cr_assert_eq(waitpid(child, &how, 0), child);
    struct replay_store *store = open_store_with(WINDOW, mark);
    cr_expect_eq(closed_until(store), 0);
    cr_expect_eq(lookup_number(store, 2, NULL), MIKEYD_REPLAY);
    store_close(store);
}

/* ... nor that of the first start, or of a database made anew: closed once more, and it heals. */
Test(store_age, death_before_the_first_record_heals)
{
    struct replay_store *store = open_store_with(WINDOW, "");
    store_close(store);
    expect_lost("", "never seen");
    expect_lost("", "never seen");
    time_passes(WINDOW + 1);
    store = open_store_with(WINDOW, mark);
    time_passes(WINDOW + 1);
    cr_expect_eq(insert_number(store, 2, 60, NULL), MIKEYD_OK);
    store_close(store);
}

Test(store_age, a_log_older_than_the_store_proves_nothing)
{
    struct replay_store *store = open_store_with(WINDOW, "");
    store_note_log(store, 17);
    cr_assert_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    store_get_mark(store, mark);
    store_close(store);
    log_sequence = 17;
    store = open_store_with(WINDOW, mark);
    cr_expect_eq(closed_until(store), 0);
    store_close(store);
    log_sequence = 16;
    expect_lost(mark, "records are missing");
    store = open_store_with(WINDOW, mark);
    time_passes(WINDOW + 1);
    cr_expect_eq(insert_number(store, 2, 60, NULL), MIKEYD_OK);
    store_close(store);
    store = open_store_with(WINDOW, mark);
    cr_expect_eq(closed_until(store), 0, "it heals");
    store_close(store);
}

Test(store_age, the_identity_outlives_a_loss)
{
    char identity[64];
    struct replay_store *store = open_store_with(WINDOW, "");
    (void)snprintf(identity, sizeof identity, "%s", store_identity(store));
    cr_expect_eq(strlen(identity), 32);
    store_close(store);
    leave_as_if_killed();
    pretend_another_boot();
    store = open_store();
    cr_assert_neq(closed_until(store), 0);
    cr_expect_str_eq(store_identity(store), identity);
    store_close(store);
}
