/* Charts as inline SVG: each has a text alternative, each bar its value as a title. */
#ifndef AUDIT_REPORT_CHART_H
#define AUDIT_REPORT_CHART_H

#include "audit/report/data.h"

/* "2026-11-22" of days since 1970. */
void report_day_text(int64_t day, char out[16]);

/* One bar a day. what: "exchanges", for titles and the text alternative. */
void report_chart_days(FILE *out, const uint32_t *values, size_t count, int64_t first_day,
                       unsigned width, unsigned height, const char *what);
/* A horizontal bar of value / max. */
void report_chart_bar(FILE *out, uint64_t value, uint64_t max);
/* When which token was down, between the first and the last record. */
void report_chart_outages(FILE *out, const struct audit_report *report);

#endif
