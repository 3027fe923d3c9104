#include "support/fault_control.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <criterion/criterion.h>

void fault_control_make(struct fault_control *control, const char *dir, const char *name)
{
    (void)snprintf(control->plan, sizeof control->plan, "%s/plan-%s", dir, name);
    (void)snprintf(control->tally_file, sizeof control->tally_file, "%s/tally-%s", dir, name);
    fault_control_plan(control, FAULT_NOTHING);
    int fd = open(control->tally_file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && ftruncate(fd, sizeof *control->tally) == 0, "%s", control->tally_file);
    control->tally = mmap(NULL, sizeof *control->tally, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert_neq((void *)control->tally, MAP_FAILED);
    (void)close(fd);
}

void fault_control_export(const struct fault_control *control, const char *real_module)
{
    cr_assert_eq(setenv("MIKEYD_FAULT_PLAN", control->plan, 1), 0);
    cr_assert_eq(setenv("MIKEYD_FAULT_TALLY", control->tally_file, 1), 0);
    cr_assert_eq(setenv("MIKEYD_FAULT_REAL", real_module, 1), 0);
}

void fault_control_plan(const struct fault_control *control, const char *text)
{
    char fresh[176];
    (void)snprintf(fresh, sizeof fresh, "%s.new", control->plan);
    FILE *file = fopen(fresh, "we");
    cr_assert_not_null(file, "%s", fresh);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(rename(fresh, control->plan), 0);
}

void fault_control_end(struct fault_control *control)
{
    if (control->tally != NULL)
        (void)munmap(control->tally, sizeof *control->tally);
    control->tally = NULL;
}
