/*
 * The functions of PKCS#11 2.40 that stand in the fault module's function list: all that mikeyd,
 * mikeyctl or libp11 can call. Others pass unseen.
 */
#ifndef TESTS_MODULE_FAULT_FUNCTION_H
#define TESTS_MODULE_FAULT_FUNCTION_H

/* clang-format off */
#define FAULT_FUNCTIONS(each)                                                              \
    each(C_Initialize) each(C_Finalize) each(C_GetInfo)                                    \
    each(C_GetSlotList) each(C_GetSlotInfo) each(C_GetTokenInfo)                           \
    each(C_GetMechanismList) each(C_GetMechanismInfo)                                      \
    each(C_OpenSession) each(C_CloseSession) each(C_CloseAllSessions)                      \
    each(C_GetSessionInfo) each(C_Login) each(C_Logout)                                    \
    each(C_CreateObject) each(C_CopyObject) each(C_DestroyObject)                          \
    each(C_GetAttributeValue) each(C_SetAttributeValue)                                    \
    each(C_FindObjectsInit) each(C_FindObjects) each(C_FindObjectsFinal)                   \
    each(C_EncryptInit) each(C_Encrypt)                                                    \
    each(C_DigestInit) each(C_DigestUpdate) each(C_DigestKey) each(C_DigestFinal)          \
    each(C_SignInit) each(C_Sign) each(C_SignUpdate) each(C_SignFinal)                     \
    each(C_GenerateKey) each(C_GenerateKeyPair)                                            \
    each(C_WrapKey) each(C_UnwrapKey) each(C_DeriveKey)                                    \
    each(C_GenerateRandom)
/* clang-format on */

enum fault_function {
#define FAULT_ENUM(name) FAULT_##name,
    FAULT_FUNCTIONS(FAULT_ENUM)
#undef FAULT_ENUM
        FAULT_FUNCTION_COUNT
};

/* "C_Sign". */
const char *fault_function_name(enum fault_function function);

#endif
