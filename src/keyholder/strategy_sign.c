#include "keyholder/strategy.h"

#include "mikey/label.h"
#include "pkcs11/token/token.h"

/* ---- HMACs under the PSK */

static enum mikeyd_status batch_in_token(void *service, struct hmac_job *jobs, size_t count,
                                         struct error *err)
{
    return token_hmac_batch(service, jobs, count, err);
}

static enum mikeyd_status message_on_host(void *service, enum hmac_hash hash, const uint8_t *key,
                                          size_t key_len, const uint8_t *const data[],
                                          const size_t len[], size_t parts, uint8_t *tag,
                                          struct error *err)
{
    (void)service;
    return mikey_host_hmac.hmac_message(NULL, hash, key, key_len, data, len, parts, tag, err);
}

const struct mikey_hmac_ops keyholder_hmac_token = {batch_in_token, message_on_host};

/* ---- the MACs of a message in the token */

static enum mikeyd_status sign_derive(const struct mikey_psk *psk,
                                      const struct mikey_derivation *what,
                                      struct mikey_message_keys *keys, struct error *err)
{
    keys->auth_handle = 0;
    return mikey_psk_by_hmac.derive(psk, what, keys, err);
}

static enum mikeyd_status sign_extend(const struct mikey_psk *psk,
                                      const struct mikey_derivation *what,
                                      struct mikey_message_keys *keys, struct error *err)
{
    return mikey_psk_by_hmac.extend(psk, what, keys, err);
}

/* One object serves the MAC of the I_MESSAGE and V. */
static enum mikeyd_status sign_mac(const struct mikey_psk *psk, struct mikey_message_keys *keys,
                                   const uint8_t *const data[], const size_t len[], size_t parts,
                                   uint8_t *tag, struct error *err)
{
    if (keys->auth_len == 0)
        return error_set(err, MIKEYD_UNSUPPORTED, "no authentication key");
    return token_hmac_bytes(psk->service, mikey_mac_hash(keys->what.mac), keys->auth,
                            keys->auth_len, data, len, parts, &keys->auth_handle, tag, err);
}

static enum mikeyd_status sign_mac_two(const struct mikey_psk *psk, struct mikey_message_keys *keys,
                                       const struct mikey_mac_job two[2], struct error *err)
{
    struct token_message messages[2];
    if (keys->auth_len == 0)
        return error_set(err, MIKEYD_UNSUPPORTED, "no authentication key");
    for (size_t i = 0; i < 2; i++)
        messages[i] = (struct token_message){two[i].data, two[i].len, two[i].parts, two[i].tag};
    return token_hmac_two(psk->service, mikey_mac_hash(keys->what.mac), keys->auth, keys->auth_len,
                          messages, &keys->auth_handle, err);
}

static enum mikeyd_status sign_aes_cm(const struct mikey_psk *psk, struct mikey_message_keys *keys,
                                      const uint8_t iv[16], uint8_t *data, size_t len,
                                      struct error *err)
{
    return mikey_psk_by_hmac.aes_cm(psk, keys, iv, data, len, err);
}

static enum mikeyd_status sign_tgk(const struct mikey_psk *psk, const struct mikey_derivation *what,
                                   enum mikey_tgk_purpose purpose, struct mikey_message_keys *keys,
                                   uint8_t *tgk, size_t len, struct error *err)
{
    return mikey_psk_by_hmac.tgk(psk, what, purpose, keys, tgk, len, err);
}

static void sign_release(const struct mikey_psk *psk, struct mikey_message_keys *keys)
{
    if (keys->auth_handle != 0)
        token_object_destroy(psk->service, keys->auth_handle);
    keys->auth_handle = 0;
    mikey_psk_by_hmac.release(psk, keys);
}

const struct mikey_psk_ops keyholder_psk_sign = {
    .name = "sign",
    .derive = sign_derive,
    .extend = sign_extend,
    .mac = sign_mac,
    .mac_two = sign_mac_two,
    .aes_cm = sign_aes_cm,
    .tgk = sign_tgk,
    .release = sign_release,
};
