/* Slots and sessions of the fault module: slot numbers that move, sessions that are counted. */
#ifndef TESTS_MODULE_FAULT_SLOT_H
#define TESTS_MODULE_FAULT_SLOT_H

#include "fault_plan.h"

/* The real module's function list: every file of the module calls it. */
extern CK_FUNCTION_LIST *fault_real;

/*
 * What the plan has for this call. True when *rv is to be returned instead of calling the real
 * module. session: the call's, or 0. fault: what else the call is to do; NULL when nothing can be.
 */
bool fault_strikes(enum fault_function function, CK_SESSION_HANDLE session, struct fault *fault,
                   CK_RV *rv);
/* One less or more, as the plan says. */
void fault_distort(const struct fault *fault, CK_ULONG *len);

/* Puts the functions of slots and sessions into the list. */
void fault_slot_wrap(CK_FUNCTION_LIST *list);

#endif
