/* Counting: one pass over the records, tables of fixed size. */
#include "audit/report/report.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/record.h"
#include "audit/report/data.h"

#define DAY_SECONDS 86400

struct audit_report *audit_report_make(void)
{
    return calloc(1, sizeof(struct audit_report));
}

void audit_report_free(struct audit_report *report)
{
    free(report);
}

bool report_read_time(const char *text, int64_t *seconds)
{
    struct tm utc = {0};
    if (text == NULL)
        return false;
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &utc);
    if (rest == NULL || (*rest != '.' && *rest != 'Z'))
        return false;
    *seconds = (int64_t)timegm(&utc);
    return *seconds >= 0;
}

static const char *field(const json_t *record, const char *name)
{
    const char *value = json_string_value(json_object_get(record, name));
    return value == NULL ? "" : value;
}

static uint64_t number(const json_t *record, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(record, name));
    return value > 0 ? (uint64_t)value : 0;
}

#define COPY(target, source) (void)snprintf(target, sizeof(target), "%s", source)

/* ---- days ---- */

static void forget_days(struct audit_report *report, size_t days)
{
    size_t keep = days < REPORT_DAYS ? REPORT_DAYS - days : 0;
    for (size_t i = 0; i < REPORT_DAYS - keep; i++)
        report->earlier += report->all_by_day[i];
    for (size_t i = 0; i <= report->pair_count; i++) {
        uint32_t *list = i == report->pair_count ? report->all_by_day : report->pairs[i].by_day;
        memmove(list, list + (REPORT_DAYS - keep), keep * sizeof *list);
        memset(list + keep, 0, (REPORT_DAYS - keep) * sizeof *list);
    }
    uint32_t *others = report->pairs[REPORT_PAIRS].by_day;
    memmove(others, others + (REPORT_DAYS - keep), keep * sizeof *others);
    memset(others + keep, 0, (REPORT_DAYS - keep) * sizeof *others);
    report->first_day += (int64_t)days;
}

/* The slot of a day, or -1 for one that lies before the window. The window moves on with the log.
 */
static int day_slot(struct audit_report *report, int64_t seconds)
{
    int64_t day = seconds / DAY_SECONDS;
    if (!report->has_day) {
        report->has_day = true;
        report->first_day = day;
    }
    if (day < report->first_day)
        return -1;
    if (day - report->first_day >= REPORT_DAYS)
        forget_days(report, (size_t)(day - report->first_day - REPORT_DAYS + 1));
    size_t slot = (size_t)(day - report->first_day);
    if (slot >= report->day_count)
        report->day_count = slot + 1;
    return (int)slot;
}

/* ---- tables ---- */

static struct report_pair *find_pair(struct audit_report *report, const char *from, const char *to)
{
    for (size_t i = 0; i < report->pair_count; i++) {
        struct report_pair *pair = &report->pairs[i];
        if (strncmp(pair->from, from, REPORT_NAME - 1) == 0 &&
            strncmp(pair->to, to, REPORT_NAME - 1) == 0)
            return pair;
    }
    if (report->pair_count == REPORT_PAIRS)
        return &report->pairs[REPORT_PAIRS];
    struct report_pair *pair = &report->pairs[report->pair_count++];
    COPY(pair->from, from);
    COPY(pair->to, to);
    return pair;
}

static struct report_client *find_client(struct audit_report *report, const char *name)
{
    for (size_t i = 0; i < report->client_count; i++) {
        if (strncmp(report->clients[i].name, name, REPORT_NAME - 1) == 0)
            return &report->clients[i];
    }
    if (report->client_count == REPORT_CLIENTS)
        return &report->clients[REPORT_CLIENTS];
    struct report_client *client = &report->clients[report->client_count++];
    COPY(client->name, name);
    return client;
}

static void add_exchange(struct audit_report *report, const json_t *record, int64_t seconds,
                         bool is_new)
{
    struct report_pair *pair = find_pair(report, field(record, "from"), field(record, "to"));
    struct report_client *client = find_client(report, field(record, "client"));
    uint64_t keys = number(record, "keys");
    client->keys += keys;
    client->exchanges += is_new ? 1 : 0;
    pair->keys += keys;
    report->keys += keys;
    if (!is_new)
        return;
    int slot = day_slot(report, seconds);
    /* The window may have moved; pairs stay where they are. */
    pair->exchanges++;
    report->exchanges++;
    if (slot < 0) {
        report->earlier++;
        return;
    }
    pair->by_day[slot]++;
    report->all_by_day[slot]++;
}

