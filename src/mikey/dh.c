#include "mikey/dh.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/dh.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/param_build.h>

#include "base/secret.h"

#define X25519_LEN 32
#define OAKLEY_5_LEN 192
#define OAKLEY_5_NAME "modp_1536" /* RFC 3526 2 has the prime of RFC 2412 E.5 */

size_t mikey_dh_len(uint8_t group)
{
    switch (group) {
    case MIKEY_GROUP_X25519:
        return X25519_LEN;
    case MIKEY_GROUP_OAKLEY_5:
        return OAKLEY_5_LEN;
    default:
        return 0;
    }
}

const char *mikey_dh_name(uint8_t group)
{
    return group == MIKEY_GROUP_X25519 ? "x25519" : "oakley-5";
}

static enum mikeyd_status failed(struct error *err)
{
    return error_set(err, MIKEYD_INTERNAL, "OpenSSL cannot do the Diffie-Hellman exchange");
}

static enum mikeyd_status no_value(struct error *err, const char *why)
{
    return error_set(err, MIKEYD_SYNTAX, "the peer's Diffie-Hellman value is none: %s", why);
}

/* ---- OAKLEY 5: OpenSSL's keys of a named group, from and to bytes of fixed length */

static EVP_PKEY *modp_key(const uint8_t *value, const uint8_t *private)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *y = BN_bin2bn(value, OAKLEY_5_LEN, NULL), *x = BN_secure_new();
    OSSL_PARAM *params = NULL;
    bool ok =
        ctx != NULL && build != NULL && y != NULL && x != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, OAKLEY_5_NAME, 0) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PUB_KEY, y) == 1;
    if (ok && private != NULL)
        ok = BN_bin2bn(private, MIKEY_DH_PRIVATE_MAX, x) != NULL &&
             OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, x) == 1;
    const int selection = private != NULL ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY;
    if (ok && (params = OSSL_PARAM_BLD_to_param(build)) != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &key, selection, params);
    OSSL_PARAM_free(params); /* its secure part is wiped */
    BN_clear_free(x);
    BN_free(y);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static bool number_of(const EVP_PKEY *key, const char *name, uint8_t *out, size_t len)
{
    BIGNUM *n = BN_secure_new();
    const bool ok = n != NULL && EVP_PKEY_get_bn_param(key, name, &n) == 1 &&
                    BN_bn2binpad(n, out, (int)len) == (int)len;
    BN_clear_free(n);
    return ok;
}

static bool modp_make(struct mikey_dh_pair *out)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
    char name[] = OAKLEY_5_NAME;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0),
        OSSL_PARAM_construct_end()};
    const bool ok = ctx != NULL && EVP_PKEY_keygen_init(ctx) == 1 &&
                    EVP_PKEY_CTX_set_params(ctx, params) == 1 &&
                    EVP_PKEY_generate(ctx, &key) == 1 &&
                    number_of(key, OSSL_PKEY_PARAM_PUB_KEY, out->value, OAKLEY_5_LEN) &&
                    number_of(key, OSSL_PKEY_PARAM_PRIV_KEY, out->private, sizeof out->private);
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/* 1 < Y < p - 1: in this group, whose p is a safe prime, what is outside has order 1 or 2. */
static bool modp_in_range(const uint8_t *value)
{
    BIGNUM *p = BN_get_rfc3526_prime_1536(NULL), *y = BN_bin2bn(value, OAKLEY_5_LEN, NULL);
    const bool ok = p != NULL && y != NULL && BN_sub_word(p, 1) == 1 && BN_cmp(y, p) < 0 &&
                    BN_cmp(y, BN_value_one()) > 0;
    BN_free(p);
    BN_free(y);
    return ok;
}

/* ---- X25519 */

static bool x25519_make(struct mikey_dh_pair *out)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    size_t value_len = X25519_LEN, private_len = X25519_LEN;
    const bool ok = key != NULL && EVP_PKEY_get_raw_public_key(key, out->value, &value_len) == 1 &&
                    EVP_PKEY_get_raw_private_key(key, out->private, &private_len) == 1 &&
                    value_len == X25519_LEN && private_len == X25519_LEN;
    EVP_PKEY_free(key);
    return ok;
}

