/*
 * mikeyctl audit follow: sends each new record on as it is written. A process of its own that only
 * reads: a receiver that is slow or down holds up nothing but this. Every record is sent at least
 * once; its number and hash tell doubles.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "mikeyctl/audit_command.h"
#include "mikeyctl/audit_place.h"
#include "mikeyctl/audit_sender.h"

#define POLL_US 200000
/* Records after which the receiver has to have acknowledged what it got. */
#define UNSETTLED_MAX 500
#define SAVE_MS 1000
#define PAUSE_FIRST_MS 500
#define PAUSE_LAST_MS 60000

static volatile sig_atomic_t stopping;

static void stop(int signal)
{
    (void)signal;
    stopping = 1;
}

struct follower {
    const struct audit_arguments *arguments;
    struct audit_export how;
    struct audit_tailer *tailer;
    struct audit_sender *sender;
    struct audit_place sent, settled, saved;
    unsigned unsettled;
    int64_t saved_ms;
    unsigned pause_ms; /* 0: the receiver answers */
    char host[256];
    struct error told;
};

/* Once for the same thing that goes on. */
static void tell(struct follower *follower, const struct error *err)
{
    if (strcmp(follower->told.text, err->text) == 0)
        return;
    follower->told = *err;
    (void)fprintf(stderr, "mikeyctl: %s\n", err->text);
}

static enum mikeyd_status save(struct follower *follower, bool now, struct error *err)
{
    const int64_t ms = clock_monotonic_ms();
    if (follower->arguments->state == NULL ||
        follower->settled.sequence == follower->saved.sequence ||
        (!now && ms - follower->saved_ms < SAVE_MS))
        return MIKEYD_OK;
    enum mikeyd_status status =
        audit_place_save(follower->arguments->state, &follower->settled, err);
    if (status == MIKEYD_OK) {
        follower->saved = follower->settled;
        follower->saved_ms = ms;
    }
    return status;
}

static enum mikeyd_status settle(struct follower *follower, struct error *err)
{
    enum mikeyd_status status = audit_sender_settle(follower->sender, err);
    if (status != MIKEYD_OK)
        return status;
    if (follower->pause_ms != 0)
        (void)fprintf(stderr, "mikeyctl: %s: takes records again\n", follower->arguments->to);
    follower->told = (struct error){0};
    follower->pause_ms = 0;
    follower->unsettled = 0;
    follower->settled = follower->sent;
    return MIKEYD_OK;
}

static enum mikeyd_status send_record(struct follower *follower, const json_t *record,
                                      bool verifies, struct error *err)
{
    size_t len = 0;
    char *line = audit_export_line(&follower->how, record, verifies, &len);
    if (line == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    enum mikeyd_status status = audit_sender_send(follower->sender, line, len, err);
    free(line);
    if (status != MIKEYD_OVERLOADED)
        return status;
    (void)fprintf(stderr, "mikeyctl: record %" JSON_INTEGER_FORMAT " is NOT sent: %s\n",
                  json_integer_value(json_object_get(record, "seq")), err->text);
    return MIKEYD_OK;
}

/* One record, or what is to be done when there is none. *idle: nothing more for now. */
static enum mikeyd_status step(struct follower *follower, bool *idle, struct error *err)
{
    json_t *record = NULL;
    bool verifies = false;
    struct audit_place place;
    enum mikeyd_status status = MIKEYD_OK;
    const enum audit_tailer_step what =
        audit_tailer_next(follower->tailer, &record, &verifies, &place, err);
    *idle = what == AUDIT_TAILER_WAIT;
    if (err->text[0] != '\0')
        tell(follower, err);
    *err = (struct error){0};
    if (what == AUDIT_TAILER_RECORD) {
        status = send_record(follower, record, verifies, err);
        json_decref(record);
        if (status == MIKEYD_OK) {
            follower->sent = place;
            follower->unsettled++;
        }
    }
    if (status == MIKEYD_OK && follower->unsettled > 0 &&
        (*idle || follower->unsettled >= UNSETTLED_MAX))
        status = settle(follower, err);
    return status;
}

/* What was not acknowledged is sent again after a pause, each longer than the one before. */
static void back_off(struct follower *follower, const struct error *err)
{
    tell(follower, err);
    audit_tailer_seek(follower->tailer, &follower->settled);
    follower->sent = follower->settled;
    follower->unsettled = 0;
    follower->pause_ms = follower->pause_ms == 0                  ? PAUSE_FIRST_MS
                         : follower->pause_ms * 2 < PAUSE_LAST_MS ? follower->pause_ms * 2
                                                                  : PAUSE_LAST_MS;
    const int64_t until = clock_monotonic_ms() + follower->pause_ms;
    while (!stopping && clock_monotonic_ms() < until)
        (void)usleep(POLL_US / 4);
}

static enum mikeyd_status run(struct follower *follower, struct error *err)
{
    const bool once = follower->arguments->once;
    while (!stopping) {
        bool idle = false;
        enum mikeyd_status status = step(follower, &idle, err);
        if (status != MIKEYD_OK && once)
            return status;
        if (status != MIKEYD_OK)
            back_off(follower, err);
        *err = (struct error){0};
        status = save(follower, false, err);
        if (status != MIKEYD_OK)
            return status; /* it could not stop and go on: somebody has to look */
        if (idle && once)
            break;
        if (idle)
            (void)usleep(POLL_US);
    }
    if (follower->unsettled > 0) {
        struct error last = {0};
        if (settle(follower, &last) != MIKEYD_OK)
            tell(follower, &last);
    }
    return save(follower, true, err);
}

static enum mikeyd_status prepare(struct follower *follower, struct error *err)
{
    const struct audit_arguments *arguments = follower->arguments;
    if (arguments->file_count != 1)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "follow: one file, the one that is being written");
    if (arguments->state == NULL && strcmp(arguments->to, "stdout") != 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "follow: needs --state FILE, where it keeps how far it has come");
    enum mikeyd_status status = audit_export_how(arguments, &follower->how, err);
    if (status != MIKEYD_OK)
        return status;
    if (arguments->host == NULL && gethostname(follower->host, sizeof follower->host - 1) == 0)
        follower->how.host = follower->host;
    const struct audit_sender_options to = {.to = arguments->to,
                                            .ca = arguments->ca,
                                            .certificate = arguments->certificate,
                                            .key = arguments->key,
                                            .octet_counting = follower->how.format == AUDIT_SYSLOG};
    follower->tailer = audit_tailer_make(arguments->files[0]);
    if (follower->tailer == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    status = audit_sender_make(&to, &follower->sender, err);
    if (status == MIKEYD_OK && arguments->state != NULL)
        status = audit_place_load(arguments->state, &follower->settled, err);
    follower->sent = follower->saved = follower->settled;
    audit_tailer_seek(follower->tailer, &follower->settled);
    return status;
}

int audit_command_follow(const struct audit_arguments *arguments)
{
    struct error err = {0};
    struct audit_arguments given = *arguments;
    struct follower follower = {.arguments = &given};
    const struct sigaction action = {.sa_handler = stop};
    if (given.to == NULL)
        given.to = "stdout";
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    enum mikeyd_status status = prepare(&follower, &err);
    if (status == MIKEYD_OK)
        status = run(&follower, &err);
    audit_tailer_free(follower.tailer);
    audit_sender_free(follower.sender);
    return status == MIKEYD_OK ? 0 : ctl_fail(false, &err);
}
