#include "keyholder/strategy.h"

#include <string.h>

#include "base/secret.h"
#include "mikey/label.h"
#include "pkcs11/token/token.h"

#define ENCR_NULL 0 /* psk.h: no encryption and salting key is wanted */

static enum mikeyd_status derive_object(const struct mikey_psk *psk,
                                        const struct mikey_derivation *what, uint32_t constant,
                                        enum token_derived as, size_t len, unsigned long *handle,
                                        struct error *err)
{
    uint8_t label[MIKEY_LABEL_MAX];
    size_t label_len = mikey_label_write(label, constant, MIKEY_LABEL_PSK_CS_ID, what->csb_id,
                                         what->rand, what->rand_len);
    return token_prf_derive(psk->service, psk->blocks[0], mikey_prf_hash(what->prf), label,
                            label_len, as, len, handle, err);
}

/*
 * The salt is an input to the IV that anybody who knows the encryption key may know: it comes from
 * HMAC calls. Its 14 bytes fit in one block of either PRF: A_1 = HMAC(label), P = HMAC(A_1||label).
 */
static enum mikeyd_status derive_salt(const struct mikey_psk *psk,
                                      const struct mikey_derivation *what,
                                      struct mikey_message_keys *keys, struct error *err)
{
    uint8_t label[MIKEY_LABEL_MAX];
    size_t label_len = mikey_label_write(label, MIKEY_LABEL_PSK_SALT, MIKEY_LABEL_PSK_CS_ID,
                                         what->csb_id, what->rand, what->rand_len);
    enum hmac_hash hash = mikey_prf_hash(what->prf);
    struct hmac_job job = {.key = psk->blocks[0],
                           .hash = hash,
                           .data = {label, NULL},
                           .len = {label_len, 0},
                           .tag = keys->scratch[0]};
    enum mikeyd_status status = token_hmac_batch(psk->service, &job, 1, err);
    if (status == MIKEYD_OK) {
        job.data[0] = keys->scratch[0];
        job.len[0] = hmac_tag_len(hash);
        job.data[1] = label;
        job.len[1] = label_len;
        job.tag = keys->scratch[1];
        status = token_hmac_batch(psk->service, &job, 1, err);
    }
    if (status == MIKEYD_OK)
        memcpy(keys->salt, keys->scratch[1], keys->salt_len);
    return status;
}

static void derive_release(const struct mikey_psk *psk, struct mikey_message_keys *keys)
{
    if (keys->encr_handle != 0)
        token_object_destroy(psk->service, keys->encr_handle);
    if (keys->auth_handle != 0)
        token_object_destroy(psk->service, keys->auth_handle);
    secret_wipe(keys, sizeof *keys);
}

static enum mikeyd_status derive_encryption(const struct mikey_psk *psk,
                                            const struct mikey_derivation *what,
                                            struct mikey_message_keys *keys, struct error *err)
{
    struct mikey_key_sizes sizes;
    if (!mikey_key_sizes(what, &sizes) || sizes.salt > hmac_tag_len(mikey_prf_hash(what->prf)))
        return error_set(err, MIKEYD_UNSUPPORTED, "no such message keys");
    keys->what.encryption = what->encryption;
    keys->encr_len = (uint8_t)sizes.encr;
    keys->salt_len = (uint8_t)sizes.salt;
    enum mikeyd_status status = derive_object(psk, what, MIKEY_LABEL_PSK_ENCR, TOKEN_DERIVED_AES,
                                              sizes.encr, &keys->encr_handle, err);
    return status == MIKEYD_OK ? derive_salt(psk, what, keys, err) : status;
}

static enum mikeyd_status derive_keys(const struct mikey_psk *psk,
                                      const struct mikey_derivation *what,
                                      struct mikey_message_keys *keys, struct error *err)
{
    struct mikey_key_sizes sizes;
    if (!mikey_key_sizes(what, &sizes))
        return error_set(err, MIKEYD_UNSUPPORTED, "no such message keys");
    if (psk->block_count != 1)
        return error_set(err, MIKEYD_UNSUPPORTED, "the token derives from one block only");
    keys->what = *what;
    keys->auth_len = (uint8_t)sizes.auth;
    keys->encr_len = keys->salt_len = 0;
    keys->encr_handle = keys->auth_handle = 0;
    enum mikeyd_status status = derive_object(psk, what, MIKEY_LABEL_PSK_AUTH, TOKEN_DERIVED_HMAC,
                                              sizes.auth, &keys->auth_handle, err);
    if (status == MIKEYD_OK && what->encryption != ENCR_NULL)
        status = derive_encryption(psk, what, keys, err);
    if (status != MIKEYD_OK)
        derive_release(psk, keys);
    keys->what.rand = NULL; /* a view of the message, which may go before the keys do */
    return status;
}

static enum mikeyd_status derive_extend(const struct mikey_psk *psk,
                                        const struct mikey_derivation *what,
                                        struct mikey_message_keys *keys, struct error *err)
{
    enum mikeyd_status status = derive_encryption(psk, what, keys, err);
    if (status != MIKEYD_OK)
        derive_release(psk, keys);
    return status;
}

static enum mikeyd_status derive_mac(const struct mikey_psk *psk, struct mikey_message_keys *keys,
                                     const uint8_t *const data[], const size_t len[], size_t parts,
                                     uint8_t *tag, struct error *err)
{
    return token_hmac_handle(psk->service, keys->auth_handle, mikey_mac_hash(keys->what.mac), data,
                             len, parts, tag, err);
}

static enum mikeyd_status derive_aes_cm(const struct mikey_psk *psk,
                                        struct mikey_message_keys *keys, const uint8_t iv[16],
                                        uint8_t *data, size_t len, struct error *err)
{
    return token_aes_ctr(psk->service, keys->encr_handle, iv, data, len, err);
}

/* A TGK must leave the token, because the session keys do: it comes from HMAC calls, like the salt.
 */
static enum mikeyd_status derive_tgk(const struct mikey_psk *psk,
                                     const struct mikey_derivation *what,
                                     enum mikey_tgk_purpose purpose,
                                     struct mikey_message_keys *keys, uint8_t *tgk, size_t len,
                                     struct error *err)
{
    return mikey_psk_by_hmac.tgk(psk, what, purpose, keys, tgk, len, err);
}

const struct mikey_psk_ops keyholder_psk_derive = {
    .name = "derive",
    .derive = derive_keys,
    .extend = derive_extend,
    .mac = derive_mac,
    .aes_cm = derive_aes_cm,
    .tgk = derive_tgk,
    .release = derive_release,
};
