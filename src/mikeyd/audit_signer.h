/* Signs the audit log's checkpoints with the key in the token. The log is open before the token:
 * until the token is there, and while it is away, checkpoints wait. */
#ifndef MIKEYD_AUDIT_SIGNER_H
#define MIKEYD_AUDIT_SIGNER_H

#include "audit/audit.h"
#include "mikeyd/config.h"
#include "pkcs11/token.h"

struct checkpoint_signer;

/* *interface refers to the signer and its label. */
enum mikeyd_status audit_signer_make(const struct config *config, struct checkpoint_signer **out,
                                     struct audit_signer *interface, struct error *err);
enum mikeyd_status audit_signer_attach(struct checkpoint_signer *signer, struct token *token,
                                       struct error *err);
/* After audit_close(), before token_close(). */
void audit_signer_free(struct checkpoint_signer *signer);

#endif
