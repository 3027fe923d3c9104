/*
 * How the engine computes with a pre-shared key it never sees (RFC 3830 4.1.2, 4.1.4, 4.2).
 *
 * Two layers, both const vtables:
 *   mikey_hmac_ops  an HMAC service keyed by reference, batched. Unit tests use OpenSSL
 * (mikey_host_hmac), the daemon a token session. mikey_psk_ops   "make the three message keys, MAC
 * with one, encrypt with one". mikey_psk_by_hmac runs the PRF as HMAC calls over the first layer
 * (strategy "sign"); the daemon has another that stays in the token (strategy "derive").
 */
#ifndef MIKEY_PSK_H
#define MIKEY_PSK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hmac.h"

/* PRF func of HDR: 0 MIKEY-1 (RFC 3830 4.1.2), 1 PRF-HMAC-SHA-256 (RFC 6043 6.1). */
enum mikey_prf { MIKEY_PRF_1 = 0, MIKEY_PRF_HMAC_SHA256 = 1 };

struct mikey_hmac_ops {
    /* Runs all jobs; jobs of one batch do not depend on each other. Nothing of a failed batch is
     * used. */
    enum mikeyd_status (*hmac_batch)(void *service, struct hmac_job *jobs, size_t count,
                                     struct error *err);
    /*
     * HMAC under a key given in clear: the message's authentication key for the MAC of KEMAC and V.
     * The daemon computes it on the token (policy `mac: token`) or by OpenSSL (`mac: host`).
     */
    enum mikeyd_status (*hmac_message)(void *service, enum hmac_hash hash, const uint8_t *key,
                                       size_t key_len, const uint8_t *const data[],
                                       const size_t len[], size_t parts, uint8_t *tag,
                                       struct error *err);
};

/* A PSK splits into 32-byte blocks (RFC 3830 4.1.2); each is a key of its own for the service. */
#define MIKEY_PSK_BLOCKS_MAX 8

/*
 * What the message keys depend on. rand is the RAND as transported; of an update, the RAND of the
 * first message. Encr alg 0 means that no encryption and salting key is wanted: the engine asks so
 * for an R_MESSAGE to verify and for an update without keys, where the authentication key is all it
 * needs (2 HMACs instead of 6).
 */
struct mikey_derivation {
    enum mikey_prf prf;
    uint32_t csb_id;
    const uint8_t *rand;
    size_t rand_len;
    uint8_t encryption; /* KEMAC Encr alg: 0 NULL, 1 AES-CM-128, 2 AES-KW-128, 3 AES-CM-256 */
    uint8_t mac;        /* Mac alg: 1 HMAC-SHA-1-160, 2 HMAC-SHA-256-256 */
};

/*
 * The message keys of one exchange. Lives in the secure heap; one per worker, wiped by ops->release
 * after each message. With strategy "derive" encr and auth stay in the token and only the handles
 * are set. A strategy's derive sets `what` (the engine reads what.mac back) and drops what.rand,
 * which is a view of a message that may go before the keys do.
 */
struct mikey_message_keys {
    struct mikey_derivation what;
    uint8_t salt[14];
    uint8_t salt_len;
    uint8_t encr[32];
    uint8_t encr_len;
    uint8_t auth[32];
    uint8_t auth_len;
    /* PRF intermediate values; afterwards key data on its way to being encrypted. */
    uint8_t scratch[MIKEY_PSK_BLOCKS_MAX * 3 * 4][HMAC_TAG_MAX];
    unsigned long encr_handle, auth_handle;
};

/* What a key is for that comes out of the pre-shared key into the host: each has a label of its
 * own, chosen where the key is held. */
enum mikey_tgk_purpose {
    MIKEY_TGK_NONE = 0,
    MIKEY_TGK_DERIVED = 1, /* policy `tgk: derived`: 16 bytes (mikey-1) or 32 */
    MIKEY_TGK_DHE = 2      /* K_psk of method psk-dhe: MIKEY_PSK_KEY_LEN bytes */
};
#define MIKEY_PSK_KEY_LEN 32

/* What a MAC is over, the parts concatenated; tag: 20 or 32 bytes. */
struct mikey_mac_job {
    const uint8_t *const *data;
    const size_t *len;
    size_t parts;
    uint8_t *tag;
};

