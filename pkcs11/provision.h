/*
 * The key ceremony: objects made, wrapped, checked and destroyed in a token opened read_write.
 * Every creation sets every usage flag, reads all attributes back and destroys the object when the
 * token disobeyed.
 */
#ifndef PKCS11_PROVISION_H
#define PKCS11_PROVISION_H

#include "pkcs11/token.h"

/* What to make: label mikeyd/KIND/NAME/GENERATION, 16 random bytes of CKA_ID per block. */
struct provision_spec {
    enum token_kind kind;
    const char *name;
    unsigned generation;
    unsigned bits;                      /* true length; generate: 128 .. 2048 in steps of 8 */
    const char *not_before, *not_after; /* "2027-06-01" or NULL: CKA_START_DATE, CKA_END_DATE */
    bool for_transport; /* generate: EXTRACTABLE with WRAP_WITH_TRUSTED, re-created non-extractable
                           at its destination */
    bool session_only;  /* a session object, for tests */
};

/* Random in the token (C_GenerateKey; for blocks shorter than the token's HMAC minimum: zero-padded
 * import of C_GenerateRandom). */
enum mikeyd_status provision_generate(struct token_session *session,
                                      const struct provision_spec *spec, struct error *err);
/* From bytes in clear: laboratory, and the ceremony's pair keys. spec->bits is taken from len. */
enum mikeyd_status provision_import(struct token_session *session,
                                    const struct provision_spec *spec, const uint8_t *key,
                                    size_t len, struct error *err);

struct provision_wrapping {
    const char *key_label; /* CKA_LABEL of the wrapping or unwrapping key in the token */
    enum {
        PROVISION_AES_KWP,
        PROVISION_AES_KW,
        PROVISION_RSA_OAEP_SHA1,
        PROVISION_RSA_OAEP_SHA256
    } scheme;
    unsigned long
        mechanism; /* overrides the scheme's CKM number; 0: default (KWP: 0x210A, then 0x210B) */
};
enum mikeyd_status provision_unwrap(struct token_session *session,
                                    const struct provision_spec *spec,
                                    const struct provision_wrapping *wrapping,
                                    const uint8_t *wrapped, size_t wrapped_len, struct error *err);
/* Only a key made with for_transport; the wrapping key must have CKA_TRUSTED. *len: capacity in,
 * length out. */
enum mikeyd_status provision_wrap(struct token_session *session, const struct token_key *key,
                                  const struct provision_wrapping *wrapping, uint8_t *out,
                                  size_t *len, struct error *err);

/*
 * A pair key as a token object (kind pair): HKDF expand in the token where it can (derive), else by
 * one C_Sign with epskx whose 32-byte result goes straight back and is wiped. source: kind epsk or
 * epskx.
 */
enum mikeyd_status provision_derive_pair(struct token_session *session,
                                         const struct token_key *source, const char *object_name,
                                         const uint8_t *info, size_t info_len,
                                         const char *not_after, struct error *err);
/* Destroys all blocks. */
enum mikeyd_status provision_destroy(struct token_session *session, const struct token_key *key,
                                     struct error *err);

/* EC P-256 key pair for audit signatures, label mikeyd/audit/NAME/GENERATION. */
enum mikeyd_status provision_generate_audit_key(struct token_session *session, const char *name,
                                                unsigned generation, struct error *err);

#endif
