/* The table of requirements (policy/coverage.c) as SECURITY.md has it. */
#ifndef TEST_POLICY_REQUIREMENTS_H
#define TEST_POLICY_REQUIREMENTS_H

/* The lines of SECURITY.md between which the requirements stand. */
#define REQUIREMENTS_BEGIN "<!-- requirements: begin; tests/requirements writes what follows -->\n"
#define REQUIREMENTS_END "<!-- requirements: end -->\n"

/* Markdown, a block a row, no line over 156 bytes but for a single word; free() it. NULL: no memory. */
char *requirements_text(void);

#endif
