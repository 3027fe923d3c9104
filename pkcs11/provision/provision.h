/*
 * The key ceremony: objects made, wrapped, checked and destroyed in a token opened read_write.
 *
 * Every creation sets every usage flag, reads the attributes back and destroys the object when the
 * token disobeyed (some tokens ignore parts of a template without saying so). A key of several
 * blocks is made whole or not at all. A key whose label exists already is refused. One thread at a
 * time, on a session that the caller holds; the token's list of keys is as old as its last
 * token_rescan().
 *
 * Errors: INVALID_ARGUMENT for a specification that makes no sense or a label that exists;
 * UNSUPPORTED when the token lacks what the operation needs; AUTH_FAILED for a wrapping that is
 * damaged or of another key; TOKEN_DOWN when a call fails or the token disobeyed.
 */
#ifndef PKCS11_PROVISION_H
#define PKCS11_PROVISION_H

#include "pkcs11/token/token.h"

#define PROVISION_BITS_MIN 128u /* RFC 9257 6 item 1 */
#define PROVISION_BITS_MAX 2048u
/* Longest finished label: "mikeyd/KIND/NAME/GENERATION~BITS#BLOCK". */
#define PROVISION_LABEL_SIZE 160

/* What the token cannot keep, and the objects do without: the policy has to stand in. */
#define PROVISION_OMITTED_DATES (1u << 0)      /* not readable again on SoftHSM private objects */
#define PROVISION_OMITTED_MECHANISMS (1u << 1) /* NSS softokn knows no ALLOWED_MECHANISMS */
#define PROVISION_OMITTED_LENGTH (1u << 2)     /* VALUE_LEN is not told: the label has to say it */

/* What was made, for the ceremony's record. */
struct provision_result {
    enum token_kind kind;             /* EPSKX where an EPSK was asked of a token without HKDF */
    char label[PROVISION_LABEL_SIZE]; /* without the block number */
    unsigned objects;
    unsigned omitted; /* PROVISION_OMITTED_* bits */
    bool padded;      /* zero-padded to the token's HMAC minimum */
};

/* What to make: label mikeyd/KIND/NAME/GENERATION, 16 random bytes of CKA_ID per block. */
struct provision_spec {
    enum token_kind kind;
    const char *name;
    unsigned generation;
    /*
     * True length: 128 .. 2048 in steps of 8. Of an epskx or pair, which have 32 bytes themselves,
     * that of the EPSK they come from: no key is stronger than its source, and the label says it.
     */
    unsigned bits;
    const char *not_before, *not_after; /* "2027-06-01" or NULL: CKA_START_DATE, CKA_END_DATE */
    bool for_transport; /* generate: EXTRACTABLE with WRAP_WITH_TRUSTED, re-created non-extractable
                           at its destination. The daemon refuses it as it is. */
    bool session_only;  /* a session object, for tests; gone with the session */
    bool modifiable;    /* CKA_MODIFIABLE true: SoftHSM copies no other object, so session copies
                           (token_config.session_copies) need it there; a reported finding */
    struct provision_result *result; /* filled on success; may be NULL */
};

/*
 * Random in the token (C_GenerateKey; for blocks shorter than the token's HMAC minimum: zero-padded
 * import of C_GenerateRandom). A psk over 256 bits becomes one object a 32-byte block; epsk is one
 * object; epskx and ticket have 256 bits.
 */
enum mikeyd_status provision_generate(struct token_session *session,
                                      const struct provision_spec *spec, struct error *err);
/* From bytes in clear: laboratory, and the ceremony's pair keys. spec->bits is taken from len, but
 * for an epskx. Zeros or ones throughout are refused: blank memory. */
enum mikeyd_status provision_import(struct token_session *session,
                                    const struct provision_spec *spec, const uint8_t *key,
                                    size_t len, struct error *err);

/*
 * Looks for a key of that kind that was just made by the specification: the token must show it
 * again, as it was made, and an audit key must sign. Else it is destroyed, as far as it is there:
 * TOKEN_DOWN.
 */
enum mikeyd_status provision_confirm(struct token_session *session,
                                     const struct provision_spec *spec, enum token_kind kind,
                                     struct error *err);

/* ---- transport between tokens */

enum provision_scheme {
    PROVISION_AES_KWP, /* RFC 5649 */
    PROVISION_AES_KW,  /* RFC 3394 */
    PROVISION_RSA_OAEP_SHA1,
    PROVISION_RSA_OAEP_SHA256
};

struct provision_wrapping {
    const char *key_label; /* CKA_LABEL of the wrapping or unwrapping key in the token */
    enum provision_scheme scheme;
    /* Overrides the scheme's CKM number; 0: the scheme's own. KWP: 0x210B where the token lists it
     * (PKCS#11 3.0: RFC 5649 and nothing else), else 0x210A, which is RFC 5649 on SoftHSM but
     * PKCS padding on NSS softokn. */
    unsigned long mechanism;
};

/* One wrapped object. Longest accepted: PROVISION_WRAPPED_MAX bytes. */
struct provision_blob {
    const uint8_t *data;
    size_t len;
};
#define PROVISION_WRAPPED_MAX 1024

