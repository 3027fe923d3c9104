#include "mikeyd/front_keys.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "mikeyd/reloader.h"

/* Two at most live at once, and their ends may be told late. */
#define KNOWN 4
/* Once one token serves, the others have so long to say what becomes of them. */
#define PATIENCE_MS 3000

struct known_keyholder {
    uint64_t number;   /* the group's; 0: none */
    uint64_t instance; /* the monitor's */
    int pid;
};

struct front_member {
    struct known_keyholder known[KNOWN];
    size_t next;
    uint64_t joined; /* keyholders so far; asked by the main thread alone */
    uint64_t login;  /* number of the keyholder whose login is recorded */
    bool announced;  /* it has served once */
    bool was_up, ended;
    enum mikeyd_status status; /* why it ended */
    char why[FRONT_KEYS_WHY];
    uint64_t recycled; /* number of the keyholder a successor was asked for */
};

struct front_keys {
    /* Of `known`, `next` and `why`, which only the main thread changes, and status reports read. */
    pthread_mutex_t lock;
    struct front_member member[KEYS_MEMBERS_MAX];
};

/* ---- to the monitor */

static void tell(struct daemon *daemon, const struct channel_message *message)
{
    /* A monitor that is gone takes this process with it. */
    if (daemon->channel >= 0)
        (void)channel_send(daemon->channel, message, -1);
}

void front_tell_monitor(struct daemon *daemon, enum channel_kind kind, const char *text)
{
    struct channel_message message = {.kind = kind};
    (void)snprintf(message.text, sizeof message.text, "%s", text);
    tell(daemon, &message);
}

static void tell_of_keyholder(struct daemon *daemon, enum channel_kind kind, size_t member,
                              uint64_t number)
{
    const struct front_member *m = &daemon->front_keys->member[member];
    for (size_t i = 0; i < KNOWN; i++) {
        if (m->known[i].number == number && number != 0) {
            const struct channel_message message = {
                .kind = kind, .member = (uint32_t)member, .instance = m->known[i].instance};
            tell(daemon, &message);
        }
    }
}

/* ---- from the monitor */

static void join(struct daemon *daemon, const struct channel_message *message, int control)
{
    struct front_member *m = &daemon->front_keys->member[message->member];
    const struct known_keyholder known = {
        .number = keys_group_join(daemon->keys, message->member, control),
        .instance = message->instance,
        .pid = message->pid,
    };
    m->ended = false;
    m->joined++;
    (void)pthread_mutex_lock(&daemon->front_keys->lock);
    m->known[m->next] = known;
    m->next = (m->next + 1) % KNOWN;
    m->why[0] = '\0';
    (void)pthread_mutex_unlock(&daemon->front_keys->lock);
}

static void gone(struct daemon *daemon, const struct channel_message *message)
{
    struct front_member *m = &daemon->front_keys->member[message->member];
    (void)pthread_mutex_lock(&daemon->front_keys->lock);
    for (size_t i = 0; i < KNOWN; i++) {
        struct known_keyholder *known = &m->known[i];
        if (known->number != 0 && known->instance == message->instance) {
            keys_group_lose(daemon->keys, message->member, known->number);
            known->pid = 0;
        }
    }
    (void)snprintf(m->why, sizeof m->why, "%s", message->text);
    (void)pthread_mutex_unlock(&daemon->front_keys->lock);
    m->status = message->status != 0 && message->status < MIKEYD_STATUS_COUNT
                    ? (enum mikeyd_status)message->status
                    : MIKEYD_TOKEN_DOWN;
    m->ended = true;
}

static void obey(struct daemon *daemon, const struct channel_message *message, int fd)
{
    const bool member = message->member < daemon->config->token_count;
    if (message->kind == CHANNEL_JOIN && member && fd >= 0) {
        join(daemon, message, fd);
        return;
    }
    if (fd >= 0)
        (void)close(fd);
    if (message->kind == CHANNEL_GONE && member) {
        gone(daemon, message);
    } else if (message->kind == CHANNEL_STOP) {
        daemon_begin_stop(daemon);
    } else if (message->kind == CHANNEL_RELOAD && daemon->reloader != NULL) {
        log_notice("%s: reloading", message->text);
        reloader_request(daemon->reloader, message->text);
    }
}

