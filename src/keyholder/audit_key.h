/*
 * The keys that sign checkpoints of the audit log: found in the token when they are first asked
 * for. Any thread; one signature at a time.
 */
#ifndef KEYHOLDER_AUDIT_KEY_H
#define KEYHOLDER_AUDIT_KEY_H

#include "base/checkpoint.h"
#include "pkcs11/token/token.h"

struct audit_keys;

enum mikeyd_status audit_keys_make(struct token *token, struct audit_keys **out, struct error *err);
void audit_keys_free(struct audit_keys *keys);
/*
 * Signs the text of base/checkpoint.h with mikeyd/audit/NAME/GENERATION; the signer's label in it
 * is filled in here. *len: capacity in, length out.
 */
enum mikeyd_status audit_keys_checkpoint(struct audit_keys *keys, const char *name,
                                         unsigned generation, const struct checkpoint_claim *claim,
                                         uint8_t *signature, size_t *len, struct error *err);
/* *pem: the public key, free() it; signature: token_signer_prove_to(). AUTH_FAILED when the token's
 * public object is not the other half of its private key. */
enum mikeyd_status audit_keys_public(struct audit_keys *keys, const char *name, unsigned generation,
                                     const uint8_t nonce[32], uint8_t *signature, size_t *len,
                                     char **pem, struct error *err);

#endif
