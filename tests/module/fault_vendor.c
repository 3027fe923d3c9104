#include "fault_vendor.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static CK_FUNCTION_LIST behind;
static bool no_read_only, write_sessions, hash_keys, no_session_objects, bits;
static unsigned long throttle;
static atomic_ulong sign_inits;
static char maker[33], model[17];

/* ---- templates */

static const CK_ATTRIBUTE *find(const CK_ATTRIBUTE *at, CK_ULONG count, CK_ATTRIBUTE_TYPE type)
{
    for (CK_ULONG i = 0; i < count; i++) {
        if (at[i].type == type)
            return &at[i];
    }
    return NULL;
}

static bool is_on(const CK_ATTRIBUTE *at, CK_ULONG count, CK_ATTRIBUTE_TYPE type)
{
    const CK_ATTRIBUTE *found = find(at, count, type);
    return found != NULL && found->ulValueLen == sizeof(CK_BBOOL) &&
           *(const CK_BBOOL *)found->pValue == CK_TRUE;
}

static bool session_writes(CK_SESSION_HANDLE session)
{
    CK_SESSION_INFO info;
    return behind.C_GetSessionInfo(session, &info) == CKR_OK && (info.flags & CKF_RW_SESSION) != 0;
}

/* What a session object of that template gets. */
static CK_RV refuse_object(CK_SESSION_HANDLE session, const CK_ATTRIBUTE *at, CK_ULONG count)
{
    if (is_on(at, count, CKA_TOKEN))
        return CKR_OK;
    if (no_session_objects)
        return CKR_FUNCTION_NOT_SUPPORTED;
    return write_sessions && !session_writes(session) ? CKR_SESSION_READ_ONLY : CKR_OK;
}

/* ---- the functions */

static CK_RV v_get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    CK_RV rv = behind.C_GetTokenInfo(slot, info);
    if (rv == CKR_OK && maker[0] != '\0') {
        memset(info->manufacturerID, ' ', sizeof info->manufacturerID);
        memcpy(info->manufacturerID, maker, strlen(maker));
    }
    if (rv == CKR_OK && model[0] != '\0') {
        memset(info->model, ' ', sizeof info->model);
        memcpy(info->model, model, strlen(model));
    }
    return rv;
}

static CK_RV v_get_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    CK_RV rv = behind.C_GetMechanismInfo(slot, type, info);
    if (rv == CKR_OK && bits)
        info->ulMinKeySize = 64;
    return rv;
}

static CK_RV v_open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                            CK_SESSION_HANDLE *session)
{
    if (no_read_only && (flags & CKF_RW_SESSION) == 0)
        return CKR_ARGUMENTS_BAD;
    return behind.C_OpenSession(slot, flags, application, notify, session);
}

static CK_RV v_create_object(CK_SESSION_HANDLE session, CK_ATTRIBUTE *at, CK_ULONG count,
                             CK_OBJECT_HANDLE *object)
{
    CK_RV rv = refuse_object(session, at, count);
    return rv != CKR_OK ? rv : behind.C_CreateObject(session, at, count, object);
}

static CK_RV v_copy_object(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *at,
                           CK_ULONG count, CK_OBJECT_HANDLE *copy)
{
    CK_RV rv = refuse_object(session, at, count);
    return rv != CKR_OK ? rv : behind.C_CopyObject(session, object, at, count, copy);
}

static bool has_no_hash(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    CK_KEY_TYPE type = 0;
    CK_ATTRIBUTE at = {CKA_KEY_TYPE, &type, sizeof type};
    return behind.C_GetAttributeValue(session, key, &at, 1) == CKR_OK && type == CKK_GENERIC_SECRET;
}

static CK_RV v_sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    if (throttle != 0 && (atomic_fetch_add(&sign_inits, 1) + 1) % throttle == 0)
        return CKR_DEVICE_ERROR;
    if (hash_keys && has_no_hash(session, key))
        return CKR_KEY_TYPE_INCONSISTENT;
    return behind.C_SignInit(session, mechanism, key);
}

/* ---- what is asked for */

static void take_word(const char *word)
{
    no_read_only = no_read_only || strcmp(word, "noreadonly") == 0;
    write_sessions = write_sessions || strcmp(word, "writesessions") == 0;
    hash_keys = hash_keys || strcmp(word, "hashkeys") == 0;
    no_session_objects = no_session_objects || strcmp(word, "nosessionobjects") == 0;
    bits = bits || strcmp(word, "bits") == 0;
    if (strncmp(word, "throttle=", 9) == 0)
        throttle = strtoul(word + 9, NULL, 10);
    if (strncmp(word, "maker=", 6) == 0)
        (void)strncpy(maker, word + 6, sizeof maker - 1);
    if (strncmp(word, "model=", 6) == 0)
        (void)strncpy(model, word + 6, sizeof model - 1);
}

void fault_vendor_wrap(CK_FUNCTION_LIST *list)
{
    const char *wanted = getenv("MIKEYD_FAULT_VENDOR");
    char words[256] = "", *rest = NULL;
    if (wanted == NULL)
        return;
    (void)strncpy(words, wanted, sizeof words - 1);
    for (char *word = strtok_r(words, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        take_word(word);
    behind = *list;
    list->C_GetTokenInfo = v_get_token_info;
    list->C_GetMechanismInfo = v_get_mechanism_info;
    list->C_OpenSession = v_open_session;
    list->C_CreateObject = v_create_object;
    list->C_CopyObject = v_copy_object;
    list->C_SignInit = v_sign_init;
}
