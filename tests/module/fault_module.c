/*
 * A PKCS#11 module that passes calls on to a real one (MIKEYD_FAULT_REAL) and fails as its plan
 * says (fault_plan.h). Object handles are numbers of its own, so that it can make them change their
 * meaning over a re-initialisation, as real tokens do.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

#include "fault_plan.h"
#include "fault_vendor.h"

#define HANDLES_MAX 65536

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST faulty;
static CK_OBJECT_HANDLE handles[HANDLES_MAX];
static CK_SESSION_HANDLE owners[HANDLES_MAX]; /* of session objects; 0: everybody's */
static CK_ULONG handle_count;
static unsigned initialisations;
static pthread_mutex_t handle_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- handles: ours is an index, theirs the real module's */

static CK_OBJECT_HANDLE ours(CK_OBJECT_HANDLE theirs)
{
    (void)pthread_mutex_lock(&handle_lock);
    CK_ULONG i = 1;
    while (i <= handle_count && handles[i] != theirs)
        i++;
    if (i > handle_count && i < HANDLES_MAX) {
        handles[handle_count = i] = theirs;
        owners[i] = 0;
    }
    (void)pthread_mutex_unlock(&handle_lock);
    return i;
}

/* The session object of another session is none, where the plan says so. */
static CK_OBJECT_HANDLE theirs(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE ours_handle)
{
    const bool alone = fault_isolates();
    (void)pthread_mutex_lock(&handle_lock);
    CK_OBJECT_HANDLE found = CK_INVALID_HANDLE;
    if (ours_handle >= 1 && ours_handle <= handle_count &&
        !(alone && owners[ours_handle] != 0 && owners[ours_handle] != session))
        found = handles[ours_handle];
    (void)pthread_mutex_unlock(&handle_lock);
    return found;
}

/* The number of an object just made by this template in this session. */
static CK_OBJECT_HANDLE made(CK_SESSION_HANDLE session, const CK_ATTRIBUTE *at, CK_ULONG count,
                             CK_OBJECT_HANDLE theirs_handle)
{
    bool on_token = false;
    for (CK_ULONG i = 0; i < count; i++) {
        if (at[i].type == CKA_TOKEN && at[i].ulValueLen == sizeof(CK_BBOOL))
            on_token = *(const CK_BBOOL *)at[i].pValue == CK_TRUE;
    }
    const CK_OBJECT_HANDLE handle = ours(theirs_handle);
    (void)pthread_mutex_lock(&handle_lock);
    if (handle < HANDLES_MAX)
        owners[handle] = on_token ? 0 : session;
    (void)pthread_mutex_unlock(&handle_lock);
    return handle;
}

/* ---- striking: true when *rv is to be returned instead of calling the real module */

static bool strike_as(const struct fault *fault, CK_SESSION_HANDLE session, CK_RV *rv)
{
    CK_SESSION_INFO info;
    switch (fault->action) {
    case FAULT_RV:
        *rv = fault->argument;
        return true;
    case FAULT_LOGOUT:
        (void)real->C_Logout(session);
        return false;
    case FAULT_CLOSE_ALL:
        if (real->C_GetSessionInfo(session, &info) == CKR_OK)
            (void)real->C_CloseAllSessions(info.slotID);
        return false;
    case FAULT_FINALIZE:
        (void)real->C_Finalize(NULL);
        return false;
    case FAULT_NONE:
    case FAULT_DELAY:
    case FAULT_HANG:
    case FAULT_DIE:
    case FAULT_LEAK:
    case FAULT_FLAGS:
    case FAULT_CORRUPT:
    case FAULT_SHORT:
    case FAULT_MINIMUM:
        break;
    }
    return false;
}

static bool strike(const char *function, CK_SESSION_HANDLE session, CK_RV *rv)
{
    const struct fault fault = fault_next(function);
    return strike_as(&fault, session, rv);
}

/* ---- the functions mikeyd calls */

static CK_RV f_initialize(void *args)
{
    CK_RV rv;
    if (strike("C_Initialize", 0, &rv))
        return rv;
    (void)pthread_mutex_lock(&handle_lock);
    handle_count = 0;
    initialisations++;
    (void)pthread_mutex_unlock(&handle_lock);
    return real->C_Initialize(args);
}

static CK_RV f_finalize(void *reserved)
{
    CK_RV rv;
    return strike("C_Finalize", 0, &rv) ? rv : real->C_Finalize(reserved);
}

static CK_RV f_get_slot_list(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count)
{
    CK_RV rv;
    return strike("C_GetSlotList", 0, &rv) ? rv : real->C_GetSlotList(present, slots, count);
}

static CK_RV f_get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    const struct fault fault = fault_next("C_GetTokenInfo");
    CK_RV rv;
    if (strike_as(&fault, 0, &rv))
        return rv;
    rv = real->C_GetTokenInfo(slot, info);
    if (rv == CKR_OK && fault.action == FAULT_FLAGS)
        info->flags |= fault.argument;
    return rv;
}

static CK_RV f_get_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    const struct fault fault = fault_next("C_GetMechanismInfo");
    CK_RV rv;
    if (strike_as(&fault, 0, &rv))
        return rv;
    rv = real->C_GetMechanismInfo(slot, type, info);
    if (rv == CKR_OK && fault.action == FAULT_MINIMUM)
        info->ulMinKeySize = fault.argument;
    return rv;
}

static CK_RV f_open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                            CK_SESSION_HANDLE *session)
{
    CK_RV rv;
    return strike("C_OpenSession", 0, &rv)
               ? rv
               : real->C_OpenSession(slot, flags, application, notify, session);
}

static CK_RV f_get_session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO *info)
{
    CK_RV rv;
    return strike("C_GetSessionInfo", session, &rv) ? rv : real->C_GetSessionInfo(session, info);
}