struct mikey_psk;

struct mikey_psk_ops {
    const char *name; /* "sign" or "derive", for status and audit */
    enum mikeyd_status (*derive)(const struct mikey_psk *psk, const struct mikey_derivation *what,
                                 struct mikey_message_keys *keys, struct error *err);
    /*
     * After a derive with Encr alg 0: the encryption and the salting key of what->encryption as
     * well, everything else of *what as before. On failure keys are released.
     */
    enum mikeyd_status (*extend)(const struct mikey_psk *psk, const struct mikey_derivation *what,
                                 struct mikey_message_keys *keys, struct error *err);
    /* tag: 20 or 32 bytes by keys->what.mac; parts are concatenated. */
    enum mikeyd_status (*mac)(const struct mikey_psk *psk, struct mikey_message_keys *keys,
                              const uint8_t *const data[], const size_t len[], size_t parts,
                              uint8_t *tag, struct error *err);
    /*
     * Two of them side by side, in no more time than one takes where token calls are slow. NULL: there
     * is no such way. On an error neither tag means anything.
     */
    enum mikeyd_status (*mac_two)(const struct mikey_psk *psk, struct mikey_message_keys *keys,
                                  const struct mikey_mac_job two[2], struct error *err);
    /*
     * AES-CM over len bytes in place (its own inverse), the 16-byte IV as RFC 3830 4.2.3 builds it.
     */
    enum mikeyd_status (*aes_cm)(const struct mikey_psk *psk, struct mikey_message_keys *keys,
                                 const uint8_t iv[16], uint8_t *data, size_t len,
                                 struct error *err);
    /*
     * len (16 or 32) bytes of what->prf over the PSK, under the label of the purpose, into tgk (secure
     * heap). The one kind of key that comes out of the PSK into the host, because the session keys
     * that follow from it are the client's. At any time: of keys it uses the scratch only.
     */
    enum mikeyd_status (*tgk)(const struct mikey_psk *psk, const struct mikey_derivation *what,
                              enum mikey_tgk_purpose purpose, struct mikey_message_keys *keys,
                              uint8_t *tgk, size_t len, struct error *err);
    void (*release)(const struct mikey_psk *psk, struct mikey_message_keys *keys);
};

/* One PSK and the way to compute with it; built on the stack per request, owns nothing. */
struct mikey_psk {
    const struct mikey_psk_ops *ops;
    const struct mikey_hmac_ops *hmac; /* for mikey_psk_by_hmac */
    void *service;                     /* the worker's token session, or an OpenSSL context */
    const void *blocks[MIKEY_PSK_BLOCKS_MAX];
    size_t block_count;
    /*
     * A message received costs its authentication key first (2 HMACs of a forged one), then the
     * others. On a token whose calls take long, but run side by side, all three keys come at once,
     * and V together with the MAC that is checked. A message received then waits for 3 rounds of
     * calls instead of 6, and no way is shorter: the PRF's A_1, HMAC(s, A_1 || label), the MACs, each
     * with what came out of the one before. A forged one costs 6 HMACs and 2 MACs, and its V never
     * leaves.
     */
    bool keys_at_once;
};

extern const struct mikey_psk_ops mikey_psk_by_hmac;

/*
 * The HMAC service on OpenSSL, for unit tests, the engine bench and `mac: host`. A key is a keyed
 * context that is reset, not re-keyed, between jobs, for either hash. Several threads may use one
 * key at a time (it locks for one HMAC), and one struct mikey_psk; free it when none does any more.
 */
struct mikey_host_key;
extern const struct mikey_hmac_ops
    mikey_host_hmac; /* service: unused, NULL; job.key: struct mikey_host_key */
enum mikeyd_status mikey_host_key_make(const void *key, size_t len, struct mikey_host_key **out,
                                       struct error *err);
void mikey_host_key_free(struct mikey_host_key *key);
/* Fills psk from a whole pre-shared key of 1 to 256 bytes; blocks must be freed with
 * mikey_host_psk_clear. */
enum mikeyd_status mikey_host_psk(const void *psk_bytes, size_t len, struct mikey_psk *out,
                                  struct error *err);
void mikey_host_psk_clear(struct mikey_psk *psk);

#endif
