/* Binary as text: base64 and hexadecimal, by OpenSSL. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Bytes that base64 of len bytes needs, with the terminator. */
size_t base64_size(size_t len);
/* out has base64_size(len) bytes. One line, padded. */
void base64_encode(const void *data, size_t len, char *out);
/*
 * Strict: the standard alphabet, padded, no white space (protocol sheet 2.1). On OK *len bytes are
 * in out (capacity cap). SYNTAX names the first offending position.
 */
enum mikeyd_status base64_decode(const char *text, size_t text_len, uint8_t *out, size_t cap,
                                 size_t *len, struct error *err);

/* out has 2 * len + 1 bytes; lower case. */
void hex_encode(const void *data, size_t len, char *out);
enum mikeyd_status hex_decode(const char *text, size_t text_len, uint8_t *out, size_t cap,
                              size_t *len, struct error *err);

#endif
