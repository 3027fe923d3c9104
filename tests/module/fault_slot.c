#include "fault_slot.h"

#include <pthread.h>

#include "fault_object.h"
#include "fault_tally.h"

#define SESSIONS_MAX 4096

CK_FUNCTION_LIST *fault_real;

/*
 * What takes sessions away, or ends the module, takes effect here alone: a real module that was not
 * made for it dies when that happens under calls of other threads, and the product is not to blame.
 * The real sessions go when the product closes them, the real module when it is initialised anew.
 */
static struct {
    CK_SESSION_HANDLE handle; /* 0: free */
    CK_SLOT_ID slot;
    bool dead;
} open_sessions[SESSIONS_MAX];
static bool ended; /* as if somebody had called C_Finalize */
static CK_SLOT_ID slot_shift;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- sessions that are open in the real module */

/* Of this process alone: a keyholder and its successor have one tally. */
static unsigned long open_count;

static bool all_are_open(void)
{
    (void)pthread_mutex_lock(&lock);
    const bool all = open_count >= fault_state().sessions;
    (void)pthread_mutex_unlock(&lock);
    return all;
}

static void note_opened(CK_SESSION_HANDLE handle, CK_SLOT_ID slot)
{
    size_t i = 0;
    (void)pthread_mutex_lock(&lock);
    while (i < SESSIONS_MAX && open_sessions[i].handle != 0)
        i++;
    if (i < SESSIONS_MAX) {
        open_sessions[i].handle = handle;
        open_sessions[i].slot = slot;
        open_sessions[i].dead = false;
        open_count++;
        (void)atomic_fetch_add(&fault_tally()->sessions, 1);
    }
    (void)pthread_mutex_unlock(&lock);
}

/* handle 0: all of the slot; slot NULL: of every slot. Freed, or dead until they are. */
static void note_gone(CK_SESSION_HANDLE handle, const CK_SLOT_ID *slot, bool freed)
{
    (void)pthread_mutex_lock(&lock);
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        if (open_sessions[i].handle == 0 || (handle != 0 && open_sessions[i].handle != handle) ||
            (slot != NULL && open_sessions[i].slot != *slot))
            continue;
        if (!open_sessions[i].dead) {
            open_count--;
            (void)atomic_fetch_sub(&fault_tally()->sessions, 1);
        }
        open_sessions[i].dead = true;
        if (freed)
            open_sessions[i].handle = 0;
    }
    (void)pthread_mutex_unlock(&lock);
}

static bool session_is_dead(CK_SESSION_HANDLE handle)
{
    bool dead = false;
    (void)pthread_mutex_lock(&lock);
    for (size_t i = 0; i < SESSIONS_MAX && handle != 0; i++)
        dead = dead || (open_sessions[i].handle == handle && open_sessions[i].dead);
    (void)pthread_mutex_unlock(&lock);
    return dead;
}

static bool set_ended(bool now)
{
    (void)pthread_mutex_lock(&lock);
    const bool before = ended;
    ended = now;
    (void)pthread_mutex_unlock(&lock);
    return before;
}

static bool has_ended(void)
{
    (void)pthread_mutex_lock(&lock);
    const bool now = ended;
    (void)pthread_mutex_unlock(&lock);
    return now;
}

/* ---- striking */

/* Of a token that is not there. */
static bool refuse_lost(enum fault_function function, CK_RV *rv)
{
    switch (function) {
    case FAULT_C_Initialize:
    case FAULT_C_Finalize:
    case FAULT_C_GetInfo:
    case FAULT_C_GetSlotList:
    case FAULT_C_GetSlotInfo:
        return false;
    case FAULT_C_GetTokenInfo:
    case FAULT_C_GetMechanismList:
    case FAULT_C_GetMechanismInfo:
    case FAULT_C_OpenSession:
        *rv = CKR_TOKEN_NOT_PRESENT;
        break;
    default:
        *rv = CKR_DEVICE_REMOVED;
        break;
    }
    note_gone(0, NULL, false);
    return true;
}

