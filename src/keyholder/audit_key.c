#include "keyholder/audit_key.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "pkcs11/token/signer.h"

/* The key in use and the one before it are all that a log has. */
#define SIGNERS 4

struct named_signer {
    char name[TOKEN_NAME_MAX];
    unsigned generation;
    struct token_signer *signer; /* NULL: free */
};

struct audit_keys {
    struct token *token;
    pthread_mutex_t lock;
    struct named_signer signer[SIGNERS];
    size_t next; /* to be replaced */
};

enum mikeyd_status audit_keys_make(struct token *token, struct audit_keys **out, struct error *err)
{
    struct audit_keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    keys->token = token;
    (void)pthread_mutex_init(&keys->lock, NULL);
    *out = keys;
    return MIKEYD_OK;
}

void audit_keys_free(struct audit_keys *keys)
{
    if (keys == NULL)
        return;
    for (size_t i = 0; i < SIGNERS; i++)
        token_signer_close(keys->signer[i].signer);
    (void)pthread_mutex_destroy(&keys->lock);
    free(keys);
}

/* With the lock held. */
static enum mikeyd_status find_signer(struct audit_keys *keys, const char *name,
                                      unsigned generation, struct token_signer **out,
                                      struct error *err)
{
    for (size_t i = 0; i < SIGNERS; i++) {
        const struct named_signer *known = &keys->signer[i];
        if (known->signer != NULL && known->generation == generation &&
            strcmp(known->name, name) == 0) {
            *out = known->signer;
            return MIKEYD_OK;
        }
    }
    enum mikeyd_status status = token_signer_open(keys->token, name, generation, out, err);
    if (status != MIKEYD_OK)
        return status;
    struct named_signer *slot = &keys->signer[keys->next];
    keys->next = (keys->next + 1) % SIGNERS;
    token_signer_close(slot->signer);
    (void)snprintf(slot->name, sizeof slot->name, "%s", name);
    slot->generation = generation;
    slot->signer = *out;
    return MIKEYD_OK;
}

enum mikeyd_status audit_keys_checkpoint(struct audit_keys *keys, const char *name,
                                         unsigned generation, const struct checkpoint_claim *claim,
                                         uint8_t *signature, size_t *len, struct error *err)
{
    struct token_signer *signer = NULL;
    uint8_t digest[32];
    enum mikeyd_status status = checkpoint_digest(claim, digest, err);
    if (status != MIKEYD_OK)
        return status;
    (void)pthread_mutex_lock(&keys->lock);
    status = find_signer(keys, name, generation, &signer, err);
    if (status == MIKEYD_OK)
        status = token_signer_sign(signer, digest, signature, len, err);
    (void)pthread_mutex_unlock(&keys->lock);
    return status;
}

enum mikeyd_status audit_keys_public(struct audit_keys *keys, const char *name, unsigned generation,
                                     const uint8_t nonce[32], uint8_t *signature, size_t *len,
                                     char **pem, struct error *err)
{
    struct token_signer *signer = NULL;
    *pem = NULL;
    (void)pthread_mutex_lock(&keys->lock);
    enum mikeyd_status status = find_signer(keys, name, generation, &signer, err);
    if (status == MIKEYD_OK)
        status = token_signer_prove_to(signer, nonce, signature, len, err);
    if (status == MIKEYD_OK && (*pem = token_signer_public_pem(signer)) == NULL)
        status = error_set(err, MIKEYD_INTERNAL, "out of memory");
    (void)pthread_mutex_unlock(&keys->lock);
    return status;
}
