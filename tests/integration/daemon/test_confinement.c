/* The daemon in its sandbox: what it has given up, and that the token still comes back there. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lab.h"

static struct lab lab;
static char plan[LAB_PATH + 8];

static void make_lab(void)
{
    lab_make(&lab, NULL);
    (void)snprintf(plan, sizeof plan, "%s/plan", lab.dir);
    lab_write_file(plan, "# calls pass\n");
    cr_assert_eq(setenv("MIKEYD_FAULT_PLAN", plan, 1), 0);
    cr_assert_eq(setenv("MIKEYD_FAULT_REAL", token_fixture_module(&lab.token), 1), 0);
    lab_write_config(&lab, &(struct lab_config){.module = FAULT_MODULE});
}

static void remove_lab(void)
{
    lab_remove(&lab);
}

TestSuite(confinement, .init = make_lab, .fini = remove_lab, .timeout = 60);

static void exchange(void)
{
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
}

static bool status_says(const char *text)
{
    char out[LAB_PATH + 8];
    const char *argv[] = {MIKEYCTL_PROGRAM, "--socket", lab.socket, "--json", "status", NULL};
    cr_assert_eq(lab_run(&lab, argv), 0);
    (void)snprintf(out, sizeof out, "%s/out", lab.dir);
    return lab_count_in_file(out, text) != 0;
}

Test(confinement, no_thread_has_a_capability)
{
    char path[64];
    if (lab_daemon_is_sanitized())
        cr_skip_test("the sanitizer's runtime cannot live in it");
    lab_start(&lab);
    exchange();
    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)lab_front(&lab));
    DIR *threads = opendir(path);
    cr_assert_not_null(threads);
    size_t count = 0;
    for (struct dirent *thread; (thread = readdir(threads)) != NULL;) {
        char status[sizeof path + sizeof thread->d_name + 16];
        if (thread->d_name[0] == '.')
            continue;
        (void)snprintf(status, sizeof status, "%s/%s/status", path, thread->d_name);
        if (access(status, F_OK) != 0)
            continue; /* it has ended meanwhile */
        /* CapInh, CapPrm, CapEff, CapBnd, CapAmb: another user's bounding set may stay full. */
        cr_assert_geq(lab_count_in_file(status, ":\t0000000000000000\n"), 4);
        cr_assert_eq(lab_count_in_file(status, "CapPrm:\t0000000000000000\n"), 1);
        cr_assert_eq(lab_count_in_file(status, "CapEff:\t0000000000000000\n"), 1);
        count++;
    }
    (void)closedir(threads);
    cr_assert_geq(count, 5); /* main, workers, audit, gate, reloader */
}

/* Who is in a group the host's files say, which the sandbox does not show. */
Test(confinement, a_socket_gets_the_group_that_is_named)
{
    char command[512];
    struct stat socket;
    const struct group *own = getgrgid(getgid());
    cr_assert_not_null(own);
    (void)snprintf(command, sizeof command, "sed -i '/^listen:/s/mode:/group: %s, mode:/' '%s'",
                   own->gr_name, lab.config);
    cr_assert_eq(system(command), 0);
    lab_start(&lab);
    exchange();
    cr_assert_eq(stat(lab.socket, &socket), 0);
    cr_expect_eq(socket.st_gid, own->gr_gid);
    cr_expect_eq(lab_count_in_file(lab.config, "group: "), 1);
}

/* NSS softokn unloads its libraries when it is finalised and loads them again. */
Test(confinement, module_is_initialised_again_inside)
{
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    lab_write_file(plan, "C_SignInit 1 finalize\n");
    /* Keys derived for this one request may go with the module: it alone may fail. */
    mikeyd_exchange *offer = NULL;
    enum mikeyd_status status = lab_initiate(client, &offer);
    mikeyd_exchange_free(offer);
    cr_assert(status == MIKEYD_OK || status == MIKEYD_TOKEN_DOWN, "%s", mikeyd_status_name(status));
    if (lab.token.kind == TOKEN_FIXTURE_ISOLATED) {
        /* p11-kit's client sometimes hangs or dies in C_Finalize: then a new keyholder serves. */
        for (int tries = 0; lab_initiate(client, &offer) != MIKEYD_OK; tries++) {
            cr_assert_lt(tries, 100, "%s", mikeyd_client_error(client));
            (void)usleep(100000);
        }
        mikeyd_exchange_free(offer);
        lab_exchange(client);
        mikeyd_client_close(client);
        return;
    }
    lab_exchange(client);
    mikeyd_client_close(client);
    /* The report's facts are as old as the keyholder's last. */
    for (int tries = 0; status_says("\"generation\":1,\"calls\"") || !status_says("\"up\":true");
         tries++) {
        cr_assert_lt(tries, 300);
        (void)usleep(100000);
    }
}

Test(confinement, status_and_log_say_which_layers_hold)
{
    lab_start(&lab);
    if (lab_daemon_is_sanitized())
        cr_skip_test("the sanitizer's runtime cannot live in it");
    cr_assert(status_says("\"seccomp\":\"on\""));
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 1)
        cr_skip_test("this kernel has no Landlock");
    cr_assert(status_says("\"landlock\":\"version "));
    cr_assert_eq(lab_count_in_file(lab.log, "sandbox: Landlock version "), 1);
}

Test(confinement, kernel_without_landlock_is_in_status_and_log)
{
    if (lab_daemon_is_sanitized())
        cr_skip_test("the sanitizer's runtime cannot live in it");
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    cr_assert_not_null(filter);
    cr_assert_eq(
        seccomp_rule_add(filter, SCMP_ACT_ERRNO(EOPNOTSUPP), SYS_landlock_create_ruleset, 0), 0);
    cr_assert_eq(seccomp_load(filter), 0); /* inherited by the daemon */
    seccomp_release(filter);
    lab_start(&lab);
    exchange();
    cr_assert(status_says("\"landlock\":\"missing: "));
    /* front and keyholder */
    cr_assert_eq(lab_count_in_file(lab.log, "sandbox without Landlock (missing: "), 2);
}
