/*
 * Tokens that disobey or fail half way. The token is real; single functions of its list are
 * replaced by ones that do what such tokens do (opencryptoki's unwrap ignores SENSITIVE and
 * EXTRACTABLE).
 */
#include <string.h>

#include <criterion/criterion.h>

#include "provision_support.h"

static struct bench b;
static struct error err;
static CK_FUNCTION_LIST real, faulty;
static CK_ATTRIBUTE_TYPE flipped;
static unsigned calls, fail_at;

static void setup(void)
{
    bench_softhsm(&b);
    real = *b.token->f;
    faulty = real;
    calls = fail_at = 0;
    flipped = 0;
}

static void teardown(void)
{
    bench_close(&b);
}

TestSuite(provision_faults, .init = setup, .fini = teardown);

/* From here on the token answers by the faulty list. */
static void misbehave(void)
{
    b.token->f = &faulty;
}

static void behave(void)
{
    b.token->f = b.token->module->f;
}

/* Passes a template on with one flag turned round. */
static void flip(CK_ATTRIBUTE *out, const CK_ATTRIBUTE *list, CK_ULONG count)
{
    static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    for (CK_ULONG i = 0; i < count; i++) {
        out[i] = list[i];
        if (out[i].type == flipped)
            out[i].pValue = *(CK_BBOOL *)list[i].pValue == CK_TRUE ? &no : &yes;
    }
}

static CK_RV generate_flipped(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                              CK_ATTRIBUTE *list, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    CK_ATTRIBUTE changed[64];
    flip(changed, list, count);
    return real.C_GenerateKey(session, mechanism, changed, count, out);
}

static CK_RV create_flipped(CK_SESSION_HANDLE session, CK_ATTRIBUTE *list, CK_ULONG count,
                            CK_OBJECT_HANDLE *out)
{
    CK_ATTRIBUTE changed[64];
    flip(changed, list, count);
    return real.C_CreateObject(session, changed, count, out);
}

static CK_RV unwrap_flipped(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                            CK_OBJECT_HANDLE key, CK_BYTE *wrapped, CK_ULONG wrapped_len,
                            CK_ATTRIBUTE *list, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    CK_ATTRIBUTE changed[64];
    flip(changed, list, count);
    return real.C_UnwrapKey(session, mechanism, key, wrapped, wrapped_len, changed, count, out);
}

static CK_RV create_failing(CK_SESSION_HANDLE session, CK_ATTRIBUTE *list, CK_ULONG count,
                            CK_OBJECT_HANDLE *out)
{
    return ++calls == fail_at ? CKR_DEVICE_ERROR : real.C_CreateObject(session, list, count, out);
}

static enum mikeyd_status generate(void)
{
    const struct provision_spec spec = {
        .kind = TOKEN_PSK, .name = "a", .generation = 1, .bits = 256};
    err = (struct error){0};
    return provision_generate(b.session, &spec, &err);
}

static enum mikeyd_status import(size_t len)
{
    static const uint8_t value[96] = {7};
    const struct provision_spec spec = {.kind = TOKEN_PSK, .name = "a", .generation = 1};
    err = (struct error){0};
    return provision_import(b.session, &spec, value, len, &err);
}

static void expect_disobedience(CK_ATTRIBUTE_TYPE type, const char *name)
{
    flipped = type;
    faulty.C_GenerateKey = generate_flipped;
    faulty.C_CreateObject = create_flipped;
    misbehave();
    cr_expect_eq(generate(), MIKEYD_TOKEN_DOWN, "%s passed when generated", name);
    cr_expect_not_null(strstr(err.text, name), "%s", err.text);
    cr_expect_eq(import(32), MIKEYD_TOKEN_DOWN, "%s passed when imported", name);
    behave();
    cr_expect_eq(bench_objects(b.session, "mikeyd/"), 0, "%s: object not destroyed", name);
}

Test(provision_faults, object_left_extractable_is_destroyed)
{
    expect_disobedience(CKA_EXTRACTABLE, "CKA_EXTRACTABLE");
}

Test(provision_faults, object_left_insensitive_is_destroyed)
{
    expect_disobedience(CKA_SENSITIVE, "CKA_SENSITIVE");
}

Test(provision_faults, object_left_modifiable_is_destroyed)
{
    expect_disobedience(CKA_MODIFIABLE, "CKA_MODIFIABLE");
}

Test(provision_faults, object_that_wraps_is_destroyed)
{
    expect_disobedience(CKA_WRAP, "CKA_WRAP");
}

Test(provision_faults, object_that_decrypts_is_destroyed)
{
    expect_disobedience(CKA_DECRYPT, "CKA_DECRYPT");
}

Test(provision_faults, object_that_verifies_is_destroyed)
{
    expect_disobedience(CKA_VERIFY, "CKA_VERIFY");
}

Test(provision_faults, object_that_derives_is_destroyed)
{
    expect_disobedience(CKA_DERIVE, "CKA_DERIVE");
}

Test(provision_faults, unwrapped_object_left_readable_is_destroyed)
{
    static const uint8_t kek[32] = {1, 2, 3}, key[32] = {4, 5, 6};
    uint8_t wrapped[64];
    const struct provision_blob blob = {wrapped, bench_wrap(false, kek, key, 32, wrapped)};
    const struct provision_wrapping wrapping = {.key_label = "kek", .scheme = PROVISION_AES_KW};
    const struct provision_spec spec = {
        .kind = TOKEN_PSK, .name = "a", .generation = 1, .bits = 256};
    bench_kek(b.session, "kek", kek);
    flipped = CKA_SENSITIVE;
    faulty.C_UnwrapKey = unwrap_flipped;
    misbehave();
    cr_expect_eq(provision_unwrap(b.session, &spec, &wrapping, &blob, 1, &err), MIKEYD_TOKEN_DOWN);
    behave();
    cr_expect_eq(bench_objects(b.session, "mikeyd/"), 0);
}

