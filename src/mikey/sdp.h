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
 * Reads the one MIKEY message in a text as SIP and RTSP stacks have it at hand:
 *
 *   a=key-mgmt:mikey DATA       also without "a=", also inside a whole SDP, at either level
 *   a=acap:1 key-mgmt:mikey ... a capability (RFC 5939)
 *   KeyMgmt: prot=mikey; uri="..."; data="DATA"   RTSP (RFC 4567 3.2), parameters in any order
 *   DATA                        alone
 *
 * DATA is base64, folded over lines or not, its padding there or not. The protocol identifier is
 * case-sensitive (RFC 4567 9.3); other protocols beside mikey are passed over. SYNTAX names what is
 * wrong; also when the text holds different messages, of which the caller must say which is meant.
 * out has cap bytes: text_len are always enough.
 */
enum mikeyd_status mikey_sdp_parse(const char *text, size_t text_len, uint8_t *out, size_t cap,
                                   size_t *len, struct error *err);

#endif
