#include "mikeyd/audit_signer.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

struct checkpoint_signer {
    const struct config *config;
    struct keys_port *_Atomic port; /* of the committer; NULL until the tokens are there */
    unsigned timeout_ms;
    char label[160];
};

static enum mikeyd_status sign(void *context, struct checkpoint_claim *claim, uint8_t *signature,
                               size_t *len, struct error *err)
{
    struct checkpoint_signer *signer = context;
    struct keys_port *port = atomic_load(&signer->port);
    if (port == NULL)
        return error_set(err, MIKEYD_TOKEN_DOWN, "the token is not open yet");
    const struct keys_checkpoint what = {.key_name = signer->config->audit_key_name,
                                         .generation = signer->config->audit_key_generation,
                                         .claim = *claim};
    keys_port_deadline(port, clock_monotonic_ms() + signer->timeout_ms);
    return keys_port_checkpoint(port, &what, signature, len, &claim->uses, claim->holder, err);
}

enum mikeyd_status audit_signer_make(const struct config *config, struct checkpoint_signer **out,
                                     struct audit_signer *interface, struct error *err)
{
    struct checkpoint_signer *signer = calloc(1, sizeof *signer);
    if (signer == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    signer->config = config;
    for (size_t i = 0; i < config->token_count; i++) {
        const unsigned timeout_ms = config->tokens[i].call_timeout_ms;
        signer->timeout_ms = timeout_ms > signer->timeout_ms ? timeout_ms : signer->timeout_ms;
    }
    (void)snprintf(signer->label, sizeof signer->label, "mikeyd/audit/%s/%u",
                   config->audit_key_name, config->audit_key_generation);
    *interface = (struct audit_signer){
        .context = signer, .sign = sign, .counts = true, .key_label = signer->label};
    *out = signer;
    return MIKEYD_OK;
}

enum mikeyd_status audit_signer_attach(struct checkpoint_signer *signer, struct keys_group *keys,
                                       struct error *err)
{
    struct keys_port *port = NULL;
    struct checkpoint_claim probe = {.counted = true}; /* there is no record 0 */
    uint8_t signature[DOOR_SIGNATURE_MAX];
    size_t len = sizeof signature;
    enum mikeyd_status status = keys_port_open(keys, &port, err);
    if (status != MIKEYD_OK)
        return status;
    /* Whose first checkpoint would fail is not to serve. */
    atomic_store(&signer->port, port);
    return sign(signer, &probe, signature, &len, err);
}

void audit_signer_free(struct checkpoint_signer *signer)
{
    if (signer == NULL)
        return;
    keys_port_close(atomic_load(&signer->port));
    free(signer);
}
