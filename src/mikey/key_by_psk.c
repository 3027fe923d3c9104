/*
 * The engine's calls on a pre-shared key that this process can compute with (RFC 3830 4.1.4, 4.2).
 * Message keys live in port->keys from derive to release, within one call.
 */
#include <string.h>

#include "base/secret.h"
#include "mikey/host_crypto.h"
#include "mikey/key.h"
#include "mikey/label.h"
#include "mikey/wire.h"

static const struct mikey_psk_port *port_of(const struct mikey_key *key)
{
    return key->port;
}

static enum mikeyd_status derive(const struct mikey_psk_port *port,
                                 const struct mikey_derivation *what, struct error *err)
{
    return port->psk.ops->derive(&port->psk, what, port->keys, err);
}

static void release(const struct mikey_psk_port *port)
{
    port->psk.ops->release(&port->psk, port->keys);
}

static enum mikeyd_status mac(const struct mikey_psk_port *port,
                              const struct mikey_covered *covered, uint8_t *tag, struct error *err)
{
    return port->psk.ops->mac(&port->psk, port->keys, covered->data, covered->len, covered->parts,
                              tag, err);
}

/* The lengths that follow from the algorithms of a message. */
static enum mikeyd_status mac_length(const struct mikey_derivation *what, size_t *len,
                                     struct error *err)
{
    if (!mikey_mac_len(what->mac, len) || *len == 0)
        return error_set(err, MIKEYD_UNSUPPORTED, "no MAC algorithm %u", what->mac);
    return MIKEYD_OK;
}

/* RFC 3830 4.2.3: AES-CM is its own inverse. */
static enum mikeyd_status aes_cm(const struct mikey_psk_port *port, uint32_t csb_id, uint64_t t,
                                 uint8_t *data, size_t len, struct error *err)
{
    uint8_t iv[16];
    mikey_kemac_iv(port->keys->salt, csb_id, t, iv);
    enum mikeyd_status status = port->psk.ops->aes_cm(&port->psk, port->keys, iv, data, len, err);
    secret_wipe(iv, sizeof iv); /* gives the salting key away */
    return status;
}

/* ---- seal */

/* Key data stands in clear in the scratch only, which is secure memory; the result need not be. */
static enum mikeyd_status encrypt(const struct mikey_psk_port *port, struct mikey_key_seal *job,
                                  struct error *err)
{
    if (job->plain_len == 0)
        return MIKEYD_OK;
    uint8_t *scratch = port->keys->scratch[0];
    memcpy(scratch, job->plain, job->plain_len);
    enum mikeyd_status status =
        aes_cm(port, job->what.csb_id, job->t, scratch, job->plain_len, err);
    if (status == MIKEYD_OK)
        memcpy(job->encrypted, scratch, job->plain_len);
    secret_wipe(scratch, job->plain_len);
    return status;
}

static enum mikeyd_status check_seal(const struct mikey_key_seal *job, size_t *mac_len,
                                     struct error *err)
{
    _Static_assert(MIKEY_PLAIN_MAX <= sizeof((struct mikey_message_keys *)0)->scratch,
                   "key data is encrypted in the scratch");
    const bool plain = job->plain_len != 0;
    if (job->plain_len > MIKEY_PLAIN_MAX || job->head_len > MIKEY_COVERED_MAX ||
        plain != (job->what.encryption != MIKEY_ENCR_NULL) ||
        (plain && job->what.encryption != MIKEY_ENCR_AES_CM_128 &&
         job->what.encryption != MIKEY_ENCR_AES_CM_256))
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "no such message to seal");
    return mac_length(&job->what, mac_len, err);
}

