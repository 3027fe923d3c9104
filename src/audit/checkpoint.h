/* Bounds of checkpoints, for the writer and for verification. What they sign: base/checkpoint.h. */
#ifndef AUDIT_CHECKPOINT_H
#define AUDIT_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "audit/chain.h"

/* Largest signature taken, in bytes (ECDSA on P-256 needs 72, RSA of 4096 bits 512). */
#define AUDIT_SIGNATURE_MAX 512 /* base/signature.h */
#endif
