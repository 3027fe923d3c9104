/* Bounds of checkpoints, for the writer and for verification. What they sign: base/checkpoint.h. */
#ifndef AUDIT_CHECKPOINT_H
#define AUDIT_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "audit/chain.h"

/* Largest DER ECDSA signature taken, in bytes (P-256 needs 72). */
#define AUDIT_SIGNATURE_MAX 160
#endif
