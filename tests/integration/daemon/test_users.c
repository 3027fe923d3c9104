/* Front and keyholder as two users (`users:` of mikeyd.yaml): only root can start them so. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab.h"

/* Users that every Debian has. */
#define FRONT_USER "daemon"
#define KEYHOLDER_USER "bin"
#define CLIENT_USER "games"

static struct lab lab;

static struct passwd user(const char *name)
{
    const struct passwd *entry = getpwnam(name);
    cr_assert_not_null(entry, "no user %s", name);
    return *entry;
}

static void run(const char *command)
{
    cr_assert_eq(system(command), 0, "%s", command);
}

static void give(const char *dir, const char *name)
{
    char command[256];
    (void)snprintf(command, sizeof command, "chown -R %s: '%s'", name, dir);
    run(command);
}

/* Whoever is not root may have no way to the folder that this was built in. */
static void copy_programs(void)
{
    static const char *const suffixes[] = {"", "-keyholder"};
    char text[512];
    const char *other = getenv("MIKEYD_UNDER_TEST");
    const char *program = other == NULL ? MIKEYD_PROGRAM : other;
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(text, sizeof text, "install -D -m 755 '%s%s' '%s/bin/mikeyd%s'", program,
                       suffixes[i], lab.dir, suffixes[i]);
        run(text);
    }
    (void)snprintf(text, sizeof text, "%s/bin/mikeyd", lab.dir);
    cr_assert_eq(setenv("MIKEYD_UNDER_TEST", text, 1), 0);
}

static void make_lab(void)
{
    char client[256];
    if (geteuid() != 0)
        cr_skip_test("needs root");
    lab_make(&lab, "users: {front: " FRONT_USER ", keyholder: " KEYHOLDER_USER "}\n");
    (void)snprintf(client, sizeof client,
                   "  - {name: other, uid: %u, acts_as: [\"" LAB_A "\", \"" LAB_B
                   "\"], may: [initiate, respond]}\n",
                   (unsigned)user(CLIENT_USER).pw_uid);
    lab_write_policy(&lab, client);
    give(lab.dir, FRONT_USER);
    give(lab.token.dir, KEYHOLDER_USER);
    copy_programs();
}

static void remove_lab(void)
{
    if (lab.dir[0] != '\0')
        lab_remove(&lab);
}

TestSuite(users, .init = make_lab, .fini = remove_lab, .timeout = 60);

/* Real, effective, saved and file system uid, all alike. */
static void expect_uid(pid_t pid, const char *name)
{
    char path[64], expected[80];
    const unsigned uid = user(name).pw_uid;
    cr_assert_neq(pid, 0);
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    (void)snprintf(expected, sizeof expected, "\nUid:\t%u\t%u\t%u\t%u\n", uid, uid, uid, uid);
    cr_expect_eq(lab_count_in_file(path, expected), 1, "process %d is not of %s", (int)pid, name);
}

/* In a process of that user: 0, or the errno of the attempt. */
static int as_user(const char *name, int (*attempt)(void))
{
    const struct passwd who = user(name);
    int status;
    const pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        if (setgroups(0, NULL) != 0 || setresgid(who.pw_gid, who.pw_gid, who.pw_gid) != 0 ||
            setresuid(who.pw_uid, who.pw_uid, who.pw_uid) != 0)
            _exit(255);
        _exit(attempt());
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int open_pin(void)
{
    return open(lab.token.pin_file, O_RDONLY | O_CLOEXEC) >= 0 ? 0 : errno;
}

static int read_audit_log(void)
{
    return open(lab.audit, O_RDONLY | O_CLOEXEC) >= 0 ? 0 : errno;
}

static int initiate(void)
{
    mikeyd_client *client;
    mikeyd_exchange *offer;
    if (mikeyd_client_open(lab.address, &client) != MIKEYD_OK)
        return 1;
    return lab_initiate(client, &offer) == MIKEYD_OK ? 0 : 2;
}

static bool status_says(const char *text)
{
    char out[LAB_PATH + 8];
    const char *argv[] = {MIKEYCTL_PROGRAM, "--socket", lab.socket, "--json", "status", NULL};
    cr_assert_eq(lab_run(&lab, argv), 0);
    (void)snprintf(out, sizeof out, "%s/out", lab.dir);
    return lab_count_in_file(out, text) != 0;
}

Test(users, front_and_keyholder_are_two_users_and_the_pin_is_one_ones)
{
    lab_start(&lab);
    expect_uid(lab_front(&lab), FRONT_USER);
    expect_uid(lab_keyholder(&lab, 0), KEYHOLDER_USER);
    cr_expect_eq(as_user(FRONT_USER, open_pin), EACCES);
    cr_expect_eq(as_user(KEYHOLDER_USER, open_pin), 0);
    cr_expect_eq(as_user(KEYHOLDER_USER, read_audit_log), EACCES);
    cr_expect(status_says("\"isolation\":\"two users\""));
}

/* As under systemd with the drop-in two-users.conf. */
static void start_with_few_capabilities(void)
{
    char path[LAB_PATH + 16], text[640];
    (void)snprintf(path, sizeof path, "%s/bin/start", lab.dir);
    (void)snprintf(
        text, sizeof text,
        "#!/bin/sh\nexec setpriv --bounding-set -all,+setuid,+setgid,+kill --inh-caps -all "
        "--no-new-privs '%s/bin/mikeyd' \"$@\"\n",
        lab.dir);
    lab_write_file(path, text);
    cr_assert_eq(chmod(path, 0755), 0);
    cr_assert_eq(setenv("MIKEYD_UNDER_TEST", path, 1), 0);
    give(lab.dir, FRONT_USER);
    lab_start(&lab);
}

static void expect_capabilities(pid_t pid, const char *line)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    cr_expect_eq(lab_count_in_file(path, line), 1, "process %d: not %s", (int)pid, line);
}

