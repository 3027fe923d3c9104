/* Signs the audit log's checkpoints with the key in the tokens. The log is open before they are:
 * until one is there, and while all are away, checkpoints wait. */
#ifndef MIKEYD_AUDIT_SIGNER_H
#define MIKEYD_AUDIT_SIGNER_H

#include "audit/audit.h"
#include "config/config.h"
#include "keys/keys.h"

struct checkpoint_signer;

/* *interface refers to the signer and its label. */
enum mikeyd_status audit_signer_make(const struct config *config, struct checkpoint_signer **out,
                                     struct audit_signer *interface, struct error *err);
/* TOKEN_DOWN when no token signs with that key. */
enum mikeyd_status audit_signer_attach(struct checkpoint_signer *signer, struct keys_group *keys,
                                       struct error *err);
/* After audit_close(), before keys_group_free(). */
void audit_signer_free(struct checkpoint_signer *signer);

#endif
