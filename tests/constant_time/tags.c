/* MAC of an I_MESSAGE and V: the pre-shared key is secret, and so is all that follows from it. */
#include <string.h>

#include "base/secret.h"
#include "mikey/key.h"
#include "mikey/wire.h"
#include "secrets.h"

#define PSK_LEN 48 /* two blocks */
#define HEAD 60
#define PLAIN 40

struct message {
    uint8_t covered[HEAD + PLAIN + 1]; /* head, encrypted key data, Mac alg */
    uint8_t mac[HMAC_TAG_MAX], v[HMAC_TAG_MAX];
    size_t mac_len;
};

static const uint8_t rand_bytes[16] = {0xa0, 0xa1, 0xa2};
static const uint8_t answer[50] = {1, 2, 3};
static uint8_t *plain, *opened;

static void seal(const struct mikey_key *key, const struct mikey_derivation *what,
                 struct message *message)
{
    struct error err = {0};
    for (size_t i = 0; i < HEAD; i++)
        message->covered[i] = (uint8_t)i;
    struct mikey_key_seal job = {.what = *what,
                                 .t = 77,
                                 .head = message->covered,
                                 .head_len = HEAD,
                                 .plain = plain,
                                 .plain_len = PLAIN,
                                 .encrypted = message->covered + HEAD,
                                 .mac = message->mac};
    MUST(key->ops->seal(key, &job, &err) == MIKEYD_OK);
    message->covered[HEAD + PLAIN] = what->mac;
    message->mac_len = what->mac == MIKEY_MAC_SHA1 ? 20 : 32;
    mark_public(message->covered, sizeof message->covered); /* it goes out */
    mark_public(message->mac, sizeof message->mac);
}

static enum mikeyd_status open_message(const struct mikey_key *key,
                                       const struct mikey_derivation *what, struct message *message)
{
    struct error err = {0};
    const struct mikey_covered reply = {.data = {answer}, .len = {sizeof answer}, .parts = 1};
    struct mikey_key_open job = {.what = *what,
                                 .t = 77,
                                 .covered = message->covered,
                                 .covered_len = sizeof message->covered,
                                 .encrypted_at = HEAD,
                                 .encrypted_len = PLAIN,
                                 .mac = message->mac,
                                 .reply = &reply,
                                 .plain = opened,
                                 .v = message->v};
    enum mikeyd_status status = key->ops->open(key, &job, &err);
    MUST(take_comparisons() == 1);
    return status;
}

static enum mikeyd_status check_v(const struct mikey_key *key, const struct mikey_derivation *what,
                                  const uint8_t *v)
{
    struct error err = {0};
    struct mikey_key_tag job = {.what = *what,
                                .covered = {.data = {answer}, .len = {sizeof answer}, .parts = 1}};
    job.what.encryption = MIKEY_ENCR_NULL;
    enum mikeyd_status status = key->ops->check(key, &job, v, &err);
    MUST(take_comparisons() == 1);
    return status;
}

static void exchange(const struct mikey_key *key, const struct mikey_derivation *what)
{
    struct message message;
    seal(key, what, &message);
    MUST(open_message(key, what, &message) == MIKEYD_OK);
    mark_public(message.v, sizeof message.v); /* it goes out */
    mark_public(opened, PLAIN);
    mark_public(plain, PLAIN);
    MUST(memcmp(opened, plain, PLAIN) == 0);
    mark_secret(plain, PLAIN);
    MUST(check_v(key, what, message.v) == MIKEYD_OK);
    for (size_t i = 0; i < message.mac_len; i += message.mac_len - 1) {
        message.mac[i] ^= 1;
        message.v[i] ^= 1;
        MUST(check_v(key, what, message.v) == MIKEYD_AUTH_FAILED);
        struct message forged = message;
        MUST(open_message(key, what, &forged) == MIKEYD_AUTH_FAILED);
        message.mac[i] ^= 1;
        message.v[i] ^= 1;
    }
}

void check_tags(void)
{
    static const struct mikey_derivation sets[] = {{.prf = MIKEY_PRF_1,
                                                    .csb_id = 5,
                                                    .rand = rand_bytes,
                                                    .rand_len = sizeof rand_bytes,
                                                    .encryption = MIKEY_ENCR_AES_CM_128,
                                                    .mac = MIKEY_MAC_SHA1},
                                                   {.prf = MIKEY_PRF_HMAC_SHA256,
                                                    .csb_id = 5,
                                                    .rand = rand_bytes,
                                                    .rand_len = sizeof rand_bytes,
                                                    .encryption = MIKEY_ENCR_AES_CM_256,
                                                    .mac = MIKEY_MAC_SHA256}};
    struct error err = {0};
    struct mikey_psk_port port = {.keys = secret_alloc(sizeof *port.keys)};
    const struct mikey_key key = {.ops = &mikey_key_by_psk, .port = &port};
    uint8_t *psk = secret_alloc(PSK_LEN);
    plain = secret_alloc(PLAIN);
    opened = secret_alloc(PLAIN);
    MUST(port.keys != NULL && psk != NULL && plain != NULL && opened != NULL);
    memset(psk, 0x42, PSK_LEN);
    memset(plain, 0x17, PLAIN);
    mark_secret(psk, PSK_LEN);
    mark_secret(plain, PLAIN);
    MUST(mikey_host_psk(psk, PSK_LEN, &port.psk, &err) == MIKEYD_OK);
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        for (int at_once = 0; at_once <= 1; at_once++) {
            port.psk.keys_at_once = at_once != 0;
            exchange(&key, &sets[i]);
        }
    }
    mikey_host_psk_clear(&port.psk);
    secret_release(psk, PSK_LEN);
    secret_release(plain, PLAIN);
    secret_release(opened, PLAIN);
    secret_release(port.keys, sizeof *port.keys);
}
