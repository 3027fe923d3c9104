/* Who got keys for this pair on this day: asked of the log of a real daemon, and of changed ones. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab_ctl.h"

static struct lab lab;

static int shell(const char *command)
{
    return lab_run(&lab, (const char *const[]){"/bin/sh", "-c", command, NULL});
}

/* Two exchanges, one of them named; a refusal; the log is rotated in between. */
static void enter(void)
{
    lab_make(&lab, NULL);
    cr_assert_eq(setenv("MIKEYD_SOCKET", lab.socket, 1), 0);
    cr_assert_eq(setenv("MIKEYCTL", MIKEYCTL_PROGRAM, 1), 0);
    cr_assert_eq(setenv("LOG", lab.audit, 1), 0);
    cr_assert_eq(setenv("POLICY", lab.policy, 1), 0);
    lab_start(&lab);
    cr_assert_eq(shell("$MIKEYCTL exchange initiate --no-verify --from " LAB_A " --to " LAB_B
                       " --reference 'a84b4c@pc33 \"x\"'"),
                 0);
    cr_assert_eq(shell("mv $LOG $LOG.1 && touch $LOG"), 0);
    cr_assert_eq(kill(lab.daemon, SIGHUP), 0);
    cr_assert(lab_file_gets(lab.audit, "\"previous_file\":\"audit.jsonl.1\""));
    cr_assert_eq(shell("$MIKEYCTL exchange initiate --no-verify --from " LAB_A " --to " LAB_B), 0);
    cr_assert_eq(shell("$MIKEYCTL exchange initiate --from " LAB_A " --to sip:nobody@lab.example"),
                 3);
    cr_assert(lab_file_gets(lab.audit, "\"event\":\"refused\""));
    (void)lab_stop(&lab, SIGTERM);
}

static void leave(void)
{
    lab_remove(&lab);
}

TestSuite(audit_query, .init = enter, .fini = leave, .timeout = 120);

static json_int_t number(const json_t *object, const char *name)
{
    cr_assert(json_is_integer(json_object_get(object, name)), "%s", name);
    return json_integer_value(json_object_get(object, name));
}

Test(audit_query, releases_of_a_pair_are_found_in_both_directions_and_in_rotated_files)
{
    cr_assert_eq(shell("$MIKEYCTL audit query $LOG --pair " LAB_B "," LAB_A
                       " --event released --policy $POLICY --json"),
                 0);
    json_t *answer = lab_printed(&lab);
    const json_t *records = json_object_get(answer, "records");
    cr_assert_eq(json_array_size(records), 2);
    cr_assert_eq(number(answer, "found"), 2);
    cr_assert_geq(number(answer, "keys"), 2);
    cr_assert_eq(number(answer, "unverified"), 0);
    cr_assert(json_is_true(json_object_get(answer, "good")));
    const json_t *first = json_array_get(records, 0);
    cr_assert_str_eq(lab_text(first, "from"), LAB_A);
    cr_assert_str_eq(lab_text(first, "reference"), "a84b4c@pc33 \"x\"");
    cr_assert(json_is_true(json_object_get(first, "verifies")));
    cr_assert_null(json_object_get(json_array_get(records, 1), "reference"));
    json_decref(answer);
}

Test(audit_query, day_client_and_event_narrow_the_answer)
{
    cr_assert_eq(shell("day=$(date -u +%Y-%m) && $MIKEYCTL audit query $LOG --day $day --client "
                       "$(sed -nE 's/.*\"event\":\"initiate\".*\"client\":\"([^\"]*)\".*/\\1/p' "
                       "$LOG | head -1) --event initiate | tail -2 | grep -q '^2 records'"),
                 0);
    cr_assert_eq(shell("$MIKEYCTL audit query $LOG --day 2001-01-01 | grep -q '^0 records'"), 0);
    cr_assert_eq(shell("$MIKEYCTL audit query $LOG --client nobody | grep -q '^0 records'"), 0);
    cr_assert_eq(shell("$MIKEYCTL audit query $LOG --event refused | grep -q 'refused '"), 0);
}

Test(audit_query, record_that_was_changed_is_marked_and_the_answer_fails)
{
    cr_assert_eq(shell("sed -i '/\"event\":\"initiate\"/s/\"keys\":./\"keys\":9/' $LOG.1"), 0);
    cr_assert_eq(shell("$MIKEYCTL audit query $LOG --event released --json"), 2);
    json_t *answer = lab_printed(&lab);
    const json_t *records = json_object_get(answer, "records");
    cr_assert(json_is_false(json_object_get(answer, "good")));
    cr_assert_eq(number(answer, "unverified"), 1);
    cr_assert(json_is_false(json_object_get(json_array_get(records, 0), "verifies")));
    cr_assert(json_is_true(json_object_get(json_array_get(records, 1), "verifies")));
    cr_assert_str_eq(lab_text(json_object_get(answer, "error"), "code"), "SYNTAX");
    json_decref(answer);
    cr_assert_eq(shell("$MIKEYCTL audit query $LOG --event released"), 2);
    char *text = lab_output(&lab);
    cr_assert_eq(strncmp(text, "UNVERIFIED ", 11), 0, "%s", text);
    cr_assert_not_null(strstr(text, "THE LOG DOES NOT VERIFY"));
    free(text);
}

Test(audit_query, questions_that_mean_nothing_are_usage_errors)
{
    cr_assert_eq(shell("$MIKEYCTL audit query $LOG --pair " LAB_A " --json"), 1);
    cr_assert_eq(shell("$MIKEYCTL audit query $LOG --day yesterday --json"), 1);
    cr_assert_eq(shell("$MIKEYCTL audit query $LOG --event initiated --json"), 1);
    json_t *answer = lab_printed(&lab);
    cr_assert_str_eq(lab_text(json_object_get(answer, "error"), "code"), "INVALID_ARGUMENT");
    json_decref(answer);
}

/* Told to a terminal, or when asked for; never beside JSON. */
Test(audit_query, progress_is_told_on_stderr_when_asked_for)
{
    cr_assert_eq(shell("$MIKEYCTL --progress audit verify $LOG 2>&1 >/dev/null | "
                       "grep -qE '^verifying: ([0-9]+) of \\1 kB, [0-9]+ kB/s$'"),
                 0);
    cr_assert_eq(shell("test -z \"$($MIKEYCTL audit verify $LOG 2>&1 >/dev/null)\""), 0);
    cr_assert_eq(
        shell("test -z \"$($MIKEYCTL --progress --json audit verify $LOG 2>&1 >/dev/null)\""), 0);
    cr_assert_eq(shell("$MIKEYCTL audit verify $LOG --json --nonsense 2>/dev/null"), 1);
    json_t *answer = lab_printed(&lab);
    cr_assert_str_eq(lab_text(json_object_get(answer, "error"), "code"), "INVALID_ARGUMENT");
    json_decref(answer);
}
