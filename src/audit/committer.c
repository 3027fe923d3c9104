/* The one thread that writes: group commit, and the log's periodic work. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "audit/log.h"
#include "base/log.h"

void audit_take_queue(struct audit_log *log)
{
    struct audit_lines empty = log->batch;
    empty.len = 0;
    empty.count = 0;
    empty.psk_uses = 0;
    log->batch = log->queue;
    log->queue = empty;
}

static void notify(const struct audit_log *log)
{
    if (log->options.committed != NULL)
        log->options.committed(log->options.committed_context);
}

/* Seals one record behind those in log->sealed, which is emptied into the file when it is full. */
static enum mikeyd_status seal_next(struct audit_log *log, struct audit_chain *chain,
                                    const char *body, size_t len, size_t *filled, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    if (*filled + len + AUDIT_SEAL_LEN + 1 > AUDIT_WRITE_BYTES) {
        status = audit_file_append(&log->file, log->sealed, *filled, err);
        *filled = 0;
    }
    if (status == MIKEYD_OK)
        status = audit_chain_seal(log->hasher, chain, body, len, log->sealed + *filled, err);
    *filled += len + AUDIT_SEAL_LEN + 1;
    chain->sequence++;
    return status;
}

/* Hands the log's own record and the batch's to the kernel. */
static enum mikeyd_status write_batch(struct audit_log *log, struct audit_chain *chain,
                                      struct error *err)
{
    const char *at = log->batch.data;
    const char *end = at + log->batch.len;
    size_t filled = 0;
    enum mikeyd_status status = MIKEYD_OK;
    if (log->own_len > 0)
        status = seal_next(log, chain, log->own, log->own_len, &filled, err);
    while (at < end && status == MIKEYD_OK) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (newline == NULL)
            return error_set(err, MIKEYD_INTERNAL, "audit log: broken queue");
        status = seal_next(log, chain, at, (size_t)(newline - at), &filled, err);
        at = newline + 1;
    }
    if (status == MIKEYD_OK && filled > 0)
        status = audit_file_append(&log->file, log->sealed, filled, err);
    return status;
}

enum mikeyd_status audit_commit_batch(struct audit_log *log, struct error *err)
{
    uint64_t count = log->batch.count + (log->own_len > 0 ? 1 : 0);
    uint64_t before = log->file.durable;
    if (count == 0)
        return MIKEYD_OK;
    log->gather_until_us = clock_monotonic_us() + AUDIT_GATHER_US;
    /* What is recovered passes over lost numbers; within a batch they are consecutive. */
    struct audit_chain chain = log->chain;
    enum mikeyd_status status = write_batch(log, &chain, err);
    if (status == MIKEYD_OK && !log->options.insecure_no_sync)
        status = audit_file_sync(&log->file, err);
    if (status != MIKEYD_OK)
        return status;
    log->file.durable = log->file.written;
    log->chain = chain;
    log->uncovered += log->batch.count;
    log->batch.psk_uses = 0;
    log->own_len = 0;

    pthread_mutex_lock(&log->lock);
    atomic_store(&log->durable, chain.sequence);
    log->stats.records += count;
    log->stats.commits++;
    log->stats.syncs += log->options.insecure_no_sync ? 0 : 1;
    log->stats.bytes += log->file.durable - before;
    log->stats.unsigned_records = log->uncovered;
    pthread_cond_broadcast(&log->settled);
    pthread_mutex_unlock(&log->lock);
    notify(log);
    return MIKEYD_OK;
}

/* Remembers lost numbers. Full: the two oldest become one, which calls the records between them
 * lost too: wrong on the safe side, and for records whose callers have long been answered. */
static void remember_loss(struct audit_log *log, uint64_t first, uint64_t last)
{
    if (log->loss_count == AUDIT_LOSSES_MAX) {
        log->losses[1].first = log->losses[0].first;
        memmove(log->losses, log->losses + 1, (AUDIT_LOSSES_MAX - 1) * sizeof log->losses[0]);
        log->loss_count--;
    }
    log->losses[log->loss_count++] = (struct audit_loss){first, last};
    log->stats.lost += last - first + 1;
    atomic_store(&log->any_lost, true);
}

void audit_log_fail(struct audit_log *log, const struct error *err)
{
    log_error("%s; no key leaves until it can be written again", err->text);
    log->failure = *err;
    log->failing_since_ms = clock_monotonic_ms();
    log->retry_at_ms = log->failing_since_ms + AUDIT_RETRY_MS;
    log->failed_tries = 0;
    log->own_len = 0;
    log->lost_psk_uses += log->batch.psk_uses;
    log->batch.len = 0;
    log->batch.count = 0;
    log->batch.psk_uses = 0;
    pthread_mutex_lock(&log->lock);
    atomic_store(&log->healthy, false);
    if (log->last_sequence > log->chain.sequence)
        remember_loss(log, log->chain.sequence + 1, log->last_sequence);
    log->lost_psk_uses += log->queue.psk_uses;
    log->queue.len = 0;
    log->queue.count = 0;
    log->queue.psk_uses = 0;
    log->stats.failures++;
    pthread_cond_broadcast(&log->settled);
    pthread_mutex_unlock(&log->lock);
    notify(log);
}