/* What was taken away before. */
static bool refuse_gone(enum fault_function function, CK_SESSION_HANDLE session, CK_RV *rv)
{
    if (function == FAULT_C_Initialize || function == FAULT_C_Finalize)
        return false;
    *rv = has_ended() ? CKR_CRYPTOKI_NOT_INITIALIZED : CKR_SESSION_HANDLE_INVALID;
    return *rv == CKR_CRYPTOKI_NOT_INITIALIZED || session_is_dead(session);
}

bool fault_strikes(enum fault_function function, CK_SESSION_HANDLE session, struct fault *fault,
                   CK_RV *rv)
{
    const struct fault next = fault_next(function);
    if (fault != NULL)
        *fault = next;
    switch (next.action) {
    case FAULT_RV:
        *rv = next.argument;
        return true;
    case FAULT_LOGOUT:
        (void)fault_real->C_Logout(session);
        break;
    case FAULT_CLOSE_ALL:
        (void)fault_real->C_Logout(session); /* with the last session goes the login */
        note_gone(0, NULL, false);
        break;
    case FAULT_FINALIZE:
        (void)set_ended(true);
        note_gone(0, NULL, false);
        break;
    default: /* done already, or done with the answer */
        break;
    }
    if (fault_state().lost && refuse_lost(function, rv))
        return true;
    return refuse_gone(function, session, rv);
}

void fault_distort(const struct fault *fault, CK_ULONG *len)
{
    if (fault->action == FAULT_SHORT && *len > 0)
        --*len;
    if (fault->action == FAULT_LONG)
        ++*len;
}

/* ---- the module and its slots */

static CK_SLOT_ID real_slot(CK_SLOT_ID slot)
{
    return slot - slot_shift;
}

static CK_RV finalize(void *reserved)
{
    CK_RV rv = fault_real->C_Finalize(reserved);
    if (rv == CKR_OK)
        note_gone(0, NULL, true);
    return rv;
}

static CK_RV s_initialize(void *args)
{
    CK_RV rv;
    if (fault_strikes(FAULT_C_Initialize, 0, NULL, &rv))
        return rv;
    if (set_ended(false))
        (void)finalize(NULL);
    rv = fault_real->C_Initialize(args);
    if (rv == CKR_OK) {
        fault_object_begin_anew();
        slot_shift = fault_state().slots;
    }
    return rv;
}

static CK_RV s_finalize(void *reserved)
{
    CK_RV rv;
    if (fault_strikes(FAULT_C_Finalize, 0, NULL, &rv))
        return rv;
    if (has_ended())
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    return finalize(reserved);
}

static CK_RV s_get_info(CK_INFO *info)
{
    CK_RV rv;
    return fault_strikes(FAULT_C_GetInfo, 0, NULL, &rv) ? rv : fault_real->C_GetInfo(info);
}

static CK_RV s_get_slot_list(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count)
{
    struct fault fault;
    CK_RV rv;
    if (fault_strikes(FAULT_C_GetSlotList, 0, &fault, &rv))
        return rv;
    rv = fault_real->C_GetSlotList(present, slots, count);
    if (rv != CKR_OK)
        return rv;
    if (present && fault_state().lost)
        *count = 0;
    for (CK_ULONG i = 0; slots != NULL && i < *count; i++)
        slots[i] += slot_shift;
    fault_distort(&fault, count);
    return rv;
}

static CK_RV s_get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    CK_RV rv;
    return fault_strikes(FAULT_C_GetSlotInfo, 0, NULL, &rv)
               ? rv
               : fault_real->C_GetSlotInfo(real_slot(slot), info);
}

static CK_RV s_get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    struct fault fault;
    CK_RV rv;
    if (fault_strikes(FAULT_C_GetTokenInfo, 0, &fault, &rv))
        return rv;
    rv = fault_real->C_GetTokenInfo(real_slot(slot), info);
    if (rv == CKR_OK && fault.action == FAULT_FLAGS)
        info->flags |= fault.argument;
    return rv;
}

