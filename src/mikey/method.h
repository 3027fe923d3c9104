/*
 * The ways in which two ends agree on a TGK under a pre-shared key: a row each, a file each. What a
 * method needs of others stands in its row; nobody asks which one it is.
 *
 * A new method is a file with its row, and its place in mikey_methods[]; policy chooses among them.
 */
#ifndef MIKEY_METHOD_H
#define MIKEY_METHOD_H

#include "mikey/key.h"
#include "mikey/message.h"

struct mikey_method {
    const char *name;    /* in audit records */
    const char *setting; /* the policy's words for it */
    const char *detail;  /* what an audit record says of its messages; NULL: nothing */
    /* Text of the Vendor ID extension by which a first message says that it is of this method;
     * NULL: none. A peer that does not know it refuses the message: it carries no key. */
    const char *mark;
    size_t rand_len; /* of a first message: how long it is made, and the least that is taken */
    bool transports; /* the TGK travels in KEMAC, with its MKI; else tgk() gives it at both ends */
    bool updates;    /* a bundle gets new keys (RFC 3830 4.5) */
    /* Where the TGK is not transported: its length, and the TGK (secure heap) from what both ends
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

/* Ends with NULL. */
extern const struct mikey_method *const mikey_methods[];

/* The method whose mark the message carries; NULL: none. */
const struct mikey_method *mikey_marked_method(const struct mikey_message *m);
/* The method of a parsed I_MESSAGE. */
const struct mikey_method *mikey_message_method(const struct mikey_message *m);

#endif
