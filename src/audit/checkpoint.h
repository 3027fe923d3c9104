/* What a checkpoint signs (audit/audit.h), for the writer and for verification. */
#ifndef AUDIT_CHECKPOINT_H
#define AUDIT_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "audit/chain.h"

/* Largest DER ECDSA signature taken, in bytes (P-256 needs 72). */
#define AUDIT_SIGNATURE_MAX 160
/* The form of checkpoints that is written, and the only one that is taken. */
#define AUDIT_CHECKPOINT_FORM 2
/* Longest signed text: its fixed parts, two numbers and two hashes. */
#define AUDIT_CHECKPOINT_TEXT_MAX 256

/* The signed text and its length. head: SHA-256 of the checkpoint's line in front of its signature.
 * out has AUDIT_CHECKPOINT_TEXT_MAX bytes. */
size_t audit_checkpoint_text(const struct audit_chain *covers, const uint8_t head[AUDIT_HASH_LEN],
                             char *out);

#endif
