/*
 * The ways in which two ends agree on a TGK under a pre-shared key: a row each, a file each. What a
 * method needs of others stands in its row; nobody asks which one it is.
 *
 * A new method is a file with its row, and its place in mikey_methods[]; policy chooses among them.
 */
#ifndef MIKEY_METHOD_H
#define MIKEY_METHOD_H

#include "mikey/dh.h"
#include "mikey/key.h"
#include "mikey/message.h"

/* Longest TGK of a method: a value of OAKLEY 5. */
#define MIKEY_TGK_MAX MIKEY_DH_VALUE_MAX

/* What both ends have after they have exchanged Diffie-Hellman values. Views. */
struct mikey_agreed {
    enum mikey_algorithms algorithms;
    uint8_t group;
    const uint8_t *shared;            /* the Diffie-Hellman secret */
    const uint8_t *psk_key;           /* MIKEY_PSK_KEY_LEN bytes, where the method has one */
    const uint8_t *value_i, *value_r; /* as they were sent */
    size_t len;                       /* of each of the values, and of the secret */
    const uint8_t *rand;              /* of the bundle's first message */
    size_t rand_len;
};

struct mikey_method {
    const char *name;    /* in audit records */
    const char *setting; /* the policy's words for it */
    const char *detail;  /* what an audit record says of its messages; NULL: nothing */
    enum mikey_type init_type, answer_type; /* data types of its messages */
    /* Text of the Vendor ID extension by which a message says that it is of this method; NULL:
     * none. A peer that does not know it refuses the message: it carries no key, or is in a group
     * that it does not know. */
    const char *mark;
    size_t rand_len; /* of a first message: how long it is made, and the least that is taken */
    bool transports; /* the TGK travels in KEMAC, with its MKI; else tgk() gives it at both ends */
    bool updates;    /* a bundle gets new keys (RFC 3830 4.5) */
    /*
     * Both ends send a Diffie-Hellman value (data types 7 and 8), the answer is a part of it whether
     * or not verification is asked for, and combine() makes the TGK (secure heap) of what they have
     * then. psk_key: the key of the pair that enters it, which comes with the call that verifies the
     * peer's message.
     */
    bool exchanges;
    enum mikey_tgk_purpose psk_key;
    enum mikeyd_status (*combine)(const struct mikey_agreed *in, uint8_t tgk[MIKEY_TGK_MAX],
                                  size_t *tgk_len, struct error *err);
    /* Where the TGK is neither transported nor exchanged: its length, and the TGK (secure heap) from what both ends
     * know: one call of the key's holder. */
    size_t (*tgk_len)(enum mikey_algorithms algorithms);
    enum mikeyd_status (*tgk)(enum mikey_algorithms algorithms, uint32_t csb_id,
                              const uint8_t *rand, size_t rand_len, const struct mikey_key *key,
                              uint8_t *tgk, struct error *err);
};

/* RFC 3830 3.1: the initiator's TGK, transported. */
extern const struct mikey_method mikey_method_psk;
/*
 * `tgk: derived`, an extension of ours that both ends must have. Nothing is sent: the TGK is
 *
 *   PRF(PSK, MIKEY_LABEL_PSK_TGK || 0xFF || CSB ID || RAND), 16 bytes (mikey-1) or 32 (mikey-256)
 *
 * with the PRF of the algorithm set (RFC 3830 4.1.2, RFC 6043 6.1), so whoever has no use of the
 * PSK cannot have it, and no random number of the initiator is in it but RAND, which is why that is
 * longer here. From the TGK on everything is as RFC 3830 4.1.3 has it. What it gives up: the
 * initiator adds no secret of its own, and an update, which has no RAND, could bring no new key.
 */
extern const struct mikey_method mikey_method_psk_derived;

/* RFC 4650: TGK = g^(xi xr); in group X25519, PRF(K, "MIKEY-X25519-TGK" || K_i || K_r || RAND). */
extern const struct mikey_method mikey_method_dhhmac;
/*
 * An extension of ours: the messages of DHHMAC in group X25519, marked, and
 *
 *   K_psk = PRF(PSK, MIKEY_LABEL_PSK_DHE || 0xFF || CSB ID || RAND), 32 bytes, from the token
 *   TGK   = HKDF-SHA-256(salt K_psk, IKM K, info "mikeyd psk-dhe" || K_i || K_r), 32 bytes
 *
 * so that who recorded the messages needs both the PSK and the Diffie-Hellman secret.
 */
extern const struct mikey_method mikey_method_psk_dhe;

/* Ends with NULL. */
extern const struct mikey_method *const mikey_methods[];

/* A mark of ours that this version does not know: what the message means cannot be told. */
bool mikey_has_unknown_mark(const struct mikey_message *m);
/* The method whose mark the message carries; NULL: none. */
const struct mikey_method *mikey_marked_method(const struct mikey_message *m);
/* The method of a parsed I_MESSAGE, or of the answer of one that exchanges values. */
const struct mikey_method *mikey_message_method(const struct mikey_message *m);

#endif
