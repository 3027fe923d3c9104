#include "audit/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "base/text.h"

#define DEFAULT_CHECKPOINT_RECORDS 1000
#define DEFAULT_CHECKPOINT_SECONDS 60

/* The second's text is made once; only the milliseconds differ from record to record. */
static void format_time(struct audit_log *log, char out[CLOCK_TEXT])
{
    int64_t now = clock_unix_ms();
    if (now / 1000 != log->time_second) {
        log->time_second = now / 1000;
        clock_format_utc(log->time_second * 1000, log->time_text);
    }
    memcpy(out, log->time_text, CLOCK_TEXT);
    size_t len = strlen(out);
    unsigned ms = (unsigned)(now % 1000);
    if (len < 5)
        return;
    out[len - 4] = (char)('0' + ms / 100);
    out[len - 3] = (char)('0' + ms / 10 % 10);
    out[len - 2] = (char)('0' + ms % 10);
}

size_t audit_log_format(struct audit_log *log, uint64_t sequence, const char *fields, size_t len,
                        char *out)
{
    char time[CLOCK_TEXT];
    format_time(log, time);
    int head =
        snprintf(out, AUDIT_HEAD_MAX, "{\"seq\":%" PRIu64 ",\"time\":\"%s\"", sequence, time);
    size_t at = head < 0 || head >= AUDIT_HEAD_MAX ? 0 : (size_t)head;
    memcpy(out + at, log->origin, log->origin_len);
    at += log->origin_len;
    memcpy(out + at, fields, len);
    return at + len;
}

bool audit_log_push(struct audit_log *log, const char *fields, size_t len, bool own)
{
    struct audit_lines *queue = &log->queue;
    size_t limit = own ? AUDIT_QUEUE_BYTES : AUDIT_QUEUE_BYTES - AUDIT_QUEUE_RESERVE;
    size_t need = AUDIT_HEAD_MAX + log->origin_len + len + 1;
    if (queue->len > limit || need > limit - queue->len)
        return false;
    queue->len +=
        audit_log_format(log, log->last_sequence + 1, fields, len, queue->data + queue->len);
    queue->data[queue->len++] = '\n';
    queue->count++;
    log->last_sequence++;
    return true;
}

bool audit_log_push_record(struct audit_log *log, const struct audit_record *record,
                           const char *fields, size_t len)
{
    const bool queued = audit_log_push(log, fields, len, false);
    if (queued)
        log->queue.psk_uses += record->psk_uses;
    return queued;
}

static enum mikeyd_status append(struct audit_log *log, const struct audit_record *record,
                                 uint64_t *sequence, struct error *err)
{
    char fields[AUDIT_FIELDS_MAX];
    if (!atomic_load(&log->healthy))
        return error_set(err, MIKEYD_AUDIT_DOWN, "audit log cannot be written");
    size_t len = audit_record_format(record, NULL, fields);
    enum mikeyd_status status = MIKEYD_OK;
    pthread_mutex_lock(&log->lock);
    if (!atomic_load(&log->healthy) || log->closing)
        status = error_set(err, MIKEYD_AUDIT_DOWN, "audit log cannot be written");
    else if (!audit_log_push_record(log, record, fields, len))
        status = error_set(err, MIKEYD_AUDIT_DOWN, "audit log: the disk does not keep up");
    *sequence = log->last_sequence;
    /* Later ones find the committer awake or about to look. */
    bool wake = status == MIKEYD_OK && log->queue.count == 1;
    pthread_mutex_unlock(&log->lock);
    if (wake)
        pthread_cond_signal(&log->work);
    return status;
}

enum mikeyd_status audit_append(struct audit_log *log, const struct audit_record *record,
                                uint64_t *sequence, struct error *err)
{
    uint64_t number = 0;
    enum mikeyd_status status = append(log, record, &number, err);
    if (sequence != NULL)
        *sequence = number;
    if (status == MIKEYD_OK && log->options.synchronous)
        status = audit_wait(log, number, err);
    return status;
}

