/* The replay store under a real daemon: restored from copies, emptied, with another audit log; and
 * the clock that it rests on. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lab.h"

static struct lab lab;
static char replay[LAB_PATH], copy[LAB_PATH];

static void make_lab(void)
{
    lab_make(&lab, NULL);
    (void)snprintf(replay, sizeof replay, "%.100s/replay", lab.dir);
    (void)snprintf(copy, sizeof copy, "%.100s/copy", lab.dir);
}

static void remove_lab(void)
{
    lab_remove(&lab);
}

TestSuite(store_daemon, .init = make_lab, .fini = remove_lab, .timeout = 120);

static void run(const char *program, const char *option, const char *from, const char *to)
{
    cr_assert_eq(lab_run(&lab, (const char *const[]){program, option, from, to, NULL}), 0);
}

static void save(const char *what)
{
    run("cp", "-a", what, copy);
}

static void restore(const char *what)
{
    run("rm", "-rf", what, what);
    run("mv", "-f", copy, what);
}

/* An I_MESSAGE that the daemon has answered. */
static mikeyd_exchange *accept_message(void)
{
    mikeyd_client *client = lab_client(&lab);
    mikeyd_exchange *offer = NULL, *answered = NULL;
    cr_assert_eq(lab_initiate(client, &offer), MIKEYD_OK, "%s", mikeyd_client_error(client));
    struct mikeyd_answer answer = {.as = LAB_B};
    answer.message = mikeyd_exchange_message(offer, &answer.message_len);
    cr_assert_eq(mikeyd_respond(client, &answer, &answered), MIKEYD_OK, "%s",
                 mikeyd_client_error(client));
    mikeyd_exchange_free(answered);
    mikeyd_client_close(client);
    return offer;
}

static void expect_answer(mikeyd_exchange *offer, enum mikeyd_status expected)
{
    mikeyd_client *client = lab_client(&lab);
    mikeyd_exchange *answered = NULL;
    struct mikeyd_answer answer = {.as = LAB_B};
    answer.message = mikeyd_exchange_message(offer, &answer.message_len);
    cr_expect_eq(mikeyd_respond(client, &answer, &answered), expected, "%s",
                 mikeyd_client_error(client));
    mikeyd_exchange_free(answered);
    mikeyd_client_close(client);
}

static void expect_lost(const char *why)
{
    cr_expect(lab_file_gets(lab.log, why), "the log does not say so");
    cr_expect_geq(lab_count_in_file(lab.audit, "\"event\":\"store\",\"result\":\"STORE_DOWN\""), 1);
    cr_expect_geq(lab_count_in_file(lab.audit, why), 1, "the audit log does not say so");
}

static void expect_whole_exchange(void)
{
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
}

static void release_token(void)
{
    lab_key_must(&lab, (const char *const[]){"release-store", NULL});
}

Test(store_daemon, restored_from_a_copy_answers_nothing_that_was_answered_since)
{
    lab_start(&lab);
    mikeyd_exchange_free(accept_message());
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    save(replay);
    lab_start(&lab);
    mikeyd_exchange *offer = accept_message();
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    restore(replay);
    lab_start(&lab);
    expect_answer(offer, MIKEYD_STORE_DOWN);
    expect_lost("it was restored from a copy");
    mikeyd_exchange_free(offer);
    cr_expect_eq(lab_stop(&lab, SIGTERM), 0);
    cr_expect_eq(lab_verify_audit(&lab), 0);
}

/* Copied under way, and the daemon killed: only the records of the calls tell. */
Test(store_daemon, a_copy_taken_while_in_use_is_told_from_the_store)
{
    lab_start(&lab);
    mikeyd_exchange_free(accept_message());
    save(replay);
    mikeyd_exchange *offer = accept_message();
    (void)lab_stop(&lab, SIGKILL);
    restore(replay);
    lab_start(&lab);
    expect_answer(offer, MIKEYD_STORE_DOWN);
    expect_lost("it was restored from a copy");
    mikeyd_exchange_free(offer);
}

Test(store_daemon, an_emptied_folder_is_no_first_start)
{
    lab_start(&lab);
    mikeyd_exchange *offer = accept_message();
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    run("rm", "-rf", replay, replay);
    release_token();
    lab_start(&lab);
    expect_answer(offer, MIKEYD_STORE_DOWN);
    expect_lost("which is gone");
    mikeyd_exchange_free(offer);
}

Test(store_daemon, an_audit_log_restored_from_a_copy_is_told)
{
    lab_start(&lab);
    mikeyd_exchange_free(accept_message());
    save(lab.audit);
    (void)sleep(2); /* for the store to hear of the record, ... */
    mikeyd_exchange *offer = accept_message();
    (void)sleep(2);
    mikeyd_exchange_free(accept_message()); /* ... and to remember it with another entry */
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    restore(lab.audit);
    lab_start(&lab);
    expect_answer(offer, MIKEYD_STORE_DOWN);
    expect_lost("records are missing from its end");
    mikeyd_exchange_free(offer);
}

Test(store_daemon, a_killed_daemon_raises_no_false_alarm)
{
    for (int i = 0; i < 3; i++) {
        lab_start(&lab);
        mikeyd_exchange *offer = accept_message();
        (void)lab_stop(&lab, SIGKILL);
        lab_start(&lab);
        expect_answer(offer, MIKEYD_REPLAY);
        expect_whole_exchange();
        cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
        mikeyd_exchange_free(offer);
    }
}

