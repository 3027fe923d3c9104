/* Ceremony steps beside a running daemon: signed by themselves, linked into its log, and missed when
 * they are gone. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab.h"

static struct lab lab;

static int shell(const char *command)
{
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};
    return lab_run(&lab, argv);
}

static void expect_output(const char *text)
{
    char path[LAB_PATH + 8];
    (void)snprintf(path, sizeof path, "%s/out", lab.dir);
    char *out = lab_read_file(path);
    cr_assert_not_null(strstr(out, text), "no \"%s\" in: %s", text, out);
    free(out);
}

static void step(const char *name)
{
    lab_key_must(&lab, (const char *const[]){"generate", "--kind", "ticket", "--name", name, NULL});
}

/* A daemon whose log is signed, two ceremony steps beside it, the first linked and covered. */
static void enter(void)
{
    lab_make(&lab, NULL);
    cr_assert_eq(setenv("MIKEYD_SOCKET", lab.socket, 1), 0);
    cr_assert_eq(setenv("MIKEYD_CONFIG", lab.config, 1), 0);
    cr_assert_eq(setenv("MIKEYCTL", MIKEYCTL_PROGRAM, 1), 0);
    cr_assert_eq(setenv("LAB", lab.dir, 1), 0);
    cr_assert_eq(setenv("LOG", lab.audit, 1), 0);
    cr_assert_eq(shell("sed -i 's/^audit: .*/audit: {file: audit.jsonl, sign: {key: lab, seconds: "
                       "1}}/' $LAB/*.yaml && grep -q 'sign: {key: lab' $MIKEYD_CONFIG"),
                 0);
    lab_key_must(&lab, (const char *const[]){"generate", "--kind", "audit", "--name", "lab", NULL});
    lab_start(&lab);
    step("one");
    cr_assert_eq(kill(lab.daemon, SIGHUP), 0);
    cr_assert(lab_file_gets(lab.audit, "\"event\":\"ceremony\",\"result\":\"OK\""));
    cr_assert(lab_file_gets(lab.audit, "\"event\":\"reload\""));
    step("two");
}

static void stop(void)
{
    (void)lab_stop(&lab, SIGTERM);
    cr_assert_eq(shell("$MIKEYCTL audit export-key --out $LAB/key.pem"), 0);
}

static void leave(void)
{
    lab_remove(&lab);
}

TestSuite(ceremony_log, .init = enter, .fini = leave, .timeout = 60);

Test(ceremony_log, is_signed_by_the_ceremony_and_verified_with_the_daemons)
{
    stop();
    cr_assert_eq(shell("$MIKEYCTL audit verify $LOG --public-key $LAB/key.pem --strict"), 0);
    expect_output("ceremony    ");
    cr_assert_eq(
        shell("$MIKEYCTL audit verify $LOG.ceremony $LOG --public-key $LAB/key.pem --strict"), 0,
        "in any order");
    cr_assert_eq(shell("$MIKEYCTL audit verify $LOG.ceremony --public-key $LAB/key.pem --strict"),
                 0, "and by itself");
    expect_output("covered up to record");
}

Test(ceremony_log, deleted_file_is_missed)
{
    stop();
    cr_assert_eq(shell("rm $LOG.ceremony; $MIKEYCTL audit verify $LOG --public-key $LAB/key.pem"),
                 1);
    expect_output("audit.jsonl.ceremony, which had come to record 2");
}

Test(ceremony_log, deleted_steps_contradict_the_daemons_log)
{
    stop();
    cr_assert_eq(shell("head -1 $LOG.ceremony >$LAB/cut && cat $LAB/cut >$LOG.ceremony && "
                       "$MIKEYCTL audit verify $LOG --public-key $LAB/key.pem"),
                 2);
    expect_output("had come to record 2 with another end than it has");
}

/* Begun anew by the next ceremony, as if the first step had never been; genuinely signed. */
Test(ceremony_log, log_begun_anew_contradicts_the_daemons_log)
{
    cr_assert_eq(shell("rm $LOG.ceremony"), 0);
    step("three");
    step("four");
    cr_assert_eq(kill(lab.daemon, SIGHUP), 0);
    stop();
    cr_assert_eq(shell("$MIKEYCTL audit verify $LOG --public-key $LAB/key.pem"), 2);
    expect_output("had come to record 2 with another end than it has");
}

Test(ceremony_log, daemon_records_that_it_is_gone)
{
    cr_assert_eq(shell("rm $LOG.ceremony"), 0);
    cr_assert_eq(kill(lab.daemon, SIGHUP), 0);
    cr_assert(lab_file_gets(lab.audit, "\"event\":\"ceremony\",\"result\":\"SYNTAX\""));
}

Test(ceremony_log, next_start_links_what_came_since)
{
    stop();
    lab_start(&lab);
    cr_assert(lab_file_gets(lab.audit, "\"linked_seq\":4"));
}
