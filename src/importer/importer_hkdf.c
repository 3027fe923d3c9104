#include "importer/importer.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

/* OpenSSL's parameters are not const, but it only reads them. */
static void *hkdf_unconst(const void *data)
{
    union {
        const void *in;
        void *out;
    } pointer = {.in = data};
    return pointer.out;
}

struct hkdf_input {
    enum importer_hash hash;
    int mode;
    const uint8_t *key;
    size_t key_len;
    const uint8_t *info;
    size_t info_len;
};

static enum mikeyd_status hkdf_run(const struct hkdf_input *input, uint8_t *out, size_t out_len,
                                   struct error *err)
{
    char sha256[] = "SHA256", sha384[] = "SHA384";
    int mode = input->mode;
    OSSL_PARAM params[5];
    size_t count = 0;
    params[count++] = OSSL_PARAM_construct_utf8_string(
        OSSL_KDF_PARAM_DIGEST, input->hash == IMPORTER_SHA384 ? sha384 : sha256, 0);
    params[count++] = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    params[count++] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
                                                        hkdf_unconst(input->key), input->key_len);
    if (input->info != NULL)
        params[count++] = OSSL_PARAM_construct_octet_string(
            OSSL_KDF_PARAM_INFO, hkdf_unconst(input->info), input->info_len);
    params[count] = OSSL_PARAM_construct_end();

    EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_HKDF, NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    bool done = context != NULL && EVP_KDF_derive(context, out, out_len, params) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    if (!done) {
        OPENSSL_cleanse(out, out_len);
        return error_set(err, MIKEYD_INTERNAL, "importer: HKDF failed");
    }
    return MIKEYD_OK;
}

enum mikeyd_status importer_extract(enum importer_hash hash, const uint8_t *epsk, size_t epsk_len,
                                    uint8_t *epskx, struct error *err)
{
    if (epsk_len == 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "importer: the EPSK is empty");
    /* No salt is a salt of zeros as long as the hash (RFC 5869 2.2), which RFC 9258 5.1 asks for.
     */
    const struct hkdf_input input = {
        .hash = hash, .mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY, .key = epsk, .key_len = epsk_len};
    return hkdf_run(&input, epskx, hash == IMPORTER_SHA384 ? 48 : 32, err);
}

enum mikeyd_status importer_expand(enum importer_hash hash, const uint8_t *epskx,
                                   const uint8_t *info, size_t info_len, uint8_t *out,
                                   size_t out_len, struct error *err)
{
    const struct hkdf_input input = {.hash = hash,
                                     .mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY,
                                     .key = epskx,
                                     .key_len = hash == IMPORTER_SHA384 ? 48 : 32,
                                     .info = info,
                                     .info_len = info_len};
    return hkdf_run(&input, out, out_len, err);
}
