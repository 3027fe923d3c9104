/*
 * The keys that sign the audit log, and their signatures over a SHA-256 digest: ECDSA on P-256 (DER,
 * RFC 3279 2.2.3), or RSA of 3072 to 4096 bits for tokens without elliptic curves. RSA signs by
 * RSASSA-PSS (RFC 8017 8.1: MGF1 with SHA-256, salt of 32 bytes) where the token offers it, else by
 * RSASSA-PKCS1-v1_5; a signature does not say by which, and either one is good.
 */
#ifndef BASE_SIGNATURE_H
#define BASE_SIGNATURE_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes: of RSA with 4096 bits. */
#define SIGNATURE_MAX 512
#define SIGNATURE_RSA_LEAST_BITS 3072
#define SIGNATURE_RSA_MOST_BITS 4096
/* What fits, for people. */
#define SIGNATURE_KEYS "EC P-256 or RSA of 3072 to 4096 bits"

bool signature_key_fits(EVP_PKEY *key);
/* False also for a key that does not fit. OpenSSL's queue of errors is left as it is. */
bool signature_verifies(EVP_PKEY *key, const uint8_t digest[32], const uint8_t *signature,
                        size_t len);

#endif