void audit_refusal(struct audit_log *log, const struct audit_record *record)
{
    uint64_t sequence;
    if (audit_suppress_pass(log, record, clock_monotonic_ms()) &&
        append(log, record, &sequence, NULL) != MIKEYD_OK)
        audit_suppress_count(log, record);
}

/* The committer says that it gathers before it looks at the number; here it is the other way round,
 * so one of the two sees the other (sequentially consistent atomics). */
void audit_expect(struct audit_log *log, int more)
{
    if (atomic_fetch_add(&log->expected, more) + more > 0 || !atomic_load(&log->gathering))
        return;
    pthread_mutex_lock(&log->lock);
    pthread_cond_signal(&log->work);
    pthread_mutex_unlock(&log->lock);
}

uint64_t audit_durable(struct audit_log *log)
{
    return atomic_load(&log->durable);
}

bool audit_healthy(struct audit_log *log)
{
    return atomic_load(&log->healthy);
}

static bool is_lost(const struct audit_log *log, uint64_t sequence)
{
    for (size_t i = log->loss_count; i-- > 0;) {
        if (sequence >= log->losses[i].first && sequence <= log->losses[i].last)
            return true;
    }
    return false;
}

static enum audit_fate fate(const struct audit_log *log, uint64_t sequence)
{
    if (is_lost(log, sequence))
        return AUDIT_LOST;
    return atomic_load(&log->durable) >= sequence ? AUDIT_ON_DISK : AUDIT_PENDING;
}

enum audit_fate audit_outcome(struct audit_log *log, uint64_t sequence)
{
    /* Nothing was ever lost: one load decides. The order matters: a loss is marked before the
     * recovery that lets `durable` pass over it. */
    uint64_t durable = atomic_load(&log->durable);
    if (!atomic_load(&log->any_lost))
        return durable >= sequence ? AUDIT_ON_DISK : AUDIT_PENDING;
    pthread_mutex_lock(&log->lock);
    enum audit_fate result = fate(log, sequence);
    pthread_mutex_unlock(&log->lock);
    return result;
}

enum mikeyd_status audit_wait(struct audit_log *log, uint64_t sequence, struct error *err)
{
    pthread_mutex_lock(&log->lock);
    enum audit_fate result;
    while ((result = fate(log, sequence)) == AUDIT_PENDING && sequence <= log->last_sequence)
        pthread_cond_wait(&log->settled, &log->lock);
    pthread_mutex_unlock(&log->lock);
    if (result == AUDIT_ON_DISK)
        return MIKEYD_OK;
    return error_set(err, MIKEYD_AUDIT_DOWN, "audit log: record %" PRIu64 " is not on disk",
                     sequence);
}

enum mikeyd_status audit_reopen(struct audit_log *log, struct error *err)
{
    pthread_mutex_lock(&log->lock);
    uint64_t mine = ++log->reopens_asked;
    pthread_cond_signal(&log->work);
    while (log->reopens_done < mine)
        pthread_cond_wait(&log->settled, &log->lock);
    enum mikeyd_status status = log->reopen_status;
    if (status != MIKEYD_OK && err != NULL)
        *err = log->reopen_error;
    pthread_mutex_unlock(&log->lock);
    return status;
}

void audit_get_stats(struct audit_log *log, struct audit_stats *out)
{
    pthread_mutex_lock(&log->lock);
    *out = log->stats;
    pthread_mutex_unlock(&log->lock);
}

/* ---- open and close ---- */

static enum mikeyd_status make_origin(struct audit_log *log, struct error *err)
{
    char boot[40] = "";
    uint8_t random[8];
    char instance[2 * sizeof random + 1];
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = read(fd, boot, sizeof boot - 1);
        boot[n > 0 ? n : 0] = '\0';
        boot[strcspn(boot, "\n")] = '\0';
        (void)close(fd);
    }
    if (strspn(boot, "0123456789abcdef-") != strlen(boot) || boot[0] == '\0')
        (void)snprintf(boot, sizeof boot, "unknown");
    if (RAND_bytes(random, sizeof random) != 1)
        return error_set(err, MIKEYD_INTERNAL, "audit log: no random bytes");
    hex_encode(random, sizeof random, instance);
    log->origin_len = (size_t)snprintf(log->origin, sizeof log->origin,
                                       ",\"boot\":\"%s\",\"instance\":\"%s\"", boot, instance);
    return MIKEYD_OK;
}