/*
 * Wrapped objects into the token, non-extractable: one blob, or one a block in their order.
 * spec->bits says the key's true length; it is checked against what arrived: CKA_VALUE_LEN where
 * the token tells it, else (to the 64-bit word, and by one HMAC for the token's minimum) by
 * wrapping a second, session-only arrival of the same blob under an AES key that lives for this one
 * call and looking at the length alone; the label then carries the length (~BITS). A key shorter
 * than the token's HMAC minimum cannot be padded in the token: its sender pads it with zeros to 32
 * bytes.
 *
 * Kind EPSK on a token without HKDF makes an EPSKX: the EPSK arrives as a sensitive,
 * non-extractable session object and its extract step (RFC 5869 2.2) runs over C_DigestKey, so the
 * host sees epskx for the moment until it is stored, and never the EPSK. UNSUPPORTED where the
 * token refuses C_DigestKey: the sender then wraps epskx itself.
 */
enum mikeyd_status provision_unwrap(struct token_session *session,
                                    const struct provision_spec *spec,
                                    const struct provision_wrapping *wrapping,
                                    const struct provision_blob *blobs, size_t count,
                                    struct error *err);
/*
 * One block (from 0) of a key made with for_transport, under a wrapping key with CKA_TRUSTED. *len:
 * capacity in, length out. POLICY when the wrapping key is not trusted.
 */
enum mikeyd_status provision_wrap(struct token_session *session, const struct token_key *key,
                                  size_t block, const struct provision_wrapping *wrapping,
                                  uint8_t *out, size_t *len, struct error *err);

/*
 * The receiving side of a transport: an RSA pair, private half UNWRAP only and non-extractable.
 * bits: 3072 or 4096. *pem: SubjectPublicKeyInfo, free() it.
 */
enum mikeyd_status provision_generate_wrapping_pair(struct token_session *session,
                                                    const char *label, unsigned bits, char **pem,
                                                    struct error *err);
/*
 * The sending side: the receiver's public key with CKA_TRUSTED, which only the security officer can
 * give. Opens the token by itself, as security officer, and must not run while this process has the
 * token open otherwise. config->pin_file is the officer's.
 */
enum mikeyd_status provision_trust_public_key(const struct token_config *config, const char *label,
                                              const char *pem, struct error *err);

/* ---- the importer */

/*
 * A pair key as a token object (kind pair): HKDF extract and expand in the token where it can (kind
 * epsk), else by one C_Sign with epskx whose 32-byte result goes straight back and is wiped.
 * source: kind epsk or epskx. The pair has the source's generation and true length. POLICY when
 * that is unknown.
 */
enum mikeyd_status provision_derive_pair(struct token_session *session,
                                         const struct token_key *source, const char *object_name,
                                         const uint8_t *info, size_t info_len,
                                         const char *not_after, struct error *err);
/* The same with all of a specification (kind, name, generation and bits are taken as above). */
enum mikeyd_status provision_derive_pair_as(struct token_session *session,
                                            const struct token_key *source,
                                            const struct provision_spec *spec, const uint8_t *info,
                                            size_t info_len, struct error *err);

/*
 * Whether a pair object is what this source derives: both make the same HMAC. A pair may outlive
 * the main key it came from, and a new one may have taken that key's name.
 */
enum mikeyd_status provision_verify_pair(struct token_session *session,
                                         const struct token_key *source,
                                         const struct token_key *pair, const uint8_t *info,
                                         size_t info_len, bool *same, struct error *err);

/* ---- the rest */

/* Destroys all blocks. */
enum mikeyd_status provision_destroy(struct token_session *session, const struct token_key *key,
                                     struct error *err);
/*
 * Destroys every object that carries this key's label, whatever its class, block or findings (so
 * also a duplicate or half a key), then looks again. *objects: how many there were; none is
 * INVALID_ARGUMENT.
 */
enum mikeyd_status provision_destroy_name(struct token_session *session, enum token_kind kind,
                                          const char *name, unsigned generation, unsigned *objects,
                                          struct error *err);

/* What the token shows of a key's first block, for people who check it. */
struct provision_view {
    size_t value_len; /* bytes; 0: not told */
    bool sensitive, private_object, extractable, modifiable, wrap_with_trusted;
    bool sign, derive, wrap, unwrap, encrypt, decrypt, readable;
    bool never_left;     /* ALWAYS_SENSITIVE and NEVER_EXTRACTABLE */
    bool has_mechanisms; /* the token knows ALLOWED_MECHANISMS */
    unsigned long mechanisms[16];
    size_t mechanism_count;
};
enum mikeyd_status provision_view_key(struct token_session *session, const struct token_key *key,
                                      struct provision_view *out, struct error *err);
/*
 * "CKM_SHA256_HMAC"; a number in hexadecimal for one without a name here. Static or this thread's.
 */
const char *provision_mechanism_name(unsigned long mechanism);

/* Key pair for audit signatures, label mikeyd/audit/NAME/GENERATION: EC P-256 (bits 256), or RSA of
 * 3072 or 4096 bits for a token without EC. */
enum mikeyd_status provision_generate_audit_key(struct token_session *session, const char *name,
                                                unsigned generation, unsigned bits,
                                                struct error *err);

#endif