/* ---- attributes that a token answers in a way of its own */

static CK_ATTRIBUTE_TYPE odd;

/* wolfPKCS11's answer, for one attribute and for all that were asked with it. */
static CK_RV attributes_odd(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *list,
                            CK_ULONG count)
{
    for (CK_ULONG i = 0; i < count; i++) {
        if (list[i].type == odd) {
            for (CK_ULONG j = 0; j < count; j++)
                list[j].ulValueLen = 12345;
            return (CK_RV)-1;
        }
    }
    return real.C_GetAttributeValue(session, object, list, count);
}

/* opencryptoki tells 0 of every key. */
static CK_RV attributes_without_length(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                                       CK_ATTRIBUTE *list, CK_ULONG count)
{
    CK_RV rv = real.C_GetAttributeValue(session, object, list, count);
    for (CK_ULONG i = 0; i < count; i++) {
        if (list[i].type == CKA_VALUE_LEN && list[i].pValue != NULL &&
            list[i].ulValueLen == sizeof(CK_ULONG))
            *(CK_ULONG *)list[i].pValue = 0;
    }
    return rv;
}

static const struct token_key *generated_with(CK_C_GetAttributeValue attributes)
{
    faulty.C_GetAttributeValue = attributes;
    misbehave();
    cr_assert_eq(generate(), MIKEYD_OK, "%s", err.text);
    const struct token_key *key = bench_key(b.token, TOKEN_PSK, "a", 1);
    behave();
    cr_assert_not_null(key);
    return key;
}

Test(provision_faults, one_odd_attribute_is_not_told_and_the_others_are)
{
    odd = CKA_WRAP_WITH_TRUSTED;
    const struct token_key *key = generated_with(attributes_odd);
    cr_expect_eq(key->bits, 256);
    cr_expect_eq(key->findings & KEY_FINDING_FATAL, 0, "%x", key->findings);
}

/* What protects the key counts as off. */
Test(provision_faults, odd_answer_about_protection_refuses_the_key)
{
    odd = CKA_SENSITIVE;
    faulty.C_GetAttributeValue = attributes_odd;
    misbehave();
    cr_expect_eq(generate(), MIKEYD_TOKEN_DOWN);
    behave();
    cr_expect_not_null(strstr(err.text, "CKA_SENSITIVE"), "%s", err.text);
}

/* opencryptoki refuses to be told that it is false. */
static CK_RV generate_strictly(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                               CK_ATTRIBUTE *list, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    for (CK_ULONG i = 0; i < count; i++) {
        if (list[i].type == CKA_WRAP_WITH_TRUSTED && *(CK_BBOOL *)list[i].pValue == CK_FALSE)
            return CKR_ATTRIBUTE_VALUE_INVALID;
    }
    return real.C_GenerateKey(session, mechanism, list, count, out);
}

Test(provision_faults, wrap_with_trusted_is_said_only_when_it_is_true)
{
    faulty.C_GenerateKey = generate_strictly;
    misbehave();
    cr_expect_eq(generate(), MIKEYD_OK, "%s", err.text);
    behave();
}

Test(provision_faults, length_of_zero_is_unknown)
{
    const struct token_key *key = generated_with(attributes_without_length);
    cr_expect_eq(key->findings & KEY_FINDING_SHORT, 0, "an unknown length is not a short one");
    cr_expect_eq(key->bits, 256, "the label does not say it");
}

/* ---- success that is none */

static CK_RV find_nothing(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *out, CK_ULONG max,
                          CK_ULONG *count)
{
    (void)session;
    (void)out;
    (void)max;
    *count = 0;
    return CKR_OK;
}

static enum mikeyd_status confirm(void)
{
    const struct provision_spec spec = {
        .kind = TOKEN_PSK, .name = "a", .generation = 1, .bits = 256};
    err = (struct error){0};
    return provision_confirm(b.session, &spec, TOKEN_PSK, &err);
}

Test(provision_faults, key_that_the_token_does_not_show_again_is_no_success)
{
    cr_assert_eq(generate(), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(confirm(), MIKEYD_OK, "%s", err.text);
    faulty.C_FindObjects = find_nothing;
    misbehave();
    cr_expect_eq(confirm(), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "does not show it"), "%s", err.text);
    behave();
}

Test(provision_faults, key_that_the_token_shows_otherwise_is_destroyed)
{
    cr_assert_eq(generate(), MIKEYD_OK, "%s", err.text);
    odd = CKA_SENSITIVE;
    faulty.C_GetAttributeValue = attributes_odd;
    misbehave();
    cr_expect_eq(confirm(), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "CKA_SENSITIVE"), "%s", err.text);
    behave();
    cr_expect_eq(bench_objects(b.session, "mikeyd/"), 0);
}

Test(provision_faults, half_a_key_is_taken_back)
{
    fail_at = 3;
    faulty.C_CreateObject = create_failing;
    misbehave();
    cr_expect_neq(import(96), MIKEYD_OK);
    behave();
    cr_expect_eq(calls, 3);
    cr_expect_eq(bench_objects(b.session, "mikeyd/"), 0);
    cr_expect_eq(import(96), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(bench_objects(b.session, "mikeyd/psk/a/1"), 3);
}
