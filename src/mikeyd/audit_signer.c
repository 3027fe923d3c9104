#include "mikeyd/audit_signer.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "pkcs11/signer.h"

struct checkpoint_signer {
    const struct config *config;
    struct token_signer *_Atomic token_signer; /* NULL until the token is there */
    char label[160];
};

static enum mikeyd_status sign(void *context, const uint8_t digest[32], uint8_t *signature,
                               size_t *len, struct error *err)
{
    struct checkpoint_signer *signer = context;
    struct token_signer *token_signer = atomic_load(&signer->token_signer);
    if (token_signer == NULL)
        return error_set(err, MIKEYD_TOKEN_DOWN, "the token is not open yet");
    return token_signer_sign(token_signer, digest, signature, len, err);
}

enum mikeyd_status audit_signer_make(const struct config *config, struct checkpoint_signer **out,
                                     struct audit_signer *interface, struct error *err)
{
    struct checkpoint_signer *signer = calloc(1, sizeof *signer);
    if (signer == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    signer->config = config;
    (void)snprintf(signer->label, sizeof signer->label, "mikeyd/audit/%s/%u",
                   config->audit_key_name, config->audit_key_generation);
    *interface = (struct audit_signer){.context = signer, .sign = sign, .key_label = signer->label};
    *out = signer;
    return MIKEYD_OK;
}

enum mikeyd_status audit_signer_attach(struct checkpoint_signer *signer, struct token *token,
                                       struct error *err)
{
    struct token_signer *token_signer = NULL;
    enum mikeyd_status status =
        token_signer_open(token, signer->config->audit_key_name,
                          signer->config->audit_key_generation, &token_signer, err);
    if (status == MIKEYD_OK)
        atomic_store(&signer->token_signer, token_signer);
    return status;
}

void audit_signer_free(struct checkpoint_signer *signer)
{
    if (signer == NULL)
        return;
    struct token_signer *token_signer = atomic_load(&signer->token_signer);
    if (token_signer != NULL)
        token_signer_close(token_signer);
    free(signer);
}
