/*
 * The auditor's report: one self-contained HTML page about a log, with charts as inline SVG, no
 * scripts and nothing from elsewhere. The log is read once, in a stream; memory is bounded whatever
 * its length.
 */
#ifndef AUDIT_REPORT_H
#define AUDIT_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "audit/verify/verify.h"

struct audit_report;

/* NULL when memory runs out. */
struct audit_report *audit_report_make(void);
void audit_report_free(struct audit_report *report);
/* One record, in order: fits audit_verify_options.visit. */
void audit_report_add(void *report, const json_t *record, bool verifies);

struct audit_report_input {
    const struct audit_verdict *verdict;
    const json_t *policy;  /* of policy_findings_json(), or NULL */
    const json_t *keys;    /* of `mikeyctl key check --json`, or NULL */
    const char *log_name;  /* as given by the user */
    const char *generated; /* RFC 3339 */
    const char *host;
};
/* False when the stream failed. All text is escaped. */
bool audit_report_write(const struct audit_report *report, const struct audit_report_input *input,
                        FILE *stream);

/* One colour the page uses, and the pairs in which text stands on a background. For the contrast
 * test. */
struct audit_report_colour {
    const char *name; /* "--ink" */
    unsigned rgb;
};
struct audit_report_pair {
    const char *text, *background;
};
extern const struct audit_report_colour audit_report_palette[]; /* ends with name NULL */
extern const struct audit_report_pair audit_report_pairs[];     /* ends with text NULL */

#endif