static enum mikeyd_status allocate(struct audit_log *log, const struct audit_options *options,
                                   struct error *err)
{
    log->options = *options;
    if (options->signer != NULL)
        log->signer = *options->signer;
    if (log->options.checkpoint_records == 0)
        log->options.checkpoint_records = DEFAULT_CHECKPOINT_RECORDS;
    if (log->options.checkpoint_seconds == 0)
        log->options.checkpoint_seconds = DEFAULT_CHECKPOINT_SECONDS;
    const char *label = log->signer.key_label == NULL ? "" : log->signer.key_label;
    log->path = strdup(options->path);
    log->signer_label = strdup(label);
    log->queue.data = malloc(AUDIT_QUEUE_BYTES);
    log->batch.data = malloc(AUDIT_QUEUE_BYTES);
    log->sealed = malloc(AUDIT_WRITE_BYTES);
    log->hasher = audit_hasher_make();
    if (log->path == NULL || log->signer_label == NULL || log->queue.data == NULL ||
        log->batch.data == NULL || log->sealed == NULL || log->hasher == NULL)
        return error_set(err, MIKEYD_INTERNAL, "audit log: out of memory");
    log->options.path = log->path;
    return make_origin(log, err);
}

static void release(struct audit_log *log)
{
    audit_file_close(&log->file);
    if (log->lock_fd >= 0)
        (void)close(log->lock_fd);
    audit_hasher_free(log->hasher);
    free(log->queue.data);
    free(log->batch.data);
    free(log->sealed);
    free(log->signer_label);
    free(log->path);
    pthread_cond_destroy(&log->work);
    pthread_cond_destroy(&log->settled);
    pthread_mutex_destroy(&log->lock);
    pthread_mutex_destroy(&log->suppress_lock);
    free(log);
}

static void make_locks(struct audit_log *log)
{
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&log->work, &monotonic);
    (void)pthread_cond_init(&log->settled, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_mutex_init(&log->lock, NULL);
    (void)pthread_mutex_init(&log->suppress_lock, NULL);
}

enum mikeyd_status audit_open(const struct audit_options *options, struct audit_log **out,
                              struct error *err)
{
    struct audit_log *log = calloc(1, sizeof *log);
    if (log == NULL)
        return error_set(err, MIKEYD_INTERNAL, "audit log: out of memory");
    make_locks(log);
    log->file = AUDIT_FILE_CLOSED;
    log->lock_fd = -1;
    log->time_second = -1;
    enum mikeyd_status status = allocate(log, options, err);
    if (status == MIKEYD_OK)
        status = audit_file_lock(log->path, &log->lock_fd, err);
    if (status == MIKEYD_OK)
        status = audit_recover_open(log, err);
    if (status == MIKEYD_OK) {
        atomic_store(&log->healthy, true);
        atomic_store(&log->durable, log->chain.sequence);
        log->last_sequence = log->chain.sequence;
        log->opened_ms = clock_monotonic_ms();
        log->flush_at_ms = log->opened_ms + AUDIT_FLUSH_MS;
        if (pthread_create(&log->committer, NULL, audit_committer_run, log) != 0)
            status = error_set(err, MIKEYD_INTERNAL, "audit log: no thread");
    }
    if (status != MIKEYD_OK) {
        release(log);
        return status;
    }
    *out = log;
    return MIKEYD_OK;
}

void audit_close(struct audit_log *log)
{
    if (log == NULL)
        return;
    (void)audit_suppress_flush(log);
    pthread_mutex_lock(&log->lock);
    log->closing = true;
    pthread_cond_signal(&log->work);
    pthread_mutex_unlock(&log->lock);
    (void)pthread_join(log->committer, NULL);
    release(log);
}
