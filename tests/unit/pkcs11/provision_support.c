#include "provision_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/secret.h"

static void open_bench(const struct token_config *config, struct token **token,
                       struct token_session **session)
{
    struct error err = {0};
    cr_assert_eq(token_open(config, token, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_session_acquire(*token, 1000, session, &err), MIKEYD_OK, "%s", err.text);
}

static struct token_config ceremony_config(const struct token_fixture *fixture)
{
    struct token_config config = token_fixture_config(fixture);
    config.sessions = 1;
    config.session_copies = TOKEN_COPIES_OFF;
    config.call_timeout_ms = 30000;
    config.read_write = true;
    config.provisioning = true;
    return config;
}

void bench_softhsm(struct bench *bench)
{
    cr_assert_eq(secret_heap_init(1 << 17, NULL), MIKEYD_OK);
    cr_assert(token_fixture_softhsm(&bench->fixture, "unit"));
    struct token_config config = ceremony_config(&bench->fixture);
    open_bench(&config, &bench->token, &bench->session);
}

void bench_nss(struct bench *bench)
{
    cr_assert_eq(secret_heap_init(1 << 17, NULL), MIKEYD_OK);
    cr_assert(token_fixture_nss(&bench->fixture));
    struct token_config config = ceremony_config(&bench->fixture);
    open_bench(&config, &bench->token, &bench->session);
}

void bench_close(struct bench *bench)
{
    if (bench->session != NULL)
        token_session_release(bench->session);
    if (bench->token != NULL)
        token_close(bench->token);
    token_fixture_remove(&bench->fixture);
}

void bench_open_second(struct bench *first, const char *label, struct token **token,
                       struct token_session **session)
{
    char uri[96];
    struct token_config config = ceremony_config(&first->fixture);
    (void)snprintf(uri, sizeof uri, "pkcs11:token=%s", label);
    config.uri = uri;
    open_bench(&config, token, session);
}

const struct token_key *bench_key(struct token *token, enum token_kind kind, const char *name,
                                  unsigned generation)
{
    struct error err = {0};
    cr_assert_eq(token_rescan(token, &err), MIKEYD_OK, "%s", err.text);
    for (size_t i = 0; i < token_key_count(token); i++) {
        const struct token_key *key = token_key_at(token, i);
        if (key->present && key->kind == kind && key->generation == generation &&
            strcmp(key->name, name) == 0)
            return key;
    }
    return NULL;
}

size_t bench_objects(struct token_session *session, const char *label_prefix)
{
    CK_FUNCTION_LIST *f = session->token->module->f;
    CK_OBJECT_HANDLE handle[256];
    CK_ULONG found = 0;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE on_token = {CKA_TOKEN, &yes, sizeof yes};
    size_t count = 0;
    cr_assert_eq(token_call_begin(session, "test", NULL), MIKEYD_OK);
    cr_assert_eq(f->C_FindObjectsInit(session->handle, &on_token, 1), CKR_OK);
    cr_assert_eq(f->C_FindObjects(session->handle, handle, 256, &found), CKR_OK);
    cr_assert_eq(f->C_FindObjectsFinal(session->handle), CKR_OK);
    for (CK_ULONG i = 0; i < found; i++) {
        char label[200] = "";
        CK_ATTRIBUTE attribute = {CKA_LABEL, label, sizeof label - 1};
        if (f->C_GetAttributeValue(session->handle, handle[i], &attribute, 1) == CKR_OK &&
            strncmp(label, label_prefix, strlen(label_prefix)) == 0)
            count++;
    }
    token_call_end(session);
    return count;
}

bool bench_hmac_equal(struct token_session *session, const struct token_key *key, size_t block,
                      const uint8_t *value, size_t len)
{
    static const uint8_t text[] = "which key is this?";
    uint8_t *tag = secret_alloc(32);
    uint8_t host[32];
    unsigned host_len = 0;
    struct error err = {0};
    struct hmac_job job = {.key = &key->block[block],
                           .hash = HMAC_SHA256,
                           .data = {text, NULL},
                           .len = {sizeof text, 0},
                           .tag = tag};
    cr_assert_eq(token_hmac_batch(session, &job, 1, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_not_null(HMAC(EVP_sha256(), value, (int)len, text, sizeof text, host, &host_len));
    const bool equal = secret_equal(tag, host, sizeof host);
    secret_release(tag, 32);
    return equal;
}

void bench_kek(struct token_session *session, const char *label, const uint8_t kek[32])
{
    CK_OBJECT_CLASS object_class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    char text[64];
    uint8_t value[32], id[16] = {0x77};
    (void)snprintf(text, sizeof text, "%s", label);
    memcpy(value, kek, sizeof value);
    memcpy(id + 1, kek, 15);
    CK_ATTRIBUTE list[] = {
        {CKA_CLASS, &object_class, sizeof object_class},
        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_TOKEN, &yes, 1},
        {CKA_PRIVATE, &yes, 1},
        {CKA_SENSITIVE, &yes, 1},
        {CKA_EXTRACTABLE, &no, 1},
        {CKA_WRAP, &yes, 1},
        {CKA_UNWRAP, &yes, 1},
        {CKA_LABEL, text, (CK_ULONG)strlen(text)},
        {CKA_ID, id, sizeof id},
        {CKA_VALUE, value, sizeof value},
    };
    CK_OBJECT_HANDLE handle = 0;
    cr_assert_eq(token_call_begin(session, "test", NULL), MIKEYD_OK);
    CK_RV rv = session->token->f->C_CreateObject(session->handle, list,
                                                 sizeof list / sizeof list[0], &handle);
    token_call_end(session);
    cr_assert_eq(rv, CKR_OK, "%s", ckr_name(rv));
}

size_t bench_wrap(bool padded, const uint8_t kek[32], const uint8_t *key, size_t len, uint8_t *out)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int first = 0, last = 0;
    EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    cr_assert_eq(EVP_EncryptInit_ex(context, padded ? EVP_aes_256_wrap_pad() : EVP_aes_256_wrap(),
                                    NULL, kek, NULL),
                 1);
    cr_assert_eq(EVP_EncryptUpdate(context, out, &first, key, (int)len), 1);
    cr_assert_eq(EVP_EncryptFinal_ex(context, out + first, &last), 1);
    EVP_CIPHER_CTX_free(context);
    return (size_t)first + (size_t)last;
}
