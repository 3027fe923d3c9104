#include <stdio.h>
#include <string.h>

#include "pkcs11/token/internal.h"

struct ckr_text {
    CK_RV rv;
    const char *name;
};

#define CKR_TEXT(code)                                                                             \
    {                                                                                              \
        code, #code                                                                                \
    }

static const struct ckr_text known[] = {
    CKR_TEXT(CKR_OK),
    CKR_TEXT(CKR_CANCEL),
    CKR_TEXT(CKR_HOST_MEMORY),
    CKR_TEXT(CKR_SLOT_ID_INVALID),
    CKR_TEXT(CKR_GENERAL_ERROR),
    CKR_TEXT(CKR_FUNCTION_FAILED),
    CKR_TEXT(CKR_ARGUMENTS_BAD),
    CKR_TEXT(CKR_NO_EVENT),
    CKR_TEXT(CKR_NEED_TO_CREATE_THREADS),
    CKR_TEXT(CKR_CANT_LOCK),
    CKR_TEXT(CKR_ATTRIBUTE_READ_ONLY),
    CKR_TEXT(CKR_ATTRIBUTE_SENSITIVE),
    CKR_TEXT(CKR_ATTRIBUTE_TYPE_INVALID),
    CKR_TEXT(CKR_ATTRIBUTE_VALUE_INVALID),
    {0x1BUL, "CKR_ACTION_PROHIBITED"},
    CKR_TEXT(CKR_DATA_INVALID),
    CKR_TEXT(CKR_DATA_LEN_RANGE),
    CKR_TEXT(CKR_DEVICE_ERROR),
    CKR_TEXT(CKR_DEVICE_MEMORY),
    CKR_TEXT(CKR_DEVICE_REMOVED),
    CKR_TEXT(CKR_ENCRYPTED_DATA_INVALID),
    CKR_TEXT(CKR_ENCRYPTED_DATA_LEN_RANGE),
    CKR_TEXT(CKR_FUNCTION_CANCELED),
    CKR_TEXT(CKR_FUNCTION_NOT_PARALLEL),
    CKR_TEXT(CKR_FUNCTION_NOT_SUPPORTED),
    CKR_TEXT(CKR_KEY_HANDLE_INVALID),
    CKR_TEXT(CKR_KEY_SIZE_RANGE),
    CKR_TEXT(CKR_KEY_TYPE_INCONSISTENT),
    CKR_TEXT(CKR_KEY_NOT_NEEDED),
    CKR_TEXT(CKR_KEY_CHANGED),
    CKR_TEXT(CKR_KEY_NEEDED),
    CKR_TEXT(CKR_KEY_INDIGESTIBLE),
    CKR_TEXT(CKR_KEY_FUNCTION_NOT_PERMITTED),
    CKR_TEXT(CKR_KEY_NOT_WRAPPABLE),
    CKR_TEXT(CKR_KEY_UNEXTRACTABLE),
    CKR_TEXT(CKR_MECHANISM_INVALID),
    CKR_TEXT(CKR_MECHANISM_PARAM_INVALID),
    CKR_TEXT(CKR_OBJECT_HANDLE_INVALID),
    CKR_TEXT(CKR_OPERATION_ACTIVE),
    CKR_TEXT(CKR_OPERATION_NOT_INITIALIZED),
    CKR_TEXT(CKR_PIN_INCORRECT),
    CKR_TEXT(CKR_PIN_INVALID),
    CKR_TEXT(CKR_PIN_LEN_RANGE),
    CKR_TEXT(CKR_PIN_EXPIRED),
    CKR_TEXT(CKR_PIN_LOCKED),
    CKR_TEXT(CKR_SESSION_CLOSED),
    CKR_TEXT(CKR_SESSION_COUNT),
    CKR_TEXT(CKR_SESSION_HANDLE_INVALID),
    CKR_TEXT(CKR_SESSION_PARALLEL_NOT_SUPPORTED),
    CKR_TEXT(CKR_SESSION_READ_ONLY),
    CKR_TEXT(CKR_SESSION_EXISTS),
    CKR_TEXT(CKR_SESSION_READ_ONLY_EXISTS),
    CKR_TEXT(CKR_SESSION_READ_WRITE_SO_EXISTS),
    CKR_TEXT(CKR_SIGNATURE_INVALID),
    CKR_TEXT(CKR_SIGNATURE_LEN_RANGE),
    CKR_TEXT(CKR_TEMPLATE_INCOMPLETE),
    CKR_TEXT(CKR_TEMPLATE_INCONSISTENT),
    CKR_TEXT(CKR_TOKEN_NOT_PRESENT),
    CKR_TEXT(CKR_TOKEN_NOT_RECOGNIZED),
    CKR_TEXT(CKR_TOKEN_WRITE_PROTECTED),
    CKR_TEXT(CKR_UNWRAPPING_KEY_HANDLE_INVALID),
    CKR_TEXT(CKR_UNWRAPPING_KEY_SIZE_RANGE),
    CKR_TEXT(CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT),
    CKR_TEXT(CKR_USER_ALREADY_LOGGED_IN),
    CKR_TEXT(CKR_USER_NOT_LOGGED_IN),
    CKR_TEXT(CKR_USER_PIN_NOT_INITIALIZED),
    CKR_TEXT(CKR_USER_TYPE_INVALID),
    CKR_TEXT(CKR_USER_ANOTHER_ALREADY_LOGGED_IN),
    CKR_TEXT(CKR_USER_TOO_MANY_TYPES),
    CKR_TEXT(CKR_WRAPPED_KEY_INVALID),
    CKR_TEXT(CKR_WRAPPED_KEY_LEN_RANGE),
    CKR_TEXT(CKR_WRAPPING_KEY_HANDLE_INVALID),
    CKR_TEXT(CKR_WRAPPING_KEY_SIZE_RANGE),
    CKR_TEXT(CKR_WRAPPING_KEY_TYPE_INCONSISTENT),
    CKR_TEXT(CKR_RANDOM_SEED_NOT_SUPPORTED),
    CKR_TEXT(CKR_RANDOM_NO_RNG),
    CKR_TEXT(CKR_DOMAIN_PARAMS_INVALID),
    CKR_TEXT(CKR_BUFFER_TOO_SMALL),
    CKR_TEXT(CKR_SAVED_STATE_INVALID),
    CKR_TEXT(CKR_INFORMATION_SENSITIVE),
    CKR_TEXT(CKR_STATE_UNSAVEABLE),
    CKR_TEXT(CKR_CRYPTOKI_NOT_INITIALIZED),
    CKR_TEXT(CKR_CRYPTOKI_ALREADY_INITIALIZED),
    CKR_TEXT(CKR_MUTEX_BAD),
    CKR_TEXT(CKR_MUTEX_NOT_LOCKED),
    CKR_TEXT(CKR_FUNCTION_REJECTED),
};

