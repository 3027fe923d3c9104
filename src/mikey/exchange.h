/*
 * The cryptographic steps of a PSK exchange (RFC 3830 3.1, 5.2 - 5.4): seal and open an I_MESSAGE,
 * seal and verify an R_MESSAGE, session keys from a TGK. Policy, clocks, replay and audit are the
 * caller's; the order of steps is fixed there. All functions work in caller-provided memory and do
 * not allocate on the PSK path.
 */
#ifndef MIKEY_EXCHANGE_H
#define MIKEY_EXCHANGE_H

#include "mikey/key.h"
#include "mikey/message.h"
#include "mikey/method.h"

struct mikey_stream {
    uint32_t ssrc; /* 0: the responder chooses */
    uint32_t roc;
    enum srtp_suite suite;
};

/* An I_MESSAGE to build. Views; nothing is kept. */
struct mikey_init {
    enum mikey_algorithms algorithms;
    bool verify;
    bool update; /* no RAND payload; rand below still feeds the keys */
    uint32_t csb_id;
    uint64_t t; /* NTP-UTC, unique for this sender */
    const uint8_t *rand;
    size_t rand_len;          /* 16 .. 255 */
    struct identity idi, idr; /* sent when len > 0, IDi first */
    const struct mikey_stream *streams;
    size_t stream_count;               /* 0 .. 255; one SP per distinct suite */
    const struct mikey_key_data *keys; /* one or more; none only in an update */
    size_t key_count;
    const struct mikey_dh *dh; /* of a method that exchanges values; none only in an update */
    const char *sdp_ids;       /* General Extension 1 (RFC 4567 4.1.4): "mikey"; NULL: none */
    /* NULL: mikey_method_psk; one that transports none has no keys, no update, and a RAND of its
     * length at least */
    const struct mikey_method *method;
};

/* Where key data stands in clear on its way: in the secure heap, wiped by whoever used it. */
struct mikey_plain {
    uint8_t bytes[MIKEY_PLAIN_MAX];
};

/*
 * Seals an I_MESSAGE into out, which must be an empty writer: one call of the key's holder. plain
 * is wiped before return. On failure nothing is left in out. INVALID_ARGUMENT for what cannot be
 * sent: no key in an initial message, IDr without IDi, one SSRC for two streams, no room.
 */
enum mikeyd_status mikey_seal_init(const struct mikey_init *init, const struct mikey_key *key,
                                   struct mikey_plain *plain, struct byte_writer *out,
                                   struct error *err);

/*
 * Opens a parsed I_MESSAGE: one call of the key's holder, which verifies the MAC in constant time
 * (AUTH_FAILED when it is wrong), decrypts, and for `reply` (NULL: none) also computes V of the
 * answer drafted by mikey_draft_reply() or mikey_draft_exchange() into v (20 or 32 bytes: m->mac_len).
 * psk_key: the key of the pair that the message's method wants (MIKEY_PSK_KEY_LEN bytes, secure
 * heap), or NULL for those that want none. rand: of the message,
 * or of the first message for an update. *count entries of out are views into plain, which the
 * caller wipes; 0 for an update that keeps the keys. On failure plain and v are wiped.
 */
enum mikeyd_status mikey_open_init(const struct mikey_message *m, const uint8_t *rand,
                                   size_t rand_len, const struct mikey_key *key,
                                   const struct mikey_covered *reply, struct mikey_plain *plain,
                                   struct mikey_key_data *out, size_t *count, uint8_t *v,
                                   uint8_t *psk_key, struct error *err);

/* How V and T of a reply are formed; the zero value is the RFC. */
struct mikey_reply_rules {
    bool v_covers_t_only; /* interop v_covers_ids: false */
    bool any_timestamp;   /* interop reply_timestamp: any: T of the reply may differ from the
                             Initiator's */
};

/*
 * Drafts the R_MESSAGE for an I_MESSAGE, all but V: same CSB ID and T, the CS map with SSRCs filled
 * in, IDr when the I_MESSAGE carried one. V covers message || IDi || IDr || T (RFC 3830 5.2): what
 * it covers goes into *covered, views into out and m. cs has m->cs_count entries and obeys RFC 3830
 * 6.1.1: SSRCs and ROCs that were stated stay, the others are filled in, SSRCs with distinct values
 * (INVALID_ARGUMENT otherwise). rules: of the peer that will check V; of them only v_covers_t_only
 * matters here. out must be an empty writer. The caller appends V once it has it.
 */
