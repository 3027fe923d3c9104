/*
 * What may be wrong with a key object of a token, as bits: found where PKCS#11 is spoken, told and
 * judged where it is not.
 */
#ifndef BASE_KEY_FINDING_H
#define BASE_KEY_FINDING_H

#include <stddef.h>
#include <stdint.h>

#define KEY_FINDING_EXTRACTABLE (1u << 0)   /* fatal: CKA_EXTRACTABLE is true */
#define KEY_FINDING_NOT_SENSITIVE (1u << 1) /* fatal */
#define KEY_FINDING_READABLE (1u << 2)      /* fatal: CKA_VALUE comes back with length > 0 */
#define KEY_FINDING_NOT_PRIVATE (1u << 3)   /* fatal; kind is TOKEN_KIND_COUNT: never a key */
#define KEY_FINDING_MODIFIABLE (1u << 4)    /* reported */
/* fatal: WRAP, UNWRAP, ENCRYPT or DECRYPT on, or SIGN/DERIVE beyond the kind */
#define KEY_FINDING_USAGE (1u << 5)
/* reported: ALLOWED_MECHANISMS wider than the kind's (or unsupported by the token) */
#define KEY_FINDING_MECHANISMS (1u << 6)
#define KEY_FINDING_DUPLICATE (1u << 7)     /* fatal: another object has the same label or CKA_ID */
#define KEY_FINDING_BLOCK_MISSING (1u << 8) /* fatal: not #1 .. #n of 32 bytes */
#define KEY_FINDING_TYPE (1u << 9)          /* fatal: not CKO_SECRET_KEY / CKK_GENERIC_SECRET */
#define KEY_FINDING_SHORT (1u << 10)        /* reported: under 128 bits */
#define KEY_FINDING_DATES (1u << 11)        /* reported: outside start/end date */
/* reported: ALWAYS_SENSITIVE or NEVER_EXTRACTABLE false (created, unwrapped) */
#define KEY_FINDING_HISTORY (1u << 12)
#define KEY_FINDING_LABEL (1u << 13) /* reported: starts with mikeyd/ but is not one of ours */
#define KEY_FINDING_ID (1u << 14)    /* fatal: CKA_ID is not 16 bytes, the key cannot be resolved */
#define KEY_FINDING_FATAL                                                                          \
    (KEY_FINDING_EXTRACTABLE | KEY_FINDING_NOT_SENSITIVE | KEY_FINDING_READABLE |                  \
     KEY_FINDING_NOT_PRIVATE | KEY_FINDING_USAGE | KEY_FINDING_DUPLICATE |                         \
     KEY_FINDING_BLOCK_MISSING | KEY_FINDING_TYPE | KEY_FINDING_ID)
/* True of every created or unwrapped key: to be told, not to be refused or counted as a fault. */
#define KEY_FINDING_NOTE KEY_FINDING_HISTORY

const char *key_finding_text(uint32_t one_bit);
/* All of them, separated by "; ", cut to fit. "" when there is none. */
void key_findings_text(uint32_t findings, char *out, size_t cap);

#endif
