/*
 * The security officer's one step of a transport: the receiver's public key with CKA_TRUSTED. A
 * login belongs to a process and a token, so this opens the module by itself.
 */
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "pkcs11/provision/internal.h"

#define RSA_BYTES_MAX 512

struct rsa_numbers {
    uint8_t modulus[RSA_BYTES_MAX], exponent[16];
    size_t modulus_len, exponent_len;
};

static size_t number_of(const EVP_PKEY *key, const char *name, uint8_t *out, size_t cap)
{
    BIGNUM *number = NULL;
    size_t len = 0;
    if (EVP_PKEY_get_bn_param(key, name, &number) == 1 && BN_num_bytes(number) > 0 &&
        (size_t)BN_num_bytes(number) <= cap)
        len = (size_t)BN_bn2bin(number, out);
    BN_free(number);
    return len;
}

static enum mikeyd_status numbers_of_pem(const char *pem, struct rsa_numbers *out,
                                         struct error *err)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    enum mikeyd_status status = MIKEYD_OK;
    if (key == NULL || EVP_PKEY_is_a(key, "RSA") != 1 || EVP_PKEY_get_bits(key) < 3072) {
        status = error_set(err, MIKEYD_INVALID_ARGUMENT,
                           "not the PEM public key of an RSA pair of at least 3072 bits");
    } else {
        out->modulus_len = number_of(key, OSSL_PKEY_PARAM_RSA_N, out->modulus, sizeof out->modulus);
        out->exponent_len =
            number_of(key, OSSL_PKEY_PARAM_RSA_E, out->exponent, sizeof out->exponent);
        if (out->modulus_len == 0 || out->exponent_len == 0)
            status = error_set(err, MIKEYD_INVALID_ARGUMENT, "RSA key of an unusable size");
    }
    EVP_PKEY_free(key);
    return status;
}

static CK_RV create_trusted(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session, const char *label,
                            struct rsa_numbers *key, CK_OBJECT_HANDLE *out)
{
    CK_OBJECT_CLASS object_class = CKO_PUBLIC_KEY;
    CK_KEY_TYPE type = CKK_RSA;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    char text[TOKEN_LABEL_MAX];
    const size_t label_len = strlen(label);
    memcpy(text, label, label_len + 1);
    CK_ATTRIBUTE list[] = {
        {CKA_CLASS, &object_class, sizeof object_class},
        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_TOKEN, &yes, sizeof yes},
        {CKA_PRIVATE, &no, sizeof no},
        {CKA_LABEL, text, (CK_ULONG)label_len},
        {CKA_TRUSTED, &yes, sizeof yes},
        {CKA_WRAP, &yes, sizeof yes},
        {CKA_ENCRYPT, &no, sizeof no},
        {CKA_VERIFY, &no, sizeof no},
        {CKA_DERIVE, &no, sizeof no},
        {CKA_MODULUS, key->modulus, (CK_ULONG)key->modulus_len},
        {CKA_PUBLIC_EXPONENT, key->exponent, (CK_ULONG)key->exponent_len},
        {CKA_MODIFIABLE, &no, sizeof no},
    };
    return f->C_CreateObject(session, list, sizeof list / sizeof list[0], out);
}

static enum mikeyd_status fail(struct error *err, const char *operation, CK_RV rv)
{
    return error_set(err, MIKEYD_TOKEN_DOWN, "security officer: %s: %s", operation, ckr_name(rv));
}

/* With the officer logged in: refuse a label that is there, create, read CKA_TRUSTED back. */
static enum mikeyd_status trust_in_session(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session,
                                           const char *label, struct rsa_numbers *key,
                                           struct error *err)
{
    char text[TOKEN_LABEL_MAX];
    memcpy(text, label, strlen(label) + 1);
    CK_ATTRIBUTE by_label = {CKA_LABEL, text, (CK_ULONG)strlen(label)};
    CK_OBJECT_HANDLE handle = 0;
    CK_ULONG found = 0;
    CK_RV rv = f->C_FindObjectsInit(session, &by_label, 1);
    if (rv == CKR_OK)
        rv = f->C_FindObjects(session, &handle, 1, &found);
    if (rv == CKR_OK)
        rv = f->C_FindObjectsFinal(session);
    if (rv != CKR_OK)
        return fail(err, "C_FindObjects", rv);
    if (found != 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "the token already has an object %s", label);
    rv = create_trusted(f, session, label, key, &handle);
    if (rv != CKR_OK)
        return fail(err, "C_CreateObject", rv);
    CK_BBOOL trusted = CK_FALSE;
    CK_ATTRIBUTE readback = {CKA_TRUSTED, &trusted, sizeof trusted};
    rv = f->C_GetAttributeValue(session, handle, &readback, 1);
    if (rv == CKR_OK && trusted != CK_FALSE)
        return MIKEYD_OK;
    (void)f->C_DestroyObject(session, handle);
    return error_set(err, MIKEYD_UNSUPPORTED, "the token does not keep CKA_TRUSTED; key destroyed");
}

static enum mikeyd_status trust_as_officer(struct token_module *module, CK_SLOT_ID slot,
                                           const struct secret *pin, const char *label,
                                           struct rsa_numbers *key, struct error *err)
{
    CK_FUNCTION_LIST *f = module->f;
    CK_SESSION_HANDLE session = 0;
    CK_RV rv = f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);
    if (rv != CKR_OK)
        return fail(err, "C_OpenSession", rv);
    enum mikeyd_status status;
    rv = f->C_Login(session, CKU_SO, pin->data, (CK_ULONG)pin->len);
    if (token_pin_is_refused(rv)) {
        status = error_set(err, MIKEYD_PIN_REFUSED, "security officer: C_Login: %s", ckr_name(rv));
    } else if (rv != CKR_OK) {
        status = fail(err, "C_Login", rv);
    } else {
        status = trust_in_session(f, session, label, key, err);
        (void)f->C_Logout(session);
    }
    (void)f->C_CloseSession(session);
    return status;
}

enum mikeyd_status provision_trust_public_key(const struct token_config *config, const char *label,
                                              const char *pem, struct error *err)
{
    struct rsa_numbers key = {0};
    struct secret SECRET_CLEANUP pin = {0};
    struct token_module *module = NULL;
    struct pin_file_mark mark;
    CK_SLOT_ID slot = 0;
    CK_TOKEN_INFO info;
    if (label[0] == '\0' || strlen(label) >= TOKEN_LABEL_MAX || strncmp(label, "mikeyd/", 7) == 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "\"%.64s\": no label for a wrapping key",
                         label);
    enum mikeyd_status status = numbers_of_pem(pem, &key, err);
    if (status == MIKEYD_OK)
        status = token_module_open(config->module, config->init_args, &module, err);
    if (status != MIKEYD_OK)
        return status;
    status = token_uri_find_slot(module, config->uri, NULL, &slot, &info, err);
    /* The last attempt is a person's. */
    if (status == MIKEYD_OK && (info.flags & (CKF_SO_PIN_FINAL_TRY | CKF_SO_PIN_LOCKED)) != 0)
        status = error_set(err, MIKEYD_PIN_REFUSED,
                           "the security officer's PIN is locked or at its last attempt");
    if (status == MIKEYD_OK)
        status = token_pin_read(config->pin_file, &pin, &mark, err);
    if (status == MIKEYD_OK)
        status = trust_as_officer(module, slot, &pin, label, &key, err);
    token_module_close(module);
    return status;
}
