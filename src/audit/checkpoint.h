/* What a checkpoint signs (audit/audit.h), for the writer and for verification. */
#ifndef AUDIT_CHECKPOINT_H
#define AUDIT_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/chain.h"

/* Largest DER ECDSA signature taken, in bytes (P-256 needs 72). */
#define AUDIT_SIGNATURE_MAX 160
/* Longest signed text: its fixed parts, two numbers and a label. */
#define AUDIT_CHECKPOINT_TEXT_MAX 512

/* The signed text; 0 when the label is too long. out has AUDIT_CHECKPOINT_TEXT_MAX bytes. */
size_t audit_checkpoint_text(const struct audit_chain *covers, bool final, const char *signer,
                             char *out);

#endif
