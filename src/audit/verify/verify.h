/*
 * Checks a log without token and without daemon: the chain of every record, across rotated files,
 * and the signatures of its checkpoints; names the record that is wrong and how.
 */
#ifndef AUDIT_VERIFY_H
#define AUDIT_VERIFY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"

enum audit_problem_kind {
    AUDIT_MALFORMED, /* a line that is no record */
    AUDIT_CHANGED,   /* a record that does not match its own hash */
    AUDIT_DROPPED,   /* records are missing in front of this one */
    AUDIT_REORDERED, /* a record stands in another's place, or twice */
    AUDIT_SPLICED,   /* a record with the right number that does not follow the one before */
    AUDIT_FORKED,    /* two records follow the same one */
    AUDIT_TRUNCATED, /* the end is missing */
    AUDIT_SIGNATURE, /* a checkpoint that is not by the key, or signs other records than these */
    AUDIT_UNCOVERED, /* records that no good signature covers */
    AUDIT_USES,      /* keyholders count more uses of pre-shared keys than are recorded */
    AUDIT_MISSING    /* an older file that this one continues is not there */
};
const char *audit_problem_name(enum audit_problem_kind kind); /* "changed", "dropped" ... */

struct audit_problem {
    enum audit_problem_kind kind;
    bool warning;      /* fails only a strict verification */
    char file[128];    /* base name */
    uint64_t line;     /* from 1; 0: the file as a whole */
    uint64_t sequence; /* the record's; 0: none */
    char text[320];
};
#define AUDIT_PROBLEMS_MAX 32

struct audit_verify_options {
    const char *const *files; /* one: the newest, older ones are found; or all, in any order */
    size_t file_count;
    const char *const *public_keys; /* PEM files; a signature by any of them is good */
    size_t public_key_count;        /* 0: signatures are counted, not checked */
    uint64_t expect_sequence; /* the log must reach this record (known from elsewhere), 0: any */
    /* A record with this hash must be in it, or be the one that its first record continues; hex, or
     * NULL. */
    const char *anchor;
    bool strict; /* warnings are failures */
    /* Sees every record that is JSON, in order. verifies: it has its place in the chain and nothing
     * is wrong with it or in front of it. May be NULL. */
    void (*visit)(void *context, const json_t *record, bool verifies);
    void *visit_context;
    /* Bytes of the log that are read, and to be read, the ceremony's not counted; done is total at
     * the end. May be NULL. */
    void (*progress)(void *context, uint64_t done, uint64_t total);
    void *progress_context;
};

struct audit_verdict {
    bool good;
    struct audit_problem problems[AUDIT_PROBLEMS_MAX];
    size_t problem_count;        /* kept */
    uint64_t failures, warnings; /* found */
    uint64_t missing;            /* of the failures: files that were not given */
    size_t file_count;
    uint64_t records, first_sequence, last_sequence;
    uint64_t lost, recoveries; /* records that a failing disk refused, and how often */
    char first_time[CLOCK_TEXT], last_time[CLOCK_TEXT];
    char last_hash[65]; /* the anchor for the next verification */
    bool signatures_checked;
    uint64_t checkpoints, good_signatures;
    uint64_t
        covered_sequence; /* the last record that a signature covers (a good one, if checked) */
    char covered_time[CLOCK_TEXT]; /* of that checkpoint */
    char signer[128];
    /* Uses of pre-shared keys: as recorded, and as keyholders have signed them (verify/uses.c). */
    uint64_t uses_recorded, uses_counted;
    uint64_t keyholders; /* that signed a count */
    /* The ceremony's log, when there is one beside the daemon's; covered by its own signatures or
     * by a record of the daemon's that is. */
    uint64_t ceremony_records, ceremony_last, ceremony_covered;
    bool closed; /* the last record is the checkpoint of a clean stop */
};

/*
 * OK: the verdict is good. SYNTAX: it is not; err names the first problem. INVALID_ARGUMENT: a file
 * or key cannot be read. The verdict is filled in the first two cases.
 */
enum mikeyd_status audit_verify(const struct audit_verify_options *options,
                                struct audit_verdict *verdict, struct error *err);

/* One stream as a whole log; options->files are not looked at. */
enum mikeyd_status audit_verify_stream(const struct audit_verify_options *options, FILE *stream,
                                       struct audit_verdict *verdict, struct error *err);

#endif
