#include "exchange/strategy.h"

#include <string.h>

#include "base/bytes.h"
#include "base/secret.h"
#include "pkcs11/token.h"

/* RFC 3830 4.1.4: constants of the keys derived from a PSK; the cs_id byte is 0xFF there. */
#define CONSTANT_ENCR 0x150533E1u
#define CONSTANT_AUTH 0x2D22AC75u
#define CONSTANT_SALT 0x29B88916u
#define LABEL_MAX (4 + 1 + 4 + 255)

#define SALT_LEN 14 /* AES-CM, RFC 3830 4.2.3 */

static enum hmac_hash prf_hash(const struct mikey_derivation *what)
{
    return what->prf == MIKEY_PRF_1 ? HMAC_SHA1 : HMAC_SHA256;
}

/* label = constant || 0xFF || CSB ID || RAND */
static size_t write_label(const struct mikey_derivation *what, uint32_t constant,
                          uint8_t out[LABEL_MAX])
{
    struct byte_writer w = writer_of(out, LABEL_MAX);
    writer_u32(&w, constant);
    writer_u8(&w, 0xFF);
    writer_u32(&w, what->csb_id);
    writer_bytes(&w, what->rand, what->rand_len);
    return w.failed ? 0 : w.len;
}

static enum mikeyd_status derive_object(const struct mikey_psk *psk,
                                        const struct mikey_derivation *what, uint32_t constant,
                                        enum token_derived as, size_t len, unsigned long *handle,
                                        struct error *err)
{
    uint8_t label[LABEL_MAX];
    size_t label_len = write_label(what, constant, label);
    if (label_len == 0)
        return error_set(err, MIKEYD_UNSUPPORTED, "RAND longer than 255 bytes");
    return token_prf_derive(psk->service, psk->blocks[0], prf_hash(what), label, label_len, as, len,
                            handle, err);
}

/*
 * The salt is an input to the IV that anybody who knows the encryption key may know: it comes from
 * HMAC calls. Its 14 bytes fit in one block of either PRF: A_1 = HMAC(label), P = HMAC(A_1||label).
 */
static enum mikeyd_status derive_salt(const struct mikey_psk *psk,
                                      const struct mikey_derivation *what,
                                      struct mikey_message_keys *keys, struct error *err)
{
    uint8_t label[LABEL_MAX];
    size_t label_len = write_label(what, CONSTANT_SALT, label);
    enum hmac_hash hash = prf_hash(what);
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
    if (status == MIKEYD_OK) {
        memcpy(keys->salt, keys->scratch[1], SALT_LEN);
        keys->salt_len = SALT_LEN;
    }
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

static enum mikeyd_status derive_keys(const struct mikey_psk *psk,
                                      const struct mikey_derivation *what,
                                      struct mikey_message_keys *keys, struct error *err)
{
    bool wide = what->encryption == 3;
    if (psk->block_count != 1 || (what->encryption != 1 && !wide) ||
        (what->mac != 1 && what->mac != 2)) {
        return error_set(err, MIKEYD_UNSUPPORTED,
                         "the token derives keys for AES-CM and HMAC from a PSK of one block only");
    }
    keys->what = *what;
    keys->encr_handle = keys->auth_handle = 0;
    keys->encr_len = wide ? 32 : 16;
    keys->auth_len = what->mac == 1 ? 20 : 32;
    enum mikeyd_status status = derive_object(psk, what, CONSTANT_AUTH, TOKEN_DERIVED_HMAC,
                                              keys->auth_len, &keys->auth_handle, err);
    if (status == MIKEYD_OK)
        status = derive_salt(psk, what, keys, err);
    if (status != MIKEYD_OK)
        derive_release(psk, keys);
    return status;
}

static enum mikeyd_status derive_mac(const struct mikey_psk *psk, struct mikey_message_keys *keys,
                                     const uint8_t *const data[], const size_t len[], size_t parts,
                                     uint8_t *tag, struct error *err)
{
    enum hmac_hash hash = keys->what.mac == 1 ? HMAC_SHA1 : HMAC_SHA256;
    return token_hmac_handle(psk->service, keys->auth_handle, hash, data, len, parts, tag, err);
}

static enum mikeyd_status derive_aes_cm(const struct mikey_psk *psk,
                                        struct mikey_message_keys *keys, const uint8_t iv[16],
                                        uint8_t *data, size_t len, struct error *err)
{
    /* Made when first wanted: a reply, or a message whose MAC is wrong, never needs it. */
    if (keys->encr_handle == 0) {
        enum mikeyd_status status =
            derive_object(psk, &keys->what, CONSTANT_ENCR, TOKEN_DERIVED_AES, keys->encr_len,
                          &keys->encr_handle, err);
        if (status != MIKEYD_OK)
            return status;
    }
    return token_aes_ctr(psk->service, keys->encr_handle, iv, data, len, err);
}

const struct mikey_psk_ops exchange_psk_derive = {
    .name = "derive",
    .derive = derive_keys,
    .mac = derive_mac,
    .aes_cm = derive_aes_cm,
    .release = derive_release,
};