static bool status_by_name(const char *name, size_t *out)
{
    for (size_t i = 0; i < MIKEYD_STATUS_COUNT; i++) {
        if (strcmp(name, status_name((enum mikeyd_status)i)) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static void add_refusals(struct audit_report *report, const json_t *record, uint64_t count)
{
    size_t status = MIKEYD_INTERNAL;
    (void)status_by_name(field(record, "result"), &status);
    struct report_client *client = find_client(report, field(record, "client"));
    client->refusals += count;
    client->by_status[status] += count;
    report->refusals += count;
    report->by_status[status] += count;
}

static void add_outage(struct audit_report *report, const json_t *record, int64_t seconds, bool up)
{
    const char *token = field(record, "detail");
    struct report_outage *open = NULL;
    for (size_t i = report->outage_count; i-- > 0 && open == NULL;) {
        if (report->outages[i].to[0] == '\0' &&
            strncmp(report->outages[i].token, token, REPORT_NAME - 1) == 0)
            open = &report->outages[i];
    }
    if (up && open != NULL) {
        COPY(open->to, field(record, "time"));
        open->to_s = seconds;
    }
    if (up || open != NULL)
        return;
    report->outages_total++;
    if (report->outage_count == REPORT_OUTAGES)
        return;
    struct report_outage *outage = &report->outages[report->outage_count++];
    COPY(outage->token, token);
    COPY(outage->from, field(record, "time"));
    outage->from_s = seconds;
}

static void fill_event(struct report_event *out, const json_t *record, enum audit_event event)
{
    out->event = event;
    COPY(out->time, field(record, "time"));
    COPY(out->result, field(record, "result"));
    COPY(out->key, field(record, "key"));
    COPY(out->client, field(record, "client"));
    COPY(out->detail, field(record, "detail"));
}

/* The latest ones are kept: the oldest makes room. */
static void add_event(struct report_event *list, size_t cap, size_t *count, const json_t *record,
                      enum audit_event event)
{
    if (*count == cap) {
        memmove(list, list + 1, (cap - 1) * sizeof *list);
        (*count)--;
    }
    fill_event(&list[(*count)++], record, event);
}

static void add_release(struct audit_report *report, const json_t *record)
{
    if (number(record, "keys") == 0)
        return;
    struct report_release *release = &report->releases[report->releases_total++ % REPORT_RELEASES];
    COPY(release->time, field(record, "time"));
    COPY(release->client, field(record, "client"));
    COPY(release->from, field(record, "from"));
    COPY(release->to, field(record, "to"));
    COPY(release->key, field(record, "key"));
    COPY(release->reference, field(record, "reference"));
    release->keys = number(record, "keys");
    release->sequence = number(record, "seq");
}

static void add_policy(struct audit_report *report, const json_t *record)
{
    const char *sha256 = field(record, "policy");
    const char *time = field(record, "time");
    if (sha256[0] == '\0')
        return;
    struct report_policy *policy = NULL;
    for (size_t i = report->policy_count; i-- > 0 && policy == NULL;) {
        if (strcmp(report->policies[i].sha256, sha256) == 0)
            policy = &report->policies[i];
    }
    if (policy == NULL) {
        if (report->policy_count == REPORT_POLICIES)
            return;
        policy = &report->policies[report->policy_count++];
        COPY(policy->sha256, sha256);
        COPY(policy->first, time);
    }
    COPY(policy->last, time);
    if (field(record, "officers")[0] != '\0') {
        COPY(policy->officers, field(record, "officers"));
        policy->serial = (uint64_t)json_integer_value(json_object_get(record, "policy_serial"));
    }
    policy->records++;
}

void audit_report_add(void *context, const json_t *record, bool verifies)
{
    (void)verifies; /* the verdict names what does not */
    struct audit_report *report = context;
    enum audit_event event;
    int64_t seconds = report->last_s;
    if (report_read_time(field(record, "time"), &seconds)) {
        if (report->first_s == 0)
            report->first_s = seconds;
        if (seconds > report->last_s)
            report->last_s = seconds;
    }
    if (!audit_event_by_name(field(record, "event"), &event))
        return;
    report->by_event[event]++;
    add_policy(report, record);
    add_release(report, record);
    switch (event) {
    case AUDIT_INITIATE:
    case AUDIT_RESPOND:
    case AUDIT_UPDATE:
        add_exchange(report, record, seconds, true);
        break;
    case AUDIT_CONFIRM: /* the second half of one that was counted */
        add_exchange(report, record, seconds, false);
        break;
    case AUDIT_REFUSED:
        add_refusals(report, record, 1);
        break;
    case AUDIT_SUPPRESSED:
        add_refusals(report, record, number(record, "count"));
        break;
    case AUDIT_TOKEN_DOWN:
    case AUDIT_TOKEN_UP:
        add_outage(report, record, seconds, event == AUDIT_TOKEN_UP);
        break;
    case AUDIT_KEY_GENERATE:
    case AUDIT_KEY_IMPORT:
    case AUDIT_KEY_UNWRAP:
    case AUDIT_KEY_WRAP:
    case AUDIT_KEY_DERIVE:
    case AUDIT_KEY_DESTROY:
    case AUDIT_KEY_CHECK:
        report->steps_total++;
        add_event(report->steps, REPORT_STEPS, &report->step_count, record, event);
        break;
    case AUDIT_START:
    case AUDIT_STOP:
    case AUDIT_LOGIN:
    case AUDIT_RELOAD:
    case AUDIT_RELOAD_REFUSED:
    case AUDIT_RECOVERED:
    case AUDIT_UNSIGNED:
    case AUDIT_CEREMONY:
    case AUDIT_POLICY_CHANGE:
    case AUDIT_ROTATE:
    case AUDIT_STORE:
        report->events_total++;
        add_event(report->events, REPORT_EVENTS, &report->event_count, record, event);
        break;
    case AUDIT_CHECKPOINT:
    case AUDIT_EVENT_COUNT:
        break;
    }
}
