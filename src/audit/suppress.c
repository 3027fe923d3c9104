/*
 * Refusals are cheap to cause, so each client gets only a few records a second for each reason. The
 * rest is counted, and the counts are written once a second: nothing is left unsaid, and nobody
 * fills the disk by being refused.
 */
#include <stdio.h>
#include <string.h>

#include "audit/log.h"

/* Records at once, and per second, for one client and reason. */
#define BURST 5

static void refill(struct audit_bucket *bucket, int64_t now_ms)
{
    if (now_ms - bucket->refilled_ms < 1000)
        return;
    bucket->refilled_ms = now_ms;
    bucket->tokens = BURST;
}

static bool is_idle(const struct audit_bucket *bucket, int64_t now_ms)
{
    return !bucket->used || (bucket->held_back == 0 && now_ms - bucket->refilled_ms >= 1000);
}

static struct audit_bucket *find(struct audit_log *log, const struct audit_record *record,
                                 int64_t now_ms)
{
    const char *client = record->client == NULL ? "" : record->client;
    struct audit_bucket *room = NULL;
    for (size_t i = 0; i < AUDIT_BUCKETS; i++) {
        struct audit_bucket *bucket = &log->buckets[i];
        if (bucket->used && bucket->status == record->status &&
            strncmp(bucket->client, client, sizeof bucket->client - 1) == 0)
            return bucket;
        if (room == NULL && is_idle(bucket, now_ms))
            room = bucket;
    }
    if (room == NULL) {
        room = &log->buckets[AUDIT_BUCKETS];
        client = "(others)";
        if (room->used)
            return room;
    }
    *room = (struct audit_bucket){
        .status = record->status, .refilled_ms = now_ms, .tokens = BURST, .used = true};
    (void)snprintf(room->client, sizeof room->client, "%s", client);
    return room;
}

static void hold_back(struct audit_bucket *bucket, const struct audit_record *record)
{
    bucket->held_back++;
    bucket->psk_uses += record->psk_uses;
}

bool audit_suppress_pass(struct audit_log *log, const struct audit_record *record, int64_t now_ms)
{
    pthread_mutex_lock(&log->suppress_lock);
    struct audit_bucket *bucket = find(log, record, now_ms);
    refill(bucket, now_ms);
    bool pass = bucket->tokens > 0;
    if (pass)
        bucket->tokens--;
    else
        hold_back(bucket, record);
    pthread_mutex_unlock(&log->suppress_lock);
    return pass;
}

void audit_suppress_count(struct audit_log *log, const struct audit_record *record)
{
    pthread_mutex_lock(&log->suppress_lock);
    hold_back(find(log, record, clock_monotonic_ms()), record);
    pthread_mutex_unlock(&log->suppress_lock);
}

/* False while the log takes no records: the counts stay and are written later. */
static bool flush_bucket(struct audit_log *log, const struct audit_bucket *bucket)
{
    char fields[AUDIT_FIELDS_MAX];
    const struct audit_record record = {.event = AUDIT_SUPPRESSED,
                                        .status = bucket->status,
                                        .client = bucket->client[0] == '\0' ? NULL : bucket->client,
                                        .count = bucket->held_back,
                                        .psk_uses = bucket->psk_uses};
    size_t len = audit_record_format(&record, NULL, fields);
    pthread_mutex_lock(&log->lock);
    bool done = atomic_load(&log->healthy) && audit_log_push_record(log, &record, fields, len);
    if (done)
        log->stats.suppressed += bucket->held_back;
    pthread_mutex_unlock(&log->lock);
    return done;
}

bool audit_suppress_flush(struct audit_log *log)
{
    bool all = true;
    pthread_mutex_lock(&log->suppress_lock);
    for (size_t i = 0; i <= AUDIT_BUCKETS; i++) {
        struct audit_bucket *bucket = &log->buckets[i];
        if (!bucket->used || bucket->held_back == 0)
            continue;
        if (flush_bucket(log, bucket))
            bucket->held_back = bucket->psk_uses = 0;
        else
            all = false;
    }
    pthread_mutex_unlock(&log->suppress_lock);
    return all;
}
