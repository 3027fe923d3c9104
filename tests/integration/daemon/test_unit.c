/* The unit file that ships: how exposed it leaves the daemon, and that the daemon lives under its
 * filter of system calls. */
#include <criterion/criterion.h>
#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab.h"

#define UNITS SOURCE_DIR "/deploy/systemd/"
#define UNIT UNITS "mikeyd.service"

/* systemd's own figure, 0 to 10. */
static double exposure_of(const char *unit)
{
    char command[256], line[512];
    double exposure = 10;
    (void)snprintf(command, sizeof command, "systemd-analyze --no-pager security --offline=yes %s",
                   unit);
    FILE *report = popen(command, "r");
    cr_assert_not_null(report);
    while (fgets(line, sizeof line, report) != NULL) {
        const char *at = strstr(line, "exposure level for ");
        if (at != NULL)
            exposure = strtod(strchr(at, ':') + 1, NULL);
    }
    cr_assert_eq(pclose(report), 0);
    return exposure;
}

/* "1.5 or less" is the promise of SECURITY.md. */
Test(unit, exposure_is_one_and_a_half_at_most)
{
    const double exposure = exposure_of(UNIT);
    cr_assert_leq(exposure, 1.5, "%.1f", exposure);
}

Test(unit, exposure_of_the_follower_is_one_and_a_half_at_most)
{
    const double exposure = exposure_of(UNITS "mikeyd-audit-follower.service");
    cr_assert_leq(exposure, 1.5, "%.1f", exposure);
}

Test(unit, exposure_of_the_gate_is_two_at_most)
{
    const double exposure = exposure_of(UNITS "mikeyd-gate.service");
    cr_assert_leq(exposure, 2.0, "%.1f", exposure);
}

/* mikeyd.service with the drop-in in force, in a folder of its own; the program is one that is there,
 * which is all that matters to systemd. */
static void make_two_users(char dir[32])
{
    char command[1024];
    (void)snprintf(dir, 32, "/tmp/mikeyd-unit-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(command, sizeof command,
                   "mkdir %1$s/mikeyd.service.d && cp " UNITS
                   "two-users.conf %1$s/mikeyd.service.d/ && "
                   "sed 's|^ExecStart=[^ ]*|ExecStart=/bin/true|; s|^Documentation=.*||' " UNIT
                   " > %1$s/mikeyd.service",
                   dir);
    cr_assert_eq(system(command), 0, "%s", command);
}

static void remove_two_users(const char *dir)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", dir);
    cr_assert_eq(system(command), 0);
}

/* Root itself and the two capabilities are the difference; the file names them. */
Test(unit, exposure_of_two_users_is_one_point_nine_at_most)
{
    char dir[32], path[64], whole[192];
    make_two_users(dir);
    (void)snprintf(path, sizeof path, "%s/mikeyd.service", dir);
    (void)snprintf(whole, sizeof whole, "cat %1$s.d/two-users.conf >> %1$s", path);
    cr_assert_eq(system(whole), 0); /* offline, systemd reads no drop-ins */
    const double exposure = exposure_of(path);
    remove_two_users(dir);
    cr_assert_leq(exposure, 1.9, "%.1f", exposure);
}

Test(unit, two_users_have_nothing_that_systemd_does_not_know)
{
    char dir[32], command[256], line[512];
    make_two_users(dir);
    (void)snprintf(command, sizeof command,
                   "systemd-analyze verify %1$s/mikeyd.service 2>&1 | "
                   "grep '/mikeyd.service'",
                   dir);
    FILE *report = popen(command, "r");
    cr_assert_not_null(report);
    const bool complains = fgets(line, sizeof line, report) != NULL;
    (void)pclose(report);
    remove_two_users(dir);
    cr_assert_not(complains, "%s", line);
}

static bool unit_says(const char *setting, const char *word)
{
    char line[1024];
    bool found = false;
    FILE *unit = fopen(UNIT, "r");
    cr_assert_not_null(unit);
    while (fgets(line, sizeof line, unit) != NULL) {
        if (strncmp(line, setting, strlen(setting)) != 0)
            continue;
        for (char *at = strtok(line + strlen(setting), " \n"); at != NULL; at = strtok(NULL, " \n"))
            found = found || strcmp(at, word) == 0;
    }
    (void)fclose(unit);
    return found;
}

Test(unit, each_process_may_run_and_the_monitor_speaks_for_all)
{
    cr_expect(unit_says("ExecPaths=", "/usr/sbin/mikeyd"));
    cr_expect(unit_says("ExecPaths=", "/usr/libexec/mikeyd/mikeyd-keyholder"));
    cr_expect(unit_says("NotifyAccess=", "main"));
    cr_expect(unit_says("KillMode=", "mixed"));
    /* Another start would spend an attempt with the PIN. */
    cr_expect(unit_says("RestartPreventExitStatus=", "7"));
}

/* ---- its filter, as systemd would make it */

static bool allowed[1024]; /* by number of this machine's system calls */

static void set_call(const char *name, bool value)
{
    if (name[0] == '@') {
        char command[128], line[256];
        (void)snprintf(command, sizeof command, "systemd-analyze --no-pager syscall-filter %s",
                       name);
        FILE *group = popen(command, "r");
        cr_assert_not_null(group);
        while (fgets(line, sizeof line, group) != NULL) {
            char member[64];
            if (line[0] == ' ' && sscanf(line, " %63[@a-z0-9_-]", member) == 1)
                set_call(member, value);
        }
        cr_assert_eq(pclose(group), 0, "%s", name);
        return;
    }
    int number = seccomp_syscall_resolve_name(name);
    if (number >= 0 && number < 1024) /* others belong to other machines */
        allowed[number] = value;
}

static void read_filter(void)
{
    char line[1024];
    FILE *unit = fopen(UNIT, "r");
    cr_assert_not_null(unit);
    set_call("@default", true);
    while (fgets(line, sizeof line, unit) != NULL) {
        char *text = line;
        if (strncmp(text, "SystemCallFilter=", 17) != 0)
            continue;
        text += 17;
        const bool value = text[0] != '~';
        for (char *name = strtok(text + !value, " \n"); name != NULL; name = strtok(NULL, " \n"))
            set_call(name, value);
    }
    (void)fclose(unit);
}

static void put_filter_in_force(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    cr_assert_not_null(filter);
    for (int number = 0; number < 1024; number++) {
        if (allowed[number])
            cr_assert_eq(seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0), 0);
    }
    cr_assert_eq(seccomp_load(filter), 0);
    seccomp_release(filter);
}

static struct lab lab;

Test(unit, daemon_lives_under_its_filter, .timeout = 60)
{
    if (lab_daemon_is_sanitized())
        cr_skip_test("the sanitizer's runtime cannot live in it");
    lab_make(&lab, "metrics: {listen: \"127.0.0.1:0\"}\n");
    read_filter();
    cr_assert(!allowed[SCMP_SYS(ptrace)] && !allowed[SCMP_SYS(mount)] && allowed[SCMP_SYS(read)]);
    cr_assert(allowed[SCMP_SYS(setresuid)] && !allowed[SCMP_SYS(setuid)]); /* `users:` as root */
    put_filter_in_force(); /* on this process, and the daemon that it starts */
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    cr_assert_eq(kill(lab.daemon, SIGHUP), 0);
    cr_assert(lab_file_gets(lab.log, "in force"));
    lab_exchange(client);
    mikeyd_client_close(client);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    cr_assert_eq(lab_count_in_file(lab.log, "sandbox: Landlock missing"), 0);
    lab_remove(&lab);
}
