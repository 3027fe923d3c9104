/* An I_MESSAGE at the Responder: authenticate, then decrypt (RFC 3830 5.3). */
#include "base/secret.h"
#include "mikey/exchange.h"
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

static enum mikeyd_status check_message(const struct mikey_message *m, struct error *err)
{
    if (!mikey_is_init(m) || !m->has_kemac)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "not an I_MESSAGE");
    if (!known_algorithms(m)) {
        return error_set(err, MIKEYD_UNSUPPORTED,
                         "PRF %u, encryption %u and MAC %u are not an algorithm set", m->prf,
                         m->encryption, m->mac_alg);
    }
    if (m->mac_at > MIKEY_COVERED_MAX)
        return error_set(err, MIKEYD_UNSUPPORTED, "a message of more than %d bytes",
                         MIKEY_COVERED_MAX);
    if (m->encrypted_len > MIKEY_PLAIN_MAX)
        return error_set(err, MIKEYD_UNSUPPORTED, "more than %d bytes of key data",
                         MIKEY_PLAIN_MAX);
    return MIKEYD_OK;
}

enum mikeyd_status mikey_open_init(const struct mikey_message *m, const uint8_t *rand,
                                   size_t rand_len, const struct mikey_key *key,
                                   const struct mikey_covered *reply, struct mikey_plain *plain,
                                   struct mikey_key_data *out, size_t *count, uint8_t *v,
                                   uint8_t *psk_key, struct error *err)
{
    *count = 0;
    enum mikeyd_status status = check_message(m, err);
    if (status != MIKEYD_OK)
        return status;
    struct mikey_key_open job = {
        .what = {.prf = (enum mikey_prf)m->prf,
                 .csb_id = m->csb_id,
                 .rand = rand,
                 .rand_len = rand_len,
                 /* Nothing to decrypt: the authentication key is all that is needed. */
                 .encryption = m->encrypted_len == 0 ? MIKEY_ENCR_NULL : m->encryption,
                 .mac = m->mac_alg},
        .t = m->t.value,
        .covered = m->bytes,
        .covered_len = m->mac_at,
        .encrypted_at = m->encrypted_len == 0 ? 0 : (size_t)(m->encrypted - m->bytes),
        .encrypted_len = m->encrypted_len,
        .mac = &m->bytes[m->mac_at],
        .reply = reply,
        .purpose = mikey_message_method(m)->psk_key,
        .plain = plain->bytes,
        .v = v,
        .psk_key = psk_key,
    };
    status = key->ops->open(key, &job, err);
    if (status == MIKEYD_OK && job.plain_len != 0)
        status = mikey_parse_key_data(plain->bytes, job.plain_len, out, count, err);
    if (status != MIKEYD_OK) {
        *count = 0;
        secret_wipe(plain->bytes, m->encrypted_len);
        if (reply != NULL)
            secret_wipe(v, m->mac_len);
        if (job.purpose != MIKEY_TGK_NONE)
            secret_wipe(psk_key, MIKEY_PSK_KEY_LEN);
    }
    return status;
}
