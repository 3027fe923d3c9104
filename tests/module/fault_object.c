#include "fault_object.h"

#include <pthread.h>

#include "fault_slot.h"
#include "fault_tally.h"

#define HANDLES_MAX 65536

static CK_OBJECT_HANDLE handles[HANDLES_MAX];
static CK_SESSION_HANDLE owners[HANDLES_MAX]; /* of session objects; 0: everybody's */
static CK_ULONG handle_count;
static unsigned initialisations;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- numbers: ours is an index, theirs the real module's */

static CK_OBJECT_HANDLE number_of(CK_OBJECT_HANDLE theirs)
{
    (void)pthread_mutex_lock(&lock);
    CK_ULONG i = 1;
    while (i <= handle_count && handles[i] != theirs)
        i++;
    if (i > handle_count && i < HANDLES_MAX) {
        handles[handle_count = i] = theirs;
        owners[i] = 0;
    }
    (void)pthread_mutex_unlock(&lock);
    return i;
}

CK_OBJECT_HANDLE fault_object_theirs(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE ours)
{
    const bool alone = fault_state().isolates;
    (void)pthread_mutex_lock(&lock);
    CK_OBJECT_HANDLE found = CK_INVALID_HANDLE;
    if (ours >= 1 && ours <= handle_count &&
        !(alone && owners[ours] != 0 && owners[ours] != session))
        found = handles[ours];
    (void)pthread_mutex_unlock(&lock);
    return found;
}

CK_OBJECT_HANDLE fault_object_made(CK_SESSION_HANDLE session, const CK_ATTRIBUTE *at,
                                   CK_ULONG count, CK_OBJECT_HANDLE theirs)
{
    bool on_token = false;
    for (CK_ULONG i = 0; i < count; i++) {
        if (at[i].type == CKA_TOKEN && at[i].ulValueLen == sizeof(CK_BBOOL))
            on_token = *(const CK_BBOOL *)at[i].pValue == CK_TRUE;
    }
    const CK_OBJECT_HANDLE handle = number_of(theirs);
    (void)pthread_mutex_lock(&lock);
    if (handle < HANDLES_MAX)
        owners[handle] = on_token ? 0 : session;
    (void)pthread_mutex_unlock(&lock);
    if (!on_token)
        (void)atomic_fetch_add(&fault_tally()->objects, 1);
    return handle;
}

void fault_object_begin_anew(void)
{
    (void)pthread_mutex_lock(&lock);
    handle_count = 0;
    initialisations++;
    (void)pthread_mutex_unlock(&lock);
    atomic_store(&fault_tally()->objects, 0);
}

/* The number of a destroyed object is free: real tokens give it to the next one. */
static void forget(CK_OBJECT_HANDLE ours)
{
    (void)pthread_mutex_lock(&lock);
    if (ours < HANDLES_MAX && owners[ours] != 0)
        (void)atomic_fetch_sub(&fault_tally()->objects, 1);
    if (ours == handle_count)
        handle_count--;
    (void)pthread_mutex_unlock(&lock);
}

/* ---- finding and reading */

static CK_RV o_find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *at, CK_ULONG count)
{
    CK_RV rv;
    return fault_strikes(FAULT_C_FindObjectsInit, session, NULL, &rv)
               ? rv
               : fault_real->C_FindObjectsInit(session, at, count);
}

/* Every second initialisation numbers the objects from the other end. */
static CK_RV o_find_objects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *out, CK_ULONG max,
                            CK_ULONG *count)
{
    struct fault fault;
    CK_RV rv;
    if (fault_strikes(FAULT_C_FindObjects, session, &fault, &rv))
        return rv;
    rv = fault_real->C_FindObjects(session, out, max, count);
    if (rv != CKR_OK)
        return rv;
    const bool backwards = fault_state().shuffles && initialisations % 2 == 0;
    for (CK_ULONG i = 0; i < *count; i++) {
        CK_OBJECT_HANDLE *one = backwards ? &out[*count - 1 - i] : &out[i];
        *one = number_of(*one);
    }
    fault_distort(&fault, count);
    return rv;
}

static CK_RV o_find_objects_final(CK_SESSION_HANDLE session)
{
    CK_RV rv;
    return fault_strikes(FAULT_C_FindObjectsFinal, session, NULL, &rv)
               ? rv
               : fault_real->C_FindObjectsFinal(session);
}

static CK_RV o_get_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                                   CK_ATTRIBUTE *at, CK_ULONG count)
{
    struct fault fault;
    CK_RV rv;
    if (fault_strikes(FAULT_C_GetAttributeValue, session, &fault, &rv))
        return rv;
    rv = fault_real->C_GetAttributeValue(session, fault_object_theirs(session, object), at, count);
    for (CK_ULONG i = 0; rv == CKR_OK && i < count; i++)
        fault_distort(&fault, &at[i].ulValueLen);
    return rv;
}