enum mikeyd_status mikey_draft_reply(const struct mikey_message *m, const struct mikey_cs *cs,
                                     const struct mikey_reply_rules *rules, struct byte_writer *out,
                                     struct mikey_covered *covered, struct error *err);

/* What an Initiator remembers to check a reply against. */
struct mikey_expected_reply {
    enum mikey_algorithms algorithms;
    uint32_t csb_id;
    struct mikey_timestamp t;
    const uint8_t *rand;
    size_t rand_len;
    struct identity idi, idr;
    const struct mikey_stream *streams;
    size_t stream_count;
    struct mikey_reply_rules rules;
    const struct mikey_method *method; /* NULL: mikey_method_psk */
    const struct mikey_dh *dh;         /* what was sent, of a method that exchanges values */
};

/*
 * The same two steps where Diffie-Hellman values are exchanged (RFC 4650 3). Drafts the answer to m,
 * of the same method and with the responder's value, all but the MAC, which covers the draft alone;
 * it is the v of mikey_open_init(). own: NULL for a message without a value.
 */
enum mikeyd_status mikey_draft_exchange(const struct mikey_message *m, const struct mikey_cs *cs,
                                        const struct mikey_dh *own, const struct identity *idi,
                                        struct byte_writer *out, struct mikey_covered *covered,
                                        struct error *err);
/*
 * Checks a parsed answer without key first (type, method, CSB ID, T, CS map, IDs, and that it gives
 * back the value it answers), then verifies its MAC: one call of the key's holder, which gives the
 * key of the pair as well when the method wants one. Statuses as of mikey_verify_reply(). After OK
 * r->dh[0] is the responder's value.
 */
enum mikeyd_status mikey_verify_exchange(const struct mikey_message *r,
                                         const struct mikey_expected_reply *expected,
                                         const struct mikey_key *key, uint8_t *psk_key,
                                         struct error *err);

/*
 * Checks a parsed R_MESSAGE, or a type 6 message that carries V, without key first (type, CSB ID,
 * T, CS map: SSRCs and ROCs that were stated stay, open SSRCs are filled and distinct, IDr equal),
 * then verifies V, which always covers the Initiator's own T: one call of the key's holder. SYNTAX
 * for an answer to something else, UNSUPPORTED for other algorithms, AUTH_FAILED for a wrong V.
 * After OK r->type says whether it was an R_MESSAGE or an error message (then r->error is
 * authentic).
 */
enum mikeyd_status mikey_verify_reply(const struct mikey_message *r,
                                      const struct mikey_expected_reply *expected,
                                      const struct mikey_key *key, struct error *err);

/* What a refused peer is told. suites: bit per enum srtp_suite, what it could have asked for; rules
 * as for a reply. */
struct mikey_refusal {
    uint8_t number; /* RFC 3830 6.12 */
    uint32_t suites;
    struct mikey_reply_rules rules;
};

/*
 * Error message (type 6) to the sender of m: HDR, T, ERR, an SP for each suite; with V under the
 * key when that is not NULL. rand: of the message, or of the bundle's first one; only with a key.
 */
enum mikeyd_status mikey_build_error(const struct mikey_message *m, const struct mikey_refusal *why,
                                     const uint8_t *rand, size_t rand_len,
                                     const struct mikey_key *key, struct byte_writer *out,
                                     struct error *err);

/* SRTP master key and salt of one crypto session. Secure heap; wiped by the caller. */
struct mikey_session_key {
    uint8_t key[SRTP_KEY_MAX];
    uint8_t salt[SRTP_SALT_MAX];
};

/*
 * Derives (TGK) or copies (TEK) key and salt for CS cs_id (1 .. 255) by RFC 3830 4.1.3. A
 * transported salt is used, else one is derived. UNSUPPORTED when the salt is shorter than the
 * suite needs, or a TEK is not of its length or has no salt.
 */
enum mikeyd_status mikey_session_key(enum mikey_prf prf, const struct mikey_key_data *key,
                                     uint8_t cs_id, uint32_t csb_id, const uint8_t *rand,
                                     size_t rand_len, enum srtp_suite suite,
                                     struct mikey_session_key *out, struct error *err);

/*
 * The PRF on the host for keys in clear (TGKs): outlen bytes from inkey and label (RFC 3830 4.1.2,
 * 6043 6.1).
 */
enum mikeyd_status mikey_prf_host(enum mikey_prf prf, const uint8_t *inkey, size_t inkey_len,
                                  const uint8_t *label, size_t label_len, uint8_t *out,
                                  size_t out_len, struct error *err);

#endif
