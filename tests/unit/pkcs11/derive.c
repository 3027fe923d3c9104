/* MIKEY's PRF and the importer inside the token (NSS softokn), against the vectors. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <jansson.h>
#include <openssl/evp.h>

#include "base/secret.h"
#include "base/text.h"
#include "importer/importer.h"
#include "pkcs11/token/internal.h"
#include "support/token_fixture.h"

static struct token_fixture fixture;
static struct token *token;
static struct token_session *session;
static uint8_t psk[64];

static void setup(void)
{
    for (size_t i = 0; i < sizeof psk; i++)
        psk[i] = (uint8_t)i;
    cr_assert_eq(secret_heap_init(1 << 17, NULL), MIKEYD_OK);
    cr_assert(token_fixture_nss(&fixture));
}

static void teardown(void)
{
    token_session_release(session);
    token_close(token);
    token_fixture_remove(&fixture);
}

TestSuite(derive, .init = setup, .fini = teardown);

static void open_token(void)
{
    struct token_config config = token_fixture_config(&fixture);
    struct error err = {0};
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_session_acquire(token, 100, &session, &err), MIKEYD_OK, "%s", err.text);
    struct token_facts facts;
    token_get_facts(token, &facts);
    cr_assert(facts.prf_derive);
    cr_assert(facts.hkdf);
}

static const struct token_key *find(enum token_kind kind, const char *name)
{
    const struct token_key *key = NULL;
    struct error err = {0};
    cr_assert_eq(token_key_find(token, kind, name, 1, &key, &err), MIKEYD_OK, "%s", err.text);
    return key;
}

/* ---- block A of kats.txt: lines "  PSK32=00..1f PRF 0: encr16=... auth20=..." */

static size_t vector(size_t psk_len, unsigned prf, const char *name, uint8_t *out, size_t cap)
{
    FILE *file = fopen(VECTORS "/kats.txt", "re");
    cr_assert_not_null(file);
    char line[2048], start[32], field[32];
    size_t len = 0;
    (void)snprintf(start, sizeof start, "  PSK%zu=", psk_len);
    (void)snprintf(field, sizeof field, " PRF %u:", prf);
    while (len == 0 && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, start, strlen(start)) != 0 || strstr(line, field) == NULL)
            continue;
        (void)snprintf(field, sizeof field, " %s=", name);
        const char *value = strstr(line, field);
        cr_assert_not_null(value);
        value += strlen(field);
        cr_assert_eq(hex_decode(value, strspn(value, "0123456789abcdef"), out, cap, &len, NULL),
                     MIKEYD_OK);
    }
    cr_assert_eq(fclose(file), 0);
    cr_assert_gt(len, 0);
    return len;
}

static const uint8_t encr_label[25] = {0x15, 0x05, 0x33, 0xE1, 0xFF, 0x12, 0x34, 0x56, 0x78,
                                       0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8,
                                       0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};

static const uint8_t *auth_label(void)
{
    static uint8_t label[25];
    memcpy(label, encr_label, sizeof label);
    memcpy(label, "\x2D\x22\xAC\x75", 4);
    return label;
}

static const uint8_t message[] = "any message of ours";

static void expect_hmac_key(const struct token_key *key, unsigned prf, const uint8_t *expected,
                            size_t len)
{
    unsigned long handle = 0;
    uint8_t tag[HMAC_TAG_MAX], want[HMAC_TAG_MAX];
    struct error err = {0};
    cr_assert_eq(token_prf_derive(session, &key->block[0], prf == 0 ? HMAC_SHA1 : HMAC_SHA256,
                                  auth_label(), 25, TOKEN_DERIVED_HMAC, len, &handle, &err),
                 MIKEYD_OK, "%s", err.text);
    const uint8_t *const data[1] = {message};
    const size_t data_len[1] = {sizeof message};
    cr_assert_eq(token_hmac_handle(session, handle, HMAC_SHA256, data, data_len, 1, tag, &err),
                 MIKEYD_OK, "%s", err.text);
    size_t want_len = 0;
    cr_assert_not_null(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, expected, len, message,
                                 sizeof message, want, sizeof want, &want_len));
    cr_expect_arr_eq(tag, want, sizeof want);
    token_object_destroy(session, handle);
}

static void expect_aes_key(const struct token_key *key, unsigned prf, const uint8_t *expected,
                           size_t len)
{
    static const uint8_t iv[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0, 0};
    unsigned long handle = 0;
    uint8_t ours[100] = {0}, want[100] = {0};
    struct error err = {0};
    cr_assert_eq(token_prf_derive(session, &key->block[0], prf == 0 ? HMAC_SHA1 : HMAC_SHA256,
                                  encr_label, 25, TOKEN_DERIVED_AES, len, &handle, &err),
                 MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_aes_ctr(session, handle, iv, ours, sizeof ours, &err), MIKEYD_OK, "%s",
                 err.text);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int out = 0;
    cr_assert_eq(EVP_EncryptInit_ex2(ctx, len == 16 ? EVP_aes_128_ctr() : EVP_aes_256_ctr(),
                                     expected, iv, NULL),
                 1);
    cr_assert_eq(EVP_EncryptUpdate(ctx, want, &out, want, sizeof want), 1);
    EVP_CIPHER_CTX_free(ctx);
    cr_expect_arr_eq(ours, want, sizeof want);
    token_object_destroy(session, handle);
}

