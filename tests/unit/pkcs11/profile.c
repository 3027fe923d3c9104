/* The table of makers' modules, and what follows from each return value. */
#include <string.h>

#include <criterion/criterion.h>
#include <p11-kit/pkcs11.h>

#include "pkcs11/token/profile.h"

Test(profile, names_are_unique_and_say_where_they_come_from)
{
    for (size_t i = 0; profile_at(i) != NULL; i++) {
        const struct profile *p = profile_at(i);
        cr_expect_eq(profile_named(p->name), p, "%s twice", p->name);
        cr_expect_neq(p->source[0], '\0');
        cr_expect_not_null(p->limits);
        cr_expect_eq(p->measured, strncmp(p->source, "measured: ", 10) == 0, "%s", p->name);
        if (!p->measured && strcmp(p->name, "generic") != 0)
            cr_expect_not_null(strstr(p->source, "not run on hardware"), "%s", p->name);
    }
    cr_expect_null(profile_named("auto"));
}

Test(profile, tokens_are_known_by_what_they_say)
{
    static const struct {
        const char *manufacturer, *model, *name;
    } tokens[] = {
        {"SoftHSM project", "SoftHSM v2", "softhsm"},
        {"Mozilla Foundation", "NSS 3", "nss"},
        {"IBM Corp.", "IBM SoftTok", "opencryptoki"},
        {"Yubico (www.yubico.com)", "YubiHSM", "yubihsm2"},
        {"Yubico (www.yubico.com)", "YubiKey YK5", "generic"},
        {"Marvell Semiconductors, Inc.", "LS2", "cloudhsm"},
        {"nCipher Corp. Ltd", "", "nshield"},
        {"somebody", "something", "generic"},
    };
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++)
        cr_expect_str_eq(profile_for(tokens[i].manufacturer, tokens[i].model)->name,
                         tokens[i].name);
}

/* How much secure heap the process needs is asked before the module is loaded. */
Test(profile, a_module_that_leaks_is_known_by_its_path)
{
    static const char path[] = "/usr/lib/x86_64-linux-gnu/pkcs11/libopencryptoki.so";
    cr_expect(profile_foreseen("auto", path)->leaks_heap);
    cr_expect(profile_foreseen(NULL, path)->leaks_heap);
    cr_expect(profile_foreseen("opencryptoki", "/opt/PKCS11_API.so")->leaks_heap);
    cr_expect_str_eq(profile_foreseen("generic", path)->name, "generic");
    cr_expect_not(profile_foreseen("auto", "/usr/lib/softhsm/libsofthsm2.so")->leaks_heap);
}

Test(profile, a_row_goes_before_what_holds_for_all)
{
    static const struct {
        const char *name;
        CK_RV rv;
        enum profile_reaction reaction;
    } cases[] = {
        {"generic", CKR_DEVICE_ERROR, PROFILE_TOKEN_LOST},
        {"generic", CKR_FUNCTION_FAILED, PROFILE_SESSION_SICK},
        {"generic", CKR_HOST_MEMORY, PROFILE_BUSY},
        {"generic", CKR_SESSION_COUNT, PROFILE_FULL},
        {"generic", CKR_SESSION_HANDLE_INVALID, PROFILE_SESSION_LOST},
        {"generic", CKR_USER_NOT_LOGGED_IN, PROFILE_LOGIN_LOST},
        {"generic", CKR_KEY_SIZE_RANGE, PROFILE_FINAL},
        {"generic", 0x80000001UL, PROFILE_TOKEN_LOST},
        {"cloudhsm", CKR_DEVICE_ERROR, PROFILE_BUSY},
        {"cloudhsm", CKR_FUNCTION_FAILED, PROFILE_BUSY},
        {"cloudhsm", CKR_OPERATION_ACTIVE, PROFILE_BUSY},
        {"cloudhsm", CKR_USER_NOT_LOGGED_IN, PROFILE_LOGIN_LOST},
        {"nshield", CKR_OBJECT_HANDLE_INVALID, PROFILE_TOKEN_LOST},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_eq(profile_reaction(profile_named(cases[i].name), cases[i].rv), cases[i].reaction,
                     "%s 0x%lx", cases[i].name, cases[i].rv);
}

Test(profile, switches_go_over_a_profile_and_never_off)
{
    uint32_t read_write = 0, bits = 0;
    cr_assert(profile_switch_named("read_write", &read_write));
    cr_assert(profile_switch_named("hmac_bits", &bits));
    cr_expect_not(profile_switch_named("retry", &bits));
    struct profile luna = *profile_named("luna");
    cr_expect_eq(profile_switches(&luna), bits);
    profile_switch_on(&luna, read_write);
    cr_expect(luna.read_write);
    cr_expect(luna.hmac_bits);
    cr_expect_eq(profile_switches(&luna), read_write | bits);
    for (size_t i = 0; profile_switch_at(i) != NULL; i++) {
        struct profile one = *profile_named("generic");
        profile_switch_on(&one, UINT32_C(1) << i);
        cr_expect_eq(profile_switches(&one), UINT32_C(1) << i, "%s", profile_switch_at(i));
    }
}
