/*
 * What a checkpoint of the audit log signs: made by whoever holds the signing key, checked by
 * whoever verifies the log, written down once here.
 *
 *   mikeyd audit checkpoint 2\nCOVERS\nCHAIN\nHEAD\n
 *   mikeyd audit checkpoint 3\nCOVERS\nCHAIN\nHEAD\nHOLDER\nUSES\n
 *
 * COVERS: decimal number of the record before the checkpoint; CHAIN: its hash; HEAD: SHA-256 of the
 * checkpoint's own line in front of what the signer adds to it; both 64 lower-case hex digits. Form
 * 3 is signed by a process that holds keys for others, and counts: HOLDER, 32 hex digits, random,
 * of that process; USES, decimal, how often it has been asked to use a pre-shared key so far, what
 * failed included. Whoever asks for a signature can forge neither.
 */
#ifndef BASE_CHECKPOINT_H
#define BASE_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define CHECKPOINT_FORM 2
#define CHECKPOINT_FORM_COUNTED 3
#define CHECKPOINT_HOLDER 16
/* Longest signed text, with its terminator: fixed parts, numbers and hashes. */
#define CHECKPOINT_TEXT_MAX 320

struct checkpoint_claim {
    uint64_t covers;
    uint8_t chain[32], head[32];
    bool counted; /* form 3 */
    uint8_t holder[CHECKPOINT_HOLDER];
    uint64_t uses;
};

/* NUL-terminated; its length. */
size_t checkpoint_text(const struct checkpoint_claim *claim, char out[CHECKPOINT_TEXT_MAX]);
/* SHA-256 of the text: what the key signs. */
enum mikeyd_status checkpoint_digest(const struct checkpoint_claim *claim, uint8_t digest[32],
                                     struct error *err);

#endif
