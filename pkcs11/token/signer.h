/* A private key in the token: signs the audit log's checkpoints. By libp11; where libp11 does not
 * see the key (a connection of its own, without our login) by calls of our own. */
#ifndef PKCS11_SIGNER_H
#define PKCS11_SIGNER_H

#include "pkcs11/token/token.h"

struct token_signer;

/* Finds private and public key by label mikeyd/audit/NAME/GENERATION. */
enum mikeyd_status token_signer_open(struct token *token, const char *name, unsigned generation,
                                     struct token_signer **out, struct error *err);
void token_signer_close(struct token_signer *signer);
/* Over a SHA-256 digest, as base/signature.h says. *len: capacity in (SIGNATURE_MAX is enough), length
 * out. One thread at a time. */
enum mikeyd_status token_signer_sign(struct token_signer *signer, const uint8_t digest[32],
                                     uint8_t *signature, size_t *len, struct error *err);
/*
 * The private key signs a fresh nonce (under a text that no checkpoint has) and the public one
 * verifies it: anybody can put another public object into a token's place without a PIN.
 * AUTH_FAILED when they do not belong together. To be asked before the public key is given away.
 */
enum mikeyd_status token_signer_prove(struct token_signer *signer, struct error *err);
/* The same to somebody else, who chose the nonce and verifies the signature over "mikeyd audit key
 * proof 1\n" || nonce. *len: capacity in, length out. */
enum mikeyd_status token_signer_prove_to(struct token_signer *signer, const uint8_t nonce[32],
                                         uint8_t *signature, size_t *len, struct error *err);
/* SubjectPublicKeyInfo PEM; caller frees with free(). NULL when memory runs out. */
char *token_signer_public_pem(struct token_signer *signer);
const char *token_signer_label(const struct token_signer *signer);

#endif
