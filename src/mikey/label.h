/*
 * Labels and sizes of MIKEY's key derivation (RFC 3830 4.1.3, 4.1.4): what every way of computing
 * with a pre-shared key (HMAC calls, in-token derivation, host) has in common. No key is seen here.
 */
#ifndef MIKEY_LABEL_H
#define MIKEY_LABEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hmac.h"
#include "mikey/psk.h"

/* RFC 3830 4.1.4: constants for keys derived from a PSK. */
#define MIKEY_LABEL_PSK_ENCR 0x150533E1u
#define MIKEY_LABEL_PSK_AUTH 0x2D22AC75u
#define MIKEY_LABEL_PSK_SALT 0x29B88916u
/* RFC 3830 4.1.3: constants for keys derived from a TGK. */
#define MIKEY_LABEL_TEK 0x2AD01C64u
#define MIKEY_LABEL_TGK_AUTH 0x1B5C7973u
#define MIKEY_LABEL_TGK_ENCR 0x15798CEFu
#define MIKEY_LABEL_TGK_SALT 0x39A2C14Bu
/*
 * Ours, for `tgk: derived`: a TGK made from the PSK. The constants are the decimals of e in groups
 * of nine; RFC 3830 took the first seven and RFC 6043 the next four (5.1.1, A.2). This is the
 * twelfth group, 427466391.
 */
#define MIKEY_LABEL_PSK_TGK 0x197A9E97u
/* The label of RFC 6043 5.1.1 whose constant is the tenth group, for K_psk of psk-dhe. */
#define MIKEY_LABEL_PSK_DHE 0x1512B54Au
/* What stands in the place of the CS ID when the key is a PSK. */
#define MIKEY_LABEL_PSK_CS_ID 0xFFu

#define MIKEY_RAND_MIN 16
#define MIKEY_RAND_MAX 255
#define MIKEY_LABEL_MAX (4 + 1 + 4 + MIKEY_RAND_MAX)

/* Writes constant || cs_id || csb_id || RAND and returns its length. rand_len is at most
 * MIKEY_RAND_MAX. */
size_t mikey_label_write(uint8_t out[MIKEY_LABEL_MAX], uint32_t constant, uint8_t cs_id,
                         uint32_t csb_id, const uint8_t *rand, size_t rand_len);

/* Lengths in bytes of the message keys that a derivation asks for; 0: that key is not wanted. */
struct mikey_key_sizes {
    size_t encr, salt, auth;
};

/* False when the PRF, Encr alg or Mac alg is not one this engine knows, or RAND is not
 * MIKEY_RAND_MIN .. MIKEY_RAND_MAX bytes. */
bool mikey_key_sizes(const struct mikey_derivation *what, struct mikey_key_sizes *out);

/* The hash of a PRF func (MIKEY_PRF_1: SHA-1) and of a Mac alg (1: SHA-1, 2: SHA-256). */
enum hmac_hash mikey_prf_hash(enum mikey_prf prf);
enum hmac_hash mikey_mac_hash(uint8_t mac);
/* Length of a MAC or Ver data by its algorithm: 0, 20 or 32. False when unknown. */
bool mikey_mac_len(uint8_t mac, size_t *len);

#endif