void front_keys_hear(struct daemon *daemon)
{
    struct channel_message message;
    int fd, got = 0;
    while (daemon->channel >= 0 && (got = channel_receive(daemon->channel, &message, &fd)) > 0)
        obey(daemon, &message, fd);
    if (got < 0) {
        log_error("the monitor is gone: ending");
        (void)close(daemon->channel);
        daemon->channel = -1;
        daemon_begin_stop(daemon);
    }
}

/* ---- what happened to the group */

/* member: whom it is about, where its keyholder is known. */
static void record(struct daemon *daemon, enum audit_event event, enum mikeyd_status status,
                   size_t member, const uint8_t *holder, const char *detail)
{
    struct error err = {.text = ""};
    const struct audit_record record = {
        .event = event,
        .status = status,
        .holder = holder,
        .token = (unsigned)member + 1,
        .policy_sha256 = policy_sha256(daemon->policy),
        .detail = detail,
    };
    if (audit_append(daemon->audit, &record, NULL, &err) != MIKEYD_OK)
        log_error("audit: %s", err.text);
}

static void came_up(struct daemon *daemon, size_t member, uint64_t number)
{
    struct front_member *m = &daemon->front_keys->member[member];
    struct keys_member_status status;
    char detail[160];
    keys_group_member_status(daemon->keys, member, &status);
    const struct door_facts *facts = &status.facts;
    /* A login is a fact of its own: each keyholder makes one. */
    if (m->login != number) {
        m->login = number;
        (void)snprintf(detail, sizeof detail, "token %s, serial %s, PRF by %s", facts->label,
                       facts->serial, facts->prf_derive ? "derivation" : "HMAC calls");
        log_notice("%s, %u keys", detail, (unsigned)facts->key_count);
        record(daemon, AUDIT_LOGIN, MIKEYD_OK, member, facts->incarnation, detail);
    }
    if (m->announced && !m->was_up) {
        log_notice("token %s is up again", facts->label);
        record(daemon, AUDIT_TOKEN_UP, MIKEYD_OK, member, facts->incarnation, facts->label);
    }
    m->announced = m->was_up = true;
}

static void went_down(struct daemon *daemon, size_t member, const char *why)
{
    struct front_member *m = &daemon->front_keys->member[member];
    struct keys_member_status status;
    if (!m->was_up)
        return;
    m->was_up = false;
    keys_group_member_status(daemon->keys, member, &status);
    log_error("token %s is down: %s", status.facts.label, why);
    record(daemon, AUDIT_TOKEN_DOWN, MIKEYD_TOKEN_DOWN, member, status.facts.incarnation,
           status.facts.label);
}

static void tell_event(struct daemon *daemon, const struct keys_event *event)
{
    switch (event->kind) {
    case KEYS_EVENT_UP:
        came_up(daemon, event->member, event->keyholder);
        break;
    case KEYS_EVENT_DOWN:
        went_down(daemon, event->member, event->text);
        break;
    case KEYS_EVENT_OVERRUN:
        went_down(daemon, event->member, event->text);
        tell_of_keyholder(daemon, CHANNEL_KILL, event->member, event->keyholder);
        break;
    case KEYS_EVENT_UNMARKED:
        log_warning("%s", event->text);
        record(daemon, AUDIT_STORE, MIKEYD_OK, event->member, NULL, event->text);
        break;
    case KEYS_EVENT_DIFFERS:
        log_error("token %zu is not used: %s", event->member, event->text);
        record(daemon, AUDIT_TOKEN_DOWN, MIKEYD_POLICY, event->member, NULL, event->text);
        break;
    }
}

/* A module that leaks is replaced before it hurts. */
static void ask_for_successors(struct daemon *daemon)
{
    for (size_t i = 0; i < daemon->config->token_count; i++) {
        struct front_member *m = &daemon->front_keys->member[i];
        const struct known_keyholder *newest = &m->known[(m->next + KNOWN - 1) % KNOWN];
        struct keys_member_status status;
        keys_group_member_status(daemon->keys, i, &status);
        if (status.state != KEYS_MEMBER_CLOSED || !status.facts.recycle ||
            m->recycled == newest->number)
            continue;
        m->recycled = newest->number;
        tell_of_keyholder(daemon, CHANNEL_RECYCLE, i, newest->number);
    }
}

void front_keys_tell(struct daemon *daemon)
{
    struct keys_event event;
    while (keys_group_next_event(daemon->keys, &event))
        tell_event(daemon, &event);
    ask_for_successors(daemon);
}

/* ---- opening */