Test(store_daemon, each_file_of_a_rotated_log_proves_the_age)
{
    char away[LAB_PATH];
    (void)snprintf(away, sizeof away, "%.100s/away", lab.dir);
    lab_start(&lab);
    expect_whole_exchange();
    run("mv", "-f", lab.audit, away);
    cr_assert_eq(kill(lab.daemon, SIGHUP), 0);
    for (int i = 0; i < 250 && access(lab.audit, F_OK) != 0; i++)
        (void)usleep(20000);
    cr_assert(lab_file_gets(lab.audit, "\"event\":\"store\""));
    (void)lab_stop(&lab, SIGKILL);
    lab_start(&lab);
    expect_whole_exchange();
}

/* ---- two stores, one token */

/* A second configuration on the same token, all else its own. */
static void write_other_config(char path[LAB_PATH])
{
    char command[1024];
    (void)snprintf(path, LAB_PATH, "%.100s/other.yaml", lab.dir);
    (void)snprintf(command, sizeof command,
                   "sed -e 's/lmdb: replay/lmdb: other-replay/' -e 's/audit.jsonl/other.jsonl/' "
                   "-e 's#run/s,#run/other,#' %s >%.120s",
                   lab.config, path);
    cr_assert_eq(system(command), 0);
}

Test(store_daemon, another_daemon_with_a_store_of_its_own_is_refused)
{
    if (lab.token.kind == TOKEN_FIXTURE_ISOLATED)
        cr_skip_test("write-protected: it takes no mark");
    char other[LAB_PATH], out[LAB_PATH];
    (void)snprintf(out, sizeof out, "%.100s/out", lab.dir);
    write_other_config(other);
    lab_start(&lab);
    expect_whole_exchange();
    const char *const argv[] = {MIKEYD_PROGRAM, "--config", other, NULL};
    cr_expect_eq(lab_run(&lab, argv), 3);
    cr_expect_eq(lab_count_in_file(out, "belongs to replay store"), 1);
    cr_expect_eq(lab_count_in_file(out, "mikeyctl key release-store"), 1);
    expect_whole_exchange();
    /* The mark is the store's, not the process's: it needs no end in order. */
    (void)lab_stop(&lab, SIGKILL);
    cr_expect_eq(lab_run(&lab, argv), 3);
    lab_start(&lab);
    expect_whole_exchange();
}

Test(store_daemon, a_token_is_moved_to_another_store_by_a_recorded_command)
{
    if (lab.token.kind == TOKEN_FIXTURE_ISOLATED)
        cr_skip_test("write-protected: it takes no mark");
    lab_start(&lab);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    save(replay);
    run("rm", "-rf", replay, replay);
    cr_assert_eq(lab_start_refused(&lab), 3);
    release_token();
    cr_expect_eq(lab_count_in_file(lab.audit, "replay store is released"), 1);
    lab_start(&lab);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    restore(replay);
    cr_assert_eq(lab_start_refused(&lab), 3, "the old store has lost the token");
}

Test(store_daemon, a_token_that_takes_no_mark_is_told)
{
    if (lab.token.kind != TOKEN_FIXTURE_ISOLATED)
        cr_skip_test("it takes one");
    lab_start(&lab);
    cr_expect(lab_file_gets(lab.log, "takes no mark of its replay store"));
    cr_expect_eq(lab_count_in_file(lab.audit, "takes no mark of its replay store"), 1);
    expect_whole_exchange();
}

/* ---- the clock */

/* What the daemon's wall clock is moved by, milliseconds (tests/module/clock_shift.c). */
static volatile int64_t *shift_clock(void)
{
    char path[LAB_PATH];
    (void)snprintf(path, sizeof path, "%.100s/shift", lab.dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && ftruncate(fd, sizeof(int64_t)) == 0);
    void *map = mmap(NULL, sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert(map != MAP_FAILED);
    (void)close(fd);
    cr_assert_eq(setenv("MIKEYD_TEST_CLOCK", path, 1), 0);
    cr_assert_eq(setenv("LD_PRELOAD", CLOCK_SHIFT, 1), 0);
    lab_start(&lab);
    (void)unsetenv("LD_PRELOAD");
    return map;
}

/* The status once its check of the clock begins so, within five seconds; free() it. */
static char *status_with_clock(const char *sentence)
{
    char wanted[64], *status = NULL;
    (void)snprintf(wanted, sizeof wanted, "\"clock\":\"%s", sentence);
    mikeyd_client *client = lab_client(&lab);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(mikeyd_client_status(client, true, &status), MIKEYD_OK);
        if (strstr(status, wanted) != NULL)
            break;
        free(status);
        status = NULL;
        (void)usleep(50000);
    }
    mikeyd_client_close(client);
    cr_assert_not_null(status, "never said %s", wanted);
    return status;
}

Test(store_daemon, a_clock_that_steps_is_unhealthy_and_the_status_says_how_to_mend_it)
{
    if (lab_daemon_is_sanitized())
        cr_skip_test("the sanitizer has to be loaded first");
    volatile int64_t *shift_ms = shift_clock();
    char *status = status_with_clock("OK");
    cr_expect_not_null(strstr(status, "\"healthy\":true"), "%s", status);
    free(status);
    *shift_ms = 3600 * 1000;
    status = status_with_clock("the clock was set forward by");
    cr_expect_not_null(strstr(status, "\"healthy\":false"), "%s", status);
    cr_expect_not_null(strstr(status, "no restart is needed"), "%s", status);
    cr_expect(lab_file_gets(lab.log, "the clock stepped by +"));
    free(status);
    mikeyd_exchange *offer = accept_message();
    *shift_ms = 0;
    status = status_with_clock("OK");
    cr_expect_not_null(strstr(status, "\"healthy\":true"), "%s", status);
    free(status);
    cr_expect(lab_file_gets(lab.log, "the clock is believed again"));
    expect_answer(offer, MIKEYD_CLOCK_SKEW);
    mikeyd_exchange_free(offer);
    expect_whole_exchange();
}
