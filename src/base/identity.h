/*
 * MIKEY identities (RFC 3830 6.7, RFC 6043 6.5): a type and bytes, compared byte by byte, never
 * normalised.
 */
#ifndef BASE_IDENTITY_H
#define BASE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum identity_type { IDENTITY_NAI = 0, IDENTITY_URI = 1, IDENTITY_BYTES = 2 };

/* Longest identity this project configures or accepts in an exchange, in bytes (the wire allows
 * 65535). */
#define IDENTITY_MAX 255
/* Room for identity_format(): "nai:hex:" and two digits a byte, and the terminator. */
#define IDENTITY_TEXT_MAX (8 + 2 * IDENTITY_MAX + 1)

/* A view: whoever made it owns the bytes. Not NUL terminated. */
struct identity {
    uint8_t type;
    size_t len;
    const uint8_t *data;
};

bool identity_equal(const struct identity *a, const struct identity *b);

/*
 * The text form, in which every identity is written one way and every text is one identity:
 *
 *   sip:a@b, any URI      type 1      user@host    type 0      hex:00ff   type 2, these bytes
 *   uri:TEXT, nai:TEXT    type 1 or 0 with the bytes of TEXT, for what the forms above would read
 * as another type: a peer that sends its SIP URI as an NAI is nai:sip:a@b uri:hex:…, nai:hex:… type
 * 1 or 0 with these bytes, for what is no printable text
 *
 * "uri:", "nai:" and "hex:" are always read as these prefixes, so a URI of such a scheme is written
 * uri:uri:….
 */

/*
 * Reads it. Bytes of hex forms go to `store` (IDENTITY_MAX bytes); else *out points into `text`,
 * which must outlive it. SYNTAX when empty, too long, with blanks or control characters, or of no
 * form.
 */
enum mikeyd_status identity_parse(const char *text, uint8_t store[IDENTITY_MAX],
                                  struct identity *out, struct error *err);

/*
 * Writes it: the shortest form that reads as the same identity. out has IDENTITY_TEXT_MAX bytes.
 * Longer identities are cut and end in "..."; a type that RFC 3830 does not know is a number before
 * the bytes, "7:hex:…". Neither reads as an identity.
 */
void identity_format(const struct identity *identity, char out[IDENTITY_TEXT_MAX]);

#endif
