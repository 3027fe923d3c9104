/*
 * Text for people: what cannot be seen, or moves what can (control characters, escape sequences,
 * zero-width and bidirectional marks, blanks that are no space, bytes that are not UTF-8), is shown
 * as \u{202e} or \x9b. For every log line, terminal, page and audit field: such text comes from
 * peers, tokens and files.
 */
#ifndef BASE_VISIBLE_H
#define BASE_VISIBLE_H

#include <stddef.h>
#include <stdint.h>

/* Longest form of one character. */
#define VISIBLE_STEP 12
/* Room that len bytes of text need at most, with the terminator. */
#define VISIBLE_SIZE(len) (6 * (len) + 1)

/* The form of the first character of len > 0 bytes; returns how many of them it is. */
size_t visible_step(const void *text, size_t len, char out[VISIBLE_STEP], size_t *out_len);

/* As much of the text as fits, with its terminator; returns the length. Newlines are escaped. */
size_t visible_text(const void *text, size_t len, char *out, size_t cap);

#endif