const char *ckr_name(CK_RV rv)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].rv == rv)
            return known[i].name;
    }
    static _Thread_local char number[32];
    (void)snprintf(number, sizeof number, "CKR_0x%08lx", rv);
    return number;
}

static const struct {
    const char *operation; /* NULL: any */
    CK_RV rv;
    const char *text;
} advices[] = {
    {"C_CreateObject", CKR_SESSION_READ_ONLY,
     ": the token refuses C_CreateObject of secrets in read-only sessions"},
    {"C_CreateObject", CKR_TEMPLATE_INCONSISTENT,
     ": the token does not take this kind of secret from outside"},
    {"C_CreateObject", CKR_ATTRIBUTE_VALUE_INVALID,
     ": the token does not take this kind of secret from outside"},
    {"C_CreateObject", CKR_FUNCTION_NOT_SUPPORTED, ": the token takes no secrets from outside"},
    {"C_WrapKey", CKR_KEY_NOT_WRAPPABLE, ": the key was not made for transport"},
    {"C_WrapKey", CKR_KEY_UNEXTRACTABLE, ": the key was not made for transport"},
    {"C_UnwrapKey", CKR_WRAPPED_KEY_INVALID, ": damaged, or wrapped otherwise or for another key"},
    {"C_UnwrapKey", CKR_WRAPPED_KEY_LEN_RANGE, ": damaged, or wrapped otherwise"},
    {"C_UnwrapKey", CKR_ENCRYPTED_DATA_INVALID,
     ": damaged, or wrapped otherwise or for another key"},
    {"C_UnwrapKey", CKR_ENCRYPTED_DATA_LEN_RANGE, ": damaged, or wrapped otherwise"},
    {"C_Sign", CKR_KEY_TYPE_INCONSISTENT,
     ": the key serves one hash alone, and not this one: the policy's prf must be the key's"},
    {NULL, CKR_SESSION_READ_ONLY,
     ": the module lets nothing be written: run the ceremony with the token's own module"},
    {NULL, CKR_TOKEN_WRITE_PROTECTED,
     ": the module lets nothing be written: run the ceremony with the token's own module"},
    {NULL, CKR_SESSION_COUNT, ": configure fewer sessions"},
    {NULL, CKR_DEVICE_MEMORY, ": the token is full: destroy keys that are not used"},
    {NULL, CKR_KEY_SIZE_RANGE, ": the token allows no key of this length for the mechanism"},
    {NULL, CKR_MECHANISM_INVALID, ": the token, or its FIPS mode, does not offer the mechanism"},
    {NULL, CKR_KEY_FUNCTION_NOT_PERMITTED, ": the key's usage flags forbid it: mikeyctl key check"},
    {NULL, CKR_USER_NOT_LOGGED_IN, ": somebody logged out, or the HSM was reset"},
    {NULL, CKR_DEVICE_REMOVED, ": look after the HSM and its client software"},
    {NULL, CKR_TOKEN_NOT_PRESENT, ": look after the HSM and its client software"},
    {NULL, CKR_DEVICE_ERROR, ": look after the HSM and its client software"},
};

const char *ckr_advice(const char *operation, CK_RV rv)
{
    for (size_t i = 0; i < sizeof advices / sizeof advices[0]; i++) {
        if (advices[i].rv == rv &&
            (advices[i].operation == NULL || strcmp(advices[i].operation, operation) == 0))
            return advices[i].text;
    }
    return "";
}