enum mikeyd_status audit_seal_own(struct audit_log *log, const struct audit_record *record,
                                  const struct audit_internal *internal, uint64_t sequence,
                                  struct audit_chain *chain, char *out, size_t *len,
                                  struct error *err)
{
    char fields[AUDIT_FIELDS_MAX], body[AUDIT_BODY_MAX];
    size_t fields_len = audit_record_format(record, internal, fields);
    pthread_mutex_lock(&log->lock);
    size_t body_len = audit_log_format(log, sequence, fields, fields_len, body);
    pthread_mutex_unlock(&log->lock);
    if (body_len + AUDIT_SEAL_LEN + 1 > AUDIT_LINE_MAX)
        return error_set(err, MIKEYD_INTERNAL, "audit log: record too long");
    *len = body_len + AUDIT_SEAL_LEN + 1;
    chain->sequence = sequence;
    return audit_chain_seal(log->hasher, chain, body, body_len, out, err);
}

/* ---- the thread ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* When there is next something to do without being woken. */
static int64_t next_deadline(const struct audit_log *log)
{
    if (!atomic_load(&log->healthy))
        return log->retry_at_ms;
    int64_t at = log->flush_at_ms;
    if (log->signer.sign != NULL && !log->options.sign_at_close && log->uncovered > 0) {
        int64_t due = log->checkpoint_at_ms;
        if (due < log->checkpoint_not_before_ms)
            due = log->checkpoint_not_before_ms;
        at = earlier(at, due);
    }
    return at;
}

static bool has_work(const struct audit_log *log)
{
    return log->queue.count > 0 || log->closing || log->reopens_asked > log->reopens_done;
}

static void wait_for_work(struct audit_log *log)
{
    int64_t deadline = next_deadline(log);
    const struct timespec until = {.tv_sec = deadline / 1000,
                                   .tv_nsec = (deadline % 1000) * 1000000};
    while (!has_work(log)) {
        if (pthread_cond_timedwait(&log->work, &log->lock, &until) != 0)
            break;
    }
}

/* Those who are about to append share this flush, if they come soon. */
static void gather(struct audit_log *log)
{
    const int64_t at = log->gather_until_us;
    const struct timespec until = {.tv_sec = at / 1000000, .tv_nsec = (at % 1000000) * 1000};
    int waited = 0;
    if (log->queue.count == 0 || clock_monotonic_us() >= at)
        return;
    atomic_store(&log->gathering, true);
    while (waited == 0 && atomic_load(&log->expected) > 0 && !log->closing &&
           log->reopens_asked == log->reopens_done)
        waited = pthread_cond_timedwait(&log->work, &log->lock, &until);
    atomic_store(&log->gathering, false);
}

void audit_commit_queue(struct audit_log *log)
{
    struct error err = {0};
    pthread_mutex_lock(&log->lock);
    audit_take_queue(log);
    pthread_mutex_unlock(&log->lock);
    if (audit_commit_batch(log, &err) != MIKEYD_OK)
        audit_log_fail(log, &err);
}

static void reopen_if_asked(struct audit_log *log)
{
    pthread_mutex_lock(&log->lock);
    uint64_t asked = log->reopens_asked;
    bool wanted = asked > log->reopens_done;
    pthread_mutex_unlock(&log->lock);
    if (!wanted)
        return;
    struct error err = {0};
    /* A failing log goes by its name at every attempt to recover: nothing is left to do. */
    enum mikeyd_status status =
        atomic_load(&log->healthy) ? audit_rotate_external(log, &err) : MIKEYD_OK;
    pthread_mutex_lock(&log->lock);
    log->reopen_status = status;
    log->reopen_error = err;
    log->reopens_done = asked;
    pthread_cond_broadcast(&log->settled);
    pthread_mutex_unlock(&log->lock);
}

static void work_healthy(struct audit_log *log)
{
    int64_t now = clock_monotonic_ms();
    if (now >= log->flush_at_ms) {
        log->flush_at_ms = now + AUDIT_FLUSH_MS;
        (void)audit_suppress_flush(log);
    }
    audit_commit_queue(log);
    if (atomic_load(&log->healthy) && audit_checkpoint_due(log, now))
        audit_checkpoint_make(log, false);
    if (atomic_load(&log->healthy) && audit_rotate_due(log, now))
        audit_rotate(log);
}

/* What is queued, then a checkpoint over all of it. */
static void finish(struct audit_log *log)
{
    if (!atomic_load(&log->healthy)) {
        audit_recover_retry(log);
        return;
    }
    audit_commit_queue(log);
    /* Who wrote nothing has nothing to sign. */
    if (!atomic_load(&log->healthy) || log->signer.sign == NULL || log->stats.records == 0)
        return;
    /* Each in its turn, the last one over all. */
    const unsigned signers =
        log->signer.signers == NULL ? 1 : log->signer.signers(log->signer.context);
    for (unsigned i = 1; i < signers && !log->signer_failing && atomic_load(&log->healthy); i++)
        audit_checkpoint_make(log, false);
    audit_checkpoint_make(log, true);
}

void *audit_committer_run(void *context)
{
    struct audit_log *log = context;
    for (;;) {
        pthread_mutex_lock(&log->lock);
        wait_for_work(log);
        gather(log);
        bool closing = log->closing;
        pthread_mutex_unlock(&log->lock);
        if (closing)
            break;
        if (atomic_load(&log->healthy))
            work_healthy(log);
        else if (clock_monotonic_ms() >= log->retry_at_ms)
            audit_recover_retry(log);
        reopen_if_asked(log);
    }
    reopen_if_asked(log);
    finish(log);
    return NULL;
}
