#include "audit/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "audit/log.h"
#include "base/log.h"
#include "base/text.h"

/* A failing signer is asked again after this long. */
#define SIGNER_RETRY_MS 5000
/* The log is open before the token is: what fails so soon is tried again soon, and not recorded. */
#define SIGNER_GRACE_MS 10000
#define SIGNER_GRACE_RETRY_MS 200

/* What keys were used for without a record is signed, too. */
static bool has_something_to_sign(const struct audit_log *log)
{
    return log->uncovered > 0 ||
           (log->signer.owes != NULL && log->signer.owes(log->signer.context));
}

bool audit_checkpoint_due(const struct audit_log *log, int64_t now_ms)
{
    if (log->signer.sign == NULL || log->options.sign_at_close ||
        now_ms < log->checkpoint_not_before_ms)
        return false;
    return log->uncovered >= log->options.checkpoint_records ||
           (now_ms >= log->checkpoint_at_ms && has_something_to_sign(log));
}

/* base64 has room for AUDIT_SIGNATURE_MAX bytes. */
static enum mikeyd_status sign(struct audit_log *log, struct checkpoint_claim *claim, char *base64,
                               struct error *err)
{
    uint8_t signature[AUDIT_SIGNATURE_MAX];
    size_t len = sizeof signature;
    enum mikeyd_status status = log->signer.sign(log->signer.context, claim, signature, &len, err);
    if (status != MIKEYD_OK)
        return status;
    if (len == 0 || len > sizeof signature)
        return error_set(err, MIKEYD_INTERNAL, "signature of %zu bytes", len);
    base64_encode(signature, len, base64);
    return MIKEYD_OK;
}

/* ---- a signer that fails: recorded when it begins and when it ends, not at every attempt ---- */

static struct audit_record signer_record(const struct audit_log *log, enum mikeyd_status status,
                                         const char *detail)
{
    return (struct audit_record){
        .event = AUDIT_UNSIGNED, .status = status, .key = log->signer_label, .detail = detail};
}

static void signer_changed(struct audit_log *log, enum mikeyd_status status, const char *detail)
{
    char fields[AUDIT_FIELDS_MAX];
    const struct audit_record record = signer_record(log, status, detail);
    size_t len = audit_record_format(&record, NULL, fields);
    log->signer_failing = status != MIKEYD_OK;
    if (log->signer_failing)
        log_error("audit log: checkpoints cannot be signed: %s", detail);
    else
        log_notice("audit log: checkpoints are signed again");
    pthread_mutex_lock(&log->lock);
    (void)audit_log_push(log, fields, len, true);
    pthread_mutex_unlock(&log->lock);
}

static bool has_signed(struct audit_log *log)
{
    pthread_mutex_lock(&log->lock);
    const bool result = log->stats.checkpoints > 0;
    pthread_mutex_unlock(&log->lock);
    return result;
}

/*
 * A checkpoint takes a number of the chain before it is signed. A signer that was not there last
 * time is asked for a signature of no meaning first, so that waiting for it fills no numbers.
 */
static bool signer_is_back(struct audit_log *log, bool final)
{
    struct checkpoint_claim nothing = {.counted = log->signer.counts}; /* there is no record 0 */
    char base64[2 * AUDIT_SIGNATURE_MAX];
    struct error err = {0};
    const int64_t now = clock_monotonic_ms();
    enum mikeyd_status status = sign(log, &nothing, base64, &err);
    if (status == MIKEYD_OK) {
        if (log->signer_failing)
            signer_changed(log, MIKEYD_OK, "checkpoints are signed again");
        return true;
    }
    const bool starting = !has_signed(log) && now - log->opened_ms < SIGNER_GRACE_MS;
    log->checkpoint_not_before_ms = now + (starting ? SIGNER_GRACE_RETRY_MS : SIGNER_RETRY_MS);
    if (starting && !final)
        return false;
    pthread_mutex_lock(&log->lock);
    log->stats.signer_failures++;
    pthread_mutex_unlock(&log->lock);
    if (!log->signer_failing)
        signer_changed(log, status, err.text);
    return false;
}

/* ---- the checkpoint ---- */

