#include "mikeyd/reloader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "mikeyd/front_keys.h"
#include "policy/findings.h"

/* Bytes of a policy's difference in one record. */
#define PIECE_MAX ((size_t)1000)

struct reloader {
    struct daemon *daemon;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool requested, stopping;
    char who[RELOADER_WHO]; /* asked for the one that is requested */
    _Atomic bool ended;
};

/* Both hashes and what differs, for the audit record; free() it. NULL when memory runs out. */
static char *describe_difference(const struct policy *old, const struct policy *new)
{
    json_t *difference = policy_difference(old, new);
    char *text =
        difference == NULL ? NULL : json_dumps(difference, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(difference);
    return text;
}

static void record(struct daemon *daemon, const struct audit_record *reload)
{
    struct error err = {.text = ""};
    if (audit_append(daemon->audit, reload, NULL, &err) != MIKEYD_OK)
        log_error("audit: %s", err.text);
}

/*
 * What changed goes into the record of the reload when it is short enough for a field, otherwise in
 * pieces into records of its own before that one: nothing of it is left out. Twice as long as it is
 * at most, with its backslashes doubled.
 */
static void record_reload(struct daemon *daemon, const char *who, const struct policy *new,
                          const struct policy_signers *signers, const char *difference)
{
    char piece[PIECE_MAX + 1], note[64];
    const size_t len = difference == NULL ? 0 : strlen(difference);
    const size_t pieces = (len + PIECE_MAX - 1) / PIECE_MAX;
    for (size_t i = 0; pieces > 1 && i < pieces; i++) {
        (void)snprintf(piece, sizeof piece, "%s", difference + i * PIECE_MAX);
        (void)snprintf(note, sizeof note, "part %zu of %zu", i + 1, pieces);
        record(daemon, &(struct audit_record){.event = AUDIT_POLICY_CHANGE,
                                              .client = who,
                                              .operation = note,
                                              .policy_sha256 = policy_sha256(new),
                                              .detail = piece});
    }
    (void)snprintf(note, sizeof note, "in %zu records policy_change before this one", pieces);
    record(daemon,
           &(struct audit_record){.event = AUDIT_RELOAD,
                                  .client = who,
                                  .policy_sha256 = policy_sha256(new),
                                  .policy_serial = signed_policy_serial(daemon->config, new),
                                  .officers = daemon->officers == NULL ? NULL : signers->text,
                                  .detail = pieces > 1 ? note : difference});
}

static void refuse(struct daemon *daemon, const char *who, const struct policy *old,
                   const struct error *err)
{
    atomic_fetch_add(&daemon->counters.reloads_refused, 1);
    log_error("reload refused, the old policy stays in force: %s", err->text);
    record(daemon, &(struct audit_record){.event = AUDIT_RELOAD_REFUSED,
                                          .status = err->status,
                                          .client = who,
                                          .policy_sha256 = policy_sha256(old),
                                          .detail = err->text});
}

static void reload_policy(struct daemon *daemon, const char *who)
{
    struct error err = {.text = ""};
    struct policy *old = exchange_service_policy(daemon->service);
    struct policy *new = NULL;
    struct policy_signers signers;
    struct audit_policy_mark last = {.serial = signed_policy_serial(daemon->config, old)};
    (void)snprintf(last.sha256, sizeof last.sha256, "%s", policy_sha256(old));
    enum mikeyd_status status =
        signed_policy_load(daemon->config, daemon->officers, &last, &new, &signers, &err);
    if (status == MIKEYD_OK)
        status = exchange_service_set_policy(daemon->service, new, &err);
    if (status != MIKEYD_OK) {
        refuse(daemon, who, old, &err);
    } else {
        char *difference = describe_difference(old, new);
        atomic_fetch_add(&daemon->counters.reloads, 1);
        log_notice("policy %.16s... in force", policy_sha256(new));
        record_reload(daemon, who, new, &signers, difference);
        free(difference);
        atomic_store(&daemon->policy_changed, true);
        worker_pool_prewarm(daemon->pool);
    }
    policy_unref(new);
    policy_unref(old);
}

static void reload(struct daemon *daemon, const char *who)
{
    struct error err = {.text = ""};
    front_tell_monitor(daemon, CHANNEL_RELOADING, "");
    if (audit_reopen(daemon->audit, &err) != MIKEYD_OK)
        log_error("audit: %s", err.text);
    /* The keys that are found next came by a ceremony. */
    if (audit_link_ceremony(daemon->audit, &err) != MIKEYD_OK)
        log_error("audit: %s", err.text);
    /* Before the policy, which may name keys made since the last look. */
    if (keys_group_rescan(daemon->keys, &err) != MIKEYD_OK)
        log_error("token: %s", err.text);
    reload_policy(daemon, who);
    front_tell_monitor(daemon, CHANNEL_READY, "policy reloaded");
    mailbox_wake(&daemon->mailbox);
}

static void *reloader_main(void *context)
{
    struct reloader *reloader = context;
    (void)pthread_mutex_lock(&reloader->mutex);
    while (!reloader->stopping) {
        if (!reloader->requested) {
            (void)pthread_cond_wait(&reloader->changed, &reloader->mutex);
            continue;
        }
        char who[RELOADER_WHO];
        reloader->requested = false;
        (void)snprintf(who, sizeof who, "%s", reloader->who);
        (void)pthread_mutex_unlock(&reloader->mutex);
        reload(reloader->daemon, who);
        (void)pthread_mutex_lock(&reloader->mutex);
    }
    (void)pthread_mutex_unlock(&reloader->mutex);
    atomic_store(&reloader->ended, true);
    return NULL;
}

enum mikeyd_status reloader_start(struct daemon *daemon, struct reloader **out, struct error *err)
{
    struct reloader *reloader = calloc(1, sizeof *reloader);
    if (reloader == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    reloader->daemon = daemon;
    (void)pthread_mutex_init(&reloader->mutex, NULL);
    (void)pthread_cond_init(&reloader->changed, NULL);
    if (pthread_create(&reloader->thread, NULL, reloader_main, reloader) != 0) {
        free(reloader);
        return error_set(err, MIKEYD_INTERNAL, "cannot start the reloading thread");
    }
    *out = reloader;
    return MIKEYD_OK;
}

void reloader_request(struct reloader *reloader, const char *who)
{
    (void)pthread_mutex_lock(&reloader->mutex);
    if (!reloader->requested)
        (void)snprintf(reloader->who, sizeof reloader->who, "%s", who);
    else if (strcmp(reloader->who, who) != 0)
        (void)snprintf(reloader->who, sizeof reloader->who, "%.70s and others", who);
    reloader->requested = true;
    (void)pthread_cond_signal(&reloader->changed);
    (void)pthread_mutex_unlock(&reloader->mutex);
}

bool reloader_stop(struct reloader *reloader, unsigned timeout_ms)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    const int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    (void)pthread_mutex_lock(&reloader->mutex);
    reloader->stopping = true;
    (void)pthread_cond_signal(&reloader->changed);
    (void)pthread_mutex_unlock(&reloader->mutex);
    while (!atomic_load(&reloader->ended)) {
        if (clock_monotonic_ms() >= deadline_ms)
            return false;
        (void)nanosleep(&pause, NULL);
    }
    (void)pthread_join(reloader->thread, NULL);
    (void)pthread_cond_destroy(&reloader->changed);
    (void)pthread_mutex_destroy(&reloader->mutex);
    free(reloader);
    return true;
}
