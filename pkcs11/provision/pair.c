/* Key pairs in the token: the audit log's signing key, and the receiving half of a key transport.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include "pkcs11/provision/internal.h"

/* RFC 5480 2.1.1.1: namedCurve secp256r1, DER. */
static const uint8_t curve_p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};

/* A pair as it is to be; everything not named is false. */
struct pair_plan {
    char label[TOKEN_LABEL_MAX];
    uint8_t id[16];
    CK_MECHANISM_TYPE generator;
    CK_KEY_TYPE type;
    bool signs; /* private SIGN, public VERIFY; else private UNWRAP, public WRAP */
    CK_ULONG modulus_bits;
    CK_MECHANISM_TYPE allowed[2];
    size_t allowed_count;
};

#define PAIR_ATTRIBUTES_MAX 24

struct pair_template {
    CK_ATTRIBUTE list[PAIR_ATTRIBUTES_MAX];
    CK_ULONG count;
};

static void add(struct pair_template *t, CK_ATTRIBUTE_TYPE type, void *value, size_t len)
{
    t->list[t->count++] =
        (CK_ATTRIBUTE){.type = type, .pValue = value, .ulValueLen = (CK_ULONG)len};
}

/* Both templates; `plan`, `yes`, `no`, `curve` and `exponent` are their storage. */
struct pair_templates {
    struct pair_plan plan;
    CK_BBOOL yes, no;
    uint8_t curve[sizeof curve_p256];
    uint8_t exponent[3];
    struct pair_template public_half, private_half;
};

static void templates_make(struct pair_templates *out, const struct pair_plan *plan,
                           bool with_allowed)
{
    memset(out, 0, sizeof *out);
    out->plan = *plan;
    out->yes = CK_TRUE;
    out->no = CK_FALSE;
    memcpy(out->curve, curve_p256, sizeof curve_p256);
    memcpy(out->exponent, "\x01\x00\x01", 3);
    struct pair_plan *p = &out->plan;
    struct pair_template *halves[2] = {&out->public_half, &out->private_half};
    for (size_t i = 0; i < 2; i++) {
        add(halves[i], CKA_KEY_TYPE, &p->type, sizeof p->type);
        add(halves[i], CKA_TOKEN, &out->yes, 1);
        add(halves[i], CKA_LABEL, p->label, strlen(p->label));
        add(halves[i], CKA_ID, p->id, sizeof p->id);
        add(halves[i], CKA_DERIVE, &out->no, 1);
    }
    struct pair_template *t = &out->public_half;
    add(t, CKA_PRIVATE, &out->no, 1);
    add(t, CKA_VERIFY, p->signs ? &out->yes : &out->no, 1);
    add(t, CKA_WRAP, p->signs ? &out->no : &out->yes, 1);
    add(t, CKA_ENCRYPT, &out->no, 1);
    if (p->type == CKK_EC) {
        add(t, CKA_EC_PARAMS, out->curve, sizeof out->curve);
    } else {
        add(t, CKA_MODULUS_BITS, &p->modulus_bits, sizeof p->modulus_bits);
        add(t, CKA_PUBLIC_EXPONENT, out->exponent, sizeof out->exponent);
    }
    t = &out->private_half;
    add(t, CKA_PRIVATE, &out->yes, 1);
    add(t, CKA_SENSITIVE, &out->yes, 1);
    add(t, CKA_EXTRACTABLE, &out->no, 1);
    add(t, CKA_SIGN, p->signs ? &out->yes : &out->no, 1);
    add(t, CKA_UNWRAP, p->signs ? &out->no : &out->yes, 1);
    add(t, CKA_DECRYPT, &out->no, 1);
    add(t, CKA_SIGN_RECOVER, &out->no, 1);
    if (with_allowed)
        add(t, CKA_ALLOWED_MECHANISMS, p->allowed, p->allowed_count * sizeof p->allowed[0]);
    add(&out->public_half, CKA_MODIFIABLE, &out->no, 1);
    add(t, CKA_MODIFIABLE, &out->no, 1);
}

/* True when the secret number comes out (its length is enough to know). In the bracket. */
static bool value_is_readable(struct token_session *session, CK_OBJECT_HANDLE handle,
                              CK_KEY_TYPE type)
{
    CK_ATTRIBUTE attribute = {type == CKK_EC ? CKA_VALUE : CKA_PRIVATE_EXPONENT, NULL, 0};
    CK_RV rv = session->token->f->C_GetAttributeValue(session->handle, handle, &attribute, 1);
    return rv == CKR_OK && attribute.ulValueLen != 0 &&
           attribute.ulValueLen != CK_UNAVAILABLE_INFORMATION;
}

