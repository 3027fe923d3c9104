/* mikeyctl against the daemon of a laboratory, and the JSON that it prints. */
#ifndef TESTS_DAEMON_LAB_CTL_H
#define TESTS_DAEMON_LAB_CTL_H

#include <jansson.h>
#include <stdarg.h>

#include "lab.h"

/* From now on mikeyctl and other programs of this process find the daemon by themselves. */
void lab_ctl_open(const struct lab *lab);
/* Runs mikeyctl with the arguments of head, then with the rest, both up to NULL; its exit status. */
int lab_ctl(struct lab *lab, const char *const head[], va_list rest);
/* What the last program printed; free() it. */
char *lab_output(const struct lab *lab);
/* The object that it printed, and nothing else. */
json_t *lab_printed(const struct lab *lab);
/* The string of that name, which must be there. */
const char *lab_text(const json_t *object, const char *name);

#endif
