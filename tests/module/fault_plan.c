#include "fault_plan.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RULES_MAX 32

struct rule {
    char function[32];
    unsigned long from;
    bool onwards;
    unsigned long seen;
    struct fault fault;
};

static struct rule rules[RULES_MAX];
static size_t rule_count;
static bool shuffles, isolates;
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
        {"die", FAULT_DIE},       {"leak", FAULT_LEAK},          {"short", FAULT_SHORT}};
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(actions[i].name, name) == 0) {
            out->action = actions[i].action;
            return true;
        }
    }
    return false;
}

static void take_line(const char *line)
{
    char function[32], count[16], action[16], argument[32] = "0";
    if (line[0] == '#' ||
        sscanf(line, "%31s %15s %15s %31s", function, count, action, argument) < 3)
        return;
    if (strcmp(action, "shuffle") == 0) {
        shuffles = true;
        return;
    }
    if (strcmp(action, "isolate") == 0) {
        isolates = true;
        return;
    }
    struct rule rule = {0};
    if (rule_count == RULES_MAX || !action_named(action, &rule.fault))
        return;
    memcpy(rule.function, function, sizeof rule.function);
    rule.from = strtoul(count, NULL, 10);
    rule.onwards = strchr(count, '+') != NULL;
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
    shuffles = isolates = false;
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

struct fault fault_next(const char *function)
{
    struct fault fault = {FAULT_NONE, 0};
    (void)pthread_mutex_lock(&lock);
    read_plan();
    const unsigned long since = version;
    for (size_t i = 0; i < rule_count; i++) {
        struct rule *rule = &rules[i];
        if (strcmp(rule->function, "*") != 0 && strcmp(rule->function, function) != 0)
            continue;
        rule->seen++;
        if (rule->seen == rule->from || (rule->onwards && rule->seen > rule->from))
            fault = rule->fault;
    }
    (void)pthread_mutex_unlock(&lock);
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

static bool flag_now(const bool *flag)
{
    (void)pthread_mutex_lock(&lock);
    read_plan();
    bool now = *flag;
    (void)pthread_mutex_unlock(&lock);
    return now;
}

bool fault_shuffles(void)
{
    return flag_now(&shuffles);
}

bool fault_isolates(void)
{
    return flag_now(&isolates);
}
