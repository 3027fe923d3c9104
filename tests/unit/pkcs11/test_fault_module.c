/* The fault module itself: that it wraps what the product calls, counts, and fails as it is told. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <p11-kit/pkcs11.h>

#include "support/fault_control.h"
#include "support/token_fixture.h"

static struct token_fixture fixture;
static struct fault_control control;
static CK_FUNCTION_LIST *f, *real;
static CK_SLOT_ID slot;

static CK_FUNCTION_LIST *load(const char *path)
{
    CK_FUNCTION_LIST *list = NULL;
    CK_C_GetFunctionList get_list = NULL;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    cr_assert_not_null(library, "%s", path);
    *(void **)&get_list = dlsym(library, "C_GetFunctionList");
    cr_assert_eq(get_list(&list), CKR_OK);
    return list;
}

/* The fixture's slot: SoftHSM has an empty one behind it. */
static CK_SLOT_ID find_slot(void)
{
    CK_SLOT_ID slots[4];
    CK_TOKEN_INFO info;
    CK_ULONG count = 4, i = 0;
    cr_assert_eq(f->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
    while (i < count &&
           (f->C_GetTokenInfo(slots[i], &info) != CKR_OK || memcmp(info.label, "unit", 4) != 0))
        i++;
    cr_assert_lt(i, count, "no slot has the token");
    return slots[i];
}

static void begin(void)
{
    cr_assert(token_fixture_softhsm(&fixture, "unit"));
    fault_control_make(&control, fixture.dir, "unit");
    fault_control_export(&control, fixture.module);
    f = load(FAULT_MODULE);
    real = load(fixture.module);
    cr_assert_eq(f->C_Initialize(NULL), CKR_OK);
    slot = find_slot();
}

static void end(void)
{
    fault_control_plan(&control, FAULT_NOTHING);
    (void)f->C_Finalize(NULL);
    fault_control_end(&control);
    token_fixture_remove(&fixture);
}
TestSuite(fault_module, .init = begin, .fini = end, .timeout = 60);

static CK_SESSION_HANDLE open_session(void)
{
    CK_SESSION_HANDLE session = 0;
    cr_assert_eq(f->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_OK);
    return session;
}

Test(fault_module, every_function_that_the_product_names_is_wrapped)
{
    FILE *names = popen("grep -rhoE -e '->C_[A-Za-z]+\\(' " SOURCE_DIR "/src " SOURCE_DIR
                        "/pkcs11 | tr -d '>(-' | sort -u",
                        "r");
    char name[64];
    unsigned count = 0;
    cr_assert_not_null(names);
    while (fscanf(names, "%63s", name) == 1) {
        enum fault_function i = 0;
        while (i < FAULT_FUNCTION_COUNT && strcmp(fault_function_name(i), name) != 0)
            i++;
        cr_expect_lt(i, FAULT_FUNCTION_COUNT, "%s", name);
        count++;
    }
    (void)pclose(names);
    cr_assert_gt(count, 25);
#define EXPECT_WRAPPED(name) cr_expect_neq((void *)f->name, (void *)real->name, #name);
    FAULT_FUNCTIONS(EXPECT_WRAPPED)
}

Test(fault_module, calls_and_open_sessions_are_counted_where_the_test_reads_them)
{
    const unsigned long before = atomic_load(&control.tally->calls[FAULT_C_OpenSession]);
    const CK_SESSION_HANDLE one = open_session();
    (void)open_session();
    cr_expect_eq(atomic_load(&control.tally->calls[FAULT_C_OpenSession]), before + 2);
    cr_expect_eq(atomic_load(&control.tally->sessions), 2);
    cr_assert_eq(f->C_CloseSession(one), CKR_OK);
    cr_expect_eq(atomic_load(&control.tally->sessions), 1);
    cr_assert_eq(f->C_CloseAllSessions(slot), CKR_OK);
    cr_expect_eq(atomic_load(&control.tally->sessions), 0);
}

Test(fault_module, a_token_is_lost_with_its_sessions_and_comes_back)
{
    CK_SESSION_INFO info;
    CK_TOKEN_INFO token;
    CK_ULONG count = 0;
    const CK_SESSION_HANDLE session = open_session();
    fault_control_plan(&control, "* 1+ lost\n");
    cr_expect_eq(f->C_GetSessionInfo(session, &info), CKR_DEVICE_REMOVED);
    cr_expect_eq(f->C_GetTokenInfo(slot, &token), CKR_TOKEN_NOT_PRESENT);
    cr_expect_eq(f->C_GetSlotList(CK_TRUE, NULL, &count), CKR_OK);
    cr_expect_eq(count, 0);
    fault_control_plan(&control, FAULT_NOTHING);
    cr_expect_eq(f->C_GetTokenInfo(slot, &token), CKR_OK);
    cr_expect_eq(f->C_GetSessionInfo(session, &info), CKR_SESSION_HANDLE_INVALID);
    (void)open_session();
}

Test(fault_module, there_are_as_many_sessions_as_the_plan_says)
{
    CK_SESSION_HANDLE more;
    fault_control_plan(&control, "* 1+ sessions 2\n");
    const CK_SESSION_HANDLE one = open_session();
    (void)open_session();
    cr_expect_eq(f->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &more), CKR_SESSION_COUNT);
    cr_assert_eq(f->C_CloseSession(one), CKR_OK);
    (void)open_session();
}

Test(fault_module, slots_have_other_numbers_after_the_next_initialisation)
{
    CK_TOKEN_INFO token;
    fault_control_plan(&control, "* 1+ slots 7\n");
    cr_expect_eq(f->C_GetTokenInfo(slot, &token), CKR_OK);
    cr_assert_eq(f->C_Finalize(NULL), CKR_OK);
    cr_assert_eq(f->C_Initialize(NULL), CKR_OK);
    cr_expect_eq(f->C_GetTokenInfo(slot, &token), CKR_SLOT_ID_INVALID);
    cr_expect_eq(find_slot(), slot + 7);
}

Test(fault_module, every_nth_call_is_throttled)
{
    CK_TOKEN_INFO token;
    fault_control_plan(&control, "C_GetTokenInfo 3% rv 0x30\n");
    for (int i = 1; i <= 9; i++)
        cr_expect_eq(f->C_GetTokenInfo(slot, &token), i % 3 == 0 ? CKR_DEVICE_ERROR : CKR_OK);
}

Test(fault_module, lengths_are_told_wrong)
{
    CK_ULONG right = 0, count = 0;
    cr_assert_eq(f->C_GetMechanismList(slot, NULL, &right), CKR_OK);
    fault_control_plan(&control, "C_GetMechanismList 1 short\nC_GetMechanismList 2 long\n");
    cr_assert_eq(f->C_GetMechanismList(slot, NULL, &count), CKR_OK);
    cr_expect_eq(count, right - 1);
    cr_assert_eq(f->C_GetMechanismList(slot, NULL, &count), CKR_OK);
    cr_expect_eq(count, right + 1);
}
