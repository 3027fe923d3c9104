/*
 * Inside of the log, shared by log.c (queue, public functions), committer.c (the one thread that
 * writes), rotate.c, recover.c, checkpoint.c and suppress.c.
 *
 * Callers put records without hashes into `queue` under `lock`; the committer takes the whole
 * queue, seals each record into the chain, writes, syncs once. Hashing and writing need no lock
 * since the committer alone does them.
 */
#ifndef AUDIT_LOG_H
#define AUDIT_LOG_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "audit/audit.h"
#include "audit/chain.h"
#include "audit/checkpoint.h"
#include "audit/file.h"
#include "audit/record.h"
#include "base/clock.h"

/* Bytes of records that may wait for the disk; beyond, AUDIT_DOWN. */
#define AUDIT_QUEUE_BYTES (8U << 20)
/* Kept free for the log's own records (checkpoint, rotate), which are never refused. */
#define AUDIT_QUEUE_RESERVE (4U * AUDIT_LINE_MAX)
/* {"seq":<19 digits>,"time":"<24>" and a newline, with room to spare */
#define AUDIT_HEAD_MAX 96
/* Sealed records are handed to the kernel in pieces of at most this many bytes. */
#define AUDIT_WRITE_BYTES (1U << 20)
#define AUDIT_RETRY_MS 1000
#define AUDIT_FLUSH_MS 1000
/* From the begin of one commit to that of the next, while more records are expected. A flush costs
 * processor time whatever it flushes: at 20,000 records a second, as much as the rest of a request. */
#define AUDIT_GATHER_US 1000
#define AUDIT_ORIGIN_MAX 128
/* Longest record before it is sealed. */
#define AUDIT_BODY_MAX (AUDIT_HEAD_MAX + AUDIT_ORIGIN_MAX + AUDIT_FIELDS_MAX)

/* Records waiting: bodies without closing brace, each ended by a newline. */
struct audit_lines {
    char *data;
    size_t len;
    uint64_t count;
    uint64_t psk_uses; /* that they record */
};

/* Sequence numbers that never reached the disk, first to last. */
struct audit_loss {
    uint64_t first, last;
};
#define AUDIT_LOSSES_MAX 1024

/* Refusals of one client for one reason: a token bucket and what it held back. */
struct audit_bucket {
    char client[64];
    enum mikeyd_status status;
    int64_t refilled_ms;
    unsigned tokens;
    uint64_t held_back;
    uint64_t psk_uses; /* of what was held back */
    bool used;
};
#define AUDIT_BUCKETS 256

struct audit_log {
    /* constant after audit_open */
    char *path;
    struct audit_options options;
    struct audit_signer signer; /* sign NULL: none */
    char *signer_label;
    char origin[AUDIT_ORIGIN_MAX]; /* ,"boot":"...","instance":"..." */
    size_t origin_len;

    pthread_mutex_t lock;
    pthread_cond_t work;    /* wakes the committer */
    pthread_cond_t settled; /* wakes those who wait for an outcome */
    /* under lock */
    struct audit_lines queue;
    uint64_t last_sequence;    /* handed out */
    struct audit_chain linked; /* how far the ceremony's log was when it was looked at last */
    struct audit_loss losses[AUDIT_LOSSES_MAX];
    size_t loss_count;
    bool closing;
    uint64_t reopens_asked, reopens_done;
    enum mikeyd_status reopen_status;
    struct error reopen_error;
    struct audit_stats stats;
    int64_t time_second; /* of time_text, so that a second is formatted once */
    char time_text[CLOCK_TEXT];

    atomic_uint_fast64_t durable;
    atomic_bool healthy;
    atomic_bool any_lost;
    atomic_int expected;   /* audit_expect() */
    atomic_bool gathering; /* the committer waits until nothing is expected */

