#include "media.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define FIRST_SEQUENCE 65400u /* the rollover counter moves on early in the call */

int demo_failed(const char *what, const char *why)
{
    fprintf(stderr, "call-end: %s: %s\n", what, why);
    return -1;
}

/* What follows the MKI in a packet: the tag, which AEAD suites have before it (RFC 7714 8). */
static int set_suite(const char *suite, srtp_crypto_policy_t *policy, int *behind_mki)
{
    *behind_mki = 10;
    if (strcmp(suite, "AES_CM_128_HMAC_SHA1_80") == 0)
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(policy);
    else if (strcmp(suite, "AES_256_CM_HMAC_SHA1_80") == 0)
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(policy);
    else if (strcmp(suite, "AEAD_AES_256_GCM") == 0)
        srtp_crypto_policy_set_aes_gcm_256_16_auth(policy);
    else
        return demo_failed("suite", suite);
    if (strncmp(suite, "AEAD", 4) == 0)
        *behind_mki = 0;
    return 0;
}

/* The stream with the keys as they are now; sequence numbers and replay list go on. */
static int set_keys(struct media *media)
{
    uint8_t master[MEDIA_KEYS][sizeof media->keys[0].key + sizeof media->keys[0].salt];
    srtp_master_key_t keys[MEDIA_KEYS], *list[MEDIA_KEYS];
    srtp_policy_t policy = {.ssrc = {.type = ssrc_specific, .value = media->keys[0].ssrc},
                            .keys = list,
                            .num_master_keys = media->count};
    int behind;
    if (set_suite(media->keys[0].suite, &policy.rtp, &behind) != 0)
        return -1;
    policy.rtcp = policy.rtp;
    for (unsigned i = 0; i < media->count; i++) {
        struct mikeyd_srtp_key *key = &media->keys[i];
        memcpy(master[i], key->key, key->key_len);
        memcpy(master[i] + key->key_len, key->salt, key->salt_len);
        keys[i] =
            (srtp_master_key_t){.key = master[i], .mki_id = key->mki, .mki_size = key->mki_len};
        list[i] = &keys[i];
    }
    const srtp_err_status_t result = media->srtp == NULL ? srtp_create(&media->srtp, &policy)
                                                         : srtp_update(media->srtp, &policy);
    explicit_bzero(master, sizeof master);
    return result == srtp_err_status_ok ? 0 : demo_failed("libsrtp2", "does not take the keys");
}

/* The name of the suite belongs to the exchange, which may go before the key does. */
static void put_first(struct media *media, const struct mikeyd_srtp_key *key)
{
    (void)snprintf(media->suite, sizeof media->suite, "%s", key->suite);
    media->keys[0] = *key;
    media->keys[0].suite = media->suite;
}

int media_use_key(struct media *media, const struct mikeyd_srtp_key *key)
{
    put_first(media, key);
    media->count = 1;
    return set_keys(media);
}

bool media_uses_key(const struct media *media, const struct mikeyd_srtp_key *key)
{
    return media->count != 0 && media->keys[0].mki_len == key->mki_len &&
           memcmp(media->keys[0].mki, key->mki, key->mki_len) == 0; /* public */
}

int media_add_key(struct media *media, const struct mikeyd_srtp_key *key)
{
    if (media->count != 0)
        media->keys[1] = media->keys[0];
    put_first(media, key);
    media->count = media->count == 0 ? 1 : MEDIA_KEYS;
    return set_keys(media);
}

static void make_packet(const struct media *media, uint8_t packet[MEDIA_CLEAR])
{
    const uint16_t sequence = htons((uint16_t)(FIRST_SEQUENCE + media->packets));
    const uint32_t timestamp = htonl(160 * media->packets), ssrc = htonl(media->keys[0].ssrc);
    memset(packet, 0, MEDIA_HEADER);
    packet[0] = 0x80;
    memcpy(packet + 2, &sequence, sizeof sequence);
    memcpy(packet + 4, &timestamp, sizeof timestamp);
    memcpy(packet + 8, &ssrc, sizeof ssrc);
    for (unsigned i = 0; i < MEDIA_PAYLOAD; i++)
        packet[MEDIA_HEADER + i] = (uint8_t)(media->packets + i);
}

uint32_t media_roc(const struct media *media)
{
    return (FIRST_SEQUENCE + media->packets) >> 16;
}

int media_protect(struct media *media, uint8_t *packet, int *len)
{
    make_packet(media, packet);
    *len = MEDIA_CLEAR;
    if (srtp_protect_mki(media->srtp, packet, len, media->keys[0].mki_len != 0, 0) !=
        srtp_err_status_ok)
        return demo_failed("protect", "libsrtp2 refused");
    media->packets++;
    return 0;
}

int media_unprotect(struct media *media, uint8_t *packet, int len, bool *newest)
{
    uint8_t expected[MEDIA_CLEAR];
    const struct mikeyd_srtp_key *key = &media->keys[0];
    srtp_crypto_policy_t unused;
    int behind;
    if (set_suite(key->suite, &unused, &behind) != 0)
        return -1;
    const int mki_at = len - behind - key->mki_len;
    *newest = mki_at > 0 && memcmp(packet + mki_at, key->mki, key->mki_len) == 0; /* public */
    make_packet(media, expected);
    if (srtp_unprotect_mki(media->srtp, packet, &len, key->mki_len != 0) != srtp_err_status_ok)
        return demo_failed("unprotect", "no key of this end fits the packet");
    if (len != MEDIA_CLEAR || memcmp(packet, expected, MEDIA_CLEAR) != 0) /* public */
        return demo_failed("unprotect", "not the packet that comes next: one was lost");
    media->packets++;
    return 0;
}

void media_close(struct media *media)
{
    if (media->srtp != NULL)
        (void)srtp_dealloc(media->srtp);
    explicit_bzero(media, sizeof *media);
}
