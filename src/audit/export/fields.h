/* What the formats share. Inside of export/. */
#ifndef AUDIT_EXPORT_FIELDS_H
#define AUDIT_EXPORT_FIELDS_H

#include <stdio.h>

#include "audit/export/export.h"

/* A string of the record, "" when there is none. */
const char *export_text(const json_t *record, const char *name);
json_int_t export_number(const json_t *record, const char *name);
/* Milliseconds since 1970; false when "time" is no time of ours. */
bool export_time_ms(const json_t *record, int64_t *out);

enum export_weight { EXPORT_INFO, EXPORT_NOTICE, EXPORT_WARNING, EXPORT_ERROR };
/* How much somebody who watches should care. */
enum export_weight export_weight(const json_t *record);

/* Text with a backslash before each of `escaped`; newline and carriage return as \n and \r when
 * `newlines`, and whatever else cannot be seen as base/visible.h shows it. */
void export_escape(FILE *out, const char *text, const char *escaped, bool newlines);

/* One line each; false when memory runs out. */
void export_cef(FILE *out, const struct audit_export *how, const json_t *record, bool verifies);
void export_syslog(FILE *out, const struct audit_export *how, const json_t *record, bool verifies);
bool export_ocsf(FILE *out, const struct audit_export *how, const json_t *record, bool verifies);

#endif
