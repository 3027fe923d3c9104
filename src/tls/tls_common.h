/* What all that speak TLS do alike: both ends of a client's connection, and the store on Redis. */
#ifndef TLS_TLS_COMMON_H
#define TLS_TLS_COMMON_H

#include <openssl/ssl.h>

#include "base/error.h"
#include "importer/importer_tls.h"

/* Why OpenSSL failed, for people, or `otherwise` when it does not say; empties its queue. */
const char *tls_queue_reason(const char *otherwise, char *text, size_t cap);
/* A private key of PEM, without a passphrase, in a file that no other user can read.
 * INVALID_ARGUMENT naming the file. */
enum mikeyd_status tls_read_key(const char *path, EVP_PKEY **out, struct error *err);
/* An imported PSK as OpenSSL takes one: a session of the one suite of TLS 1.3 that has the hash of
 * the key's target KDF. NULL without memory. */
SSL_SESSION *tls_session_of_psk(SSL *tls, const uint8_t key[IMPORTER_TLS_PSK_LEN]);

#endif
