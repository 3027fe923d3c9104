/*
 * A PKCS#11 module that passes calls on to a real one (MIKEYD_FAULT_REAL) and fails as its plan
 * says (fault_plan.h): here the functions that use keys, and what makes it a module.
 */
#include <dlfcn.h>
#include <stdlib.h>

#include "fault_object.h"
#include "fault_slot.h"
#include "fault_vendor.h"

static CK_FUNCTION_LIST faulty;

/* ---- signing */

static CK_RV f_sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    CK_RV rv;
    return fault_strikes(FAULT_C_SignInit, session, NULL, &rv)
               ? rv
               : fault_real->C_SignInit(session, mechanism, fault_object_theirs(session, key));
}

static CK_RV f_sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *tag,
                    CK_ULONG *tag_len)
{
    struct fault fault;
    CK_RV rv;
    if (fault_strikes(FAULT_C_Sign, session, &fault, &rv))
        return rv;
    rv = fault_real->C_Sign(session, data, len, tag, tag_len);
    if (rv != CKR_OK || tag == NULL)
        return rv;
    if (fault.action == FAULT_CORRUPT)
        tag[0] ^= 1;
    fault_distort(&fault, tag_len);
    return rv;
}

static CK_RV f_sign_update(CK_SESSION_HANDLE session, CK_BYTE *part, CK_ULONG len)
{
    CK_RV rv;
    return fault_strikes(FAULT_C_SignUpdate, session, NULL, &rv)
               ? rv
               : fault_real->C_SignUpdate(session, part, len);
}

static CK_RV f_sign_final(CK_SESSION_HANDLE session, CK_BYTE *tag, CK_ULONG *tag_len)
{
    struct fault fault;
    CK_RV rv;
    if (fault_strikes(FAULT_C_SignFinal, session, &fault, &rv))
        return rv;
    rv = fault_real->C_SignFinal(session, tag, tag_len);
    if (rv == CKR_OK && tag != NULL)
        fault_distort(&fault, tag_len);
    return rv;
}

/* ---- encrypting, wrapping */

static CK_RV f_encrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                            CK_OBJECT_HANDLE key)
{
    CK_RV rv;
    return fault_strikes(FAULT_C_EncryptInit, session, NULL, &rv)
               ? rv
               : fault_real->C_EncryptInit(session, mechanism, fault_object_theirs(session, key));
}

static CK_RV f_encrypt(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *out,
                       CK_ULONG *out_len)
{
    struct fault fault;
    CK_RV rv;
    if (fault_strikes(FAULT_C_Encrypt, session, &fault, &rv))
        return rv;
    rv = fault_real->C_Encrypt(session, data, len, out, out_len);
    if (rv == CKR_OK && out != NULL)
        fault_distort(&fault, out_len);
    return rv;
}

static CK_RV f_wrap_key(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE with,
                        CK_OBJECT_HANDLE key, CK_BYTE *wrapped, CK_ULONG *len)
{
    struct fault fault;
    CK_RV rv;
    if (fault_strikes(FAULT_C_WrapKey, session, &fault, &rv))
        return rv;
    rv = fault_real->C_WrapKey(session, mechanism, fault_object_theirs(session, with),
                               fault_object_theirs(session, key), wrapped, len);
    if (rv == CKR_OK && wrapped != NULL)
        fault_distort(&fault, len);
    return rv;
}

/* ---- hashing, random numbers */

static CK_RV f_digest_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism)
{
    CK_RV rv;
    return fault_strikes(FAULT_C_DigestInit, session, NULL, &rv)
               ? rv
               : fault_real->C_DigestInit(session, mechanism);
}

static CK_RV f_digest_update(CK_SESSION_HANDLE session, CK_BYTE *part, CK_ULONG len)
{
    CK_RV rv;
    return fault_strikes(FAULT_C_DigestUpdate, session, NULL, &rv)
               ? rv
               : fault_real->C_DigestUpdate(session, part, len);
}

static CK_RV f_digest_key(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    CK_RV rv;
    return fault_strikes(FAULT_C_DigestKey, session, NULL, &rv)
               ? rv
               : fault_real->C_DigestKey(session, fault_object_theirs(session, key));
}

static CK_RV f_digest_final(CK_SESSION_HANDLE session, CK_BYTE *digest, CK_ULONG *len)
{
    struct fault fault;
    CK_RV rv;
    if (fault_strikes(FAULT_C_DigestFinal, session, &fault, &rv))
        return rv;
    rv = fault_real->C_DigestFinal(session, digest, len);
    if (rv == CKR_OK && digest != NULL)
        fault_distort(&fault, len);
    return rv;
}

static CK_RV f_generate_random(CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG len)
{
    CK_RV rv;
    return fault_strikes(FAULT_C_GenerateRandom, session, NULL, &rv)
               ? rv
               : fault_real->C_GenerateRandom(session, out, len);
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
    return get_list != NULL && get_list(&fault_real) == CKR_OK;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    if (!load_real()) /* each time: the next token may want another module */
        return CKR_GENERAL_ERROR;
    faulty = *fault_real;
    faulty.C_GetFunctionList = C_GetFunctionList;
    faulty.C_SignInit = f_sign_init;
    faulty.C_Sign = f_sign;
    faulty.C_SignUpdate = f_sign_update;
    faulty.C_SignFinal = f_sign_final;
    faulty.C_EncryptInit = f_encrypt_init;
    faulty.C_Encrypt = f_encrypt;
    faulty.C_WrapKey = f_wrap_key;
    faulty.C_DigestInit = f_digest_init;
    faulty.C_DigestUpdate = f_digest_update;
    faulty.C_DigestKey = f_digest_key;
    faulty.C_DigestFinal = f_digest_final;
    faulty.C_GenerateRandom = f_generate_random;
    fault_slot_wrap(&faulty);
    fault_object_wrap(&faulty);
    fault_vendor_wrap(&faulty);
    *list = &faulty;
    return CKR_OK;
}
