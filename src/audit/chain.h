/*
 * The hash chain (defined in audit/audit.h): sealing a record when it is written, and taking a line
 * apart when it is read.
 */
#ifndef AUDIT_CHAIN_H
#define AUDIT_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define AUDIT_HASH_LEN 32
#define AUDIT_HASH_HEX 64
/* Longest line, with its newline. Writers stay below it, readers refuse more. */
#define AUDIT_LINE_MAX 16384
/* ,"prev":"<64>","hash":"<64>"} */
#define AUDIT_HASH_FIELD_LEN (9 + AUDIT_HASH_HEX + 2)
#define AUDIT_SEAL_LEN (9 + AUDIT_HASH_HEX + 1 + AUDIT_HASH_FIELD_LEN)

/* Where a chain stands: the last record's number and hash; zeros before the first record. */
struct audit_chain {
    uint64_t sequence;
    uint8_t hash[AUDIT_HASH_LEN];
};

/* SHA-256, fetched once. One thread at a time. */
struct audit_hasher;
struct audit_hasher *audit_hasher_make(void);
void audit_hasher_free(struct audit_hasher *hasher);
enum mikeyd_status audit_hash(struct audit_hasher *hasher, const void *data, size_t len,
                              uint8_t out[AUDIT_HASH_LEN], struct error *err);

/*
 * body: a record's JSON text without its closing brace. out gets body, the seal and a newline
 * (len + AUDIT_SEAL_LEN + 1 bytes); the chain's hash becomes the record's.
 */
enum mikeyd_status audit_chain_seal(struct audit_hasher *hasher, struct audit_chain *chain,
                                    const char *body, size_t len, char *out, struct error *err);

/* A line (without its newline) taken apart by its fixed places; strings are not copied. */
struct audit_sealed {
    uint64_t sequence;
    uint8_t prev[AUDIT_HASH_LEN];
    uint8_t hash[AUDIT_HASH_LEN];     /* as written */
    uint8_t computed[AUDIT_HASH_LEN]; /* of the line's bytes */
    bool intact;                      /* the two are equal */
};
/* SYNTAX when the line does not have a record's shape (its JSON is not looked at). */
enum mikeyd_status audit_chain_read(struct audit_hasher *hasher, const char *line, size_t len,
                                    struct audit_sealed *out, struct error *err);

#endif
