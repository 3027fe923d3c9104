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
/*
 * Begins a table with these columns (NULL at the end; "#Records": of numbers), which stay valid
 * until its last row is written; ends with </tbody></table>. One page at a time.
 */
void html_table(FILE *out, const char *const *heads);
/* "<tr>"; its cells go from the first column to the last. */
void html_row(FILE *out);
/* "<td>", with a class when it is not NULL. */
void html_cell_open(FILE *out, const char *class_name);
/* "<td>TEXT</td>" */
void html_cell(FILE *out, const char *class_name, const char *text);
void html_count_cell(FILE *out, uint64_t value);

#endif
