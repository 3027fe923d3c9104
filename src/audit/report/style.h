/* The look of the report: colours by name, and the style sheet made of them. */
#ifndef AUDIT_REPORT_STYLE_H
#define AUDIT_REPORT_STYLE_H

#include <stdio.h>

void report_style_write(FILE *out);

#endif