static CK_RV s_get_mechanism_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
    struct fault fault;
    CK_RV rv;
    if (fault_strikes(FAULT_C_GetMechanismList, 0, &fault, &rv))
        return rv;
    rv = fault_real->C_GetMechanismList(real_slot(slot), list, count);
    if (rv == CKR_OK)
        fault_distort(&fault, count);
    return rv;
}

static CK_RV s_get_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    struct fault fault;
    CK_RV rv;
    if (fault_strikes(FAULT_C_GetMechanismInfo, 0, &fault, &rv))
        return rv;
    rv = fault_real->C_GetMechanismInfo(real_slot(slot), type, info);
    if (rv == CKR_OK && fault.action == FAULT_MINIMUM)
        info->ulMinKeySize = fault.argument;
    return rv;
}

/* ---- sessions */

static CK_RV s_open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                            CK_SESSION_HANDLE *session)
{
    CK_RV rv;
    if (fault_strikes(FAULT_C_OpenSession, 0, NULL, &rv))
        return rv;
    if (all_are_open())
        return CKR_SESSION_COUNT;
    rv = fault_real->C_OpenSession(real_slot(slot), flags, application, notify, session);
    if (rv == CKR_OK)
        note_opened(*session, real_slot(slot));
    return rv;
}

static CK_RV s_close_session(CK_SESSION_HANDLE session)
{
    CK_RV rv;
    const bool dead = session_is_dead(session);
    if (fault_strikes(FAULT_C_CloseSession, session, NULL, &rv) && !dead)
        return rv;
    rv = fault_real->C_CloseSession(session);
    if (rv == CKR_OK)
        note_gone(session, NULL, true);
    return dead ? CKR_SESSION_HANDLE_INVALID : rv;
}

static CK_RV s_close_all_sessions(CK_SLOT_ID slot)
{
    CK_RV rv;
    const CK_SLOT_ID theirs = real_slot(slot);
    if (fault_strikes(FAULT_C_CloseAllSessions, 0, NULL, &rv))
        return rv;
    rv = fault_real->C_CloseAllSessions(theirs);
    if (rv == CKR_OK)
        note_gone(0, &theirs, true);
    return rv;
}

static CK_RV s_get_session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO *info)
{
    CK_RV rv;
    if (fault_strikes(FAULT_C_GetSessionInfo, session, NULL, &rv))
        return rv;
    rv = fault_real->C_GetSessionInfo(session, info);
    if (rv == CKR_OK)
        info->slotID += slot_shift;
    return rv;
}

static CK_RV s_login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG len)
{
    CK_RV rv;
    return fault_strikes(FAULT_C_Login, session, NULL, &rv)
               ? rv
               : fault_real->C_Login(session, user, pin, len);
}

static CK_RV s_logout(CK_SESSION_HANDLE session)
{
    CK_RV rv;
    return fault_strikes(FAULT_C_Logout, session, NULL, &rv) ? rv : fault_real->C_Logout(session);
}

void fault_slot_wrap(CK_FUNCTION_LIST *list)
{
    list->C_Initialize = s_initialize;
    list->C_Finalize = s_finalize;
    list->C_GetInfo = s_get_info;
    list->C_GetSlotList = s_get_slot_list;
    list->C_GetSlotInfo = s_get_slot_info;
    list->C_GetTokenInfo = s_get_token_info;
    list->C_GetMechanismList = s_get_mechanism_list;
    list->C_GetMechanismInfo = s_get_mechanism_info;
    list->C_OpenSession = s_open_session;
    list->C_CloseSession = s_close_session;
    list->C_CloseAllSessions = s_close_all_sessions;
    list->C_GetSessionInfo = s_get_session_info;
    list->C_Login = s_login;
    list->C_Logout = s_logout;
}
