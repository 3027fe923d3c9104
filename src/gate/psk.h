/* Clients that a fleet without certificates names: a pre-shared key each, imported (RFC 9258). */
#ifndef GATE_PSK_H
#define GATE_PSK_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "base/error.h"

/* Reads the list and has this context accept its clients. INVALID_ARGUMENT naming file and line. */
enum mikeyd_status psk_use(SSL_CTX *tls, const char *path, struct error *err);
/* The client whose key opened this connection; NULL when none did. */
const char *psk_client(const SSL *connection);
/* Has this context the same client with the same key? */
bool psk_is_known(SSL_CTX *tls, const SSL *connection);

#endif