Test(users, the_capabilities_of_the_unit_are_enough)
{
    start_with_few_capabilities();
    expect_uid(lab_front(&lab), FRONT_USER);
    expect_uid(lab_keyholder(&lab, 0), KEYHOLDER_USER);
    /* CAP_KILL is 5, CAP_SETGID 6, CAP_SETUID 7. */
    expect_capabilities(lab.daemon, "CapEff:\t00000000000000e0");
    expect_capabilities(lab_front(&lab), "CapPrm:\t0000000000000000");
    expect_capabilities(lab_keyholder(&lab, 0), "CapPrm:\t0000000000000000");
    cr_expect_eq(as_user(CLIENT_USER, initiate), 0);
    const pid_t stopped = lab_keyholder(&lab, 0);
    cr_assert_eq(kill(stopped, SIGKILL), 0);
    pid_t after = stopped;
    for (int i = 0; i < 3000 && (after == stopped || after == 0); i++) {
        (void)usleep(10000);
        after = lab_keyholder(&lab, 0);
    }
    for (int i = 0; i < 3000 && as_user(CLIENT_USER, initiate) != 0; i++)
        (void)usleep(10000);
    expect_uid(after, KEYHOLDER_USER);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
}

Test(users, clients_of_other_users_are_served)
{
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
    cr_expect_eq(as_user(CLIENT_USER, initiate), 0);
}

Test(users, a_keyholder_that_was_killed_comes_back_as_its_user)
{
    lab_start(&lab);
    const pid_t before = lab_keyholder(&lab, 0);
    cr_assert_eq(kill(before, SIGKILL), 0);
    pid_t after = before;
    for (int i = 0; i < 500 && (after == before || after == 0); i++) {
        (void)usleep(10000);
        after = lab_keyholder(&lab, 0);
    }
    cr_assert_neq(after, before);
    for (int i = 0; i < 500 && as_user(CLIENT_USER, initiate) != 0; i++)
        (void)usleep(10000);
    expect_uid(after, KEYHOLDER_USER);
    cr_expect_eq(as_user(CLIENT_USER, initiate), 0);
}

Test(users, root_and_one_user_for_both_are_refused)
{
    lab_write_config(&lab, &(struct lab_config){.extra = "users: {front: bin, keyholder: bin}\n"});
    cr_expect_eq(lab_start_refused(&lab), 1);
    cr_expect_eq(lab_count_in_file(lab.log, "are the same user"), 1);
    lab_write_config(&lab, &(struct lab_config){.extra = "users: {front: bin, keyholder: root}\n"});
    cr_expect_eq(lab_start_refused(&lab), 1);
    cr_expect_eq(lab_count_in_file(lab.log, "is root: name another user"), 1);
}

Test(users, without_them_one_user_is_told)
{
    lab_write_config(&lab, &(struct lab_config){.extra = NULL});
    give(lab.dir, "root");
    give(lab.token.dir, "root");
    lab_start(&lab);
    cr_expect(status_says("\"isolation\":\"one user\""));
}
