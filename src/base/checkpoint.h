/*
 * The text that a checkpoint of the audit log signs: made by whoever holds the signing key, checked
 * by whoever verifies the log, written down once here.
 *
 *   mikeyd audit checkpoint 2\nCOVERS\nCHAIN\nFINAL\nSIGNER\nINCARNATION\nUSES\n
 *
 * COVERS: decimal number of the record; CHAIN: its hash, 64 lower-case hex digits; FINAL: 1 or 0;
 * SIGNER: label of the key; INCARNATION: 32 hex digits, random, of the process that holds the keys;
 * USES: decimal, how often that process has used a pre-shared key for somebody.
 */
#ifndef BASE_CHECKPOINT_H
#define BASE_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct checkpoint {
    uint64_t covers;
    uint8_t chain[32];
    bool final;
    const char *signer;
    uint8_t incarnation[16];
    uint64_t uses;
};

#define CHECKPOINT_TEXT_MAX 512
/* NUL-terminated; its length, or 0 when it does not fit. */
size_t checkpoint_text(const struct checkpoint *checkpoint, char out[CHECKPOINT_TEXT_MAX]);

#endif
