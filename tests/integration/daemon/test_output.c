/* What programs print for people: it arrives or they say so, it stays where it belongs, and nothing
 * in it can be mistaken. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab.h"

static struct lab lab;

static void make_lab(void)
{
    lab_make(&lab, NULL);
    cr_assert_eq(setenv("MIKEYD_SOCKET", lab.socket, 1), 0);
    cr_assert_eq(setenv("MIKEYD_CONFIG", lab.config, 1), 0);
    cr_assert_eq(setenv("MIKEYCTL", MIKEYCTL_PROGRAM, 1), 0);
    cr_assert_eq(setenv("MIKEYD", MIKEYD_PROGRAM, 1), 0);
    cr_assert_eq(setenv("LAB", lab.dir, 1), 0);
}

static void remove_lab(void)
{
    lab_remove(&lab);
}

TestSuite(output, .init = make_lab, .fini = remove_lab, .timeout = 60);

static int shell(const char *command)
{
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};
    return lab_run(&lab, argv);
}

static void expect_full(const char *command)
{
    char line[512];
    (void)snprintf(line, sizeof line, "%s >/dev/full 2>$LAB/err", command);
    cr_assert_eq(shell(line), 6, "%s", command);
    cr_assert_eq(shell("grep -q 'standard output: No space left' $LAB/err"), 0, "%s", command);
}

Test(output, every_command_fails_when_its_output_is_lost)
{
    lab_start(&lab);
    static const char *const commands[] = {
        "$MIKEYCTL --help",
        "$MIKEYCTL --version",
        "$MIKEYCTL status",
        "$MIKEYCTL --json status",
        "$MIKEYCTL key --help",
        "$MIKEYCTL key list",
        "$MIKEYCTL key list --json",
        "$MIKEYCTL policy check $LAB/policy.yaml",
        "$MIKEYCTL --json policy check $LAB/policy.yaml",
        "$MIKEYCTL exchange initiate --from " LAB_A " --to " LAB_B " --stream 11223344",
        "$MIKEYCTL audit verify $LAB/audit.jsonl",
        "$MIKEYCTL audit verify $LAB/audit.jsonl --json",
        "$MIKEYCTL audit report $LAB/audit.jsonl --html $LAB/report.html",
        "$MIKEYD --help",
        "$MIKEYD --version",
    };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        cr_assert_eq(shell(commands[i]), 0, "%s", commands[i]);
        expect_full(commands[i]);
    }
    cr_assert_eq(shell("$MIKEYCTL status >&-"), 6, "closed from the start");
}

Test(output, check_of_the_daemon_fails_when_its_output_is_lost)
{
    cr_assert_eq(shell("$MIKEYD --config $MIKEYD_CONFIG --check"), 0);
    expect_full("$MIKEYD --config $MIKEYD_CONFIG --check");
}

/* The audit log would become descriptor 2, and each line for the operator a line in it. */
Test(output, daemon_started_without_descriptors_writes_no_log_line_into_the_audit_log)
{
    cr_assert_eq(shell("$MIKEYD --config $MIKEYD_CONFIG <&- >&- 2>&- & pid=$!; "
                       "for i in $(seq 100); do $MIKEYCTL status >/dev/null && break; sleep 0.05; "
                       "done; kill $pid; wait $pid"),
                 0);
    cr_assert_gt(lab_count_in_file(lab.audit, "\n"), 1);
    cr_assert_eq(lab_count_in_file(lab.audit, "mikeyd: "), 0);
    cr_assert_eq(lab_verify_audit(&lab), 0);
}

Test(output, ceremony_started_without_descriptors_writes_no_message_into_the_audit_log)
{
    cr_assert_neq(shell("$MIKEYCTL --config $LAB/none key list <&- >&- 2>&-"), 0);
    (void)shell("$MIKEYCTL key destroy --kind psk --name nothing --generation 9 --yes "
                "<&- >&- 2>&-");
    cr_assert_eq(lab_count_in_file(lab.audit, "mikeyctl: "), 0);
    cr_assert_eq(lab_verify_audit(&lab), 0);
}

/* A record can be genuine and say what it likes: a client's name comes from the policy. */
Test(output, escape_sequences_of_a_log_do_not_reach_the_terminal)
{
    cr_assert_eq(
        shell("printf '{\"seq\":1,\"time\":\"\\\\u001b[2J\\\\nGOOD: forged\",\"event\":\"start\","
              "\"result\":\"OK\",\"prev\":\"%064d\",\"hash\":\"%064d\"}\n' 0 0 "
              ">$LAB/hostile.jsonl; $MIKEYCTL audit verify $LAB/hostile.jsonl"),
        2);
    char path[LAB_PATH + 8];
    (void)snprintf(path, sizeof path, "%s/out", lab.dir);
    char *text = lab_read_file(path);
    cr_assert_null(strchr(text, '\033'));
    cr_assert_not_null(strstr(text, "\\u{1b}[2J\\u{a}"), "%s", text);
    cr_assert_null(strstr(text, "\nGOOD"), "no line of the verdict is forged");
    free(text);
}