/* ---- either */

enum mikeyd_status mikey_dh_make(uint8_t group, struct mikey_dh_pair *out, struct error *err)
{
    memset(out, 0, sizeof *out);
    out->group = group;
    if (mikey_dh_len(group) == 0)
        return error_set(err, MIKEYD_UNSUPPORTED, "no Diffie-Hellman group %u here", group);
    if (group == MIKEY_GROUP_X25519 ? x25519_make(out) : modp_make(out))
        return MIKEYD_OK;
    secret_wipe(out, sizeof *out);
    return failed(err);
}

static EVP_PKEY *own_key(const struct mikey_dh_pair *own)
{
    return own->group == MIKEY_GROUP_X25519
               ? EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, own->private, X25519_LEN)
               : modp_key(own->value, own->private);
}

static EVP_PKEY *peer_key(uint8_t group, const uint8_t *value)
{
    return group == MIKEY_GROUP_X25519
               ? EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, value, X25519_LEN)
               : modp_key(value, NULL);
}

/* RFC 7748 6.1: of a point of small order. OpenSSL refuses it as well; this does not rest on that. */
static bool all_zero(const uint8_t *shared, size_t len)
{
    static const uint8_t zeros[MIKEY_DH_VALUE_MAX];
    return secret_equal(shared, zeros, len);
}

static bool derive(EVP_PKEY *own, EVP_PKEY *peer, bool modp, uint8_t *shared, size_t len)
{
    size_t made = len;
    EVP_PKEY_CTX *ctx = own == NULL || peer == NULL ? NULL : EVP_PKEY_CTX_new(own, NULL);
    bool ok = ctx != NULL && EVP_PKEY_derive_init(ctx) == 1;
    if (ok && modp)
        ok = EVP_PKEY_CTX_set_dh_pad(ctx, 1) == 1;
    ok = ok && EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) == 1 &&
         EVP_PKEY_derive(ctx, shared, &made) == 1 && made == len;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

enum mikeyd_status mikey_dh_agree(const struct mikey_dh_pair *own, const uint8_t *peer,
                                  size_t peer_len, uint8_t *shared, struct error *err)
{
    const size_t len = mikey_dh_len(own->group);
    const bool modp = own->group == MIKEY_GROUP_OAKLEY_5;
    if (len == 0)
        return error_set(err, MIKEYD_UNSUPPORTED, "no Diffie-Hellman group %u here", own->group);
    memset(shared, 0, len);
    if (peer_len != len)
        return no_value(err, "it has another length");
    if (modp && !modp_in_range(peer))
        return no_value(err, "not within 1 < Y < p - 1");
    EVP_PKEY *mine = own_key(own), *theirs = peer_key(own->group, peer);
    const bool keys = mine != NULL && theirs != NULL;
    const bool ok = keys && derive(mine, theirs, modp, shared, len);
    EVP_PKEY_free(mine);
    EVP_PKEY_free(theirs);
    if (ok && !all_zero(shared, len))
        return MIKEYD_OK;
    secret_wipe(shared, len);
    return keys && !modp ? no_value(err, "a point of small order") : failed(err);
}

enum mikeyd_status mikey_hkdf(const struct mikey_hkdf *in, uint8_t *out, size_t len,
                              struct error *err)
{
    size_t made = len;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "HKDF", NULL);
    const bool ok = ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 &&
                    EVP_PKEY_CTX_set_hkdf_md(ctx, EVP_sha256()) == 1 &&
                    EVP_PKEY_CTX_set1_hkdf_salt(ctx, in->salt, (int)in->salt_len) == 1 &&
                    EVP_PKEY_CTX_set1_hkdf_key(ctx, in->ikm, (int)in->ikm_len) == 1 &&
                    EVP_PKEY_CTX_add1_hkdf_info(ctx, in->info, (int)in->info_len) == 1 &&
                    EVP_PKEY_derive(ctx, out, &made) == 1 && made == len;
    EVP_PKEY_CTX_free(ctx);
    if (ok)
        return MIKEYD_OK;
    secret_wipe(out, len);
    return error_set(err, MIKEYD_INTERNAL, "OpenSSL cannot compute HKDF");
}
