/* What the gate accepts: TLS 1.3, a certificate of the CA's from both ends. */
#ifndef GATE_TLS_H
#define GATE_TLS_H

#include <openssl/ssl.h>

#include "config/config.h"

/* The private key where it is in a token: opened once, SIGHUP does not change it. As
 * token_key_open(). */
enum mikeyd_status tls_open_token_key(const struct config_gate *gate, EVP_PKEY **out,
                                      struct error *err);
/* Reads all files anew. token_key: where the private key is in a token, else NULL. INVALID_ARGUMENT
 * naming the file. */
enum mikeyd_status tls_make(const struct config_gate *gate, EVP_PKEY *token_key, SSL_CTX **out,
                            struct error *err);
/* Would this peer, accepted before, still be? AUTH_FAILED when not. */
enum mikeyd_status tls_check_again(SSL_CTX *tls, SSL *connection, struct error *err);

#endif