/* Uses of keys that are signed must have been recorded: what is held back is written now. */
static void record_held_back(struct audit_log *log)
{
    if (audit_suppress_flush(log))
        return;
    audit_commit_queue(log); /* that makes room */
    (void)audit_suppress_flush(log);
}

/* Everything queued goes to the disk; the number after it is kept for a record of our own. */
static bool reserve(struct audit_log *log, uint64_t *number)
{
    struct error err = {0};
    pthread_mutex_lock(&log->lock);
    audit_take_queue(log);
    *number = ++log->last_sequence;
    pthread_mutex_unlock(&log->lock);
    if (audit_commit_batch(log, &err) == MIKEYD_OK)
        return true;
    audit_log_fail(log, &err);
    return false;
}

static void put_own(struct audit_log *log, uint64_t number, const struct audit_record *record,
                    const struct audit_internal *internal)
{
    char fields[AUDIT_FIELDS_MAX];
    size_t len = audit_record_format(record, internal, fields);
    pthread_mutex_lock(&log->lock);
    log->own_len = audit_log_format(log, number, fields, len, log->own);
    pthread_mutex_unlock(&log->lock);
}

/* Makes the checkpoint the log's own record, whole but for the seal. */
static enum mikeyd_status put_checkpoint(struct audit_log *log, uint64_t number, bool final,
                                         struct error *err)
{
    char base64[2 * AUDIT_SIGNATURE_MAX];
    struct checkpoint_claim claim = {.covers = log->chain.sequence, .counted = log->signer.counts};
    const struct audit_record record = {.event = AUDIT_CHECKPOINT};
    const struct audit_internal internal = {.signer = log->signer_label,
                                            .covers = log->chain.sequence,
                                            .chain = log->chain.hash,
                                            .counted = log->signer.counts,
                                            .final = final};
    put_own(log, number, &record, &internal);
    memcpy(claim.chain, log->chain.hash, sizeof claim.chain);
    enum mikeyd_status status = audit_hash(log->hasher, log->own, log->own_len, claim.head, err);
    if (status == MIKEYD_OK)
        status = sign(log, &claim, base64, err);
    if (status != MIKEYD_OK)
        return status;
    char holder[2 * sizeof claim.holder + 1];
    hex_encode(claim.holder, sizeof claim.holder, holder);
    if (claim.counted)
        log->own_len +=
            (size_t)snprintf(log->own + log->own_len, sizeof log->own - log->own_len,
                             ",\"holder\":\"%s\",\"uses\":%" PRIu64, holder, claim.uses);
    log->own_len += (size_t)snprintf(log->own + log->own_len, sizeof log->own - log->own_len,
                                     ",\"signature\":\"%s\"", base64);
    return MIKEYD_OK;
}

static void count_checkpoint(struct audit_log *log)
{
    const int64_t now = clock_monotonic_ms();
    log->uncovered = 0;
    log->checkpoint_at_ms = now + (int64_t)log->options.checkpoint_seconds * 1000;
    log->checkpoint_not_before_ms = 0;
    pthread_mutex_lock(&log->lock);
    log->stats.checkpoints++;
    log->stats.unsigned_records = 0;
    pthread_mutex_unlock(&log->lock);
}

void audit_checkpoint_make(struct audit_log *log, bool final)
{
    struct error err = {0};
    uint64_t number = 0;
    if ((log->signer_failing || !has_signed(log)) && !signer_is_back(log, final)) {
        audit_commit_queue(log);
        return;
    }
    record_held_back(log);
    if (!reserve(log, &number))
        return;
    enum mikeyd_status status = put_checkpoint(log, number, final, &err);
    if (status == MIKEYD_OK) {
        count_checkpoint(log);
    } else {
        /* The number is given: it tells of the failure. */
        const struct audit_record record = signer_record(log, status, err.text);
        put_own(log, number, &record, NULL);
        log->signer_failing = true;
        log->checkpoint_not_before_ms = clock_monotonic_ms() + SIGNER_RETRY_MS;
        log_error("audit log: checkpoints cannot be signed: %s", err.text);
        pthread_mutex_lock(&log->lock);
        log->stats.signer_failures++;
        pthread_mutex_unlock(&log->lock);
    }
    audit_commit_queue(log);
}
