/* A client that has a pre-shared key in place of a certificate, imported (RFC 9258). */
#ifndef CLIENT_TLS_PSK_H
#define CLIENT_TLS_PSK_H

#include <openssl/ssl.h>

#include "base/error.h"

/* Has this context offer the one key in the file, and nothing but its suite. INVALID_ARGUMENT. */
enum mikeyd_status tls_psk_use(SSL_CTX *tls, const char *path, struct error *err);

#endif
