/*
 * The Diffie-Hellman exchange of methods dhhmac and psk-dhe (RFC 4650, RFC 3830 6.4), by OpenSSL.
 *
 * Group 255 is from the private range of the registry: X25519 (RFC 7748), values of 32 bytes. Group
 * 0 is OAKLEY 5, RFC 2412 E.5, the 1536-bit MODP group with generator 2: under 112 bits of strength,
 * for peers that have nothing else. Values and shared secrets of it keep their leading zeros.
 */
#ifndef MIKEY_DH_H
#define MIKEY_DH_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { MIKEY_GROUP_OAKLEY_5 = 0, MIKEY_GROUP_X25519 = 255 };

#define MIKEY_DH_VALUE_MAX 192
#define MIKEY_DH_PRIVATE_MAX 64

/* One end's ephemeral pair. Secure heap; wiped by the caller. */
struct mikey_dh_pair {
    uint8_t group;
    uint8_t value[MIKEY_DH_VALUE_MAX];     /* mikey_dh_len() bytes, as they are sent */
    uint8_t private[MIKEY_DH_PRIVATE_MAX]; /* X25519: 32 bytes; OAKLEY 5: all, leading zeros */
};

/* Length of a value and of the shared secret; 0: no such group here. */
size_t mikey_dh_len(uint8_t group);
/* "x25519", "oakley-5". */
const char *mikey_dh_name(uint8_t group);

/* A fresh pair. On failure it is wiped. */
enum mikeyd_status mikey_dh_make(uint8_t group, struct mikey_dh_pair *out, struct error *err);

/*
 * The shared secret, mikey_dh_len(own->group) bytes in the secure heap. SYNTAX for a value of the
 * peer that is none: of another length, of small order (the secret would be zero), or not within 1 <
 * Y < p - 1. On failure `shared` is wiped.
 */
enum mikeyd_status mikey_dh_agree(const struct mikey_dh_pair *own, const uint8_t *peer,
                                  size_t peer_len, uint8_t *shared, struct error *err);

/* HKDF-SHA-256 (RFC 5869), extract and expand; out is wiped on failure. */
struct mikey_hkdf {
    const uint8_t *salt, *ikm, *info;
    size_t salt_len, ikm_len, info_len;
};
enum mikeyd_status mikey_hkdf(const struct mikey_hkdf *in, uint8_t *out, size_t len,
                              struct error *err);

#endif
