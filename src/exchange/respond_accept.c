/* The second half of RFC 3830 5.3: what an authenticated I_MESSAGE asks for, held against policy.
 */
#include "exchange/respond.h"

#include <string.h>

#include "base/secret.h"
#include "mikey/sdp.h"

#define EXTENSION_SDP_IDS 1
#define TGK_MIN 16 /* RFC 3830 9.1: 128 bits */

/* ---- streams */

/* The suite of stream i. In an update an absent SP leaves the stream's policy as it was. */
static enum mikeyd_status stream_suite(struct exchange_worker *w, size_t i, struct error *err)
{
    const struct mikey_message *m = &w->call.message;
    enum srtp_suite *suite = &w->call.bundle.streams[i].suite;
    const struct mikey_sp *sp = mikey_find_sp(m, m->cs[i].policy);
    if (sp != NULL)
        return mikey_sp_suite(sp, suite, err);
    if (mikey_is_update(m) && *suite != SRTP_SUITE_COUNT)
        return MIKEYD_OK;
    /* RFC 3830 6.10.1 and RFC 3711 8.2 have defaults for every parameter, for none at all too. */
    if (m->sp_count == 0 && w->call.decision.interop.sp_optional) {
        *suite = SRTP_AES_CM_128_HMAC_SHA1_80;
        return MIKEYD_OK;
    }
    return error_set(
        err, MIKEYD_UNSUPPORTED, "stream %zu names security policy %u, which is absent%s", i + 1,
        m->cs[i].policy,
        m->sp_count == 0 ? " (a peer that has `interop: sp: optional` may leave it out)" : "");
}

static enum mikeyd_status accept_streams(struct exchange_worker *w, unsigned key_bits,
                                         struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    w->call.error_number = EXCHANGE_ERROR_SP_PARAMETER;
    for (size_t i = 0; i < w->call.bundle.stream_count && status == MIKEYD_OK; i++) {
        status = stream_suite(w, i, err);
        if (status == MIKEYD_OK)
            status = request_check_suite(w, w->call.bundle.streams[i].suite, key_bits, err);
    }
    if (status == MIKEYD_OK)
        w->call.error_number = EXCHANGE_ERROR_UNSPECIFIED;
    return status;
}

/* ---- key data */

static bool same_ssrcs(const struct bundle *b)
{
    for (size_t i = 0; i < b->stream_count; i++) {
        for (size_t j = i + 1; j < b->stream_count; j++) {
            if (b->streams[i].ssrc == b->streams[j].ssrc)
                return true;
        }
    }
    return false;
}

/* One length policy for both ends: a TGK as strong as the longest session key made from it; a TEK
 * is the session key of every stream. */
static enum mikeyd_status check_key_length(const struct bundle *b, const struct mikey_key_data *key,
                                           struct error *err)
{
    bool tek = key->type == MIKEY_KEY_TEK || key->type == MIKEY_KEY_TEK_SALT;
    for (size_t i = 0; i < b->stream_count; i++) {
        size_t needed = srtp_suite_info(b->streams[i].suite)->key_len;
        if (!tek && needed < TGK_MIN)
            needed = TGK_MIN;
        if (tek ? key->key_len != needed : key->key_len < needed) {
            return error_set(err, MIKEYD_UNSUPPORTED, "a %s of %zu bytes does not fit suite %s",
                             tek ? "TEK" : "TGK", key->key_len,
                             srtp_suite_info(b->streams[i].suite)->name);
        }
    }
    /* RFC 3711 9.1: one master key for several streams only while their SSRCs differ, or their key
     * streams are the same. */
    if (tek && same_ssrcs(b))
        return error_set(err, MIKEYD_UNSUPPORTED, "one TEK for two streams of the same SSRC");
    return MIKEYD_OK;
}

