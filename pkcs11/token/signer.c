/* The audit log's signing key: finding it, and what is asked of every signature. */
#include "pkcs11/token/signer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include "pkcs11/token/signer_internal.h"

/* ---- what the ways share */

enum mikeyd_status signer_fail(const struct token_signer *signer, const char *operation,
                               struct error *err)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    enum mikeyd_status status =
        error_set(err, MIKEYD_TOKEN_DOWN, "token %s: %s with %s: %s", signer->token->label,
                  operation, signer->label, reason == NULL ? "failed" : reason);
    ERR_clear_error();
    return status;
}

enum mikeyd_status signer_not_one(const struct token_signer *signer, const char *half, size_t count,
                                  struct error *err)
{
    return error_set(err, MIKEYD_TOKEN_DOWN, "%s %s key %s in token %s",
                     count == 0 ? "no" : "more than one", half, signer->label,
                     signer->token->label);
}

/* ---- the keys; all in the guest bracket */

static void keys_drop(struct token_signer *signer)
{
    EVP_PKEY_free(signer->private_key);
    EVP_PKEY_free(signer->public_key);
    signer->private_key = signer->public_key = NULL;
    signer->private_handle = CK_INVALID_HANDLE;
}

/* A key under the same label must not take the place of the one that signed before. */
static enum mikeyd_status check_public(struct token_signer *signer, struct error *err)
{
    if (!signature_key_fits(signer->public_key))
        return error_set(err, MIKEYD_TOKEN_DOWN, "%s is no key for signatures: " SIGNATURE_KEYS,
                         signer->label);
    if (signer->known == NULL && EVP_PKEY_up_ref(signer->public_key) == 1)
        signer->known = signer->public_key;
    if (signer->known == NULL || EVP_PKEY_eq(signer->known, signer->public_key) != 1)
        return error_set(err, MIKEYD_TOKEN_DOWN, "%s is another key than before", signer->label);
    return MIKEYD_OK;
}

static enum mikeyd_status keys_load(struct token_signer *signer, struct error *err)
{
    bool unseen = false;
    ERR_clear_error();
    keys_drop(signer);
    /* Once only through libp11: a context of it is never given back (signer_libp11.c), and one for
     * each re-initialisation of the module would fill the memory. */
    if (signer->known != NULL)
        signer->way = &signer_way_raw;
    enum mikeyd_status status = signer->way->load(signer, &unseen, err);
    if (unseen) {
        /* The session of our own login may see what libp11's does not. */
        keys_drop(signer);
        status = signer_way_raw.load(signer, &unseen, err);
        if (status == MIKEYD_OK)
            signer->way = &signer_way_raw;
    }
    if (status == MIKEYD_OK)
        status = check_public(signer, err);
    if (status != MIKEYD_OK)
        keys_drop(signer);
    signer->generation = token_generation(signer->token);
    ERR_clear_error();
    return status;
}

/* A private key that could leave the token proves nothing. One that is not listed is the ways' to
 * find, or to miss. */
static enum mikeyd_status refuse_unfit(const struct token *token, const char *name,
                                       unsigned generation, struct error *err)
{
    const struct token_key *key = NULL;
    enum mikeyd_status status = token_key_find(token, TOKEN_AUDIT, name, generation, &key, err);
    return status == MIKEYD_POLICY ? status : MIKEYD_OK;
}

