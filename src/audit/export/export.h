/*
 * A record of the log in the words of the systems that collect events: CEF (ArcSight), OCSF 1.3.0
 * (JSON) and syslog (RFC 5424, structured data). The number and the hash of the record travel with
 * each, so that an event can be held against the log. Whatever stands in a record stays a value:
 * each format's own escaping.
 */
#ifndef AUDIT_EXPORT_EXPORT_H
#define AUDIT_EXPORT_EXPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum audit_format { AUDIT_CEF, AUDIT_OCSF, AUDIT_SYSLOG };
/* "cef", "ocsf", "syslog"; false for others. */
bool audit_format_by_name(const char *name, enum audit_format *out);

struct audit_export {
    enum audit_format format;
    const char *host;    /* where the log was written; NULL: not known */
    const char *version; /* of this program */
};

/*
 * One line without its newline; free() it, *len its length. NULL when memory runs out. verifies: as
 * audit_verify_options.visit has it.
 */
char *audit_export_line(const struct audit_export *how, const json_t *record, bool verifies,
                        size_t *len);

#endif
