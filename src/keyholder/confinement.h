/*
 * A keyholder's sandbox: the profile (sandbox/sandbox.h) of a process that needs its module, the
 * PIN's file and what `sandbox:` in mikeyd.yaml names for the module, and nothing of the daemon's.
 */
#ifndef KEYHOLDER_CONFINEMENT_H
#define KEYHOLDER_CONFINEMENT_H

#include "config/config.h"
#include "sandbox/sandbox.h"

struct confinement {
    struct sandbox_profile profile;
    const char *readable[4 + CONFIG_SANDBOX_MAX];
    char *folder[2]; /* of module and PIN file */
};

/* In the only thread, before anything is opened; the token's entry of the configuration must
 * outlive *out. Says in the log what the kernel lacks. Clear it also after a failure. */
enum mikeyd_status confinement_begin(const struct config *config, const struct token_config *token,
                                     struct confinement *out, struct error *err);
void confinement_clear(struct confinement *confinement);

#endif