static enum mikeyd_status seal(const struct mikey_key *key, struct mikey_key_seal *job,
                               struct error *err)
{
    const struct mikey_psk_port *port = port_of(key);
    size_t mac_len;
    enum mikeyd_status status = check_seal(job, &mac_len, err);
    if (status == MIKEYD_OK)
        status = derive(port, &job->what, err);
    if (status != MIKEYD_OK)
        return status;
    status = encrypt(port, job, err);
    if (status == MIKEYD_OK) {
        /* RFC 3830 6.2: the MAC covers all from the version byte to Mac alg. */
        const uint8_t mac_alg = job->what.mac;
        const struct mikey_covered covered = {.data = {job->head, job->encrypted, &mac_alg},
                                              .len = {job->head_len, job->plain_len, 1},
                                              .parts = 3};
        status = mac(port, &covered, job->mac, err);
    }
    release(port);
    if (status != MIKEYD_OK) {
        secret_wipe(job->encrypted, job->plain_len);
        secret_wipe(job->mac, mac_len);
    }
    return status;
}

/* ---- keys that come out */

static enum mikeyd_status tgk(const struct mikey_key *key, const struct mikey_derivation *what,
                              enum mikey_tgk_purpose purpose, uint8_t *out, size_t len,
                              struct error *err)
{
    const struct mikey_psk_port *port = port_of(key);
    enum mikeyd_status status =
        port->psk.ops->tgk(&port->psk, what, purpose, port->keys, out, len, err);
    if (status != MIKEYD_OK)
        secret_wipe(out, len);
    return status;
}

/* ---- open */

static enum mikeyd_status check_open(const struct mikey_key_open *job, size_t *mac_len,
                                     struct error *err)
{
    if (job->covered_len > MIKEY_COVERED_MAX || job->encrypted_at > job->covered_len ||
        job->encrypted_len > job->covered_len - job->encrypted_at ||
        job->encrypted_len > MIKEY_PLAIN_MAX ||
        (job->encrypted_len == 0) != (job->what.encryption == MIKEY_ENCR_NULL))
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "no such message to open");
    return mac_length(&job->what, mac_len, err);
}

/* beside: V is computed, too; of a forged message it is for the caller to wipe. */
static enum mikeyd_status authenticate(const struct mikey_psk_port *port,
                                       const struct mikey_key_open *job, bool beside,
                                       size_t mac_len, struct error *err)
{
    const struct mikey_covered covered = {
        .data = {job->covered}, .len = {job->covered_len}, .parts = 1};
    const struct mikey_covered *reply = job->reply;
    uint8_t tag[HMAC_TAG_MAX];
    enum mikeyd_status status;
    if (beside) {
        const struct mikey_mac_job two[2] = {
            {covered.data, covered.len, covered.parts, tag},
            {reply->data, reply->len, reply->parts, job->v},
        };
        status = port->psk.ops->mac_two(&port->psk, port->keys, two, err);
    } else {
        status = mac(port, &covered, tag, err);
    }
    if (status == MIKEYD_OK && !secret_equal(tag, job->mac, mac_len))
        status = error_set(err, MIKEYD_AUTH_FAILED, "the MAC of the I_MESSAGE is wrong");
    secret_wipe(tag, sizeof tag); /* of a forged message it would be the right MAC */
    return status;
}

/* RFC 3830 4.2.3: RFC 3394 with the derived salt as initial value; only with the key at hand. */
static enum mikeyd_status unwrap(const struct mikey_message_keys *keys, struct mikey_key_open *job,
                                 struct error *err)
{
    if (keys->encr_len != 16 || keys->salt_len != 8)
        return error_set(err, MIKEYD_UNSUPPORTED, "AES key wrap with a key inside the token");
    return host_aes_unwrap(keys->encr, keys->salt, job->covered + job->encrypted_at,
                           job->encrypted_len, job->plain, &job->plain_len, err);
}

static enum mikeyd_status decrypt(const struct mikey_psk_port *port, struct mikey_key_open *job,
                                  struct error *err)
{
    if (job->encrypted_len == 0)
        return MIKEYD_OK;
    if (job->what.encryption == MIKEY_ENCR_AES_KW_128)
        return unwrap(port->keys, job, err);
    if (job->what.encryption != MIKEY_ENCR_AES_CM_128 &&
        job->what.encryption != MIKEY_ENCR_AES_CM_256)
        return error_set(err, MIKEYD_UNSUPPORTED, "encryption algorithm %u", job->what.encryption);
    memcpy(job->plain, job->covered + job->encrypted_at, job->encrypted_len);
    job->plain_len = job->encrypted_len;
    return aes_cm(port, job->what.csb_id, job->t, job->plain, job->plain_len, err);
}