static void check_psk(size_t psk_len, unsigned prf)
{
    char name[24];
    uint8_t expected[32];
    (void)snprintf(name, sizeof name, "k%zu", psk_len);
    cr_assert(token_fixture_psk(&fixture, name, psk, psk_len));
    open_token();
    const struct token_key *key = find(TOKEN_PSK, name);
    size_t len = vector(psk_len, prf, prf == 0 ? "auth20" : "auth32", expected, sizeof expected);
    expect_hmac_key(key, prf, expected, len);
    len = vector(psk_len, prf, "encr16", expected, sizeof expected);
    expect_aes_key(key, prf, expected, len);
    len = vector(psk_len, prf, "encr32", expected, sizeof expected);
    expect_aes_key(key, prf, expected, len);
}

Test(derive, psk32_prf_mikey_1)
{
    check_psk(32, 0);
}

Test(derive, psk32_prf_hmac_sha_256)
{
    check_psk(32, 1);
}

Test(derive, psk16_prf_mikey_1)
{
    check_psk(16, 0);
}

Test(derive, psk16_prf_hmac_sha_256)
{
    check_psk(16, 1);
}

Test(derive, objects_do_not_pile_up)
{
    cr_assert(token_fixture_psk(&fixture, "a", psk, 32));
    open_token();
    struct error err = {0};
    for (int i = 0; i < 100; i++) {
        unsigned long handle = 0;
        cr_assert_eq(token_prf_derive(session, &find(TOKEN_PSK, "a")->block[0], HMAC_SHA256,
                                      encr_label, 25, TOKEN_DERIVED_AES, 32, &handle, &err),
                     MIKEYD_OK, "%s", err.text);
        token_object_destroy(session, handle);
    }
}

Test(derive, handle_after_destruction_is_refused)
{
    cr_assert(token_fixture_psk(&fixture, "a", psk, 32));
    open_token();
    unsigned long handle = 0;
    uint8_t data[16] = {0};
    struct error err = {0};
    cr_assert_eq(token_prf_derive(session, &find(TOKEN_PSK, "a")->block[0], HMAC_SHA256, encr_label,
                                  25, TOKEN_DERIVED_AES, 32, &handle, &err),
                 MIKEYD_OK, "%s", err.text);
    token_object_destroy(session, handle);
    cr_expect_eq(token_aes_ctr(session, handle, data, data, sizeof data, &err), MIKEYD_TOKEN_DOWN);
}

/* ---- importer.json */

static size_t hex_member(const json_t *object, const char *name, uint8_t *out, size_t cap)
{
    const char *text = json_string_value(json_object_get(object, name));
    size_t len = 0;
    cr_assert_not_null(text, "%s", name);
    cr_assert_eq(hex_decode(text, strlen(text), out, cap, &len, NULL), MIKEYD_OK);
    return len;
}

static void check_import(const json_t *vector_object, const char *key_name)
{
    uint8_t identity[512], info[128], pair[32], tag[HMAC_TAG_MAX], want[HMAC_TAG_MAX];
    size_t identity_len = hex_member(vector_object, "imported_identity", identity, sizeof identity);
    cr_assert_eq(hex_member(vector_object, "pair_key", pair, sizeof pair), 32);
    struct byte_writer w = writer_of(info, sizeof info);
    struct error err = {0};
    cr_assert_eq(importer_write_info(IMPORTER_SHA256, IMPORTER_PREFIX_MIKEY, identity, identity_len,
                                     32, &w, &err),
                 MIKEYD_OK, "%s", err.text);
    struct token_object object;
    cr_assert_eq(token_hkdf_pair(session, find(TOKEN_EPSK, key_name), info, w.len, &object, &err),
                 MIKEYD_OK, "%s", err.text);
    struct hmac_job job = {.key = &object,
                           .hash = HMAC_SHA256,
                           .data = {message, NULL},
                           .len = {sizeof message, 0},
                           .tag = tag};
    cr_assert_eq(token_hmac_batch(session, &job, 1, &err), MIKEYD_OK, "%s", err.text);
    size_t want_len = 0;
    cr_assert_not_null(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, pair, sizeof pair, message,
                                 sizeof message, want, sizeof want, &want_len));
    cr_expect_arr_eq(tag, want, sizeof want);
    token_object_destroy(session, object.handle);
    cr_expect_neq(token_hmac_batch(session, &job, 1, &err), MIKEYD_OK, "destroyed, yet signing");
}

Test(derive, pair_keys_of_the_importer)
{
    json_t *root = json_load_file(VECTORS "/importer.json", 0, NULL);
    const json_t *vectors = json_object_get(root, "vectors");
    cr_assert_gt(json_array_size(vectors), 0);
    for (size_t i = 0; i < json_array_size(vectors); i++) {
        char label[64];
        uint8_t epsk[256];
        size_t len = hex_member(json_array_get(vectors, i), "epsk", epsk, sizeof epsk);
        (void)snprintf(label, sizeof label, "mikeyd/epsk/e%zu/1", i);
        cr_assert(token_fixture_key(
            &fixture, &(struct token_fixture_key){.label = label, .value = epsk, .len = len}));
    }
    open_token();
    for (size_t i = 0; i < json_array_size(vectors); i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "e%zu", i);
        check_import(json_array_get(vectors, i), name);
    }
    json_decref(root);
}

