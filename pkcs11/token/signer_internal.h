/*
 * The ways to a private key: through libp11 where its objects are seen, else by calls of our own.
 * signer.c decides between them and keeps the rules that hold for both: one public key for a
 * signer's life, keys found again in every generation of the token, every signature verified.
 */
#ifndef PKCS11_SIGNER_INTERNAL_H
#define PKCS11_SIGNER_INTERNAL_H

#include <openssl/evp.h>

#include "base/signature.h"
#include "pkcs11/token/internal.h"
#include "pkcs11/token/signer.h"

struct token_signer;

/* Both functions are called in the guest bracket of signer->token. */
struct signer_way {
    /*
     * Finds private and public key by label, each exactly once, and sets private_key or
     * private_handle, and public_key. *unseen: this way does not see the one private key of that
     * label, or more than one public key (the status is an error then); another way may.
     */
    enum mikeyd_status (*load)(struct token_signer *signer, bool *unseen, struct error *err);
    /* As base/signature.h says. *len: capacity in, length out (of no meaning after an error). */
    enum mikeyd_status (*sign)(struct token_signer *signer, const uint8_t digest[32],
                               uint8_t *signature, size_t *len, struct error *err);
};
extern const struct signer_way signer_way_libp11, signer_way_raw;

struct token_signer {
    struct token *token;
    char label[TOKEN_LABEL_MAX];
    const struct signer_way *way;
    uint64_t generation;             /* of the token when the keys were found */
    EVP_PKEY *private_key;           /* by libp11 */
    CK_OBJECT_HANDLE private_handle; /* by calls of our own */
    bool rsa;                        /* and what it is */
    EVP_PKEY *public_key;            /* NULL: no keys are loaded */
    EVP_PKEY *known;                 /* the public key found first: no other may take its place */
};

/* An error with the reason left in OpenSSL's queue, which is emptied. */
enum mikeyd_status signer_fail(const struct token_signer *signer, const char *operation,
                               struct error *err);
/* count is not 1: "no private key LABEL in token T", or more than one. */
enum mikeyd_status signer_not_one(const struct token_signer *signer, const char *half, size_t count,
                                  struct error *err);

#endif
