#include "mikeyd/health.h"

#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/log.h"
#include "mikeyd/daemon.h"
#include "mikeyd/front_keys.h"
#include "mikeyd/key_dates.h"
#include "mikeyd/store_watch.h"

/* No clock is right that stands before this program was written: 2026-11-01. */
#define CLOCK_EARLIEST 1793491200
#define DISK_LEAST ((uint64_t)1 << 20)
#define DISK_LITTLE ((uint64_t)64 << 20)

const char *health_part_name(enum health_part part)
{
    static const char *const names[HEALTH_PARTS] = {"token", "keys", "audit", "store", "clock"};
    return names[part];
}

/* ---- telling ---- */

/* The first fault of a part is told. */
static void __attribute__((format(printf, 3, 4)))
say_wrong(struct health *health, enum health_part part, const char *format, ...)
{
    va_list args;
    health->healthy = false;
    if (health->wrong[part][0] != '\0')
        return;
    va_start(args, format);
    (void)vsnprintf(health->wrong[part], HEALTH_TEXT, format, args);
    va_end(args);
}

static void __attribute__((format(printf, 2, 3)))
warn(struct health *health, const char *format, ...)
{
    va_list args;
    if (health->warning_count == HEALTH_WARNINGS)
        return;
    va_start(args, format);
    (void)vsnprintf(health->warning[health->warning_count++], HEALTH_TEXT, format, args);
    va_end(args);
}

/* ---- what a request needs ---- */

static void look_at_keys(const struct policy *policy, int64_t now, struct health *health)
{
    char text[KEY_DATES_TEXT];
    for (size_t i = 0; i < policy_key_count(policy); i++) {
        const enum key_age age = key_dates_judge(policy_key_at(policy, i), now, text);
        if (age == KEY_AGE_EXPIRED)
            say_wrong(health, HEALTH_KEYS, "%s", text);
        else if (age != KEY_AGE_GOOD)
            warn(health, "%s", text);
    }
    health->good_until = key_dates_first_expiry(policy, now);
}

/* Before a write fails. What the file system does not tell, the first failure will. */
static void look_at_disk(const char *folder, enum health_part part, struct health *health)
{
    struct statvfs disk;
    if (statvfs(folder, &disk) != 0)
        return;
    const uint64_t left = (uint64_t)disk.f_bavail * disk.f_frsize;
    if ((disk.f_flag & ST_RDONLY) != 0)
        say_wrong(health, part, "%.160s: the file system is read-only", folder);
    else if (left < DISK_LEAST)
        say_wrong(health, part, "%.160s: the disk is full", folder);
    else if (left < DISK_LITTLE)
        warn(health, "%.160s: %u MiB are left on the disk", folder, (unsigned)(left >> 20));
}

static void look_at_audit(struct daemon *daemon, struct health *health)
{
    char path[PATH_MAX];
    if (!audit_healthy(daemon->audit))
        say_wrong(health, HEALTH_AUDIT, "the audit log cannot be written: no key leaves");
    (void)snprintf(path, sizeof path, "%s", daemon->config->audit_file);
    look_at_disk(dirname(path), HEALTH_AUDIT, health);
}

static void look_at_store(struct daemon *daemon, struct health *health)
{
    struct error err = {.text = ""};
    if (store_watch_check(daemon, &err) != MIKEYD_OK)
        say_wrong(health, HEALTH_STORE, "%.511s", err.text);
    if (daemon->config->replay_lmdb != NULL)
        look_at_disk(daemon->config->replay_lmdb, HEALTH_STORE, health);
}

static void look_at_clock(const struct daemon *daemon, int64_t now, struct health *health)
{
    struct error err = {.text = ""};
    char date[CLOCK_TEXT];
    if (store_watch_check_clock(daemon, &err) != MIKEYD_OK)
        say_wrong(health, HEALTH_CLOCK, "%.511s", err.text);
    if (now >= CLOCK_EARLIEST)
        return;
    clock_format_utc(now * 1000, date);
    say_wrong(health, HEALTH_CLOCK, "the clock says %s, which is over", date);
}

/* One token that serves is enough for the next request; that another does not is to be known. */
static void look_at_token(struct daemon *daemon, struct health *health)
{
    const bool up = keys_group_up(daemon->keys);
    for (size_t i = 0; i < daemon->config->token_count; i++) {
        struct keys_member_status status;
        keys_group_member_status(daemon->keys, i, &status);
        if (status.state == KEYS_MEMBER_CLOSED)
            continue;
        char said[FRONT_KEYS_WHY];
        front_keys_why(daemon, i, said);
        const char *why = said[0] != '\0' ? said : status.why;
        const char *label = status.facts.label[0] != '\0' ? status.facts.label : "";
        if (up)
            warn(health, "token %zu %s is down: %.300s", i, label, why);
        else
            say_wrong(health, HEALTH_TOKEN, "token %zu %s is down: %.300s", i, label, why);
    }
}

void health_look(struct daemon *daemon, struct health *out)
{
    const int64_t now = clock_unix_now();
    struct policy *policy = exchange_service_policy(daemon->service);
    *out = (struct health){.healthy = true};
    look_at_token(daemon, out);
    look_at_keys(policy, now, out);
    look_at_audit(daemon, out);
    look_at_store(daemon, out);
    look_at_clock(daemon, now, out);
    policy_unref(policy);
}

/* ---- asking the token ---- */

/* True for the one who is to ask; all others have the last answer in health. */
static bool is_to_ask(struct health_answer *answer, struct health *health)
{
    (void)pthread_mutex_lock(&answer->mutex);
    const bool ask = !answer->asking && clock_monotonic_ms() >= answer->until_ms;
    answer->asking = answer->asking || ask;
    if (!ask && answer->status != MIKEYD_OK)
        say_wrong(health, HEALTH_TOKEN, "%s", answer->text);
    (void)pthread_mutex_unlock(&answer->mutex);
    return ask;
}

void health_ask_token(struct daemon *daemon, struct health *health)
{
    struct health_answer *answer = &daemon->token_answer;
    struct error err = {.text = ""};
    if (!is_to_ask(answer, health))
        return;
    const enum mikeyd_status status = keys_group_check_health(daemon->keys, &err);
    (void)pthread_mutex_lock(&answer->mutex);
    answer->asking = false;
    answer->status = status;
    answer->until_ms = clock_monotonic_ms() + HEALTH_ASK_MS;
    (void)snprintf(answer->text, sizeof answer->text, "%.511s", err.text);
    (void)pthread_mutex_unlock(&answer->mutex);
    if (status != MIKEYD_OK) {
        /* It knows better than what was seen from outside. */
        health->wrong[HEALTH_TOKEN][0] = '\0';
        say_wrong(health, HEALTH_TOKEN, "%.511s", err.text);
    }
}

/* ---- the log ---- */

void health_tell(struct daemon *daemon)
{
    struct health health;
    const int64_t day = clock_unix_now() / 86400;
    if (daemon->health_told_day == day && daemon->health_told_policy == daemon->policy)
        return;
    daemon->health_told_day = day;
    daemon->health_told_policy = daemon->policy;
    health_look(daemon, &health);
    for (size_t i = 0; i < HEALTH_PARTS; i++) {
        if (health.wrong[i][0] != '\0')
            log_error("%s: %s", health_part_name((enum health_part)i), health.wrong[i]);
    }
    for (size_t i = 0; i < health.warning_count; i++)
        log_warning("%s", health.warning[i]);
}
