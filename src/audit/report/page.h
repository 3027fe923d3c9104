/* The sections of the page, in their order. */
#ifndef AUDIT_REPORT_HTML_H
#define AUDIT_REPORT_HTML_H

#include "audit/report/data.h"

void report_write_integrity(FILE *out, const struct audit_report_input *input);
void report_write_policy(FILE *out, const struct audit_report *report,
                         const struct audit_report_input *input);
void report_write_keys(FILE *out, const struct audit_report *report,
                       const struct audit_report_input *input);
void report_write_exchanges(FILE *out, const struct audit_report *report);
void report_write_refusals(FILE *out, const struct audit_report *report);
void report_write_outages(FILE *out, const struct audit_report *report);
void report_write_events(FILE *out, const struct audit_report *report);
void report_write_requirements(FILE *out, const struct audit_report_input *input);

/* "2026-11-22T01:02:03.456Z" as "2026-11-22 01:02:03". */
const char *report_time(const char *time, char buffer[CLOCK_TEXT]);

#endif
