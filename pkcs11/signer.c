/*
 * libp11 on a module that this process also uses directly. Two of its habits decide what is done
 * here: releasing its slots closes every session of the token, ours too, and unloading its context
 * finalises the module for the whole process. So neither is ever done; a context that is no longer
 * wanted is kept aside, its module reference with it. libp11 is not given the PIN either: a login
 * holds for all sessions of a process.
 */
#include "pkcs11/signer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libp11.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "pkcs11/internal.h"

struct p11_context {
    struct p11_context *next;
    PKCS11_CTX *ctx;
    PKCS11_SLOT *slots;
    unsigned slot_count;
};

struct token_signer {
    struct token *token;
    char label[TOKEN_LABEL_MAX];
    uint64_t generation; /* of the token when the keys were found */
    EVP_PKEY *private_key, *public_key;
    EVP_PKEY *known; /* the public key found first: no other may take its place */
};

/* Contexts out of use: reachable, never released (see above). */
static struct p11_context *retired;
static pthread_mutex_t retired_lock = PTHREAD_MUTEX_INITIALIZER;

static void context_retire(struct p11_context *context)
{
    (void)pthread_mutex_lock(&retired_lock);
    context->next = retired;
    retired = context;
    (void)pthread_mutex_unlock(&retired_lock);
}

