/* When the store may judge and when it must not: lost track (RFC 3830 5.4), clocks, locks. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/fixture.h"
#include "store/store_clock.h"

TestSuite(store_track, .init = store_fixture_start, .fini = store_fixture_stop);

static bool store_has(const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", store_path, name);
    return access(path, F_OK) == 0;
}

static void leave_with_an_entry(void)
{
    struct replay_store *store = open_store();
    cr_assert_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    store_close(store);
}

static void leave_killed_with_an_entry(void)
{
    leave_with_an_entry();
    leave_as_if_killed();
}

static void expect_closed_for_a_window(void)
{
    struct replay_store *store = open_store();
    struct error err = {0};
    int64_t until = closed_until(store);
    cr_expect(until >= clock_unix_now() + WINDOW - 2 && until <= clock_unix_now() + WINDOW);
    cr_expect_eq(lookup_number(store, 1, &err), MIKEYD_STORE_DOWN);
    char when[CLOCK_TEXT];
    clock_format_utc(until * 1000, when);
    cr_expect_not_null(strstr(err.text, when), "%s does not name %s", err.text, when);
    cr_expect_eq(insert_number(store, 2, 60, NULL), MIKEYD_STORE_DOWN);
    time_passes(WINDOW - 3);
    cr_expect_eq(insert_number(store, 2, 60, NULL), MIKEYD_STORE_DOWN);
    time_passes(4);
    cr_expect_eq(insert_number(store, 2, 60, NULL), MIKEYD_OK);
    cr_expect_eq(closed_until(store), 0);
    store_close(store);
    store = open_store();
    cr_expect_eq(closed_until(store), 0);
    cr_expect_eq(lookup_number(store, 2, NULL), MIKEYD_REPLAY);
    store_close(store);
}

Test(store_track, first_start_opens_at_once)
{
    struct replay_store *store = open_store();
    cr_expect_eq(closed_until(store), 0);
    cr_expect_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    store_close(store);
}

Test(store_track, death_of_the_process_loses_nothing)
{
    leave_killed_with_an_entry();
    struct replay_store *store = open_store();
    cr_expect_eq(closed_until(store), 0);
    cr_expect_eq(lookup_number(store, 1, NULL), MIKEYD_REPLAY);
    store_close(store);
}

Test(store_track, death_of_the_machine_closes_the_store_for_a_window)
{
    leave_killed_with_an_entry();
    pretend_another_boot();
    expect_closed_for_a_window();
    cr_expect(store_has("data.mdb.lost"));
}

/* A process that really dies: the state file is as it was written while the store was in use. */
Test(store_track, death_of_a_machine_whose_store_was_left_clean_before_closes_it_for_a_window)
{
    leave_with_an_entry();
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0)
        _exit(insert_number(open_store(), 3, 60, NULL) == MIKEYD_OK ? 0 : 1);
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    pretend_another_boot();
    expect_closed_for_a_window();
}

Test(store_track, reboot_after_a_clean_close_loses_nothing)
{
    leave_with_an_entry();
    pretend_another_boot();
    struct replay_store *store = open_store();
    cr_expect_eq(closed_until(store), 0);
    cr_expect_eq(lookup_number(store, 1, NULL), MIKEYD_REPLAY);
    store_close(store);
}

Test(store_track, damaged_database_closes_the_store_for_a_window)
{
    leave_with_an_entry();
    char path[128];
    (void)snprintf(path, sizeof path, "%s/data.mdb", store_path);
    int fd = open(path, O_WRONLY);
    uint8_t junk[8192];
    memset(junk, 0xa7, sizeof junk);
    cr_assert_eq(pwrite(fd, junk, sizeof junk, 0), sizeof junk);
    (void)close(fd);
    expect_closed_for_a_window();
}

Test(store_track, database_cut_short_closes_the_store_for_a_window)
{
    struct replay_store *store = open_store();
    for (uint64_t i = 0; i < 20000; i++)
        cr_assert_eq(insert_number(store, i, 60, NULL), MIKEYD_OK);
    store_close(store);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/data.mdb", store_path);
    cr_assert_eq(truncate(path, 128 * 1024), 0);
    expect_closed_for_a_window();
}

Test(store_track, database_that_is_gone_closes_the_store_for_a_window)
{
    leave_with_an_entry();
    char path[128];
    (void)snprintf(path, sizeof path, "%s/data.mdb", store_path);
    cr_assert_eq(unlink(path), 0);
    expect_closed_for_a_window();
}

Test(store_track, state_file_that_is_gone_closes_the_store_for_a_window)
{
    leave_with_an_entry();
    char path[128];
    (void)snprintf(path, sizeof path, "%s/state", store_path);
    cr_assert_eq(unlink(path), 0);
    expect_closed_for_a_window();
}

Test(store_track, state_file_that_makes_no_sense_closes_the_store_for_a_window)
{
    leave_with_an_entry();
    edit_store_file("state", "clean", "clear");
    expect_closed_for_a_window();
}

/* Its times would end where the damage begins, and what comes after them be forgotten. */
Test(store_track, state_file_with_a_damaged_last_line_closes_the_store_for_a_window)
{
    leave_with_an_entry();
    edit_store_file("state", "tickets -\n", "tickets -x");
    expect_closed_for_a_window();
}

