/*
 * srtp-call: what an SBC does with libmikeyd, both ends in one process, and the proof that the keys
 * work.
 *
 *   srtp-call SOCKET FROM TO [PACKETS]
 *
 * Each end has a connection of its own. One stream each way; MIKEY messages pass from end to end as
 * an SBC would carry them in SDP. Then RTP packets are protected by libsrtp2 with one end's
 * exported keys and unprotected with the other's, and back. Exit 0 only if all held.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mikeyd/client.h>
#include <srtp2/srtp.h>

#define RTP_HEADER 12
#define PAYLOAD 160 /* 20 ms of G.711 */
#define PACKET_MAX (RTP_HEADER + PAYLOAD + SRTP_MAX_TRAILER_LEN)

static int failed(const char *what, const char *why)
{
    fprintf(stderr, "srtp-call: %s: %s\n", what, why);
    return -1;
}

static int set_suite(const char *suite, srtp_crypto_policy_t *policy)
{
    if (strcmp(suite, "AES_CM_128_HMAC_SHA1_80") == 0)
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(policy);
    else if (strcmp(suite, "AES_CM_128_HMAC_SHA1_32") == 0)
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(policy);
    else if (strcmp(suite, "AES_256_CM_HMAC_SHA1_80") == 0)
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(policy);
    else if (strcmp(suite, "AES_256_CM_HMAC_SHA1_32") == 0)
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32(policy);
    else if (strcmp(suite, "AEAD_AES_128_GCM") == 0)
        srtp_crypto_policy_set_aes_gcm_128_16_auth(policy);
    else if (strcmp(suite, "AEAD_AES_256_GCM") == 0)
        srtp_crypto_policy_set_aes_gcm_256_16_auth(policy);
    else
        return failed("suite", suite);
    return 0;
}

/* An SRTP session for one stream, as its sender or receiver has it. libsrtp copies the key. */
static int open_srtp(const struct mikeyd_srtp_key *key, srtp_t *out)
{
    uint8_t master[sizeof key->key + sizeof key->salt];
    srtp_policy_t policy = {.ssrc = {.type = ssrc_specific, .value = key->ssrc}, .key = master};
    if (set_suite(key->suite, &policy.rtp) != 0)
        return -1;
    policy.rtcp = policy.rtp;
    memcpy(master, key->key, key->key_len);
    memcpy(master + key->key_len, key->salt, key->salt_len);
    srtp_err_status_t result = srtp_create(out, &policy);
    explicit_bzero(master, sizeof master);
    return result == srtp_err_status_ok ? 0
                                        : failed("libsrtp2", "cannot make a session from the keys");
}

static int send_packets(const struct mikeyd_srtp_key *sender_key,
                        const struct mikeyd_srtp_key *receiver_key, unsigned packets)
{
    srtp_t sender = NULL, receiver = NULL;
    int result =
        open_srtp(sender_key, &sender) == 0 && open_srtp(receiver_key, &receiver) == 0 ? 0 : -1;
    for (unsigned i = 0; i < packets && result == 0; i++) {
        uint8_t packet[PACKET_MAX] = {0x80, 0}, clear[RTP_HEADER + PAYLOAD];
        uint16_t sequence = htons((uint16_t)(1000 + i));
        uint32_t timestamp = htonl(160 * i), ssrc = htonl(sender_key->ssrc);
        int len = RTP_HEADER + PAYLOAD;
        memcpy(packet + 2, &sequence, sizeof sequence);
        memcpy(packet + 4, &timestamp, sizeof timestamp);
        memcpy(packet + 8, &ssrc, sizeof ssrc);
        for (int k = 0; k < PAYLOAD; k++)
            packet[RTP_HEADER + k] = (uint8_t)(i + (unsigned)k);
        memcpy(clear, packet, sizeof clear);
        if (srtp_protect(sender, packet, &len) != srtp_err_status_ok)
            result = failed("protect", "libsrtp2 refused");
        else if (memcmp(packet + RTP_HEADER, clear + RTP_HEADER, PAYLOAD) == 0) /* public */
            result = failed("protect", "the payload is still in clear");
        else if (srtp_unprotect(receiver, packet, &len) != srtp_err_status_ok)
            result = failed("unprotect", "the other end's keys do not fit");
        else if (len != RTP_HEADER + PAYLOAD ||
                 memcmp(packet, clear, sizeof clear) != 0) /* public */
            result = failed("unprotect", "the payload changed");
    }
    if (sender != NULL)
        (void)srtp_dealloc(sender);
    if (receiver != NULL)
        (void)srtp_dealloc(receiver);
    return result;
}

