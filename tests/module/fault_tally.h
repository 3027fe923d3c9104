/*
 * What the fault module counts, in a file that a test has mapped, too: it reads while the daemon
 * runs. MIKEYD_FAULT_TALLY names the file, which is made by the test and has this size. Without the
 * variable the module counts for itself.
 */
#ifndef TESTS_MODULE_FAULT_TALLY_H
#define TESTS_MODULE_FAULT_TALLY_H

#include <stdatomic.h>
#include <stdint.h>

#include "fault_function.h"

struct fault_tally {
    atomic_ulong calls[FAULT_FUNCTION_COUNT]; /* that reached the module, struck or not */
    atomic_ulong struck;                      /* calls that a rule of the plan was for */
    atomic_long sessions;                     /* open now in the real module */
    atomic_long objects;                      /* session objects made, less those destroyed */
    atomic_ulong loads;                       /* processes that have loaded the module */
};

/* Of this process; opened at the first call. The count of sessions begins anew with each process. */
struct fault_tally *fault_tally(void);

#endif