static void changed(void *context)
{
    struct daemon *daemon = context;
    if (daemon->mailbox.fd >= 0)
        mailbox_wake(&daemon->mailbox);
}

enum progress { WAITING, SERVES, FAILED };

static enum progress progress_of(struct daemon *daemon, size_t member)
{
    struct keys_member_status status;
    keys_group_member_status(daemon->keys, member, &status);
    if (status.state == KEYS_MEMBER_CLOSED)
        return SERVES;
    if (status.state == KEYS_MEMBER_DIFFERS || daemon->front_keys->member[member].ended)
        return FAILED;
    return WAITING;
}

static enum mikeyd_status first_failure(struct daemon *daemon, struct error *err)
{
    for (size_t i = 0; i < daemon->config->token_count; i++) {
        const struct front_member *m = &daemon->front_keys->member[i];
        struct keys_member_status status;
        keys_group_member_status(daemon->keys, i, &status);
        if (status.state == KEYS_MEMBER_DIFFERS)
            return error_set(err, MIKEYD_POLICY, "%s", status.why);
        if (m->ended)
            return error_set(err, m->status, "%s", m->why);
    }
    return error_set(err, MIKEYD_TOKEN_DOWN, "no token serves");
}

static enum mikeyd_status wait_for_tokens(struct daemon *daemon, struct error *err)
{
    const size_t members = daemon->config->token_count;
    int64_t served_since_ms = 0;
    while (!daemon->stopping) {
        struct pollfd channel = {.fd = daemon->channel, .events = POLLIN};
        (void)poll(&channel, 1, 10);
        front_keys_hear(daemon);
        size_t serve = 0, failed = 0;
        for (size_t i = 0; i < members; i++) {
            const enum progress progress = progress_of(daemon, i);
            serve += progress == SERVES;
            failed += progress == FAILED;
        }
        const int64_t now_ms = clock_monotonic_ms();
        if (serve != 0 && served_since_ms == 0)
            served_since_ms = now_ms;
        if (serve != 0 && (serve + failed == members || now_ms - served_since_ms >= PATIENCE_MS))
            return MIKEYD_OK;
        if (failed == members)
            return first_failure(daemon, err);
    }
    return MIKEYD_OK;
}

enum mikeyd_status front_keys_open(struct daemon *daemon, struct error *err)
{
    const struct config *config = daemon->config;
    struct keys_group_config group = {
        .members = config->token_count,
        .store = daemon->store == NULL ? NULL : store_identity(daemon->store),
        .changed = changed,
        .context = daemon};
    daemon->front_keys = calloc(1, sizeof *daemon->front_keys);
    if (daemon->front_keys == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    (void)pthread_mutex_init(&daemon->front_keys->lock, NULL);
    for (size_t i = 0; i < config->token_count; i++) {
        group.call_timeout_ms[i] = config->tokens[i].call_timeout_ms;
        group.sessions[i] = config->tokens[i].sessions;
    }
    enum mikeyd_status status = keys_group_make(&group, &daemon->keys, err);
    if (status == MIKEYD_OK)
        status = wait_for_tokens(daemon, err);
    if (status == MIKEYD_OK && daemon->audit != NULL)
        front_keys_tell(daemon);
    return status;
}

void front_keys_close(struct daemon *daemon)
{
    keys_group_free(daemon->keys);
    (void)pthread_mutex_destroy(&daemon->front_keys->lock);
    free(daemon->front_keys);
    daemon->keys = NULL;
    daemon->front_keys = NULL;
}

int front_keys_pid(const struct daemon *daemon, size_t member)
{
    struct front_keys *keys = daemon->front_keys;
    const struct front_member *m = &keys->member[member];
    (void)pthread_mutex_lock(&keys->lock);
    const int pid = m->known[(m->next + KNOWN - 1) % KNOWN].pid;
    (void)pthread_mutex_unlock(&keys->lock);
    return pid;
}

uint64_t front_keys_joined(const struct daemon *daemon, size_t member)
{
    return daemon->front_keys->member[member].joined;
}

void front_keys_why(const struct daemon *daemon, size_t member, char out[FRONT_KEYS_WHY])
{
    struct front_keys *keys = daemon->front_keys;
    (void)pthread_mutex_lock(&keys->lock);
    (void)snprintf(out, FRONT_KEYS_WHY, "%s", keys->member[member].why);
    (void)pthread_mutex_unlock(&keys->lock);
}