/* NULL, or the attribute of the private half that is not what was asked for. In the bracket. */
static const char *private_mismatch(struct token_session *session, CK_OBJECT_HANDLE handle,
                                    const struct pair_plan *plan)
{
    static const struct {
        CK_ATTRIBUTE_TYPE type;
        const char *name;
        enum { OFF, ON, SIGNS, UNWRAPS } wanted;
    } flags[] = {
        {CKA_TOKEN, "CKA_TOKEN", ON},
        {CKA_PRIVATE, "CKA_PRIVATE", ON},
        {CKA_SENSITIVE, "CKA_SENSITIVE", ON},
        {CKA_EXTRACTABLE, "CKA_EXTRACTABLE", OFF},
        {CKA_MODIFIABLE, "CKA_MODIFIABLE", OFF},
        {CKA_SIGN, "CKA_SIGN", SIGNS},
        {CKA_UNWRAP, "CKA_UNWRAP", UNWRAPS},
        {CKA_DECRYPT, "CKA_DECRYPT", OFF},
        {CKA_DERIVE, "CKA_DERIVE", OFF},
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        const bool wanted = flags[i].wanted == ON || (flags[i].wanted == SIGNS && plan->signs) ||
                            (flags[i].wanted == UNWRAPS && !plan->signs);
        if (provision_flag_is_set(session, handle, flags[i].type) != wanted)
            return flags[i].name;
    }
    return value_is_readable(session, handle, plan->type) ? "the private value" : NULL;
}

static enum mikeyd_status pair_make(struct token_session *session, const struct pair_plan *plan,
                                    CK_OBJECT_HANDLE *public_half, struct error *err)
{
    enum mikeyd_status status = provision_label_check_free(session, plan->label, err);
    if (status == MIKEYD_OK)
        status = token_call_begin(session, "C_GenerateKeyPair", err);
    if (status != MIKEYD_OK)
        return status;
    CK_FUNCTION_LIST *f = session->token->f;
    CK_MECHANISM mechanism = {plan->generator, NULL, 0};
    CK_OBJECT_HANDLE private_half = 0;
    CK_RV rv = CKR_OK;
    /* ALLOWED_MECHANISMS is left out where the token knows no such attribute. */
    for (int with_allowed = 1; with_allowed >= 0; with_allowed--) {
        struct pair_templates t;
        templates_make(&t, plan, with_allowed != 0);
        token_call_mark(session, "C_GenerateKeyPair");
        rv = f->C_GenerateKeyPair(session->handle, &mechanism, t.public_half.list,
                                  t.public_half.count, t.private_half.list, t.private_half.count,
                                  public_half, &private_half);
        if (rv == CKR_OK)
            break;
    }
    if (rv != CKR_OK)
        return token_call_failed(session, "C_GenerateKeyPair", rv, err);
    const char *bad = private_mismatch(session, private_half, plan);
    if (bad == NULL) {
        token_call_end(session);
        return MIKEYD_OK;
    }
    rv = f->C_DestroyObject(session->handle, private_half);
    if (rv == CKR_OK)
        rv = f->C_DestroyObject(session->handle, *public_half);
    if (rv != CKR_OK) {
        (void)token_call_failed(session, "C_DestroyObject", rv, NULL);
        return error_set(err, MIKEYD_TOKEN_DOWN,
                         "token %s disobeyed: %s of %s, and the pair could NOT be destroyed (%s)",
                         session->token->label, bad, plan->label, ckr_name(rv));
    }
    token_call_end(session);
    return error_set(err, MIKEYD_TOKEN_DOWN,
                     "token %s disobeyed: %s of %s is not what was asked for; pair destroyed",
                     session->token->label, bad, plan->label);
}

