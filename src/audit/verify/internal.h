/*
 * Inside of verification: verify.c (files and verdict), follow.c (the chain), signature.c,
 * links.c (the ceremony's log), uses.c (what was done with keys).
 */
#ifndef AUDIT_VERIFY_INTERNAL_H
#define AUDIT_VERIFY_INTERNAL_H

#include <openssl/evp.h>

#include "audit/chain.h"
#include "audit/verify/lines.h"
#include "audit/verify/verify.h"
#include "base/checkpoint.h"

/* How far back a fork is recognised as one. */
#define AUDIT_HISTORY 65536
/* Records that stand too early, kept until their place comes. */
#define AUDIT_EARLY_MAX 64
/* Lines looked at ahead of time in one verification: what takes another's place is told from what
 * is missing as long as they last, and a log with many gaps is read in linear time. */
#define AUDIT_SCAN_LINES 100000
#define AUDIT_KEYS_MAX 8

struct audit_history {
    uint64_t sequence;
    uint8_t hash[AUDIT_HASH_LEN];
};

/* What a record of the daemon's log says of the ceremony's. */
struct audit_link {
    uint64_t sequence; /* of the record that says so */
    struct audit_chain to;
    char file[128];
    bool found;
};

struct audit_verifier {
    const struct audit_verify_options *options;
    struct audit_verdict *verdict;
    struct audit_hasher *hasher;
    EVP_PKEY *keys[AUDIT_KEYS_MAX];
    size_t key_count;

    const char *path; /* of the file being read; NULL: a stream */
    const char *file; /* its base name */
    struct audit_line_reader *reader;
    uint64_t bytes_before, bytes_total; /* of the files before this one, of all */
    bool begun;
    struct audit_chain chain; /* of the record accepted last */
    bool loose;               /* that one was wrong by itself: whatever says it follows is let be */
    struct audit_chain
        branch;        /* a stray record, so that its followers are not reported one by one */
    size_t scan_lines; /* that may still be looked ahead at, for all gaps together */
    struct audit_history early[AUDIT_EARLY_MAX];
    uint8_t early_prev[AUDIT_EARLY_MAX][AUDIT_HASH_LEN];
    size_t early_count;
    struct audit_history *history; /* AUDIT_HISTORY of them, by sequence modulo that */
    struct audit_link *links;
    size_t link_count, link_cap;
    uint64_t linked; /* the last record that a covered record of the daemon's log vouches for */
    struct audit_uses *uses;
    bool anchor_seen;
    bool begins_late; /* the first record continues one that was not given */
    bool last_is_final;
};

/* Reports at the line being read. The first AUDIT_PROBLEMS_MAX are kept, all are counted. */
void audit_problem_add(struct audit_verifier *verifier, enum audit_problem_kind kind, bool warning,
                       uint64_t line, uint64_t sequence, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* Text of a log that is not to be trusted, as it can be printed in one line; NULL: "". */
void audit_copy_text(char *out, size_t cap, const char *text);

/* follow.c: one whole line. */
void audit_follow_line(struct audit_verifier *verifier);

/* signature.c */
enum mikeyd_status audit_public_keys_load(struct audit_verifier *verifier, struct error *err);
void audit_public_keys_free(struct audit_verifier *verifier);
/* A checkpoint that has its place in the chain. */
void audit_checkpoint_check(struct audit_verifier *verifier, const json_t *record,
                            const struct audit_sealed *sealed);

/* uses.c */
struct audit_uses *audit_uses_make(void); /* free() */
/* A record that has its place in the chain, in order. */
void audit_uses_note(struct audit_verifier *verifier, const json_t *record, uint64_t sequence);
/* What a good checkpoint with that number claims. */
void audit_uses_check(struct audit_verifier *verifier, const struct checkpoint_claim *claim,
                      bool final, uint64_t sequence);

/* links.c */
/* A record "ceremony" that has its place in the chain. */
void audit_link_note(struct audit_verifier *verifier, const json_t *record, uint64_t sequence);
/* Every link of the daemon's log names a record of the ceremony's (NULL: not given), whose files
 * are read once more; sets what of it is covered. */
void audit_links_check(struct audit_verifier *verifier, struct audit_verifier *ceremony,
                       char *const *paths, size_t count);

#endif
