/*
 * From the keys of an exchange to libsrtp2: header only, so libmikeyd itself does not need libsrtp2.
 *
 *   struct mikeyd_srtp_policy policy;
 *   mikeyd_srtp_policy_make(&policy, &key, NULL)   or (&policy, &new_key, &old_key) in a change of keys
 *   srtp_create(&session, &policy.srtp)            or srtp_update(session, &policy.srtp)
 *   mikeyd_srtp_policy_wipe(&policy)               libsrtp2 has its own copy
 *   srtp_set_stream_roc(session, key.ssrc, key.roc)     only for a new session, where roc is not 0
 *
 * One session serves one stream in one direction: sender and receiver of a call have different keys.
 * With an MKI (key.mki_len is not 0) packets go through srtp_protect_mki() and srtp_unprotect_mki().
 */
#ifndef MIKEYD_LIBSRTP_H
#define MIKEYD_LIBSRTP_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <mikeyd/client.h>
#include <srtp2/srtp.h>

#define MIKEYD_SRTP_KEYS 2 /* the newest, and the one before it */

/* Holds keys: wipe it. Do not copy or move it, it points into itself. */
struct mikeyd_srtp_policy {
    srtp_policy_t srtp;
    srtp_master_key_t keys[MIKEYD_SRTP_KEYS];
    srtp_master_key_t *list[MIKEYD_SRTP_KEYS];
    unsigned char master[MIKEYD_SRTP_KEYS][32 + 14];
};

/* Sets what libsrtp2 calls crypto policies; false for a suite that this header does not know. */
static inline bool mikeyd_srtp_suite(const char *suite, srtp_crypto_policy_t *rtp,
                                     srtp_crypto_policy_t *rtcp)
{
    if (strcmp(suite, "AEAD_AES_256_GCM") == 0) {
        srtp_crypto_policy_set_aes_gcm_256_16_auth(rtp);
        srtp_crypto_policy_set_aes_gcm_256_16_auth(rtcp);
    } else if (strcmp(suite, "AEAD_AES_128_GCM") == 0) {
        srtp_crypto_policy_set_aes_gcm_128_16_auth(rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(rtcp);
    } else if (strncmp(suite, "AES_256_CM_HMAC_SHA1_", 21) == 0) {
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(rtp);
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(rtcp);
        if (strcmp(suite + 21, "32") == 0) /* RFC 3711 5.2: SRTCP keeps 80 bits */
            srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32(rtp);
        else if (strcmp(suite + 21, "80") != 0)
            return false;
    } else if (strncmp(suite, "AES_CM_128_HMAC_SHA1_", 21) == 0) {
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(rtp);
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(rtcp);
        if (strcmp(suite + 21, "32") == 0)
            srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(rtp);
        else if (strcmp(suite + 21, "80") != 0)
            return false;
    } else {
        return false;
    }
    return true;
}

/* The compiler must not drop this as a write to memory that nobody reads. */
static inline void mikeyd_srtp_policy_wipe(struct mikeyd_srtp_policy *policy)
{
    volatile unsigned char *bytes = (volatile unsigned char *)policy;
    for (size_t i = 0; i < sizeof *policy; i++)
        bytes[i] = 0;
}

/*
 * One stream by its newest key, and by the one before as well when old is not NULL: both of one SSRC,
 * one suite and with MKIs of one length, which must differ (RFC 3711 3.2.1). The two keys may go after
 * srtp_create(); until then the MKIs inside them are used where they stand. MIKEYD_INVALID_ARGUMENT,
 * and *out is zeroed, when the keys do not fit together; MIKEYD_UNSUPPORTED for an unknown suite.
 */
static inline enum mikeyd_status mikeyd_srtp_policy_make(struct mikeyd_srtp_policy *out,
                                                         const struct mikeyd_srtp_key *newest,
                                                         const struct mikeyd_srtp_key *old)
{
    const struct mikeyd_srtp_key *const from[MIKEYD_SRTP_KEYS] = {newest, old};
    const unsigned count = old != NULL ? 2 : 1;
    memset(out, 0, sizeof *out);
    if (old != NULL && (old->ssrc != newest->ssrc || strcmp(old->suite, newest->suite) != 0 ||
                        newest->mki_len == 0 || old->mki_len != newest->mki_len ||
                        memcmp(old->mki, newest->mki, newest->mki_len) == 0)) /* public */
        return MIKEYD_INVALID_ARGUMENT;
    for (unsigned i = 0; i < count; i++) {
        if (from[i]->key_len > sizeof from[i]->key || from[i]->salt_len > sizeof from[i]->salt) {
            mikeyd_srtp_policy_wipe(out);
            return MIKEYD_INVALID_ARGUMENT;
        }
        memcpy(out->master[i], from[i]->key, from[i]->key_len);
        memcpy(out->master[i] + from[i]->key_len, from[i]->salt, from[i]->salt_len);
        out->keys[i].key = out->master[i];
        out->keys[i].mki_id = (unsigned char *)(uintptr_t)from[i]->mki; /* libsrtp2 only reads */
        out->keys[i].mki_size = from[i]->mki_len;
        out->list[i] = &out->keys[i];
    }
    out->srtp.ssrc.type = ssrc_specific;
    out->srtp.ssrc.value = newest->ssrc;
    out->srtp.keys = out->list;
    out->srtp.num_master_keys = count;
    if (!mikeyd_srtp_suite(newest->suite, &out->srtp.rtp, &out->srtp.rtcp)) {
        mikeyd_srtp_policy_wipe(out);
        return MIKEYD_UNSUPPORTED;
    }
    return MIKEYD_OK;
}

/*
 * Was this SRTP packet protected under the key, as far as its MKI says? Ask before it is unprotected,
 * which takes the MKI away, and believe it only once the packet was authentic.
 */
static inline bool mikeyd_srtp_packet_names(const struct mikeyd_srtp_key *key,
                                            const unsigned char *packet, size_t len)
{
    srtp_crypto_policy_t rtp, rtcp;
    if (key->mki_len == 0 || !mikeyd_srtp_suite(key->suite, &rtp, &rtcp))
        return false;
    /* The MKI stands before the tag of HMAC-SHA1 (RFC 3711 3.1), and behind that of AEAD (RFC 7714 8). */
    const size_t behind = strncmp(key->suite, "AEAD", 4) == 0 ? 0 : (size_t)rtp.auth_tag_len;
    if (len < behind + key->mki_len)
        return false;
    return memcmp(packet + len - behind - key->mki_len, key->mki, key->mki_len) == 0; /* public */
}

#endif