Test(derive, an_epsk_never_signs)
{
    cr_assert(token_fixture_key(
        &fixture,
        &(struct token_fixture_key){.label = "mikeyd/epsk/e/1", .value = psk, .len = 32}));
    open_token();
    uint8_t tag[HMAC_TAG_MAX];
    struct error err = {0};
    struct hmac_job job = {.key = &find(TOKEN_EPSK, "e")->block[0],
                           .hash = HMAC_SHA256,
                           .data = {message, NULL},
                           .len = {sizeof message, 0},
                           .tag = tag};
    cr_expect_eq(token_hmac_batch(session, &job, 1, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "C_Sign"), "%s", err.text);
}

Test(derive, a_psk_is_never_imported)
{
    cr_assert(token_fixture_psk(&fixture, "a", psk, 32));
    open_token();
    struct token_object object;
    struct error err = {0};
    cr_expect_eq(token_hkdf_pair(session, find(TOKEN_PSK, "a"), psk, 8, &object, &err),
                 MIKEYD_POLICY);
}

/* ---- tokens whose derived keys could leave them: functions of the list replaced */

static CK_FUNCTION_LIST real, faulty;
static CK_MECHANISM_TYPE bad_mechanism;
static CK_ATTRIBUTE_TYPE bad_flag;
static CK_OBJECT_HANDLE bad_object;

static CK_RV derive_noticed(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism,
                            CK_OBJECT_HANDLE base, CK_ATTRIBUTE *list, CK_ULONG count,
                            CK_OBJECT_HANDLE *out)
{
    CK_RV rv = real.C_DeriveKey(handle, mechanism, base, list, count, out);
    if (rv == CKR_OK && mechanism->mechanism == bad_mechanism)
        bad_object = *out;
    return rv;
}

/* Of a key whose template went unheeded: one flag is the other way, or the value is told. (NSS
 * itself refuses such a template under a sensitive key.) */
static CK_RV attributes_unheeded(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object,
                                 CK_ATTRIBUTE *list, CK_ULONG count)
{
    if (object == bad_object && bad_flag == CKA_VALUE && count == 1 && list[0].type == CKA_VALUE) {
        list[0].ulValueLen = 32;
        return CKR_OK;
    }
    CK_RV rv = real.C_GetAttributeValue(handle, object, list, count);
    for (CK_ULONG i = 0; object == bad_object && i < count; i++) {
        if (list[i].type == bad_flag && list[i].type != CKA_VALUE)
            *(CK_BBOOL *)list[i].pValue = bad_flag == CKA_SENSITIVE ? CK_FALSE : CK_TRUE;
    }
    return rv;
}

static void prove_again(CK_MECHANISM_TYPE mechanism, CK_ATTRIBUTE_TYPE flag)
{
    struct error err = {0};
    open_token();
    real = faulty = *token->f;
    bad_mechanism = mechanism;
    bad_flag = flag;
    bad_object = CK_INVALID_HANDLE;
    faulty.C_DeriveKey = derive_noticed;
    faulty.C_GetAttributeValue = attributes_unheeded;
    token->f = &faulty;
    cr_expect_eq(token_known_answers(token, &err), MIKEYD_OK, "%s", err.text);
    token->f = token->module->f;
    cr_expect_eq(token->prf_derive, mechanism != MIKEYD_CKM_SP800_108_DOUBLE_PIPELINE_KDF);
    cr_expect_eq(token->hkdf, mechanism != MIKEYD_CKM_HKDF_DERIVE);
}

Test(derive, prf_whose_keys_are_not_sensitive_stays_unused)
{
    prove_again(MIKEYD_CKM_SP800_108_DOUBLE_PIPELINE_KDF, CKA_SENSITIVE);
}

Test(derive, prf_whose_keys_are_extractable_stays_unused)
{
    prove_again(MIKEYD_CKM_SP800_108_DOUBLE_PIPELINE_KDF, CKA_EXTRACTABLE);
}

Test(derive, prf_whose_keys_can_be_read_stays_unused)
{
    prove_again(MIKEYD_CKM_SP800_108_DOUBLE_PIPELINE_KDF, CKA_VALUE);
}

Test(derive, hkdf_whose_keys_are_not_sensitive_stays_unused)
{
    prove_again(MIKEYD_CKM_HKDF_DERIVE, CKA_SENSITIVE);
}

Test(derive, hkdf_whose_keys_are_extractable_stays_unused)
{
    prove_again(MIKEYD_CKM_HKDF_DERIVE, CKA_EXTRACTABLE);
}

Test(derive, hkdf_whose_keys_can_be_read_stays_unused)
{
    prove_again(MIKEYD_CKM_HKDF_DERIVE, CKA_VALUE);
}
