#include "pkcs11/token/profile.h"

#include <string.h>

#include <p11-kit/pkcs11.h>

#define DOCUMENTS "from its documents, not run on hardware"

static const struct profile profiles[] = {
    /* Everything is tried. */
    {.name = "generic", .source = "nothing is known: everything is tried", .limits = ""},
    /* 240 bytes of each session object stay until C_Finalize; two threads get less done than one. */
    {.name = "softhsm",
     .manufacturer = "SoftHSM",
     .source = "measured: SoftHSM 2.6.1 and 2.7",
     .limits = "no HKDF: pair keys are made by mikeyctl key derive",
     .measured = true,
     .leaks_objects = true,
     .serialise = true},
    {.name = "nss",
     .manufacturer = "Mozilla Foundation",
     .source = "measured: NSS softokn 3.87",
     .limits = "",
     .measured = true},
    /* Each HMAC loses 32 bytes of the secure heap of the process it runs in, which dies without.
     * From the second C_Finalize on it closes a descriptor that is no longer its own. */
    {.name = "opencryptoki",
     .manufacturer = "IBM",
     .path = "opencryptoki",
     .source = "measured: opencryptoki 3.8.1, soft token",
     .limits = "no HKDF; the audit key is RSA; the keyholder is replaced after some "
               "thousand messages",
     .measured = true,
     .leaks_heap = true,
     .begins_once = true},
    {.name = "wolfpkcs11",
     .manufacturer = "wolf",
     .source = "measured: wolfPKCS11 2.1",
     .limits = "no copies of keys; no HKDF",
     .measured = true,
     .per_session = true},
    /* Calls itself what the token behind it does: found by its name only. */
    {.name = "pkcs11-proxy",
     .source = "measured: pkcs11-proxy over TCP to SoftHSM",
     .limits = "a proxy that has stopped can keep C_Finalize from returning: call_timeout ends it",
     .measured = true,
     .leaks_objects = true},
    /* HMAC sizes in bits, 64 and in FIPS mode 128 the least. */
    {.name = "luna",
     .manufacturer = "SafeNet",
     .source = DOCUMENTS ": Luna SDK reference",
     .limits = "",
     .hmac_bits = true},
    /* Keys that others made are seen after C_Initialize only, unless
     * CKNFAST_ASSUME_SINGLE_PROCESS=0: a key that is not there may be, so the module begins anew. */
    {.name = "nshield",
     .manufacturer = "nCipher",
     .source = DOCUMENTS ": nShield Cryptographic API guide",
     .limits = "keys made by other programs are seen with CKNFAST_ASSUME_SINGLE_PROCESS=0 only",
     .retry = {{CKR_KEY_HANDLE_INVALID, PROFILE_TOKEN_LOST},
               {CKR_OBJECT_HANDLE_INVALID, PROFILE_TOKEN_LOST}}},
    /* Sessions are R/W, handles hold in their session;
     * throttling shows as these codes. */
    {.name = "cloudhsm",
     .manufacturer = "Marvell",
     .source = DOCUMENTS ": AWS CloudHSM user guide, Client SDK 5",
     .limits = "no copies of keys; no HKDF",
     .read_write = true,
     .per_session = true,
     .no_copies = true,
     .retry = {{CKR_DEVICE_ERROR, PROFILE_BUSY},
               {CKR_FUNCTION_FAILED, PROFILE_BUSY},
               {CKR_OPERATION_ACTIVE, PROFILE_BUSY}}},
    /* HMAC keys are of one hash; all objects are token objects. */
    {.name = "yubihsm2",
     .manufacturer = "Yubico",
     .model = "YubiHSM",
     .source = DOCUMENTS ": YubiHSM 2 user guide",
     .limits = "a key serves one hash: keys of type CKK_SHA256_HMAC serve PRF HMAC-SHA-256 alone; "
               "MACs are computed on the host; no known-answer tests; no copies of keys; no HKDF; "
               "its own "
               "tools make the keys",
     .read_write = true,
     .hash_keys = true,
     .no_session_keys = true,
     .per_session = true,
     .no_copies = true},
};

