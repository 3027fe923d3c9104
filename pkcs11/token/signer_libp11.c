/*
 * libp11 on a module that this process also uses directly. Two of its habits decide what is done
 * here: releasing its slots closes every session of the token, ours too, and unloading its context
 * finalises the module for the whole process. So neither is ever done; a context is kept for good,
 * its module reference with it, and each signer makes one at most. libp11 is not given the PIN either, of which
 * it would keep a copy: a login holds for all sessions of a process. It does not hold for a module
 * that treats each of its users as a process of its own; private keys are unseen there.
 */
#include <stdlib.h>
#include <string.h>

#include <libp11.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include "pkcs11/token/signer_internal.h"

struct p11_context {
    struct p11_context *next;
    PKCS11_CTX *ctx;
    PKCS11_SLOT *slots;
    unsigned slot_count;
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

static PKCS11_KEY *key_by_label(PKCS11_KEY *keys, unsigned count, const char *label, size_t *same)
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

static enum mikeyd_status take_private(struct token_signer *signer, PKCS11_TOKEN *p11_token,
                                       bool *unseen, struct error *err)
{
    PKCS11_KEY *keys = NULL;
    unsigned count = 0;
    size_t same = 0;
    if (PKCS11_enumerate_keys(p11_token, &keys, &count) != 0)
        return signer_fail(signer, "looking for private keys", err);
    PKCS11_KEY *key = key_by_label(keys, count, signer->label, &same);
    /* More than one: calls of our own tell those that were made without a PIN. */
    *unseen = same != 1;
    if (same != 1)
        return signer_not_one(signer, "private", same, err);
    signer->private_key = PKCS11_get_private_key(key);
    if (signer->private_key == NULL)
        return signer_fail(signer, "loading the private key", err);
    /* Its RSA has not all modules' paddings. */
    *unseen = EVP_PKEY_is_a(signer->private_key, "EC") != 1;
    return *unseen ? signer_fail(signer, "looking for an EC key", err) : MIKEYD_OK;
}

/* A copy of its own, as OpenSSL's: it outlives libp11's objects and verifies on the host. */
static EVP_PKEY *host_copy(EVP_PKEY *held)
{
    unsigned char *der = NULL;
    const int len = i2d_PUBKEY(held, &der);
    const unsigned char *at = der;
    EVP_PKEY *copy = len > 0 ? d2i_PUBKEY(NULL, &at, len) : NULL;
    OPENSSL_free(der);
    return copy;
}

static enum mikeyd_status take_public(struct token_signer *signer, PKCS11_TOKEN *p11_token,
                                      bool *unseen, struct error *err)
{
    PKCS11_KEY *keys = NULL;
    unsigned count = 0;
    size_t same = 0;
    if (PKCS11_enumerate_public_keys(p11_token, &keys, &count) != 0)
        return signer_fail(signer, "looking for public keys", err);
    PKCS11_KEY *key = key_by_label(keys, count, signer->label, &same);
    /* Calls of our own tell its own from those that anybody made. */
    *unseen = same > 1;
    if (same != 1)
        return signer_not_one(signer, "public", same, err);
    EVP_PKEY *held = PKCS11_get_public_key(key);
    if (held == NULL)
        return signer_fail(signer, "loading the public key", err);
    signer->public_key = host_copy(held);
    EVP_PKEY_free(held);
    if (signer->public_key == NULL)
        return signer_fail(signer, "reading the public key", err);
    return MIKEYD_OK;
}

/* libp11 0.4 waits for ever for a session that the module does not give, so the module is asked before. */
static bool has_session_to_spare(const struct token *token)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    const CK_RV rv = token->f->C_OpenSession(token->slot, CKF_SERIAL_SESSION, NULL, NULL, &session);
    return rv == CKR_OK && token->f->C_CloseSession(session) == CKR_OK;
}

static enum mikeyd_status libp11_load(struct token_signer *signer, bool *unseen, struct error *err)
{
    struct token_module *module = signer->token->module;
    if (!has_session_to_spare(signer->token)) {
        *unseen = true; /* the session of our own login is there */
        return error_set(err, MIKEYD_TOKEN_DOWN, "token %s has no session to spare",
                         signer->token->label);
    }
    struct p11_context *context = calloc(1, sizeof *context);
    if (context == NULL || (context->ctx = PKCS11_CTX_new()) == NULL) {
        free(context);
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    }
    context_retire(context);
    if (module->init_args != NULL)
        PKCS11_CTX_init_args(context->ctx, module->init_args);
    if (PKCS11_CTX_load(context->ctx, module->path) != 0)
        return signer_fail(signer, "loading the module", err);
    if (PKCS11_enumerate_slots(context->ctx, &context->slots, &context->slot_count) != 0)
        return signer_fail(signer, "looking for slots", err);
    PKCS11_SLOT *slot = slot_of(context, signer->token->slot);
    if (slot == NULL || slot->token == NULL)
        return error_set(err, MIKEYD_TOKEN_DOWN, "token %s is not in its slot",
                         signer->token->label);
    enum mikeyd_status status = take_private(signer, slot->token, unseen, err);
    return status != MIKEYD_OK ? status : take_public(signer, slot->token, unseen, err);
}

static enum mikeyd_status libp11_sign(struct token_signer *signer, const uint8_t digest[32],
                                      uint8_t *signature, size_t *len, struct error *err)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(signer->private_key, NULL);
    const bool done = context != NULL && EVP_PKEY_sign_init(context) == 1 &&
                      EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) == 1 &&
                      EVP_PKEY_sign(context, signature, len, digest, 32) == 1;
    EVP_PKEY_CTX_free(context);
    return done ? MIKEYD_OK : signer_fail(signer, "signing", err);
}

const struct signer_way signer_way_libp11 = {.load = libp11_load, .sign = libp11_sign};
