/* What the report counts. Inside of the report: report.c fills it, report_*.c print it. */
#ifndef AUDIT_REPORT_DATA_H
#define AUDIT_REPORT_DATA_H

#include "audit/audit.h"
#include "audit/report/report.h"

#define REPORT_PAIRS 1024 /* counted one by one; the rest together */
#define REPORT_DAYS 400   /* the latest ones; older days are summed */
#define REPORT_CLIENTS 256
#define REPORT_OUTAGES 200
#define REPORT_STEPS 500 /* ceremony steps shown */
#define REPORT_EVENTS 300
#define REPORT_RELEASES 60 /* the latest */
#define REPORT_POLICIES 64
#define REPORT_NAME 160

struct report_pair {
    char from[REPORT_NAME], to[REPORT_NAME];
    uint64_t exchanges, keys;
    uint32_t by_day[REPORT_DAYS];
};

struct report_client {
    char name[REPORT_NAME];
    uint64_t exchanges, keys;
    uint64_t refusals;
    uint64_t by_status[MIKEYD_STATUS_COUNT];
};

struct report_outage {
    char token[REPORT_NAME];
    char from[CLOCK_TEXT], to[CLOCK_TEXT]; /* to "": not over at the end of the log */
    int64_t from_s, to_s;
};

/* A line of a table of events. */
struct report_event {
    char time[CLOCK_TEXT];
    enum audit_event event;
    char result[24];
    char key[REPORT_NAME];
    char client[64];
    char detail[240];
};

/* Session keys that went to a client. */
struct report_release {
    char time[CLOCK_TEXT];
    char client[64];
    char from[REPORT_NAME], to[REPORT_NAME];
    char key[REPORT_NAME];
    char reference[REPORT_NAME]; /* the client's name for the call */
    uint64_t keys, sequence;
};

struct report_policy {
    char sha256[65];
    char first[CLOCK_TEXT], last[CLOCK_TEXT];
    char officers[256]; /* who signed it; "": nobody, or not told */
    uint64_t serial;    /* 0: none */
    uint64_t records;
};

struct audit_report {
    int64_t first_day; /* days since 1970 of by_day[0]; meaningful when has_day */
    bool has_day;
    size_t day_count;                           /* from first_day to the latest */
    struct report_pair pairs[REPORT_PAIRS + 1]; /* the last: all others */
    size_t pair_count;
    uint32_t all_by_day[REPORT_DAYS];
    uint64_t earlier; /* exchanges before first_day */
    uint64_t exchanges, keys, refusals;
    uint64_t by_event[AUDIT_EVENT_COUNT];
    uint64_t by_status[MIKEYD_STATUS_COUNT]; /* refusals */
    struct report_client clients[REPORT_CLIENTS + 1];
    size_t client_count;
    struct report_outage outages[REPORT_OUTAGES];
    size_t outage_count;
    uint64_t outages_total;
    struct report_event steps[REPORT_STEPS];
    size_t step_count;
    uint64_t steps_total;
    struct report_event events[REPORT_EVENTS]; /* start, stop, reload, recovered ... */
    size_t event_count;
    uint64_t events_total;
    struct report_release releases[REPORT_RELEASES]; /* a ring: the next one goes to [total % N] */
    uint64_t releases_total;
    struct report_policy policies[REPORT_POLICIES];
    size_t policy_count;
    int64_t first_s, last_s; /* Unix seconds of the first and last record with a time */
};

/* "2026-11-22T01:02:03.456Z" to Unix seconds; false when it is not such a time. */
bool report_read_time(const char *text, int64_t *seconds);

#endif
