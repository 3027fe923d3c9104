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
/* Room for identity_format(): "hex:" and two digits a byte, and the terminator. */
#define IDENTITY_TEXT_MAX (4 + 2 * IDENTITY_MAX + 1)

/* A view: whoever made it owns the bytes. Not NUL terminated. */
struct identity {
    uint8_t type;
    size_t len;
    const uint8_t *data;
};

bool identity_equal(const struct identity *a, const struct identity *b);

/*
 * Reads the text form: "hex:…" byte string (type 2, bytes go to `store`), anything with a URI
 * scheme type 1, "user@host" NAI type 0 (both: *out points into `text`, which must outlive it).
 * `store` has IDENTITY_MAX bytes. SYNTAX when empty, too long, with control characters, or neither
 * a URI nor user@host.
 */
enum mikeyd_status identity_parse(const char *text, uint8_t store[IDENTITY_MAX],
                                  struct identity *out, struct error *err);

/*
 * The text form back: types 0 and 1 as they are when printable ASCII/UTF-8 without controls and
 * re-readable as the same type, "hex:…" otherwise. out has IDENTITY_TEXT_MAX bytes. Longer
 * identities are cut and end in "...".
 */
void identity_format(const struct identity *identity, char out[IDENTITY_TEXT_MAX]);

#endif
