/*
 * RFC 9258 style importer: ImportedIdentity, the HkdfLabel that turns an extracted EPSK into a pair
 * key, and the identity context that makes directions different keys (RFC 9257 6 item 3). Pure
 * bytes: the HMACs are the caller's, on a token.
 */
#ifndef IMPORTER_IMPORTER_H
#define IMPORTER_IMPORTER_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/identity.h"
#include "base/suite.h"

#define IMPORTER_TARGET_PROTOCOL_MIKEY 0x6D01
#define IMPORTER_TARGET_PROTOCOL_TLS13 0x0304
#define IMPORTER_KDF_HKDF_SHA256 0x0001
#define IMPORTER_KDF_HKDF_SHA384 0x0002
#define IMPORTER_KDF_MIKEY_1 0xFF01 /* private: the pair key feeds PRF MIKEY-1 */
#define IMPORTER_PREFIX_MIKEY "mikey1"
#define IMPORTER_PAIR_KEY_LEN 32
#define IMPORTER_IDENTITY_MAX 65535
#define IMPORTER_INFO_MAX 128

/* The four fields of RFC 9258 5.1. Views. */
struct imported_identity {
    const uint8_t *external_identity;
    size_t external_identity_len; /* 1 .. 65535 */
    const uint8_t *context;
    size_t context_len;
    uint16_t target_protocol;
    uint16_t target_kdf;
};

/* Serialises; INVALID_ARGUMENT when a field or the whole is too long or the external identity is
 * empty. */
enum mikeyd_status importer_write_identity(const struct imported_identity *id,
                                           struct byte_writer *out, struct error *err);

/* context = id(initiator) || id(responder), id = type(1) length(2) bytes. */
enum mikeyd_status importer_write_context(const struct identity *initiator,
                                          const struct identity *responder, struct byte_writer *out,
                                          struct error *err);

/* The EPSK's own hash, which runs extract and expand (RFC 9258 5.1): SHA-256 for mikeyd's EPSKs. */
enum importer_hash { IMPORTER_SHA256, IMPORTER_SHA384 };

/*
 * HkdfLabel for HKDF-Expand-Label(epskx, "derived psk", hash(ImportedIdentity), length): the `info`
 * of HKDF-Expand. prefix: six bytes, "mikey1", "tls13 " or "dtls13".
 */
enum mikeyd_status importer_write_info(enum importer_hash hash, const char *prefix,
                                       const uint8_t *imported_identity,
                                       size_t imported_identity_len, uint16_t length,
                                       struct byte_writer *out, struct error *err);

/* mikeyd's own use: info and a stable name for one directed pair under key NAME/GENERATION. */
struct importer_pair {
    uint8_t info[IMPORTER_INFO_MAX];
    size_t info_len;
    uint8_t identity_hash[32]; /* SHA-256(ImportedIdentity) */
    /* NAME of the token object: "<key>.<first 32 hex digits of identity_hash>" */
    char object_name[80];
};
enum mikeyd_status importer_pair(const char *key_name, unsigned generation,
                                 const struct identity *initiator, const struct identity *responder,
                                 enum mikey_algorithms algorithms, struct importer_pair *out,
                                 struct error *err);

/*
 * Host computation for the ceremony tool, for tickets and for tests (OpenSSL HKDF): epskx =
 * Extract(0, epsk); pair key = Expand(epskx, info). Outputs in the secure heap, wiped by the
 * caller.
 */
enum mikeyd_status importer_extract(enum importer_hash hash, const uint8_t *epsk, size_t epsk_len,
                                    uint8_t *epskx, struct error *err);
enum mikeyd_status importer_expand(enum importer_hash hash, const uint8_t *epskx,
                                   const uint8_t *info, size_t info_len, uint8_t *out,
                                   size_t out_len, struct error *err);

#endif
