/* Writing HTML: everything that is not ours is escaped. */
#ifndef AUDIT_HTML_H
#define AUDIT_HTML_H

#include <stdint.h>
#include <stdio.h>

/* Text content or the value of a quoted attribute. */
void html_text(FILE *out, const char *text);
/* Markup of ours; %s is not allowed in it: use html_text. */
void html_markup(FILE *out, const char *markup);
/* 1234567 -> "1,234,567" (32 bytes are enough). */
const char *html_count(uint64_t value, char buffer[32]);
/* "<td>TEXT</td>", with a class when it is not NULL. */
void html_cell(FILE *out, const char *class_name, const char *text);
void html_count_cell(FILE *out, uint64_t value);

#endif
