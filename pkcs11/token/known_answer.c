/*
 * Known-answer tests on the token before it is trusted: RFC 2202 and RFC 4231 for HMAC (a token
 * that fails is refused), MIKEY's PRF and HKDF for the mechanisms that derive inside (a token that
 * fails, or whose derived keys could leave it, is used without them). Keys are session objects,
 * zero-padded to the token's minimum.
 */
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "pkcs11/token/internal.h"

#define KEY_MAX 80
#define HMAC_BLOCK 64 /* of SHA-1 and SHA-256 */

struct hmac_case {
    const char *name;
    enum hmac_hash hash;
    size_t key_len;
    uint8_t key_first, key_step; /* key bytes: first, first + step ... */
    const char *text;            /* data, or NULL: fill repeated 50 times */
    uint8_t fill;
    const char *tag;
};

static const char jefe[] = "what do ya want for nothing?";
static const char larger[] = "Test Using Larger Than Block-Size Key - Hash Key First";

static const struct hmac_case hmac_cases[] = {
    {"RFC 2202 case 1", HMAC_SHA1, 20, 0x0b, 0, "Hi There", 0,
     "b617318655057264e28bc0b6fb378c8ef146be00"},
    {"RFC 2202 case 2", HMAC_SHA1, 4, 0, 0, jefe, 0, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
    {"RFC 2202 case 3", HMAC_SHA1, 20, 0xaa, 0, NULL, 0xdd,
     "125d7342b9ac11cd91a39af48aa17b4f63f175d3"},
    {"RFC 2202 case 4", HMAC_SHA1, 25, 0x01, 1, NULL, 0xcd,
     "4c9007f4026250c6bc8414f9bf50c86c2d7235da"},
    {"RFC 2202 case 6", HMAC_SHA1, 80, 0xaa, 0, larger, 0,
     "aa4ae5e15272d00e95705637ce8a3b55ed402112"},
    {"RFC 4231 case 1", HMAC_SHA256, 20, 0x0b, 0, "Hi There", 0,
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {"RFC 4231 case 2", HMAC_SHA256, 4, 0, 0, jefe, 0,
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {"RFC 4231 case 3", HMAC_SHA256, 20, 0xaa, 0, NULL, 0xdd,
     "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
    {"RFC 4231 case 4", HMAC_SHA256, 25, 0x01, 1, NULL, 0xcd,
     "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
};

/* ---- a token that is busy gets its time; the session stays, for the objects made in it */

static CK_RV sign_patiently(struct token_session *session, CK_OBJECT_HANDLE key,
                            enum hmac_hash hash, const uint8_t *const data[], const size_t len[],
                            size_t parts, uint8_t *tag)
{
    struct token_patience patience = {0};
    CK_RV rv = CKR_OK;
    do {
        rv = token_sign_hmac(session, key, hash, data, len, parts, tag);
    } while (rv != CKR_OK && token_wait_while_busy(session, rv, &patience));
    return rv;
}

static CK_RV create_patiently(struct token_session *session, enum hmac_hash hash,
                              const uint8_t *key, size_t key_len, CK_OBJECT_HANDLE *handle)
{
    struct token_patience patience = {0};
    CK_RV rv = CKR_OK;
    do {
        rv = token_create_hmac_key(session, hash, key, key_len, handle);
    } while (rv != CKR_OK && token_wait_while_busy(session, rv, &patience));
    return rv;
}

/* ---- HMAC */

/* Returns the key's length on this token: zeros behind a short key leave the HMAC as it is. */
static size_t case_key(const struct token *token, const struct hmac_case *c, uint8_t key[KEY_MAX])
{
    struct byte_writer w = writer_of(key, KEY_MAX);
    if (c->key_len == 4)
        writer_bytes(&w, "Jefe", 4);
    else
        for (size_t i = 0; i < c->key_len; i++)
            writer_u8(&w, (uint8_t)(c->key_first + i * c->key_step));
    while (w.len < token->hmac_min[c->hash] && !w.failed)
        writer_u8(&w, 0);
    return w.len;
}

static CK_RV case_run(struct token_session *session, const struct hmac_case *c, uint8_t *tag,
                      const char **operation)
{
    uint8_t key[KEY_MAX], fill[50];
    size_t key_len = case_key(session->token, c, key);
    struct byte_writer w = writer_of(fill, sizeof fill);
    for (size_t i = 0; i < sizeof fill; i++)
        writer_u8(&w, c->fill);
    union {
        const char *text;
        const uint8_t *bytes;
    } text = {.text = c->text};
    const uint8_t *const data[1] = {c->text == NULL ? fill : text.bytes};
    const size_t len[1] = {c->text == NULL ? sizeof fill : strlen(c->text)};
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    *operation = "C_CreateObject";
    CK_RV rv = create_patiently(session, c->hash, key, key_len, &handle);
    if (rv != CKR_OK)
        return rv;
    *operation = "C_Sign";
    rv = sign_patiently(session, handle, c->hash, data, len, 1, tag);
    if (rv != CKR_OK)
        return rv;
    *operation = "C_DestroyObject";
    return session->token->f->C_DestroyObject(session->handle, handle);
}

static enum mikeyd_status check_case(struct token_session *session, const struct hmac_case *c,
                                     struct error *err)
{
    uint8_t tag[HMAC_TAG_MAX], expected[HMAC_TAG_MAX];
    size_t expected_len = 0;
    enum mikeyd_status status =
        hex_decode(c->tag, strlen(c->tag), expected, sizeof expected, &expected_len, err);
    if (status != MIKEYD_OK)
        return status;
    const char *operation = "";
    CK_RV rv = case_run(session, c, tag, &operation);
    if (rv != CKR_OK)
        return error_set(err, MIKEYD_TOKEN_DOWN, "token %s: known-answer test %s: %s: %s%s",
                         session->token->label, c->name, operation, ckr_name(rv),
                         ckr_advice(operation, rv));
    if (expected_len != hmac_tag_len(c->hash) || !secret_equal(tag, expected, expected_len))
        return error_set(err, MIKEYD_TOKEN_DOWN,
                         "token %s: known-answer test %s: the token computed another HMAC",
                         session->token->label, c->name);
    return MIKEYD_OK;
}

/* ---- derivation in the token, against OpenSSL */

static const uint8_t message[16] = "known to us both";

static bool host_hmac(enum hmac_hash hash, const uint8_t *key, size_t key_len,
                      uint8_t tag[HMAC_TAG_MAX])
{
    size_t len = 0;
    return EVP_Q_mac(NULL, "HMAC", NULL, hash == HMAC_SHA1 ? "SHA1" : "SHA256", NULL, key, key_len,
                     message, sizeof message, tag, HMAC_TAG_MAX, &len) != NULL &&
           len == hmac_tag_len(hash);
}

/* A token may take no notice of the template, and a derived key is never enumerated. */
static bool stays_inside(const struct token_session *session, CK_OBJECT_HANDLE handle)
{
    return token_object_stays_inside(session->token, session->handle, handle);
}

/* The derived object signs as the key we expect it to be. */
static bool signs_as(struct token_session *session, CK_OBJECT_HANDLE handle, const uint8_t *key,
                     size_t key_len)
{
    uint8_t tag[HMAC_TAG_MAX], expected[HMAC_TAG_MAX];
    const uint8_t *const data[1] = {message};
    const size_t len[1] = {sizeof message};
    return sign_patiently(session, handle, HMAC_SHA256, data, len, 1, tag) == CKR_OK &&
           host_hmac(HMAC_SHA256, key, key_len, expected) &&
           secret_equal(tag, expected, sizeof tag);
}

static bool host_aes_ctr(const uint8_t *key, size_t key_len, const uint8_t iv[16], uint8_t *data,
                         int data_len)
{
    const EVP_CIPHER *cipher = key_len == 16 ? EVP_aes_128_ctr() : EVP_aes_256_ctr();
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = 0;
    bool ok = ctx != NULL && EVP_EncryptInit_ex2(ctx, cipher, key, iv, NULL) == 1 &&
              EVP_EncryptUpdate(ctx, data, &len, data, data_len) == 1 && len == data_len;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

static bool encrypts_as(struct token_session *session, CK_OBJECT_HANDLE handle, const uint8_t *key,
                        size_t key_len)
{
    /* Three blocks and a piece, with a carry out of the counter's last byte. */
    static const uint8_t iv[16] = {[0] = 0x44, [13] = 0x95, [15] = 0xfe};
    uint8_t ours[53] = {0}, theirs[53] = {0};
    return host_aes_ctr(key, key_len, iv, ours, sizeof ours) &&
           token_aes_ctr_call(session, handle, iv, theirs, sizeof theirs) == CKR_OK &&
           secret_equal(ours, theirs, sizeof ours);
}

/* PSK 00 .. 1f, CSB ID 12345678, RAND a0 .. af; labels of RFC 3830 4.1.4. */
struct prf_case {
    enum hmac_hash hash;
    enum token_derived as;
    const char *label, *key;
};

#define REST_OF_LABEL "ff12345678a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
static const struct prf_case prf_cases[] = {
    {HMAC_SHA1, TOKEN_DERIVED_HMAC, "2d22ac75" REST_OF_LABEL,
     "2b2a23630ef0887e869b93e8e8b9297b4bf8609e"},
    {HMAC_SHA1, TOKEN_DERIVED_AES, "150533e1" REST_OF_LABEL, "7c3f87cfca298ba82ae597837695217e"},
    {HMAC_SHA1, TOKEN_DERIVED_AES, "150533e1" REST_OF_LABEL,
     "7c3f87cfca298ba82ae597837695217e25110023088a74d9a91391a0f03a4853"},
    {HMAC_SHA256, TOKEN_DERIVED_HMAC, "2d22ac75" REST_OF_LABEL,
     "a58b785c3b0e7f96ab174cd5470d6975f522e533f9101d5d0f8808da5c2186b7"},
    {HMAC_SHA256, TOKEN_DERIVED_AES, "150533e1" REST_OF_LABEL,
     "69df011e8afe84065ef78f76e9f470ecffad72c1f405cc9e1270c5523306c4bf"},
};

static bool prf_case_holds(struct token_session *session, CK_OBJECT_HANDLE base,
                           const struct prf_case *c)
{
    uint8_t label[32], key[32];
    size_t label_len = 0, key_len = 0;
    if (hex_decode(c->label, strlen(c->label), label, sizeof label, &label_len, NULL) !=
            MIKEYD_OK ||
        hex_decode(c->key, strlen(c->key), key, sizeof key, &key_len, NULL) != MIKEYD_OK)
        return false;
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    if (token_prf_call(session, base, c->hash, label, label_len, c->as, key_len, &handle) != CKR_OK)
        return false;
    bool holds = stays_inside(session, handle) &&
                 (c->as == TOKEN_DERIVED_HMAC ? signs_as(session, handle, key, key_len)
                                              : encrypts_as(session, handle, key, key_len));
    return session->token->f->C_DestroyObject(session->handle, handle) == CKR_OK && holds;
}

static bool counting_key(struct token_session *session, CK_OBJECT_HANDLE *handle)
{
    uint8_t key[32];
    struct byte_writer w = writer_of(key, sizeof key);
    for (unsigned i = 0; i < sizeof key; i++)
        writer_u8(&w, (uint8_t)i);
    return token_create_base_key(session, key, sizeof key, handle) == CKR_OK;
}

static bool prf_is_mikeys(struct token_session *session)
{
    CK_OBJECT_HANDLE base = CK_INVALID_HANDLE;
    bool holds = counting_key(session, &base);
    for (size_t i = 0; holds && i < sizeof prf_cases / sizeof prf_cases[0]; i++)
        holds = prf_case_holds(session, base, &prf_cases[i]);
    return holds && session->token->f->C_DestroyObject(session->handle, base) == CKR_OK;
}

static bool host_hkdf(const uint8_t *ikm, size_t ikm_len, uint8_t out[32])
{
    union {
        const void *in;
        void *out;
    } key = {.in = ikm}, info = {.in = message}; /* OSSL_PARAM has no pointers to const */
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key.out, ikm_len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.out, sizeof message),
        OSSL_PARAM_construct_end()};
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
    bool ok = ctx != NULL && EVP_KDF_derive(ctx, out, 32, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

static bool hkdf_is_right(struct token_session *session)
{
    uint8_t ikm[32], expected[32];
    struct byte_writer w = writer_of(ikm, sizeof ikm);
    for (unsigned i = 0; i < sizeof ikm; i++)
        writer_u8(&w, (uint8_t)i);
    CK_OBJECT_HANDLE base = CK_INVALID_HANDLE, pair = CK_INVALID_HANDLE;
    CK_FUNCTION_LIST *f = session->token->f;
    return host_hkdf(ikm, sizeof ikm, expected) && counting_key(session, &base) &&
           token_hkdf_call(session, base, message, sizeof message, &pair) == CKR_OK &&
           stays_inside(session, pair) && signs_as(session, pair, expected, sizeof expected) &&
           f->C_DestroyObject(session->handle, pair) == CKR_OK &&
           f->C_DestroyObject(session->handle, base) == CKR_OK;
}

/* A mechanism that is listed but wrong, or whose keys could leave the token, leaves the session in
 * an unknown state: take another. */
static bool try_mechanism(struct token_session *session, CK_MECHANISM_TYPE mechanism,
                          bool (*proof)(struct token_session *), const char *what)
{
    if (!token_has_mechanism(session->token, mechanism))
        return false;
    token_call_mark(session, what);
    if (proof(session))
        return true;
    log_warning("token %s: its %s stays unused: another answer than ours, or keys that can be "
                "read",
                session->token->label, what);
    token_session_drop(session);
    (void)token_session_open(session);
    return false;
}

/* ---- what may be relied on */

/* A session object of `by` signs in `with` as the key that it is. */
static bool signs_across(struct token_session *by, struct token_session *with, enum hmac_hash hash,
                         size_t key_len)
{
    uint8_t key[HMAC_BLOCK], tag[HMAC_TAG_MAX], expected[HMAC_TAG_MAX];
    struct byte_writer w = writer_of(key, sizeof key);
    for (size_t i = 0; i < key_len; i++)
        writer_u8(&w, (uint8_t)(0xa0 + i));
    const uint8_t *const data[1] = {message};
    const size_t len[1] = {sizeof message};
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    if (w.failed || create_patiently(by, hash, key, key_len, &handle) != CKR_OK)
        return false;
    CK_RV rv = sign_patiently(with, handle, hash, data, len, 1, tag);
    (void)by->token->f->C_DestroyObject(by->handle, handle);
    return rv == CKR_OK && host_hmac(hash, key, key_len, expected) &&
           secret_equal(tag, expected, hmac_tag_len(hash));
}

/*
 * The specification leaves the unit of HMAC key sizes open. A token that computes with an eighth of
 * what it says meant bits; more than a hash block can mean nothing else.
 */
static void settle_hmac_minimum(struct token_session *session, enum hmac_hash hash)
{
    struct token *token = session->token;
    const size_t told = token->hmac_min[hash], as_bits = told / 8;
    if (!token->profile.hmac_bits && told <= HMAC_BLOCK &&
        !(as_bits != 0 && told % 8 == 0 && signs_across(session, session, hash, as_bits)))
        return;
    token->hmac_bits = true;
    token->hmac_min[hash] = as_bits;
}

/*
 * The keeper makes the copies and pair keys that all sessions use. Some tokens show a session object
 * to the session that made it alone: there both are done without.
 */
static void settle_sharing(struct token *token, struct token_session *session)
{
    const size_t least = token->hmac_min[HMAC_SHA256];
    token->shares_objects =
        !token->profile.per_session && signs_across(&token->keeper, session, HMAC_SHA256,
                                                    least > 32 && least <= HMAC_BLOCK ? least : 32);
    if (token->shares_objects)
        return;
    token->hkdf = false;
    log_warning("token %s: session objects serve the session that made them alone: no copies of "
                "keys, and no HKDF: pair keys are made by mikeyctl key derive",
                token->label);
}

/* ---- which session keys the token makes */

/* Makes and uses one; some tokens look at the type of the key at its use only. */
static CK_RV try_session_key(struct token_session *session)
{
    static const uint8_t key[HMAC_BLOCK] = {1};
    const uint8_t *const data[1] = {message};
    const size_t len[1] = {sizeof message};
    uint8_t tag[HMAC_TAG_MAX];
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    CK_RV rv = create_patiently(session, HMAC_SHA256, key, sizeof key, &handle);
    if (rv != CKR_OK)
        return rv;
    rv = sign_patiently(session, handle, HMAC_SHA256, data, len, 1, tag);
    (void)session->token->f->C_DestroyObject(session->handle, handle);
    return rv;
}

/* The login lasts as long as one session does: the keeper's until the others are there. */
static CK_RV reopen_read_write(struct token *token)
{
    CK_RV rv = CKR_OK;
    token->sessions_rw = true;
    for (unsigned i = 0; i < token->session_count && rv == CKR_OK; i++) {
        token_session_drop(&token->session[i]);
        rv = token_session_open(&token->session[i]);
    }
    if (rv != CKR_OK)
        return rv;
    token_session_drop(&token->keeper);
    return token_session_open(&token->keeper);
}

static bool refuses_keys(CK_RV rv)
{
    return rv == CKR_FUNCTION_NOT_SUPPORTED || rv == CKR_SESSION_READ_ONLY ||
           rv == CKR_TOKEN_WRITE_PROTECTED || rv == CKR_TEMPLATE_INCONSISTENT ||
           rv == CKR_ATTRIBUTE_VALUE_INVALID || rv == CKR_KEY_TYPE_INCONSISTENT;
}

/* After a refusal: an active operation cannot be cancelled otherwise. */
static CK_RV try_again(struct token_session *session)
{
    token_session_drop(session);
    CK_RV rv = token_session_open(session);
    return rv == CKR_OK ? try_session_key(session) : rv;
}

static void settle_session_keys(struct token *token, struct token_session *session)
{
    token->session_keys = !token->profile.no_session_keys;
    if (!token->session_keys)
        return;
    CK_RV rv = try_session_key(session);
    if (rv == CKR_SESSION_READ_ONLY && !token->sessions_rw) {
        rv = reopen_read_write(token);
        if (rv == CKR_OK)
            rv = try_session_key(session);
    }
    if (rv != CKR_OK && refuses_keys(rv) && !token->hash_keys) {
        token->hash_keys = true;
        const CK_RV by_hash = try_again(session);
        token->hash_keys = by_hash == CKR_OK;
        rv = by_hash == CKR_OK ? CKR_OK : rv;
    }
    token->session_keys = !refuses_keys(rv); /* other errors are the known-answer tests' to tell */
    if (rv == CKR_OK)
        return;
    token_session_drop(session);
    (void)token_session_open(session);
}

/* ---- a token that takes no keys */

static CK_RV sign_text(struct token_session *session, CK_OBJECT_HANDLE handle, enum hmac_hash hash,
                       uint8_t first, uint8_t tag[HMAC_TAG_MAX])
{
    uint8_t text[sizeof message];
    memcpy(text, message, sizeof text);
    text[0] = first;
    const uint8_t *const data[1] = {text};
    const size_t len[1] = {sizeof text};
    return sign_patiently(session, handle, hash, data, len, 1, tag);
}

/*
 * Nothing here knows the value of a key that was made in the token. That it computes HMAC at all
 * shows in this: the same for the same, another for another, and not under a key of zeros.
 */
static enum mikeyd_status check_token_key(struct token_session *session, CK_OBJECT_HANDLE handle,
                                          struct error *err)
{
    static const uint8_t zeros[HMAC_BLOCK] = {0};
    uint8_t once[HMAC_TAG_MAX], twice[HMAC_TAG_MAX], other[HMAC_TAG_MAX], under_zeros[HMAC_TAG_MAX];
    const struct token *token = session->token;
    enum hmac_hash hash = HMAC_SHA256;
    CK_RV rv = sign_text(session, handle, hash, message[0], once);
    if (rv == CKR_KEY_TYPE_INCONSISTENT) { /* a key of the other hash */
        hash = HMAC_SHA1;
        token_session_drop(session);
        rv = token_session_open(session);
        if (rv == CKR_OK)
            rv = sign_text(session, handle, hash, message[0], once);
    }
    if (rv == CKR_OK)
        rv = sign_text(session, handle, hash, message[0], twice);
    if (rv == CKR_OK)
        rv = sign_text(session, handle, hash, (uint8_t)~message[0], other);
    if (rv != CKR_OK)
        return error_set(err, MIKEYD_TOKEN_DOWN, "token %s: test of a key: C_Sign: %s%s",
                         token->label, ckr_name(rv), ckr_advice("C_Sign", rv));
    const size_t len = hmac_tag_len(hash);
    if (!host_hmac(hash, zeros, sizeof zeros, under_zeros) || !secret_equal(once, twice, len) ||
        secret_equal(once, other, len) || secret_equal(once, under_zeros, len))
        return error_set(err, MIKEYD_TOKEN_DOWN,
                         "token %s: test of a key: what the token computed is no HMAC",
                         token->label);
    return MIKEYD_OK;
}

static enum mikeyd_status test_token_keys(struct token *token, struct token_session *session,
                                          struct error *err)
{
    const struct token_object *key = token_measured_key(token);
    token->hkdf = token->prf_derive = token->shares_objects = false;
    log_warning("token %s takes no keys from outside: %s instead of known-answer tests, MACs are "
                "computed on the host, no copies of keys, no derivation in the token",
                token->label,
                key == NULL ? "nothing could be tested" : "one of its own was tested");
    return key == NULL ? MIKEYD_OK : check_token_key(session, key->original, err);
}

enum mikeyd_status token_known_answers(struct token *token, struct error *err)
{
    struct token_session *session = &token->session[0];
    enum mikeyd_status status = token_call_begin(session, "known-answer tests", err);
    if (status != MIKEYD_OK)
        return status;
    settle_session_keys(token, session);
    for (enum hmac_hash hash = HMAC_SHA1; hash <= HMAC_SHA256; hash++)
        settle_hmac_minimum(session, hash);
    if (!token->session_keys) {
        status = test_token_keys(token, session, err);
        token_call_end(session);
        return status;
    }
    for (size_t i = 0; status == MIKEYD_OK && i < sizeof hmac_cases / sizeof hmac_cases[0]; i++) {
        token_call_mark(session, hmac_cases[i].name);
        status = check_case(session, &hmac_cases[i], err);
    }
    if (status == MIKEYD_OK) {
        token->prf_derive = token_has_mechanism(token, CKM_AES_CTR) &&
                            try_mechanism(session, MIKEYD_CKM_SP800_108_DOUBLE_PIPELINE_KDF,
                                          prf_is_mikeys, "SP 800-108 key derivation");
        token->hkdf = try_mechanism(session, MIKEYD_CKM_HKDF_DERIVE, hkdf_is_right, "HKDF");
        token_call_mark(session, "session objects");
        settle_sharing(token, session);
    }
    token_call_end(session);
    return status;
}
