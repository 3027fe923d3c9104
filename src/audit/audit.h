/*
 * Tamper-evident audit log: JSON Lines, each record chained to the one before by SHA-256, written
 * before any key leaves. Records never hold key material, tickets, PINs or message bodies.
 * Thread-safe.
 */
#ifndef AUDIT_AUDIT_H
#define AUDIT_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/identity.h"

struct audit_log;

/* Event names in the file: "start", "stop", "login", "reload", "token_up" ... (audit_event_name).
 */
enum audit_event {
    AUDIT_START,
    AUDIT_STOP,
    AUDIT_LOGIN,
    AUDIT_RELOAD,
    AUDIT_RELOAD_REFUSED,
    AUDIT_TOKEN_UP,
    AUDIT_TOKEN_DOWN,
    AUDIT_INITIATE,
    AUDIT_RESPOND,
    AUDIT_CONFIRM,
    AUDIT_UPDATE,     /* an exchange step that succeeded; keys > 0: a release */
    AUDIT_REFUSED,    /* a request that was refused: status says why */
    AUDIT_SUPPRESSED, /* count refusals not recorded one by one */
    AUDIT_KEY_GENERATE,
    AUDIT_KEY_IMPORT,
    AUDIT_KEY_UNWRAP,
    AUDIT_KEY_WRAP,
    AUDIT_KEY_DERIVE,
    AUDIT_KEY_DESTROY,
    AUDIT_KEY_CHECK, /* ceremony steps, written by mikeyctl */
    AUDIT_CHECKPOINT,
    AUDIT_ROTATE,
    AUDIT_RECOVERED,
    AUDIT_EVENT_COUNT
};
const char *audit_event_name(enum audit_event event);

/* One record. Unset pointers and zero lengths leave the field out. Strings are copied. */
struct audit_record {
    enum audit_event event;
    enum mikeyd_status status; /* written as "result" */
    const char *client;
    const char *operation; /* for refusals: "initiate", "respond" ... */
    struct identity from, to;
    bool has_csb_id;
    uint32_t csb_id;
    const char *key;           /* "core/1" */
    const char *method;        /* "psk" */
    const char *algorithms;    /* "mikey-256" */
    const char *suites;        /* comma separated */
    const char *prf;           /* "sign" or "derive" */
    unsigned keys;             /* session keys released with this record */
    uint64_t count;            /* AUDIT_SUPPRESSED */
    const char *policy_sha256; /* of the policy in force, hex; NULL outside the daemon */
    const char *detail;        /* for people, one sentence */
};

/* Signs checkpoints (an EC P-256 key in the token). Called from the committer thread only. */
struct audit_signer {
    void *context;
    /* DER ECDSA signature over a SHA-256 digest; *len is capacity in, length out. */
    enum mikeyd_status (*sign)(void *context, const uint8_t digest[32], uint8_t *signature,
                               size_t *len, struct error *err);
    const char *key_label; /* "mikeyd/audit/NAME/GENERATION" */
};

struct audit_options {
    const char *path;
    const struct audit_signer *signer; /* NULL: no checkpoints */
    unsigned checkpoint_records;       /* every N records, 0: default 1000 */
    unsigned checkpoint_seconds; /* or every T seconds when there are new ones, 0: default 60 */
    uint64_t rotate_bytes;       /* 0: never by itself */
    bool synchronous;            /* command line tools: append returns after fdatasync */
    bool insecure_no_sync;       /* bench only: never fdatasync (to measure what it costs) */
    /* Called from the committer thread after each group commit and on failure or recovery; must not
     * block. May be NULL. */
    void (*committed)(void *context);
    void *committed_context;
};

/*
 * Opens (creates 0640) and locks the log, verifies and cuts an unfinished last line after a crash
 * (recorded as AUDIT_RECOVERED), continues the chain. AUDIT_DOWN when it cannot be written, SYNTAX
 * when the tail is not a log of ours.
 */
enum mikeyd_status audit_open(const struct audit_options *options, struct audit_log **out,
                              struct error *err);
/* Writes what is queued, a last checkpoint, closes. */
void audit_close(struct audit_log *log);

/*
 * Queues a record: it gets its sequence number and place in the chain now. AUDIT_DOWN at once when
 * the log is failing. Nothing may be released for it before audit_durable() >= *sequence.
 */
enum mikeyd_status audit_append(struct audit_log *log, const struct audit_record *record,
                                uint64_t *sequence, struct error *err);
/*
 * Refusals: at most a few a second per client and reason are written one by one, the rest counted
 * and written as AUDIT_SUPPRESSED. Never fails the caller.
 */
void audit_refusal(struct audit_log *log, const struct audit_record *record);

/* Highest sequence number that is on disk. */
uint64_t audit_durable(struct audit_log *log);
/* False while the log cannot be written; records queued then are lost with AUDIT_DOWN (audit_lost).
 */
bool audit_healthy(struct audit_log *log);
/* True when the record was dropped by a failed commit: its keys must never be released. */
bool audit_lost(struct audit_log *log, uint64_t sequence);
/* Blocks until durable or lost: for command line tools, start and stop. */
enum mikeyd_status audit_wait(struct audit_log *log, uint64_t sequence, struct error *err);
/* SIGHUP: reopen after an external rename, continuing the chain. */
enum mikeyd_status audit_reopen(struct audit_log *log, struct error *err);

struct audit_stats {
    uint64_t records, commits, syncs, bytes, failures, suppressed;
};
void audit_get_stats(struct audit_log *log, struct audit_stats *out);

#endif