static CK_RV o_set_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                                   CK_ATTRIBUTE *at, CK_ULONG count)
{
    CK_RV rv;
    return fault_strikes(FAULT_C_SetAttributeValue, session, NULL, &rv)
               ? rv
               : fault_real->C_SetAttributeValue(session, fault_object_theirs(session, object), at,
                                                 count);
}

/* ---- making and destroying */

static CK_RV o_create_object(CK_SESSION_HANDLE session, CK_ATTRIBUTE *at, CK_ULONG count,
                             CK_OBJECT_HANDLE *object)
{
    CK_RV rv;
    if (fault_strikes(FAULT_C_CreateObject, session, NULL, &rv))
        return rv;
    rv = fault_real->C_CreateObject(session, at, count, object);
    if (rv == CKR_OK)
        *object = fault_object_made(session, at, count, *object);
    return rv;
}

static CK_RV o_copy_object(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *at,
                           CK_ULONG count, CK_OBJECT_HANDLE *copy)
{
    CK_RV rv;
    if (fault_strikes(FAULT_C_CopyObject, session, NULL, &rv))
        return rv;
    rv = fault_real->C_CopyObject(session, fault_object_theirs(session, object), at, count, copy);
    if (rv == CKR_OK)
        *copy = fault_object_made(session, at, count, *copy);
    return rv;
}

static CK_RV o_destroy_object(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    CK_RV rv;
    if (fault_strikes(FAULT_C_DestroyObject, session, NULL, &rv))
        return rv;
    rv = fault_real->C_DestroyObject(session, fault_object_theirs(session, object));
    if (rv == CKR_OK)
        forget(object);
    return rv;
}

static CK_RV o_generate_key(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *at,
                            CK_ULONG count, CK_OBJECT_HANDLE *key)
{
    CK_RV rv;
    if (fault_strikes(FAULT_C_GenerateKey, session, NULL, &rv))
        return rv;
    rv = fault_real->C_GenerateKey(session, mechanism, at, count, key);
    if (rv == CKR_OK)
        *key = fault_object_made(session, at, count, *key);
    return rv;
}

static CK_RV o_generate_key_pair(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                                 CK_ATTRIBUTE *public_at, CK_ULONG public_count,
                                 CK_ATTRIBUTE *private_at, CK_ULONG private_count,
                                 CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
{
    CK_RV rv;
    if (fault_strikes(FAULT_C_GenerateKeyPair, session, NULL, &rv))
        return rv;
    rv = fault_real->C_GenerateKeyPair(session, mechanism, public_at, public_count, private_at,
                                       private_count, public_key, private_key);
    if (rv == CKR_OK) {
        *public_key = fault_object_made(session, public_at, public_count, *public_key);
        *private_key = fault_object_made(session, private_at, private_count, *private_key);
    }
    return rv;
}

static CK_RV o_unwrap_key(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE with,
                          CK_BYTE *wrapped, CK_ULONG len, CK_ATTRIBUTE *at, CK_ULONG count,
                          CK_OBJECT_HANDLE *key)
{
    CK_RV rv;
    if (fault_strikes(FAULT_C_UnwrapKey, session, NULL, &rv))
        return rv;
    rv = fault_real->C_UnwrapKey(session, mechanism, fault_object_theirs(session, with), wrapped,
                                 len, at, count, key);
    if (rv == CKR_OK)
        *key = fault_object_made(session, at, count, *key);
    return rv;
}

static CK_RV o_derive_key(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE base,
                          CK_ATTRIBUTE *at, CK_ULONG count, CK_OBJECT_HANDLE *key)
{
    CK_RV rv;
    if (fault_strikes(FAULT_C_DeriveKey, session, NULL, &rv))
        return rv;
    rv = fault_real->C_DeriveKey(session, mechanism, fault_object_theirs(session, base), at, count,
                                 key);
    if (rv == CKR_OK)
        *key = fault_object_made(session, at, count, *key);
    return rv;
}

void fault_object_wrap(CK_FUNCTION_LIST *list)
{
    list->C_FindObjectsInit = o_find_objects_init;
    list->C_FindObjects = o_find_objects;
    list->C_FindObjectsFinal = o_find_objects_final;
    list->C_GetAttributeValue = o_get_attribute_value;
    list->C_SetAttributeValue = o_set_attribute_value;
    list->C_CreateObject = o_create_object;
    list->C_CopyObject = o_copy_object;
    list->C_DestroyObject = o_destroy_object;
    list->C_GenerateKey = o_generate_key;
    list->C_GenerateKeyPair = o_generate_key_pair;
    list->C_UnwrapKey = o_unwrap_key;
    list->C_DeriveKey = o_derive_key;
}