enum mikeyd_status token_signer_open(struct token *token, const char *name, unsigned generation,
                                     struct token_signer **out, struct error *err)
{
    struct token_label label = {.kind = TOKEN_AUDIT, .generation = generation};
    struct token_signer *signer = calloc(1, sizeof *signer);
    if (signer == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    signer->token = token;
    signer->way = &signer_way_libp11;
    (void)snprintf(label.name, sizeof label.name, "%s", name);
    enum mikeyd_status status = token_label_format(&label, signer->label, err);
    if (status == MIKEYD_OK)
        status = refuse_unfit(token, name, generation, err);
    if (status == MIKEYD_OK)
        status = token_guest_begin(token, "audit key", err);
    if (status == MIKEYD_OK) {
        status = keys_load(signer, err);
        token_guest_end(token);
    }
    if (status != MIKEYD_OK) {
        token_signer_close(signer);
        return status;
    }
    *out = signer;
    return MIKEYD_OK;
}

void token_signer_close(struct token_signer *signer)
{
    if (signer == NULL)
        return;
    keys_drop(signer);
    EVP_PKEY_free(signer->known);
    free(signer);
}

/* ---- signatures */

/* Verified at once: a signature by another key, or by none, never reaches the log. */
static enum mikeyd_status sign_and_verify(struct token_signer *signer, const uint8_t digest[32],
                                          uint8_t *signature, size_t *len, struct error *err)
{
    const size_t capacity = *len;
    ERR_clear_error();
    enum mikeyd_status status = signer->way->sign(signer, digest, signature, len, err);
    if (status == MIKEYD_OK && !signature_verifies(signer->public_key, digest, signature, *len))
        status = signer_fail(signer, "verifying a signature", err);
    if (status != MIKEYD_OK)
        *len = capacity;
    return status;
}

enum mikeyd_status token_signer_sign(struct token_signer *signer, const uint8_t digest[32],
                                     uint8_t *signature, size_t *len, struct error *err)
{
    enum mikeyd_status status = token_guest_begin(signer->token, "audit signature", err);
    if (status != MIKEYD_OK)
        return status;
    /* Handles may name another key after a re-initialisation, and libp11 does not know of one. */
    const bool stale =
        signer->public_key == NULL || signer->generation != token_generation(signer->token);
    if (!stale)
        status = sign_and_verify(signer, digest, signature, len, NULL);
    if (stale || status != MIKEYD_OK) {
        status = keys_load(signer, err);
        if (status == MIKEYD_OK)
            status = sign_and_verify(signer, digest, signature, len, err);
    }
    token_guest_end(signer->token);
    ERR_clear_error();
    return status;
}

static enum mikeyd_status prove(struct token_signer *signer, const uint8_t digest[32],
                                uint8_t *signature, size_t *len, struct error *err)
{
    enum mikeyd_status status = token_guest_begin(signer->token, "audit key proof", err);
    if (status != MIKEYD_OK)
        return status;
    status = signer->public_key == NULL || signer->generation != token_generation(signer->token)
                 ? keys_load(signer, err)
                 : MIKEYD_OK;
    if (status == MIKEYD_OK)
        status = signer->way->sign(signer, digest, signature, len, err);
    if (status == MIKEYD_OK && !signature_verifies(signer->known, digest, signature, *len))
        status = error_set(err, MIKEYD_AUTH_FAILED,
                           "token %s: the public object %s is not the other half of the private "
                           "key: somebody replaced it; destroy it and export the key from a copy "
                           "that was kept",
                           signer->token->label, signer->label);
    token_guest_end(signer->token);
    ERR_clear_error();
    return status;
}

enum mikeyd_status token_signer_prove_to(struct token_signer *signer, const uint8_t nonce[32],
                                         uint8_t *signature, size_t *len, struct error *err)
{
    static const char purpose[] = "mikeyd audit key proof 1\n";
    uint8_t text[sizeof purpose - 1 + 32], digest[32];
    unsigned digest_len = sizeof digest;
    memcpy(text, purpose, sizeof purpose - 1);
    memcpy(text + sizeof purpose - 1, nonce, 32);
    if (EVP_Digest(text, sizeof text, digest, &digest_len, EVP_sha256(), NULL) != 1)
        return error_set(err, MIKEYD_INTERNAL, "SHA-256 failed");
    return prove(signer, digest, signature, len, err);
}

enum mikeyd_status token_signer_prove(struct token_signer *signer, struct error *err)
{
    uint8_t nonce[32], signature[SIGNATURE_MAX];
    size_t len = sizeof signature;
    if (RAND_bytes(nonce, sizeof nonce) != 1)
        return error_set(err, MIKEYD_INTERNAL, "no random bytes");
    return token_signer_prove_to(signer, nonce, signature, &len, err);
}

char *token_signer_public_pem(struct token_signer *signer)
{
    char *pem = NULL, *text = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio != NULL && PEM_write_bio_PUBKEY(bio, signer->known) == 1) {
        long len = BIO_get_mem_data(bio, &text);
        pem = len > 0 ? strndup(text, (size_t)len) : NULL;
    }
    BIO_free(bio);
    return pem;
}

const char *token_signer_label(const struct token_signer *signer)
{
    return signer->label;
}