static int use_keys(mikeyd_exchange *initiator, mikeyd_exchange *responder, unsigned packets)
{
    const struct mikeyd_srtp_key *a, *b;
    size_t count = mikeyd_exchange_keys(initiator, &a);
    if (count != 2 || mikeyd_exchange_keys(responder, &b) != count)
        return failed("keys", "the two ends have different numbers of streams");
    for (size_t i = 0; i < count; i++) {
        if (a[i].ssrc != b[i].ssrc || a[i].ssrc == 0 || strcmp(a[i].suite, b[i].suite) != 0)
            return failed("keys", "the two ends disagree about a stream");
        /* Crypto session 1 is sent by the initiator, 2 by the responder. */
        const struct mikeyd_srtp_key *sender = i == 0 ? &a[i] : &b[i],
                                     *receiver = i == 0 ? &b[i] : &a[i];
        if (send_packets(sender, receiver, packets) != 0)
            return -1;
        printf("stream %u: SSRC %08x, %s: %u SRTP packets protected by the %s, unprotected by the "
               "%s\n",
               a[i].cs, a[i].ssrc, a[i].suite, packets, i == 0 ? "initiator" : "responder",
               i == 0 ? "responder" : "initiator");
    }
    return 0;
}

static int call(mikeyd_client *a, mikeyd_client *b, const char *from, const char *to,
                unsigned packets)
{
    const struct mikeyd_stream streams[] = {{.ssrc = 0x1a2b3c4d, .suite = NULL},
                                            {.ssrc = 0, .suite = NULL}};
    struct mikeyd_offer offer = {
        .from = from, .to = to, .streams = streams, .stream_count = 2, .verify = true};
    mikeyd_exchange *offered = NULL, *answered = NULL, *confirmed = NULL;
    size_t message_len, ticket_len, reply_len;
    int result = -1;
    if (mikeyd_initiate(a, &offer, &offered) != MIKEYD_OK) {
        failed("initiate", mikeyd_client_error(a));
        goto out;
    }
    const uint8_t *message = mikeyd_exchange_message(offered, &message_len);
    const uint8_t *ticket = mikeyd_exchange_ticket(offered, &ticket_len);
    printf("initiate: %s -> %s, I_MESSAGE of %zu bytes, no key released yet\n", from, to,
           message_len);
    struct mikeyd_answer answer = {.as = to, .message = message, .message_len = message_len};
    if (mikeyd_respond(b, &answer, &answered) != MIKEYD_OK) {
        failed("respond", mikeyd_client_error(b));
        goto out;
    }
    const uint8_t *reply = mikeyd_exchange_message(answered, &reply_len);
    printf("respond:  R_MESSAGE of %zu bytes, keys released to %s\n", reply_len, to);
    if (mikeyd_confirm(a, ticket, ticket_len, reply, reply_len, &confirmed) != MIKEYD_OK) {
        failed("confirm", mikeyd_client_error(a));
        goto out;
    }
    printf("confirm:  %s verified, keys released to %s\n", to, from);
    result = use_keys(confirmed, answered, packets);
out:
    mikeyd_exchange_free(offered);
    mikeyd_exchange_free(answered);
    mikeyd_exchange_free(confirmed);
    return result;
}

int main(int argc, char **argv)
{
    if (argc < 4 || argc > 5) {
        fprintf(stderr, "usage: srtp-call SOCKET FROM TO [PACKETS]\n");
        return 1;
    }
    unsigned packets = argc == 5 ? (unsigned)strtoul(argv[4], NULL, 10) : 50;
    mikeyd_client *a = NULL, *b = NULL;
    int result = 1;
    if (srtp_init() != srtp_err_status_ok)
        failed("libsrtp2", "cannot be initialised");
    else if (mikeyd_client_open(argv[1], &a) != MIKEYD_OK ||
             mikeyd_client_open(argv[1], &b) != MIKEYD_OK)
        failed("connect", mikeyd_client_error(NULL));
    else
        result = call(a, b, argv[2], argv[3], packets) == 0 ? 0 : 1;
    mikeyd_client_close(a);
    mikeyd_client_close(b);
    (void)srtp_shutdown();
    return result;
}