static enum mikeyd_status check_key_form(const struct mikey_key_data *key, struct error *err)
{
    if (key->type > MIKEY_KEY_TEK_SALT)
        return error_set(err, MIKEYD_UNSUPPORTED, "key data type %u is not for pre-shared keys",
                         key->type);
    if (key->kv == MIKEY_KV_INTERVAL)
        return error_set(err, MIKEYD_UNSUPPORTED,
                         "keys bound to an index interval are not offered here");
    if (key->key_len > BUNDLE_TGK_MAX || key->salt_len > BUNDLE_SALT_MAX ||
        key->spi_len > BUNDLE_MKI_MAX)
        return error_set(err, MIKEYD_UNSUPPORTED, "key data longer than accepted here");
    return MIKEYD_OK;
}

static bool same_secret(const struct bundle_key *old, const struct mikey_key_data *key)
{
    return old->type == key->type && old->key_len == key->key_len &&
           old->salt_len == key->salt_len && secret_equal(old->key, key->key, key->key_len) &&
           (key->salt_len == 0 || secret_equal(old->salt, key->salt, key->salt_len));
}

/*
 * RFC 3711 3.2.1: presence and length of the MKI are fixed for the life of a context; one that had
 * none may begin anew with one, which RFC 3830 4.5 wants for updates of several streams. A.1: each
 * key has an MKI of its own, or the switch from one to the next cannot be seen.
 */
static enum mikeyd_status check_mki(const struct bundle_keys *old, const struct mikey_key_data *key,
                                    struct error *err)
{
    const size_t len = key->kv == MIKEY_KV_SPI ? key->spi_len : 0;
    if (old->mki_len == 0)
        return MIKEYD_OK;
    if (len != old->mki_len)
        return error_set(err, MIKEYD_UNSUPPORTED, "the update changes the MKI's length");
    for (size_t i = 0; i < old->count; i++) {
        if (memcmp(old->key[i].mki, key->spi, len) == 0 /* public */ &&
            !same_secret(&old->key[i], key))
            return error_set(err, MIKEYD_UNSUPPORTED,
                             "the update brings a new key under the MKI of the old one (RFC 3830 "
                             "A.1)");
    }
    return MIKEYD_OK;
}

static void take_key(const struct mikey_key_data *from, struct bundle_key *key)
{
    key->type = from->type;
    key->key_len = from->key_len;
    memcpy(key->key, from->key, from->key_len);
    key->salt_len = from->salt_len;
    if (from->salt_len != 0)
        memcpy(key->salt, from->salt, from->salt_len);
    if (from->kv == MIKEY_KV_SPI)
        memcpy(key->mki, from->spi, from->spi_len);
}

static enum mikeyd_status check_key_lengths(const struct exchange_worker *w, struct error *err)
{
    const struct bundle_keys *keys = &w->secrets->keys;
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0; i < keys->count && status == MIKEYD_OK; i++) {
        const struct mikey_key_data key = bundle_key_view(keys, i);
        status = check_key_length(&w->call.bundle, &key, err);
    }
    return status;
}

/*
 * The keys of a message take the place of those that the bundle had. Several have distinct MKIs of
 * one length, or the parser would have refused them.
 */
static enum mikeyd_status take_keys(struct exchange_worker *w, const struct mikey_key_data *from,
                                    size_t count, struct error *err)
{
    struct bundle_keys *keys = &w->secrets->keys;
    if (count > BUNDLE_KEYS_MAX)
        return error_set(err, MIKEYD_UNSUPPORTED, "%zu keys in one message, at most %d are taken",
                         count, BUNDLE_KEYS_MAX);
    for (size_t i = 0; i < count; i++) {
        enum mikeyd_status status = check_key_form(&from[i], err);
        if (status == MIKEYD_OK)
            status = check_mki(keys, &from[i], err);
        if (status != MIKEYD_OK)
            return status;
    }
    secret_wipe(keys, sizeof *keys);
    keys->count = count;
    keys->mki_len = from[0].kv == MIKEY_KV_SPI ? from[0].spi_len : 0;
    for (size_t i = 0; i < count; i++)
        take_key(&from[i], &keys->key[i]);
    return MIKEYD_OK;
}

