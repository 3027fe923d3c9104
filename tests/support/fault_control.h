/*
 * A test's side of the fault module: its plan, which it changes while the module runs, and what the
 * module counts.
 */
#ifndef TESTS_SUPPORT_FAULT_CONTROL_H
#define TESTS_SUPPORT_FAULT_CONTROL_H

#include "module/fault_tally.h"

#define FAULT_NOTHING "# nothing\n"

struct fault_control {
    char plan[160], tally_file[160];
    struct fault_tally *tally; /* as the module counts, mapped */
};

/* Both files in this folder, with `name` in their names; the plan is empty. Fails the test when it
 * does not work. */
void fault_control_make(struct fault_control *control, const char *dir, const char *name);
/* The variables by which a module of this process, or of one that inherits them, finds its plan, its
 * tally and the real module. */
void fault_control_export(const struct fault_control *control, const char *real_module);
/* Replaces the plan, at once and whole. */
void fault_control_plan(const struct fault_control *control, const char *text);
void fault_control_end(struct fault_control *control);

#endif