static CK_RV f_login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG len)
{
    CK_RV rv;
    return strike("C_Login", session, &rv) ? rv : real->C_Login(session, user, pin, len);
}

static CK_RV f_find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *at, CK_ULONG count)
{
    CK_RV rv;
    return strike("C_FindObjectsInit", session, &rv) ? rv
                                                     : real->C_FindObjectsInit(session, at, count);
}

/* Every second initialisation numbers the objects from the other end. */
static CK_RV f_find_objects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *out, CK_ULONG max,
                            CK_ULONG *count)
{
    CK_RV rv;
    if (strike("C_FindObjects", session, &rv))
        return rv;
    rv = real->C_FindObjects(session, out, max, count);
    if (rv != CKR_OK)
        return rv;
    const bool backwards = fault_shuffles() && initialisations % 2 == 0;
    for (CK_ULONG i = 0; i < *count; i++) {
        CK_OBJECT_HANDLE *one = backwards ? &out[*count - 1 - i] : &out[i];
        *one = ours(*one);
    }
    return rv;
}

static CK_RV f_get_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                                   CK_ATTRIBUTE *at, CK_ULONG count)
{
    CK_RV rv;
    return strike("C_GetAttributeValue", session, &rv)
               ? rv
               : real->C_GetAttributeValue(session, theirs(session, object), at, count);
}

static CK_RV f_sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    CK_RV rv;
    return strike("C_SignInit", session, &rv)
               ? rv
               : real->C_SignInit(session, mechanism, theirs(session, key));
}

static CK_RV f_sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *tag,
                    CK_ULONG *tag_len)
{
    const struct fault fault = fault_next("C_Sign");
    CK_RV rv;
    if (strike_as(&fault, session, &rv))
        return rv;
    rv = real->C_Sign(session, data, len, tag, tag_len);
    if (rv == CKR_OK && fault.action == FAULT_CORRUPT)
        tag[0] ^= 1;
    if (rv == CKR_OK && tag != NULL && fault.action == FAULT_SHORT)
        --*tag_len;
    return rv;
}

static CK_RV f_create_object(CK_SESSION_HANDLE session, CK_ATTRIBUTE *at, CK_ULONG count,
                             CK_OBJECT_HANDLE *object)
{
    CK_RV rv;
    if (strike("C_CreateObject", session, &rv))
        return rv;
    rv = real->C_CreateObject(session, at, count, object);
    if (rv == CKR_OK)
        *object = made(session, at, count, *object);
    return rv;
}

static CK_RV f_copy_object(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *at,
                           CK_ULONG count, CK_OBJECT_HANDLE *copy)
{
    CK_RV rv;
    if (strike("C_CopyObject", session, &rv))
        return rv;
    rv = real->C_CopyObject(session, theirs(session, object), at, count, copy);
    if (rv == CKR_OK)
        *copy = made(session, at, count, *copy);
    return rv;
}

/* The slot of a destroyed object is free: real tokens give its number to the next one. */
static CK_RV f_destroy_object(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    CK_RV rv;
    if (strike("C_DestroyObject", session, &rv))
        return rv;
    rv = real->C_DestroyObject(session, theirs(session, object));
    (void)pthread_mutex_lock(&handle_lock);
    if (rv == CKR_OK && object == handle_count)
        handle_count--;
    (void)pthread_mutex_unlock(&handle_lock);
    return rv;
}

static CK_RV f_derive_key(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE base,
                          CK_ATTRIBUTE *at, CK_ULONG count, CK_OBJECT_HANDLE *key)
{
    CK_RV rv;
    if (strike("C_DeriveKey", session, &rv))
        return rv;
    rv = real->C_DeriveKey(session, mechanism, theirs(session, base), at, count, key);
    if (rv == CKR_OK)
        *key = made(session, at, count, *key);
    return rv;
}

static CK_RV f_encrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                            CK_OBJECT_HANDLE key)
{
    CK_RV rv;
    return strike("C_EncryptInit", session, &rv)
               ? rv
               : real->C_EncryptInit(session, mechanism, theirs(session, key));
}

/* ---- the module */

static bool load_real(void)
{
    const char *path = getenv("MIKEYD_FAULT_REAL");
    void *library = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    CK_C_GetFunctionList get_list = NULL;
    if (library == NULL)
        return false;
    *(void **)&get_list = dlsym(library, "C_GetFunctionList");
    return get_list != NULL && get_list(&real) == CKR_OK;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    if (!load_real()) /* each time: the next token may want another module */
        return CKR_GENERAL_ERROR;
    faulty = *real;
    faulty.C_Initialize = f_initialize;
    faulty.C_Finalize = f_finalize;
    faulty.C_GetFunctionList = C_GetFunctionList;
    faulty.C_GetSlotList = f_get_slot_list;
    faulty.C_GetTokenInfo = f_get_token_info;
    faulty.C_GetMechanismInfo = f_get_mechanism_info;
    faulty.C_OpenSession = f_open_session;
    faulty.C_GetSessionInfo = f_get_session_info;
    faulty.C_Login = f_login;
    faulty.C_FindObjectsInit = f_find_objects_init;
    faulty.C_FindObjects = f_find_objects;
    faulty.C_GetAttributeValue = f_get_attribute_value;
    faulty.C_SignInit = f_sign_init;
    faulty.C_Sign = f_sign;
    faulty.C_CreateObject = f_create_object;
    faulty.C_CopyObject = f_copy_object;
    faulty.C_DestroyObject = f_destroy_object;
    faulty.C_DeriveKey = f_derive_key;
    faulty.C_EncryptInit = f_encrypt_init;
    fault_vendor_wrap(&faulty);
    *list = &faulty;
    return CKR_OK;
}