    /* the committer's own */
    pthread_t committer;
    int lock_fd;
    struct audit_file file;
    struct audit_chain chain; /* of the last durable record */
    /* A record of the log itself that goes in front of the batch, as the number before its first:
     * a checkpoint has to follow the record that it covers directly. */
    char own[AUDIT_BODY_MAX + 2 * AUDIT_SIGNATURE_MAX];
    size_t own_len; /* 0: none */
    struct audit_lines batch;
    char *sealed;
    struct audit_hasher *hasher;
    char previous_name[NAME_MAX + 1]; /* the file that this one continues, when this one is empty */
    uint64_t durable_bytes;           /* of the file, kept while it is closed */
    uint64_t cut_from;                /* somebody else made it shorter: its length before, or 0 */
    int64_t retry_at_ms, failing_since_ms, rotate_not_before_ms, flush_at_ms;
    unsigned failed_tries;
    struct error failure;
    uint64_t lost_psk_uses;  /* of lost records, for the one that tells of them */
    uint64_t uncovered;      /* durable records of others that no checkpoint covers */
    int64_t gather_until_us; /* a commit need not begin earlier while records are expected */
    int64_t opened_ms, checkpoint_at_ms, checkpoint_not_before_ms;
    bool signer_failing;

    pthread_mutex_t suppress_lock;
    struct audit_bucket buckets[AUDIT_BUCKETS + 1]; /* the last: for all that found no room */
};

/* ---- log.c: under lock */
/* The body of a record with this number (at most AUDIT_BODY_MAX bytes); its length. */
size_t audit_log_format(struct audit_log *log, uint64_t sequence, const char *fields, size_t len,
                        char *out);
/* Queues a record with the next sequence number. False when there is no room. own: a record of the
 * log itself, which finds room where others do not. */
bool audit_log_push(struct audit_log *log, const char *fields, size_t len, bool own);
/* The same for what others have to record, and what it says of pre-shared keys. */
bool audit_log_push_record(struct audit_log *log, const struct audit_record *record,
                           const char *fields, size_t len);

/* ---- committer.c */
void *audit_committer_run(void *log);
/* Writes and syncs log->own and log->batch to log->file, advancing the chain; then tells those who
 * wait. */
enum mikeyd_status audit_commit_batch(struct audit_log *log, struct error *err);
/* Takes the queue and commits it; what cannot be written makes the log fail. */
void audit_commit_queue(struct audit_log *log);
/* Takes the queue as the batch. Under lock. */
void audit_take_queue(struct audit_log *log);
/* The log cannot be written: everything queued is lost, appends are refused until recovery. */
void audit_log_fail(struct audit_log *log, const struct error *err);
/* Formats and seals one record of the log itself as sequence number `sequence` into out
 * (AUDIT_LINE_MAX bytes). For the time before the queue is open. */
enum mikeyd_status audit_seal_own(struct audit_log *log, const struct audit_record *record,
                                  const struct audit_internal *internal, uint64_t sequence,
                                  struct audit_chain *chain, char *out, size_t *len,
                                  struct error *err);

/* ---- rotate.c */
bool audit_rotate_due(const struct audit_log *log, int64_t now_ms);
/* Renames the file and goes on in a new one. Failing to rename loses nothing: it is tried later. */
void audit_rotate(struct audit_log *log);
/* The same after somebody else renamed the file. */
enum mikeyd_status audit_rotate_external(struct audit_log *log, struct error *err);

/* ---- recover.c */
/* At open: takes over the file, cuts what a crash left, finds where the chain stands. */
enum mikeyd_status audit_recover_open(struct audit_log *log, struct error *err);
/* While failing: one attempt to write again. */
void audit_recover_retry(struct audit_log *log);

/* ---- checkpoint.c */
bool audit_checkpoint_due(const struct audit_log *log, int64_t now_ms);
/* Commits all that is queued, signs the end of the chain, and writes the checkpoint as the next
 * record. A failing signer is recorded once and tried again later. */
void audit_checkpoint_make(struct audit_log *log, bool final);

/* ---- suppress.c */
/* True: write this refusal; false: it was counted. */
bool audit_suppress_pass(struct audit_log *log, const struct audit_record *record, int64_t now_ms);
void audit_suppress_count(struct audit_log *log, const struct audit_record *record);
/* Queues what was held back. False when the queue has no room for all of it. */
bool audit_suppress_flush(struct audit_log *log);

#endif