#define PROFILES (sizeof profiles / sizeof profiles[0])

const struct profile *profile_at(size_t index)
{
    return index < PROFILES ? &profiles[index] : NULL;
}

const struct profile *profile_named(const char *name)
{
    for (size_t i = 0; i < PROFILES; i++) {
        if (strcmp(profiles[i].name, name) == 0)
            return &profiles[i];
    }
    return NULL;
}

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

const struct profile *profile_for(const char *manufacturer, const char *model)
{
    for (size_t i = 0; i < PROFILES; i++) {
        const struct profile *p = &profiles[i];
        if (p->manufacturer != NULL && begins(manufacturer, p->manufacturer) &&
            (p->model == NULL || begins(model, p->model)))
            return p;
    }
    return &profiles[0];
}

const struct profile *profile_foreseen(const char *name, const char *module)
{
    if (name != NULL && profile_named(name) != NULL)
        return profile_named(name);
    for (size_t i = 0; i < PROFILES; i++) {
        if (profiles[i].path != NULL && strstr(module, profiles[i].path) != NULL)
            return &profiles[i];
    }
    return &profiles[0];
}

/* ---- switches */

static const struct {
    const char *name;
    size_t field; /* of struct profile, a bool */
} switches[] = {
    {"read_write", offsetof(struct profile, read_write)},
    {"hash_keys", offsetof(struct profile, hash_keys)},
    {"no_session_keys", offsetof(struct profile, no_session_keys)},
    {"per_session", offsetof(struct profile, per_session)},
    {"no_copies", offsetof(struct profile, no_copies)},
    {"hmac_bits", offsetof(struct profile, hmac_bits)},
    {"leaks_objects", offsetof(struct profile, leaks_objects)},
    {"serialise", offsetof(struct profile, serialise)},
};

const char *profile_switch_at(size_t index)
{
    return index < sizeof switches / sizeof switches[0] ? switches[index].name : NULL;
}

bool profile_switch_named(const char *name, uint32_t *bit)
{
    for (size_t i = 0; profile_switch_at(i) != NULL; i++) {
        if (strcmp(switches[i].name, name) == 0) {
            *bit = UINT32_C(1) << i;
            return true;
        }
    }
    return false;
}

uint32_t profile_switches(const struct profile *profile)
{
    uint32_t on = 0;
    for (size_t i = 0; profile_switch_at(i) != NULL; i++) {
        if (*(const bool *)((const char *)profile + switches[i].field))
            on |= UINT32_C(1) << i;
    }
    return on;
}

void profile_switch_on(struct profile *profile, uint32_t on)
{
    for (size_t i = 0; profile_switch_at(i) != NULL; i++) {
        if ((on & UINT32_C(1) << i) != 0)
            *(bool *)((char *)profile + switches[i].field) = true;
    }
}

/* ---- what a return value asks for */

