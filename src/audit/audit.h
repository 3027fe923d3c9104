/*
 * Tamper-evident audit log: JSON Lines, each record chained to the one before by SHA-256, written
 * before any key leaves. Records never hold key material, tickets, PINs or message bodies.
 * Thread-safe.
 *
 * The chain, so that anybody can check it without this program:
 *  - A record is one line, {"seq":N, ... ,"prev":"P","hash":"H"} without spaces, in which seq comes
 *    first and prev and hash (64 lower-case hex digits each) come last.
 *  - H is the SHA-256 of the line's bytes in front of ,"hash": (the line without its last 75
 *    characters). P is the H of the record before; 64 zeros in the very first.
 *      head -1 FILE | head -c -76 | sha256sum          (76: the newline too)
 *  - N grows by one. Only a record "recovered" may stand after a gap, whose length is its "count":
 *    records that a failing disk refused, for which no key was released.
 *  - A "checkpoint" covers the record directly before it: "covers" is that one's number (its own
 *    less one), "chain" that one's hash (the same as its own "prev"). "signature", its last field
 *    before prev, is ECDSA on P-256, SHA-256, DER in base64 (by an RSA key: RSASSA-PSS with a salt
 *    of 32 bytes, or PKCS1-v1_5, whichever its token offers), over the text
 *      mikeyd audit checkpoint FORM\nCOVERS\nCHAIN\nHEAD\n
 *    FORM, COVERS and CHAIN are the record's fields "form" (2), "covers" and "chain"; HEAD is the
 *    SHA-256, in hex, of the checkpoint's own line in front of ,"signature": and so signs all its
 *    other fields. Since CHAIN depends on every record before, so does the signature. What stands
 *    after the last checkpoint is covered by nothing yet. "final" is 1 in the checkpoint that is
 *    written as the log is closed.
 *  - Another form has another number and may add lines to the text; a reader refuses a form that
 *    it does not know. Form 1 signed no more than COVERS, CHAIN, FINAL and SIGNER of any earlier
 *    record, so that a copy of it could stand anywhere; it is no longer taken.
 *  - What cannot be seen in a text (control characters, bidirectional marks, bytes that are not
 *    UTF-8) is written as \u{202e} or \xff, and a backslash twice. Text longer than 2,048 bytes is
 *    cut and ends in "... (cut: N bytes in all)".
 *  - "psk_uses" is how often keyholders were asked to use a pre-shared key for what the record tells
 *    of; records "suppressed" and "recovered" have the sum of what they stand for. A checkpoint of
 *    form 3 says the same from the other side: "holder", a keyholder by its random name, and "uses",
 *    how often it was asked so far, stand in front of "signature" and in the signed text as further
 *    lines. "holder" in "login", "token_up" and "token_down" says whom these are about.
 *  - Ceremony steps beside a running daemon are a log of their own, FILE.ceremony, signed by the
 *    ceremony. A record "ceremony" says how far that had come: "linked_file", and "linked_seq" and
 *    "linked_hash" of its last record. What it names has to be there.
 *  - "policy" is the SHA-256 of the policy in force. Where officers signed it, the records of its
 *    loading ("start", "reload") and the first of a new file say its "policy_serial" and, by name
 *    and key, the "officers".
 *  - A file that continues another begins with a record whose "previous_file" names it, and the
 *    chain runs on.
 */
#ifndef AUDIT_AUDIT_H
#define AUDIT_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checkpoint.h"
#include "base/error.h"
#include "base/identity.h"

struct audit_log;

/*
 * Event names in the file: "start", "stop", "login", "reload", "token_up" ... (audit_event_name).
 */
enum audit_event {
    AUDIT_START,
    AUDIT_STOP,
    AUDIT_LOGIN,
    AUDIT_RELOAD,
    AUDIT_RELOAD_REFUSED,
    AUDIT_POLICY_CHANGE, /* what a reload changes, when that is too long for its record */
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
    AUDIT_RECOVERED, /* after a failed write (count records lost) or a crash (an unfinished line
                        cut) */
    AUDIT_CEREMONY,  /* how far the ceremony's own log has come: see audit_link_ceremony() */
    AUDIT_UNSIGNED,  /* checkpoints cannot be signed at present: status says why, OK: they can again
                      */
    AUDIT_STORE,     /* the replay store was opened: STORE_DOWN when track was lost; or the log goes
                        on in a new file, in which its mark has to stand */
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
    const char *reference;     /* the client's own name for the call: a Call-ID */
    uint64_t count;            /* AUDIT_SUPPRESSED */
    uint64_t psk_uses;         /* how often keyholders were asked to use a pre-shared key for it */
    const uint8_t *holder;     /* 16 bytes: the keyholder that it is about; NULL: none */
    unsigned token;            /* its token, by its place in the configuration from 1; 0: none */
    unsigned workers;          /* AUDIT_START: requests that are served at once */
    const char *policy_sha256; /* of the policy in force, hex; NULL outside the daemon */
    uint64_t policy_serial;    /* of one that officers signed, for audit_last_policy(); 0: none */
    const char *officers;      /* who signed it, and by which keys */
    const char *store;         /* mark of the replay store (store/store.h), not older than this */
    const char *detail;        /* for people, one sentence */
};