Test(store_track, restart_while_closed_begins_the_window_again)
{
    leave_killed_with_an_entry();
    pretend_another_boot();
    struct replay_store *store = open_store();
    cr_expect_neq(closed_until(store), 0);
    store_close(store);
    time_passes(WINDOW / 2);
    expect_closed_for_a_window();
}

Test(store_track, clock_set_forward_does_not_end_the_closed_time)
{
    leave_killed_with_an_entry();
    pretend_another_boot();
    struct replay_store *store = open_store();
    wall_offset_ms += 3600 * 1000;
    cr_expect_eq(insert_number(store, 2, 60, NULL), MIKEYD_STORE_DOWN);
    time_passes(WINDOW + 1);
    cr_expect_eq(insert_number(store, 2, 60, NULL), MIKEYD_OK);
    store_close(store);
}

/* Entries dropped while the clock stood too far ahead would be missing afterwards. */
Test(store_track, clock_that_jumps_ahead_and_back_discards_nothing)
{
    struct replay_store *store = open_store();
    cr_assert_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    time_passes(WINDOW + 20);
    cr_assert_eq(insert_number(store, 2, 60, NULL), MIKEYD_OK);
    wall_offset_ms += 3600 * 1000;
    for (uint64_t i = 0; i < 200; i++)
        cr_assert_eq(insert_number(store, 1000 + i, 60, NULL), MIKEYD_OK);
    wall_offset_ms -= 3600 * 1000;
    cr_expect_eq(lookup_number(store, 2, NULL), MIKEYD_REPLAY);
    store_close(store);
}

Test(store_track, one_process_at_a_time)
{
    struct replay_store *store = open_store(), *second = (struct replay_store *)&store;
    struct error err = {0};
    cr_expect_eq(lmdb_store_open(store_path, WINDOW, NULL, &second, &err), MIKEYD_STORE_DOWN);
    cr_expect_null(second);
    cr_expect_not_null(strstr(err.text, "in use"));
    cr_expect_eq(insert_number(store, 1, 60, NULL), MIKEYD_OK);
    store_close(store);
    second = open_store();
    cr_expect_eq(lookup_number(second, 1, NULL), MIKEYD_REPLAY);
    store_close(second);
}

Test(store_track, directory_is_for_its_owner_alone)
{
    cr_assert_eq(chmod(store_path, 0755), 0);
    struct replay_store *store = open_store();
    struct stat stat_of;
    cr_assert_eq(stat(store_path, &stat_of), 0);
    cr_expect_eq(stat_of.st_mode & 0777, 0700);
    store_close(store);
}

Test(store_track, directory_of_another_user_is_refused)
{
    struct replay_store *store = NULL;
    struct error err = {0};
    if (geteuid() != 0)
        cr_skip_test("only root can give a folder away");
    cr_assert_eq(chown(store_path, 12345, 12345), 0);
    cr_expect_eq(lmdb_store_open(store_path, WINDOW, NULL, &store, &err), MIKEYD_STORE_DOWN);
    cr_expect_null(store);
    cr_expect_not_null(strstr(err.text, "another user"), "%s", err.text);
    cr_assert_eq(chown(store_path, 0, 0), 0);
    store = open_store();
    store_close(store);
}

Test(store_track, directory_is_made_but_not_its_parent)
{
    char path[128];
    struct replay_store *store = NULL;
    (void)snprintf(path, sizeof path, "%s/none/replay", store_path);
    cr_expect_eq(lmdb_store_open(path, WINDOW, NULL, &store, NULL), MIKEYD_STORE_DOWN);
    cr_expect_null(store);
    cr_assert_eq(rmdir(store_path), 0);
    store = open_store();
    store_close(store);
}

Test(store_clock, follows_a_slewing_clock_without_a_pause)
{
    struct store_clock clock;
    store_clock_start(&clock, 1000000, 0);
    int64_t wall = 1000000, boot = 0;
    for (int i = 0; i < 1000; i++) {
        boot += 1000;
        wall += 1010; /* ten seconds gained in all */
        (void)store_clock_cutoff(&clock, wall, boot, 100);
    }
    cr_expect_eq(store_clock_cutoff(&clock, wall, boot, 100), wall / 1000 - STORE_GRACE_S);
}

Test(store_clock, waits_a_window_after_a_step)
{
    struct store_clock clock;
    store_clock_start(&clock, 1000000, 0);
    cr_expect_eq(store_clock_cutoff(&clock, 1099000, 99000, 100), STORE_NOTHING);
    cr_expect_eq(store_clock_cutoff(&clock, 1100000, 100000, 100), 1100 - STORE_GRACE_S);
    cr_expect_eq(store_clock_cutoff(&clock, 1105000, 101000, 100), STORE_NOTHING);
    cr_expect_eq(store_clock_cutoff(&clock, 1204000, 200000, 100), STORE_NOTHING);
    cr_expect_eq(store_clock_cutoff(&clock, 1205000, 201000, 100), 1205 - STORE_GRACE_S);
}