static const struct profile_retry for_all[] = {
    {CKR_ARGUMENTS_BAD, PROFILE_FINAL},
    {CKR_ATTRIBUTE_READ_ONLY, PROFILE_FINAL},
    {CKR_ATTRIBUTE_SENSITIVE, PROFILE_FINAL},
    {CKR_ATTRIBUTE_TYPE_INVALID, PROFILE_FINAL},
    {CKR_ATTRIBUTE_VALUE_INVALID, PROFILE_FINAL},
    {CKR_BUFFER_TOO_SMALL, PROFILE_FINAL},
    {CKR_DATA_INVALID, PROFILE_FINAL},
    {CKR_DATA_LEN_RANGE, PROFILE_FINAL},
    {CKR_DOMAIN_PARAMS_INVALID, PROFILE_FINAL},
    {CKR_ENCRYPTED_DATA_INVALID, PROFILE_FINAL},
    {CKR_ENCRYPTED_DATA_LEN_RANGE, PROFILE_FINAL},
    {CKR_FUNCTION_NOT_SUPPORTED, PROFILE_FINAL},
    {CKR_KEY_FUNCTION_NOT_PERMITTED, PROFILE_FINAL},
    {CKR_KEY_NOT_WRAPPABLE, PROFILE_FINAL},
    {CKR_KEY_SIZE_RANGE, PROFILE_FINAL},
    {CKR_KEY_TYPE_INCONSISTENT, PROFILE_FINAL},
    {CKR_KEY_UNEXTRACTABLE, PROFILE_FINAL},
    {CKR_MECHANISM_INVALID, PROFILE_FINAL},
    {CKR_MECHANISM_PARAM_INVALID, PROFILE_FINAL},
    {CKR_PIN_INCORRECT, PROFILE_FINAL},
    {CKR_PIN_LOCKED, PROFILE_FINAL},
    {CKR_SESSION_COUNT, PROFILE_FULL},
    {CKR_SESSION_READ_ONLY, PROFILE_FINAL},
    {CKR_TEMPLATE_INCOMPLETE, PROFILE_FINAL},
    {CKR_TEMPLATE_INCONSISTENT, PROFILE_FINAL},
    {CKR_TOKEN_WRITE_PROTECTED, PROFILE_FINAL},
    {CKR_WRAPPED_KEY_INVALID, PROFILE_FINAL},
    {CKR_WRAPPED_KEY_LEN_RANGE, PROFILE_FINAL},
    {CKR_SESSION_HANDLE_INVALID, PROFILE_SESSION_LOST},
    {CKR_SESSION_CLOSED, PROFILE_SESSION_LOST},
    {CKR_OPERATION_ACTIVE, PROFILE_SESSION_SICK},
    {CKR_OPERATION_NOT_INITIALIZED, PROFILE_SESSION_SICK},
    {CKR_FUNCTION_FAILED, PROFILE_SESSION_SICK},
    {CKR_FUNCTION_CANCELED, PROFILE_SESSION_SICK},
    {CKR_FUNCTION_REJECTED, PROFILE_SESSION_SICK},
    {CKR_GENERAL_ERROR, PROFILE_SESSION_SICK},
    {CKR_HOST_MEMORY, PROFILE_BUSY},
    {CKR_DEVICE_MEMORY, PROFILE_SESSION_SICK},
    {CKR_USER_NOT_LOGGED_IN, PROFILE_LOGIN_LOST},
    {CKR_KEY_HANDLE_INVALID, PROFILE_LOGIN_LOST},
    {CKR_OBJECT_HANDLE_INVALID, PROFILE_LOGIN_LOST},
};

enum profile_reaction profile_reaction(const struct profile *profile, unsigned long rv)
{
    for (size_t i = 0; i < PROFILE_RETRY_MAX && profile->retry[i].rv != CKR_OK; i++) {
        if (profile->retry[i].rv == rv)
            return profile->retry[i].reaction;
    }
    for (size_t i = 0; i < sizeof for_all / sizeof for_all[0]; i++) {
        if (for_all[i].rv == rv)
            return for_all[i].reaction;
    }
    return PROFILE_TOKEN_LOST;
}

const char *profile_reaction_text(enum profile_reaction reaction)
{
    switch (reaction) {
    case PROFILE_TOKEN_LOST:
        return "token lost: the module begins anew";
    case PROFILE_LOGIN_LOST:
        return "login lost: log in again";
    case PROFILE_SESSION_LOST:
        return "session lost: another session, else log in again";
    case PROFILE_SESSION_SICK:
        return "another session, else the module begins anew";
    case PROFILE_BUSY:
        return "busy: try again";
    case PROFILE_FULL:
        return "no session left: wait for one";
    case PROFILE_FINAL:
        return "final";
    }
    return "";
}