/* Signs checkpoints (a key in the token, base/signature.h). Called from the committer thread only. */
struct audit_signer {
    void *context;
    /* DER ECDSA signature over checkpoint_digest(); *len is capacity in, length out. A signer that
     * counts (claim->counted) fills in its count. */
    enum mikeyd_status (*sign)(void *context, struct checkpoint_claim *claim, uint8_t *signature,
                               size_t *len, struct error *err);
    bool counts; /* form 3 */
    /* Has somebody who can sign counted what he has not signed here? Asked when a checkpoint would
     * be due but for lack of records. NULL: no. */
    bool (*owes)(void *context);
    /* How many sign in turn, so that each can as the log is closed. NULL: one. */
    unsigned (*signers)(void *context);
    const char *key_label; /* "mikeyd/audit/NAME/GENERATION" */
};

struct audit_options {
    const char *path;
    const struct audit_signer *signer; /* NULL: no checkpoints */
    unsigned checkpoint_records;       /* every N records, 0: default 1000 */
    unsigned checkpoint_seconds; /* or every T seconds when there are new ones, 0: default 60 */
    uint64_t rotate_bytes;       /* 0: never by itself */
    bool synchronous;            /* command line tools: append returns after fdatasync */
    bool sign_at_close;          /* no checkpoint but the last */
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
 * The latest mark of the replay store that the log at path holds, or the rotated file before it; ""
 * when there is none. Reads backwards: quick unless the mark is far from the end.
 */
#define AUDIT_STORE_MARK_MAX 64
enum mikeyd_status audit_last_store(const char *path, char mark[AUDIT_STORE_MARK_MAX],
                                    struct error *err);

/*
 * The serial and the hash of the policy that stands in the latest record with a serial; 0 and ""
 * when there is none. Found as the mark of the store is.
 */
struct audit_policy_mark {
    uint64_t serial;
    char sha256[65];
};
enum mikeyd_status audit_last_policy(const char *path, struct audit_policy_mark *out,
                                     struct error *err);

/*
 * Queues a record: it gets its sequence number and place in the chain now. AUDIT_DOWN at once when
 * the log is failing. Nothing may be released for it before audit_outcome() says AUDIT_ON_DISK.
 */
enum mikeyd_status audit_append(struct audit_log *log, const struct audit_record *record,
                                uint64_t *sequence, struct error *err);
/*
 * Refusals: at most a few a second per client and reason are written one by one, the rest counted
 * and written as AUDIT_SUPPRESSED. Never fails the caller.
 */
void audit_refusal(struct audit_log *log, const struct audit_record *record);

/* Highest sequence number that is on disk. After a failure it passes over the lost records: ask
 * audit_outcome() before anything is released. */
uint64_t audit_durable(struct audit_log *log);
/* What became of a record, both questions in one: only AUDIT_ON_DISK allows a release. */
enum audit_fate { AUDIT_PENDING, AUDIT_ON_DISK, AUDIT_LOST };
enum audit_fate audit_outcome(struct audit_log *log, uint64_t sequence);
/* False while the log cannot be written; records queued then are lost with AUDIT_DOWN. */
bool audit_healthy(struct audit_log *log);
/* Blocks until durable or lost: for command line tools, start and stop. */
enum mikeyd_status audit_wait(struct audit_log *log, uint64_t sequence, struct error *err);
/*
 * Requests that are being served and may yet append: so many more (or, negative, fewer). While there
 * are any, a commit may wait for their records, until 1 ms after the last one began. Without this,
 * none ever waits. Each that is announced must be taken back.
 */
void audit_expect(struct audit_log *log, int more);
/* SIGHUP: reopen after an external rename, continuing the chain. */
enum mikeyd_status audit_reopen(struct audit_log *log, struct error *err);

/* The log of ceremony steps made while `path` is being written: path, and this. */
#define AUDIT_CEREMONY_SUFFIX ".ceremony"
/*
 * Looks at the ceremony's log beside this one and, when it has grown, records how far it has come,
 * so that deleting its steps contradicts this log. A ceremony's log that is damaged, shorter or
 * gone is recorded as such. OK when there is none.
 */
enum mikeyd_status audit_link_ceremony(struct audit_log *log, struct error *err);

struct audit_stats {
    uint64_t records, commits, syncs, bytes; /* on disk since audit_open */
    uint64_t failures;                       /* times the log stopped being writable */
    uint64_t lost;                           /* records dropped by these */
    uint64_t suppressed;                     /* refusals counted, not written one by one */
    uint64_t checkpoints, signer_failures;
    uint64_t unsigned_records; /* on disk, not yet covered by a checkpoint of this process */
    uint64_t rotations;
};
void audit_get_stats(struct audit_log *log, struct audit_stats *out);

#endif
