/* The SDP attribute that carries MIKEY (RFC 4567 3.1): "a=key-mgmt:mikey <base64>". */
#ifndef MIKEY_SDP_H
#define MIKEY_SDP_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Bytes that the line for a message of len bytes needs, with the terminator. */
size_t mikey_sdp_size(size_t len);
/* Writes the attribute line without CRLF. out has mikey_sdp_size(len) bytes. */
void mikey_sdp_format(const uint8_t *message, size_t len, char *out);
/*
 * Reads one line: optional "a=", "key-mgmt:", optional space, KMPID "mikey" (case-sensitive), one
 * space, base64; also a bare base64 text. SYNTAX names what is wrong.
 */
enum mikeyd_status mikey_sdp_parse(const char *text, size_t text_len, uint8_t *out, size_t cap,
                                   size_t *len, struct error *err);

#endif
