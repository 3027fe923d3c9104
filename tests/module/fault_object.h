/*
 * Objects of the fault module. Their handles are numbers of its own, so that it can make them change
 * their meaning over a re-initialisation, as real tokens do, and give the number of a destroyed
 * object to the next one.
 */
#ifndef TESTS_MODULE_FAULT_OBJECT_H
#define TESTS_MODULE_FAULT_OBJECT_H

#include "fault_plan.h"

/* The object that this number means in that session; CK_INVALID_HANDLE: none. */
CK_OBJECT_HANDLE fault_object_theirs(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE ours);
/* The number of an object just made by this template in this session. */
CK_OBJECT_HANDLE fault_object_made(CK_SESSION_HANDLE session, const CK_ATTRIBUTE *at,
                                   CK_ULONG count, CK_OBJECT_HANDLE theirs);
/* After C_Initialize: no number means anything. */
void fault_object_begin_anew(void);

/* Puts the functions that find, make, read and destroy objects into the list. */
void fault_object_wrap(CK_FUNCTION_LIST *list);

#endif
