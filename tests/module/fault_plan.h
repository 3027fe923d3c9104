/*
 * What the fault module shall do, and when. The plan is a text file named by MIKEYD_FAULT_PLAN,
 * read again whenever it has changed, also while the daemon runs; counting of calls starts anew
 * then. Lines:
 *
 *     FUNCTION N ACTION [ARGUMENT]      N: the n-th call of that function; N+: that and all later;
 *                                       N%: every n-th; FUNCTION *: of whatever function
 *
 *     rv 0x30        returns that CKR without calling the real module
 *     delay 250      waits so many milliseconds, then calls it
 *     hang           waits until the plan changes, then calls it
 *     die            the process ends without a word
 *     leak 65536     loses so many bytes of memory, then calls it
 *     logout         C_Logout in the real module first, as another process's reset would
 *     closeall       C_CloseAllSessions first
 *     finalize       C_Finalize first
 *     flags 0x20000  C_GetTokenInfo: adds these flags to the answer
 *     corrupt        C_Sign: flips a bit of the tag
 *     short, long    says that what comes back is one byte (attribute values, tags, cipher texts) or
 *                    one entry (objects found, slots, mechanisms) less or more than it is
 *     minimum 64     C_GetMechanismInfo: says this as the least key size
 *
 * How the token is, whatever the function; N is ignored:
 *
 *     isolate        session objects serve the session that made them alone, as on some tokens
 *     shuffle        object handles are numbered anew in another order after each C_Initialize, so
 *                    that old handles name other objects
 *     sessions 3     there are so many sessions and no more (CKR_SESSION_COUNT)
 *     slots 5        from the next C_Initialize on slots have these numbers more
 *     lost           the token is gone, and its sessions with it; without this line it is back
 *
 * Lines that start with # are comments. A plan that cannot be read does nothing.
 */
#ifndef TESTS_MODULE_FAULT_PLAN_H
#define TESTS_MODULE_FAULT_PLAN_H

#include <stdbool.h>

#include <p11-kit/pkcs11.h>

#include "fault_function.h"

enum fault_action {
    FAULT_NONE,
    FAULT_RV,
    FAULT_DELAY,
    FAULT_HANG,
    FAULT_DIE,
    FAULT_LEAK,
    FAULT_LOGOUT,
    FAULT_CLOSE_ALL,
    FAULT_FINALIZE,
    FAULT_FLAGS,
    FAULT_CORRUPT,
    FAULT_SHORT,
    FAULT_LONG,
    FAULT_MINIMUM
};

struct fault {
    enum fault_action action;
    unsigned long argument;
};

/* How the token is by the plan. */
struct fault_state {
    bool isolates, shuffles, lost;
    unsigned long sessions; /* ULONG_MAX: no limit of ours */
    unsigned long slots;
};

/* Counts this call and says what the plan has for it. FAULT_DELAY, FAULT_HANG and FAULT_LEAK are
 * over when it returns. Any thread. */
struct fault fault_next(enum fault_function function);
/* As the latest fault_next() has read it. */
struct fault_state fault_state(void);

#endif