/* Unless all keys come at once (psk.h), V and the keys to decrypt with are made for authentic
 * messages only. */
static enum mikeyd_status open_authentic(const struct mikey_psk_port *port,
                                         struct mikey_key_open *job, size_t mac_len,
                                         struct error *err)
{
    const bool beside =
        port->psk.keys_at_once && job->reply != NULL && port->psk.ops->mac_two != NULL;
    enum mikeyd_status status = authenticate(port, job, beside, mac_len, err);
    if (status == MIKEYD_OK && job->reply != NULL && !beside)
        status = mac(port, job->reply, job->v, err);
    if (status == MIKEYD_OK && !port->psk.keys_at_once && job->encrypted_len != 0) {
        status = port->psk.ops->extend(&port->psk, &job->what, port->keys, err);
        if (status != MIKEYD_OK)
            return status; /* released */
    }
    if (status == MIKEYD_OK)
        status = decrypt(port, job, err);
    return status;
}

static enum mikeyd_status open_kemac(const struct mikey_key *key, struct mikey_key_open *job,
                                     struct error *err)
{
    const struct mikey_psk_port *port = port_of(key);
    size_t mac_len;
    job->plain_len = 0;
    enum mikeyd_status status = check_open(job, &mac_len, err);
    struct mikey_derivation first = job->what;
    if (!port->psk.keys_at_once)
        first.encryption = MIKEY_ENCR_NULL;
    if (status == MIKEYD_OK)
        status = derive(port, &first, err);
    if (status != MIKEYD_OK)
        return status;
    status = open_authentic(port, job, mac_len, err);
    release(port);
    if (status == MIKEYD_OK && job->purpose != MIKEY_TGK_NONE)
        status = tgk(key, &job->what, job->purpose, job->psk_key, MIKEY_PSK_KEY_LEN, err);
    if (status != MIKEYD_OK) {
        if (job->encrypted_len != 0)
            secret_wipe(job->plain, job->encrypted_len);
        if (job->reply != NULL)
            secret_wipe(job->v, mac_len);
        if (job->purpose != MIKEY_TGK_NONE)
            secret_wipe(job->psk_key, MIKEY_PSK_KEY_LEN);
        job->plain_len = 0;
    }
    return status;
}

/* ---- V */

static enum mikeyd_status tag(const struct mikey_key *key, const struct mikey_key_tag *job,
                              uint8_t *out, struct error *err)
{
    const struct mikey_psk_port *port = port_of(key);
    size_t mac_len;
    if (job->what.encryption != MIKEY_ENCR_NULL)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "V needs the authentication key alone");
    enum mikeyd_status status = mac_length(&job->what, &mac_len, err);
    if (status == MIKEYD_OK)
        status = derive(port, &job->what, err);
    if (status != MIKEYD_OK)
        return status;
    status = mac(port, &job->covered, out, err);
    release(port);
    if (status != MIKEYD_OK)
        secret_wipe(out, mac_len);
    return status;
}

static enum mikeyd_status check(const struct mikey_key *key, const struct mikey_key_tag *job,
                                const uint8_t *given, struct error *err)
{
    uint8_t right[HMAC_TAG_MAX];
    size_t mac_len = 0;
    enum mikeyd_status status = tag(key, job, right, err);
    if (status == MIKEYD_OK)
        status = mac_length(&job->what, &mac_len, err);
    if (status == MIKEYD_OK && !secret_equal(right, given, mac_len))
        status = error_set(err, MIKEYD_AUTH_FAILED, "V of the answer is wrong");
    secret_wipe(right, sizeof right);
    return status;
}

const struct mikey_key_ops mikey_key_by_psk = {
    .seal = seal, .open = open_kemac, .tag = tag, .check = check, .tgk = tgk};
