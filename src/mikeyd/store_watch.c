#include "mikeyd/store_watch.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/redis.h"
#include "store/store_clock.h"

_Static_assert(STORE_MARK <= AUDIT_STORE_MARK_MAX, "the log takes every mark");

/* ---- opening */

static enum mikeyd_status ask_log(struct daemon *daemon, struct store_witness *out,
                                  struct error *err)
{
    char mark[AUDIT_STORE_MARK_MAX];
    enum mikeyd_status status = audit_last_store(daemon->config->audit_file, mark, err);
    if (status != MIKEYD_OK)
        return status;
    /* One that is too long is cut, and then none of ours. */
    (void)snprintf(out->mark, sizeof out->mark, "%.*s", STORE_MARK - 1, mark);
    out->log_sequence = daemon->log_found;
    return MIKEYD_OK;
}

/* The log holds the mark before anything else is done: it is what the next start goes by. */
static enum mikeyd_status record_opening(struct daemon *daemon, struct error *err)
{
    struct error why = {.text = ""};
    enum mikeyd_status result = store_watch_check(daemon, &why);
    return daemon_record(daemon, AUDIT_STORE, result,
                         result == MIKEYD_OK ? "the replay store goes on" : why.text, err);
}

static enum mikeyd_status open_redis(struct daemon *daemon, unsigned window_s,
                                     const struct store_witness *witness, struct error *err)
{
    const struct config_redis *redis = daemon->config->replay_redis;
    const struct redis_tls_files tls = {.ca = redis->tls_ca,
                                        .certificate = redis->tls_certificate,
                                        .key = redis->tls_key,
                                        .server_name = redis->tls_server_name};
    const struct redis_options options = {.servers = redis->servers,
                                          .server_count = redis->server_count,
                                          .sentinel_service = redis->sentinel_service,
                                          .sentinels = redis->sentinels,
                                          .sentinel_count = redis->sentinel_count,
                                          .replicas = redis->replicas,
                                          .user = redis->user,
                                          .password_file = redis->password_file,
                                          .tls = redis->tls_ca == NULL ? NULL : &tls,
                                          .timeout_ms = redis->timeout_ms};
    return redis_store_open(&options, window_s, witness, &daemon->store, err);
}

static enum mikeyd_status open_store(struct daemon *daemon, const struct store_witness *witness,
                                     struct error *err)
{
    const unsigned window_s = exchange_store_window_s(daemon->policy);
    const char *folder = daemon->config->replay_lmdb;
    return folder != NULL ? lmdb_store_open(folder, window_s, witness, &daemon->store, err)
                          : open_redis(daemon, window_s, witness, err);
}

enum mikeyd_status store_watch_open(struct daemon *daemon, struct error *err)
{
    struct store_witness witness = {.mark = ""};
    clock_watch_start(&daemon->clock, clock_unix_ms(), store_clock_boottime_ms());
    enum mikeyd_status status = ask_log(daemon, &witness, err);
    if (status == MIKEYD_OK)
        status = open_store(daemon, &witness, err);
    return status == MIKEYD_OK ? record_opening(daemon, err) : status;
}

/* ---- every second */

static void tell_step(int64_t step_ms, bool doubtful)
{
    log_write(doubtful ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
              "the clock stepped by %+" PRId64 ".%03d s%s", step_ms / 1000,
              (int)((step_ms < 0 ? -step_ms : step_ms) % 1000),
              doubtful ? ", more than the clock skew: if it is wrong now, messages of others are "
                         "refused and they refuse ours"
                       : "");
}

static void look_at_clock(struct daemon *daemon)
{
    daemon->skew_ms = (int64_t)policy_max_skew_s(daemon->policy) * 1000;
    const bool was_right = store_watch_check_clock(daemon, NULL) == MIKEYD_OK;
    const int64_t patience_ms = (int64_t)exchange_store_window_s(daemon->policy) * 1000;
    const int64_t step_ms =
        clock_watch_look(&daemon->clock, clock_unix_ms(), store_clock_boottime_ms(), patience_ms);
    const bool right = store_watch_check_clock(daemon, NULL) == MIKEYD_OK;
    if (step_ms != 0)
        tell_step(step_ms, !right);
    if (!was_right && right)
        log_notice("the clock is believed again");
}

/* A file that is moved away, and with it its marks, leaves the next one able to prove the age. */
static void mark_new_file(struct daemon *daemon)
{
    struct audit_stats stats;
    char mark[STORE_MARK];
    struct error err = {.text = ""};
    uint64_t sequence;
    audit_get_stats(daemon->audit, &stats);
    if (stats.rotations == daemon->marked_files)
        return;
    store_get_mark(daemon->store, mark);
    const struct audit_record record = {
        .event = AUDIT_STORE,
        .status = MIKEYD_OK,
        .policy_sha256 = policy_sha256(daemon->policy),
        .policy_serial = signed_policy_serial(daemon->config, daemon->policy),
        .store = mark,
        .detail = "the log goes on in a new file",
    };
    if (audit_append(daemon->audit, &record, &sequence, &err) == MIKEYD_OK)
        daemon->marked_files = stats.rotations;
}

void store_watch_look(struct daemon *daemon)
{
    store_note_log(daemon->store, audit_durable(daemon->audit));
    mark_new_file(daemon);
    look_at_clock(daemon);
}

/* ---- health */

enum mikeyd_status store_watch_check(struct daemon *daemon, struct error *err)
{
    return store_check(daemon->store, err);
}

enum mikeyd_status store_watch_check_clock(const struct daemon *daemon, struct error *err)
{
    const int64_t skew_ms = daemon->skew_ms;
    const int64_t off_ms = daemon->clock.off_ms;
    if (off_ms <= skew_ms && off_ms >= -skew_ms)
        return MIKEYD_OK;
    int64_t left_s = (daemon->clock.until_ms - store_clock_boottime_ms()) / 1000;
    return error_set(err, MIKEYD_CLOCK_SKEW,
                     "the clock was set %s by %" PRId64
                     " s, more than the clock skew: if it is wrong, mend its synchronisation "
                     "(chronyc tracking) and set it, no restart is needed; if it is right, this "
                     "ends in %" PRId64 " s",
                     off_ms < 0 ? "back" : "forward", (off_ms < 0 ? -off_ms : off_ms) / 1000,
                     left_s < 0 ? 0 : left_s);
}
