/*
 * SRTP suites (RFC 3711, 6188, 7714) and the two MIKEY algorithm sets, by name and by number.
 */
#ifndef BASE_SUITE_H
#define BASE_SUITE_H

#include <stdbool.h>
#include <stdint.h>

enum srtp_suite {
    SRTP_AES_CM_128_HMAC_SHA1_80,
    SRTP_AES_CM_128_HMAC_SHA1_32,
    SRTP_AES_256_CM_HMAC_SHA1_80,
    SRTP_AES_256_CM_HMAC_SHA1_32,
    SRTP_AEAD_AES_128_GCM,
    SRTP_AEAD_AES_256_GCM,
    SRTP_SUITE_COUNT
};

struct srtp_suite_info {
    const char *name;       /* as in interfaces, IANA spelling */
    uint8_t encryption;     /* MIKEY SP type 0: 1 AES-CM, 6 AES-GCM */
    uint8_t authentication; /* SP type 2: 1 HMAC-SHA-1, 0 none (AEAD) */
    uint8_t key_len;        /* master key, bytes */
    uint8_t salt_len;       /* master salt, bytes */
    uint8_t tag_len;        /* SP type 11, or type 20 for AEAD, bytes */
};

#define SRTP_KEY_MAX 32
#define SRTP_SALT_MAX 14

/* NULL when suite is out of range. */
const struct srtp_suite_info *srtp_suite_info(enum srtp_suite suite);
/* False when the name is not one of the six. */
bool srtp_suite_by_name(const char *name, enum srtp_suite *out);

/* The algorithm sets a MIKEY message uses as a whole (RFC 6043 12.1: never mixed). */
enum mikey_algorithms {
    MIKEY_ALGORITHMS_1,  /* mikey-1: PRF 0, AES-CM-128, HMAC-SHA-1-160 */
    MIKEY_ALGORITHMS_256 /* mikey-256: PRF 1, AES-CM-256, HMAC-SHA-256-256 */
};

const char *mikey_algorithms_name(enum mikey_algorithms algorithms);
bool mikey_algorithms_by_name(const char *name, enum mikey_algorithms *out);
/* RFC 6043 12.1: a session key longer than 128 bits shall not travel under 128-bit algorithms. */
bool mikey_algorithms_carry(enum mikey_algorithms algorithms, enum srtp_suite suite);

#endif
