#include "fault_plan.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fault_tally.h"

#define RULES_MAX 32

struct rule {
    char function[32];
    unsigned long from;
    bool onwards, repeats;
    unsigned long seen;
    struct fault fault;
};

static struct rule rules[RULES_MAX];
static size_t rule_count;
static const struct fault_state healthy = {.sessions = ULONG_MAX};
static struct fault_state state = {.sessions = ULONG_MAX};
static unsigned long version;
static struct stat plan_stat;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool action_named(const char *name, struct fault *out)
{
    static const struct {
        const char *name;
        enum fault_action action;
    } actions[] = {
        {"rv", FAULT_RV},         {"delay", FAULT_DELAY},        {"hang", FAULT_HANG},
        {"logout", FAULT_LOGOUT}, {"closeall", FAULT_CLOSE_ALL}, {"finalize", FAULT_FINALIZE},
        {"flags", FAULT_FLAGS},   {"corrupt", FAULT_CORRUPT},    {"minimum", FAULT_MINIMUM},
        {"die", FAULT_DIE},       {"leak", FAULT_LEAK},          {"short", FAULT_SHORT},
        {"long", FAULT_LONG}};
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(actions[i].name, name) == 0) {
            out->action = actions[i].action;
            return true;
        }
    }
    return false;
}

static bool state_named(const char *name, unsigned long argument)
{
    if (strcmp(name, "shuffle") == 0)
        state.shuffles = true;
    else if (strcmp(name, "isolate") == 0)
        state.isolates = true;
    else if (strcmp(name, "lost") == 0)
        state.lost = true;
    else if (strcmp(name, "sessions") == 0)
        state.sessions = argument;
    else if (strcmp(name, "slots") == 0)
        state.slots = argument;
    else
        return false;
    return true;
}

static void take_line(const char *line)
{
    char function[32], count[16], action[16], argument[32] = "0";
    if (line[0] == '#' ||
        sscanf(line, "%31s %15s %15s %31s", function, count, action, argument) < 3)
        return;
    if (state_named(action, strtoul(argument, NULL, 0)))
        return;
    struct rule rule = {0};
    if (rule_count == RULES_MAX || !action_named(action, &rule.fault))
        return;
    memcpy(rule.function, function, sizeof rule.function);
    rule.from = strtoul(count, NULL, 10);
    rule.onwards = strchr(count, '+') != NULL;
    rule.repeats = strchr(count, '%') != NULL && rule.from != 0;
    rule.fault.argument = strtoul(argument, NULL, 0);
    rules[rule_count++] = rule;
}

/* With the lock held. */
static void read_plan(void)
{
    const char *path = getenv("MIKEYD_FAULT_PLAN");
    struct stat now = {0};
    if (path == NULL || stat(path, &now) != 0)
        return;
    if (version != 0 && now.st_mtim.tv_sec == plan_stat.st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == plan_stat.st_mtim.tv_nsec && now.st_ino == plan_stat.st_ino)
        return;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    plan_stat = now;
    version++;
    rule_count = 0;
    state = healthy;
    char line[160];
    while (fgets(line, sizeof line, file) != NULL)
        take_line(line);
    (void)fclose(file);
}

static void pause_ms(unsigned long ms)
{
    const struct timespec pause = {.tv_sec = (time_t)(ms / 1000),
                                   .tv_nsec = (long)(ms % 1000) * 1000000L};
    (void)nanosleep(&pause, NULL);
}

static unsigned long version_now(void)
{
    (void)pthread_mutex_lock(&lock);
    read_plan();
    unsigned long now = version;
    (void)pthread_mutex_unlock(&lock);
    return now;
}

static void hang_until_changed(unsigned long since)
{
    while (version_now() == since)
        pause_ms(5);
}

/* Written to, so that it is memory in use. */
static void leak(unsigned long bytes)
{
    static void *volatile lost;
    lost = malloc(bytes);
    if (lost != NULL)
        memset(lost, 1, bytes);
}

static bool rule_strikes(const struct rule *rule)
{
    if (rule->repeats)
        return rule->seen % rule->from == 0;
    return rule->seen == rule->from || (rule->onwards && rule->seen > rule->from);
}

struct fault fault_next(enum fault_function function)
{
    struct fault fault = {FAULT_NONE, 0};
    (void)pthread_mutex_lock(&lock);
    read_plan();
    const unsigned long since = version;
    for (size_t i = 0; i < rule_count; i++) {
        struct rule *rule = &rules[i];
        if (strcmp(rule->function, "*") != 0 &&
            strcmp(rule->function, fault_function_name(function)) != 0)
            continue;
        rule->seen++;
        if (rule_strikes(rule))
            fault = rule->fault;
    }
    (void)pthread_mutex_unlock(&lock);
    (void)atomic_fetch_add(&fault_tally()->calls[function], 1);
    if (fault.action != FAULT_NONE)
        (void)atomic_fetch_add(&fault_tally()->struck, 1);
    if (fault.action == FAULT_DELAY)
        pause_ms(fault.argument);
    if (fault.action == FAULT_HANG)
        hang_until_changed(since);
    if (fault.action == FAULT_DIE)
        _exit(1);
    if (fault.action == FAULT_LEAK)
        leak(fault.argument);
    return fault;
}

struct fault_state fault_state(void)
{
    (void)pthread_mutex_lock(&lock);
    const struct fault_state now = state;
    (void)pthread_mutex_unlock(&lock);
    return now;
}
