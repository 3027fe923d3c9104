/* What `mikeyctl token compat` prints of a token that was tried. */
#ifndef MIKEYCTL_TOKEN_COMPAT_H
#define MIKEYCTL_TOKEN_COMPAT_H

#include <jansson.h>
#include <stdio.h>

#include "pkcs11/token/compat.h"

#define COMPAT_LINES_MAX 3

/* The lines that a token's entry of mikeyd.yaml needs, without the blanks in front of them. */
struct compat_lines {
    char line[COMPAT_LINES_MAX][200];
    size_t count;
};
/* wanted: sessions asked for in the trial. */
void compat_lines_make(const struct token_compat *found, unsigned wanted, struct compat_lines *out);

void compat_print(const struct token_compat *found, const struct compat_lines *lines, FILE *out);
/* A new reference, or NULL without memory. */
json_t *compat_json(const struct token_compat *found, const struct compat_lines *lines);

#endif
