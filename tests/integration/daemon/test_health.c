/* Health is the answer to one question: would the next request succeed, and for how long? */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "lab.h"

static struct lab lab;
static char folder[LAB_PATH + 16]; /* of the replay store; mounted over when not empty */

static void make_lab(void)
{
    lab_make(&lab, NULL);
}

static void remove_lab(void)
{
    if (lab.daemon != 0)
        (void)lab_stop(&lab, SIGTERM);
    if (folder[0] != '\0')
        (void)umount(folder);
    lab_remove(&lab);
}

TestSuite(health, .init = make_lab, .fini = remove_lab, .timeout = 60);

/* The psk of the laboratory expires at midnight of a day that many days from now. */
static void expire_in(int days)
{
    char with[64], text[2048];
    const time_t then = time(NULL) + (time_t)days * 86400;
    struct tm date;
    (void)gmtime_r(&then, &date);
    (void)strftime(with, sizeof with, "generation: 1, not_after: %Y-%m-%d}", &date);
    lab_write_policy(&lab, "");
    char *policy = lab_read_file(lab.policy);
    char *at = strstr(policy, "generation: 1}");
    cr_assert_not_null(at);
    *at = '\0';
    (void)snprintf(text, sizeof text, "%s%s%s", policy, with, at + strlen("generation: 1}"));
    lab_write_file(lab.policy, text);
    free(policy);
}

static json_t *health(void)
{
    char *text = NULL;
    mikeyd_client *client = lab_client(&lab);
    cr_assert_eq(mikeyd_client_status(client, true, &text), MIKEYD_OK);
    mikeyd_client_close(client);
    json_t *report = json_loads(text, 0, NULL);
    cr_assert_not_null(report, "%s", text);
    free(text);
    return report;
}

static const char *check(const json_t *report, const char *part)
{
    return json_string_value(json_object_get(json_object_get(report, "checks"), part));
}

static int status_of_mikeyctl(void)
{
    return lab_run(&lab,
                   (const char *const[]){MIKEYCTL_PROGRAM, "--socket", lab.socket, "status", NULL});
}

Test(health, key_out_of_date_is_not_healthy)
{
    expire_in(-1);
    lab_start(&lab);
    mikeyd_exchange *exchange = NULL;
    mikeyd_client *client = lab_client(&lab);
    cr_assert_eq(lab_initiate(client, &exchange), MIKEYD_POLICY);
    mikeyd_client_close(client);
    json_t *report = health();
    cr_assert(json_is_false(json_object_get(report, "healthy")));
    cr_assert_not_null(strstr(check(report, "keys"), "key pbx/1 expired at"), "%s",
                       check(report, "keys"));
    cr_assert_str_eq(check(report, "token"), "OK");
    json_decref(report);
    cr_assert_eq(status_of_mikeyctl(), 4);
    cr_assert(lab_file_gets(lab.log, "keys: key pbx/1 expired at"));
}

Test(health, end_of_a_key_is_told_before_it_comes)
{
    expire_in(5);
    lab_start(&lab);
    json_t *report = health();
    cr_assert(json_is_true(json_object_get(report, "healthy")));
    const char *warning = json_string_value(json_array_get(json_object_get(report, "warnings"), 0));
    cr_assert(warning != NULL && strstr(warning, "key pbx/1 expires in ") != NULL, "%s", warning);
    const json_int_t until = json_integer_value(json_object_get(report, "good_until"));
    cr_assert(until > time(NULL) + 4 * 86400 && until < time(NULL) + 7 * 86400);
    json_decref(report);
    cr_assert_eq(status_of_mikeyctl(), 0);
    cr_assert(lab_file_gets(lab.log, "key pbx/1 expires in "));
    /* A key with time left says nothing; a reload looks anew. */
    expire_in(60);
    cr_assert_eq(kill(lab.daemon, SIGHUP), 0);
    cr_assert(lab_file_gets(lab.audit, "\"event\":\"reload\""));
    report = health();
    cr_assert_eq(json_array_size(json_object_get(report, "warnings")), 0);
    json_decref(report);
}

/* A disk of its own for the store, filled by somebody else, before any request fails. */
Test(health, full_disk_is_not_healthy)
{
    static char block[65536];
    char filler[LAB_PATH + 32];
    (void)snprintf(folder, sizeof folder, "%s/replay", lab.dir);
    (void)mkdir(folder, 0700);
    if (mount("tmpfs", folder, "tmpfs", 0, "size=200m,mode=0700") != 0) {
        folder[0] = '\0';
        cr_skip_test("no right to mount");
    }
    lab_start(&lab);
    json_t *report = health();
    cr_assert_str_eq(check(report, "store"), "OK");
    json_decref(report);
    (void)snprintf(filler, sizeof filler, "%s/filler", folder);
    int fd = open(filler, O_WRONLY | O_CREAT, 0600);
    cr_assert(fd >= 0);
    while (write(fd, block, sizeof block) > 0) {
    }
    (void)close(fd);
    report = health();
    cr_assert(json_is_false(json_object_get(report, "healthy")));
    cr_assert_not_null(strstr(check(report, "store"), "the disk is full"), "%s",
                       check(report, "store"));
    json_decref(report);
    cr_assert_eq(unlink(filler), 0);
    report = health();
    cr_assert(json_is_true(json_object_get(report, "healthy")));
    json_decref(report);
}

/* The token fails from its second answer on: who asks meanwhile hears the first. */
Test(health, token_is_asked_once_for_all_who_ask)
{
    char plan[LAB_PATH + 8];
    (void)snprintf(plan, sizeof plan, "%s/plan", lab.dir);
    lab_write_file(plan, "# calls pass\n");
    cr_assert_eq(setenv("MIKEYD_FAULT_PLAN", plan, 1), 0);
    cr_assert_eq(setenv("MIKEYD_FAULT_REAL", token_fixture_module(&lab.token), 1), 0);
    lab_write_config(&lab, &(struct lab_config){.module = FAULT_MODULE});
    lab_start(&lab);
    json_decref(health());
    (void)usleep(1100000);
    lab_write_file(plan, "C_GetTokenInfo 2+ rv 0x30\n");
    /* Who asks within the answer's second has it. A crowded machine may take longer for ten. */
    const int64_t asked_ms = clock_monotonic_ms();
    for (int i = 0; i < 10; i++) {
        json_t *report = health();
        if (i == 0 || clock_monotonic_ms() - asked_ms < 900)
            cr_assert_str_eq(check(report, "token"), "OK", "after %d", i);
        json_decref(report);
    }
    bool failed = false;
    for (int i = 0; i < 100 && !failed; i++) {
        (void)usleep(100000);
        json_t *report = health();
        failed = json_is_false(json_object_get(report, "healthy")) &&
                 strcmp(check(report, "token"), "OK") != 0;
        json_decref(report);
    }
    cr_assert(failed);
}