enum mikeyd_status provision_generate_audit_key(struct token_session *session, const char *name,
                                                unsigned generation, unsigned bits,
                                                struct error *err)
{
    struct token_label label = {.kind = TOKEN_AUDIT, .generation = generation};
    struct pair_plan plan = {.generator = CKM_EC_KEY_PAIR_GEN,
                             .type = CKK_EC,
                             .signs = true,
                             .allowed = {CKM_ECDSA},
                             .allowed_count = 1};
    if (bits == 3072 || bits == 4096)
        plan = (struct pair_plan){.generator = CKM_RSA_PKCS_KEY_PAIR_GEN,
                                  .type = CKK_RSA,
                                  .signs = true,
                                  .modulus_bits = bits,
                                  .allowed = {CKM_RSA_PKCS_PSS, CKM_RSA_PKCS},
                                  .allowed_count = 2};
    else if (bits != 256)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "an audit key has 256 bits (EC P-256), or 3072 or 4096 (RSA)");
    if (!token_has_mechanism(session->token, plan.generator))
        return error_set(err, MIKEYD_UNSUPPORTED, "token %s makes no %s keys%s",
                         session->token->label, bits == 256 ? "EC" : "RSA",
                         bits == 256 ? ": --bits 3072 for RSA" : "");
    if (strlen(name) >= sizeof label.name || generation == 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "not a name and generation of a key");
    (void)snprintf(label.name, sizeof label.name, "%s", name);
    enum mikeyd_status status = token_label_format(&label, plan.label, err);
    if (status != MIKEYD_OK)
        return status;
    if (RAND_bytes(plan.id, sizeof plan.id) != 1)
        return error_set(err, MIKEYD_INTERNAL, "no random bytes for CKA_ID");
    CK_OBJECT_HANDLE public_half = 0;
    return pair_make(session, &plan, &public_half, err);
}

/* ---- the receiving half of a transport ---- */

static char *rsa_to_pem(const uint8_t *modulus, size_t modulus_len, const uint8_t *exponent,
                        size_t exponent_len)
{
    char *pem = NULL;
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    BIGNUM *n = BN_bin2bn(modulus, (int)modulus_len, NULL);
    BIGNUM *e = BN_bin2bn(exponent, (int)exponent_len, NULL);
    char *text = NULL;
    if (bio != NULL && build != NULL && context != NULL && n != NULL && e != NULL &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1 &&
        (params = OSSL_PARAM_BLD_to_param(build)) != NULL && EVP_PKEY_fromdata_init(context) == 1 &&
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) == 1 &&
        PEM_write_bio_PUBKEY(bio, key) == 1) {
        long len = BIO_get_mem_data(bio, &text);
        pem = len > 0 ? strndup(text, (size_t)len) : NULL;
    }
    BN_free(n);
    BN_free(e);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(key);
    BIO_free(bio);
    return pem;
}

enum mikeyd_status provision_generate_wrapping_pair(struct token_session *session,
                                                    const char *label, unsigned bits, char **pem,
                                                    struct error *err)
{
    struct pair_plan plan = {.generator = CKM_RSA_PKCS_KEY_PAIR_GEN,
                             .type = CKK_RSA,
                             .modulus_bits = bits,
                             .allowed = {CKM_RSA_PKCS_OAEP},
                             .allowed_count = 1};
    *pem = NULL;
    if (bits != 3072 && bits != 4096)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "a wrapping pair has 3072 or 4096 bits");
    if (label[0] == '\0' || strlen(label) >= sizeof plan.label || strncmp(label, "mikeyd/", 7) == 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "\"%.64s\": no label for a wrapping pair (mikeyd/ is for keys)", label);
    (void)snprintf(plan.label, sizeof plan.label, "%s", label);
    if (RAND_bytes(plan.id, sizeof plan.id) != 1)
        return error_set(err, MIKEYD_INTERNAL, "no random bytes for CKA_ID");
    CK_OBJECT_HANDLE public_half = 0;
    enum mikeyd_status status = pair_make(session, &plan, &public_half, err);
    if (status == MIKEYD_OK)
        status = token_call_begin(session, "C_GetAttributeValue", err);
    if (status != MIKEYD_OK)
        return status;
    uint8_t modulus[512], exponent[16];
    CK_ATTRIBUTE list[] = {
        {CKA_MODULUS, modulus, sizeof modulus},
        {CKA_PUBLIC_EXPONENT, exponent, sizeof exponent},
    };
    CK_RV rv = session->token->f->C_GetAttributeValue(session->handle, public_half, list, 2);
    if (rv != CKR_OK)
        return token_call_failed(session, "C_GetAttributeValue", rv, err);
    token_call_end(session);
    *pem = rsa_to_pem(modulus, list[0].ulValueLen, exponent, list[1].ulValueLen);
    return *pem != NULL ? MIKEYD_OK
                        : error_set(err, MIKEYD_INTERNAL, "the public key cannot be written");
}