/* The initiator's value, with the MKI of the key that comes of it. */
static enum mikeyd_status accept_value(struct exchange_worker *w, struct error *err)
{
    const struct mikey_dh *theirs = &w->call.message.dh[0];
    struct bundle_keys *keys = &w->secrets->keys;
    const struct mikey_key_data to_come = {.type = MIKEY_KEY_TGK,
                                           .kv =
                                               theirs->spi_len != 0 ? MIKEY_KV_SPI : MIKEY_KV_NULL,
                                           .spi = theirs->spi,
                                           .spi_len = theirs->spi_len};
    enum mikeyd_status status = check_mki(keys, &to_come, err);
    if (status != MIKEYD_OK)
        return status;
    secret_wipe(keys->key, sizeof keys->key);
    keys->mki_len = theirs->spi_len;
    if (theirs->spi_len != 0)
        memcpy(keys->key[0].mki, theirs->spi, theirs->spi_len);
    return values_agree(w, theirs, false, err);
}

static enum mikeyd_status accept_keys(struct exchange_worker *w,
                                      const struct respond_opened *opened, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    if (w->call.message.dh_count != 0)
        status = accept_value(w, err);
    else if (w->call.method->tgk != NULL)
        status = request_compute_tgk(w, &opened->key, err);
    /* An update without a key or a value keeps those of the ticket and changes the rest (RFC 3830
     * 4.5, RFC 4650 3.1); in a first message the parser has refused that. */
    else if (opened->count != 0)
        status = take_keys(w, opened->data, opened->count, err);
    return status == MIKEYD_OK ? check_key_lengths(w, err) : status;
}

/* ---- bidding down */

/* The list of the message, which is authentic by now; NULL: it has none. */
static const struct mikey_extension *find_sdp_ids(const struct mikey_message *m)
{
    for (size_t i = 0; i < m->extension_count; i++) {
        if (m->extension[i].type == EXTENSION_SDP_IDS)
            return &m->extension[i];
    }
    return NULL;
}

/*
 * RFC 4567 4.1.4: somebody on the way could take the lines of other protocols out of the offer, to
 * be left with the one that he can break. What the offer says is held against what the initiator
 * says under the MAC. A peer that is allowed not to say it can only be believed about MIKEY alone:
 * of other protocols nobody knows whether they were all.
 */
static enum mikeyd_status check_sdp_ids(const struct exchange_worker *w, struct error *err)
{
    const char *offered = request_protocols(w->call.request);
    if (offered == NULL)
        return MIKEYD_OK;
    const struct mikey_extension *ids = find_sdp_ids(&w->call.message);
    if (ids != NULL &&
        (ids->len != strlen(offered) || memcmp(ids->data, offered, ids->len) != 0)) /* public */
        return error_set(err, MIKEYD_POLICY,
                         "the protocols in SDP (%s) differ from those the initiator offered (RFC "
                         "4567 4.1.4)",
                         offered);
    if (ids != NULL ||
        (w->call.decision.interop.sdp_ids_optional && strcmp(offered, MIKEY_SDP_ALONE) == 0))
        return MIKEYD_OK;
    return error_set(err, MIKEYD_POLICY,
                     "the message does not name the protocols of the SDP offer (RFC 4567 4.1.4)");
}

enum mikeyd_status respond_accept(struct exchange_worker *w, const struct respond_opened *opened,
                                  unsigned key_bits, struct error *err)
{
    enum mikeyd_status status = accept_streams(w, key_bits, err);
    if (status == MIKEYD_OK)
        status = accept_keys(w, opened, err);
    if (status == MIKEYD_OK && w->call.decision.verification_required && !w->call.message.v)
        status = error_set(err, MIKEYD_POLICY,
                           "the policy requires a verification message, the initiator wants none");
    if (status == MIKEYD_OK)
        status = check_sdp_ids(w, err);
    return status;
}