/* The reason libp11 left in OpenSSL's queue, which is emptied. */
static enum mikeyd_status fail(const struct token_signer *signer, const char *operation,
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

static PKCS11_KEY *key_by_label(PKCS11_KEY *keys, unsigned count, const char *label, unsigned *same)
{
    PKCS11_KEY *found = NULL;
    *same = 0;
    for (unsigned i = 0; i < count; i++) {
        if (keys[i].label != NULL && strcmp(keys[i].label, label) == 0) {
            found = &keys[i];
            (*same)++;
        }
    }
    return found;
}

static PKCS11_SLOT *slot_of(const struct p11_context *context, CK_SLOT_ID id)
{
    for (unsigned i = 0; i < context->slot_count; i++) {
        if (PKCS11_get_slotid_from_slot(&context->slots[i]) == id)
            return &context->slots[i];
    }
    return NULL;
}

/* Both halves, by label, each exactly once. */
static enum mikeyd_status keys_take(struct token_signer *signer, PKCS11_TOKEN *p11_token,
                                    struct error *err)
{
    PKCS11_KEY *keys = NULL;
    unsigned count = 0, same = 0;
    if (PKCS11_enumerate_keys(p11_token, &keys, &count) != 0)
        return fail(signer, "looking for private keys", err);
    PKCS11_KEY *key = key_by_label(keys, count, signer->label, &same);
    if (same != 1)
        return error_set(err, MIKEYD_TOKEN_DOWN, "%s private key %s in token %s",
                         same == 0 ? "no" : "more than one", signer->label, signer->token->label);
    signer->private_key = PKCS11_get_private_key(key);
    if (signer->private_key == NULL)
        return fail(signer, "loading the private key", err);

    if (PKCS11_enumerate_public_keys(p11_token, &keys, &count) != 0)
        return fail(signer, "looking for public keys", err);
    key = key_by_label(keys, count, signer->label, &same);
    if (same != 1)
        return error_set(err, MIKEYD_TOKEN_DOWN, "%s public key %s in token %s",
                         same == 0 ? "no" : "more than one", signer->label, signer->token->label);
    EVP_PKEY *held = PKCS11_get_public_key(key);
    if (held == NULL)
        return fail(signer, "loading the public key", err);
    /* A copy of its own, as OpenSSL's: it outlives libp11's objects and verifies on the host. */
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(held, &der);
    const unsigned char *at = der;
    signer->public_key = len > 0 ? d2i_PUBKEY(NULL, &at, len) : NULL;
    OPENSSL_free(der);
    EVP_PKEY_free(held);
    if (signer->public_key == NULL)
        return fail(signer, "reading the public key", err);
    if (EVP_PKEY_is_a(signer->public_key, "EC") != 1 ||
        EVP_PKEY_get_bits(signer->public_key) != 256)
        return error_set(err, MIKEYD_TOKEN_DOWN, "%s is no EC P-256 key", signer->label);
    if (signer->known == NULL && EVP_PKEY_up_ref(signer->public_key) == 1)
        signer->known = signer->public_key;
    if (signer->known == NULL || EVP_PKEY_eq(signer->known, signer->public_key) != 1)
        return error_set(err, MIKEYD_TOKEN_DOWN, "%s is another key than before", signer->label);
    return MIKEYD_OK;
}

static void keys_drop(struct token_signer *signer)
{
    EVP_PKEY_free(signer->private_key);
    EVP_PKEY_free(signer->public_key);
    signer->private_key = signer->public_key = NULL;
}

/* In the guest bracket. */
static enum mikeyd_status keys_load(struct token_signer *signer, struct error *err)
{
    struct token_module *module = signer->token->module;
    struct p11_context *context = calloc(1, sizeof *context);
    if (context == NULL || (context->ctx = PKCS11_CTX_new()) == NULL) {
        free(context);
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    }
    context_retire(context);
    ERR_clear_error();
    if (module->init_args != NULL)
        PKCS11_CTX_init_args(context->ctx, module->init_args);
    if (PKCS11_CTX_load(context->ctx, module->path) != 0)
        return fail(signer, "loading the module", err);
    if (PKCS11_enumerate_slots(context->ctx, &context->slots, &context->slot_count) != 0)
        return fail(signer, "looking for slots", err);
    PKCS11_SLOT *slot = slot_of(context, signer->token->slot);
    if (slot == NULL || slot->token == NULL)
        return error_set(err, MIKEYD_TOKEN_DOWN, "token %s is not in its slot",
                         signer->token->label);
    keys_drop(signer);
    enum mikeyd_status status = keys_take(signer, slot->token, err);
    if (status != MIKEYD_OK)
        keys_drop(signer);
    signer->generation = token_generation(signer->token);
    ERR_clear_error();
    return status;
}

enum mikeyd_status token_signer_open(struct token *token, const char *name, unsigned generation,
                                     struct token_signer **out, struct error *err)
{
    struct token_label label = {.kind = TOKEN_AUDIT, .generation = generation};
    struct token_signer *signer = calloc(1, sizeof *signer);
    if (signer == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    signer->token = token;
    (void)snprintf(label.name, sizeof label.name, "%s", name);
    enum mikeyd_status status = token_label_format(&label, signer->label, err);
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

static bool sign_digest(EVP_PKEY *key, const uint8_t digest[32], uint8_t *signature, size_t *len)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    bool done = context != NULL && EVP_PKEY_sign_init(context) == 1 &&
                EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) == 1 &&
                EVP_PKEY_sign(context, signature, len, digest, 32) == 1;
    EVP_PKEY_CTX_free(context);
    return done;
}

static bool verify_digest(EVP_PKEY *key, const uint8_t digest[32], const uint8_t *signature,
                          size_t len)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    bool right = context != NULL && EVP_PKEY_verify_init(context) == 1 &&
                 EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) == 1 &&
                 EVP_PKEY_verify(context, signature, len, digest, 32) == 1;
    EVP_PKEY_CTX_free(context);
    return right;
}

enum mikeyd_status token_signer_sign(struct token_signer *signer, const uint8_t digest[32],
                                     uint8_t *signature, size_t *len, struct error *err)
{
    const size_t capacity = *len;
    enum mikeyd_status status = token_guest_begin(signer->token, "audit signature", err);
    if (status != MIKEYD_OK)
        return status;
    /* Handles may name another key after a re-initialisation, and libp11 does not know of one. */
    bool fresh = false;
    if (signer->private_key == NULL || signer->generation != token_generation(signer->token)) {
        status = keys_load(signer, err);
        fresh = true;
    }
    for (;;) {
        ERR_clear_error();
        /* Verified at once: a signature by another key, or by none, never reaches the log. */
        if (status == MIKEYD_OK && sign_digest(signer->private_key, digest, signature, len) &&
            verify_digest(signer->public_key, digest, signature, *len))
            break;
        *len = capacity;
        if (status == MIKEYD_OK)
            status = fail(signer, "signing", fresh ? err : NULL);
        if (fresh)
            break;
        status = keys_load(signer, err);
        fresh = true;
    }
    token_guest_end(signer->token);
    ERR_clear_error();
    return status;
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
