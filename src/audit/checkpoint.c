#include "audit/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>

#include "audit/log.h"
#include "base/log.h"
#include "base/text.h"

/* A failing signer is asked again after this long. */
#define SIGNER_RETRY_MS 5000
/* The log is open before the token is: what fails so soon is tried again soon, and not recorded. */
#define SIGNER_GRACE_MS 10000
#define SIGNER_GRACE_RETRY_MS 200

size_t audit_checkpoint_text(const struct audit_chain *covers, bool final, const char *signer,
                             char *out)
{
    char hex[AUDIT_HASH_HEX + 1];
    hex_encode(covers->hash, AUDIT_HASH_LEN, hex);
    int len = snprintf(out, AUDIT_CHECKPOINT_TEXT_MAX,
                       "mikeyd audit checkpoint 1\n%" PRIu64 "\n%s\n%d\n%s\n", covers->sequence,
                       hex, final ? 1 : 0, signer);
    return len < 0 || len >= AUDIT_CHECKPOINT_TEXT_MAX ? 0 : (size_t)len;
}

bool audit_checkpoint_due(const struct audit_log *log, int64_t now_ms)
{
    return log->signer.sign != NULL && log->uncovered > 0 &&
           now_ms >= log->checkpoint_not_before_ms &&
           (log->uncovered >= log->options.checkpoint_records || now_ms >= log->checkpoint_at_ms);
}

static enum mikeyd_status sign(struct audit_log *log, bool final, char *base64, struct error *err)
{
    char text[AUDIT_CHECKPOINT_TEXT_MAX];
    uint8_t digest[AUDIT_HASH_LEN], signature[AUDIT_SIGNATURE_MAX];
    size_t signature_len = sizeof signature;
    size_t len = audit_checkpoint_text(&log->chain, final, log->signer_label, text);
    if (len == 0)
        return error_set(err, MIKEYD_INTERNAL, "label of the audit key is too long");
    enum mikeyd_status status = audit_hash(log->hasher, text, len, digest, err);
    if (status == MIKEYD_OK)
        status = log->signer.sign(log->signer.context, digest, signature, &signature_len, err);
    if (status != MIKEYD_OK)
        return status;
    if (signature_len == 0 || signature_len > sizeof signature)
        return error_set(err, MIKEYD_INTERNAL, "signature of %zu bytes", signature_len);
    base64_encode(signature, signature_len, base64);
    return MIKEYD_OK;
}

/* Own records do not make the next checkpoint due, or an idle log would sign itself for ever. */
static void queue_own(struct audit_log *log, const struct audit_record *record,
                      const struct audit_internal *internal)
{
    char fields[AUDIT_FIELDS_MAX];
    size_t len = audit_record_format(record, internal, fields);
    pthread_mutex_lock(&log->lock);
    if (audit_log_push(log, fields, len, true))
        log->own_queued++;
    pthread_mutex_unlock(&log->lock);
}

/* Recorded when it begins and when it ends, not at every attempt. */
static void signer_changed(struct audit_log *log, enum mikeyd_status status, const char *detail)
{
    log->signer_failing = status != MIKEYD_OK;
    if (log->signer_failing)
        log_error("audit log: checkpoints cannot be signed: %s", detail);
    else
        log_notice("audit log: checkpoints are signed again");
    const struct audit_record record = {
        .event = AUDIT_UNSIGNED, .status = status, .key = log->signer_label, .detail = detail};
    queue_own(log, &record, NULL);
}

static void sign_failed(struct audit_log *log, enum mikeyd_status status, bool final,
                        const struct error *err)
{
    const int64_t now = clock_monotonic_ms();
    pthread_mutex_lock(&log->lock);
    const bool starting = log->stats.checkpoints == 0 && now - log->opened_ms < SIGNER_GRACE_MS;
    log->stats.signer_failures += starting && !final ? 0 : 1;
    pthread_mutex_unlock(&log->lock);
    log->checkpoint_not_before_ms = now + (starting ? SIGNER_GRACE_RETRY_MS : SIGNER_RETRY_MS);
    if (!log->signer_failing && (!starting || final))
        signer_changed(log, status, err->text);
}

void audit_checkpoint_make(struct audit_log *log, bool final)
{
    char base64[2 * AUDIT_SIGNATURE_MAX];
    struct error err = {0};
    struct audit_chain covers = log->chain;
    int64_t now = clock_monotonic_ms();
    enum mikeyd_status status = sign(log, final, base64, &err);
    if (status != MIKEYD_OK) {
        sign_failed(log, status, final, &err);
        return;
    }
    if (log->signer_failing)
        signer_changed(log, MIKEYD_OK, "checkpoints are signed again");
    const struct audit_record record = {.event = AUDIT_CHECKPOINT};
    const struct audit_internal internal = {.signature = base64,
                                            .signer = log->signer_label,
                                            .covers = covers.sequence,
                                            .chain = covers.hash,
                                            .final = final};
    queue_own(log, &record, &internal);
    log->uncovered = 0;
    log->checkpoint_at_ms = now + (int64_t)log->options.checkpoint_seconds * 1000;
    log->checkpoint_not_before_ms = 0;
    pthread_mutex_lock(&log->lock);
    log->stats.checkpoints++;
    log->stats.unsigned_records = 0;
    pthread_mutex_unlock(&log->lock);
}
