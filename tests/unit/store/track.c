/* When the store may judge and when it must not: lost track (RFC 3830 5.4), clocks, locks. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* As if the process had been killed: the state file says "open". */
static void leave_as_if_killed(void)
{
    leave_with_an_entry();
    FILE *state;
    char path[128], boot_id[64] = "";
    (void)snprintf(path, sizeof path, "%s/state", store_path);
    state = fopen("/proc/sys/kernel/random/boot_id", "r");
    cr_assert(state != NULL && fgets(boot_id, sizeof boot_id, state) != NULL);
    (void)fclose(state);
    state = fopen(path, "w");
    cr_assert_not_null(state);
    (void)fprintf(state, "mikeyd replay store 2\nopen\nwindow %d\nboot %s", WINDOW, boot_id);
    (void)fclose(state);
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
    leave_as_if_killed();
    struct replay_store *store = open_store();
    cr_expect_eq(closed_until(store), 0);
    cr_expect_eq(lookup_number(store, 1, NULL), MIKEYD_REPLAY);
    store_close(store);
}

Test(store_track, death_of_the_machine_closes_the_store_for_a_window)
{
    leave_as_if_killed();
    pretend_another_boot();
    expect_closed_for_a_window();
    cr_expect(store_has("data.mdb.lost"));
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

Test(store_track, restart_while_closed_begins_the_window_again)
{
    leave_as_if_killed();
    pretend_another_boot();
    struct replay_store *store = open_store();
    cr_expect_neq(closed_until(store), 0);
    store_close(store);
    time_passes(WINDOW / 2);
    expect_closed_for_a_window();
}

Test(store_track, clock_set_forward_does_not_end_the_closed_time)
{
    leave_as_if_killed();
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

static void discard_up_to_now(struct replay_store *store)
{
    for (uint64_t i = 0; i < 70; i++)
        cr_assert_eq(insert_number(store, i, 10, NULL), MIKEYD_OK);
    time_passes(WINDOW * 2);
    for (uint64_t i = 0; i < 70; i++)
        cr_assert_eq(insert_number(store, 1000 + i, 10, NULL), MIKEYD_OK);
    struct store_stats stats;
    store_get_stats(store, &stats);
    cr_assert_eq(stats.expired, 70);
}

Test(store_track, clock_set_back_before_what_was_discarded_closes_the_store)
{
    struct replay_store *store = open_store();
    discard_up_to_now(store);
    wall_offset_ms -= 60 * 1000;
    struct error err = {0};
    cr_expect_eq(lookup_number(store, 0, &err), MIKEYD_STORE_DOWN);
    cr_expect_not_null(strstr(err.text, "set back"), "%s", err.text);
    cr_expect_eq(insert_number(store, 0, 10, NULL), MIKEYD_STORE_DOWN);
    store_close(store);
    store = open_store();
    cr_expect_eq(lookup_number(store, 0, NULL), MIKEYD_STORE_DOWN, "a restart forgot it");
    wall_offset_ms += 60 * 1000;
    cr_expect_eq(lookup_number(store, 0, NULL), MIKEYD_OK);
    store_close(store);
}

/* ---- another window than last time */

static struct replay_store *open_store_with(unsigned window_s)
{
    struct replay_store *store = NULL;
    struct error err = {0};
    cr_assert_eq(store_open(store_path, window_s, &store, &err), MIKEYD_OK, "%s", err.text);
    return store;
}

/* discard_up_to_now() leaves the mark STORE_GRACE_S behind the present. */
#define CLOSED_S (WINDOW - STORE_GRACE_S) /* of three windows instead of one */

Test(store_track, wider_window_waits_for_what_was_discarded_under_the_narrower_one)
{
    struct replay_store *store = open_store();
    discard_up_to_now(store);
    store_close(store);
    for (int opening = 0; opening < 2; opening++) {
        store = open_store_with(3 * WINDOW);
        int64_t until = closed_until(store), now = clock_unix_now();
        cr_expect(until >= now + CLOSED_S - 2 && until <= now + CLOSED_S, "opening %d: %lld s",
                  opening, (long long)(until - now));
        struct error err = {0};
        cr_expect_eq(lookup_number(store, 0, &err), MIKEYD_STORE_DOWN);
        cr_expect_not_null(strstr(err.text, "widened"), "%s", err.text);
        cr_expect_eq(insert_number(store, 0, 10, NULL), MIKEYD_STORE_DOWN);
        if (opening == 0)
            store_close(store);
    }
    time_passes(CLOSED_S - 3);
    cr_expect_eq(lookup_number(store, 0, NULL), MIKEYD_STORE_DOWN);
    time_passes(4);
    cr_expect_eq(lookup_number(store, 0, NULL), MIKEYD_OK);
    cr_expect_eq(lookup_number(store, 1000, NULL), MIKEYD_REPLAY, "entries that are there stay");
    store_close(store);
}

Test(store_track, wider_window_keeps_the_entries_at_hand_for_its_own_length)
{
    struct replay_store *store = open_store();
    cr_assert_eq(insert_number(store, 1, WINDOW, NULL), MIKEYD_OK);
    store_close(store);
    store = open_store_with(3 * WINDOW);
    cr_expect_eq(closed_until(store), 0, "nothing was ever discarded");
    time_passes(2 * WINDOW);
    for (uint64_t i = 0; i < 200; i++)
        cr_assert_eq(insert_number(store, 1000 + i, 3 * WINDOW, NULL), MIKEYD_OK);
    cr_expect_eq(lookup_number(store, 1, NULL), MIKEYD_REPLAY);
    store_close(store);
}

Test(store_track, wider_window_waits_after_a_kill_too)
{
    struct replay_store *store = open_store();
    discard_up_to_now(store);
    store_close(store);
    edit_store_file("state", "clean", "open\n");
    store = open_store_with(3 * WINDOW);
    cr_expect_neq(closed_until(store), 0);
    store_close(store);
}

Test(store_track, wider_window_is_the_usual_one_once_it_has_passed)
{
    struct replay_store *store = open_store();
    cr_assert_eq(insert_number(store, 1, 10, NULL), MIKEYD_OK);
    store_close(store);
    store = open_store_with(3 * WINDOW);
    time_passes(4 * WINDOW);
    for (uint64_t i = 0; i < 200; i++)
        cr_assert_eq(insert_number(store, 1000 + i, 3 * WINDOW, NULL), MIKEYD_OK);
    struct store_stats stats;
    store_get_stats(store, &stats);
    cr_assert_eq(stats.expired, 1);
    store_close(store);
    store = open_store_with(3 * WINDOW);
    cr_expect_eq(closed_until(store), 0);
    store_close(store);
}

Test(store_track, narrower_window_changes_nothing_and_is_remembered)
{
    struct replay_store *store = open_store_with(3 * WINDOW);
    store_close(store);
    store = open_store();
    discard_up_to_now(store);
    cr_expect_eq(closed_until(store), 0);
    store_close(store);
    store = open_store_with(3 * WINDOW);
    cr_expect_neq(closed_until(store), 0);
    store_close(store);
}

Test(store_track, death_of_the_machine_outweighs_a_wider_window)
{
    leave_as_if_killed();
    pretend_another_boot();
    struct replay_store *store = open_store_with(3 * WINDOW);
    cr_expect_geq(closed_until(store), clock_unix_now() + 3 * WINDOW - 2);
    store_close(store);
    store = open_store_with(3 * WINDOW);
    cr_expect_geq(closed_until(store), clock_unix_now() + 3 * WINDOW - 2, "begins again");
    store_close(store);
}

Test(store_track, small_correction_of_the_clock_changes_nothing)
{
    struct replay_store *store = open_store();
    discard_up_to_now(store);
    wall_offset_ms -= 3 * 1000;
    cr_expect_eq(lookup_number(store, 0, NULL), MIKEYD_OK);
    store_close(store);
}

Test(store_track, one_process_at_a_time)
{
    struct replay_store *store = open_store(), *second = (struct replay_store *)&store;
    struct error err = {0};
    cr_expect_eq(store_open(store_path, WINDOW, &second, &err), MIKEYD_STORE_DOWN);
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

Test(store_track, directory_is_made_but_not_its_parent)
{
    char path[128];
    struct replay_store *store = NULL;
    (void)snprintf(path, sizeof path, "%s/none/replay", store_path);
    cr_expect_eq(store_open(path, WINDOW, &store, NULL), MIKEYD_STORE_DOWN);
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
