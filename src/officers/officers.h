/*
 * The officers of mikeyd.yaml: people who sign policies, each with a key of their own. Their public
 * keys are read once; a key changed afterwards counts from the next start on.
 *
 * What they sign is always a text that says what it is for, so that no signature serves for
 * something else, and names the officer:
 *
 *   mikeyd policy signature 1\n
 *   serial N\n
 *   sha256 HASH OF THE POLICY'S BYTES\n
 *   officer NAME\n
 *
 * The signature is Ed25519 (RFC 8032) over the text, or ECDSA on P-256 with SHA-256 (DER), in base64
 * on one line of a file of its own.
 */
#ifndef OFFICERS_OFFICERS_H
#define OFFICERS_OFFICERS_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

/* Bytes of a signature, at most: ECDSA on P-256 in DER has up to 72. */
#define OFFICER_SIGNATURE_MAX 128
/* The first half of the SHA-256 of the public key (SubjectPublicKeyInfo) in hex, for people. */
#define OFFICER_FINGERPRINT 33
#define OFFICER_KEYS "Ed25519 or EC P-256"

struct officers;

/* *out is NULL where the configuration has none. INVALID_ARGUMENT naming officer and file: no such
 * key, a file that others can write, a key that two officers have. */
enum mikeyd_status officers_load(const struct config *config, struct officers **out,
                                 struct error *err);
void officers_free(struct officers *officers);
size_t officers_count(const struct officers *officers);
const char *officers_name(const struct officers *officers, size_t index);
const char *officers_fingerprint(const struct officers *officers, size_t index);
EVP_PKEY *officers_key(const struct officers *officers, size_t index);

/* ---- keys and signatures */

bool officer_key_fits(EVP_PKEY *key);
enum mikeyd_status officer_key_fingerprint(EVP_PKEY *key, char out[OFFICER_FINGERPRINT],
                                           struct error *err);
/* *len: capacity in, length out. INTERNAL, or TOKEN_DOWN when a token did not do it. */
enum mikeyd_status officer_sign(EVP_PKEY *key, const char *text, uint8_t *signature, size_t *len,
                                struct error *err);
bool officer_verifies(EVP_PKEY *key, const char *text, const uint8_t *signature, size_t len);

#endif
