/* An I_MESSAGE at the Responder: authenticate, then decrypt (RFC 3830 5.3). */
#include "base/secret.h"
#include "mikey/exchange.h"
#include "mikey/host_crypto.h"
#include "mikey/wire.h"

/*
 * RFC 6043 12.1: the algorithms of a set are not mixed with others. AES-KW-128 (RFC 3830 4.2.3) is
 * the only variation; NULL encryption or MAC is never accepted.
 */
static bool known_algorithms(const struct mikey_message *m)
{
    enum mikey_algorithms set;
    if (mikey_message_algorithms(m, &set))
        return true;
    return m->prf == MIKEY_PRF_1 && m->encryption == MIKEY_ENCR_AES_KW_128 &&
           m->mac_alg == MIKEY_MAC_SHA1;
}

enum mikeyd_status mikey_authenticate_init(const struct mikey_message *m, const uint8_t *rand,
                                           size_t rand_len, const struct mikey_psk *psk,
                                           struct mikey_message_keys *keys, struct error *err)
{
    if (m->type != MIKEY_TYPE_PSK_INIT || !m->has_kemac)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "not an I_MESSAGE");
    if (!known_algorithms(m)) {
        return error_set(err, MIKEYD_UNSUPPORTED,
                         "PRF %u, encryption %u and MAC %u are not an algorithm set", m->prf,
                         m->encryption, m->mac_alg);
    }
    const struct mikey_derivation what = {
        .prf = (enum mikey_prf)m->prf,
        .csb_id = m->csb_id,
        .rand = rand,
        .rand_len = rand_len,
        /* Nothing to decrypt: the authentication key is all that is needed. */
        .encryption = m->encrypted_len == 0 ? MIKEY_ENCR_NULL : m->encryption,
        .mac = m->mac_alg};
    enum mikeyd_status status = psk->ops->derive(psk, &what, keys, err);
    if (status != MIKEYD_OK)
        return status;
    uint8_t tag[HMAC_TAG_MAX];
    status = psk->ops->mac(psk, keys, &m->bytes, &m->mac_at, 1, tag, err);
    if (status == MIKEYD_OK && !secret_equal(tag, &m->bytes[m->mac_at], m->mac_len))
        status = error_set(err, MIKEYD_AUTH_FAILED, "the MAC of the I_MESSAGE is wrong");
    secret_wipe(tag, sizeof tag); /* of a forged message it would be the right MAC */
    if (status != MIKEYD_OK)
        psk->ops->release(psk, keys);
    return status;
}

static enum mikeyd_status decrypt_cm(const struct mikey_message *m, const struct mikey_psk *psk,
                                     struct mikey_message_keys *keys, uint8_t *plain,
                                     struct error *err)
{
    struct byte_writer w = writer_of(plain, m->encrypted_len);
    writer_bytes(&w, m->encrypted, m->encrypted_len);
    uint8_t iv[16];
    mikey_kemac_iv(keys->salt, m->csb_id, m->t.value, iv);
    enum mikeyd_status status = psk->ops->aes_cm(psk, keys, iv, plain, m->encrypted_len, err);
    secret_wipe(iv, sizeof iv);
    return status;
}

/* RFC 3830 4.2.3: RFC 3394 with the derived salt as initial value; only with the key at hand. */
static enum mikeyd_status decrypt_kw(const struct mikey_message *m,
                                     const struct mikey_message_keys *keys, uint8_t *plain,
                                     size_t *len, struct error *err)
{
    if (keys->encr_len != 16 || keys->salt_len != 8)
        return error_set(err, MIKEYD_UNSUPPORTED, "AES key wrap with a key inside the token");
    return host_aes_unwrap(keys->encr, keys->salt, m->encrypted, m->encrypted_len, plain, len, err);
}

enum mikeyd_status mikey_open_init(const struct mikey_message *m, const struct mikey_psk *psk,
                                   struct mikey_message_keys *keys, uint8_t *plain, size_t cap,
                                   struct mikey_key_data *out, size_t *count, struct error *err)
{
    *count = 0;
    if (m->encrypted_len == 0)
        return MIKEYD_OK; /* an update that keeps the keys */
    if (cap < m->encrypted_len)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "no room for the key data");
    size_t len = m->encrypted_len;
    enum mikeyd_status status;
    switch (m->encryption) {
    case MIKEY_ENCR_AES_CM_128:
    case MIKEY_ENCR_AES_CM_256:
        status = decrypt_cm(m, psk, keys, plain, err);
        break;
    case MIKEY_ENCR_AES_KW_128:
        status = decrypt_kw(m, keys, plain, &len, err);
        break;
    default:
        status = error_set(err, MIKEYD_UNSUPPORTED, "encryption algorithm %u", m->encryption);
    }
    if (status == MIKEYD_OK)
        status = mikey_parse_key_data(plain, len, out, count, err);
    if (status != MIKEYD_OK)
        secret_wipe(plain, m->encrypted_len);
    return status;
}
